"""What ends at the next boot what a power cut or a crash has cut off, with no operator in reach: a systemd unit.

It is there only while a verb is in the middle of something. systemd reads it at the boot itself, so that nothing has to
be told to systemd before.
"""

from __future__ import annotations

import sys
from pathlib import Path

from . import dockerd
from .files import Files
from .protocol import PLAIN, Request
from .system import System

FOLDER = "/etc/systemd/system"
UNIT = "open-webui-stack-recover.service"
VERB = "recover"
_PATH = f"{FOLDER}/{UNIT}"
_WANTS = f"{FOLDER}/multi-user.target.wants"
_LIMIT_S = 120
# Docker's start waits for this unit, and happens whether or not it succeeds (systemd.unit(5), Before=). The socket's
# does not: it comes before all ordinary services.
_TEXT = """\
# Written by open-webui-stack, which removes it once the change that it is for has ended.
[Unit]
Description=End a change by open-webui-stack that was cut off
Before={docker}

[Service]
Type=oneshot
ExecStart={python} -I -S {program} {verb} plain
StandardInputText={request}
TimeoutStartSec={limit_s}
"""


class Recovery:
    """The unit on this host. All methods raise `HostError`."""

    def __init__(self, system: System, files: Files) -> None:
        self._system, self._files = system, files

    def arm(self) -> bool:
        """Ensure this very program runs the verb `recover` at the next boot; False without systemd.

        The program's folder stays as long as the unit names it (`webui_stack.ops.program`).
        """
        if not self._system.has_systemd():
            return False
        text = _TEXT.format(
            docker=dockerd.UNIT,
            python=sys.executable,
            program=Path(__file__).resolve().parents[1],
            verb=VERB,
            request=Request(VERB, PLAIN).line(),
            limit_s=_LIMIT_S,
        )
        self._files.write(_PATH, text, mode=0o644)
        if not self._files.exists(_WANTS):
            self._files.make_folder(_WANTS, mode=0o755)
        self._files.link(f"{_WANTS}/{UNIT}", _PATH)
        return True

    def disarm(self) -> None:
        """Ensure the unit is not there."""
        self._files.remove(f"{_WANTS}/{UNIT}")
        self._files.remove(_PATH)
