"""Three servers as one stack, in a swarm of Docker's own: copy to inventories/NAME.py (docs/how-to/swarm.md).

Each host says what it runs. All other settings belong to the stack and are the same for all.
"""

_stack = {
    "ssh_user": "admin",
    "_sudo": True,
    "topology": "swarm",
    "open_webui_replicas": 3,
    "public_url": "https://chat.example.org",  # leads to the host with the proxy
    "open_webui_shared_dir": "/srv/open-webui",  # mounted on all three: NFS, CephFS, ...
    "open_webui_env": {"WEBUI_ADMIN_EMAIL": "admin@example.org"},  # the proxy is open to everybody at once
    "open_webui_secret_env": {"WEBUI_ADMIN_PASSWORD": "env:ADMIN_PASSWORD"},
}

swarm = [
    # Valkey and Postgres with their volumes; secrets and backups are here, too.
    ("chat-1.example.org", {**_stack, "swarm_manager": True, "swarm_runs": ["data", "proxy", "open-webui"]}),
    # Open WebUI alone. Managers are three, so that one of them may be away.
    ("chat-2.example.org", {**_stack, "swarm_manager": True}),
    ("chat-3.example.org", {**_stack, "swarm_manager": True}),
]
