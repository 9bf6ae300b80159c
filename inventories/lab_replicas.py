"""Each host of a running lab with two replicas of Open WebUI, Postgres and the proxy (`--with postgres,caddy`)."""

import runpy
from pathlib import Path

_lab = runpy.run_path(str(Path(__file__).with_name("lab.py")))
_lab["_with"]("postgres", "caddy")
_tls = _lab["_lab"]["tls"]

lab = [
    (
        name,
        {
            **data,
            "open_webui_replicas": 2,
            "public_url": f"https://{_tls['name']}",
            "proxy_tls": "files",
            "proxy_certificate": _tls["certificate_file"],
            "verify_ca": _tls["ca_file"],
            "proxy_certificate_key": f"file:{_tls['key_file']}",
            "verify_url": f"https://127.0.0.1:{host['https_port']}",
        },
    )
    for (name, data), host in zip(_lab["lab"], _lab["_lab"]["hosts"], strict=True)
]
