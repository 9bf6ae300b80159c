"""A host's file system in memory that forgets at a power cut what nobody wrote to the disk.

It stands in for the kernel, not for `Files`: what a test runs is the program's own way to write, rename and sync.
"""

from __future__ import annotations

import copy
import errno
import fcntl
import functools
import os
import stat
import types
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar, cast

from tests.host import cases
from webui_stack.host.files import Files

Method = TypeVar("Method", bound=Callable[..., Any])
# A write may take a part of the data only (write(2)), so it does.
_MOST_BYTES = 4096
_RUN = "run"


class Crash(BaseException):
    """The process is killed, or the power fails. No handler of `Exception` sees it, as none sees SIGKILL."""


class Inode:
    """A file, folder or link, as it is now, and as it is on the disk."""

    def __init__(self, number: int, mode: int, target: str = "") -> None:
        self.number, self.mode, self.target = number, mode, target
        self.uid = self.gid = 0
        self.links = 1
        self.data = b""
        self.attributes: dict[str, bytes] = {}  # a change makes another
        self.entries: dict[str, Inode] = {}
        self.changed_s = 1_800_000_000.0
        self.locks: dict[int, int] = {}  # descriptor -> LOCK_SH or LOCK_EX
        self.sync(nothing=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> Inode:
        """As any copy, in a tenth of the time: each case of a crash is a copy of all inodes."""
        made = Inode.__new__(Inode)
        memo[id(self)] = made
        vars(made).update(vars(self))
        made.locks, made.entries = {**self.locks}, _copied(self.entries, memo)
        made._disk = (*self._disk[:5], _copied(self._disk[5], memo))
        return made

    def sync(self, *, nothing: bool = False) -> None:
        """What is there now is on the disk; `nothing` for what nobody synced yet."""
        content = (
            (b"", dict[str, bytes](), dict[str, Inode]()) if nothing else (self.data, self.attributes, self.entries)
        )
        data, attributes, entries = content
        self._disk = (self.mode, self.uid, self.gid, data, {**attributes}, {**entries})

    def lose_power(self, names: bool) -> None:
        """Only the disk counts; `names` tells whether names got there that nobody synced."""
        entries = self.entries
        self.mode, self.uid, self.gid, self.data, self.attributes, self.entries = self._disk
        self.entries = dict(entries if names else self.entries)
        self.links = 1
        self.locks = {}
        for each in self.entries.values():
            each.lose_power(names)
        self.sync()


def _copied(entries: dict[str, Inode], memo: dict[int, Any]) -> dict[str, Inode]:
    return {name: memo.get(id(one)) or one.__deepcopy__(memo) for name, one in entries.items()}


def on_nothing(_: str) -> None:
    """At no point anything happens."""


def _call(method: Method) -> Method:
    """A system call: may be made to fail, or the process to crash, before it and after it."""

    name = method.__name__
    before, after = f"before {name}", f"after {name}"

    @functools.wraps(method)
    def called(self: FakeKernel, *arguments: Any, **options: Any) -> Any:
        self.point(before)
        result = method(self, *arguments, **options)
        self.point(after)
        return result

    return cast(Method, called)


class FakeKernel:
    """The system calls of `webui_stack.host.kernel.Kernel` on inodes in memory; its user is root.

    `on_point` is called with "before CALL" and "after CALL" and may raise: an `OSError`, or `Crash`. After a crash
    every call raises `Crash`, so that no `finally` cleans up, until `restart` or `cut_power`. An `on_point` that has
    `choices` is called for these calls alone: of a million calls, most are a walk to a file.
    """

    def __init__(self) -> None:
        self._dead = False
        self.on_point = on_nothing
        self.room_bytes = 1 << 40
        self.now_s = 1_800_000_000.0
        self.inodes = 0  # that were made
        self.lower: set[int] = set()
        self._open: dict[int, Inode] = {}
        self._descriptors = 2
        self.root = self._inode(stat.S_IFDIR | 0o755)
        for name in ("etc", "opt", "run", "tmp", "var"):
            self.root.entries[name] = self._inode(stat.S_IFDIR | 0o755)
        self.root.sync()

    @property
    def on_point(self) -> Callable[[str], None]:
        return self._on_point

    @on_point.setter
    def on_point(self, on_point: Callable[[str], None]) -> None:
        self._on_point = on_point
        self._choose_calls()

    def _choose_calls(self) -> None:
        """Ensure that a call at which nothing can happen is made without a look at its points: most calls are such."""
        choices: Collection[str] = () if self._on_point is on_nothing else getattr(self._on_point, "choices", _CALLS)
        for name, method in _CALLS.items():
            if self._dead or name in choices:
                vars(self).pop(name, None)
            else:
                vars(self)[name] = types.MethodType(method, self)

    def __deepcopy__(self, memo: dict[int, Any]) -> FakeKernel:
        """As any copy; its calls are its own."""
        made = FakeKernel.__new__(FakeKernel)
        memo[id(self)] = made
        own = {name: value for name, value in vars(self).items() if name not in _CALLS}
        vars(made).update({name: copy.deepcopy(value, memo) for name, value in own.items()})
        made._choose_calls()
        return made

    def become_an_image(self) -> None:
        """All that is there is the lower layer of an overlay now: its folders can't be renamed (overlayfs)."""
        self.lower = {one.number for one in self._below(self.root) if stat.S_ISDIR(one.mode)}

    def _below(self, folder: Inode) -> Iterator[Inode]:
        for one in folder.entries.values():
            yield one
            yield from self._below(one)

    def point(self, name: str) -> None:
        if self._dead:
            raise Crash
        try:
            self.on_point(name)
        except Crash:
            self._dead = True
            self._choose_calls()
            raise
        except OSError:
            cases.one_more()
            raise

    def restart(self) -> None:
        """Another process begins where the one before has ended: its files are as it left them, its locks are free."""
        cases.one_more()
        self._dead = False
        self._choose_calls()
        for inode in self._open.values():
            inode.locks = {}
        self._open = {}

    def cut_power(self, *, names: bool) -> None:
        """The host stops and boots: only what was synced is there, and /run is empty.

        `names` is the other way a disk may be found: names are as they were last, though contents are not (a journal
        of metadata, as ext4's with delayed allocation).
        """
        self.restart()
        self.root.lose_power(names)
        self.root.entries[_RUN] = self._inode(stat.S_IFDIR | 0o755)

    # --- What a test puts there

    def add(self, path: str, kind: int, target: str = "") -> Inode:
        """Something that only others make: a link, a FIFO."""
        *folders, name = path[1:].split("/")
        above = self.root
        for part in folders:
            above = above.entries[part]
        made = above.entries[name] = self._inode(kind, target)
        return made

    def find(self, path: str) -> Inode:
        found = self.root
        for part in path[1:].split("/"):
            found = found.entries[part]
        return found

    def _inode(self, mode: int, target: str = "") -> Inode:
        self.inodes += 1
        return Inode(self.inodes, mode, target)

    # --- System calls

    @_call
    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "/":
            return self._descriptor(self.root)
        assert dir_fd is not None
        assert "/" not in path
        above = self._open[dir_fd]
        found = self._above(above) if path == ".." else above if path == "." else above.entries.get(path)
        if found is None:
            if not flags & os.O_CREAT:
                raise _error(errno.ENOENT)
            found = above.entries[path] = self._inode(stat.S_IFREG | mode)
        elif flags & os.O_EXCL:
            raise _error(errno.EEXIST)
        if flags & os.O_DIRECTORY and not stat.S_ISDIR(found.mode):
            raise _error(errno.ENOTDIR)
        if stat.S_ISLNK(found.mode):
            assert flags & os.O_NOFOLLOW
            raise _error(errno.ELOOP)
        return self._descriptor(found)

    def _descriptor(self, inode: Inode) -> int:
        self._descriptors += 1
        self._open[self._descriptors] = inode
        return self._descriptors

    @_call
    def close(self, fd: int, /) -> None:
        self._open.pop(fd).locks.pop(fd, None)

    @_call
    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        return self._open[fd].data[offset : offset + length]

    @_call
    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int:
        part = data[:_MOST_BYTES]
        if len(part) > self.room_bytes:
            raise _error(errno.ENOSPC)
        self.room_bytes -= len(part)
        inode = self._open[fd]
        inode.changed_s = self.now_s
        inode.data = inode.data[:offset] + part + inode.data[offset + len(part) :]
        return len(part)

    @_call
    def ftruncate(self, fd: int, length: int, /) -> None:
        self._open[fd].data = self._open[fd].data[:length]

    @_call
    def fsync(self, fd: int, /) -> None:
        self._open[fd].sync()

    @_call
    def fchmod(self, fd: int, mode: int, /) -> None:
        self._open[fd].mode = stat.S_IFMT(self._open[fd].mode) | mode

    @_call
    def fchown(self, fd: int, uid: int, gid: int, /) -> None:
        self._open[fd].uid, self._open[fd].gid = uid, gid

    @_call
    def utime(self, fd: int, times: tuple[float, float], /) -> None:
        self._open[fd].changed_s = times[1]

    @_call
    def listxattr(self, fd: int, /) -> list[str]:
        return list(self._open[fd].attributes)

    @_call
    def getxattr(self, fd: int, name: str, /) -> bytes:
        return self._open[fd].attributes[name]

    @_call
    def setxattr(self, fd: int, name: str, value: bytes, /) -> None:
        self._open[fd].attributes = {**self._open[fd].attributes, name: value}

    @_call
    def flock(self, fd: int, operation: int, /) -> None:
        locks = self._open[fd].locks
        wanted = operation & ~fcntl.LOCK_NB
        others = [lock for holder, lock in locks.items() if holder != fd]
        if fcntl.LOCK_EX in others or (others and wanted == fcntl.LOCK_EX):
            assert operation & fcntl.LOCK_NB, "nobody waits in a single process"
            raise _error(errno.EAGAIN)
        locks[fd] = wanted

    @_call
    def fstat(self, fd: int, /) -> os.stat_result:
        return _stat(self._open[fd])

    @_call
    def fstatvfs(self, fd: int, /) -> os.statvfs_result:
        assert fd in self._open
        return os.statvfs_result((1, 1, 1 << 40, self.room_bytes, self.room_bytes, 1000, 1000, 1000, 0, 255))

    @_call
    def listdir(self, fd: int, /) -> list[str]:
        return list(self._open[fd].entries)

    @_call
    def lstat(self, name: str, *, dir_fd: int) -> os.stat_result:
        return _stat(self._named(name, dir_fd))

    @_call
    def readlink(self, name: str, *, dir_fd: int) -> str:
        return self._named(name, dir_fd).target

    @_call
    def symlink(self, target: str, name: str, /, *, dir_fd: int) -> None:
        entries = self._open[dir_fd].entries
        if name in entries:
            raise _error(errno.EEXIST)
        entries[name] = self._inode(stat.S_IFLNK | 0o777, target)

    @_call
    def mkdir(self, name: str, mode: int, *, dir_fd: int) -> None:
        entries = self._open[dir_fd].entries
        if name in entries:
            raise _error(errno.EEXIST)
        entries[name] = self._inode(stat.S_IFDIR | mode)

    @_call
    def rename(self, source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        inode, there = self._named(source, src_dir_fd), self._open[dst_dir_fd].entries
        if inode.number in self.lower:
            raise _error(errno.EXDEV)
        if other := there.get(target):
            if stat.S_ISDIR(other.mode) and not stat.S_ISDIR(inode.mode):
                raise _error(errno.EISDIR)
            if stat.S_ISDIR(inode.mode) and not stat.S_ISDIR(other.mode):
                raise _error(errno.ENOTDIR)
            if other.entries:
                raise _error(errno.ENOTEMPTY)
            other.links = 0
        there[target] = self._open[src_dir_fd].entries.pop(source)

    @_call
    def unlink(self, name: str, *, dir_fd: int) -> None:
        if stat.S_ISDIR(self._named(name, dir_fd).mode):
            raise _error(errno.EISDIR)
        self._open[dir_fd].entries.pop(name).links = 0

    @_call
    def rmdir(self, name: str, *, dir_fd: int) -> None:
        found = self._named(name, dir_fd)
        if not stat.S_ISDIR(found.mode):
            raise _error(errno.ENOTDIR)
        if found.entries:
            raise _error(errno.ENOTEMPTY)
        del self._open[dir_fd].entries[name]

    def ids(self) -> tuple[int, int]:
        return 0, 0

    def _above(self, folder: Inode) -> Inode:
        todo = [self.root]
        for one in todo:
            if folder in one.entries.values():
                return one
            todo += one.entries.values()
        return self.root

    def _named(self, name: str, folder: int) -> Inode:
        above = self._open[folder]
        found = above if name == "." else above.entries.get(name)
        if found is None:
            raise _error(errno.ENOENT)
        return found


# The calls of the kernel as they are without points.
_CALLS = {name: call.__wrapped__ for name, call in vars(FakeKernel).items() if hasattr(call, "__wrapped__")}


class FakeFiles(Files):
    """`Files` of a host in memory."""

    def __init__(self, kernel: FakeKernel | None = None) -> None:
        self.kernel = kernel or FakeKernel()
        super().__init__(self.kernel)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _stat(inode: Inode) -> os.stat_result:
    size, changed = len(inode.data), inode.changed_s
    return os.stat_result(
        (inode.mode, inode.number, 1, inode.links, inode.uid, inode.gid, size, changed, changed, changed)
    )


def crashed_everywhere(
    prepare: Callable[[FakeFiles], object],
    change: Callable[[FakeFiles], object],
    check: Callable[[FakeFiles, bool], object],
) -> int:
    """Crash `change` before and after each of its calls: by a kill, and by a power cut with and without late names.

    `check` gets the files as they are then, and whether `change` had returned. Returns the number of crashes.
    """
    crashes = 0
    for end in (FakeKernel.restart, _without_late_names, _with_late_names):
        done = False
        at = 0
        while not done:
            files = FakeFiles()
            prepare(files)
            files.kernel.on_point = crash_at(at)
            try:
                change(files)
                done = True
            except Crash:
                crashes += 1
            files.kernel.on_point = on_nothing
            end(files.kernel)
            check(files, done)
            at += 1
    return crashes


def _without_late_names(kernel: FakeKernel) -> None:
    kernel.cut_power(names=False)


def _with_late_names(kernel: FakeKernel) -> None:
    kernel.cut_power(names=True)


def crash_at(number: int) -> Callable[[str], None]:
    points = iter(range(number))

    def crash(_: str) -> None:
        if next(points, None) is None:
            raise Crash

    return crash
