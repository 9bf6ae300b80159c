"""Valkey: whether it answers and takes writes, who listens on it, its limits, and what it cut off or denied."""

from __future__ import annotations

from collections.abc import Iterator

from .. import digits
from ..finding import Finding, Sample
from .conversation import CHANNEL, Answers
from .sight import Sight
from .words import percent

_LOGS = "look at `docker logs {}`"
# What a PING is answered by a Valkey that is alive and not well -> what it means, and what to do.
_NOT_WELL = {
    "LOADING": ("it loads its data, and answers nobody until it has", "wait: a restart would begin that again"),
    "MISCONF": ("its last save failed, so it refuses writes", f"look for room with `df`, and {_LOGS}"),
    "BUSY": ("a script keeps it busy", "wait; runbooks/doctor.py shows its clients"),
    "NOAUTH": ("it loads its data, and lets nobody in until it has", "wait: a restart would begin that again"),
}
_REFUSALS = ("WRONGPASS", "NOPERM")
_USER = "open-webui"
_DENIALS = ("auth", "cmd", "key", "channel")


def look(at: Sight) -> Iterator[Finding | Sample]:
    """Cost: one connection to Valkey, which serves the look at events as well."""
    one = at.one(at.asked.valkey)
    held = at.conversation
    if one is None or held is None:
        if not at.asked.swarm or one:
            yield Finding(
                "valkey_pong", False, "Valkey does not run", _LOGS.format(one.name if one else at.asked.valkey)
            )
            yield _up(False)
        return
    if held.answers is None:
        yield Finding("valkey_pong", False, "Valkey gave no answer for 5 s", _LOGS.format(one.name))
        yield _up(False)
        return
    said = held.answers
    yield _up(said.pong)
    yield _pong(said, one.name)
    yield from _login(said)
    yield from _subscribers(at, said, held.sessions)
    yield from _limits(at, said, one.memory_bytes)
    yield from _cut_off(at, said)
    yield from _denied(at, said)


def _up(answers: bool) -> Sample:
    return Sample("open_webui_stack_valkey_up", answers, help="Whether Valkey answers PONG.")


def _pong(said: Answers, container: str) -> Finding:
    if said.pong:
        return Finding("valkey_pong", True, "Valkey answers PONG")
    for word, (means, step) in _NOT_WELL.items():
        if any(error.startswith(word) for error in said.errors):
            return Finding("valkey_pong", False, f"Valkey answers {word}: {means}", step.format(container))
    reason = f": {said.errors[0]}" if said.errors else ""
    return Finding("valkey_pong", False, f"Valkey gave no PONG{reason}", _LOGS.format(container))


def _login(said: Answers) -> Iterator[Finding]:
    """Whether Valkey takes our user. Everybody may PING."""
    if said.info:
        yield Finding("valkey_login", True, "Valkey takes the user monitor")
    elif said.pong:
        word = next((word for word in _REFUSALS if any(word in error for error in said.errors)), "no answer")
        yield Finding("valkey_login", False, f"Valkey refuses the user monitor ({word})", "run deploy.py")


def _subscribers(at: Sight, said: Answers, sessions: int) -> Iterator[Finding | Sample]:
    found = said.listeners.get(CHANNEL)
    if found is None:
        return
    about = "Connections that listen on Socket.IO's channel: one for each Open WebUI that has had a websocket."
    yield Sample("open_webui_stack_valkey_subscribers", found, help=about)
    # One on another host of a swarm may have had none yet, and does not listen until then.
    wanted = sessions if at.asked.swarm else _serving(at)
    is_well = found >= wanted
    yield Finding(
        "valkey_subscribers",
        is_well,
        f"{found} of {max(found, wanted)} replicas of Open WebUI listen on Valkey",
        "" if is_well else "people of the others see no answer appear: run runbooks/doctor.py",
    )


def _serving(at: Sight) -> int:
    """How many serve here now. What does not run is told by the look at containers."""
    serving = [one for name in at.asked.open_webui for one in at.containers[name] if one.status == "running"]
    return sum(one.health in ("healthy", "") for one in serving)


def _limits(at: Sight, said: Answers, container_bytes: int) -> Iterator[Finding | Sample]:
    used, resident, most = (_number(said, name) for name in ("used_memory", "used_memory_rss", "maxmemory"))
    if used is not None:
        yield Sample("open_webui_stack_valkey_memory_used_bytes", used, help="Memory of Valkey's data and buffers.")
        bounds = [(used, most or 0, "maxmemory"), (resident or used, container_bytes, "its container's limit")]
        shares = [(percent(part, whole), what) for part, whole, what in bounds if whole]
        if limit := min((whole for _, whole, _ in bounds if whole), default=0):
            about = "The lower limit of maxmemory and the container's."
            yield Sample("open_webui_stack_valkey_memory_limit_bytes", limit, help=about)
        if shares:
            yield _share(at.asked.thresholds.memory_percent, "valkey_memory", "Valkey uses", *max(shares))
    clients, room = _number(said, "connected_clients"), _number(said, "maxclients")
    if clients is not None:
        yield Sample("open_webui_stack_valkey_connections", clients, help="Connections to Valkey.")
    if clients is not None and room:
        yield Sample("open_webui_stack_valkey_connections_limit", room, help="How many connections Valkey takes.")
        share = percent(clients, room)
        most_percent = at.asked.thresholds.connections_percent
        yield _share(most_percent, "valkey_connections", "Valkey has", share, "its connections (maxclients)")


def _share(most_percent: float, name: str, subject: str, share: float, what: str) -> Finding:
    is_well = share <= most_percent
    step = "" if is_well else "run runbooks/doctor.py; raise the limit, or find out who uses it"
    return Finding(name, is_well, f"{subject} {share:.0f} % of {what}", step)


def _cut_off(at: Sight, said: Answers) -> Iterator[Finding | Sample]:
    found = _number(said, "client_output_buffer_limit_disconnections")
    if found is None:
        return
    about = "Connections that Valkey ended because their output buffer was full."
    yield Sample("open_webui_stack_valkey_buffer_disconnections_total", found, {}, about, "counter")
    age_s = at.memory.since_rise_s("valkey buffer disconnections", found)
    is_well = not _counts(at, age_s)
    yield Finding(
        "valkey_buffers",
        is_well,
        "Valkey has cut off nobody lately"
        if is_well
        else "Valkey cut off a listener whose buffer was full: events were lost",
        "" if is_well else "raise valkey_pubsub_buffer, or see which replica reads too slowly",
    )


def _denied(at: Sight, said: Answers) -> Iterator[Finding | Sample]:
    for kind in _DENIALS:
        number = _number(said, f"acl_access_denied_{kind}")
        if number is not None:
            about = "What Valkey's access rules denied, of all users."
            yield Sample("open_webui_stack_valkey_denials_total", number, {"kind": kind}, about, "counter")
    if not said.info:
        return
    recent = []
    for entry in said.denied:
        age_s = _float(entry.get("age-seconds"))
        if entry.get("username") == _USER and _counts(at, age_s):
            recent.append(f"{entry.get('reason')} {str(entry.get('object')).partition('#')[0]}".strip())
    kinds = ", ".join(sorted(set(recent)))
    yield Finding(
        "valkey_denials",
        not recent,
        f"Valkey denies Open WebUI: {kinds}" if recent else "Valkey has denied Open WebUI nothing lately",
        "run deploy.py, which writes users.acl; runbooks/doctor.py shows the denials" if recent else "",
    )


def _counts(at: Sight, age_s: float | None) -> bool:
    """Whether what happened is a fault still. While a verb changes passwords, or starts Valkey again, it is none."""
    return age_s is not None and age_s <= at.asked.thresholds.recent_s and at.memory.is_since_verb(age_s)


def _number(said: Answers, name: str) -> int | None:
    return digits.whole(said.info.get(name, "").strip())


def _float(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
