"""What ends at the next boot what a power cut or a crash has cut off, with no operator in reach: systemd units.

A unit is there only while a verb is in the middle of something. systemd reads it at the boot itself, so that nothing
has to be told to systemd before.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import dockerd
from .files import Files
from .protocol import PLAIN, Request
from .system import System

FOLDER = "/etc/systemd/system"
VERB = "recover"
_WANTS = f"{FOLDER}/multi-user.target.wants"


@dataclass(frozen=True)
class Unit:
    """A unit for systemd. `order` is how it stands to Docker's; it may take `limit_s` seconds."""

    name: str
    order: str
    limit_s: int


# Docker's start waits for this unit, and happens whether or not it succeeds (systemd.unit(5), Before=). The socket's
# does not: it comes before all ordinary services.
DOCKER = Unit("open-webui-stack-recover.service", f"Before={dockerd.UNIT}", 120)
"""For a change of Docker's configuration."""
# Going back can need a backup set of what served, and then a start of every service.
STACK = Unit("open-webui-stack-recover-stack.service", f"Wants={dockerd.UNIT}\nAfter={dockerd.UNIT}", 4 * 3600)
"""For a stack: Docker has to run."""
UNITS = (DOCKER, STACK)
_TEXT = """\
# Written by open-webui-stack, which removes it once the change that it is for has ended.
[Unit]
Description=End a change by open-webui-stack that was cut off
{order}

[Service]
Type=oneshot
ExecStart={python} -I -S {program} {verb} plain
StandardInputText={request}
TimeoutStartSec={limit_s}
"""


class Recovery:
    """A unit on this host, by which the verb `recover` gets `arguments`. All methods raise `HostError`."""

    def __init__(
        self, system: System, files: Files, unit: Unit = DOCKER, arguments: Mapping[str, str] | None = None
    ) -> None:
        self._system, self._files, self._unit, self._arguments = system, files, unit, dict(arguments or {})

    def arm(self) -> bool:
        """Ensure this very program runs the verb `recover` at the next boot; False without systemd.

        The program's folder stays as long as the unit names it (`webui_stack.transport.program`).
        """
        if not self._system.has_systemd():
            return False
        text = _TEXT.format(
            order=self._unit.order,
            python=sys.executable,
            program=Path(__file__).resolve().parents[1],
            verb=VERB,
            # systemd takes a backslash or % for the begin of more (systemd.exec(5)).
            request=Request(VERB, PLAIN, self._arguments).line().replace("\\", "\\\\").replace("%", "%%"),
            limit_s=self._unit.limit_s,
        )
        self._files.write(f"{FOLDER}/{self._unit.name}", text, mode=0o644)
        if not self._files.exists(_WANTS):
            self._files.make_folder(_WANTS, mode=0o755)
        self._files.link(f"{_WANTS}/{self._unit.name}", f"{FOLDER}/{self._unit.name}")
        return True

    def disarm(self) -> None:
        """Ensure the unit is not there."""
        self._files.remove(f"{_WANTS}/{self._unit.name}")
        self._files.remove(f"{FOLDER}/{self._unit.name}")
