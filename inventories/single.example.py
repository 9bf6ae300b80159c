"""One server: copy to inventories/NAME.py, change the address, then `pyinfra inventories/NAME.py deploy.py`.

Every other setting has a default; inventories/group_data/all.py lists them all.
"""

hosts = [
    (
        "chat.example.org",
        {
            "ssh_user": "admin",
            "_sudo": True,
            # "ssh_key": "~/.ssh/id_ed25519",
            # Once your proxy serves it over HTTPS:
            # "open_webui_public_url": "https://chat.example.org",
            # No proxy, a network you trust, and the admin account exists: open the port to others.
            # "open_webui_bind": "0.0.0.0",
            # Several replicas on Postgres, behind a proxy with a certificate from Let's Encrypt
            # (docs/how-to/replicas.md). It is open to everybody at once, so the first start creates the admin:
            # "open_webui_replicas": 3,
            # "public_url": "https://chat.example.org",
            # "open_webui_env": {"WEBUI_ADMIN_EMAIL": "admin@example.org"},
            # "open_webui_secret_env": {"WEBUI_ADMIN_PASSWORD": "env:ADMIN_PASSWORD"},
        },
    )
]
