"""Releases: deploys that were good. Their files are kept, and which image each of their tags meant.

A deploy is good when its containers are healthy. The release in force is in `.good`, with its secrets. Earlier ones are
in `.deploys`, each by the moment it became good, without secrets: going back to a release is not going back to a
password that was replaced. Earlier versions read and write the same files.
"""

from __future__ import annotations

import calendar
import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from . import compose, secrets
from .clock import Clock, utc
from .compose import Compose
from .engine import Container, Engine, NotFound
from .errors import HostError
from .files import CannotMoveError, Files
from .stack import FOLDER_LABEL, OVERLAY, is_of_overlay

_FORM = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")
# Notes on a release: each may be empty, as `abandoned` of earlier versions is, or missing.
_NOTES = ("abandoned", "at", "data", "known", "left")
# Without one of these, nothing of a release is used.
_NEEDED = ("compose.yaml", "images", ".env", "secrets/webui-secret-key", "valkey/valkey.conf")
_NEEDED_OF_EARLIER = ("compose.yaml", "images", "valkey/valkey.conf")
# They follow from the secrets.
_OF_SECRETS = ("users.acl", "acl-label")
_USERS = "valkey/users.acl"
_USER = re.compile("(?m)^user ([^ ]*) on (#[0-9a-f]*)")
# `Files` writes a file of this ending first. A run that was killed may have left one.
_UNFINISHED = ".new"
# In the order that the stack's containers start.
_ORDER = ("redis-valkey", "open-webui-postgres", "open-webui-ollama", "open-webui", "open-webui-proxy")
_PROCESS = re.compile(r"(open-webui)(?:-([0-9]+))?")


@dataclass(frozen=True)
class RememberedImage:
    """An image of a release: its id, the tag that meant it, and its container ("" before releases noted names)."""

    id: str
    tag: str
    container: str = ""


@dataclass(frozen=True)
class Listed:
    """A release as operators see it."""

    name: str
    tags: Sequence[str]
    in_force: bool = False
    abandoned: bool = False
    data: str = ""

    def __str__(self) -> str:
        line = f"{self.name}  {' '.join(self.tags)}"
        if self.in_force:
            line += "  in force"
        if self.abandoned:
            line += "  was gone back from"
        return line + (f"  its last data are in {self.data}" if self.data else "")


class Release:
    """One release, in its folder."""

    def __init__(self, files: Files, folder: str, needed: Sequence[str]) -> None:
        self._files, self.folder, self._needed = files, folder, needed

    def is_there(self) -> bool:
        return self._files.exists(self.folder)

    def name(self) -> str:
        """The moment it became good. A release from before there were names has the date of its definition."""
        if noted := (self._files.read_text(f"{self.folder}/at") or "").strip("\0 \n"):
            return noted
        definition = self._needed[0]
        found = self._files.stat(f"{self.folder}/{definition}")
        if found is None:
            raise _damaged(self.folder, [definition])
        return utc(found.changed_s)

    def check(self) -> None:
        """Raise `HostError` unless all of its files are as they were remembered.

        A file that is empty, or another than it was, says nothing of its contents: no file of the folder is used then.
        """
        paths = self._files.tree(self.folder)
        if paths is None:
            raise _damaged(self.folder, self._needed)
        contents = {path: self._files.read(f"{self.folder}/{path}") for path in paths}
        damaged = [path for path in self._needed if not contents.get(path)]
        damaged += [path for path in paths if not contents[path] and path not in _NOTES]
        if contents.get("sums"):
            damaged += _changed(contents)
            # A stack without it is another one; all other files that may be missing are secrets.
            if OVERLAY not in contents and f"  {OVERLAY}\n" in (contents["sums"] or b"").decode("utf-8", "replace"):
                damaged.append(OVERLAY)
        if damaged:
            raise _damaged(self.folder, damaged)

    def is_sound(self) -> bool:
        """Whether it is there with all its files as they were. Raises where a file can't be read."""
        if not self.is_there():
            return False
        try:
            self.check()
        except DamagedError:
            return False
        return True

    def images(self) -> list[RememberedImage]:
        """Its images, in the order its containers started. Raises where the file is not as it was written."""
        found = []
        for line in (self._files.read_text(f"{self.folder}/images") or "").splitlines():
            words = line.split(" ")
            if len(words) not in (2, 3) or not all(words):
                raise _damaged(self.folder, ["images"])
            found.append(RememberedImage(words[0], words[1], words[2].lstrip("/") if len(words) == 3 else ""))
        if not found:
            raise _damaged(self.folder, ["images"])
        return found

    def image_of(self, container: str) -> str:
        """The id of a container's image.

        A release remembered before there were more than two containers has no names: Valkey's is the first line.
        """
        images = self.images()
        for one in images:
            if one.container == container:
                return one.id
        return images[0 if container == "redis-valkey" else -1].id

    def data(self) -> str:
        """The backup set with its last data, as an upgrade noted it; "" where none did."""
        return (self._files.read_text(f"{self.folder}/data") or "").strip("\0 \n")

    def database(self) -> Literal["sqlite", "postgres", "external"]:
        """Where it has people's data."""
        return database(self._files, self.folder)

    def mounted(self) -> list[str]:
        """Its folders with files that services read at their start."""
        return mounted(_definition(self._files, self.folder))

    def has_log(self) -> bool:
        """Whether its Valkey will look for an append-only file."""
        conf = self._files.read_text(f"{self.folder}/valkey/valkey.conf") or ""
        return any(line.startswith("appendonly yes") for line in conf.splitlines())


class DamagedError(HostError):
    """A release's files are not as they were remembered: which ones is in `files`."""

    def __init__(self, folder: str, files: Sequence[str]) -> None:
        super().__init__(
            folder,
            expected="the files of a good deploy",
            got=f"them damaged, as by a power cut: {' '.join(dict.fromkeys(files))}",
            do="nothing of it was put back; deploy.py with settings that get healthy makes it again",
        )
        self.files = files


class Releases:
    """The releases in a stack's folder. The caller of a method that changes something holds the work lock.

    A crash of any method, a power cut included, leaves the release in force or its successor whole on the disk:
    in `.good`, or for a moment in `.good.old`, which `recover` puts back.
    """

    needed: Sequence[str] = _NEEDED
    """Without one of these files, nothing of a release is used. The first is the stack's definition."""

    def __init__(self, files: Files, engine: Engine, clock: Clock, folder: str, *, kept: int) -> None:
        self._files, self._engine, self._clock, self._folder, self._most = files, engine, clock, folder, kept
        self._good, self._kept = f"{folder}/.good", f"{folder}/.deploys"
        self.in_force = self._release(self._good)

    # --- Look

    def earlier(self, name: str) -> Release:
        """An earlier release by its name; whether it is there, `is_there` says."""
        if not name or "/" in name or name.startswith("."):
            raise HostError("rollback_to", expected="the name of a release", got=repr(name), do="see the list of them")
        return Release(self._files, f"{self._kept}/{name}", _NEEDED_OF_EARLIER)

    def names(self) -> list[str]:
        """The names of all earlier releases, the latest first."""
        return sorted((one for one in self._files.listdir(self._kept) or [] if not one.startswith(".")), reverse=True)

    def listed(self) -> list[Listed]:
        """The release in force and the earlier ones, the latest first; [] where there is none in force.

        One whose images can't be read is listed without tags, so that the others can be seen.
        """
        if not self.in_force.is_there():
            return []
        found = [Listed(self.in_force.name(), _tags(self.in_force), in_force=True)]
        # Killed within `remember`, the one in force is among the earlier ones already.
        for name in [one for one in self.names() if one != found[0].name]:
            one = self.earlier(name)
            found.append(Listed(name, _tags(one), abandoned=self.is_abandoned(name), data=one.data()))
        return found

    def before(self, name: str) -> str:
        """The release before one of this name that nobody went back from; "" where there is none."""
        return next((one for one in self.names() if one < name and not self.is_abandoned(one)), "")

    def is_abandoned(self, name: str) -> bool:
        """Whether somebody went back from an earlier release."""
        return self._files.exists(f"{self._kept}/{name}/abandoned")

    def left(self) -> str:
        """The release that was left for the one in force, by a rollback; "" where it was reached by a deploy."""
        return (self._files.read_text(f"{self._good}/left") or "").strip("\0 \n")

    # --- Images

    def require_images(self, release: Release) -> None:
        """Raise `HostError` unless Docker has every image of a release as it was then."""
        for one in release.images():
            try:
                self._engine.image(one.id)
            except NotFound:
                raise HostError(
                    one.tag,
                    expected=f"it on the host as it was then ({one.id})",
                    got="none",
                    do="docker load or pull it, and run this again",
                ) from None

    def tag(self, release: Release) -> None:
        """Ensure the tags of a release mean the images that they meant then. A digest always means the same one."""
        for one in release.images():
            if "@" not in one.tag:
                self._engine.tag(one.id, one.tag)

    # --- Change

    def recover(self) -> None:
        """Ensure `.good` has the last good release, where a `remember` was killed before it had the new one there."""
        if self._files.exists(f"{self._good}.old") and not self._files.exists(f"{self._good}/{self.needed[0]}"):
            self._files.remove_tree(self._good)
            self._files.rename(f"{self._good}.old", self._good)

    def remember(self, project: Compose, name: str = "") -> str:
        """Ensure the stack as it is on the host is the release in force. Returns its name.

        The earlier release is kept, without secrets, where it was another one and is sound. `name` is given by a
        rollback: the release gets its own name back. Where this fails, the release before is still in force.
        """
        self.recover()
        new = self._release(f"{self._good}.new")
        self._gather(new, project)
        if self.in_force.is_there() and self._is_same(new):
            at = self.in_force.name()
            if left := self.left():
                self._files.write(f"{new.folder}/left", f"{left}\n", mode=0o644)
        else:
            at = name or self._next_name()
            if self.in_force.is_sound():
                self._keep()
        self._put_in_force(new, at)
        return at

    def recall(self) -> None:
        """Ensure the files and the images' tags of the stack are those of the release in force.

        Raises, and has changed nothing, where the release is damaged or Docker misses an image. A crash leaves some of
        the files; the next call ends it.
        """
        self.recover()
        release = self.in_force
        release.check()
        self.require_images(release)
        folders = release.mounted()
        paths = self._paths(release.folder, [self.needed[0], OVERLAY, ".env", "secrets", *folders])
        self._place(release.folder, self._folder, paths)
        self._drop_overlay(release)
        for folder in ("valkey", "proxy"):  # a service would read what is not of the release
            for name in self._files.listdir(f"{self._folder}/{folder}") or []:
                path = f"{folder}/{name}"
                found = self._files.stat(f"{self._folder}/{path}")
                stays = found is None or found.kind == "folder" or name.startswith(".")
                if not stays and not self._files.exists(f"{release.folder}/{path}"):
                    self._files.remove(f"{self._folder}/{path}")
        self.tag(release)

    def take(self, release: Release) -> None:
        """Ensure the files and the images' tags of the stack are those of an earlier release, with the secrets of now.

        Raises, and has changed nothing, where the release is damaged or Docker misses an image. After a crash `recall`
        puts back what is in force.
        """
        release.check()
        self.require_images(release)
        self._place(
            release.folder, self._folder, self._paths(release.folder, ["valkey/valkey.conf", "valkey/start.sh"])
        )
        self._take_users(release)
        self._place(release.folder, self._folder, self._paths(release.folder, ["proxy", "compose.yaml", OVERLAY]))
        self._drop_overlay(release)
        self.tag(release)

    def _drop_overlay(self, release: Release) -> None:
        """Ensure the stack has no overlay where the release has none."""
        if not self._files.exists(f"{release.folder}/{OVERLAY}"):
            self._files.remove(f"{self._folder}/{OVERLAY}")

    def _take_users(self, release: Release) -> None:
        """Ensure Valkey has the release's users, each with its password of now."""
        now = (self._files.read_text(f"{self._folder}/{_USERS}") or "").rstrip("\n")
        hashes = dict(_USER.findall(now))
        then = (self._files.read_text(f"{release.folder}/{_USERS}") or "").rstrip("\n")
        wanted = _USER.sub(lambda found: f"user {found[1]} on {hashes.get(found[1], found[2])}", then)
        if wanted == now:
            return
        self._files.write(f"{self._folder}/{_USERS}", f"{wanted}\n", mode=0o644)
        env = self._files.read_text(f"{self._folder}/.env") or ""
        label = f"VALKEY_ACL_SHA256='{hashlib.sha256(wanted.encode()).hexdigest()}'"
        self._files.write(f"{self._folder}/.env", re.sub("(?m)^VALKEY_ACL_SHA256=.*$", label, env))

    def abandon(self, name: str) -> None:
        """Ensure an earlier release is known as one that somebody went back from."""
        if not self.is_abandoned(name):
            # Not empty: to earlier versions an empty file is a damaged one.
            self._note(f"{self._kept}/{name}/abandoned", "yes")

    def note_left(self, name: str) -> None:
        """Ensure the release in force is known as one that a rollback reached from release `name`."""
        self._note(f"{self._good}/left", name)

    def note_data(self, backup_set: str) -> None:
        """Ensure the release in force is known with the backup set of its last data."""
        self._note(f"{self._good}/data", backup_set)

    def forget_data(self) -> None:
        """Ensure no backup set is noted for the release in force."""
        self._files.remove(f"{self._good}/data")

    def drop(self, name: str) -> None:
        """Ensure an earlier release is not listed any more: as after a rollback, which put it in force."""
        self._files.remove_tree(self.earlier(name).folder)

    # --- Below

    def _release(self, folder: str) -> Release:
        return Release(self._files, folder, self.needed)

    def _put_in_force(self, new: Release, at: str) -> None:
        """Ensure a release that was gathered takes the place of the one in force, by the name `at`."""
        self._files.write(f"{new.folder}/at", f"{at}\n", mode=0o644)
        self._require_sound(new)  # it replaces one that may be
        self._files.remove_tree(f"{self._good}.old")
        if self.in_force.is_there():
            self._set_aside()
        self._files.rename(new.folder, self._good)
        self._files.remove_tree(f"{self._good}.old")

    def _gather(self, new: Release, project: Compose) -> None:
        """Ensure `new` has all of the stack as it is."""
        self._files.remove_tree(new.folder)
        self._files.make_folder(new.folder)
        definition = _definition(self._files, self._folder)
        parts = ["compose.yaml", OVERLAY, ".env", "secrets", *mounted(definition)]
        sums = self._place(self._folder, new.folder, self._paths(self._folder, parts))
        images = "".join(f"{one.image_id} {one.image} /{one.name}\n" for one in self._containers())
        self._files.write(f"{new.folder}/images", images, mode=0o644)
        file, overlay, env = (
            self._files.read(f"{new.folder}/{name}") or b"" for name in ("compose.yaml", OVERLAY, ".env")
        )
        self._files.write(f"{new.folder}/known", compose.remembered(project, file + overlay, env), mode=0o644)
        sums["images"] = hashlib.sha256(images.encode()).hexdigest()
        self._write_sums(new, sums)

    def _write_sums(self, new: Release, sums: Mapping[str, str]) -> None:
        lines = "".join(f"{sha256}  {path}\n" for path, sha256 in sums.items())
        self._files.write(f"{new.folder}/sums", lines, mode=0o644)

    def _require_sound(self, new: Release) -> None:
        try:
            new.check()
        except DamagedError as error:
            raise HostError(
                self._folder,
                expected="files with contents, to remember the deploy by",
                got=f"empty or missing ones: {' '.join(error.files)}",
                do="remove those that are yours, and run deploy.py again",
            ) from None

    def _containers(self) -> list[Container]:
        """The stack's containers that there are, in the order they start, and then those of the overlay alone."""
        found = self._engine.containers(label=f"{FOLDER_LABEL}={self._folder}")
        places = {one.name: place for one in found if (place := _place_in_order(one.name))}
        ours = sorted((one for one in found if one.name in places), key=lambda one: places[one.name])
        if not ours:
            raise HostError(
                "docker", expected=f"containers of {self._folder}", got="none", do="see `docker ps --all` on the host"
            )
        others = [one for one in found if one.name not in places and is_of_overlay(one.labels, self._folder)]
        return [*ours, *sorted(others, key=lambda one: one.name)]

    def _is_same(self, new: Release) -> bool:
        """Whether the release in force is the one in `new`, whatever their secrets are."""
        before = self.in_force.folder
        for name in ("compose.yaml", OVERLAY, "images"):
            if self._files.read(f"{before}/{name}") != self._files.read(f"{new.folder}/{name}"):
                return False
        return all(self._contents(before, part) == self._contents(new.folder, part) for part in new.mounted())

    def _contents(self, folder: str, part: str) -> dict[str, str | None]:
        paths = [path for path in self._files.tree(f"{folder}/{part}") or [] if path not in _OF_SECRETS]
        return {path: self._files.sha256(f"{folder}/{part}/{path}") for path in paths}

    def _set_aside(self) -> None:
        """Ensure the release in force is in `.good.old`, and nothing in `.good`.

        What can't be renamed is copied first. Then one file goes before the others, so that `recover` knows what a
        crash leaves of `.good` for a part.
        """
        try:
            self._files.rename(self._good, f"{self._good}.old")
        except CannotMoveError:
            copy = f"{self._good}.copy"
            self._files.remove_tree(copy)
            self._files.make_folder(copy)
            self._place(self._good, copy, self._files.tree(self._good) or [])
            self._files.rename(copy, f"{self._good}.old")
            self._files.remove(f"{self._good}/{self.needed[0]}")
            self._files.remove_tree(self._good)

    def _keep(self) -> None:
        """Ensure the release in force is among the earlier ones, and that these are `kept` at most."""
        new, name = f"{self._kept}/.new", self.in_force.name()
        self._files.remove_tree(new)
        self._files.make_folder(new)
        parts = ["compose.yaml", OVERLAY, "valkey", "proxy", "images", "sums", "data"]
        self._place(self._good, new, self._paths(self._good, parts))
        target = f"{self._kept}/{name}"
        self._files.remove_tree(target)  # `.good` has it as well
        self._files.rename(new, target)
        for old in self.names()[self._most :]:
            if old != name:
                self._files.remove_tree(f"{self._kept}/{old}")

    def _next_name(self) -> str:
        """Now, or a second after the latest release where the clock was set back: releases are told by their names."""
        known = [*self.names(), *([self.in_force.name()] if self.in_force.is_there() else [])]
        moments = [calendar.timegm(time.strptime(one, _FORM)) for one in known if _NAME.fullmatch(one)]
        return utc(max([self._clock.now(), *(moment + 1 for moment in moments)]))

    def _paths(self, folder: str, parts: Sequence[str]) -> list[str]:
        """The files that are there of the parts of a folder, each a file or a folder."""
        found = []
        for part in parts:
            there = self._files.stat(f"{folder}/{part}")
            if there is None:
                continue
            if there.kind == "folder":
                paths = [f"{part}/{path}" for path in self._files.tree(f"{folder}/{part}") or []]
                found += [path for path in paths if path != secrets.RECEIVERS]
            else:
                found.append(part)
        return [path for path in found if not path.endswith(_UNFINISHED)]

    def _place(self, source: str, target: str, paths: Sequence[str]) -> dict[str, str]:
        """Ensure the files at `paths` below `target` are as those below `source`. Returns the SHA-256 of each."""
        folders = {path.rpartition("/")[0] for path in paths} - {""}
        for folder in sorted(
            {"/".join(one.split("/")[: depth + 1]) for one in folders for depth in range(one.count("/") + 1)}
        ):
            if not self._files.exists(f"{target}/{folder}"):
                found = self._files.stat(f"{source}/{folder}")
                if found:
                    self._files.make_folder(f"{target}/{folder}", mode=found.mode, owner=found.owner)
        return {path: self._files.copy(f"{source}/{path}", f"{target}/{path}") for path in paths}

    def _note(self, path: str, text: str) -> None:
        """Ensure a file of a release holds a note. What a killed write leaves must not be in the release's folder."""
        if not self._files.exists(self._kept):
            self._files.make_folder(self._kept)
        self._files.write(f"{self._kept}/.note", f"{text}\n", mode=0o644)
        self._files.rename(f"{self._kept}/.note", path)


def database(files: Files, folder: str) -> Literal["sqlite", "postgres", "external"]:
    """Where the stack in a folder has people's data. Raises where its compose.yaml is empty or missing."""
    lines = _definition(files, folder).splitlines()
    if "    container_name: open-webui-postgres" in lines:
        return "postgres"
    return "external" if any(line.startswith("      DATABASE_URL: ") for line in lines) else "sqlite"


def mounted(definition: str) -> list[str]:
    """The folders with files that services read at their start, by the text of compose.yaml."""
    proxies = any(line.startswith("      - ./proxy:") for line in definition.splitlines())
    return ["valkey", "proxy"] if proxies else ["valkey"]


def _definition(files: Files, folder: str) -> str:
    path = f"{folder}/compose.yaml"
    text = files.read_text(path)
    if not text:
        got = "none" if text is None else "an empty file, as after a power cut"
        raise HostError(path, expected="the stack's definition", got=got, do="run deploy.py")
    return text


def _changed(contents: Mapping[str, bytes | None]) -> Iterator[str]:
    """Files that are others than their sums say. A file that was left out on purpose, as secrets are, has a sum too."""
    for line in (contents["sums"] or b"").decode("utf-8", "replace").splitlines():
        found = _SUM.fullmatch(line)
        if found is None:
            yield "sums"
        elif found[2] in contents and hashlib.sha256(contents[found[2]] or b"").hexdigest() != found[1]:
            yield found[2]


def _tags(release: Release) -> list[str]:
    try:
        return [one.tag for one in release.images()]
    except DamagedError:
        return []


def _place_in_order(name: str) -> tuple[int, int] | None:
    """Where a container of the stack comes when they start; None for another container."""
    process = _PROCESS.fullmatch(name)
    name, number = (process[1], int(process[2] or 1)) if process else (name, 0)
    return (_ORDER.index(name), number) if name in _ORDER else None


def _damaged(folder: str, files: Sequence[str]) -> DamagedError:
    return DamagedError(folder, files)
