"""The backup sets of each host and where they are, as tables and JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from webui_stack.documents import backup_document
from webui_stack.documents.backup_document import BackupSets, Folder, FoundSet, Manifest, Repository
from webui_stack.documents.document import IncompleteError
from webui_stack.model import compose

HOST, RESTIC, SECOND, HERE = "host", "restic", "restic-2", "here"
"""The places of sets: `backup_dir` on the host, the restic repositories, and this machine's folder of fetched sets."""
REPOSITORIES = (RESTIC, SECOND)
"""The places that are restic repositories, in the order of their settings."""
WORDS = {
    HOST: "on the host",
    RESTIC: "in the restic repository",
    SECOND: "in the second restic repository",
    HERE: "on this machine",
}
# As host/backup_sets.py names a set.
_NAME = "%Y%m%dT%H%M%SZ"
# Digits of a digest in the table, as many as Docker shows of an id; the JSON has all.
_DIGITS = 12
_UNKNOWN = "?"
# What stands for a repository of which the host has said nothing: never for an empty one.
_SILENT: Repository = {
    "errors": ["restic: expected the host to list its snapshots, got nothing; run it again"],
    "host": "",
    "names": [],
    "others": [],
}


@dataclass(frozen=True)
class BackupSet:
    """A set, at all its `places`. Of a set that is in restic repositories alone, only the name is known.

    `made_at` is in UTC, "" where the name is no time. `age_s` counts by the host's clock. `made_on` is what the host
    called itself whose data these are. None, "" and nothing in `images` stand for what nobody could tell. `faults` has
    a line for each reason why the set may not be restored, by the place.
    """

    name: str
    made_on: str
    made_at: str
    age_s: int | None
    places: Sequence[str]
    size_bytes: int | None = None
    people: int | None = None
    chats: int | None = None
    files: int | None = None
    schema: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    secrets: str = ""
    made_for: str = ""
    faults: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        return [f"{WORDS[place]}: {line}" for place, lines in self.faults.items() for line in lines]


@dataclass(frozen=True)
class Backups:
    """The sets of one host, the newest first.

    `looked_at` are the places that were asked. A place with `errors` may have more sets than are listed. `newest` is
    the set that a restore of the newest takes on the host; `newest_unknown` says why nobody knows it. `others` are the
    hosts that have sets in the repositories, too. A host that could not be looked at has a `note` that says why.
    """

    sets: Sequence[BackupSet] = ()
    looked_at: Sequence[str] = ()
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    newest: str = ""
    newest_unknown: str = ""
    others: Sequence[str] = ()
    note: str = ""

    @property
    def lines(self) -> list[str]:
        """What went wrong at each place, a line each."""
        return [f"{WORDS[place]}: {line}" for place, lines in self.errors.items() for line in lines]


def of(
    answer: BackupSets,
    fetched: Folder | None,
    addresses: Mapping[str, str] | None = None,
    refused: Mapping[str, Sequence[str]] | None = None,
) -> Backups:
    """The sets by what the host said, and what this machine has `fetched`, None where it fetches none.

    `addresses` are those of the restic repositories, by place. `refused` says why a place could not be asked.
    """
    folder, why = answer["folder"], refused or {}
    told = {place: answer["repositories"].get(address, _SILENT) for place, address in (addresses or {}).items()}
    repositories = {place: one for place, one in told.items() if place not in why}
    found: dict[tuple[str, str], dict[str, FoundSet | None]] = {}
    for place, sets in ((HOST, folder["sets"]), (HERE, fetched["sets"] if fetched else [])):
        for one in sets:
            found.setdefault((one["name"], _made_on(one) or answer["host"]), {})[place] = one
    for place, repository in repositories.items():
        for name in repository["names"]:
            # Sets of two hosts may have one name: their timers strike at the same second.
            found.setdefault((name, repository["host"]), {})[place] = None
    errors: dict[str, Sequence[str]] = {
        HOST: folder["errors"],
        **{place: why[place] if place in why else one["errors"] for place, one in told.items()},
        HERE: fetched["errors"] if fetched else [],
    }
    return Backups(
        sets=[_set(name, on, places, answer["now_s"]) for (name, on), places in sorted(found.items(), reverse=True)],
        looked_at=[HOST, *told, *([] if fetched is None else [HERE])],
        errors={place: lines for place, lines in errors.items() if lines},
        newest=folder["newest"],
        newest_unknown=folder["newest_unknown"],
        others=sorted({name for one in repositories.values() for name in one["others"]}),
    )


def _made_on(one: FoundSet) -> str:
    name = (one["manifest"] or {}).get("host")
    return name if isinstance(name, str) else ""


def _set(name: str, made_on: str, places: Mapping[str, FoundSet | None], now_s: int) -> BackupSet:
    there = {place: one for place, one in places.items() if one}
    faults = {place: list(one["problems"]) for place, one in there.items()}
    manifests: list[Manifest] = []
    for place, one in there.items():
        if one["manifest"] is None:
            continue  # its problems say why
        try:
            manifest = backup_document.manifest(one["manifest"])
        except IncompleteError as error:
            faults[place].append(f"{name}/{error}")
            continue
        manifests.append(manifest)
        if manifest["name"] != name:
            got = f"that of {manifest['name']}"
            faults[place].append(f"{name}/manifest.json: expected its own, got {got}; restore another set")
    if len({one["sha256"] for one in there.values() if one["sha256"]}) > 1:
        do = "compare both, and move one away"
        faults[HERE].append(f"{name}: expected the host's set, got another one of that name; {do}")
    known = next(iter(manifests), None)
    made_at, age_s = _time(name, now_s)
    return BackupSet(
        name=name,
        made_on=made_on,
        made_at=made_at,
        age_s=age_s,
        places=[place for place in WORDS if place in places],
        size_bytes=next((one["size"] for one in there.values() if one["size"] is not None), None),
        people=known and known["open_webui"]["users"],
        chats=known and known["open_webui"]["chats"],
        files=known and known["open_webui"]["files"],
        schema=known["open_webui"]["schema"] if known else "",
        images={container: one["reference"] for container, one in known["images"].items()} if known else {},
        secrets=known.get("secrets", "") if known else "",
        made_for=known.get("made_for", "") if known else "",
        faults={place: lines for place, lines in faults.items() if lines},
    )


def _time(name: str, now_s: int) -> tuple[str, int | None]:
    try:
        made = datetime.strptime(name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return "", None
    return made.strftime("%Y-%m-%dT%H:%M:%SZ"), now_s - int(made.timestamp())


# --- For people and programs


def table(host: Backups) -> Table:
    """A row for each set of a host. It fits 80 columns."""
    found = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    found.add_column("set\nmade (UTC)", no_wrap=True)
    for heading in ("age", "size", "people", "chats", "files"):
        found.add_column(heading, justify="right", no_wrap=True)
    found.add_column("Open WebUI\nValkey", overflow="fold")
    found.add_column("where")
    for one in host.sets:
        places = [f"{place}: fault" if place in one.faults else place for place in one.places]
        made = one.made_at.replace("T", " ")[:16] or "no time"
        size = _UNKNOWN if one.size_bytes is None else decimal(one.size_bytes)
        counts = [_UNKNOWN if count is None else str(count) for count in (one.people, one.chats, one.files)]
        versions = f"{version(one, 'open-webui')}\n{version(one, 'redis')}"
        cells = (f"{one.name}\n{made}", age(one.age_s), size, *counts, versions, ", ".join(places))
        # Text: what a host says must not be read as markup.
        found.add_row(*(Text(cell) for cell in cells), style="red" if one.faults else "")
    return found


def summary(host: Backups) -> str:
    """How many sets there are. It never says "none" where a place gave no answer."""
    if host.note:
        return host.note
    silent = [WORDS[place] for place in host.errors]
    count = len(host.sets)
    words = "no backup set" if not count else f"{count} backup set{'' if count == 1 else 's'}"
    if silent:
        return f"{words} found; what is {' and '.join(silent)} is not known"
    return words


def lines(name: str, host: Backups) -> list[str]:
    """What the table does not say: errors and faults, which set "newest" is, and whose sets can be had."""
    found = [*host.lines, *(line for one in host.sets for line in one.lines)]
    first = next((one.name for one in host.sets if HOST in one.places), "")
    if host.newest_unknown:
        found.append(f"restore_set = 'newest' takes none of these: {host.newest_unknown}")
    elif host.newest != first:
        found.append(f"restore_set = 'newest' takes {host.newest}")
    if host.others and not host.sets:
        where = "repositories have" if SECOND in host.looked_at else "repository has"
        found.append(f"the restic {where} sets of {', '.join(host.others)}; choose with restore_restic_host")
    return [f"{name}: {line}" for line in found]


def version(one: BackupSet, service: str) -> str:
    """The tag of the image that a service ran, the digest where it has none."""
    references = (text for container, text in one.images.items() if compose.service_of(container) == service)
    reference = next(references, "")
    tagged, _, digest = reference.partition("@")
    tag = tagged.rpartition("/")[2].partition(":")[2]
    return tag or digest.partition(":")[2][:_DIGITS] or _UNKNOWN


def age(age_s: int | None) -> str:
    """`40 s`, `12 min`, `5 h`, `3 d`; a set from the future is as old as one of now."""
    if age_s is None:
        return _UNKNOWN
    left = max(age_s, 0)
    for unit, size_s, below_s in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 48 * 3600)):
        if left < below_s:
            return f"{left // size_s} {unit}"
    return f"{left // 86400} d"


def as_json(hosts: Mapping[str, Backups]) -> str:
    """All of it, for programs."""
    return json.dumps({name: asdict(host) for name, host in hosts.items()}, indent=2)
