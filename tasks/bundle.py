"""The locked images and packages of a host as one archive on this machine."""

from __future__ import annotations

from pyinfra import host, inventory, state
from pyinfra.api import DeployError, deploy

from webui_stack.artifacts import bundle
from webui_stack.artifacts import images as delivery
from webui_stack.artifacts.bundle import Bundle
from webui_stack.model import lock
from webui_stack.model.lock import Lock, LockError, Wanted
from webui_stack.ops import facts, lease, operations, run
from webui_stack.settings.model import Settings

from . import preflight, sources


def _one_host() -> None:
    if len(state.activated_hosts) != 1:
        raise DeployError(
            f"bundle: expected one host to take images and packages from, got {len(state.activated_hosts)}; "
            "name it with --limit HOST"
        )


@deploy("Bundle")
def pack(settings: Settings) -> None:
    """Ensure a bundle on this machine has the locked images and, on apt's systems, Docker's packages.

    Taken from the one targeted host, which has to run what is locked and to reach its package sources. It is
    left as it was. The lock file gets the SHA-256 of the packages. Raises `DeployError` for more hosts, or without
    a lock.
    """
    _one_host()
    found = _lock(settings)
    machine = preflight.observation().survey().machine
    images = lock.wanted(found, sources.references(settings), machine)
    operations.gate(name="Check that the host has what is locked", check=lambda: _unlocked(images, found))
    operations.gate(name="Check that nobody else is at work", check=_claim, at_execution=True)
    delivery.export(
        name="Make the bundle",
        images=images,
        packages=lock.exact(found, machine, settings.docker_source),
        platform=lock.platform(machine),
        path=str(sources.bundle_path(settings)),
        lock_text=lock.render(found),
        record=lambda made: _record(settings, found, lock.platform(machine), made),
    )
    operations.gate(name="Let go of the host", check=_let_go, at_execution=True)


def _record(settings: Settings, found: Lock, platform: str, made: Bundle) -> None:
    """Ensure the lock file names the packages that were just packed; a bundle with others is refused then."""
    part = made.parts.get(bundle.packages_part(platform))
    if part is None:
        return
    file = sources.lock_path(settings)
    sources.write_lock(file, lock.with_archive(found, platform, part.sha256))
    host.log(f"wrote the SHA-256 of its packages to {file}: commit that file, and take it along with the bundle")


class _Leases(dict[str, lease.Lease]):
    """The leases that this run holds, by host."""


def _claim() -> list[str]:
    problems, taken = lease.take(inventory.get_host(host.name))
    if taken:
        run.current().once(_Leases)[host.name] = taken
    return problems


def _let_go() -> list[str]:
    run.current().once(_Leases).pop(host.name).release()
    return []


def _lock(settings: Settings) -> Lock:
    file = sources.lock_path(settings)
    try:
        found = sources.read_lock(file) or Lock()
        problems = lock.missing(found, sources.references(settings), file.name)
    except LockError as error:
        problems = error.problems
    if problems:
        raise DeployError("\n".join(problems))
    return found


def _unlocked(images: list[Wanted], found: Lock) -> list[str]:
    held = facts.held_images(host, images)
    problems = []
    for one in images:
        id_ = held.get(one.reference, lock.Held()).locked
        if id_ not in one.ids:
            problems.append(
                f"image {one.reference}: expected the locked {one.image.digest}, got {id_ or 'none'}; "
                "run deploy.py on this host first"
            )
    survey = preflight.observation().survey()
    return problems + lock.package_drift(survey.engine.versions, found, survey.machine)
