"""Receivers of alarms: the keys of each kind, and which of their values may be, or have to be, secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from webui_stack.settings import origin
from webui_stack.settings.rule import Rule, must

KINDS: Mapping[str, Sequence[str]] = {
    "webhook": (),
    "ntfy": ("token",),
    "email": ("from", "smtp", "user", "password", "tls"),
    "heartbeat": (),
}
"""The kinds of receivers, each with the keys that may be beside its own."""
_URLS = ("webhook", "ntfy", "heartbeat")
# What the host's program can send to: no blank, and a host of the Internet or an address.
URL = re.compile(
    r"https?://(?:[!-.0-~]*@)?(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{0,4})?"
    r"(?:[/?#][!-~]*)?"
)
# A word of a header, or of SMTP: a line end in it would begin another one.
WORD = re.compile(r"[!-~](?:[ -~]*[!-~])?")
SECRETS: Mapping[str, tuple[re.Pattern[str], str]] = {
    **dict.fromkeys(_URLS, (URL, "a URL of http or https")),
    **dict.fromkeys(("token", "password"), (WORD, "one line of ASCII")),
}
"""The keys whose values may come from a source, with what is to be there, and its words."""

_SOURCE = re.compile(r"(?s)(?:env|file|command):\S.*")
_EMAIL = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._%+'=-]*@{origin.HOST_NAME}")
_SMTP = re.compile(rf"(?:{origin.HOST_NAME}|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{{0,4}}))?")
_SOURCES = "'env:NAME', 'file:PATH' or 'command:COMMAND'"


def is_source(value: str) -> bool:
    """Whether a value says where this machine reads a secret. A URL of http does not."""
    return _SOURCE.fullmatch(value) is not None


def _is_receiver(value: Mapping[str, Any]) -> bool | Rule:
    kinds = [kind for kind in KINDS if kind in value]
    if len(kinds) != 1:
        return Rule(
            "exactly one of 'webhook', 'ntfy', 'email' and 'heartbeat'",
            "give each receiver an entry of its own, e.g. {'webhook': 'env:WEBHOOK_URL'}",
        )
    (kind,) = kinds
    known = (kind, *KINDS[kind])
    if others := sorted(value.keys() - set(known)):
        return Rule(f"no other keys than {_listed(known)}", f"remove {_listed(others)}")
    if kind == "email":
        missing = [key for key in ("from", "smtp") if key not in value]
        if missing:
            return Rule(f"{_listed(missing)} beside 'email'", "see docs/how-to/monitoring.md")
        if ("user" in value) != ("password" in value):
            return Rule("'user' and 'password' together, or neither", "leave out both for a server without a login")
    return next((rule for key in value if (rule := _refusal(key, value[key]))), True)


def _listed(keys: Sequence[str]) -> str:
    return " and ".join(map(repr, keys)) if len(keys) < 3 else f"{', '.join(map(repr, keys[:-1]))} and {keys[-1]!r}"


def _refusal(key: str, value: Any) -> Rule | None:
    """Why a value of a key is refused; None where it is not."""
    accepts, expected, fix = _VALUES[key]
    return None if accepts(value) else Rule(f"{expected} in {key!r}", fix)


def _text(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and (is_source(value) or URL.fullmatch(value) is not None)


def _are_addresses(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_text(_EMAIL), value))


def _is_server(value: Any) -> bool:
    found = _SMTP.fullmatch(value) if isinstance(value, str) else None
    return found is not None and int(found[1] or 25) <= 65535


_VALUES: Mapping[str, tuple[Callable[[Any], bool], str, str]] = {
    **dict.fromkeys(
        _URLS, (_is_url, f"a URL of http or https, or {_SOURCES},", "who knows such a URL can use it: name a source")
    ),
    **dict.fromkeys(
        ("token", "password"),
        (
            _text(_SOURCE),
            _SOURCES,
            "secrets are never written into an inventory: name where this machine reads it",
        ),
    ),
    "email": (_are_addresses, "a list of e-mail addresses", "e.g. ['ops@example.org']"),
    "from": (_text(_EMAIL), "an e-mail address", "e.g. 'chat@example.org'"),
    "smtp": (_is_server, "HOST or HOST:PORT", "e.g. 'smtp.example.org:587'"),
    "user": (_text(WORD), "one line of text", "e.g. 'chat@example.org'"),
    "tls": (
        lambda value: value in ("starttls", "tls", "none"),
        "'starttls', 'tls' or 'none'",
        "'starttls' is usual at port 587, 'tls' at 465",
    ),
}

Receiver = Annotated[
    dict[str, Any],
    must(_is_receiver),
    Rule("a dict that is one receiver", "e.g. {'webhook': 'env:WEBHOOK_URL'}; see docs/how-to/monitoring.md"),
]
