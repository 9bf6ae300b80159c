"""Open WebUI's data folder, with its database of SQLite, as Open WebUI's own image sees it (dataset.py)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from ..engine import NewContainer, Output, ProgramFailed
from ..errors import HostError
from .helper import Helper

PROGRAM = Path(__file__).with_name("dataset.py")
_FOLDER, _SET = "/app/backend/data", "/set"
COUNTED = ("users", "chats", "files", "uploads")


@dataclass(frozen=True)
class Schema:
    """How an Open WebUI's migrations stand to those of the data.

    "none" is no data yet; "older" data are migrated at the start, "newer" ones this Open WebUI does not know. `there`
    and `wanted` are revisions of Alembic, joined by commas.
    """

    word: Literal["none", "same", "older", "newer"]
    there: str = ""
    wanted: str = ""


class Dataset:
    """Asks an Open WebUI, by its `image`. Each method fails where that gives no whole answer; an error is no answer."""

    def __init__(self, helper: Helper, image: str) -> None:
        self._helper, self._image = helper, image

    def save(self, source: str, target: BinaryIO, left_out: Sequence[str] = ()) -> list[str]:
        """Write the data folder, in the volume or folder `source`, to `target` as a tar, less the folders `left_out`.

        Open WebUI may run meanwhile. Returns a line for each entry that is no file, folder or link: they are left out.
        """
        done = self._run("open-webui.tar", ["save", *left_out], [f"{source}:{_FOLDER}"], stdout=target)
        return [line for line in _text(done.stderr).splitlines() if line.startswith("left out ")]

    def schema(self, source: str) -> Schema:
        """How its migrations stand to those of the database in the volume or folder `source`."""
        return _schema(self._run("schema", ["schema"], [f"{source}:{_FOLDER}"]))

    def schema_of(self, heads: str) -> Schema:
        """How its migrations stand to a database elsewhere that is at `heads`; "" for one that nobody migrated."""
        return _schema(self._run("schema", ["schema", heads], []))

    def check(self, folder: str, kind: Literal["sqlite", "postgres"]) -> list[str]:
        """A line for each reason not to trust the set in `folder`, or not to run it by this image with such a database.

        [] is a set that was read, all of it, and is as its manifest says.
        """
        return _text(self._run("set", ["check", kind], [f"{folder}:{_SET}:ro"]).stdout).splitlines()

    def describe(self, folder: str, facts: Mapping[str, str]) -> bytes:
        """The manifest of the set in `folder`, whose parts are read for it. `facts` are what the caller knows."""
        command = ["describe", *(f"{name}={value}" for name, value in facts.items())]
        written = self._run("manifest.json", command, [f"{folder}:{_SET}:ro"]).stdout
        try:
            parts = json.loads(written)["parts"]
        except (ValueError, KeyError, TypeError):
            parts = None
        if not parts:
            raise _unanswered("manifest.json", "no description of the set")
        return written

    def count(self, source: str, kind: Literal["sqlite", "postgres"]) -> dict[str, int]:
        """How many of `COUNTED` there are in the volume or folder `source`; with Postgres, uploads only."""
        lines = _text(self._run("count", ["count", kind], [f"{source}:{_FOLDER}"]).stdout).splitlines()
        wanted = COUNTED if kind == "sqlite" else COUNTED[-1:]
        try:
            found = {name: int(number) for name, number in (line.split(" ") for line in lines)}
        except ValueError:
            found = {}
        if tuple(found) != wanted:
            raise _unanswered("count", " ".join(lines) or "nothing")
        return found

    def _run(
        self, what: str, arguments: Sequence[str], volumes: Sequence[str], *, stdout: BinaryIO | None = None
    ) -> Output:
        command = ("-", *arguments)
        new = NewContainer(self._image, entrypoint=["python3"], command=command, volumes=volumes, network="none")
        try:
            return self._helper.run(new, stdin=PROGRAM.read_bytes(), stdout=stdout)
        except ProgramFailed as error:
            said = _text(error.errors).strip().rpartition("\n")[2]
            raise _unanswered(what, said or f"exit code {error.exit_code}") from None


def _schema(done: Output) -> Schema:
    text = _text(done.stdout).strip()
    word, *revisions = text.split(" ")
    if word == "none" and not revisions:
        return Schema("none")
    if word in ("same", "older", "newer") and len(revisions) == 2 and all(revisions):
        return Schema(word, *revisions)  # type: ignore[arg-type]
    raise _unanswered("schema", text or "no answer")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _unanswered(what: str, got: str) -> HostError:
    return HostError(what, expected="an answer of Open WebUI's image", got=got, do="fix that, and run it again")
