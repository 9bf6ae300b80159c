"""All series that the monitor can emit, by running it on hosts that have everything it looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.host.fake_monitored import DAILY, FOLDER, SWARM
from tests.host.fake_websockets import Websockets
from tests.host.test_monitor import Watched
from webui_stack.host.finding import Sample
from webui_stack.host.outcomes import Outcomes

CERTIFICATE = f"{FOLDER}/proxy/certificate.pem"
TEXTFILES = "/var/lib/prometheus/node-exporter"


def samples(folder: Path) -> list[Sample]:
    """The samples of two rounds: of a host of its own with Postgres and a proxy, and of the data node of a swarm."""
    websockets = Websockets()
    try:
        return [*_alone(folder / "alone", websockets), *_in_swarm(folder / "swarm", websockets)]
    finally:
        websockets.end()


def labels(emitted: Sequence[Sample]) -> Mapping[str, Mapping[str, set[str]]]:
    """The values of each label of each metric. Raises `AssertionError` for one that has it at times only."""
    found: dict[str, dict[str, set[str]]] = {}
    for one in emitted:
        known = found.setdefault(one.name, {name: set() for name in one.labels})
        assert known.keys() == one.labels.keys(), one.name
        for name, value in one.labels.items():
            known[name].add(value)
    return found


def _alone(root: Path, websockets: Websockets) -> Sequence[Sample]:
    asked: dict[str, Any] = {
        "certificates": [CERTIFICATE],
        "drill_schedule": DAILY,
        "metrics_textfile_dir": TEXTFILES,
        "alarms": "/receivers",
        "postgres": "open-webui-postgres",
    }
    world = Watched(root, websockets, **asked)
    world.put("open-webui-postgres", "postgres")
    world.put("open-webui-proxy", "proxy")
    world.put("open-webui-2", "open-webui-2")
    world.valkey.subscribers = 2
    world.valkey.info["maxmemory"] = 4_000_000
    world.limits["redis-valkey"] = 8_000_000
    world.files.make_folder(TEXTFILES)
    world.system.put(CERTIFICATE, _certificate(world.clock.now()))
    Outcomes(world.files, world.clock, FOLDER).note("drill", began_s=0, said="", counts={})
    world.anew()
    return world.monitor.once().samples


def _in_swarm(root: Path, websockets: Websockets) -> Sequence[Sample]:
    world = Watched(root, websockets, **SWARM)
    world.become_data_node()
    return world.anew().once().samples


def _certificate(now_s: float) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chat.example.org")])
    now = datetime.fromtimestamp(now_s, UTC)
    ends = now + timedelta(days=60)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, ends)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
