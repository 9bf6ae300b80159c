"""The operator's own compose fragment, as a file of this machine: read, and not yet judged."""
