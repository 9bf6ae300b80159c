"""Files on the host that outlive a crash and a power cut, written and read without following anybody's link.

A file takes its place whole: a temporary file beside it gets owner, mode and contents, is written to the disk (fsync),
renamed, and the folder is written to the disk. Whenever the power fails, a reader finds the old file or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from types import MappingProxyType

from .errors import HostError
from .kernel import LINUX, Kernel
from .records import dataclass
from .typed import Any, BinaryIO, Literal, cast

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a FIFO waits for its writer.
_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOCK_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20
# As many as Linux follows in one path (path_resolution(7)).
_MOST_LINKS = 40
# Hashes of a file's contents and its other attributes (Linux, Documentation/ABI/testing/evm): no other file has them.
_OF_CONTENT = {"security.ima", "security.evm"}
# A new file system has this folder (mke2fs(8)).
_LOST_AND_FOUND = "lost+found"


@dataclass(frozen=True)
class Owner:
    """The user and group a file belongs to."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Status:
    """What is at a path. `size` is in bytes, `changed_s` in seconds since 1970."""

    kind: Literal["file", "folder", "link", "other"]
    mode: int
    owner: Owner
    size: int
    changed_s: float


class _Stream:
    """What of a file object a program's standard input and output need."""

    def __init__(self, kernel: Kernel, fd: int) -> None:
        self._kernel, self._fd, self._offset = kernel, fd, 0

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            taken = self._kernel.pwrite(self._fd, bytes(rest[:_CHUNK_BYTES]), self._offset)
            self._offset += taken
            rest = rest[taken:]
        return len(data)

    def read(self, size: int = -1) -> bytes:
        chunks = []
        while size:
            chunk = self._kernel.pread(self._fd, _CHUNK_BYTES if size < 0 else min(size, _CHUNK_BYTES), self._offset)
            if not chunk:
                break
            chunks.append(chunk)
            self._offset += len(chunk)
            size -= len(chunk) if size > 0 else 0
        return b"".join(chunks)

    def seek(self, offset: int) -> int:
        self._offset = offset
        return offset

    def tell(self) -> int:
        return self._offset


class Files:
    """The host's file system.

    Paths are absolute. Where `owner` is left out, files belong to the user of this program: root.

    Links: the last part of a path is never followed. A link on the way is followed only where root alone could have
    put it. Containers and the SSH user can plant links in other folders, and would direct root's writes elsewhere.

    Every method raises `HostError` when the kernel refuses; "absent" is an answer only when the kernel says so.
    """

    def __init__(self, kernel: Kernel = LINUX) -> None:
        self._kernel = kernel

    # --- Look

    def read(self, path: str) -> bytes | None:
        """The contents of a file; None where there is none. Fails for anything but a regular file."""
        found = self._read(path)
        return None if found is None else found[1]

    def read_text(self, path: str) -> str | None:
        """The contents of a file in UTF-8; None where there is none."""
        contents = self.read(path)
        try:
            return None if contents is None else contents.decode()
        except UnicodeDecodeError as error:
            raise HostError(path, expected="UTF-8", got=error.reason, do="put the file right") from None

    def sha256(self, path: str) -> str | None:
        """The SHA-256 of a file's contents, in hex; None where there is none."""
        contents = self.read(path)
        return None if contents is None else hashlib.sha256(contents).hexdigest()

    def tree(self, path: str) -> list[str] | None:
        """The files in a folder and below it, sorted, each by its path from there; None where there is no folder.

        Fails for anything but files and folders.
        """
        with self._explained(path, "list it"):
            try:
                with self._folder(path) as fd:
                    return sorted(self._below(path, fd))
            except FileNotFoundError:
                return None

    def stat(self, path: str) -> Status | None:
        """What is at a path; None where there is nothing. Of a link it describes the link."""
        with self._explained(path, "look at it"):
            try:
                with self._in_folder(path) as (folder, name):
                    return _status(self._kernel.lstat(name, dir_fd=folder))
            except FileNotFoundError:
                return None

    def is_mine(self, found: Status) -> bool:
        """Whether a file or folder belongs to the user of this program: root."""
        return found.owner == self._me()

    def exists(self, path: str) -> bool:
        """Whether anything is at a path, a link that leads nowhere included."""
        return self.stat(path) is not None

    def listdir(self, path: str) -> list[str] | None:
        """The names in a folder, sorted; None where there is no folder."""
        with self._explained(path, "list it"):
            try:
                with self._folder(path) as fd:
                    return sorted(self._kernel.listdir(fd))
            except FileNotFoundError:
                return None

    def resolved(self, path: str) -> str:
        """The path that a link at `path` leads to, or `path` itself. Fails for a link that another user may have put.

        Links on the way are the business of every other method.
        """
        for _ in range(_MOST_LINKS):
            found = self.stat(path)
            if found is None or found.kind != "link":
                return path
            with self._explained(path, "follow it"), self._in_folder(path) as (folder, name):
                target = self._trusted_link(path, folder, name, OSError(errno.ELOOP, os.strerror(errno.ELOOP)))
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        with self._explained(path, "follow it"):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def space_left(self, path: str) -> int:
        """Bytes that can be written to the disk a path is on, or will be on, without the part reserved for root."""
        while not self.exists(path):
            path = posixpath.dirname(path)
        with self._explained(path, "see how much room is left"), self._in_folder(path) as (folder, name):
            fd = self._kernel.open(name, _READ_FILE, dir_fd=folder)
            with self._closing(fd):
                found = self._kernel.fstatvfs(fd)
                return found.f_bavail * found.f_frsize

    def attributes(self, path: str) -> dict[str, bytes]:
        """The extended attributes of a file (xattr(7)), such as its ACL and its SELinux label, for `write`.

        None where there is no file, or a file system without any.
        """
        with self._explained(path, "read its attributes"):
            try:
                with self._in_folder(path) as (folder, name):
                    fd = self._kernel.open(name, _READ_FILE, dir_fd=folder)
            except FileNotFoundError:
                return {}
            with self._closing(fd):
                return dict(self._attributes(fd))

    def difference(
        self, path: str, content: str | bytes, *, mode: int = 0o600, owner: Owner | None = None
    ) -> Literal["", "content", "mode"]:
        """What `write` would change: "mode" stands for the owner as well, "" for nothing."""
        found = self.stat(path)
        if found is None or found.kind != "file" or self.read(path) != _bytes(content):
            return "content"
        return "" if (found.mode, found.owner) == (mode, owner or self._me()) else "mode"

    def may_own(self, path: str, marks: Sequence[str]) -> bool:
        """Whether this project may close a folder to everybody but root: another owner or mode shuts its users out.

        It may where there is no folder, or one that is root's and closed already, that is empty, or that this project
        made: then one of the `marks` is in it, a name or path below it, whose last part may have wildcards.
        """
        found = self.stat(path)
        if found is None or (found.kind, found.mode, found.owner) == ("folder", 0o700, self._me()):
            return True
        if not set(self.listdir(path) or []) - {_LOST_AND_FOUND}:
            return True
        from fnmatch import fnmatchcase  # here, because most folders of this project are told before

        for mark in marks:
            folder, _, pattern = f"{path}/{mark}".rpartition("/")
            if any(fnmatchcase(name, pattern) for name in self.listdir(folder) or []):
                return True
        return False

    # --- Change

    def write(
        self,
        path: str,
        content: str | bytes,
        *,
        mode: int = 0o600,
        owner: Owner | None = None,
        changed_s: float | None = None,
        attributes: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """Ensure a file holds `content`, is `owner`'s and has `mode`, on the disk; it is replaced whole.

        Its time of change is `changed_s`, in seconds since 1970, or now. It has these `attributes`, as far as its file
        system knows them, and none of the file before. A file `NAME.new` beside it is this method's own: one that a
        killed run left is removed. A link at `path` is replaced and not followed. When it fails, the file is as it was.
        """
        self._write(path, _bytes(content), mode, owner, changed_s=changed_s, attributes=attributes)

    def copy(self, source: str, target: str) -> str:
        """Ensure a file is as another one: contents, mode, owner, time of change. It is replaced whole, as by `write`.

        Returns the contents' SHA-256, in hex. Fails where there is no file at `source`.
        """
        found = self._read(source)
        if found is None:
            raise explained(source, "copy it", FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
        status, contents = _status(found[0]), found[1]
        self._write(target, contents, status.mode, status.owner, changed_s=status.changed_s)
        return hashlib.sha256(contents).hexdigest()

    def set_changed(self, path: str, changed_s: float) -> None:
        """Ensure a file has this time of change, in seconds since 1970, on the disk. Fails where there is no file."""
        with self._explained(path, "set its time of change"), contextlib.ExitStack() as stack:
            folder, name = stack.enter_context(self._in_folder(path))
            fd = stack.enter_context(self._closing(self._kernel.open(name, _READ_FILE, dir_fd=folder)))
            self._kernel.utime(fd, (changed_s, changed_s))
            self._kernel.fsync(fd)

    def append(self, path: str, line: str, *, mode: int = 0o640) -> None:
        """Ensure a file ends in this line, on the disk; the caller is alone with it. A file that is missing is made.

        A power cut may have cut the line before: it gets its end first, so that it swallows none.
        """
        with self._explained(path, "write to it"), self._in_folder(path, make=True) as (folder, name):
            with self._closing(self._kernel.open(name, _LOCK_FILE, mode, dir_fd=folder)) as fd:
                status = self._kernel.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise _of_another_kind(path, "a file", _kind(status))
                end = status.st_size
                begun = end and self._kernel.pread(fd, 1, end - 1) != b"\n"
                self._kernel.pwrite(fd, f"{chr(10) if begun else ''}{line}\n".encode(), end)
                self._kernel.fsync(fd)
            self._kernel.fsync(folder)

    @contextmanager
    def stream(self, path: str) -> Iterator[BinaryIO]:
        """A new file to write to piece by piece, for root alone; on the disk when the block has ended without an error.

        Anything that was there is replaced at once: it is for files in a folder that nobody uses yet.
        """
        self.remove(path)
        with self._explained(path, "write it"), self._in_folder(path) as (folder, name):
            with self._closing(self._kernel.open(name, _NEW_FILE, 0o600, dir_fd=folder)) as fd:
                yield cast(BinaryIO, _Stream(self._kernel, fd))
                self._kernel.fsync(fd)
            self._kernel.fsync(folder)

    @contextmanager
    def source(self, path: str) -> Iterator[BinaryIO]:
        """A regular file to read piece by piece. Fails where there is none."""
        with self._explained(path, "read it"), contextlib.ExitStack() as stack:
            folder, name = stack.enter_context(self._in_folder(path))
            fd = stack.enter_context(self._closing(self._kernel.open(name, _READ_FILE, dir_fd=folder)))
            if not stat.S_ISREG(self._kernel.fstat(fd).st_mode):
                raise _of_another_kind(path, "a file", _kind(self._kernel.fstat(fd)))
            yield cast(BinaryIO, _Stream(self._kernel, fd))

    def make_folder(self, path: str, *, mode: int = 0o700, owner: Owner | None = None) -> bool:
        """Ensure a folder is there, is `owner`'s and has `mode`. Returns whether anything was changed.

        Folders above it that are missing are made for root alone. Ask `may_own` first where it may be somebody's.
        """
        with self._explained(path, "make the folder"), self._in_folder(path, make=True) as (above, name):
            made = self._make(above, name)
            try:
                fd = self._kernel.open(name, _FOLDER, dir_fd=above)
            except OSError as error:
                raise self._no_folder(path, above, name, error) from None
            with self._closing(fd):
                owned = self._own(fd, mode, owner)
                if owned:
                    self._kernel.fsync(fd)
                return owned or made

    def link(self, path: str, target: str) -> None:
        """Ensure a link at `path` leads to `target`, on the disk. Fails where anything else is there."""
        with self._explained(path, f"make it a link to {target}"), self._in_folder(path) as (folder, name):
            try:
                self._kernel.symlink(target, name, dir_fd=folder)
            except FileExistsError as error:
                found = _status(self._kernel.lstat(name, dir_fd=folder))
                if found.kind != "link" or self._kernel.readlink(name, dir_fd=folder) != target:
                    raise error from None
            self._kernel.fsync(folder)

    def remove(self, path: str) -> bool:
        """Ensure no file or link is at a path. Returns whether one was. Fails for a folder; see `remove_tree`."""
        with self._explained(path, "remove it"):
            try:
                with self._in_folder(path) as (folder, name):
                    self._kernel.unlink(name, dir_fd=folder)
                    self._kernel.fsync(folder)
            except FileNotFoundError:
                return False
            return True

    def remove_tree(self, path: str) -> bool:
        """Ensure nothing is at a path: a folder goes with all that is in it, a link without what it leads to.

        Returns whether anything was there. A run that is killed leaves a part of it.
        """
        with self._explained(path, "remove it"):
            try:
                with self._in_folder(path) as (folder, name):
                    self._remove(folder, name)
                    self._kernel.fsync(folder)
            except FileNotFoundError:
                return False
            return True

    def remove_folder(self, path: str) -> bool:
        """Ensure no folder is at a path. Returns whether one was. Fails for one with anything in it, and for a file."""
        with self._explained(path, "remove it"):
            try:
                with self._in_folder(path) as (folder, name):
                    self._kernel.rmdir(name, dir_fd=folder)
                    self._kernel.fsync(folder)
            except FileNotFoundError:
                return False
            return True

    def rename(self, source: str, target: str) -> None:
        """Ensure what was at `source` is at `target`, on the disk. A file, or an empty folder, at `target` is replaced.

        Contents that were not written by `write` have to be on the disk before: see `sync_tree`.
        """
        wish = f"rename it to {target}"
        with self._explained(source, wish), self._in_folder(source) as (here, old), self._in_folder(target) as to:
            there, new = to
            self._kernel.rename(old, new, src_dir_fd=here, dst_dir_fd=there)
            # In this order a power cut may leave both names, and never none.
            self._kernel.fsync(there)
            self._kernel.fsync(here)

    def sync_tree(self, path: str) -> None:
        """Ensure a folder and all files in it are on the disk, before a rename makes them count."""
        with self._explained(path, "write it to the disk"), self._folder(path) as fd:
            self._sync(fd)

    # --- Hold

    def open_shared(self, path: str) -> int:
        """A descriptor to lock a file by, and to read and write it in place; the file is made for root alone."""
        with self._explained(path, "open it"), self._in_folder(path) as (folder, name):
            return self._kernel.open(name, _LOCK_FILE, 0o600, dir_fd=folder)

    # --- Below

    def _me(self) -> Owner:
        return Owner(*self._kernel.ids())

    def _closing(self, fd: int) -> AbstractContextManager[int]:
        return _Closing(self._kernel, fd, fd)

    def _in_folder(self, path: str, *, make: bool = False) -> AbstractContextManager[tuple[int, str]]:
        """The open folder of a path, and the path's last part. `make` makes folders that are missing."""
        *parts, name = path[1:].split("/")
        if not path.startswith("/") or (not name and parts) or {".", ".."} & {name, *parts}:
            raise ValueError(f"{path!r} is no absolute path")
        fd = self._walk(path, parts, make=make)
        return _Closing(self._kernel, fd, (fd, name or "."))

    def _folder(self, path: str) -> AbstractContextManager[int]:
        with self._in_folder(path) as (above, name):
            try:
                fd = self._kernel.open(name, _FOLDER, dir_fd=above)
            except OSError as error:
                raise self._no_folder(path, above, name, error) from None
        return self._closing(fd)

    def _walk(self, path: str, parts: Sequence[str], *, make: bool) -> int:
        """Open a folder part by part, so that nobody can put a link in between."""
        todo = list(reversed(parts))
        links = 0
        fd = self._kernel.open("/", _FOLDER)
        try:
            while todo:
                part = todo.pop()
                if not part:
                    continue
                try:
                    following = self._kernel.open(part, _FOLDER, dir_fd=fd)
                except FileNotFoundError:
                    if not make:
                        raise
                    self._make(fd, part)
                    following = self._kernel.open(part, _FOLDER, dir_fd=fd)
                except OSError as error:
                    target = self._trusted_link(path, fd, part, error)
                    links += 1
                    if links > _MOST_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
                    todo.extend(reversed(target.split("/")))
                    if not target.startswith("/"):
                        continue
                    following = self._kernel.open("/", _FOLDER)
                self._kernel.close(fd)
                fd = following
        except BaseException:
            self._kernel.close(fd)
            raise
        return fd

    def _trusted_link(self, path: str, folder: int, part: str, error: OSError) -> str:
        """Where the link leads that `part` is instead of a folder; fails unless only root can have put it there."""
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):  # Linux has either for a link (open(2), O_NOFOLLOW)
            raise error
        found = self._kernel.lstat(part, dir_fd=folder)
        if not stat.S_ISLNK(found.st_mode):
            raise error
        above = self._kernel.fstat(folder)
        if above.st_uid not in (0, self._me().uid) or above.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise HostError(
                path,
                expected="folders all the way",
                got=f"the link {part}, in a folder that other users can write to",
                do="find out who put it there; remove it, or use a folder that only root can write to",
            )
        return self._kernel.readlink(part, dir_fd=folder)

    def _no_folder(self, path: str, above: int, name: str, error: OSError) -> Exception:
        """Why a path can't be opened as a folder."""
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            return error
        found = self._kernel.lstat(name, dir_fd=above)
        if not stat.S_ISLNK(found.st_mode):
            return _of_another_kind(path, "a folder", _kind(found))
        target = self._kernel.readlink(name, dir_fd=above)
        return HostError(path, expected="a folder", got="a link", do=f"use {target}, where it leads")

    def _make(self, above: int, name: str) -> bool:
        try:
            self._kernel.mkdir(name, 0o700, dir_fd=above)
        except FileExistsError:
            return False
        self._kernel.fsync(above)
        return True

    def _own(self, fd: int, mode: int, owner: Owner | None) -> bool:
        """Ensure owner and mode of an open file or folder.

        Some file systems know no owners (SMB, FAT) or refuse one (NFS's root_squash): what they show counts.
        """
        wanted = owner or self._me()
        found = _status(self._kernel.fstat(fd))
        if found.owner != wanted:
            self._kernel.fchown(fd, wanted.uid, wanted.gid)
        if found.owner != wanted or found.mode != mode:  # a new owner takes set-user-ID bits away (chown(2))
            self._kernel.fchmod(fd, mode)
            return True
        return False

    def _read(self, path: str) -> tuple[os.stat_result, bytes] | None:
        with self._explained(path, "read it"):
            try:
                with self._in_folder(path) as (folder, name):
                    fd = self._kernel.open(name, _READ_FILE, dir_fd=folder)
            except FileNotFoundError:
                return None
            with self._closing(fd):
                found = self._kernel.fstat(fd)
                if not stat.S_ISREG(found.st_mode):
                    raise _of_another_kind(path, "a file", _kind(found))
                chunks = []
                offset = 0
                while chunk := self._kernel.pread(fd, _CHUNK_BYTES, offset):
                    chunks.append(chunk)
                    offset += len(chunk)
                return found, b"".join(chunks)

    def _write(
        self,
        path: str,
        content: bytes,
        mode: int,
        owner: Owner | None,
        *,
        changed_s: float | None = None,
        attributes: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        with self._explained(path, "write it"), self._in_folder(path) as (folder, name):
            new = f"{name}.new"
            try:
                fd = self._kernel.open(new, _NEW_FILE, 0o600, dir_fd=folder)
            except FileExistsError:
                self._kernel.unlink(new, dir_fd=folder)
                fd = self._kernel.open(new, _NEW_FILE, 0o600, dir_fd=folder)
            try:
                with self._closing(fd):
                    self._own(fd, mode, owner)
                    self._label(fd, attributes)  # afterwards: fchmod changes the mask of an ACL (acl(5))
                    self._fill(fd, content)
                    if changed_s is not None:
                        self._kernel.utime(fd, (changed_s, changed_s))
                    self._kernel.fsync(fd)
                self._kernel.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with suppress(OSError):
                    self._kernel.unlink(new, dir_fd=folder)
                raise
            self._kernel.fsync(folder)

    def _attributes(self, fd: int) -> Iterator[tuple[str, bytes]]:
        with _where_known():
            for name in self._kernel.listxattr(fd):
                if name not in _OF_CONTENT:
                    with _where_known(errno.ENODATA):  # it was removed meanwhile
                        yield name, self._kernel.getxattr(fd, name)

    def _label(self, fd: int, attributes: Mapping[str, bytes]) -> None:
        for name, value in attributes.items():
            with _where_known():
                self._kernel.setxattr(fd, name, value)

    def _fill(self, fd: int, data: bytes) -> None:
        offset = 0
        while offset < len(data):
            offset += self._kernel.pwrite(fd, data[offset : offset + _CHUNK_BYTES], offset)

    def _remove(self, folder: int, name: str) -> None:
        if not stat.S_ISDIR(self._kernel.lstat(name, dir_fd=folder).st_mode):
            self._kernel.unlink(name, dir_fd=folder)
            return
        with self._closing(self._kernel.open(name, _FOLDER, dir_fd=folder)) as fd:
            for each in self._kernel.listdir(fd):
                self._remove(fd, each)
        self._kernel.rmdir(name, dir_fd=folder)

    def _below(self, path: str, folder: int) -> Iterator[str]:
        for name in self._kernel.listdir(folder):
            found = self._kernel.lstat(name, dir_fd=folder)
            if stat.S_ISDIR(found.st_mode):
                with self._closing(self._kernel.open(name, _FOLDER, dir_fd=folder)) as fd:
                    for each in self._below(f"{path}/{name}", fd):
                        yield f"{name}/{each}"
            elif stat.S_ISREG(found.st_mode):
                yield name
            else:
                raise _of_another_kind(f"{path}/{name}", "a file", _kind(found))

    def _sync(self, folder: int) -> None:
        for name in self._kernel.listdir(folder):
            mode = self._kernel.lstat(name, dir_fd=folder).st_mode
            if stat.S_ISDIR(mode):
                with self._closing(self._kernel.open(name, _FOLDER, dir_fd=folder)) as fd:
                    self._sync(fd)
            elif stat.S_ISREG(mode):
                with self._closing(self._kernel.open(name, _READ_FILE, dir_fd=folder)) as fd:
                    self._kernel.fsync(fd)
        self._kernel.fsync(folder)

    def _explained(self, path: str, wish: str) -> _Explained:
        return _Explained(path, wish)


class _Closing:
    """Closes a descriptor at the end of a block, which gets `given`.

    Each look at a file has three such blocks. A generator would take three times as long (Python 3.11).
    """

    __slots__ = ("_fd", "_given", "_kernel")

    def __init__(self, kernel: Kernel, fd: int, given: object) -> None:
        self._kernel, self._fd, self._given = kernel, fd, given

    def __enter__(self) -> Any:
        return self._given

    def __exit__(self, *_: object) -> None:
        self._kernel.close(self._fd)


class _Explained:
    """Gives a refusal of the kernel the words of an operator, such as "to read it"."""

    __slots__ = ("_path", "_wish")

    def __init__(self, path: str, wish: str) -> None:
        self._path, self._wish = path, wish

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            raise explained(self._path, self._wish, error) from error


@contextmanager
def _where_known(*others: int) -> Iterator[None]:
    """Suppresses what a file system says that has no such attributes, and these other errors."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, *others):
            raise


class CannotMoveError(HostError):
    """A rename leads to another disk, or is of a folder that an overlay has from a lower layer (overlayfs, EXDEV).

    So are folders of a container's image, and of a live system.
    """


def explained(path: str, wish: str, error: OSError) -> HostError:
    """A refusal of the kernel, in the words of an operator."""
    folder = posixpath.dirname(path)
    found = _EXPLANATIONS.get(error.errno or 0)
    if found is None:
        got, do = (error.strerror or str(error)).lower(), f"see `ls -ld {path}`, then run this again"
    else:
        got, do = found(folder)
    kind = CannotMoveError if error.errno == errno.EXDEV else HostError
    return kind(path, expected=f"to {wish}", got=got, do=do)


def _full(folder: str) -> tuple[str, str]:
    return f"a full disk, the one with {folder}", f"free some space on it (see `df -h {folder}` and `df -i {folder}`)"


def _forbidden(folder: str) -> tuple[str, str]:
    return (
        "it not permitted, even to root",
        f"see `lsattr {folder}` for an immutable file; mount {folder} so that root may (SMB, FAT: "
        "uid=0,gid=0,dir_mode=0700; NFS: no_root_squash), or use the host's own disk",
    )


_EXPLANATIONS: dict[int, Callable[[str], tuple[str, str]]] = {
    errno.ENOSPC: _full,
    errno.EDQUOT: _full,
    errno.EACCES: _forbidden,
    errno.EPERM: _forbidden,
    errno.EROFS: lambda folder: (
        "a file system that is mounted read-only",
        f"see `findmnt -T {folder}` and `dmesg`: Linux mounts a disk read-only when it has errors",
    ),
    errno.EIO: lambda _: ("an input/output error of the disk", "see `dmesg`, and save the data before anything else"),
    errno.ENOENT: lambda folder: (f"no such file in {folder}, or no such folder", "run deploy.py first"),
    errno.ELOOP: lambda _: ("a link", "find out who put it there; put the file itself in its place"),
    errno.EXDEV: lambda folder: (
        f"two disks, or an overlay's lower layer: {folder} and the target's",
        "keep both on one disk",
    ),
}


def _of_another_kind(path: str, expected: str, kind: str) -> HostError:
    got = {"other": "a device, a socket or a FIFO"}.get(kind, f"a {kind}")
    return HostError(path, expected=expected, got=got, do=f"see `ls -ld {path}`, and move it out of the way")


def _status(found: os.stat_result) -> Status:
    mode = stat.S_IMODE(found.st_mode)
    return Status(_kind(found), mode, Owner(found.st_uid, found.st_gid), found.st_size, found.st_mtime)


def _kind(found: os.stat_result) -> Literal["file", "folder", "link", "other"]:
    if stat.S_ISREG(found.st_mode):
        return "file"
    if stat.S_ISDIR(found.st_mode):
        return "folder"
    return "link" if stat.S_ISLNK(found.st_mode) else "other"


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
