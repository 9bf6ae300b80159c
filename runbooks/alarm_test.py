"""pyinfra -y inventories/X.py runbooks/alarm_test.py: a test message to each receiver of alarms, from each host."""

from webui_stack.tasks import alarm_test, preflight

alarm_test.send(preflight.settings())
