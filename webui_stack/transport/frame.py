"""An answer of a host to this project's code, told apart from whatever else its shell prints. Pure.

A login script (~/.bashrc, /etc/profile) may print before the command does, and a connection may end in the middle of
an answer. So the host prints each answer between two marks that only this call knows, with the answer's length.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

_MARK = "answer-"
# The command runs in a subshell, so that its `exit` ends only itself. `$(...)` drops line breaks at the end: hence the
# dot. A command that fails prints what it would have printed alone.
_SCRIPT = """\
answer() ( {command}
)
got=$(answer; status=$?; printf .; exit $status)
status=$?
LC_ALL=C got=${{got%.}}
if [ $status != 0 ]; then printf %s "$got"; exit $status; fi
printf '\\n%s %s\\n%s\\n%s\\n' {token} ${{#got}} "$got" {token}"""

_MISSING = (
    "answer of the host: expected its mark, got %s; does a login script (~/.bashrc, /etc/profile) or a ForceCommand "
    "end the shell, or print bytes that are no UTF-8?"
)
NOTHING = _MISSING % "nothing at all"


class FrameError(Exception):
    """The host's answer can't be used."""


class NoAnswerError(FrameError):
    """No answer came. An answer without a line is one, and not this."""


class BrokenAnswerError(FrameError):
    """An answer began, and is not what the host sent."""


class Frame:
    """The frame of one call."""

    def __init__(self) -> None:
        self.token = f"{_MARK}{secrets.token_hex(16)}"

    def command(self, command: str) -> str:
        """The shell command that runs `command` and prints its output in this frame; its exit status is the same."""
        return _SCRIPT.format(command=command, token=self.token)

    def lines(self, output: Sequence[str]) -> list[str]:
        """The lines of the answer, [] for none, from all that the host printed.

        Raises `NoAnswerError` and `BrokenAnswerError`.
        """
        start = next((number for number, line in enumerate(output) if line.startswith(f"{self.token} ")), None)
        if start is None:
            last = next((line for line in reversed(output) if line.strip()), "")
            got = f"{last[:200]!r} and no answer" if last else "nothing at all"
            raise NoAnswerError(_MISSING % got)
        if self.token not in output[start + 1 :]:
            raise BrokenAnswerError(
                "answer of the host: expected all of it, got its beginning; was the connection lost, or does it hold "
                "bytes that are no UTF-8? Run it again"
            )
        text = "\n".join(output[start + 1 : output.index(self.token, start + 1)])
        size = output[start].removeprefix(f"{self.token} ")
        # Whether a shell counts bytes or characters depends on the shell and its locale.
        if size not in (str(len(text.encode())), str(len(text))):
            raise BrokenAnswerError(
                f"answer of the host: expected {size} bytes, got {len(text.encode())}; something else printed into it: "
                "does a login script (~/.bashrc, /etc/profile) leave a program in the background?"
            )
        lines = text.split("\n")
        return lines if lines[-1] else lines[:-1]
