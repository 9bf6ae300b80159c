"""Containers: each one runs and is healthy, and none is started again and again; in a swarm, each service."""

from __future__ import annotations

from collections.abc import Iterator

from ..clock import moment
from ..engine import Container
from ..finding import Finding, Sample
from .memory import Restarts
from .sight import Sight, slot
from .words import duration, name

_DEPLOY = "run deploy.py"


def look(at: Sight) -> Iterator[Finding | Sample]:
    """Cost: one call to Docker for each container; in a swarm, one for all that run and two for each service."""
    for service in at.asked.containers:
        if at.asked.swarm:
            yield from _service(at, service)
        else:
            yield from _container(at, service)
        for one in at.containers[service]:
            yield from _samples(one)
            yield from _restarts(at, one)


def _container(at: Sight, wanted: str) -> Iterator[Finding | Sample]:
    one = at.one(wanted)
    if one is None:
        yield Finding(name("container", wanted), False, f"there is no container {wanted}", _DEPLOY)
        yield from _up(wanted, is_up=False, is_well=False)
        return
    why = _why_not_well(at, one)
    found = _restarted(at, one)
    step = f"look at `docker logs {one.name}`, and run runbooks/doctor.py" if why else ""
    repaired = "restarted" if found.is_new and not why else ""
    yield Finding(name("container", wanted), not why, why or f"{one.name} runs", step, repaired=repaired)


def _why_not_well(at: Sight, one: Container) -> str:
    """What is not as it should be, in words; "" for nothing. What a healthcheck printed may hold a secret."""
    if one.status != "running":
        code = f", with exit code {one.exit_code}" if one.status == "exited" else ""
        memory = ", for want of memory" if one.oom_killed else ""
        return f"{one.name} is {one.status}{code}{memory}" + (f": {one.error}" if one.error else "")
    if one.name == at.asked.valkey:  # the look `valkey` asks it at once: its healthcheck would tell the same, later
        return ""
    if one.health == "unhealthy":
        return f"{one.name} is unhealthy: it stopped answering"
    age_s = at.clock.now() - moment(one.started_at)
    if one.health == "starting" and age_s > at.asked.thresholds.start_s:
        return f"{one.name} has been starting for {duration(age_s)}"
    return ""


def _service(at: Sight, wanted: str) -> Iterator[Finding | Sample]:
    found = at.services.get(wanted)
    if found is None:
        yield Finding(name("service", wanted), False, f"there is no service {wanted}", _DEPLOY)
        return
    yield Finding(
        name("service", wanted),
        found.running >= found.wanted,
        f"{found.running} of {found.wanted} replicas of {wanted} run",
        "" if found.running >= found.wanted else f"look at `docker service ps {wanted}`",
    )
    for kind, number in (("running", found.running), ("wanted", found.wanted)):
        about = f"Replicas of a swarm's service that are {kind}."
        yield Sample(f"open_webui_stack_service_replicas_{kind}", number, {"service": wanted}, about)


def _restarts(at: Sight, one: Container) -> Iterator[Finding]:
    found = _restarted(at, one)  # noted above: asked again, nothing is new
    most = at.asked.thresholds.restarts_per_hour
    yield Finding(
        name("restarts", slot(one.name)),
        found.in_an_hour <= most,
        f"{one.name} was started {found.in_an_hour} times in the last hour",
        f"look at `docker logs {one.name}`" if found.in_an_hour > most else "",
    )


def _restarted(at: Sight, one: Container) -> Restarts:
    """A swarm makes another container for each start."""
    id_ = "" if at.asked.swarm else one.id
    return at.memory.restarts(slot(one.name), id_, one.started_at, by_a_verb=at.by_a_verb)


def _samples(one: Container) -> Iterator[Sample]:
    is_up = one.status == "running"
    yield from _up(slot(one.name), is_up=is_up, is_well=is_up and one.health in ("healthy", ""))
    labels = {"container": slot(one.name)}
    about = "Starts of a container by Docker's restart policy, since it was made."
    yield Sample("open_webui_stack_container_restarts_total", one.restarts, labels, about, "counter")
    about = "The image that the container was made of."
    yield Sample("open_webui_stack_container_image_info", 1, {**labels, "image": one.image}, about)
    about = "When the container was started last, in seconds since 1970."
    yield Sample("open_webui_stack_container_start_time_seconds", max(0, moment(one.started_at)), labels, about)


def _up(name: str, *, is_up: bool, is_well: bool) -> Iterator[Sample]:
    labels = {"container": name}
    yield Sample("open_webui_stack_container_up", is_up, labels, "Whether the container runs.")
    about = "Whether it runs, and its healthcheck, if any, passes."
    yield Sample("open_webui_stack_container_healthy", is_well, labels, about)
