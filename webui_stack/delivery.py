"""Operations that bring locked images and packages to a host, from its registry or from a bundle; and out of one.

What is copied passes through a folder on the host that is the SSH user's alone and removed in any case.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from paramiko import SSHException
from pyinfra import host, logger
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from webui_stack import bundle, facts, lock, remote, templates
from webui_stack.bundle import Bundle, Progress
from webui_stack.compose import Image
from webui_stack.lock import Held, Wanted

Images = Mapping[str, Image]
Commands = Generator[StringCommand | FunctionCommand, None, None]

# Below a folder that is root's: nobody else can put something in its place.
_FOLDER = "/var/lib/open-webui-stack.bundle"


@operation()
def images(wanted: Sequence[Wanted], source: Bundle | None, present: Callable[[], Images]) -> Commands:
    """Ensure each reference means its locked image on the host; `present` tells what references mean there.

    Pulled by its digest, or loaded from the bundle `source`; only what the host lacks, and tagged, so that compose
    and containers see the reference they know. Fails when the registry serves anything else, before anything
    of the old stack is stopped.
    """
    lacking = lock.unmet(wanted, present())
    if not lacking:
        host.noop("every reference means its locked image")
        return
    held = host.get_fact(facts.HeldImages, images=lacking)
    for one in lacking:
        found = held.get(one.reference, Held())
        if found.locked:
            yield StringCommand(shlex.join(["docker", "tag", found.locked, one.reference]))
        elif source is None:
            yield StringCommand(templates.pull_script(one))
        else:
            yield FunctionCommand(_load, (source, one), {})


def as_locked(wanted: Sequence[Wanted], present: Images) -> Images:
    """What references mean on the host once they mean the locked images; an image that is still to come has no id."""
    lacking = lock.unmet(wanted, present)
    if not lacking:
        return present
    held = host.get_fact(facts.HeldImages, images=lacking)
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
def export(images: Sequence[Wanted], packages: Sequence[str], platform: str, path: str, lock_text: str) -> Commands:
    """Ensure a bundle at `path` on this machine: the images as this host has them, and the packages.

    The packages, `name=version`, come from the host's own package sources with all they depend on, base system
    included, so that any host of the same release can use them; [] for none. The host is left as it was. It
    needs twice the largest image's size below /var/lib for the time being.
    """
    yield FunctionCommand(_export, (list(images), list(packages), platform, path, lock_text), {})


def _load(state: State, host: Host, source: Bundle, one: Wanted) -> bool:  # noqa: ARG001
    part_and_id = source.image(one)
    assert part_and_id is not None  # preflight has refused this host otherwise
    part, id_ = part_and_id
    return _told(
        host,
        lambda: _bring(host, source, part, templates.load_script(_FOLDER, id_, one.reference)),
    )


def _install(state: State, host: Host, source: Bundle, part: str, names: list[str]) -> bool:  # noqa: ARG001
    return _told(host, lambda: _bring(host, source, part, templates.install_script(_FOLDER, names)))


def _told(host: Host, work: Callable[[], None]) -> bool:
    """Do the work; False, with the reason printed, when it failed: raising would stop the run for every host."""
    try:
        work()
    except (remote.RemoteError, bundle.BundleError, SSHException, OSError, EOFError) as error:
        for line in str(error).splitlines() or [f"the connection was lost ({type(error).__name__}); run it again"]:
            host.log_styled(line, fg="red", log_func=logger.error)
        return False
    return True


def _bring(host: Host, source: Bundle, part: str, script: str) -> None:
    """Upload one part and run a script on it, as the file `part` in its working directory."""
    expected = source.parts[part]
    progress = Progress(f"uploading {part}", expected.size, host.log)
    with _folder(host) as folder, source.open(part, progress) as content:
        if not host.put_file(content, f"{folder}/part"):
            raise remote.RemoteError(f"{part}: expected to upload it, got a refusal; is there room in /var/lib?")
        remote.run(host, _verified(expected.sha256, part, script))


def _verified(sha256: str, part: str, script: str) -> str:
    return f"""\
cd {_FOLDER} || exit 1
got=$(sha256sum <part) || exit 1
if [ "${{got%% *}}" != {sha256} ]; then
  echo {shlex.quote(part)}": expected SHA-256 {sha256} on the host, got ${{got%% *}}; run it again" >&2
  exit 1
fi
{script}"""


@contextmanager
def _folder(host: Host) -> Iterator[str]:
    """A folder on the host for the SSH user alone, who carries the files; gone afterwards."""
    status, output = host.run_shell_command("id -u", print_output=False, print_input=False)
    if not status:
        raise remote.RemoteError(output.stderr)
    user = int(output.stdout)
    remote.run(host, f"rm -rf {_FOLDER} && mkdir -m 700 {_FOLDER} && chown {user} {_FOLDER}")
    try:
        yield _FOLDER
    finally:
        remote.run(host, f"rm -rf {_FOLDER}")


def _export(
    state: State,  # noqa: ARG001
    host: Host,
    images: list[Wanted],
    packages: list[str],
    platform: str,
    path: str,
    lock_text: str,
) -> bool:
    def work() -> None:
        held = host.get_fact(facts.HeldImages, images=images)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as temporary:
            writer = bundle.Writer(target, Path(temporary), lock_text)
            for one in images:
                host.log(f"saving {one.reference}")
                id_ = held[one.reference].locked
                _fetch(host, writer, bundle.image_part(id_), templates.save_image_script(_FOLDER, id_))
            if packages:
                host.log(f"collecting {', '.join(packages)} and what they need")
                part = bundle.packages_part(platform)
                _fetch(host, writer, part, templates.save_packages_script(_FOLDER, packages))
            made = writer.close(host.log)
        size_mb = sum(part.size for part in made.parts.values()) / 1e6
        said = f"wrote {target}: {len(made.parts)} parts, {size_mb:.0f} MB"
        host.log_styled(said, fg="green", log_func=logger.info)

    return _told(host, work)


def _fetch(host: Host, writer: bundle.Writer, part: str, script: str) -> None:
    """Run a script that makes a part and prints its SHA-256 and size, and fetch it."""
    with _folder(host) as folder:
        sha256, size = remote.run(host, script)[-1].split()
        with writer.part(part, sha256, Progress(f"fetching {part}", int(size), host.log)) as content:
            host.get_file(f"{folder}/part", content)
