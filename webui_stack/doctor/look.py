"""Doctor: look at each host, judge them, say what was found. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyinfra import logger
from pyinfra.api import Host

from webui_stack.doctor import fleet, rules
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import Observed
from webui_stack.ops import facts, run
from webui_stack.render import survey_requests
from webui_stack.settings.model import Settings
from webui_stack.transport.remote import RemoteError


@dataclass
class _Looks:
    """What this run saw on each host, and each host's settings."""

    observed: dict[str, Observed] = field(default_factory=dict)
    settings: dict[str, Settings] = field(default_factory=dict)


def look(host: Host, settings: Settings) -> list[str]:
    """Observe the host, in one remote command, for `judge`. The only problem here is that nothing can be observed."""
    looks = run.of(host.state).once(_Looks)
    looks.settings[host.name] = settings
    try:
        found = facts.ask_program(host, facts.Symptoms, _stdin=survey_requests.doctor_request(settings))
        looks.observed[host.name] = found
    except RemoteError as error:
        return [facts.why(host, error)]
    return []


def judge(host: Host, settings: Settings) -> list[Check]:
    """All checks of one host; those against other hosts need `look` to have been at all of them."""
    looks = run.of(host.state).once(_Looks)
    return [
        *rules.checks(looks.observed[host.name], settings),
        *fleet.checks(looks.observed, looks.settings, host.name),
    ]


def tell(host: Host, checks: list[Check]) -> list[str]:
    """Print faults, then advice; the count of each as the reason to fail, or nothing when there is no fault."""
    faults = [check for check in checks if check.is_fault]
    advice = [check for check in checks if not check.ok and check.advice]
    for check in faults:
        host.log_styled(f"fault   {check}", fg="red", log_func=logger.error)
    for check in advice:
        host.log_styled(f"advice  {check}", fg="yellow", log_func=logger.warning)
    fine = sum(1 for check in checks if check.ok)
    summary = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}, {len(advice)} advice, {fine} fine"
    if faults:
        return [summary]
    host.log(summary, log_func=logger.info)
    return []
