"""pyinfra inventories/X.py deploy.py: from a bare host to a proven Open WebUI + Valkey stack."""

from tasks import docker, network, preflight, rollout, stack, verify, watchdog

settings = preflight.check()  # every problem of every setting, before any host is touched


def provision() -> None:
    docker.install(settings)
    network.create(settings)
    stack.launch(settings)
    watchdog.keep(settings)
    verify.prove(settings)


rollout.in_batches(provision)
