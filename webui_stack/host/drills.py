"""The last good drill of this host: which set could be restored, and when that was tried."""

from __future__ import annotations

import json
from typing import NamedTuple

from .clock import Clock
from .errors import HostError
from .files import Files

PATH = "/var/lib/open-webui-stack/drill.json"
FORMAT = 1


class Drill(NamedTuple):
    """The set that was tried, and the moment, in seconds since 1970."""

    backup_set: str
    at_s: float


def note(files: Files, clock: Clock, backup_set: str) -> None:
    """Ensure this drill is known as the last good one. Raises `HostError` where that can't be written."""
    folder = PATH.rpartition("/")[0]
    if not files.exists(folder):
        files.make_folder(folder)
    files.write(PATH, json.dumps({"format": FORMAT, "set": backup_set, "at_s": clock.now()}) + "\n")


def last(files: Files) -> Drill | None:
    """The last good drill; None where there was none. Raises `HostError` for a file of another form."""
    text = files.read(PATH)
    if text is None:
        return None
    try:
        found = json.loads(text)
        if found["format"] == FORMAT:
            return Drill(str(found["set"]), float(found["at_s"]))
        got = f"format {found['format']}"
    except (ValueError, KeyError, TypeError):
        got = "another form"
    raise HostError(PATH, expected="the last drill", got=got, do="run runbooks/drill.py, which writes it again")
