"""pyinfra -y inventories/X.py runbooks/drill.py: a backup set restored into a throw-away stack, counted, taken down."""

from webui_stack.tasks import drill, preflight

drill.hold(preflight.settings())
