"""What therefore has to change on a host, and what may not. Pure."""
