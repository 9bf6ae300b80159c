"""The lock file: followed by a deploy where there is one, written by a runbook from what runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pyinfra import host, inventory, logger, state
from pyinfra.api import DeployError, Inventory, deploy

from tasks import bundle
from webui_stack import delivery, facts, invocation, lease, lock, operations
from webui_stack.lock import Lock, LockError, Seen, Wanted
from webui_stack.machine import Machine
from webui_stack.settings import Settings


def check(of_all: Mapping[str, Settings]) -> list[str]:
    """Every problem of these hosts' locks and bundles: unreadable, or without an image that the settings name."""
    problems = bundle.check(of_all)
    if problems:
        return problems
    for name, settings in of_all.items():
        try:
            found = followed(settings)
            beside = _read(path(settings)) if settings.image_source == "bundle" else None
        except LockError as error:
            problems += error.problems
            continue
        if found is None:
            if settings.lock_file:
                problems.append(
                    f"{name} / lock_file: expected {path(settings)}, got no such file; run runbooks/lock.py"
                )
            continue
        where = bundle.path(settings) if settings.image_source == "bundle" else path(settings)
        problems += [f"{name} / {line}" for line in lock.missing(found, references(settings), where.name)]
        if beside:
            problems += [
                f"{name} / {where.name}: expected the image {reference} as in {path(settings).name}, got another; make "
                "the bundle again with runbooks/bundle.py"
                for reference in references(settings)
                if beside.images.get(reference) and found.images.get(reference)
                if beside.images[reference].digest != found.images[reference].digest
            ]
    return list(dict.fromkeys(problems))


def references(settings: Settings) -> list[str]:
    """The images a host runs, each once."""
    return list(dict.fromkeys([settings.valkey_image, settings.open_webui_image]))


def path(settings: Settings) -> Path:
    """The host's lock file, whether it is there or not."""
    if settings.lock_file:
        return Path(settings.lock_file).expanduser().absolute()
    file = invocation.inventory_file()
    return file.with_suffix(".lock.toml") if file else Path("no-inventory-file.lock.toml").absolute()


def followed(settings: Settings) -> Lock | None:
    """The lock this host's deploy follows: its bundle's, or the lock file; None without one."""
    if settings.image_source == "bundle":
        return bundle.opened(settings).lock
    return None if settings.lock_file == "" else _read(path(settings))


def wanted(settings: Settings, machine: Machine) -> list[Wanted]:
    """The images of a host on this machine as they are locked; [] without a lock."""
    found = followed(settings)
    return lock.wanted(found, references(settings), machine) if found else []


@cache
def _read(file: Path) -> Lock | None:
    try:
        return lock.parse(file.read_text(encoding="ascii"), file.name)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise LockError([f"{file.name}: expected to read it, got {error}; run runbooks/lock.py again"]) from None


# --- Written ----------------------------------------------------------------------------------------


@deploy("Lock")
def record(settings: Settings) -> None:
    """Ensure the lock file says what the targeted hosts run. Changes nothing on them.

    All of them have to run the same, as their settings say. With `--limit`, entries that only other hosts could
    confirm stay. A dry run says what it would write. One operation after the other, because pyinfra ends the
    first on all hosts before it starts the second.
    """
    operations.gate(name="Look at what runs", check=lambda: _look(settings))
    operations.gate(name="Write the lock", check=lambda: _write(settings))


_seen: dict[str, tuple[Path, Seen]] = {}
_told: set[Path] = set()


def _look(settings: Settings) -> list[str]:
    machine = host.get_fact(facts.Machine)
    running = host.get_fact(facts.Running)
    if settings.docker_source == "present":
        running = lock.Running(running.images)
    _seen[host.name] = (path(settings), Seen(host.name, references(settings), lock.platform(machine), running))
    return []


def _write(settings: Settings) -> list[str]:
    file = path(settings)
    mine = [name for name, (of, _) in _seen.items() if of == file]
    targeted = state.activated_hosts | state.failed_hosts
    absent = sorted(target.name for target in targeted if target.name not in _seen)
    if absent and state.is_executing:
        return [
            f"lock: expected to look at every host, got nothing from {', '.join(absent)}; mend that, or use --limit"
        ]
    if absent or file in _told:  # a dry run goes through both operations host by host
        return []
    try:
        old = _read(file) or Lock()
        everybody = {target.name for target in inventory} == set(_seen)
        new = lock.record(
            [_seen[target.name][1] for target in inventory if target.name in mine], old, keep=not everybody
        )
    except LockError as error:
        return error.problems
    changes = lock.changes(old, new)
    if state.is_executing:
        _told.add(file)
        if changes:
            _put(file, lock.render(new))
    for line in changes:
        host.log(line)
    verb = "wrote" if state.is_executing else "would write"
    said = f"{verb} {file}" if changes else f"{file} says so already"
    host.log_styled(f"{said}: {len(new.images)} images", fg="green", log_func=logger.info)
    return []


def _put(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, encoding="ascii")
    new.replace(file)


# --- Into a bundle ------------------------------------------------------------------------------------


@cache
def _one_host(_: Inventory) -> None:
    if len(state.activated_hosts) != 1:
        raise DeployError(
            f"bundle: expected one host to take images and packages from, got {len(state.activated_hosts)}; "
            "name it with --limit HOST"
        )


@deploy("Bundle")
def pack(settings: Settings) -> None:
    """Ensure a bundle on this machine has the locked images and, on apt's systems, Docker's packages.

    Taken from the one targeted host, which has to run what is locked and to reach its package sources. It is
    left as it was. Raises `DeployError` for more hosts, or without a lock.
    """
    _one_host(inventory)
    found = _read(path(settings))
    problems = lock.missing(found or Lock(), references(settings), path(settings).name)
    if found is None or problems:
        raise DeployError("\n".join(problems))
    machine = host.get_fact(facts.Machine)
    images = lock.wanted(found, references(settings), machine)
    operations.gate(name="Check that the host has what is locked", check=lambda: _unlocked(images, found))
    operations.gate(name="Check that nobody else is at work", check=_claim, at_execution=True)
    delivery.export(
        name="Make the bundle",
        images=images,
        packages=lock.exact(found, machine, settings.docker_source),
        platform=lock.platform(machine),
        path=str(bundle.path(settings)),
        lock_text=lock.render(found),
    )
    operations.gate(name="Let go of the host", check=_let_go, at_execution=True)


_leases: dict[str, lease.Lease] = {}


def _claim() -> list[str]:
    problems, taken = lease.take(inventory.get_host(host.name))
    if taken:
        _leases[host.name] = taken
    return problems


def _let_go() -> list[str]:
    _leases.pop(host.name).release()
    return []


def _unlocked(images: list[Wanted], found: Lock) -> list[str]:
    held = host.get_fact(facts.HeldImages, images=images)
    problems = []
    for one in images:
        id_ = held.get(one.reference, lock.Held()).locked
        if id_ not in one.ids:
            problems.append(
                f"image {one.reference}: expected the locked {one.image.digest}, got {id_ or 'none'}; "
                "run deploy.py on this host first"
            )
    drift = lock.package_drift(host.get_fact(facts.Running).packages, found, host.get_fact(facts.Machine))
    return problems + drift
