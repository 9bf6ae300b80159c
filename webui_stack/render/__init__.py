"""The files and requests that a host gets, rendered from settings. Pure."""
