"""Our runs beside a peer's on the same hosts. Drives `python -m lab`, pyinfra and Ansible as processes."""
