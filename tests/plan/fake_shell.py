"""What pyinfra's `@fake` connector leaves out.

A shell prints an answer in a frame (`webui_stack.transport.frame`); the host's program is called by a channel
(`webui_stack.transport.channel`).
"""

from __future__ import annotations

import os
import re
from typing import Any

from pyinfra.api import Host
from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from webui_stack.host import protocol
from webui_stack.ops import output
from webui_stack.transport import channel

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
    connect = channel._run

    def connected(host: Host, line: str, timeout_s: float) -> Any:
        return _Called(host, line) if isinstance(host.connector, FakeConnector) else connect(host, line, timeout_s)

    channel._run = connected


class _Called:
    """A host's program at a verb that does nothing, lists nothing and ends well; by names of paramiko's `Channel`.

    What a verb of a host answers is in the host's `fake_results`.
    """

    def __init__(self, host: Host, line: str) -> None:
        (mark,) = set(re.findall(r"MARK=(answer-[0-9a-f]{32})", line))
        (verb,) = set(re.findall(r"-I -S /\S+/[0-9a-f]{16} (\w+)", line))
        # The lease changes nothing of the host's own, so a run that only asks is as short as without this line.
        if verb.startswith("lease_") or verb == "deploy_log":
            host.log(f"asked the verb {verb}", log_func=output.told)
        else:
            host.log(f"called the verb {verb}")
        self._said, self._asked = f"\n{mark}\npython\n".encode(), b""
        results: dict[str, object] = {"lease_take": {"other": None, "busy": None}, "releases": []}
        results |= host.data.get("fake_results", {})
        self._result = results.get(verb)

    def recv(self, nbytes: int) -> bytes:
        said, self._said = self._said[:nbytes], self._said[nbytes:]
        return said

    def sendall(self, s: bytes) -> None:
        self._asked += s
        if self._asked.endswith(b"\n"):
            token = protocol.Request.read("", self._asked.decode()).token
            self._said += f"{protocol.written(token, protocol.Result(self._result))}\n".encode()

    def shutdown_write(self) -> None:
        """It reads no more than its request."""

    def settimeout(self, timeout: float | None) -> None:
        """Nothing takes long here."""

    def close(self) -> None:
        """Nothing is open."""
