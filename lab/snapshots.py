"""Saved hosts: a host's own files as an image, what its Docker has as a volume, both found by a key.

A saved host outlives its lab, as the images do. Only the newest ones stay. The files of images are shared by all hosts
that are made of one saved host: each is on the disk, and in the kernel's memory, once.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from lab import docker, images, state
from lab.errors import LabError

KEPT = 4
"""How many saved hosts stay when another is saved."""

_KIND = "snapshot"
_REPOSITORY = f"{images.NAMESPACE}/{_KIND}"
# Of overlay2 the layers of images are linked, not copied: Docker and containers read them, and put what they change
# into a layer of the container's own. All else is copied: the daemon writes into its databases and logs in place.
# Each engine has an id of its own.
_COPY = """\
set -e
cd "/volumes/$1/_data"
to=/volumes/$2/_data
chmod --reference . "$to"
for one in * .[!.]*; do
  case $one in overlay2 | engine-id | ".[!.]*") ;; *) cp --archive --reflink=auto "$one" "$to" ;; esac
done
[ -d overlay2 ] || exit 0
mkdir "$to/overlay2"
chmod --reference overlay2 "$to/overlay2"
layers=" "
for file in image/overlay2/layerdb/sha256/*/cache-id; do layers="$layers$(cat "$file") "; done
for one in overlay2/*; do
  link=
  case $layers in *" ${one#overlay2/} "*) link=--link ;; esac
  cp --archive --reflink=auto $link --target-directory "$to/overlay2" "$one"
done
"""


def check_key(key: str) -> str:
    """Return `key` if it can be an image's tag, or is ""; else raise LabError."""
    if key and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", key):
        raise LabError(f"KEY: expected up to 63 of a-z, 0-9 and -, not - first, got {key!r}, choose another")
    return key


def exists(key: str) -> bool:
    return docker.image_exists(f"{_REPOSITORY}:{key}") and bool(docker.volumes(f"name=^{_volume(key)}$"))


def image(key: str) -> str:
    """The image of the host that was saved, or LabError if there is none."""
    if not exists(key):
        raise LabError(f"--saved: expected a host saved as {key}, got none; save one with `python -m lab save`")
    return f"{_REPOSITORY}:{key}"


def save(lab: str, base: str, container: str, key: str, flags: list[str]) -> None:
    """Ensure the container, a host that is stopped, and its Docker's data are saved under the key.

    The image is made last: where a save was cut off there is none, and the next one begins anew.
    """
    with state.lock(_KIND, "Waiting for another lab that is saving a host"):
        (one,) = docker.inspect("container", [container])
        (data,) = [mount["Name"] for mount in one["Mounts"] if mount["Destination"] == "/var/lib/docker"]
        if docker.volumes(f"name=^{_volume(key)}$"):
            docker.run("volume", "rm", _volume(key))
        docker.run("volume", "create", f"--label={docker.CACHE_LABEL}={_KIND}", _volume(key))
        _copy(lab, base, data, _volume(key), flags)
        docker.run("commit", f"--change=LABEL {docker.CACHE_LABEL}={_KIND}", container, f"{_REPOSITORY}:{key}")
        _forget_older(key)


def copy_data(lab: str, base: str, key: str, flags: list[str]) -> str:
    """A new volume of the lab with what the saved host's Docker has; its name."""
    volume = docker.run("volume", "create", f"--label={docker.LABEL}={lab}")
    _copy(lab, base, _volume(key), volume, flags)
    return volume


def remove_cached() -> list[str]:
    """Ensure no volume of a saved host is left; return what went. The images go with all that the lab built."""
    names = docker.volumes(f"label={docker.CACHE_LABEL}={_KIND}")
    if names:
        docker.run("volume", "rm", *names)
    return names


def _copy(lab: str, base: str, source: str, target: str, flags: list[str]) -> None:
    """Copy one volume into another, empty one, by a container of the image `base`.

    With the privileges of a host: overlay2 notes in `trusted` attributes and in device files what an image's layer
    removes, and an ordinary container neither sees the first nor makes the second. The folder of all volumes
    is mounted, because a file can't be linked from one mount to another.
    """
    (found,) = docker.inspect("volume", [source])
    volumes = PurePosixPath(found["Mountpoint"]).parent.parent
    docker.run(
        "run", "--rm", f"--label={docker.LABEL}={lab}", "--network=none", f"--volume={volumes}:/volumes",
        *flags, "--entrypoint=sh", base, "-c", _COPY, "copy", source, target,
    )  # fmt: skip


def _forget_older(key: str) -> None:
    """Ensure only the newest saved hosts are left; one that a lab is just using stays until the next time."""
    tags = docker.run("image", "ls", "--format={{.Tag}}", _REPOSITORY).split()  # newest first
    for tag in [tag for tag in tags if tag != key][KEPT - 1 :]:
        # a host made of it keeps the image, and whoever copies the volume keeps that: both are refused then
        docker.try_run("image", "rm", f"{_REPOSITORY}:{tag}")
        docker.try_run("volume", "rm", _volume(tag))


def _volume(key: str) -> str:
    return f"open-webui-lab-{_KIND}-{key}"
