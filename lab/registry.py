"""The lab's registry: the images a deploy pulls, under a name of its own, behind the lab's own CA.

Its storage is a volume named by what is in it, filled once and then served read-only by any number of
labs: a second `up` pushes nothing.
"""

from __future__ import annotations

import hashlib
import re
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from lab import docker, images, keys, network, service, state, wheels
from lab.errors import LabError
from lab.progress import megabytes, step

NAME = "registry.lab.test"
HOST = f"{NAME}:5000"
# renovate: datasource=docker depName=docker.io/valkey/valkey versioning=docker
_VALKEY_TAG = "8.0.12-alpine"
# A tag with Debian's release in it: another C library sorts text otherwise, which breaks indexes of existing data.
# renovate: datasource=docker depName=docker.io/pgvector/pgvector versioning=docker
_POSTGRES_TAG = "0.8.7-pg17-trixie"
# renovate: datasource=docker depName=docker.io/library/caddy versioning=docker
_CADDY_TAG = "2.11.9-alpine"
_FILL_LABEL = f"{docker.LABEL}.fill"
_READY_TIMEOUT_S = 30
_COMPLETE = ".complete"


@dataclass(frozen=True)
class Offered:
    """An image the registry has: what the engine calls it, and its name in the registry."""

    reference: str
    repository: str
    tag: str


def offered(lab: str) -> dict[str, Offered]:
    """Ensure the images to offer are in the engine, pulled or built; return them by inventory key."""
    if images.pulls_from("registry-1.docker.io"):
        small = {
            "valkey": _pulled("valkey/valkey", _VALKEY_TAG),
            "postgres": _pulled("pgvector/pgvector", _POSTGRES_TAG),
            "caddy": _pulled("library/caddy", _CADDY_TAG),
        }
    else:
        small = {
            "valkey": _built("valkey", "valkey/valkey", "{}", "valkey-server", lab),
            "postgres": _built("postgres", "pgvector/pgvector", "{}-pg17-trixie", "postgresql-17-pgvector", lab),
            "caddy": _built("caddy", "library/caddy", "{}", "caddy", lab),
        }
    newest, earlier = (f"v{_open_webui_version(recipe)}-slim" for recipe in ("open-webui", "open-webui-earlier"))
    if images.pulls_from("ghcr.io"):
        built = [images.pull(f"ghcr.io/open-webui/open-webui:{tag}") for tag in (newest, earlier)]
    else:
        base = _build_open_webui("open-webui", images.debian("12", lab), lab)
        built = [base, _build_open_webui("open-webui-earlier", base, lab)]
    return {
        **small,
        "open_webui": Offered(built[0], "open-webui/open-webui", newest),
        "open_webui_earlier": Offered(built[1], "open-webui/open-webui", earlier),
    }


def ensure(lab: str) -> dict[str, str]:
    """Ensure the registry runs on the lab's network with every offered image; return their full names."""
    image = images.on_debian("registry", "registry", "13", lab)
    content = offered(lab)
    volume = _ensure_filled(lab, image, list(content.values()))
    version = f"{image} {volume}"
    if not service.is_current(lab, "registry", version):
        certificate, key = keys.issue(lab, NAME)
        service.ensure(
            lab,
            service.Service(
                role="registry",
                image=image,
                name=NAME,
                offset=network.REGISTRY_OFFSET,
                flags=[f"--volume={volume}:/var/lib/registry:ro"],
                files={"/etc/docker/registry/tls.crt": certificate, "/etc/docker/registry/tls.key": key},
            ),
            version,
        )
    return {key: f"{HOST}/{one.repository}:{one.tag}" for key, one in content.items()}


def remove_half_filled(lab: str) -> None:
    """Ensure a push that a killed `up` left unfinished is gone: its container, and its names of images.

    The half-filled volume is emptied by the next `up`, or goes with the cache.
    """
    for container in docker.containers(f"label={docker.LABEL}={lab}", f"label={_FILL_LABEL}"):
        (binding,) = container["HostConfig"]["PortBindings"]["5000/tcp"]
        names = docker.run(
            "image", "ls", "--format={{.Repository}}:{{.Tag}}",
            f"--filter=reference=127.0.0.1:{binding['HostPort']}/*/*",
        ).split()  # fmt: skip
        docker.run("rm", "--force", container["Id"])
        if names:
            docker.run("image", "rm", *names)


def remove_cached() -> list[str]:
    """Ensure no volume with registry content is left; return what went."""
    names = docker.volumes(f"label={docker.CACHE_LABEL}=registry")
    if names:
        docker.run("volume", "rm", *names)
    return names


def _ensure_filled(lab: str, image: str, content: list[Offered]) -> str:
    """Ensure a volume holds these images, and return its name; the name is a hash of them."""
    identities = [docker.inspect("image", [one.reference])[0]["Id"] for one in content]
    key = "\n".join([image, *(f"{one} {identity}" for one, identity in zip(content, identities, strict=True))])
    volume = f"open-webui-lab-registry-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    with state.lock(volume, "Waiting for another lab that is filling the registry"):
        if not _is_complete(lab, image, volume):
            _fill(lab, image, volume, content)
    return volume


def _is_complete(lab: str, image: str, volume: str) -> bool:
    if not docker.volumes(f"name=^{volume}$"):
        return False
    command = [
        "run", "--rm", "--network=none", f"--label={docker.LABEL}={lab}", f"--volume={volume}:/mnt:ro",
        "--entrypoint=test", image, "-e",
    ]  # fmt: skip
    return docker.try_run(*command, f"/mnt/{_COMPLETE}")[0] == 0


def _fill(lab: str, image: str, volume: str, content: list[Offered]) -> None:
    for left_over in docker.containers(f"label={_FILL_LABEL}={volume}"):
        docker.run("rm", "--force", left_over["Id"])
    if docker.volumes(f"name=^{volume}$"):
        docker.run("volume", "rm", volume)
    docker.run("volume", "create", f"--label={docker.CACHE_LABEL}=registry", volume)
    with state.lock("addresses", "Waiting for another lab that is choosing addresses"):
        (port,) = network.free_ports(1)
        container = docker.run(
            "run", "--detach", "--init", f"--label={docker.LABEL}={lab}", f"--label={_FILL_LABEL}={volume}",
            f"--publish=127.0.0.1:{port}:5000", f"--volume={volume}:/var/lib/registry", image,
            "/etc/docker/registry/fill.yml",
        )  # fmt: skip
    try:
        _wait(port, container)
        for one in content:
            target = f"127.0.0.1:{port}/{one.repository}:{one.tag}"
            with step(f"Push {one.repository}:{one.tag} to the lab's registry") as current:
                current.detail = megabytes(docker.image_size_bytes(one.reference))
                docker.run("tag", one.reference, target)
                try:
                    docker.run_logged(["docker", "push", target], state.log(lab))
                finally:
                    docker.run("image", "rm", target)
        docker.run("exec", container, "touch", f"/var/lib/registry/{_COMPLETE}")
    finally:
        docker.run("rm", "--force", container)


def _wait(port: int, container: str) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while True:
        try:
            # no proxy: this is a port of this machine
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            opener.open(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                _, out, err = docker.try_run("logs", "--tail", "10", container)
                raise LabError(
                    f"registry: expected an answer on 127.0.0.1:{port} within {_READY_TIMEOUT_S} s, "
                    f"got {error}\n{out}{err}"
                ) from error
            time.sleep(0.2)


def _open_webui_version(recipe: str) -> str:
    """The version that the recipe's requirements.txt locks: the one place that has it."""
    requirements = images.RECIPES / recipe / "requirements.txt"
    found = re.search(r"^open-webui==(\S+)", requirements.read_text(), re.MULTILINE)
    if not found:
        raise LabError(f"{requirements}: expected a line open-webui==VERSION, got none, lock it again")
    return found.group(1)


def _pulled(repository: str, tag: str) -> Offered:
    return Offered(images.pull(f"docker.io/{repository}:{tag}"), repository, tag)


def _built(recipe: str, repository: str, tag: str, package: str, lab: str) -> Offered:
    """The recipe's image, tagged with the upstream version of the Debian package that it is about."""
    image = images.on_debian(recipe, recipe, "13", lab)
    query = ["dpkg-query", "--show", "--showformat=${source:Upstream-Version}", package]
    version = docker.run("run", "--rm", "--network=none", f"--entrypoint={query[0]}", image, *query[1:])
    # 8.1.1+dfsg1 is upstream's 8.1.1
    return Offered(image, repository, tag.format(re.split(r"[+~]", version)[0]))


def _build_open_webui(recipe: str, base: str, lab: str) -> str:
    architecture = docker.run("version", "--format", "{{.Server.Arch}}")

    def generate(context: Path) -> dict[str, str]:
        folder = wheels.download(images.RECIPES / recipe / "requirements.txt", architecture, lab)
        images.link_tree(folder, context / "generated" / "wheels")
        return {"BASE": base}

    return images.build(recipe, recipe, lab, f"{base}\n{architecture}", generate)
