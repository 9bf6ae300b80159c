"""A backup set tried out: restored into a throw-away stack beside the live one, and counted there."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import deploy

from tasks import preflight, reports
from webui_stack import operations, remote, templates
from webui_stack.check import Check
from webui_stack.settings import Settings


@deploy("Drill")
def hold(settings: Settings) -> None:
    """Ensure the set `restore_set` can be restored: all of its users, chats, files and keys are there, and it serves.

    The live stack is not touched, and nothing is left of the other one. Every host is in the run's report.
    """
    operations.gate(name="Restore a set into a throw-away stack", check=lambda: _problems(settings), at_execution=True)


def _problems(settings: Settings) -> list[str]:
    checks = run(settings)
    reports.add("drill", "", checks)
    return [f"failed  {check}" for check in checks if check.is_fault]


def run(settings: Settings) -> list[Check]:
    """What was seen of the set in a throw-away stack of the settings' images."""
    host.log("restoring the set beside the live stack; as long as a start takes, and a minute for each 10 GB")
    lines = remote.run(preflight.observation().host, "sh -s", templates.drill_script(settings))
    checks = [_check(line) for line in lines]
    for check in checks:
        host.log(f"{'ok      ' if check.ok else 'failed  '}{check}")
    return checks


def _check(line: str) -> Check:
    try:
        name, word, seen = line.split("\t")
    except ValueError:  # what a command has written to its error output
        return Check("drill", False, line)
    return Check(name, word == "ok", seen)
