"""What pyinfra's `@fake` connector leaves out: the frame that a shell prints an answer in (`webui_stack.frame`)."""

from __future__ import annotations

import os
import re

from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

# Printed by each fake host's login shell before any command's own output.
NOISE = "FAKE_LOGIN_SHELL_PRINTS"
# The answer of a host whose login shell ends before the command.
MUTE = "(no answer)"


def install() -> None:
    """Ensure fake hosts answer as a shell does: in a frame where the command asks for one."""
    answer = FakeConnector._lookup_response

    def framed(self: FakeConnector, command_str: str) -> tuple[bool, CommandOutput]:
        status, output = answer(self, command_str)
        noise = os.environ.get(NOISE, "").splitlines()
        token = re.search(r"answer-[0-9a-f]{32}", command_str)
        lines = output.stdout_lines
        if lines == [MUTE]:
            lines = []
        elif token and status:
            text = "\n".join([*lines, ""]) if lines else ""
            lines = ["", f"{token[0]} {len(text)}", *text.split("\n"), token[0]]
        found = [OutputLine("stdout", line) for line in [*noise, *lines]]
        return status, CommandOutput([*found, *[line for line in output if line.buffer_name == "stderr"]])

    FakeConnector._lookup_response = framed  # type: ignore[method-assign]
