"""What doctor knows: what of an observed host is wrong, and what to do about it. Pure.

A fault is what is broken now, loses data or lets strangers in. Advice is what was wrong before, may go wrong
later, or is a fault the operator's own settings chose. Why each row: the comments here, and the links it shows.
"""

from __future__ import annotations

import ipaddress
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from webui_stack.model import compose, docker, firewall
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import ADDRESSES, Container, Observed, number
from webui_stack.settings import origin
from webui_stack.settings.model import Settings, broken_variables, is_pinned_image, version_of

# Fixes by release line: the patch release that has them (github.com/valkey-io/valkey/releases, read 2026-11).
_FIXES: tuple[tuple[str, dict[str, int]], ...] = (
    ("CVE-2025-49844 (code execution)", {"7.2": 11, "8.0": 6, "8.1": 4}),
    ("CVE-2025-67733, CVE-2026-21863", {"7.2": 12, "8.0": 7, "8.1": 6, "9.0": 3}),
    ("CVE-2026-23479, CVE-2026-25243, CVE-2026-23631", {"7.2": 13, "8.0": 9, "8.1": 7, "9.0": 4}),
    ("CVE-2026-56684 (code execution), CVE-2026-63639", {"7.2": 14, "8.0": 10, "8.1": 9, "9.0": 5, "9.1": 1}),
)
# The newest patch release of each line that was known on 2026-11-29.
_NEWEST = {"8.0": 12, "8.1": 11, "9.0": 8, "9.1": 3}
# The same of Caddy (github.com/caddyserver/caddy/releases).
_CADDY_FIXED, _CADDY_NEWEST = (2, 11, 2), (2, 11, 9)
_CADDY_HOLES = "GHSA-5r3v-vc8m-m96g, GHSA-hffm-g8v7-wrv7, GHSA-7r4p-vjf4-gxv4"
_LOOPBACK = re.compile(r"//(127\.[0-9]+\.[0-9]+\.[0-9]+|localhost|\[::1\])(?=[:/]|$)")
_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 compared, not bound
_HOUR_S = 3600
_DEPLOY = "`pyinfra INVENTORY deploy.py`"
_THREADS = "https://github.com/open-webui/open-webui/issues"
_PULLS = "https://github.com/open-webui/open-webui/pull"

# One function for each row, or few that belong together; it says nothing where there is nothing to look at.
Row = Callable[[Observed, Settings], Iterator[Check]]


def _disk(seen: Observed, _: Settings) -> Iterator[Check]:
    where = str(seen.host.get("disk_root"))
    step = "a full disk ends Valkey's writes and Open WebUI's database: `docker system df`, `docker image prune`"
    yield from _room("disk", where, seen.host, step)


def _room(name: str, where: str, of: Mapping[str, str], step: str) -> Iterator[Check]:
    """Space and inodes of the file system that a folder is on. Some have no fixed number of inodes, and say 0."""
    free, total = number(of.get("disk_free_kb")) // 1024, number(of.get("disk_kb")) // 1024
    if total:
        yield Check(
            name,
            free >= 1024 and free >= total // 10,
            f"{free} of {total} MB free under {where}",
            step,
            advice=free >= 1024,
        )
    free, total = number(of.get("inodes_free")), number(of.get("inodes"))
    if total:
        yield Check(
            f"{name}: inodes",
            free * 10 >= total,
            f"{free} of {total} inodes free under {where}",
            f"without one no file can be made, whatever space is left; {step}",
            advice=free * 100 >= total,
        )


def _backups(seen: Observed, settings: Settings) -> Iterator[Check]:
    if not settings.runs("data") or not seen.backup:
        return
    if seen.backup.get("mount") != seen.host.get("mount"):  # else the row of Docker's disk says it
        yield from _room("backups: disk", settings.backup_dir, seen.backup, "lower backup_keep, or move backup_dir")
    failed = seen.backup.get("last_run") == "failed"
    yield Check(
        "backups: last run",
        not failed,
        "open-webui-backup.service failed" if failed else "did not fail",
        "`journalctl -u open-webui-backup.service` tells why; `systemctl start open-webui-backup` tries again",
    )
    if not settings.backup_schedule:
        return
    timer = seen.backup.get("timer") or "no systemd"
    yield Check(
        "backups: timer",
        timer == "active",
        f"open-webui-backup.timer is {timer}, backup_schedule is {settings.backup_schedule}",
        "without it no backup is made: `pyinfra INVENTORY runbooks/backup.py` puts it there",
    )
    yield from _newest_backup(seen)


def _newest_backup(seen: Observed) -> Iterator[Check]:
    newest, now_s = seen.backup.get("newest", ""), seen.backup_number("now_s")
    # A schedule may leave out days: its longest pause counts.
    pauses_s = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(seen.due)]
    pause_s = max(pauses_s, default=math.inf)
    try:
        age_s = now_s - datetime.strptime(newest, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        age_s = math.inf
    made = f"{newest}, {age_s / _HOUR_S:.0f} hours old" if newest else "there is none"
    due = f", one is due at least every {pause_s / _HOUR_S:.0f} hours" if pauses_s else ""
    yield Check(
        "backups: newest",
        bool(newest) and age_s <= 2 * pause_s,
        made + due,
        "`journalctl -u open-webui-backup.service` tells why; `pyinfra INVENTORY runbooks/backup.py` makes one",
    )


def _firewall(seen: Observed, _: Settings) -> Iterator[Check]:
    tables = firewall.gone(seen.firewall)
    if seen.firewall:
        yield Check(
            "docker: packet filter",
            not tables,
            firewall.told(tables) if tables else "Docker's rules are there, or are not Docker's to make",
            f"published ports and the containers' network are cut off: {firewall.NEXT_STEP}",
        )


def _engine(seen: Observed, _: Settings) -> Iterator[Check]:
    versions = seen.host.get("engine", ""), seen.host.get("compose", "")
    unproved = docker.unproved(*versions)
    yield Check(
        "docker: version",
        not unproved,
        "; ".join(unproved) or "Engine {}, Compose {}".format(*(version or "unknown" for version in versions)),
        "deploy to a test host first: docs/operations.md, Proved on",
        advice=True,
    )


def _memory(seen: Observed, _: Settings) -> Iterator[Check]:
    free, total = seen.host_number("memory_free_kb") // 1024, seen.host_number("memory_kb") // 1024
    if total:
        yield Check(
            "memory",
            free >= 512,
            f"{free} of {total} MB available",
            "Open WebUI alone takes 0.8 GB, and saving may take Valkey its data twice: add memory",
            advice=free >= 128,
        )


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
            f"document search returns wrong passages: in psql, {repair}, {_PULLS}/30143",
            advice=True,
        )


def _overcommit(seen: Observed, _: Settings) -> Iterator[Check]:
    yield Check(
        "overcommit_memory",
        seen.host.get("overcommit_memory") == "1",
        f"vm.overcommit_memory is {seen.host.get('overcommit_memory')}",
        "Valkey's background saves may fail under memory pressure: `sysctl vm.overcommit_memory=1` "
        "(docs/operations.md, Things this project leaves to you)",
        advice=True,
    )


def _nodes(seen: Observed, _: Settings) -> Iterator[Check]:
    for name, state in seen.nodes.items():
        yield Check(
            f"node {name}",
            state.startswith("Ready "),
            state.lower(),
            "its work goes to the others, but for Valkey and Postgres: look at the machine, its network and its Docker",
        )
    for name, tasks in seen.services.items():
        running, _slash, wanted = tasks.partition(" ")[0].partition("/")
        yield Check(
            f"service {name}",
            number(running) >= number(wanted),
            f"{running} of {wanted} run",
            f"`docker service ps --no-trunc {name}` tells why; {_DEPLOY} tries again",
        )


def _containers(seen: Observed, settings: Settings) -> Iterator[Check]:
    if settings.topology == "swarm":  # which are on this host is its choice; whether all run, the rows above say
        for task in seen.containers.values():
            yield from _of_container(task)
        return
    for name in compose.containers_of(settings.images).values():
        container = seen.containers.get(name)
        if container is None:
            yield Check(name, False, "there is no such container", f"{_DEPLOY} makes it")
            continue
        ended = f", exit code {container.exit_code}" if container.status == "exited" else ""
        yield Check(
            name,
            container.status == "running",
            f"{container.status}{ended}",
            f"`docker logs --tail 50 {name}` tells why; {_DEPLOY} starts it again",
        )
        yield Check(
            f"{name}: origin",
            container.directory == settings.stack_dir,
            f"made by {container.maker}",
            f"stack_adopt = True and {_DEPLOY} take it over with its data (docs/operations.md, Adoption)",
            advice=True,
        )
        yield from _of_container(container)


def _of_container(container: Container) -> Iterator[Check]:
    name = container.name
    if container.status == "running":
        yield Check(
            f"{name}: healthcheck",
            container.health in ("healthy", "starting") and not container.failing,
            container.health + (f", {container.failing} failed in a row" if container.failing else ""),
            f"without one nobody notices a hang; {_DEPLOY} adds one"
            if container.health == "none"
            else f"`docker inspect --format '{{{{json .State.Health}}}}' {name}` tells what it answered",
            advice=container.health != "unhealthy",
        )
    yield Check(
        f"{name}: out of memory",
        not container.oom_killed,
        "killed by the kernel" if container.oom_killed else "no",
        "the host or its memory limit is too small: valkey_memory_limit_mb, open_webui_memory_limit_mb",
    )
    yield Check(
        f"{name}: restarts",
        container.restarts == 0,
        f"Docker restarted it {container.restarts} times since it was made",
        f"`docker logs {name}` and `journalctl -k` tell why it ended",
        advice=True,
    )
    if not container.in_swarm:
        yield from _restart_policy(container)
    unlimited = container.log_driver == "json-file" and "max-size" not in container.log_options
    yield Check(
        f"{name}: log size",
        not unlimited,
        f"driver {container.log_driver}, {'without a limit' if unlimited else 'limited'}",
        "the log grows until the disk is full: docker_daemon sets a limit for new containers",
        advice=True,
    )


def _restart_policy(container: Container) -> Iterator[Check]:
    name = container.name
    yield Check(
        f"{name}: restart policy",
        container.restart_policy in ("always", "unless-stopped"),
        container.restart_policy or "none",
        f"it stays down after a crash or a reboot: `docker update --restart unless-stopped {name}`",
    )


def _valkey_version(seen: Observed, _: Settings) -> Iterator[Check]:
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


def _caddy_version(seen: Observed, _: Settings) -> Iterator[Check]:
    version, package = seen.proxy.get("version", "").split(" ")[0].removeprefix("v"), seen.proxy.get("package", "")
    numbers = re.match(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})", version)
    if not numbers:
        return
    known = tuple(int(part) for part in numbers.groups())
    seen_as = f"Caddy {version}" + (f" (package {package})" if package else "")
    newest = ".".join(map(str, _CADDY_NEWEST))
    yield Check(
        "proxy: version",
        known >= _CADDY_NEWEST,
        f"{seen_as} is older than the fixes of {_CADDY_HOLES}" if known < _CADDY_FIXED else seen_as,
        f"a distribution fixes under an old number: look {package} up in its security tracker"
        if package
        else f"set proxy_image to {newest} or newer",
        advice=bool(package) or known >= _CADDY_FIXED,
    )


def _valkey_access(seen: Observed, settings: Settings) -> Iterator[Check]:
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
        f"{_DEPLOY} makes users with passwords (valkey_default_user)",
        advice=rule is not None and settings.valkey_default_user == "all",
    )


def _valkey_unanswered(seen: Observed, _: Settings) -> Iterator[Check]:
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


def _valkey_port(seen: Observed, _: Settings) -> Iterator[Check]:
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
        f"a large event ends the connection: valkey_pubsub_buffer, {_THREADS}/25975",
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
            f"{_THREADS}/26425",
        )


def _websocket(seen: Observed, _: Settings) -> Iterator[Check]:
    support = seen.values.get("ENABLE_WEBSOCKET_SUPPORT", "true").lower() == "true"
    manager = seen.values.get("WEBSOCKET_MANAGER", "")
    yield Check(
        "websocket: switched on",
        support and manager == "redis",
        f"ENABLE_WEBSOCKET_SUPPORT {'true' if support else 'false'}, WEBSOCKET_MANAGER {manager or 'not set'}",
        "set ENABLE_WEBSOCKET_SUPPORT=true and WEBSOCKET_MANAGER=redis: else events stay in one process",
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
            else f"each update logs everybody out and loses OAuth tokens: open_webui_secret_key, {_THREADS}/12674",
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
        "the first to sign up is the admin: sign up now, or set open_webui_bind = '127.0.0.1' until you have",
        advice=reach.endswith(_PRIVATE),
    )


_PRIVATE = "a private address"


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
            "set open_webui_public_url",
            advice=True,
        )
        return
    listed = not public or public in allowed.split(";")
    yield Check(
        "open-webui: CORS",
        listed,
        allowed if listed else f"{allowed} has not the public URL {public}",
        "websockets fail there without a word: open_webui_public_url, open_webui_cors_origins",
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
            f"open_webui_persistent_config = False makes variables win, {_THREADS}/20830",
            advice=True,
        )
    else:
        yield Check(
            "open-webui: saved settings",
            not seen.persisted,
            f"the database overrules {', '.join(seen.persisted)}" if seen.persisted else "none overrules a variable",
            f"change it in the admin panel, or set open_webui_persistent_config = False, {_THREADS}/20830",
            advice=True,
        )


_HOST: tuple[Row, ...] = (
    *(_disk, _engine, _memory, _overcommit, _firewall, _backups, _nodes, _containers, _postgres_connections, _vectors),
    _caddy_version,
)
_VALKEY: tuple[Row, ...] = (_valkey_unanswered, _valkey_version, _valkey_access, _valkey_port)
_VALKEY_SETTINGS: tuple[Row, ...] = (
    *(_eviction, _persistence, _saving, _loading, _timeout, _clients, _open_files, _pubsub_buffer, _denied),
    _subscribers,
)
_OPEN_WEBUI: tuple[Row, ...] = (
    *(_websocket, _addresses, _networks, _secret_key, _image, _published, _cors),
    *(_variables, _persisted),
)


def checks(seen: Observed, settings: Settings) -> list[Check]:
    """Every row that has something to say of this host."""
    if not seen.host.get("engine"):
        return [Check("docker", False, "no Docker that runs, so no stack", f"{_DEPLOY} installs it")]
    if not seen.containers and settings.runs("data"):
        return [Check("stack", False, "no container redis-valkey or open-webui", f"{_DEPLOY} makes them")]
    rows = list(_HOST)
    if seen.redis:
        rows += _VALKEY
    if seen.config:
        rows += _VALKEY_SETTINGS
    if seen.open_webui:
        rows += _OPEN_WEBUI
    found = [check for row in rows for check in row(seen, settings)]
    found += [Check("unread", False, line[:200], "tell this project", advice=True) for line in seen.unread]
    return found


def across(seen: Mapping[str, Observed], settings: Mapping[str, Settings], name: str) -> list[Check]:
    """What one host has to share with the others behind the same public URL: the key that signs logins."""
    url, own = settings[name].external_url, seen[name].key_fingerprint
    others = [
        other
        for other in sorted(seen)
        if other != name and seen[other].key_fingerprint and settings[other].external_url == url
    ]
    if not url or not own or not others:
        return []
    different = [other for other in others if seen[other].key_fingerprint != own]
    return [
        Check(
            "one WEBUI_SECRET_KEY",
            not different,
            f"another than {', '.join(different)} behind {url}" if different else f"as {', '.join(others)}",
            "people are logged out from one request to the next: "
            f"give all the same open_webui_secret_key, {_THREADS}/12674",
        )
    ]
