"""pyinfra -y inventories/X.py runbooks/doctor.py: say in plain words what is wrong with a stack. Changes nothing."""

from webui_stack.tasks import doctor, preflight

doctor.examine(preflight.settings())
