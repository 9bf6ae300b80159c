"""pyinfra -y inventories/X.py runbooks/backups.py: the backup sets of each host, and where they are."""

from webui_stack.tasks import backups, preflight

backups.show(preflight.settings())
