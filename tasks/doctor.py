"""What is wrong with a stack, this project's or one made by hand, and where to look."""

from __future__ import annotations

from dataclasses import replace

from pyinfra import host
from pyinfra.api import deploy

from webui_stack.doctor import look
from webui_stack.ops import cli_arguments, operations
from webui_stack.settings.model import Settings

from . import reports


@deploy("Doctor")
def examine(settings: Settings) -> None:
    """Ensure there is no fault on this host; advice alone is no failure.

    Changes nothing, needs no preflight and no stack; every host is in the run's report. Two operations, because
    pyinfra ends the first on all hosts before it starts the second: only then can hosts be compared with each other.
    """
    operations.gate(name="Look at the host", check=lambda: look.look(host, settings), at_execution=True)
    operations.gate(
        name="Say what was found",
        check=lambda: _problems(settings),
        at_execution=True,
    )


def _problems(settings: Settings) -> list[str]:
    checks = [replace(check, next_step=cli_arguments.as_typed(check.next_step)) for check in look.judge(host, settings)]
    reports.add("doctor", settings.external_url, checks)
    return look.tell(host, checks)
