"""This machine itself, without SSH: `pyinfra inventories/local.py deploy.py`. It needs sudo, also as root."""

hosts = [("@local", {"_sudo": True})]
