"""inventory.json: what other programs read about a lab. The keys are a contract; add, never rename."""

from __future__ import annotations

import json
from typing import Any

from lab import hosts, network, state


def write(lab: str, present: list[hosts.Host], services: dict[str, Any]) -> None:
    """Ensure inventory.json describes these hosts and services: tls, registry, images, models, and the lab's extras."""
    folder = state.folder(lab)
    content = {
        "name": lab,
        "hosts": [
            {
                "name": host.name,
                "debian": host.debian,
                "address": host.address,
                "ssh_hostname": "127.0.0.1",
                "ssh_port": host.ssh_port,
                "ssh_user": hosts.USER,
                "ssh_key": str(folder / "id_ed25519"),
                "ssh_known_hosts_file": str(folder / "known_hosts"),
                "http_port": host.http_port,
                "https_port": host.https_port,
            }
            for host in present
        ],
        **services,
        "shared_dir": hosts.SHARED_DIR,
        "address_pools": network.ADDRESS_POOLS,
        "swarm_address_pool": network.SWARM_ADDRESS_POOL,
    }
    state.write(folder / "inventory.json", (json.dumps(content, indent=2) + "\n").encode())


def read(lab: str) -> dict[str, Any]:
    """The lab's inventory; {} if no `up` has got that far."""
    path = state.folder(lab) / "inventory.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}
