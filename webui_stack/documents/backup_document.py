"""Which backup sets are where, as a host and this machine tell of them; and what a set's manifest says. Pure."""

from __future__ import annotations

from functools import cache
from typing import Any, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from webui_stack.documents import document


class FoundSet(TypedDict):
    """A set in a folder. `size` is in bytes, None where nobody could see it.

    `manifest` is None where it could not be read; `sha256` is that file's. `problems` say why the set is not whole.
    """

    name: str
    size: int | None
    manifest: dict[str, Any] | None
    sha256: str
    problems: list[str]


class Folder(TypedDict):
    """A folder of sets. With `errors` it may have more sets.

    `newest` is what a restore chooses there, "" for none, and where `newest_unknown` says why nobody knows it.
    """

    errors: list[str]
    newest: str
    newest_unknown: str
    sets: list[FoundSet]


class Repository(TypedDict):
    """A restic repository: the `names` of the sets of `host`, and the other hosts that have sets there."""

    errors: list[str]
    host: str
    names: list[str]
    others: list[str]


class BackupSets(TypedDict):
    """What a host says of its sets; `now_s` is its time, in seconds since 1970. `repositories` are by address."""

    host: str
    now_s: int
    folder: Folder
    repositories: dict[str, Repository]


class Late(TypedDict):
    """What is too old by its schedule: "backup_age" or "drill_age", in words, and what to do."""

    name: str
    seen: str
    next_step: str


class Ages(TypedDict):
    """When a host's last backup and its last good drill were, in seconds since 1970, None for none.

    `now_s` is the host's time. With `errors`, not all of it is known.
    """

    now_s: float
    backup_at_s: float | None
    drill_at_s: float | None
    late: list[Late]
    errors: list[str]


class Image(TypedDict):
    """An image as a manifest names it."""

    reference: str


class Counts(TypedDict):
    """What is in Open WebUI's data, and the revision of their schema."""

    schema: str
    users: int
    chats: int
    files: int


class Manifest(TypedDict):
    """What is read of a manifest; a manifest has more. `images` are by container, in a swarm by service."""

    name: str
    host: str
    images: dict[str, Image]
    open_webui: Counts
    secrets: NotRequired[str]
    made_for: NotRequired[str]


def parse(content: object) -> BackupSets:
    """What a host answered. Raises `document.IncompleteError` where it is not whole."""
    return document.checked("backup_sets", _form(), content)


def parse_ages(content: object) -> Ages:
    """What a host answered. Raises `document.IncompleteError` where it is not whole."""
    return document.checked("backup_ages", _ages(), content)


def manifest(content: object) -> Manifest:
    """A set's manifest. Raises `document.IncompleteError` where it lacks something, or has another form."""
    return document.checked("manifest.json", _manifest(), content, do="restore another set")


# Each form takes a while to build, and most runs need none of them.
@cache
def _form() -> TypeAdapter[BackupSets]:
    return TypeAdapter(BackupSets)


@cache
def _ages() -> TypeAdapter[Ages]:
    return TypeAdapter(Ages)


@cache
def _manifest() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)
