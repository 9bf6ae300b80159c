"""Doctor's rules about Valkey: its version, who may use it, its settings, its connections. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from webui_stack.doctor.rule import DEPLOY, THREADS, Rule
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import Observed, number
from webui_stack.settings.model import Settings

# Fixes by release line: the patch release that has them (github.com/valkey-io/valkey/releases, read 2026-11).
_FIXES: tuple[tuple[str, dict[str, int]], ...] = (
    ("CVE-2025-49844 (code execution)", {"7.2": 11, "8.0": 6, "8.1": 4}),
    ("CVE-2025-67733, CVE-2026-21863", {"7.2": 12, "8.0": 7, "8.1": 6, "9.0": 3}),
    ("CVE-2026-23479, CVE-2026-25243, CVE-2026-23631", {"7.2": 13, "8.0": 9, "8.1": 7, "9.0": 4}),
    ("CVE-2026-56684 (code execution), CVE-2026-63639", {"7.2": 14, "8.0": 10, "8.1": 9, "9.0": 5, "9.1": 1}),
)
# The newest patch release of each line that was known on 2026-11-29.
_NEWEST = {"8.0": 12, "8.1": 11, "9.0": 8, "9.1": 3}
_HOUR_S = 3600


def _unanswered(seen: Observed, _: Settings) -> Iterator[Check]:
    if seen.redis and seen.redis.status == "running" and not seen.config:
        yield Check(
            "valkey: answers",
            False,
            "; ".join(dict.fromkeys(seen.errors))[:200] or "no answer",
            "a script keeps it busy, and it answers nobody else until that ends: wait, or `docker restart redis-valkey`"
            if any(error.startswith("BUSY") for error in seen.errors)
            else "its settings can't be judged; a password this project did not make is not looked for, and anything "
            "else is in `docker logs redis-valkey`",
            advice=any("NOAUTH" in error for error in seen.errors),
        )


def _version(seen: Observed, _: Settings) -> Iterator[Check]:
    # redis_version is 7.2.4 for compatibility, whatever Valkey runs.
    version = seen.info.get("valkey_version", "")
    if not version:
        return
    line, _dot, patch = version.rpartition(".")
    missing = [cves for cves, fixed in _FIXES if number(patch) < fixed.get(line, 0)]
    known = line in _FIXES[-1][1]
    package = seen.valkey.get("package", "")
    seen_as = f"Valkey {version}" + (f" (package {package})" if package else "")
    wanted = max(_NEWEST.get(line, 0), *(fixed.get(line, 0) for _, fixed in _FIXES))
    behind = known and number(patch) < wanted
    yield Check(
        "valkey: version",
        known and not behind,
        f"{seen_as} is older than the fixes of {', '.join(missing)}"
        if missing
        else f"{seen_as} is not the newest of its line"
        if behind
        else seen_as,
        f"a distribution fixes under an old number: look {package} up in its security tracker"
        if package
        else f"set valkey_image to {line}.{wanted} or newer of that line"
        if behind
        else "that release line is not known to get fixes: https://github.com/valkey-io/valkey/releases",
        advice=bool(package) or not missing,
    )


def _access(seen: Observed, settings: Settings) -> Iterator[Check]:
    rule = seen.valkey.get("default_user")
    if rule is None and not seen.config:
        return
    anybody = "+@all" in rule.split() if rule is not None else True
    yield Check(
        "valkey: password",
        not anybody,
        "anybody on the container network may read and forge events, without a password"
        if anybody
        else f"the default user may do: {rule}",
        f"{DEPLOY} makes users with passwords (valkey_default_user)",
        advice=rule is not None and settings.valkey_default_user == "all",
    )


def _port(seen: Observed, _: Settings) -> Iterator[Check]:
    if seen.redis:
        ports = [f"{address}:{port}" for address, port, _inside in seen.redis.ports]
        outside = [
            address for address, _, _ in seen.redis.ports if not (address == "::1" or address.startswith("127."))
        ]
        yield Check(
            "valkey: published port",
            not ports,
            f"published at {', '.join(ports)}" if ports else "not published",
            "nobody but Open WebUI needs it, and ufw does not close it: remove `ports` or `-p`",
            advice=not outside,
        )


def _eviction(seen: Observed, _: Settings) -> Iterator[Check]:
    policy, limit = seen.config.get("maxmemory-policy", ""), seen.config_number("maxmemory")
    yield Check(
        "valkey: eviction",
        policy == "noeviction",
        f"maxmemory-policy {policy}, maxmemory {limit or 'not limited'}",
        "evicting a revoked token un-revokes it: set maxmemory-policy noeviction",
        advice=not limit,
    )


def _persistence(seen: Observed, settings: Settings) -> Iterator[Check]:
    save, log = seen.config.get("save", ""), seen.config.get("appendonly") == "yes"
    seconds = save.split(" ")[0]
    yield Check(
        "valkey: persistence",
        log,
        "every write is logged (AOF)"
        if log
        else f"no AOF, {f'snapshots after {seconds} s' if save else 'no snapshots'}",
        f"a crash loses {f'up to {seconds} s' if save else 'everything'}: valkey_appendonly = True",
        advice=bool(save) or not (settings.valkey_save or settings.valkey_appendonly),
    )


def _saving(seen: Observed, _: Settings) -> Iterator[Check]:
    failed = [
        name
        for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
        if seen.info.get(name, "ok") != "ok"
    ]
    yield Check(
        "valkey: last save",
        not failed,
        f"failed: {', '.join(failed)}" if failed else "ok",
        "Valkey refuses writes after a failed save: look for disk and memory in `docker logs redis-valkey`",
    )


def _loading(seen: Observed, _: Settings) -> Iterator[Check]:
    if "loading" not in seen.info:
        return
    loads = seen.info["loading"] == "1"
    done, eta = seen.info.get("loading_loaded_perc", "?"), seen.info.get("loading_eta_seconds", "?")
    yield Check(
        "valkey: loading",
        not loads,
        f"{done} % of its data are loaded, {eta} s to go" if loads else "done",
        "it answers nobody until then; a restart would begin this again, so wait",
    )


def _timeout(seen: Observed, settings: Settings) -> Iterator[Check]:
    timeout = seen.config_number("timeout")
    yield Check(
        "valkey: timeout",
        timeout > 0,
        f"idle connections are closed after {timeout} s" if timeout else "idle connections are never closed",
        "they pile up until nobody can log in: valkey_timeout_s = 1800",
        advice=settings.valkey_timeout_s == 0,
    )


def _clients(seen: Observed, _: Settings) -> Iterator[Check]:
    used, limit = seen.info_number("connected_clients"), seen.config_number("maxclients")
    yield Check(
        "valkey: connections",
        used * 2 < limit,
        f"{used} of {limit} in use",
        "at the limit nobody can log in: valkey_maxclients, and see the idle ones below",
        advice=used * 5 < limit * 4,
    )
    refused = seen.info_number("rejected_connections")
    yield Check(
        "valkey: refused connections",
        not refused,
        f"{refused} since it started",
        "they ran out before: valkey_maxclients; `docker restart redis-valkey` starts the count anew",
        advice=True,
    )
    # One reading has no trend; what piles up has been idle for long.
    idle = sum(1 for seconds in seen.idle_s if seconds > _HOUR_S)
    yield Check(
        "valkey: idle connections",
        idle <= 20,
        f"{idle} of {len(seen.idle_s)} idle for more than an hour",
        "they pile up: valkey_timeout_s closes them, REDIS_HEALTH_CHECK_INTERVAL keeps the used ones",
        advice=idle * 2 < limit,
    )


def _open_files(seen: Observed, settings: Settings) -> Iterator[Check]:
    # Valkey opens up to 32 more than it has clients, and lowers maxclients where it may not (server.c, 8.0).
    files, wanted = seen.valkey.get("open_files", ""), settings.valkey_maxclients + 32
    if files:
        yield Check(
            "valkey: open files",
            files == "unlimited" or number(files) >= wanted,
            f"its process may open {files}, maxclients is {seen.config_number('maxclients')}",
            f"{settings.valkey_maxclients} connections need {wanted}: `ulimits: nofile` of its container",
            advice=True,
        )


def _pubsub_buffer(seen: Observed, _: Settings) -> Iterator[Check]:
    limit = re.search(r"pubsub ([0-9]{1,18})", seen.config.get("client-output-buffer-limit", ""))
    megabytes = int(limit[1]) // 1024**2 if limit else 0
    small = 0 < megabytes <= 32
    lost = seen.info_number("client_output_buffer_limit_disconnections")
    yield Check(
        "valkey: pub/sub buffer",
        not small and not lost,
        f"{f'{megabytes} MB' if megabytes else 'not limited'}, {lost} connections lost to full ones since it started",
        f"a large event ends the connection: valkey_pubsub_buffer, {THREADS}/25975",
        advice=not (small and lost),
    )


def _denied(seen: Observed, _: Settings) -> Iterator[Check]:
    what = [f"{entry.user}: {entry.reason} {entry.object[:40]}" for entry in seen.denied]
    ours = any(entry.user == "open-webui" for entry in seen.denied)
    yield Check(
        "valkey: ACL log",
        not what,
        f"denied {', '.join(list(dict.fromkeys(what))[:5])}" if what else "nothing was denied",
        "something Open WebUI needs is not allowed: tell this project, and see templates/users.acl.j2"
        if ours
        else "somebody else tried that; `docker restart redis-valkey` empties the log",
        advice=not ours,
    )


def _subscribers(seen: Observed, _: Settings) -> Iterator[Check]:
    if seen.subscribers is not None and seen.open_webui and seen.open_webui.status == "running":
        yield Check(
            "websocket: subscribers",
            seen.subscribers > 0,
            f"{seen.subscribers} connections listen on Valkey's channel socketio",
            "Open WebUI does not use this Valkey, though /health says it is fine: see the websocket rows, "
            f"{THREADS}/26425",
        )


RULES: tuple[Rule, ...] = (_unanswered, _version, _access, _port)
ANSWERED: tuple[Rule, ...] = (
    *(_eviction, _persistence, _saving, _loading, _timeout, _clients, _open_files, _pubsub_buffer, _denied),
    _subscribers,
)
"""The rules about a Valkey that has told its settings."""
