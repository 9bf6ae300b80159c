"""Build or pull the lab's images. Each is cached by content: the tag is a hash of everything that goes in."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from lab import apt, docker, state
from lab.errors import LabError
from lab.progress import megabytes, step

RECIPES = Path(__file__).resolve().parent / "images"
NAMESPACE = "open-webui-lab"
_MODES = ("auto", "build", "pull")
_ROOTFS_PACKAGES = "ca-certificates"
_REACH_TIMEOUT_S = 5


def mode() -> str:
    """LAB_IMAGES: `build` never asks a registry, `pull` never builds what can be pulled, `auto` looks."""
    value = os.environ.get("LAB_IMAGES", "auto")
    if value not in _MODES:
        raise LabError(f"LAB_IMAGES: expected one of {', '.join(_MODES)}, got {value!r}, set one of these or unset it")
    return value


def pulls_from(registry: str) -> bool:
    """Whether images of this registry are pulled; under `auto` that is whether it answers from here."""
    return mode() == "pull" or (mode() == "auto" and _reachable(registry))


def pull(reference: str) -> str:
    """Ensure an upstream image is in the engine and return its reference."""
    if not docker.image_exists(reference):
        with step(f"Pull {reference}") as current:
            docker.run("pull", "--quiet", reference)
            current.detail = megabytes(docker.image_size_bytes(reference))
    return reference


def debian(release: str, lab: str) -> str:
    """Ensure the base image of Debian 12 or 13 exists and return its reference."""
    origin, sources, options = _debian_parts(release)

    def generate(context: Path) -> dict[str, str]:
        etc_apt = context / "generated" / "apt"
        (etc_apt / "apt.conf.d").mkdir(parents=True)
        if sources:
            (etc_apt / "sources.list.d").mkdir()
            (etc_apt / "sources.list").write_text("")
            (etc_apt / "sources.list.d" / "debian.sources").write_text(_deb822(sources))
        (etc_apt / "apt.conf.d" / "90machine").write_text(options)
        pulled = pulls_from("registry-1.docker.io")
        return {"ROOTFS": pull(origin) if pulled else _mmdebstrap(release, lab)}

    return build("debian", f"debian-{release}", lab, _debian_inputs(release), generate)


def _debian_parts(release: str) -> tuple[str, str, str]:
    """Where the base image comes from, and its apt's sources and options."""
    sources = "".join(line + "\n" for line in apt.source_lines(release))
    options = "".join(line + "\n" for line in apt.transport_options())
    pulled = pulls_from("registry-1.docker.io")
    suite = apt.SUITES[release]
    return f"docker.io/library/debian:{suite}-slim" if pulled else f"mmdebstrap {_ROOTFS_PACKAGES}", sources, options


def _debian_inputs(release: str) -> str:
    origin, sources, options = _debian_parts(release)
    return f"{origin}\n{apt.SUITES[release]}\n{sources}{options}"


def build(
    recipe: str,
    name: str,
    lab: str,
    inputs: str,
    generate: Callable[[Path], dict[str, str]],
) -> str:
    """Ensure the image of a recipe exists and return its reference, `open-webui-lab/<name>:<hash>`.

    The hash covers the recipe's files and `inputs`. Only if it must be built, `generate` is called with the
    build context, a copy of the recipe, to add files; it returns the build arguments. Two labs that want
    the same image build it once. Raises LabError with the builder's last words.
    """
    reference = _reference(recipe, name, inputs)
    if docker.image_exists(reference):
        return reference
    with state.lock(f"image-{name}", f"Waiting for another lab that is building the image {name}"):
        if docker.image_exists(reference):
            return reference
        context = state.ensure_folder(lab) / "build" / name
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(RECIPES / recipe, context)
        arguments = generate(context)
        with step(f"Build image {name}") as current:
            flags = [f"--build-arg={key}={value}" for key, value in arguments.items()]
            docker.run_logged(
                ["docker", "build", "--force-rm", "--tag", reference, *flags, str(context)],
                state.log(lab, f"image-{name}"),
            )
            current.detail = megabytes(docker.image_size_bytes(reference))
        shutil.rmtree(context)
    return reference


def on_debian(recipe: str, name: str, release: str, lab: str) -> str:
    """Ensure the image of a recipe that only needs the Debian base exists and return its reference."""
    base = debian(release, lab)
    return build(recipe, name, lab, base, lambda _: {"BASE": base})


def on_debian_reference(recipe: str, name: str, release: str) -> str:
    """What `on_debian` returns, without building anything."""
    return _reference(recipe, name, _reference("debian", f"debian-{release}", _debian_inputs(release)))


def host(release: str, lab: str, python: bool = True, engine: str = "distro") -> str:
    """Ensure the image of a host exists, with python3 as cloud images have it, or without; return its reference.

    The apt of a host with the engine "newer" offers the newest Docker and Compose in Debian's archive. Its image has
    none of them: a deploy installs what the archive has on that day.
    """
    base = debian(release, lab)
    packages = "python3" if python else ""
    name = f"host-{release}" if python else f"host-{release}-no-python"
    own = build("host", name, lab, f"{base} {packages}", lambda _: {"BASE": base, "PACKAGES": packages})
    if engine == "distro":
        return own
    return build("host-newer", f"{name}-newer", lab, own, lambda _: {"BASE": own})


def remove_cached() -> str:
    """Ensure no image that the lab built is left, whatever version of a recipe made it; say how much went.

    Images that were pulled are not the lab's and stay.
    """
    out = docker.run("image", "prune", "--all", "--force", f"--filter=label={docker.CACHE_LABEL}")
    return out.splitlines()[-1] if out else ""


def _mmdebstrap(release: str, lab: str) -> str:
    """Make a minimal root file system from Debian's packages and import it; return the image's reference."""
    apt.ensure_tools({"mmdebstrap": "mmdebstrap"}, lab, f"a Debian {release} image without a registry")
    reference = f"{NAMESPACE}/rootfs-{release}:latest"
    archive = state.ensure_folder(lab) / "build" / f"rootfs-{release}.tar"
    archive.parent.mkdir(exist_ok=True)

    def size() -> str:
        return megabytes(archive.stat().st_size) if archive.exists() else ""

    with step(f"Bootstrap Debian {release}", watch=size):
        docker.run_logged(
            [
                "mmdebstrap",
                "--variant=minbase",
                f"--include={_ROOTFS_PACKAGES}",
                # as the official images: no translations, no fsync per file
                '--aptopt=Acquire::Languages "none"',
                "--dpkgopt=force-unsafe-io",
                *[f"--aptopt={line.rstrip(';')}" for line in apt.transport_options()],
                apt.SUITES[release],
                str(archive),
                *apt.source_lines(release),
            ],
            state.log(lab, f"rootfs-{release}"),
            hint=" (as an ordinary user it needs uidmap and /etc/subuid entries)" if os.geteuid() else "",
        )
    docker.run(
        "import",
        f"--change=LABEL {docker.CACHE_LABEL}=image",
        '--change=CMD ["bash"]',
        str(archive),
        reference,
    )
    archive.unlink()
    return reference


def _deb822(lines: str) -> str:
    """Sources in the format that Debian 12 and 13 install with (sources.list(5))."""
    stanzas = []
    for line in lines.splitlines():
        _, uri, suite, component = line.split()
        stanzas.append(
            f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {component}\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        )
    return "\n".join(stanzas)


def _reference(recipe: str, name: str, inputs: str) -> str:
    return f"{NAMESPACE}/{name}:{_digest(RECIPES / recipe, inputs)}"


def _digest(folder: Path, inputs: str) -> str:
    total = hashlib.sha256(inputs.encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(f"\0{path.relative_to(folder)}\0{path.stat().st_mode & 0o100}\0".encode())
            total.update(path.read_bytes())
    return total.hexdigest()[:12]


@functools.cache
def _reachable(registry: str) -> bool:
    try:
        with urllib.request.urlopen(f"https://{registry}/v2/", timeout=_REACH_TIMEOUT_S):
            return True
    except urllib.error.HTTPError as error:
        # the API's way to say "log in first"; a proxy in between that refuses says 403
        return error.code == 401
    except OSError:
        return False
