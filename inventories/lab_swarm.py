"""A running lab's hosts as one swarm (`--with postgres,caddy`): the first has data and proxy, all run Open WebUI."""

import runpy
from pathlib import Path

_lab = runpy.run_path(str(Path(__file__).with_name("lab.py")))
_lab["_with"]("postgres", "caddy")
_state = _lab["_lab"]

_shared = {
    "topology": "swarm",
    "open_webui_replicas": 2,
    "open_webui_shared_dir": f"{_state['shared_dir']}/open-webui",
    "public_url": f"https://{_state['tls']['name']}",
    "proxy_tls": "files",
    "proxy_certificate": _state["tls"]["certificate_file"],
    "verify_ca": _state["tls"]["ca_file"],
    "proxy_certificate_key": f"file:{_state['tls']['key_file']}",
    "swarm_address_pool": "198.19.128.0/17",
    "swarm_encrypted": False,  # the lab's kernel may have no ESP
}
_data_node = {"swarm_manager": True, "swarm_runs": ["data", "proxy", "open-webui"]}

lab = [
    (
        name,
        {
            **data,
            **_shared,
            **(_data_node if number == 0 else {}),
            "swarm_address": host["address"],
            "verify_url": f"https://127.0.0.1:{_state['hosts'][0]['https_port']}",  # where the proxy is
        },
    )
    for number, ((name, data), host) in enumerate(zip(_lab["lab"], _state["hosts"], strict=True))
]
