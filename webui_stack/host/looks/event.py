"""Event: whether what is published in Valkey arrives at a websocket of each Open WebUI on this host.

It is a whole event, without a login; see `conversation` for what it is, and for what it leaves out. In a swarm,
replicas on other hosts get none: the look at Valkey counts those that listen.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding, Sample
from .conversation import Conversation, Ear
from .sight import Sight, slot
from .words import name


def look(at: Sight) -> Iterator[Finding | Sample]:
    """Cost: a websocket for each Open WebUI here, and no call to Docker beside those of the look at Valkey."""
    held = at.conversation
    if held is None or held.answers is None:
        return  # the look at Valkey says so
    heard = held.heard()
    for ear in held.ears:
        replica = slot(ear.container)
        seen, is_well = _seen(held, ear, heard.get(ear.container, set()))
        step = "" if is_well else f"look at `docker logs {ear.container}`, and run runbooks/verify.py"
        yield Finding(name("event", replica), is_well, seen, step)
        about = "Whether an event published in Valkey arrived at a websocket of this Open WebUI."
        yield Sample("open_webui_stack_event_delivered", is_well, {"container": replica}, about)


def _seen(held: Conversation, ear: Ear, marks: set[str]) -> tuple[str, bool]:
    if ear.session is None:
        return f"{ear.container} opens no websocket: {ear.why}", False
    assert held.answers
    # Where it listens on channels of rooms, its own events take these. The common channel proves nothing then.
    listens = held.answers.listeners.get(ear.channel, 0) > 0
    if (ear.own if listens else ear.common) in marks:
        return f"an event reached a websocket of {ear.container}", True
    others = "; another one by the common channel did" if ear.common in marks else ""
    return f"an event published in Valkey did not reach a websocket of {ear.container}{others}", False
