"""pyinfra -y inventories/X.py runbooks/migrate.py --limit HOST: from SQLite to the stack's own Postgres."""

from webui_stack.tasks import deployment, docker, migrate, monitor, network, preflight, stack, verify, watchdog

verify.prepare()
settings = preflight.check()
migrate.check(settings)
deployment.begin(settings, acts=True)
docker.install(settings)
network.create(settings)
stack.bring_images(settings)
migrate.copy(settings)
stack.launch(settings, with_images=False)
watchdog.keep(settings)
monitor.keep(settings)
verify.prove(settings)
migrate.settle(settings)
deployment.end()
