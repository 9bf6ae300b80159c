"""pyinfra -y inventories/X.py runbooks/restore.py --limit HOST: a stack from a backup set, proved like any other."""

from webui_stack.tasks import deployment, docker, monitor, network, preflight, restore, stack, swarm, verify, watchdog

verify.prepare()
settings = preflight.check()
restore.check(settings)
deployment.begin(settings, acts=True)
docker.install(settings)
swarm.form(settings)
network.create(settings)
stack.bring_images(settings)
restore.load(settings)
stack.launch(settings, with_images=False, migrates=True)
watchdog.keep(settings)
monitor.keep(settings)
restore.bring_models(settings)
verify.prove(settings)
restore.settle(settings)
deployment.end()
