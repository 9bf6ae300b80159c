"""People's data from SQLite into the stack's own Postgres, which several processes need."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import deploy

from webui_stack.ops import operations, run, session
from webui_stack.render import stack_requests
from webui_stack.settings.model import Settings

from . import backup, preflight


class _Moved(set[str]):
    """Hosts whose data this run moves."""


@deploy("Migrate")
def check(settings: Settings) -> None:
    """Ensure people's data are in SQLite, or were moved already, and that the settings want Postgres."""
    operations.gate(name="Check that there is something to move", check=lambda: _refusals(settings))


@deploy("Migrate")
def copy(settings: Settings) -> None:
    """Ensure a new Postgres has every row of the SQLite database, with Open WebUI stopped so that none is added.

    A backup set is made first, and the rows are taken from it. Files stay in their volume; vectors are not copied.
    Does nothing on a host that is on Postgres already. Fails, with the stack running as before, when a row can't be
    copied.
    """
    if preflight.observation().survey().database == "postgres":
        return
    run.current().once(_Moved).add(host.name)
    backup.put(stack_requests.on_sqlite(settings))
    operations.migrate(name="Copy the rows into Postgres", arguments=stack_requests.migrate_request(settings))


@deploy("Migrate")
def settle(settings: Settings) -> None:
    """Ensure the backup's timer is that of a stack on Postgres, and nothing tells of the move any more.

    Also of a move by a run before, which ended between the move and this. Does nothing where nothing was moved.
    """
    if host.name not in run.current().once(_Moved) and not preflight.observation().survey().migrating:
        return
    backup.put(settings)
    operations.migrate_settle(name="Remove the mark of the move", stack_dir=settings.stack_dir)


def _refusals(settings: Settings) -> list[str]:
    survey = preflight.observation().survey()
    if survey.cut_off:
        return session.unended(survey)
    found = []
    if settings.database_kind != "postgres":
        found.append(
            "migrate: expected settings with the stack's own Postgres, got none; set database = 'postgres', or more "
            "than one open_webui_replicas"
        )
    if survey.database not in ("sqlite", "postgres"):
        found.append(f"migrate: expected people's data in SQLite, got {survey.database or 'none'}; run deploy.py")
    elif survey.database == "postgres":
        host.log("people's data are in Postgres already")
    return found
