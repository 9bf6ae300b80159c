"""pyinfra -y inventories/X.py runbooks/rollback.py --limit HOST: back to an earlier good deploy; --dry lists them."""

from webui_stack.tasks import deployment, preflight, rollback, verify

verify.prepare()
settings = preflight.settings()
deployment.begin(settings, acts=True)
rollback.back(settings)
verify.prove(settings)
deployment.end()
