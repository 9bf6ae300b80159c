"""A container of the lab that hosts reach by name: the registry, the package repository, the models."""

from __future__ import annotations

import io
import tarfile
import time
from dataclasses import dataclass, field

from lab import docker, network, state
from lab.progress import step

_ROLE_LABEL = f"{docker.LABEL}.service"
_VERSION_LABEL = f"{docker.LABEL}.version"


@dataclass(frozen=True)
class Service:
    """What a service should be. `files` are put into the container before it starts, path -> content."""

    role: str
    image: str
    name: str
    offset: int
    flags: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


def container_name(lab: str, role: str) -> str:
    return f"open-webui-lab-{lab}-{role}"


def existing(lab: str) -> list[tuple[str, bool, str]]:
    """(role, whether it runs, address) of each service of the lab."""
    found = docker.containers(f"label={docker.LABEL}={lab}", f"label={_ROLE_LABEL}")
    return sorted(
        (
            one["Config"]["Labels"][_ROLE_LABEL],
            bool(one["State"]["Running"]),
            next(iter(one["NetworkSettings"]["Networks"].values()))["IPAMConfig"]["IPv4Address"],
        )
        for one in found
    )


def is_current(lab: str, role: str, version: str) -> bool:
    """Whether the service runs and was made as this version."""
    found = docker.containers(f"label={docker.LABEL}={lab}", f"label={_ROLE_LABEL}={role}")
    return bool(found) and found[0]["State"]["Running"] and found[0]["Config"]["Labels"][_VERSION_LABEL] == version


def ensure(lab: str, wanted: Service, version: str) -> None:
    """Ensure the service runs as this version, replacing an older or stopped container (it keeps no data)."""
    if is_current(lab, wanted.role, version):
        return
    container = container_name(lab, wanted.role)
    with step(f"Start {wanted.name}"):
        for stale in docker.containers(f"label={docker.LABEL}={lab}", f"label={_ROLE_LABEL}={wanted.role}"):
            docker.run("rm", "--force", "--volumes", stale["Id"])
        with state.lock("addresses", "Waiting for another lab that is choosing addresses"):
            subnet = network.ensure(lab)
        docker.run(
            "create",
            f"--name={container}",
            f"--hostname={wanted.role}",
            f"--label={docker.LABEL}={lab}",
            f"--label={_ROLE_LABEL}={wanted.role}",
            f"--label={_VERSION_LABEL}={version}",
            f"--network={network.name_of(lab)}",
            f"--network-alias={wanted.name}",
            f"--ip={subnet[wanted.offset]}",
            "--init",
            *wanted.flags,
            wanted.image,
            *wanted.command,
        )
        if wanted.files:
            put(container, wanted.files)
        docker.run("start", container)


def put(container: str, files: dict[str, bytes]) -> None:
    """Ensure a container has these files, path -> content; root owns them and nobody else reads them."""
    docker.run("cp", "-", f"{container}:/", stdin=_archive(files))


def _archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
