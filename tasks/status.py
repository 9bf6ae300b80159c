"""How all hosts are, as a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from pyinfra import host, inventory, state
from pyinfra.api import deploy
from rich.text import Text

from webui_stack.model.check import Check
from webui_stack.ops import operations, run
from webui_stack.reports import report, status, table
from webui_stack.reports.status import Status
from webui_stack.settings.model import Settings
from webui_stack.verify import proof

from . import preflight, sources


class _Found(dict[str, Status]):
    """What this run found on each host that it could look at."""


@deploy("Status")
def show(settings: Settings) -> None:
    """Ensure this host is in the table, which comes when all hosts were looked at.

    Changes nothing, waits for nothing, and fails only where it can't look: what is wrong with a stack is in the
    table. Two operations, because pyinfra ends the first on all hosts before it starts the second.
    """
    operations.gate(name="Look at the host", check=lambda: _look(settings), at_execution=True)
    operations.gate(name="Show all hosts", check=_show, at_execution=True)


def _look(settings: Settings) -> list[str]:
    observation = preflight.observation()
    survey = observation.survey()
    checks: Sequence[Check] = []
    told: Mapping[str, str] = {}
    if survey.services.containers:
        at_once = settings.model_copy(update={"verify_timeout_s": 0, "verify_hold_s": 0})
        proved = proof.run(observation, at_once, preflight.lead(), preflight.everywhere())
        checks, told = proved.checks, proved.told
    locked = sources.wanted(settings, survey.machine)
    run.current().once(_Found)[host.name] = status.of(settings, survey, locked, checks, told)
    return []


def _show() -> list[str]:
    found = run.current().once(_Found)
    targeted = [one.name for one in inventory if one in state.activated_hosts | state.failed_hosts]
    if host.name != next(name for name in targeted if name in found):
        return []
    hosts = {name: found.get(name, Status(note="could not be looked at; its reason is above")) for name in targeted}
    out = table.console(sys.stderr)
    out.print(status.table(hosts))
    for line in [*status.differences(hosts), *status.warnings(hosts)]:
        out.print(Text(line), soft_wrap=True)
    page = report.save("status.json", status.as_json(hosts))
    out.print(Text(f"status: {page}"), soft_wrap=True)
    return []
