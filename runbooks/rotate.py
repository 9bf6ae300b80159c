"""pyinfra -y inventories/X.py runbooks/rotate.py: new secrets for a stack that runs; Valkey is not restarted."""

from webui_stack.tasks import deployment, preflight, rotate, verify

verify.prepare()
settings = preflight.check()
rotate.check(settings)
deployment.begin(settings, acts=True)
rotate.renew(settings)
verify.prove(settings)
deployment.end()
