"""pyinfra inventories/X.py deploy.py: from a bare host to a proven Open WebUI + Valkey stack."""

from webui_stack.tasks import (
    backup,
    deployment,
    docker,
    monitor,
    network,
    preflight,
    rollout,
    stack,
    swarm,
    verify,
    watchdog,
)

verify.prepare()  # loads what proves, while the hosts are looked at
settings = preflight.check(brings_python=True)  # every problem of every setting, before any host is touched


def provision() -> None:
    deployment.begin(settings)
    docker.install(settings)
    swarm.form(settings)
    network.create(settings)
    stack.launch(settings)
    watchdog.keep(settings)
    backup.keep(settings)
    monitor.keep(settings)
    stack.bring_models(settings)
    stack.save_settings(settings)
    verify.prove(settings)
    deployment.end()


rollout.in_batches(provision)
