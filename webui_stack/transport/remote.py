"""A command on a host outside of facts and operations: with their privileges, and never shown.

pyinfra prints what facts return with -vvv and counts what operations run as a change. Reading a
password or holding a lease must do neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyinfra.api import Host
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.connectors.util import CommandOutput

from webui_stack.transport import access
from webui_stack.transport.frame import Frame, FrameError


class RemoteError(Exception):
    """The command failed, and the text is what it wrote to its error output; or its answer did not arrive whole."""


def run(host: Host, command: str, stdin: Sequence[str] = ()) -> list[str]:
    """The lines `command` prints, run by a shell as the host's data say (`_sudo`, ...), with these lines to read.

    All else that the host's login shell prints is skipped. [] is the answer of a command that printed nothing, never a
    missing one. Raises `RemoteError`, or what the connection raises when it is lost.
    """
    frame = Frame()
    status, output = attempt(host, frame.command(command), stdin)
    if not status:
        raise RemoteError(output.stderr)
    try:
        return frame.lines(output.stdout_lines)
    except FrameError as error:
        raise RemoteError(str(error)) from None


def attempt(host: Host, command: str, stdin: Sequence[str] = (), *, shown: bool = False) -> tuple[bool, CommandOutput]:
    """Run the command as `run` does: whether it succeeded, and all it printed.

    `shown` leaves it to pyinfra's `-v` whether command and output are seen, as an operation's are.
    """
    arguments: Any
    arguments, _ = pop_global_arguments(host.state, host, {"_stdin": list(stdin)} if stdin else {})
    return host.run_shell_command(
        command,
        print_output=shown and host.state.print_output,
        print_input=shown and host.state.print_input,
        **{key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS},
    )


def why_not_root(host: Host) -> str | None:
    """Why commands do not run as root on this host, in one line; None where that is not why something failed.

    Asks with the SSH user's own rights, so it answers where `run` can't.
    """
    arguments: Any
    arguments, _ = pop_global_arguments(host.state, host, {})
    frame = Frame()
    plain = {**arguments, "_sudo": False, "_su_user": None, "_doas": False, "_sudo_password": None}
    try:
        _, output = host.run_shell_command(
            frame.command(access.COMMAND),
            print_output=False,
            print_input=False,
            **{key: value for key, value in plain.items() if key in CONNECTOR_ARGUMENT_KEYS},
        )
        found = frame.lines(output.stdout_lines)
    except Exception:  # the connection itself is broken, and whoever asked has an error that says so
        return None
    password = arguments.get("_sudo_password") or host.connector_data.get("prompted_sudo_password")
    return access.refusal(
        access.parse(found),
        uses_sudo=bool(arguments.get("_sudo")),
        has_password=bool(password),
        folder=str(arguments.get("_temp_dir") or host.get_temp_dir_config()),  # type: ignore[no-untyped-call]
    )
