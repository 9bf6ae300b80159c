"""The hosts of a running lab (`python -m lab up`); LAB_NAME chooses among several."""

import json
import os
from pathlib import Path

_name = os.environ.get("LAB_NAME", "default")
_file = Path(__file__).resolve().parent.parent / ".lab" / _name / "inventory.json"
if not _file.exists():
    raise SystemExit(f"lab {_name!r}: expected it to be up, got no {_file}; run `python -m lab up --name {_name}`")
_lab = json.loads(_file.read_text())


def _with(*extras: str) -> None:
    """Refuse a lab that was not brought up with these."""
    if missing := [name for name in extras if name not in _lab["images"] and name not in _lab]:
        raise SystemExit(
            f"lab {_name!r}: expected it to have {' and '.join(extras)}, got no {' and no '.join(missing)}; "
            f"run `python -m lab up --name {_name} --with {','.join(missing)}`"
        )


def _image(key: str, otherwise: str) -> str:
    """The lab's image. One that the lab does not have gets a name that says what to do when Docker can't pull it."""
    return _lab["images"].get(key) or f"{_lab['registry']['host']}/{otherwise}:0.0-run-python-m-lab-up--with-{key}"


_shared = {
    "_sudo": True,
    "ssh_strict_host_key_checking": "yes",
    "docker_source": "distro",  # Debian 13 has Compose v2; with packages, the lab serves a docker-ce repository as well
    **(
        {"docker_repo_url": _lab["packages"]["url"], "docker_repo_key_sha256": _lab["packages"]["key_sha256"]}
        if "packages" in _lab
        else {"docker_repo_url": "http://run-python-m-lab-up--with-packages.lab.test"}
    ),
    "docker_address_pools": _lab["address_pools"],
    "docker_registry_ca": {_lab["registry"]["host"]: _lab["registry"]["ca_file"]},
    "valkey_image": _lab["images"]["valkey"],
    "open_webui_image": _lab["images"]["open_webui"],
    "postgres_image": _image("postgres", "pgvector/pgvector"),
    "proxy_image": _image("caddy", "library/caddy"),
    "open_webui_bind": "0.0.0.0",  # noqa: S104 the lab publishes it on the loopback of this machine
    "open_webui_offline": True,
    "open_webui_env": {
        "OPENAI_API_BASE_URL": _lab["models"]["url"],
        "ENABLE_OLLAMA_API": "False",
        "ENABLE_CHANNELS": "True",  # people who are there together show what websockets are for
    },
    "preflight_min_disk_mb": 4096,  # the lab's image is the slim one
}

lab = [
    (
        _host["name"],
        {
            **_shared,
            **{key: value for key, value in _host.items() if key.startswith("ssh_")},
            "verify_url": f"http://127.0.0.1:{_host['http_port']}",
        },
    )
    for _host in _lab["hosts"]
]
