"""pyinfra -y inventories/X.py runbooks/backup.py: one more backup set on each host, made while its stack serves."""

from webui_stack.tasks import backup, offsite, preflight

settings = preflight.settings()
made = backup.new()
backup.make(settings, made)
offsite.copy(settings, made)
