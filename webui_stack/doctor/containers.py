"""Doctor's rules about containers: each of the stack's own, and in a swarm its nodes and services. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from webui_stack.doctor.rule import DEPLOY, Rule
from webui_stack.model import compose
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import Container, Observed, number
from webui_stack.settings.model import Settings


def _nodes(seen: Observed, _: Settings) -> Iterator[Check]:
    for name, state in seen.nodes.items():
        yield Check(
            f"node {name}",
            state.startswith("Ready "),
            state.lower(),
            "its work goes to the others, but for Valkey and Postgres: look at the machine, its network and its Docker",
        )
    for name, tasks in seen.services.items():
        running, _slash, wanted = tasks.partition(" ")[0].partition("/")
        yield Check(
            f"service {name}",
            number(running) >= number(wanted),
            f"{running} of {wanted} run",
            f"`docker service ps --no-trunc {name}` tells why; {DEPLOY} tries again",
        )


def _containers(seen: Observed, settings: Settings) -> Iterator[Check]:
    if settings.topology == "swarm":  # which are on this host is its choice; whether all run, the rows above say
        for task in seen.containers.values():
            yield from _of_container(task)
        return
    for name in compose.containers_of(settings.images).values():
        container = seen.containers.get(name)
        if container is None:
            yield Check(name, False, "there is no such container", f"{DEPLOY} makes it")
            continue
        ended = f", exit code {container.exit_code}" if container.status == "exited" else ""
        yield Check(
            name,
            container.status == "running",
            f"{container.status}{ended}",
            f"`docker logs --tail 50 {name}` tells why; {DEPLOY} starts it again",
        )
        yield Check(
            f"{name}: origin",
            container.directory == settings.stack_dir,
            f"made by {container.maker}",
            f"stack_adopt = True and {DEPLOY} take it over with its data (docs/how-to/adopt.md)",
            advice=True,
        )
        yield from _of_container(container)


def _of_container(container: Container) -> Iterator[Check]:
    name = container.name
    if container.status == "running":
        yield Check(
            f"{name}: healthcheck",
            container.health in ("healthy", "starting") and not container.failing,
            container.health + (f", {container.failing} failed in a row" if container.failing else ""),
            f"without one nobody notices a hang; {DEPLOY} adds one"
            if container.health == "none"
            else f"`docker inspect --format '{{{{json .State.Health}}}}' {name}` tells what it answered",
            advice=container.health != "unhealthy",
        )
    yield Check(
        f"{name}: out of memory",
        not container.oom_killed,
        "killed by the kernel" if container.oom_killed else "no",
        "the host or its memory limit is too small: valkey_memory_limit_mb, open_webui_memory_limit_mb",
    )
    yield Check(
        f"{name}: restarts",
        container.restarts == 0,
        f"Docker restarted it {container.restarts} times since it was made",
        f"`docker logs {name}` and `journalctl -k` tell why it ended",
        advice=True,
    )
    if not container.in_swarm:
        yield from _restart_policy(container)
    unlimited = container.log_driver == "json-file" and "max-size" not in container.log_options
    yield Check(
        f"{name}: log size",
        not unlimited,
        f"driver {container.log_driver}, {'without a limit' if unlimited else 'limited'}",
        "the log grows until the disk is full: docker_daemon sets a limit for new containers",
        advice=True,
    )


def _restart_policy(container: Container) -> Iterator[Check]:
    name = container.name
    yield Check(
        f"{name}: restart policy",
        container.restart_policy in ("always", "unless-stopped"),
        container.restart_policy or "none",
        f"it stays down after a crash or a reboot: `docker update --restart unless-stopped {name}`",
    )


RULES: tuple[Rule, ...] = (_nodes, _containers)
