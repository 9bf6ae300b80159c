"""pyinfra -y inventories/X.py runbooks/lock.py: write down exactly what runs, so that deploys repeat it."""

from webui_stack.tasks import lock, preflight

lock.record(preflight.settings())
