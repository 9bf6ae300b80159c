"""What doctor knows: what is wrong with an observed host, and what to do about it. Pure.

A fault is what is broken now, loses data or lets strangers in. Advice is what was wrong before, may go wrong
later, or is a fault the operator's own settings chose. Why each rule: the comments beside it, and the links it shows.
"""

from __future__ import annotations

from webui_stack.doctor import backups, containers, host, open_webui, proxy, sign_in, valkey
from webui_stack.doctor.rule import DEPLOY, Rule
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import Observed
from webui_stack.settings.model import Settings

# In the order in which an operator reads the checks.
_HOST: tuple[Rule, ...] = (
    *host.RULES,
    *backups.RULES,
    *containers.RULES,
    *open_webui.DATABASE,
    *proxy.RULES,
)


def checks(seen: Observed, settings: Settings) -> list[Check]:
    """The checks of every rule that has something to judge on this host."""
    if not seen.host.get("engine"):
        return [Check("docker", False, "no Docker that runs, so no stack", f"{DEPLOY} installs it")]
    if not seen.containers and settings.runs("data"):
        return [Check("stack", False, "no container redis-valkey or open-webui", f"{DEPLOY} makes them")]
    rules = list(_HOST)
    if seen.redis:
        rules += valkey.RULES
    if seen.config:
        rules += valkey.ANSWERED
    if seen.open_webui:
        rules += [*open_webui.RULES, *sign_in.RULES]
    found = [check for rule in rules for check in rule(seen, settings)]
    found += [Check("unread", False, line[:200], "tell this project", advice=True) for line in seen.unread]
    return found
