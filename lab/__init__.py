"""Throw-away systemd hosts, a registry and a package repository on one machine: `python -m lab up`."""
