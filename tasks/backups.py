"""The backup sets of all hosts, and where they are, as tables."""

from __future__ import annotations

import sys

from pyinfra import host, inventory, state
from pyinfra.api import deploy
from rich.text import Text

from webui_stack.artifacts import backup_set
from webui_stack.documents import backup_document
from webui_stack.documents.document import IncompleteError
from webui_stack.ops import facts, operations, run
from webui_stack.render import backup_requests
from webui_stack.reports import backups, report, table
from webui_stack.reports.backups import Backups
from webui_stack.settings.model import Settings
from webui_stack.settings.sources import SecretError
from webui_stack.transport import program
from webui_stack.transport.remote import RemoteError

from . import offsite, preflight


class _Found(dict[str, Backups]):
    """The sets that this run found on each host that it could look at."""


@deploy("Backup sets")
def show(settings: Settings) -> None:
    """Ensure this host's sets are in the list, which comes when all hosts were looked at.

    Changes nothing. Fails where a place could not be looked at; a set that is damaged is in the list. In a swarm each
    host is looked at: one that had the data earlier may have sets.
    """
    operations.gate(name="Look for backup sets", check=lambda: _look(settings), at_execution=True)
    operations.gate(name="Show the backup sets of all hosts", check=_show, at_execution=True)


def _look(settings: Settings) -> list[str]:
    addresses = {}
    if settings.runs("data"):
        repositories = backup_requests.repositories(settings)
        addresses = {place: one["address"] for place, one in zip(backups.REPOSITORIES, repositories, strict=False)}
    environments, refused = {}, {}
    for number, (place, address) in enumerate(addresses.items()):
        try:
            environments[address] = offsite.environment(settings, number)
        except SecretError as error:
            refused[place] = list(error.problems)
    request = backup_requests.backup_sets_request(settings, environments)
    target = preflight.observation().host
    try:
        answer = program.call(target, "backup_sets", request, lambda event: host.log(event.text))
        document = backup_document.parse(answer)
    except (RemoteError, IncompleteError) as error:
        return [facts.why(target, error)]
    folder = offsite.fetched(settings)
    here = backup_set.look(folder) if folder else None
    run.current().once(_Found)[host.name] = backups.of(document, here, addresses, refused)
    return []


def _show() -> list[str]:
    found = run.current().once(_Found)
    targeted = [one.name for one in inventory if one in state.activated_hosts | state.failed_hosts]
    if host.name == next(name for name in targeted if name in found):
        note = "could not be looked at; its reason is above"
        _print({name: found.get(name, Backups(note=note)) for name in targeted})
    return found[host.name].lines


def _print(hosts: dict[str, Backups]) -> None:
    out = table.console(sys.stderr)
    for name, one in hosts.items():
        out.print(
            Text(f"{name}: {backups.summary(one)}", style="red" if one.note or one.errors else "bold"), soft_wrap=True
        )
        if one.sets:
            out.print(backups.table(one))
        for line in backups.lines(name, one):
            out.print(Text(line), soft_wrap=True)
        out.print()
    page = report.save("backups.json", backups.as_json(hosts))
    out.print(Text(f"backup sets: {page}"), soft_wrap=True)
