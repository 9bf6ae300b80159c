"""pyinfra inventories/X.py runbooks/verify.py: prove that the deployed stacks work. Changes nothing."""

from webui_stack.tasks import preflight, verify

verify.prepare()
verify.prove(preflight.settings())
