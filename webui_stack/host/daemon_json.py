"""daemon.json while it is replaced: the new one waits beside it, the earlier one is kept, and a mark says so."""

from __future__ import annotations

import json
import posixpath
from typing import Any

from . import dockerd
from .files import Files

# What the mark says: whether there was a daemon.json before, which is in `daemon.json.before` then.
_HAD, _NONE = "had", "none"
_LIVE = "live-restore"


class DaemonJson:
    """The file, with its mode, owner, ACL and SELinux label; a link at its path stays. All methods raise `HostError`.

    Each step is on the disk before its method returns. Whenever one is cut off, the mark and the file beside it tell
    the next run what to go back to.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._path = files.resolved(dockerd.DAEMON_JSON)
        self.new, self._before = f"{self._path}.new", f"{self._path}.before"

    @property
    def is_changing(self) -> bool:
        """Whether a change is under way, or was cut off."""
        return self._files.exists(dockerd.MARK)

    def prepare(self, text: str) -> None:
        """Ensure the text waits at `new`."""
        self._write(self.new, text)

    def keep(self) -> None:
        """Ensure the earlier file is kept, and that the mark says so.

        A change that was cut off has kept it already. Where that has put it back, or was done, the file in place is one
        that Docker runs with.
        """
        if self._is_kept():
            return
        content = self._files.read(self._path)
        if content is not None:
            self._write(self._before, content.decode("utf-8", "surrogateescape"))
        self._files.write(dockerd.MARK, f"{_NONE if content is None else _HAD}\n")

    def abandon(self) -> None:
        """Ensure nothing is left of a change that fails before it has begun. The files of a change that was cut off
        stay."""
        self._files.remove(self.new)
        if not self.is_changing:
            self._files.remove(self._before)

    def replace(self) -> None:
        """Ensure the text that waits is in place."""
        self._files.rename(self.new, self._path)

    def put(self, text: str) -> None:
        """Ensure the text is in place, for the moment: the earlier file stays kept."""
        self._write(self._path, text)

    def bridge(self, text: str) -> str | None:
        """The earlier file with live-restore, which the new one, `text`, has; None where the earlier one has it too.

        Docker ends containers that have run on without it, unless it starts with live-restore (moby,
        daemon/daemon.go, `restore`). It is made of what is kept, so that a run after a crash has it as well.
        """
        earlier, new = _parsed(self._earlier()), _parsed(text)
        if earlier is None or new is None or new.get(_LIVE) is not True or earlier.get(_LIVE) is True:
            return None
        return json.dumps({**earlier, _LIVE: True}, ensure_ascii=False) + "\n"

    def put_back(self) -> None:
        """Ensure the earlier file is in place, or none where there was none. The mark stays."""
        if self._mark() == _NONE:
            self._files.remove(self._path)
        elif self._files.exists(self._before):
            self._files.rename(self._before, self._path)

    def forget(self) -> None:
        """Ensure nothing is kept: the file in place is the one that counts."""
        self._files.remove(self._before)
        self._files.remove(dockerd.MARK)  # last: nobody looks for the rest without it

    # --- Below

    def _mark(self) -> str | None:
        text = self._files.read_text(dockerd.MARK)
        return None if text is None else text.strip()

    def _is_kept(self) -> bool:
        mark = self._mark()
        return mark is not None and (mark == _NONE or self._files.exists(self._before))

    def _earlier(self) -> str:
        """The text of the earlier file, wherever that is; "" where there was none."""
        if self._mark() == _NONE:
            return ""
        kept = self._files.read(self._before)
        content = self._files.read(self._path) if kept is None else kept
        return (content or b"").decode("utf-8", "surrogateescape")

    def _write(self, path: str, text: str) -> None:
        found = self._files.stat(self._path)
        mode, owner = (found.mode, found.owner) if found else (0o644, None)
        folder = posixpath.dirname(path)
        if not self._files.exists(folder):
            self._files.make_folder(folder, mode=0o755)
        attributes = self._files.attributes(self._path)
        content = text.encode("utf-8", "surrogateescape")
        self._files.write(path, content, mode=mode, owner=owner, attributes=attributes)


def _parsed(text: str) -> dict[str, Any] | None:
    """The keys of a daemon.json; None where it is no JSON object. Docker takes an empty file for one without keys."""
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
