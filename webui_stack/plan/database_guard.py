"""Which database a host's people are in, and whether the settings would leave it behind. Pure."""

from __future__ import annotations

from webui_stack.settings.model import Settings

_WORDS = {
    "sqlite": "SQLite, in the volume {settings.open_webui_volume}",
    "postgres": "the stack's own Postgres, in the volume {settings.postgres_volume}",
    "external": "the Postgres of database_url",
}


def refusals(settings: Settings, host: str, present: str) -> list[str]:
    """Why this deploy must not go on: people would find none of their chats, and nothing would say so.

    `present` is what the host's people are in (`survey.Survey.database`), "" where there are none yet, "unknown" where
    what told of it is damaged. A DATABASE_URL
    of the operator's own, in `open_webui_secret_env`, may name any: what it leads to is theirs to know.
    """
    wanted = settings.database_kind
    if "DATABASE_URL" in settings.open_webui_secret_env:
        return []
    if not present or present == wanted or host in settings.database_switch:
        return []
    if present == "unknown":
        return [
            f"database: expected to know where people's chats are, got a damaged {settings.stack_dir}/.good/.env, as "
            "after a power cut, or a Docker that says nothing of its volumes; start Docker, or with the settings this "
            f"host was deployed with, set database_switch = [{host!r}] for one run"
        ]
    moves = f"move them first (docs/how-to/sqlite-to-postgres.md), then set database_switch = [{host!r}] for one run"
    if (present, wanted) == ("sqlite", "postgres"):
        moves = f"runbooks/migrate.py moves them, with database_switch = [{host!r}] for that run"
    return [
        f"database: expected {_words(settings, wanted)}, got people whose chats are in {_words(settings, present)}; "
        f"{moves}; or keep "
        + ("one replica and database = 'sqlite'" if present == "sqlite" else "the settings it was deployed with")
    ]


def _words(settings: Settings, kind: str) -> str:
    return _WORDS[kind].format(settings=settings)
