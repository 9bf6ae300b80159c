"""Operations that bring locked images and packages to a host, from its registry or from a bundle; and out of one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pyinfra import host, logger
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from webui_stack.artifacts import bundle
from webui_stack.artifacts.bundle import Bundle, BundleError
from webui_stack.model import lock
from webui_stack.model.compose import Image
from webui_stack.model.lock import Held, Wanted
from webui_stack.ops import facts, progress
from webui_stack.ops.progress import Progress
from webui_stack.settings.sources import HiddenItems
from webui_stack.transport import program, transfer

Images = Mapping[str, Image]
Commands = Generator[StringCommand | FunctionCommand, None, None]


@operation()
def images(
    wanted: Sequence[Wanted], source: Bundle | None, present: Callable[[], Images], logins: HiddenItems
) -> Commands:
    """Ensure each reference means its locked image on the host; `present` tells what references mean there.

    Pulled by its digest (the verb `pull` of the host's program), or loaded from the bundle `source`; only what the host
    lacks, and tagged, so that compose and containers see the reference they know. Fails when the registry serves
    anything else, before anything of the old stack is stopped. `logins` are `secrets_requests.registry_logins`.
    """
    lacking = lock.unmet(wanted, present())
    if not lacking:
        host.noop("every reference means its locked image")
        return
    absent: list[Wanted] = []
    if source is not None:
        held = facts.held_images(host, lacking)
        absent = [one for one in lacking if not held.get(one.reference, Held()).locked]
    # Of those that are on the host only the references change.
    if found := [one for one in lacking if one not in absent]:
        yield FunctionCommand(_pull, (found, logins), {})
    for one in absent:
        yield FunctionCommand(_load, (source, one), {})


def as_locked(wanted: Sequence[Wanted], present: Images) -> Images:
    """What references mean on the host once they mean the locked images; an image that is still to come has no id."""
    lacking = lock.unmet(wanted, present)
    if not lacking:
        return present
    held = facts.held_images(host, lacking)
    return {**present, **{one.reference: Image(held.get(one.reference, Held()).locked) for one in lacking}}


@operation()
def packages(names: Sequence[str], present: frozenset[str], platform: str, source: Bundle) -> Commands:
    """Ensure the packages (`name` or `name=version`) are installed, from the bundle alone.

    Nothing is fetched and apt's own sources are neither read nor changed. Does nothing when all are `present`.
    """
    if all(name.partition("=")[0] in present for name in names):
        host.noop("all packages are installed")
        return
    yield FunctionCommand(_install, (source, bundle.packages_part(platform), list(names)), {})


@operation(is_idempotent=False)
def export(
    images: Sequence[Wanted],
    packages: Sequence[str],
    platform: str,
    path: str,
    lock_text: str,
    record: Callable[[Bundle], None],
) -> Commands:
    """Ensure a bundle at `path` on this machine: the images as this host has them, and the packages.

    The packages, `name=version`, come from the host's own package sources with all they depend on, base system
    included. So any host of the same release can use them; [] for none. The host is left as it was. It needs twice the
    largest image's size below /var/lib for the time being. `record` is called with the bundle once it is whole.
    """
    yield FunctionCommand(_export, (list(images), list(packages), platform, path, lock_text, record), {})


def _pull(state: State, host: Host, wanted: list[Wanted], logins: HiddenItems) -> bool:  # noqa: ARG001
    asked = HiddenItems({**lock.request(wanted), "logins": logins})
    return transfer.told(host, lambda: _call(host, "pull", asked), BundleError)


def _load(state: State, host: Host, source: Bundle, one: Wanted) -> bool:  # noqa: ARG001
    part_and_id = source.image(one)
    assert part_and_id is not None  # preflight has refused this host otherwise
    part, id_ = part_and_id
    expected = source.parts[part]

    def work() -> None:
        with (
            source.open(part, Progress(f"uploading {part}", expected.size, host.log)) as content,
            transfer.uploaded(host, part, content, expected.size, expected.sha256) as path,
        ):
            _call(host, "load", {"path": path, "id": id_, "reference": one.reference})

    return transfer.told(host, work, BundleError)


def _call(host: Host, verb: str, arguments: Mapping[str, Any]) -> None:
    """Run a verb of the host's program, and show what it says while it is at work."""
    program.call(host, verb, arguments, lambda event: host.log(progress.line(event.text, event.done, event.total)))


def _install(state: State, host: Host, source: Bundle, part: str, names: list[str]) -> bool:  # noqa: ARG001
    expected = source.parts[part]

    def work() -> None:
        with (
            source.open(part, Progress(f"uploading {part}", expected.size, host.log)) as content,
            transfer.uploaded(host, part, content, expected.size, expected.sha256) as path,
        ):
            _call(host, "packages_install", {"path": path, "packages": names})

    return transfer.told(host, work, BundleError)


def _export(
    state: State,  # noqa: ARG001
    host: Host,
    images: list[Wanted],
    packages: list[str],
    platform: str,
    path: str,
    lock_text: str,
    record: Callable[[Bundle], None],
) -> bool:
    def work() -> None:
        held = facts.held_images(host, images)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as temporary:
            writer = bundle.Writer(target, Path(temporary), lock_text)
            made_at = f"{transfer.FOLDER}/part"
            for one in images:
                host.log(f"saving {one.reference}")
                id_ = held[one.reference].locked
                saved = {"path": made_at, "id": id_}
                _fetch(host, writer, bundle.image_part(id_), partial(_call, host, "save", saved))
            if packages:
                host.log(f"collecting {', '.join(packages)} and what they need")
                asked = {"path": made_at, "packages": packages}
                _fetch(host, writer, bundle.packages_part(platform), partial(_call, host, "packages_save", asked))
            made = writer.close(host.log)
        record(made)
        size_mb = sum(part.size for part in made.parts.values()) / 1e6
        said = f"wrote {target}: {len(made.parts)} parts, {size_mb:.0f} MB"
        host.log_styled(said, fg="green", log_func=logger.info)

    return transfer.told(host, work, BundleError)


def _fetch(host: Host, writer: bundle.Writer, part: str, make: Callable[[], object]) -> None:
    """Run what makes the file `part` on the host, and fetch it."""
    transfer.download(
        host,
        "part",
        lambda sha256, size: writer.part(part, sha256, Progress(f"fetching {part}", size, host.log)),
        make,
    )
