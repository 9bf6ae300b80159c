"""Many servers: each group's settings may also be in group_data/GROUP.py beside this file."""

_shared = {
    "ssh_user": "deploy",
    "_sudo": True,
    # One host first, then a quarter of all at a time; the first that fails stops the rest (docs/how-to/fleets.md).
    "rollout_canary": ["pc-01.lab.example.org"],
    "rollout_batch": "25%",
}

classroom = [(f"pc-{number:02}.lab.example.org", _shared) for number in range(1, 31)]

office = [
    (
        "chat.example.org",
        {
            **_shared,
            "open_webui_public_url": "https://chat.example.org",
            "open_webui_env": {"ENABLE_SIGNUP": "False", "OPENAI_API_BASE_URL": "https://llm.example.org/v1"},
            # Read on this machine at every run, written only to the host's .env (0600).
            "open_webui_secret_env": {"OPENAI_API_KEY": "command:pass show llm/api-key"},
        },
    ),
]
