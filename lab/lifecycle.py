"""Bring a lab up, take it down, and say how it is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lab import (
    docker,
    engine,
    hosts,
    images,
    inventory,
    keys,
    models,
    network,
    parallel,
    partition,
    registry,
    service,
    snapshots,
    state,
    wheels,
)
from lab.errors import LabError
from lab.extras import EXTRAS, present
from lab.progress import say, step

CHAT = "chat.lab.test"
"""What people would type; the lab has a certificate for it."""
_IMAGES = ("valkey", "open_webui")
"""What every lab's registry has."""
_SERVICES = ("registry", "images", "models", *EXTRAS)


def up(lab: str, numbers: Iterable[int], made: hosts.Made, extras: set[str]) -> None:
    """Ensure the lab runs with the hosts of these numbers and all its services, and inventory.json says so.

    Destroys nothing: missing hosts are added, stopped ones started, and `extras` join those that the lab has.
    The inventory is written as soon as the hosts answer, and again with the rest.
    """
    with _only(lab), state.lock(engine.IN_USE, "Waiting for a lab that is going down", shared=True):
        engine.ensure(lab)
        folder = state.ensure_folder(lab)
        if hosts.existing(lab) and not (folder / "host_keys").exists():
            raise LabError(
                f"{folder}: expected the keys of the hosts that exist, got none, "
                f"run `python -m lab down --name {lab}` and start again"
            )
        keys.ensure_ssh_key(folder / "id_ed25519", f"lab {lab}")
        authority = keys.ensure_authority(lab)
        certificate, key = keys.ensure_certificate(lab, CHAT)
        before = inventory.read(lab)
        services: dict[str, Any] = {
            "tls": {"name": CHAT, "certificate_file": str(certificate), "key_file": str(key), "ca_file": str(authority)}
        }
        known = {key: before[key] for key in _SERVICES if key in before}
        chosen = {name: EXTRAS[name] for name in EXTRAS if name in extras | present(before)}
        wanted = [*_IMAGES, *(extra.image for extra in chosen.values() if extra.image)]

        def hosts_up() -> None:
            ready = hosts.ensure(lab, numbers, made)
            inventory.write(lab, ready, {**known, **services})

        def registry_up() -> None:
            services["images"] = registry.ensure(lab, wanted)
            services["registry"] = {"host": registry.HOST, "ca_file": str(authority)}

        def service_up(name: str, ensure: Callable[[str], dict[str, str]]) -> None:
            services[name] = ensure(lab)

        parallel.together(
            hosts_up,
            registry_up,
            partial(service_up, "models", models.ensure),
            *(partial(service_up, name, extra.service) for name, extra in chosen.items() if extra.service),
        )
        all_hosts = hosts.existing(lab)
        inventory.write(lab, all_hosts, services)
    say(f"lab {lab} is up: {len(all_hosts)} host(s), {folder / 'inventory.json'}")


def down(lab: str, purge: bool) -> None:
    """Ensure nothing of the lab is left: containers, volumes, network, files, and the engine if it was ours.

    With `purge` also the cached images, volumes and downloads; refused while another lab exists, because
    it uses them. Does nothing if there is nothing.
    """
    with _only(lab):
        if not docker.answers() and state.folder(lab).exists() and engine.DATA_ROOT.exists():
            # the machine was restarted, say: what the lab left is in the data of an engine that is gone
            engine.ensure(lab)
        removed: list[str] = []
        # Shared: two labs may go down at once, and the first must not stop the engine under the second.
        with state.lock(engine.IN_USE, "Waiting for a lab that is going down", shared=True):
            if docker.answers():
                if purge:
                    _refuse_other_labs(lab)
                removed = _remove_objects(lab)
        with state.try_lock(engine.IN_USE) as alone:
            if purge and not alone:
                raise LabError(
                    "--purge: expected no other lab, got one that is coming up or going down, try again later"
                )
            if alone and docker.answers():
                _remove_orphaned_builds()
            if purge and docker.answers():
                _remove_caches()
            if docker.answers():
                say(engine.stop_if_unused() if alone else "another lab is at work: Docker engine left running")
            if purge:
                wheels.remove_cached()
                engine.remove_data()
        if state.remove_folder(lab):
            removed.append("its files")
    say(f"lab {lab} is down: " + (", ".join(removed) + " removed" if removed else "nothing was there"))


def status(lab: str) -> int:
    """Print every container of the lab and its ports on 127.0.0.1.

    0 if it is up, 1 if something of it is stopped or it does not exist.
    """
    if not docker.answers():
        print(f"lab {lab}: no Docker engine answers, so nothing runs")
        return 1
    found = docker.containers(f"label={docker.LABEL}={lab}")
    if not found:
        print(f"lab {lab}: does not exist, make it with: python -m lab up --name {lab}")
        return 1
    table = Table("name", "what", "state", "address", "ssh", "http", "https", box=box.SIMPLE, pad_edge=False)
    for host in hosts.existing(lab):
        table.add_row(
            host.name,
            str(host),
            "running" if host.running else "stopped",
            host.address,
            str(host.ssh_port),
            str(host.http_port),
            str(host.https_port or ""),
        )
    for role, running, address in service.existing(lab):
        table.add_row(role, "service", "running" if running else "stopped", address, "", "", "")
    Console().print(table)
    known = inventory.read(lab)
    for key, name in known.get("images", {}).items():
        print(f"{key}: {name}")
    for key in ("packages", "models"):
        if key in known:
            print(f"{key}: {known[key]['url']}")
    for key in sorted(set(EXTRAS) - present(known)):
        print(f"without {key}, {EXTRAS[key].what}: python -m lab up --name {lab} --with {key}")
    return 0 if all(container["State"]["Running"] for container in found) else 1


def save(lab: str, host: str, key: str) -> None:
    """Ensure the host is saved under the key, with what its own Docker has; `up --saved` makes hosts of it.

    The host is stopped meanwhile, and starts again. Does nothing if a host was saved under this key.
    """
    with _only(lab), state.lock(engine.IN_USE, "Waiting for a lab that is going down", shared=True):
        if snapshots.exists(key):
            say(f"a host is saved as {key} already")
            return
        hosts.save(lab, _running(lab, host), key)
    say(f"{host} is saved as {key}")


def cut(lab: str, host: str) -> None:
    """Ensure the host is off the lab's network, but for ssh from this machine."""
    changed = partition.cut(_running(lab, host), network.gateway(lab))
    say(f"{host} is cut off" if changed else f"{host} was cut off already")


def reconnect(lab: str, host: str) -> None:
    """Ensure the host is on the lab's network."""
    changed = partition.reconnect(_running(lab, host))
    say(f"{host} is back" if changed else f"{host} was not cut off")


def ssh(lab: str, host: str, command: list[str]) -> int:
    """Run ssh to a host of the lab with its key and host key checking; return ssh's exit status."""
    names = [one["name"] for one in inventory.read(lab).get("hosts", [])]
    if host not in names:
        raise LabError(
            f"HOST: expected one of {', '.join(names) or '(lab ' + lab + ' has no hosts)'}, got {host!r}, "
            "see `python -m lab status`"
        )
    return subprocess.run(hosts.ssh_command(lab, host, *command), check=False).returncode


def _running(lab: str, name: str) -> hosts.Host:
    running = {host.name: host for host in hosts.existing(lab) if host.running}
    if name not in running:
        raise LabError(f"HOST: expected a running one of {', '.join(running) or 'lab ' + lab}, got {name!r}")
    return running[name]


def _only(lab: str) -> AbstractContextManager[None]:
    return state.lock(f"lab-{lab}", f"Waiting for another command on lab {lab}")


def _remove_objects(lab: str) -> list[str]:
    """Ensure no docker object has the lab's label; return what went, in words."""
    mine = f"label={docker.LABEL}={lab}"
    removed = []
    if containers := [str(one["Id"]) for one in docker.containers(mine)]:
        with step(f"Remove {len(containers)} container(s)"):
            # a host is thrown away: nothing in it needs an orderly end
            docker.run("rm", "--force", "--volumes", *containers)
        removed.append(f"{len(containers)} container(s)")
    if volumes := docker.volumes(mine):
        docker.run("volume", "rm", *volumes)
        removed.append(f"{len(volumes)} volume(s)")
    for one in docker.networks(mine):
        docker.run("network", "rm", one["Id"])
        removed.append(f"network {network.name_of(lab)}")
    return removed


def _remove_orphaned_builds() -> None:
    """Ensure no container of an image build is left; call it when no `up` runs.

    The docker client of a killed `up` may still be building. Its containers have the label of the image
    they start from, and not a lab's.
    """
    for one in docker.containers(f"label={docker.CACHE_LABEL}=image"):
        if docker.LABEL not in one["Config"]["Labels"]:
            docker.run("rm", "--force", one["Id"])


def _refuse_other_labs(lab: str) -> None:
    found = {one["Config"]["Labels"][docker.LABEL] for one in docker.containers(f"label={docker.LABEL}")}
    if others := sorted(found - {lab}):
        raise LabError(f"--purge: expected no other lab, got {', '.join(others)}, take them down first")


def _remove_caches() -> None:
    with step("Remove cached images and volumes") as current:
        volumes = registry.remove_cached() + snapshots.remove_cached()
        current.detail = f"{len(volumes)} volume(s), images: {images.remove_cached()}"
