"""Doctor's rules about Open WebUI: its websockets, its sign-ins, its variables, its database. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from webui_stack.doctor.rule import PULLS, THREADS, Rule
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import ADDRESSES, Observed, number
from webui_stack.settings import origin
from webui_stack.settings.environment import broken_variables
from webui_stack.settings.image_reference import is_pinned_image, version_of
from webui_stack.settings.model import Settings

_LOOPBACK = re.compile(r"//(127\.[0-9]+\.[0-9]+\.[0-9]+|localhost|\[::1\])(?=[:/]|$)")
_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 compared, not bound
_PRIVATE = "a private address"


def _postgres_connections(seen: Observed, _: Settings) -> Iterator[Check]:
    if seen.postgres:
        used, limit = seen.postgres
        yield Check(
            "postgres: connections",
            used * 5 <= limit * 4,
            f"{used} of {limit} in use",
            "at the limit requests fail: postgres_max_connections, or smaller pools (database_pool_size)",
            advice=used < limit,
        )


def _vectors(seen: Observed, _: Settings) -> Iterator[Check]:
    """An ivfflat index that was made with its empty table, as Open WebUI before 0.11.4 did.

    PostgreSQL keeps no record of that. But the seventh object id after the table's is the index's when one transaction
    made both (seen with 17; the other indexes follow), and REINDEX gives an index another file than its id.
    """
    if seen.vectors:
        method, distance, original, rows = seen.vectors
        untrained = method == "ivfflat" and original and 0 < distance < 10 and rows != 0
        repair = (
            "REINDEX INDEX idx_document_chunk_vector"
            if rows >= 5000
            else "DROP INDEX idx_document_chunk_vector: 0.11.4 and later make it again once it is of use"
        )
        yield Check(
            "postgres: vector index",
            not untrained,
            f"{method}, " + ("made while its table was empty" if untrained else "made of what was in its table"),
            f"document search returns wrong passages: in psql, {repair}, {PULLS}/30143",
            advice=True,
        )


def _websocket(seen: Observed, _: Settings) -> Iterator[Check]:
    support = seen.values.get("ENABLE_WEBSOCKET_SUPPORT", "true").lower() == "true"
    manager = seen.values.get("WEBSOCKET_MANAGER", "")
    yield Check(
        "websocket: switched on",
        support and manager == "redis",
        f"ENABLE_WEBSOCKET_SUPPORT {'true' if support else 'false'}, WEBSOCKET_MANAGER {manager or 'not set'}",
        "set ENABLE_WEBSOCKET_SUPPORT=true and WEBSOCKET_MANAGER=redis: else events stay in one replica",
    )


def _addresses(seen: Observed, _: Settings) -> Iterator[Check]:
    own_network = seen.open_webui is not None and seen.open_webui.network_mode != "host"
    # WEBSOCKET_REDIS_URL defaults to REDIS_URL (open_webui/env.py, 0.12).
    for name in ADDRESSES:
        address = seen.addresses.get(name)
        if address is None:
            continue
        loopback = _LOOPBACK.search(address) if own_network else None
        yield Check(
            f"open-webui: {name}",
            not loopback,
            f"{address}, which is the container itself" if loopback else address,
            f"name Valkey's container: {_LOOPBACK.sub('//redis', address)}",
        )
    if not seen.addresses:
        yield Check("open-webui: WEBSOCKET_REDIS_URL", False, "not set", "set it to redis://redis:6379/1")
    if "REDIS_URL" not in seen.addresses:
        yield Check(
            "open-webui: REDIS_URL",
            False,
            "not set, so that signing out revokes nothing",
            "set it to redis://redis:6379/0; WEBSOCKET_REDIS_URL is for events only",
        )


def _networks(seen: Observed, _: Settings) -> Iterator[Check]:
    if seen.redis and seen.open_webui:
        shared = seen.redis.networks & seen.open_webui.networks
        yield Check(
            "one network",
            bool(shared),
            f"both are in {', '.join(sorted(shared))}" if shared else "the two containers share no network",
            "`docker network connect openwebui-network NAME`",
        )


def _secret_key(seen: Observed, _: Settings) -> Iterator[Check]:
    in_file = "WEBUI_SECRET_KEY_FILE" in seen.variables
    if not seen.key_fingerprint:
        yield Check(
            "open-webui: WEBUI_SECRET_KEY",
            False,
            "from WEBUI_SECRET_KEY_FILE" if in_file else "not set, so that each new container makes its own",
            "keep that file in the volume"
            if in_file
            else f"each update logs everybody out and loses OAuth tokens: open_webui_secret_key, {THREADS}/12674",
            advice=in_file,
        )
        return
    yield Check(
        "open-webui: WEBUI_SECRET_KEY",
        not seen.key_is_short,
        f"set, fingerprint {seen.key_fingerprint}{', shorter than 32 characters' if seen.key_is_short else ''}",
        "a short key can be guessed and every login forged: `openssl rand -hex 32`",
    )


def _image(seen: Observed, _: Settings) -> Iterator[Check]:
    if seen.open_webui:
        yield Check(
            "open-webui: image",
            is_pinned_image(seen.open_webui.image) or seen.open_webui.image.startswith("sha256:"),
            seen.open_webui.image,
            "a tag that moves updates unasked, and the database can't go back: name a version (open_webui_image)",
            advice=True,
        )


def _published(seen: Observed, settings: Settings) -> Iterator[Check]:
    if not (seen.open_webui and seen.api):
        return
    # /api/config says `onboarding` as long as there is no user (open_webui/main.py, 0.12).
    unclaimed = bool(seen.api.get("onboarding"))
    reach = _reach(seen, settings) if unclaimed else ""
    yield Check(
        "open-webui: first admin",
        not reach,
        f"nobody has signed up yet, and {reach}" if reach else _claimed(unclaimed),
        "the first to sign up is the admin: sign up now; or, until you have, remove public_url and set "
        "open_webui_bind = '127.0.0.1'",
        advice=reach.endswith(_PRIVATE),
    )


def _claimed(unclaimed: bool) -> str:
    return "nobody has signed up yet, but only the host itself can" if unclaimed else "somebody has signed up"


def _reach(seen: Observed, settings: Settings) -> str:
    """Who beside the host itself reaches the sign-up page, in words; "" for nobody."""
    assert seen.open_webui is not None
    if settings.external_url:
        return f"{settings.external_url} is open to everybody"
    doors = [seen.open_webui, seen.containers.get("open-webui-proxy")]
    addresses = {address for door in doors if door for address, _, _ in door.ports}
    outside = [address for address in addresses if not (address == "::1" or address.startswith("127."))]
    for address in sorted(outside):
        if address in _EVERYWHERE:
            return "it is published on all addresses"
        if not ipaddress.ip_address(address).is_private:
            return f"it is published on {address}"
    return f"it is published on {min(outside)}, {_PRIVATE}" if outside else ""


def _cors(seen: Observed, settings: Settings) -> Iterator[Check]:
    allowed = seen.values.get("CORS_ALLOW_ORIGIN") or "*"
    public = settings.external_url or origin.sent(seen.values.get("WEBUI_URL", ""))
    if "*" in allowed.split(";"):
        yield Check(
            "open-webui: CORS",
            False,
            "CORS_ALLOW_ORIGIN is *: any web page may call it from a visitor's browser",
            "set public_url, or open_webui_public_url for a proxy of your own",
            advice=True,
        )
        return
    listed = not public or public in allowed.split(";")
    yield Check(
        "open-webui: CORS",
        listed,
        allowed if listed else f"{allowed} has not the public URL {public}",
        "websockets fail there without a word: public_url or open_webui_public_url, open_webui_cors_origins",
    )


def _variables(seen: Observed, _: Settings) -> Iterator[Check]:
    # One worker and no cluster are upstream's own defaults, written out; Postgres takes more than one worker.
    harmless = {name for name, value in seen.values.items() if value.lower() in ("1", "false")}
    harmless |= {"UVICORN_WORKERS"} if "DATABASE_URL" in seen.variables else set()
    image = seen.open_webui.image if seen.open_webui else ""
    reasons = broken_variables(version_of(f"open-webui:{(seen.api or {}).get('version', '')}") or version_of(image))
    broken = sorted((reasons.keys() & seen.variables) - harmless)
    for name in broken:
        works = "SENTINEL" in name or name == "WEBSOCKET_REDIS_OPTIONS"
        yield Check(f"open-webui: {name}", False, "is set", f"remove it: {reasons[name]}", advice=works)
    if not broken:
        yield Check("open-webui: variables", True, "none that is broken upstream")
    yield Check(
        "open-webui: REDIS_SOCKET_CONNECT_TIMEOUT",
        "REDIS_SOCKET_CONNECT_TIMEOUT" in seen.variables,
        "set" if "REDIS_SOCKET_CONNECT_TIMEOUT" in seen.variables else "not set",
        "a dead Valkey hangs Open WebUI instead of failing a request: set REDIS_SOCKET_CONNECT_TIMEOUT=5",
        advice=True,
    )
    interval, timeout = number(seen.values.get("REDIS_HEALTH_CHECK_INTERVAL")), seen.config_number("timeout")
    yield Check(
        "open-webui: REDIS_HEALTH_CHECK_INTERVAL",
        interval > 0 and (not timeout or interval < timeout),
        (f"{interval} s" if interval else "not set") + (f", Valkey's timeout is {timeout} s" if timeout else ""),
        "requests meet connections that are closed or dead: set REDIS_HEALTH_CHECK_INTERVAL=60, below that timeout",
        advice=True,
    )
    lifetime = seen.values.get("JWT_EXPIRES_IN", "")
    yield Check(
        "open-webui: JWT_EXPIRES_IN",
        lifetime not in ("", "-1"),
        lifetime or "not set, so that a login lasts 4 weeks",
        "a stolen login lasts as long: open_webui_jwt_expires_in = '24h'",
        advice=True,
    )


def _persisted(seen: Observed, _: Settings) -> Iterator[Check]:
    if seen.values.get("ENABLE_PERSISTENT_CONFIG", "true").lower() != "true":
        yield Check("open-webui: saved settings", True, "variables win (ENABLE_PERSISTENT_CONFIG false)")
    elif seen.open_webui and seen.open_webui.status != "running":
        return  # only there can it be compared
    elif seen.persisted is None:
        yield Check(
            "open-webui: saved settings",
            False,
            "the database wins over changed variables, and could not be compared with them",
            f"open_webui_persistent_config = False makes variables win, {THREADS}/20830",
            advice=True,
        )
    else:
        yield Check(
            "open-webui: saved settings",
            not seen.persisted,
            f"the database overrules {', '.join(seen.persisted)}" if seen.persisted else "none overrules a variable",
            f"change it in the admin panel, or set open_webui_persistent_config = False, {THREADS}/20830",
            advice=True,
        )


DATABASE: tuple[Rule, ...] = (_postgres_connections, _vectors)
RULES: tuple[Rule, ...] = (
    *(_websocket, _addresses, _networks, _secret_key, _image, _published, _cors),
    *(_variables, _persisted),
)
