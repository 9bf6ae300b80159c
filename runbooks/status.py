"""pyinfra -y inventories/X.py runbooks/status.py: all hosts in a table; versions, health, drift, last deploy."""

from webui_stack.tasks import preflight, status

status.show(preflight.settings())
