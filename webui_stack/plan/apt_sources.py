"""What apt's files on a host say, and what apt itself says when it fails. Pure.

https://manpages.debian.org/trixie/apt/sources.list.5.en.html
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# Docker's own addresses, and where its mirrors keep the same tree: `.../docker-ce/linux/debian`.
_DOCKERS = re.compile(r"//download\.docker\.com/linux/|//apt\.dockerproject\.org/|/docker-ce/linux/")
# `apt-get` gives up at once when another program has one of its locks (apt 2.4 to 3.0, apt-pkg/contrib/fileutl.cc).
_LOCKED = re.compile(r"E: (?:Could not get lock|Unable to lock|Unable to acquire the dpkg frontend lock)")
_HOLDER = re.compile(r"Could not get lock (\S+?)\. It is held by process ([0-9]+)(?: \(([^)]*)\))?")


@dataclass(frozen=True)
class Source:
    """One active source of packages: a line of a `.list`, or a stanza of a `.sources` for one address."""

    path: str
    line: int
    uri: str
    signed_by: str = ""


def sources(texts: Mapping[str, str]) -> list[Source]:
    """The active sources in these files, by path; none for a comment or a disabled stanza."""
    return [
        source
        for path, text in texts.items()
        for source in (_stanzas(path, text) if path.endswith(".sources") else _lines(path, text))
    ]


def _lines(path: str, text: str) -> Iterator[Source]:
    """The one-line style: `deb [option=value ...] URI SUITE COMPONENT...`."""
    for number, line in enumerate(text.splitlines(), start=1):
        match = re.match(r"\s*deb(?:-src)?\s+(?:\[([^\]]*)\]\s*)?(\S+)", line.partition("#")[0])
        if match:
            options = dict(part.partition("=")[::2] for part in (match[1] or "").split())
            yield Source(path, number, match[2].strip('"'), options.get("signed-by", ""))


def _stanzas(path: str, text: str) -> Iterator[Source]:
    """The deb822 style: fields in stanzas, a field's value going on in lines that begin with a blank."""
    fields: dict[str, str] = {}
    began, name = 1, ""
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields.get("enabled", "yes").strip().lower() not in ("no", "false", "without", "off", "disable", "0"):
                signed_by = " ".join(fields.get("signed-by", "").split())
                for uri in fields.get("uris", "").split():
                    yield Source(path, began, uri, signed_by)
            fields, name = {}, ""
        elif line[0].isspace():
            fields[name] = f"{fields.get(name, '')}\n{line}"
        else:
            if not fields:
                began = number
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value


def is_dockers(source: Source, repository: str) -> bool:
    """Whether the source is Docker's repository: at `repository`, at Docker's address, or in a mirror of its tree."""
    bare = source.uri.rstrip("/")
    return bare == repository or bool(_DOCKERS.search(f"{bare}/"))


def replaced(texts: Mapping[str, str], repository: str, ours: str) -> list[str]:
    """The files but for `ours` that have Docker's repository and no other source.

    Two entries for one repository that name different keys make apt fail altogether ("Conflicting values set for
    option Signed-By"), so only one may stay.
    """
    found = [source for source in sources(texts) if source.path != ours]
    paths = dict.fromkeys(source.path for source in found if is_dockers(source, repository))
    return [path for path in paths if all(is_dockers(one, repository) for one in found if one.path == path)]


def refusals(texts: Mapping[str, str], repository: str, ours: str) -> list[str]:
    """The lines for Docker's repository in files that have other sources, too: somebody else looks after those."""
    alone = {ours, *replaced(texts, repository, ours)}
    return [
        f"docker repository: expected it in a file of its own, got {source.uri} in {source.path}, line {source.line}, "
        "among other sources; remove it there, this project adds its own file"
        for source in sources(texts)
        if is_dockers(source, repository) and source.path not in alone
    ]


def probe_command(path: str) -> str:
    """A shell command that fails when apt can't read the deb822 file at `path`, or its repository with its key.

    apt's own files, lists and locks are left alone.
    """
    return f"""\
folder=$(mktemp -d) && mkdir -p "$folder/parts" "$folder/lists/partial" && cp {shlex.quote(path)} \
"$folder/parts/docker.sources" && LC_ALL=C apt-get -qq -o Dir::Etc::sourcelist=- \
-o Dir::Etc::sourceparts="$folder/parts" -o Dir::State::lists="$folder/lists" \
-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root \
-o APT::Update::Error-Mode=any update; status=$?; rm -rf "$folder"; [ $status = 0 ]"""


def is_locked(said: Iterable[str]) -> bool:
    """Whether apt failed only because another program holds one of its locks."""
    return any(_LOCKED.match(line) for line in said)


def holder(said: Iterable[str]) -> str:
    """Which program holds which lock, in a few words, by what apt says about it."""
    for line in said:
        if match := _HOLDER.search(line):
            lock, pid, name = match.groups()
            return f"{name or 'a process'} (pid {pid}), which holds {lock}"
    return "another package manager"


def complaints(said: Iterable[str]) -> list[str]:
    """apt's own words about what failed, each once."""
    return list(dict.fromkeys(line for line in said if re.match(r"[EW]: ", line)))


def removed(said: Iterable[str]) -> list[str]:
    """The packages that `apt-get install --no-remove` would have had to remove, by its words on why it failed."""
    lines = list(said)
    if not any(line.startswith("E: Packages need to be removed") for line in lines):
        return []
    found: list[str] = []
    listed = False
    for line in lines:
        if listed and line.startswith(" "):
            found += line.split()
        listed = line == "The following packages will be REMOVED:" or (listed and line.startswith(" "))
    return found


def dead(said: Sequence[str], texts: Mapping[str, str]) -> list[str]:
    """The sources that `apt-get update` could not read, as `URI in FILE, line N`; apt's words where it names none."""
    failed = [line for line in complaints(said) if re.search(r"https?://|file:|ftp:|cdrom:", line)]
    found = [
        f"{source.uri} in {source.path}, line {source.line}"
        for source in sources(texts)
        if any(re.search(rf"{re.escape(source.uri.rstrip('/'))}(?=[/\s'\"]|$)", line) for line in failed)
    ]
    return list(dict.fromkeys(found)) or complaints(said)
