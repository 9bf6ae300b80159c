"""The servers. Every setting has a default: `webui-stack settings` prints them all with a comment each."""

hosts = [
    (
        "chat.example.org",  # the address that `ssh` knows
        {
            "ssh_user": "admin",
            "_sudo": True,  # the user may become root; with a password: "_use_sudo_password": True
            # "ssh_key": "~/.ssh/id_ed25519",
            # HTTPS with a certificate from Let's Encrypt. It is open to everybody at once, so the first start makes
            # the admin account:
            # "public_url": "https://chat.example.org",
            # "open_webui_env": {"WEBUI_ADMIN_EMAIL": "admin@example.org"},
            # "open_webui_secret_env": {"WEBUI_ADMIN_PASSWORD": "env:ADMIN_PASSWORD"},
        },
    ),
]
