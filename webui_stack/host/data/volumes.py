"""Two folders of people's data in volumes: Open WebUI's and Valkey's. A set's data take their place, or leave it again.

Nobody writes the data meanwhile: the caller has stopped who does. The names on the disk are those of `folders.py`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from ..engine import NewContainer, Output, ProgramFailed
from ..errors import HostError
from . import folders
from .helper import Helper

OPEN_WEBUI, VALKEY = "/app/backend/data", "/valkey"
"""Where the helper's container has them."""
BOTH = (OPEN_WEBUI, VALKEY)
_PROGRAM = Path(__file__).with_name("folders.py")
FILL_OPEN_WEBUI = (
    *("tar", "-x", "-C", f"{OPEN_WEBUI}/{folders.NEW}", "--numeric-owner", "--same-permissions", "--same-owner"),
    *("-f", "-"),
)
# Valkey does not start beside a file of somebody else.
FILL_VALKEY = (
    *("sh", "-euc"),
    f"""\
cd {VALKEY}
cat >{folders.NEW}/dump.rdb
chown "$(stat -c %u:%g .)" {folders.NEW}/dump.rdb
""",
)


@dataclass(frozen=True)
class State:
    """What a folder has. `data` names those of its files that only people's data have.

    "whole" is one copy and nothing beside it, "beside" new data that wait, "swapped" new data in place with all the
    earlier ones beside them. "half" is a swap, or an undo, that was cut off.
    """

    where: Literal["whole", "beside", "half", "swapped"]
    data: tuple[str, ...]


class Volumes:
    """Open WebUI's data in `open_webui` and Valkey's in `valkey`, each the name of a volume, or a folder of the host.

    `open_webui` is "" where people's files are elsewhere, such as in a bucket: it is in none of these then. `image` is
    Open WebUI's own: it has Python, sh and tar. `kept` are folders below Open WebUI's data that no set has and that
    stay. Every method fails where Docker gives no answer or the program does not succeed. What was done by then can be
    undone, or the same method called again.
    """

    def __init__(self, helper: Helper, image: str, open_webui: str, valkey: str, kept: Sequence[str] = ()) -> None:
        self._helper, self._image, self._kept = helper, image, tuple(kept)
        found = {OPEN_WEBUI: open_webui, VALKEY: valkey}
        self.which = tuple(name for name in BOTH if found[name])
        """Those of the two that there are."""
        self._mounts = tuple(f"{found[name]}:{name}" for name in self.which)

    def look(self) -> dict[str, State]:
        """What the folders have."""
        return self._act("look", self.which)

    def make(self, which: Collection[str]) -> None:
        """Ensure an empty place beside the data. Fails where earlier data wait to be put back or forgotten."""
        self._act("make", which)

    def set_aside(self, which: Collection[str]) -> None:
        """Ensure no earlier data are in the way of others; they are kept until `forget`. One folder after the other.

        Fails where data are half swapped.
        """
        self._act("set aside", which)

    def fill(self, which: str, part: BinaryIO) -> None:
        """Fill the place beside the data with a part of a set, from its first byte: open-webui.tar or valkey.rdb."""
        if which == OPEN_WEBUI:
            self._run(FILL_OPEN_WEBUI, part)
        else:
            self._run(FILL_VALKEY, part)

    def swap(self, which: Collection[str]) -> None:
        """Ensure the new data are in place and all the earlier ones beside them. A swap that was cut off goes on."""
        self._check("swap", which, "swapped")

    def undo(self, which: Collection[str]) -> None:
        """Ensure the data from before the swap are in place, and no others beside them, whatever was cut off."""
        self._check("undo", which, "whole")

    def forget(self, which: Collection[str]) -> None:
        """Ensure only the data in place are there, in one folder after the other.

        Fails where they are half swapped: then both halves are needed.
        """
        self._check("forget", which, "whole")

    def _check(self, action: str, which: Collection[str], wanted: str) -> None:
        for folder, state in self._act(action, which).items():
            if state.where != wanted:
                raise HostError(
                    f"{action} of {folder}", expected=f"its data {wanted}", got=state.where, do="run it again"
                )

    def _act(self, action: str, which: Collection[str]) -> dict[str, State]:
        asked = {name: list(self._kept) if name == OPEN_WEBUI else [] for name in which}
        command = ("python3", "-", action, json.dumps(asked))
        return _read(action, asked, self._run(command, _PROGRAM.read_bytes()).stdout)

    def _run(self, command: Sequence[str], stdin: bytes | BinaryIO) -> Output:
        new = NewContainer(
            self._image, entrypoint=command[:1], command=command[1:], volumes=self._mounts, network="none"
        )
        try:
            return self._helper.run(new, stdin=stdin)
        except ProgramFailed as error:
            said = (error.errors or error.output).decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise HostError(
                "the volumes of the data",
                expected=f"`{' '.join(command[:1])}` to change them",
                got=said or f"exit code {error.exit_code}",
                do="fix that (a full disk?), and run it again",
            ) from None


def _read(action: str, which: Collection[str], answer: bytes) -> dict[str, State]:
    """The state of each folder. An answer of another form is an error."""
    try:
        found = json.loads(answer)
        states = {name: _state(found[name]) for name in which}
    except (ValueError, KeyError, TypeError):
        raise HostError(
            "the volumes of the data",
            expected=f"what is there after `{action}`",
            got="another answer",
            do="run it again",
        ) from None
    return states


def _state(found: Mapping[str, Sequence[str]]) -> State:
    beside, data = set(found["beside"]), tuple(found["data"])
    if folders.PART in beside or (folders.OLD in beside and beside & {folders.NEW, folders.TRASH}):
        return State("half", data)
    if folders.OLD in beside:
        return State("swapped", data)
    return State("beside" if folders.NEW in beside else "whole", data)
