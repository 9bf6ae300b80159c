"""pyinfra -y inventories/X.py runbooks/teardown.py --limit HOST: what this project made there goes; data stay."""

from webui_stack.tasks import preflight, teardown

teardown.remove(preflight.settings())
