"""The system calls that files and locks are made of, so that a test can put a host in memory in their place."""

from __future__ import annotations

import fcntl
import os
from typing import Protocol


class Kernel(Protocol):
    """Linux, as far as this program needs it: each call as in its man page (section 2). All raise `OSError`."""

    def open(self, path: str, flags: int, mode: int = ..., *, dir_fd: int | None = ...) -> int: ...
    def close(self, fd: int, /) -> None: ...
    def pread(self, fd: int, length: int, offset: int, /) -> bytes: ...
    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int: ...
    def ftruncate(self, fd: int, length: int, /) -> None: ...
    def fsync(self, fd: int, /) -> None: ...
    def fchmod(self, fd: int, mode: int, /) -> None: ...
    def fchown(self, fd: int, uid: int, gid: int, /) -> None: ...
    def flock(self, fd: int, operation: int, /) -> None: ...
    def fstat(self, fd: int, /) -> os.stat_result: ...
    def fstatvfs(self, fd: int, /) -> os.statvfs_result: ...
    def listdir(self, fd: int, /) -> list[str]: ...
    def lstat(self, name: str, *, dir_fd: int) -> os.stat_result: ...
    def readlink(self, name: str, *, dir_fd: int) -> str: ...
    def mkdir(self, name: str, mode: int, *, dir_fd: int) -> None: ...
    def rename(self, source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None: ...
    def unlink(self, name: str, *, dir_fd: int) -> None: ...
    def rmdir(self, name: str, *, dir_fd: int) -> None: ...
    def ids(self) -> tuple[int, int]:
        """The user and the group that this process acts as."""
        ...


class Linux:
    """The host's own kernel."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    pread = staticmethod(os.pread)
    pwrite = staticmethod(os.pwrite)
    ftruncate = staticmethod(os.ftruncate)
    fsync = staticmethod(os.fsync)
    fchmod = staticmethod(os.fchmod)
    fchown = staticmethod(os.fchown)
    flock = staticmethod(fcntl.flock)
    fstat = staticmethod(os.fstat)
    fstatvfs = staticmethod(os.fstatvfs)
    lstat = staticmethod(os.lstat)
    readlink = staticmethod(os.readlink)
    mkdir = staticmethod(os.mkdir)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    rmdir = staticmethod(os.rmdir)

    def listdir(self, fd: int, /) -> list[str]:
        return os.listdir(fd)

    def ids(self) -> tuple[int, int]:
        return os.geteuid(), os.getegid()


LINUX = Linux()
