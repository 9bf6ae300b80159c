"""What a deploy is bound to: the lock it follows, and the bundle it takes everything from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyinfra import logger

from webui_stack.artifacts import bundle
from webui_stack.artifacts.bundle import Bundle, BundleError
from webui_stack.model import lock
from webui_stack.model.lock import Lock, LockError, Wanted
from webui_stack.model.machine import Machine
from webui_stack.ops import cli_arguments, run
from webui_stack.settings.model import Settings


def check(of_all: Mapping[str, Settings]) -> list[str]:
    """Every problem of these hosts' locks and bundles: unreadable, or without an image that the settings name."""
    bundles = {bundle_path(settings) for settings in of_all.values() if settings.image_source == "bundle"}
    if broken := [str(found) for path in sorted(bundles) if isinstance(found := _bundle(path), BundleError)]:
        return broken
    problems = [line for name, settings in of_all.items() for line in _problems(name, settings)]
    return list(dict.fromkeys(problems))


def _problems(name: str, settings: Settings) -> list[str]:
    try:
        found = followed(settings)
        source = opened(settings)
    except LockError as error:
        return error.problems
    if found is None:
        expected = f"{name} / lock_file: expected {settings.lock_file}, got no such file; run runbooks/lock.py"
        return [expected] if settings.lock_file else []
    where = lock_path(settings).name if committed(settings) else bundle_path(settings).name
    problems = lock.missing(found, references(settings), where)
    if source and not problems:
        packed = source.lock.images
        problems = [
            f"{source.path.name}: expected the image {reference} as in {where}, got "
            f"{'another' if reference in packed else 'none'}; make the bundle again with runbooks/bundle.py"
            for reference in references(settings)
            if reference not in packed or packed[reference].digest != found.images[reference].digest
        ]
    return [f"{name} / {line}" for line in problems]


def references(settings: Settings) -> list[str]:
    """The images a host runs, each once."""
    return list(dict.fromkeys(settings.all_images.values()))


def lock_path(settings: Settings) -> Path:
    """The host's lock file, whether it is there or not."""
    if settings.lock_file:
        return Path(settings.lock_file).expanduser().absolute()
    file = cli_arguments.inventory_file()
    return file.with_suffix(".lock.toml") if file else Path("no-inventory-file.lock.toml").absolute()


def bundle_path(settings: Settings) -> Path:
    """The host's bundle, whether it is there or not."""
    if settings.bundle_file:
        return Path(settings.bundle_file).expanduser().absolute()
    file = cli_arguments.inventory_file()
    return Path("bundles", f"{file.stem if file else 'no-inventory-file'}.tar").absolute()


def opened(settings: Settings) -> Bundle | None:
    """The bundle this host is deployed from; None when it is not. Raises `BundleError` when that is none."""
    if settings.image_source != "bundle":
        return None
    found = _bundle(bundle_path(settings))
    if isinstance(found, BundleError):
        raise found
    return found


def committed(settings: Settings) -> Lock | None:
    """The operator's own lock; None without one."""
    return None if settings.lock_file == "" else read_lock(lock_path(settings))


def followed(settings: Settings) -> Lock | None:
    """The lock this host's deploy follows; None without one.

    The operator's own decides what a bundle may bring: the bundle may be somebody else's. Its own lock counts where
    the operator has none.
    """
    source = opened(settings)
    return committed(settings) or (source.lock if source else None)


def wanted(settings: Settings, machine: Machine) -> list[Wanted]:
    """The images of a host on this machine as they are locked; [] without a lock."""
    found = followed(settings)
    return lock.wanted(found, references(settings), machine) if found else []


def read_lock(file: Path) -> Lock | None:
    """The lock in a file, as this run first read it; None without a file. Raises `LockError` when it is no lock."""
    return run.current().once(_read_lock, file)


def _read_lock(file: Path) -> Lock | None:
    try:
        return lock.parse(file.read_text(encoding="ascii"), file.name)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise LockError([f"{file.name}: expected to read it, got {error}; run runbooks/lock.py again"]) from None


def write_lock(file: Path, written: Lock) -> None:
    """Ensure the file holds the lock; a reader sees the old one or the new one."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(lock.render(written), encoding="ascii")
    new.replace(file)


def _bundle(file: Path) -> Bundle | BundleError:
    """Read once for all hosts, and the failure, too: comparing the checksums of gigabytes takes a while."""
    return run.current().once(_read_bundle, file)


def _read_bundle(file: Path) -> Bundle | BundleError:
    try:
        return bundle.read(file, logger.info)
    except BundleError as error:
        return error
