"""The lab's network, and its ports on 127.0.0.1.

Addresses come from 198.18.0.0/15 only (RFC 2544, benchmarking): no real network uses them, where any
private range may exist around the machine. Labs get a /24 of 198.18.0.0/16; 198.19.0.0/16 is for the
networks that Docker makes inside the hosts: bridges from its lower half, overlays of a swarm from its upper.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import socket
import subprocess
from typing import Any

from lab import docker
from lab.errors import LabError

ADDRESS_POOLS = [{"base": "198.19.0.0/17", "size": 24}]
SWARM_ADDRESS_POOL = "198.19.128.0/17"
REGISTRY_OFFSET = 2
PACKAGES_OFFSET = 3
MODELS_OFFSET = 4
LOGIN_OFFSET = 5
HOST_OFFSET = 10
MAX_HOSTS = 200
# 198.18.254 and .255 are the engine's own, if the lab starts one
_SUBNETS = [ipaddress.IPv4Network(f"198.18.{third}.0/24") for third in range(254)]
# below the range from which the kernel takes ports for outgoing connections (ip_local_port_range)
_PORTS = range(20000, 32000)


def name_of(lab: str) -> str:
    return f"open-webui-lab-{lab}"


def ensure(lab: str) -> ipaddress.IPv4Network:
    """Ensure the lab's network exists and return its subnet. Call it under the machine's lock."""
    mine = docker.networks(f"label={docker.LABEL}={lab}")
    if mine:
        return _subnets(mine[0])[0]
    taken = [subnet for network in docker.networks() for subnet in _subnets(network)] + _routes()
    for subnet in _SUBNETS:
        if any(subnet.overlaps(other) for other in taken):
            continue
        docker.run(
            "network", "create", f"--label={docker.LABEL}={lab}", f"--subnet={subnet}", f"--gateway={subnet[1]}",
            name_of(lab),
        )  # fmt: skip
        return subnet
    raise LabError("lab network: expected a free /24 in 198.18.0.0/16, got none, take a lab down")


def gateway(lab: str) -> str:
    """Where the engine's own packets come from, those of published ports as well."""
    (mine,) = docker.networks(f"label={docker.LABEL}={lab}")
    return str(mine["IPAM"]["Config"][0]["Gateway"])


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nothing listens on and no container, even a stopped one, was promised."""
    promised = {
        int(binding["HostPort"])
        for container in docker.containers()
        for bindings in (container["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings or []
        if binding["HostPort"]
    }
    found: list[int] = []
    for port in _PORTS:
        if len(found) == count:
            return found
        if port not in promised and _bindable(port):
            found.append(port)
    raise LabError(f"lab ports: expected {count} free port(s) in 20000-31999 on 127.0.0.1, got {len(found)}")


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _subnets(network: dict[str, Any]) -> list[ipaddress.IPv4Network]:
    configs = network["IPAM"]["Config"] or []
    subnets = [ipaddress.ip_network(config["Subnet"]) for config in configs if "Subnet" in config]
    return [subnet for subnet in subnets if isinstance(subnet, ipaddress.IPv4Network)]


def _routes() -> list[ipaddress.IPv4Network]:
    """Networks that this machine already routes somewhere; [] where `ip` does not exist."""
    if shutil.which("ip") is None:
        return []
    out = subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, text=True, check=True).stdout
    destinations = [route["dst"] for route in json.loads(out) if route["dst"] != "default"]
    return [ipaddress.IPv4Network(destination) for destination in destinations]
