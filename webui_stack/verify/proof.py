"""The proof of a deployed stack: the checks until all of them pass, or time is over; and the line that tells it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyinfra import logger

from webui_stack.model.check import Check
from webui_stack.ops.host_state import Observation
from webui_stack.settings.model import Settings
from webui_stack.verify.checks import Probe
from webui_stack.verify.websocket import ProbeError

_PAUSE_S = 1.0


@dataclass(frozen=True)
class Proof:
    """What was proved on a host, or not: the checks, and what Valkey and Open WebUI told of themselves meanwhile."""

    checks: list[Check]
    told: Mapping[str, str]

    @property
    def address(self) -> str:
        """The URL people would use."""
        return self.told.get("address", "")

    @property
    def line(self) -> str:
        """What a person wants to know of a host that passed; what was not looked at is left out."""
        return _line(self.told)


def at_once(settings: Settings) -> Settings:
    """Settings of a proof that waits for nothing, and asks no model: looks come often, and an answer has a price."""
    return settings.model_copy(update={"verify_timeout_s": 0, "verify_hold_s": 0, "verify_model": None})


def run(
    observation: Observation,
    settings: Settings,
    data_node: Observation | None = None,
    everywhere: Sequence[Observation] = (),
) -> Proof:
    """Ensure the stack on this host works, within `verify_timeout_s`, as far as `verify_level` goes.

    In a swarm `data_node` is the host that Valkey is on, `everywhere` are all its hosts: each proves the processes it
    has. Polls, because a container that runs is not yet one that serves, and gives up early when a container has
    stopped for good. Changes nothing but, at level "user", the probe's own account and a chat of its; the answer of
    `verify_model` is in a chat that nobody saves.
    """
    deadline = time.monotonic() + settings.verify_timeout_s
    probe = Probe(observation.host, settings, data_node or observation, everywhere or [observation])
    survey = observation.survey()
    while True:
        checks = probe.checks(survey)
        failed = [check for check in checks if check.is_fault]
        if not failed or any(check.settled for check in failed) or time.monotonic() >= deadline:
            break
        time.sleep(_PAUSE_S)
        survey = observation.renew()
    try:
        probe.close()
    except ProbeError as error:
        probe.host.log_styled(f"the probe's login could not be ended: {error}", fg="yellow", log_func=logger.warning)
    return Proof(checks, probe.told)


def _line(told: Mapping[str, str]) -> str:
    subscribers = told.get("subscribers", "")
    parts = [
        f"Open WebUI {told['Open WebUI']}" if "Open WebUI" in told else "",
        f"Valkey {told['Valkey']}" if "Valkey" in told else "",
        f"PONG in {told['PONG']}" if "PONG" in told else "",
        f"{subscribers} subscriber{'' if subscribers == '1' else 's'}" if subscribers else "",
        f"websocket in {told['websocket']}" if "websocket" in told else "",
        f"event in {told['event']}" if "event" in told else "",
        f"first token in {told['first token']}, last in {told['last token']}" if "first token" in told else "",
        f"certificate {told['certificate']} more" if "certificate" in told else "",
    ]
    return f"{told.get('address', '')}  {', '.join(part for part in parts if part)}".strip()
