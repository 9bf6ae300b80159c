"""What a deploy is bound to: the lock it follows, and the bundle it takes everything from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pyinfra import logger

from webui_stack import bundle, invocation, lock
from webui_stack.bundle import Bundle, BundleError
from webui_stack.lock import Lock, LockError, Wanted
from webui_stack.machine import Machine
from webui_stack.settings import Settings


def check(of_all: Mapping[str, Settings]) -> list[str]:
    """Every problem of these hosts' locks and bundles: unreadable, or without an image that the settings name."""
    bundles = {bundle_path(settings) for settings in of_all.values() if settings.image_source == "bundle"}
    if broken := [str(found) for path in sorted(bundles) if isinstance(found := _read_bundle(path), BundleError)]:
        return broken
    problems = [line for name, settings in of_all.items() for line in _problems(name, settings)]
    return list(dict.fromkeys(problems))


def _problems(name: str, settings: Settings) -> list[str]:
    try:
        found = followed(settings)
        beside = read_lock(lock_path(settings)) if opened(settings) else None
    except LockError as error:
        return error.problems
    if found is None:
        expected = f"{name} / lock_file: expected {settings.lock_file}, got no such file; run runbooks/lock.py"
        return [expected] if settings.lock_file else []
    where = bundle_path(settings).name if opened(settings) else lock_path(settings).name
    problems = lock.missing(found, references(settings), where)
    if beside and not problems:
        problems = [
            f"{where}: expected the image {reference} as in {lock_path(settings).name}, got another; make the bundle "
            "again with runbooks/bundle.py"
            for reference in references(settings)
            if reference in beside.images and beside.images[reference].digest != found.images[reference].digest
        ]
    return [f"{name} / {line}" for line in problems]


def references(settings: Settings) -> list[str]:
    """The images a host runs, each once."""
    return list(dict.fromkeys(settings.images.values()))


def lock_path(settings: Settings) -> Path:
    """The host's lock file, whether it is there or not."""
    if settings.lock_file:
        return Path(settings.lock_file).expanduser().absolute()
    file = invocation.inventory_file()
    return file.with_suffix(".lock.toml") if file else Path("no-inventory-file.lock.toml").absolute()


def bundle_path(settings: Settings) -> Path:
    """The host's bundle, whether it is there or not."""
    if settings.bundle_file:
        return Path(settings.bundle_file).expanduser().absolute()
    file = invocation.inventory_file()
    return Path("bundles", f"{file.stem if file else 'no-inventory-file'}.tar").absolute()


def opened(settings: Settings) -> Bundle | None:
    """The bundle this host is deployed from; None when it is not. Raises `BundleError` when that is none."""
    if settings.image_source != "bundle":
        return None
    found = _read_bundle(bundle_path(settings))
    if isinstance(found, BundleError):
        raise found
    return found


def followed(settings: Settings) -> Lock | None:
    """The lock this host's deploy follows: its bundle's, or the lock file; None without one."""
    if source := opened(settings):
        return source.lock
    return None if settings.lock_file == "" else read_lock(lock_path(settings))


def wanted(settings: Settings, machine: Machine) -> list[Wanted]:
    """The images of a host on this machine as they are locked; [] without a lock."""
    found = followed(settings)
    return lock.wanted(found, references(settings), machine) if found else []


@cache
def read_lock(file: Path) -> Lock | None:
    """The lock in a file, None where there is no such file. Raises `LockError` when it is no lock."""
    try:
        return lock.parse(file.read_text(encoding="ascii"), file.name)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise LockError([f"{file.name}: expected to read it, got {error}; run runbooks/lock.py again"]) from None


@cache
def _read_bundle(file: Path) -> Bundle | BundleError:
    """Read once for all hosts, and the failure, too: comparing the checksums of gigabytes takes a while."""
    try:
        return bundle.read(file, logger.info)
    except BundleError as error:
        return error
