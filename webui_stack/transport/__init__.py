"""Bytes, commands and the host's program: how they get to a host through the connection that pyinfra has open."""
