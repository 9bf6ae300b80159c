"""How all hosts are, as a table and a page."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pyinfra import host, inventory, state
from pyinfra.api import deploy
from rich.text import Text

from webui_stack.artifacts.registry import Registries
from webui_stack.documents import alarm_document, backup_document
from webui_stack.documents.alarm_document import OpenAlarm
from webui_stack.documents.backup_document import Ages
from webui_stack.documents.document import IncompleteError
from webui_stack.model.check import Check
from webui_stack.ops import cli_arguments, facts, operations, run
from webui_stack.render import backup_requests
from webui_stack.reports import report, status, status_page, status_table, table
from webui_stack.reports.status import Status
from webui_stack.settings import image_reference
from webui_stack.settings.model import Settings
from webui_stack.transport import program
from webui_stack.transport.remote import RemoteError
from webui_stack.verify import proof

from . import preflight, sources

_BELOW = Path("reports")


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
    ages: Ages | str | None = None
    if survey.services.containers:
        _ask(settings)
        proved = proof.run(observation, proof.at_once(settings), preflight.data_node(), preflight.everywhere())
        checks, told = proved.checks, proved.told
        ages = _ages(settings) if settings.runs("data") else None
    locked = sources.wanted(settings, survey.machine)
    found = status.of(settings, survey, locked, checks, told, _alarms(), ages)
    found = replace(found, drift=list(map(cli_arguments.as_typed, found.drift)))
    run.current().once(_Found)[host.name] = found
    return []


def _ask(settings: Settings) -> None:
    """Begin to ask the registries of this host's images for releases. One that loads images from a bundle has none."""
    if settings.image_source == "registry":
        for image in settings.all_images.values():
            run.current().once(Registries).ask(*image_reference.place_of(image))


def _with_releases(host: Status) -> Status:
    registries = run.current().once(Registries)
    found = {}
    for service, one in host.releases.items():
        answer = registries.answer(*image_reference.place_of(one.image))
        found[service] = one if answer is None else one.told(answer)
    return replace(host, releases=found)


def _alarms() -> list[OpenAlarm] | str:
    """The open alarms of this host; or why they could not be read, which is no failure of the look."""
    target = preflight.observation().host
    try:
        return alarm_document.parse_open(program.call(target, "alarms", {}))
    except (RemoteError, IncompleteError) as error:
        return facts.why(target, error)


def _ages(settings: Settings) -> Ages | str:
    """When this host's last backup and drill were; or why that could not be read, which is no failure of the look."""
    target = preflight.observation().host
    try:
        return backup_document.parse_ages(
            program.call(target, "backup_ages", backup_requests.backup_ages_request(settings))
        )
    except (RemoteError, IncompleteError) as error:
        return facts.why(target, error)


def _show() -> list[str]:
    found = run.current().once(_Found)
    targeted = [one.name for one in inventory if one in state.activated_hosts | state.failed_hosts]
    if host.name != next(name for name in targeted if name in found):
        return []
    unseen = Status(note="could not be looked at; its reason is above")
    hosts = {name: _with_releases(found.get(name, unseen)) for name in targeted}
    now = datetime.now(UTC)
    out = table.console(sys.stderr)
    out.print(status_table.of(hosts, now))
    for line in status_table.lines(hosts):
        out.print(Text(cli_arguments.as_typed(line)), soft_wrap=True)
    page = status_page.html(hosts, now)
    try:
        file = report.save("status.json", status.as_json(hosts), _BELOW)
        report.put(file.with_name("status.html"), page)
        report.put(_BELOW / "status.html", page)
    except OSError as error:
        return [f"status: can't write below {_BELOW}: {error}"]
    out.print(Text(f"status: {file}"), soft_wrap=True)
    out.print(Text(f"page: {_BELOW / 'status.html'}"), soft_wrap=True)
    return []
