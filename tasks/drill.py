"""A backup set tried out: restored into a throw-away stack beside the live one, and counted there."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import deploy

from webui_stack.model.check import Check
from webui_stack.ops import operations, progress
from webui_stack.render import backup_requests
from webui_stack.settings.model import Settings
from webui_stack.transport import program
from webui_stack.transport.remote import RemoteError

from . import preflight, reports

_EXTERNAL = "expected a database of the stack's own, got database_url; try out its backup where that is made"

_ELSEWHERE = "none here: the host with the data has the sets"


@deploy("Drill")
def hold(settings: Settings) -> None:
    """Ensure the set `restore_set` can be restored: all of its users, chats, files and keys are there, and it serves.

    The live stack is not touched, and nothing is left of the other one. In a swarm the host with the data has the sets,
    and the others have nothing to do. Every host is in the run's report.
    """
    operations.gate(name="Restore a set into a throw-away stack", check=lambda: _problems(settings), at_execution=True)


def _problems(settings: Settings) -> list[str]:
    try:
        checks = run(settings, remembers=True) if settings.runs("data") else [Check("set", True, _ELSEWHERE)]
    except RemoteError as error:  # of the host, and not of the set
        return str(error).splitlines()
    reports.add("drill", "", checks)
    return [f"failed  {check}" for check in checks if check.is_fault]


def run(settings: Settings, *, remembers: bool) -> list[Check]:
    """What was seen of the set in a throw-away stack of the settings' images.

    With `remembers` the host notes the outcome, for status. Raises `RemoteError` where the host could not say, such as
    by a Docker that gives no answer.
    """
    if settings.database_kind == "external":
        return [_shown(Check("set", False, _EXTERNAL))]
    host.log("restoring the set beside the live stack; as long as a start takes, and a minute for each 10 GB")
    found = program.call(
        preflight.observation().host,
        "drill",
        backup_requests.drill_request(settings, remembers=remembers),
        lambda event: host.log(progress.line(event.text, event.done, event.total)),
    )
    return [_shown(Check(one["name"], one["word"] == "ok", one["seen"])) for one in found]


def _shown(check: Check) -> Check:
    host.log(f"{'ok      ' if check.ok else 'failed  '}{check}")
    return check
