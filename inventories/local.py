"""This machine itself, without SSH: `pyinfra inventories/local.py deploy.py`, as root or with sudo."""

hosts = [("@local", {"_sudo": True})]
