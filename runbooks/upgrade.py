"""pyinfra -y inventories/X.py runbooks/upgrade.py: from the versions that run to the settings', or back by itself."""

from webui_stack.tasks import deployment, docker, monitor, network, preflight, rollout, stack, upgrade, verify, watchdog

verify.prepare()
settings = preflight.check()


def provision() -> None:
    deployment.begin(settings, acts=True)
    upgrade.prepare(settings)
    docker.install(settings)
    network.create(settings)
    stack.bring_images(settings)
    upgrade.rehearse(settings)
    stack.launch(settings, with_images=False, upgrades=True)
    watchdog.keep(settings)
    monitor.keep(settings)
    verify.prove(settings, otherwise=lambda: upgrade.undo(settings))
    deployment.end()


rollout.in_batches(provision)
