"""Rules between settings: values of one host, or of the hosts of a swarm, that are fine alone and wrong together."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from webui_stack.settings import environment, sign_in
from webui_stack.settings.image_reference import version_of
from webui_stack.settings.model import OTHER_THREADS, AddressPool, Settings
from webui_stack.settings.types import HOST_OF_CONTAINERS


@cache
def _alone(name: str) -> TypeAdapter[Any]:
    """The check of one field alone."""
    return TypeAdapter(Settings.model_fields[name].rebuild_annotation())


def disagreements(data: Mapping[str, Any], settings: Settings | None) -> list[str]:
    """Problems of one host's settings that are fine alone and wrong together.

    A field that is wrong alone is left out. `settings` is None when there is such a field: rules over many settings
    apply once every field is fine.
    """

    def sound(name: str, otherwise: Any) -> Any:
        try:
            return _alone(name).validate_python(data.get(name), strict=True)
        except ValidationError:
            return otherwise

    found = [
        *_overlaps(sound("docker_address_pools", []), sound("network_subnet", None)),
        *_folders({name: sound(name, None) for name in ("stack_dir", "backup_dir", "open_webui_shared_dir")}),
        *_volumes({name: sound(name, None) for name in Settings.model_fields if name.endswith("_volume")}),
        *_environment(
            sound("open_webui_env", {}),
            sound("open_webui_secret_env", {}),
            version_of(sound("open_webui_image", "")),
        ),
        *_threads(sound("open_webui_env", {}), sound("open_webui_pids_limit", 0)),
        *_repository("backup_restic_", sound("backup_restic_repository", None), data),
        *_repository("backup_restic_second_", sound("backup_restic_second_repository", None), data),
        *_backups(lambda name: sound(name, None)),
    ]
    return [*found, *_topology(settings)] if settings else found


def _overlaps(pools: list[AddressPool], subnet: str | None) -> list[str]:
    problems = []
    ranges = [(f"docker_address_pools/{i}", ipaddress.IPv4Network(p.base)) for i, p in enumerate(pools)]
    for i, pool in enumerate(pools):
        if pool.size < ipaddress.IPv4Network(pool.base).prefixlen:
            problems.append(
                f"docker_address_pools/{i}/size: expected a prefix length not shorter than the base's, "
                f"got /{pool.size} in {pool.base}; each network is cut from the base"
            )
    if subnet:
        ranges.append(("network_subnet", ipaddress.IPv4Network(subnet)))
    for i, (name, network) in enumerate(ranges):
        for other_name, other in ranges[:i]:
            if network.overlaps(other):
                problems.append(
                    f"{name}: expected a range of its own, got {network}, which overlaps {other_name} "
                    f"({other}); choose another subnet"
                )
    return problems


def _folders(paths: Mapping[str, str | None]) -> list[str]:
    problems = []
    there = [(name, path) for name, path in paths.items() if path]
    for i, (name, path) in enumerate(there):
        for other_name, other in there[:i]:
            if f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/"):
                problems.append(
                    f"{name}: expected a folder outside {other_name} ({other}), got {path}; name another, and move "
                    "there what is in it"
                )
    return problems


# Volumes that a drill makes and removes (webui_stack/host/throw_away.py).
_OF_A_DRILL = {"open-webui-drill", "open-webui-postgres-drill", "redis-data-drill"}


def _volumes(names: Mapping[str, str | None]) -> list[str]:
    problems = []
    seen: dict[str, str] = {}
    for setting, name in names.items():
        if name in _OF_A_DRILL:
            problems.append(
                f"{setting}: expected a volume that lasts, got {name!r}, which runbooks/drill.py removes; rename it"
            )
        elif name in seen:
            problems.append(
                f"{setting}: expected a volume of its own, got {name!r}, which {seen[name]} has as well; one service "
                "would write over the data of the other"
            )
        elif name:
            seen[name] = setting
    return problems


def _threads(plain: Mapping[str, str], limit: int) -> list[str]:
    value = plain.get("THREAD_POOL_SIZE", "")
    if not limit or not re.fullmatch(r"[0-9]{1,9}", value):
        return []  # Open WebUI itself goes without what is no number
    needed = 2 * int(value) + OTHER_THREADS
    if needed <= limit:
        return []
    return [
        f"open_webui_env/THREAD_POOL_SIZE: expected at most {max(0, limit - OTHER_THREADS) // 2} for "
        f"open_webui_pids_limit = {limit}, got {value}; it sizes two pools, which with {OTHER_THREADS} other threads "
        f"may be {needed}: lower it, or raise the limit"
    ]


def _environment(plain: dict[str, str], secret: dict[str, str], version: tuple[int, ...] | None) -> list[str]:
    problems = []
    broken = environment.broken_variables(version)
    for setting, names in (("open_webui_env", plain), ("open_webui_secret_env", secret)):
        for name in names:
            where = f"{setting}/{name}"
            if not environment.is_name(name):
                problems.append(f"{where}: expected a variable name of letters, digits and _, got {name!r}; rename it")
            elif name in environment.OWNED:
                problems.append(
                    f"{where}: expected a variable of your own, got one this project sets; {environment.OWNED[name]}"
                )
            elif environment.steers_compose(name):
                problems.append(
                    f"{where}: expected a variable of Open WebUI, got one that steers compose itself; remove it"
                )
            elif name in broken:
                problems.append(f"{where}: must not be set; remove it: {broken[name]}")
    for name, value in plain.items():
        if name in secret:
            problems.append(
                f"open_webui_env/{name}: expected one place for it, got two; keep the one in open_webui_secret_env"
            )
        elif name not in environment.OWNED and (what := environment.secret_part(name, value)):
            problems.append(
                f"open_webui_env/{name}: expected no secret here, got a {what} that looks like one (value hidden); "
                "move it to open_webui_secret_env, which keeps it out of compose.yaml and logs"
            )
    return problems


def _repository(prefix: str, repository: str | None, data: Mapping[str, Any]) -> list[str]:
    if repository and data.get(f"{prefix}password") is None:
        return [
            f"{prefix}password: expected a secret source for {prefix}repository, got None; supply one, and "
            "keep it elsewhere: a password that only a lost host knew opens nothing"
        ]
    return []


def _backups(sound: Callable[[str], Any]) -> list[str]:
    problems = []
    first, second = sound("backup_restic_repository"), sound("backup_restic_second_repository")
    if second and not first:
        problems.append(
            "backup_restic_repository: expected the first repository beside backup_restic_second_repository, got None; "
            "name it"
        )
    elif second and first == second:
        problems.append(
            f"backup_restic_second_repository: expected another repository than backup_restic_repository, got {second} "
            "for both; name another place"
        )
    if sound("backup_check_schedule") and not first:
        problems.append(
            "backup_check_schedule: expected '' without a restic repository, got a schedule; set "
            "backup_restic_repository, or remove it"
        )
    if sound("drill_schedule") and sound("database_url"):
        problems.append(
            "drill_schedule: expected '' beside database_url, got a schedule; a set of this host lacks that database's "
            "rows: try out its backup where that is made"
        )
    return problems


def _topology(settings: Settings) -> list[str]:
    return [
        *(*_processes(settings), *_proxy(settings), *_shared(settings)),
        *(*_monitor(settings), *_models(settings), *_trust(settings), *_sign_in(settings), *_saved(settings)),
    ]


def _processes(settings: Settings) -> list[str]:
    """What several processes need (https://docs.openwebui.com/troubleshooting/multi-replica, 0.12)."""
    problems = []
    many = settings.open_webui_replicas > 1 or settings.topology == "swarm"
    why = f"open_webui_replicas = {settings.open_webui_replicas}" if settings.topology == "compose" else "a swarm"
    if many and settings.database_kind == "sqlite":
        problems.append(
            f"database: expected 'postgres' or 'auto' for {why}, got 'sqlite'; replicas that share a file of SQLite "
            "corrupt it"
        )
    if settings.database_kind != "sqlite":
        for setting in ("open_webui_env", "open_webui_secret_env"):
            for name in sorted(getattr(settings, setting).keys() & environment.OWNED_WITH_A_DATABASE.keys()):
                problems.append(
                    f"{setting}/{name}: expected {environment.OWNED_WITH_A_DATABASE[name]}, got the variable; remove it"
                )
    if settings.database_url and settings.database != "auto":
        problems.append(
            f"database: expected 'auto' beside database_url, got {settings.database!r}; remove one of the two"
        )
    if many and not settings.public_url and settings.topology == "compose":
        problems.append(
            f"public_url: expected the proxy's URL for {why}, got None; only the proxy spreads people over them"
        )
    needed = settings.postgres_connections
    if settings.database_kind == "postgres" and needed > settings.postgres_max_connections:
        problems.append(
            f"postgres_max_connections: expected {needed} or more for {settings.open_webui_replicas} replicas of "
            f"up to {settings.connections_per_process} and one more while they are replaced, got "
            f"{settings.postgres_max_connections}; raise it, or lower database_pool_size and database_pool_overflow"
        )
    return problems


# The first that reads an address from behind a list of proxies (trusted_proxies_strict).
_CADDY_OF_TRUSTED_PROXIES = (2, 8, 0)


def _proxy(settings: Settings) -> list[str]:
    problems = []
    if settings.public_url and settings.open_webui_public_url:
        problems.append(
            "open_webui_public_url: expected None beside public_url, got a URL; that one is for a proxy of your own, "
            "remove one of them"
        )
    if settings.public_url and settings.proxy_tls == "files":
        for name in ("proxy_certificate", "proxy_certificate_key"):
            if getattr(settings, name) is None:
                problems.append(f"{name}: expected it for proxy_tls = 'files', got None; name the file")
    if settings.public_url and settings.proxy_acme_directory and settings.proxy_tls != "acme":
        problems.append(
            f"proxy_acme_directory: expected proxy_tls = 'acme' beside it, got {settings.proxy_tls!r}; nobody would be "
            "asked there: remove one of them"
        )
    if settings.trusted_proxies and not settings.public_url:
        problems.append(
            f"trusted_proxies: expected [] without public_url, got {settings.trusted_proxies}; it is for the stack's "
            "own proxy: Open WebUI itself reads FORWARDED_ALLOW_IPS in open_webui_env"
        )
    version = version_of(settings.proxy_image)
    if settings.trusted_proxies and version is not None and version < _CADDY_OF_TRUSTED_PROXIES:
        needed = ".".join(str(number) for number in _CADDY_OF_TRUSTED_PROXIES)
        problems.append(
            f"proxy_image: expected Caddy {needed} or newer for trusted_proxies, got {settings.proxy_image}; older "
            "ones do not start with it: name a newer one"
        )
    if settings.public_url and settings.proxy_http_port == settings.proxy_port:
        problems.append(
            f"proxy_http_port: expected another port than public_url's, got {settings.proxy_port} for both; 0 does "
            "without it"
        )
    return problems


# Linux takes no longer text for one variable than 128 KB.
_MOST_CA_BYTES = 96_000


def _trust(settings: Settings) -> list[str]:
    sizes = [Path(path).expanduser().stat().st_size for path in settings.trusted_ca]
    if sum(sizes) <= _MOST_CA_BYTES:
        return []
    return [
        f"trusted_ca: expected at most {_MOST_CA_BYTES // 1000} kB in all, got {sum(sizes) // 1000}; name your own CAs "
        "only, each image has those of its system"
    ]


def _models(settings: Settings) -> list[str]:
    problems = []
    for setting, owned in environment.OWNED_WITH.items():
        for place in ("open_webui_env", "open_webui_secret_env"):
            problems += [
                f"{place}/{name}: expected one place for it, got two; {setting} sets it, remove one of them"
                for name in owned
                if getattr(settings, setting) and name in getattr(settings, place)
            ]
    if settings.ollama != "service":
        for name in ("ollama_gpu", "ollama_models"):
            if value := getattr(settings, name):
                problems.append(
                    f"{name}: expected ollama = 'service' beside it, got {value!r} for ollama = {settings.ollama!r}; "
                    "it is for an Ollama of the stack: set that, or remove this"
                )
    if settings.topology == "swarm" and settings.asks_its_host:
        names = [
            name
            for name in ("ollama", "openai_connections", "open_webui_env", "outbound_proxy", "ldap", "otel")
            if (settings.ollama_url if name == "ollama" else str(getattr(settings, name))).count(HOST_OF_CONTAINERS)
        ]
        problems += [
            f"{name}: expected addresses that each host of a swarm reaches, got {HOST_OF_CONTAINERS}; another host "
            "would ask itself: name an address"
            for name in names
        ]
    if settings.topology == "swarm" and settings.ollama_gpu:
        problems.append(
            "ollama_gpu: expected False in a swarm, got True; `docker stack deploy` reserves no GPU: run Ollama beside "
            "the stack, and set its URL as ollama"
        )
    return problems


# Variables that switch off what a setting is for: setting, the only value, why.
_SWITCHED_OFF = {
    "ENABLE_OAUTH": ("oidc", "True", "it switches the provider off"),
    "ENABLE_PASSWORD_AUTH": ("ldap", "True", "Open WebUI takes no password of LDAP without it"),
    "WEBUI_AUTH": ("oidc or ldap", "True", "without it nobody signs in"),
}


def _sign_in(settings: Settings) -> list[str]:
    """What a way to sign in needs, and what contradicts it."""
    places = {name: getattr(settings, name) for name in ("open_webui_env", "open_webui_secret_env")}
    owners = {name: "oidc" if "LDAP" not in name else "ldap" for name in settings.sign_in_variables}
    owners |= {name: where.partition("/")[0] for name, (where, _) in settings.sign_in_secrets.items()}
    owners |= {"LDAP_SEARCH_FILTER": "ldap"} if settings.ldap else {}
    owners |= {} if settings.login_form else {"ENABLE_LOGIN_FORM": "login_form"}
    problems = [
        f"{place}/{name}: expected one place for it, got two; {owners[name]} sets it, remove one of them"
        for place, given in places.items()
        for name in given
        if name in owners
    ]
    ways = {"oidc": settings.oidc is not None, "ldap": settings.ldap is not None}
    for name, (setting, value, why) in _SWITCHED_OFF.items():
        got = settings.open_webui_env.get(name, value)
        if got.lower() != value.lower() and any(ways[one] for one in setting.split(" or ")):
            problems.append(
                f"open_webui_env/{name}: expected {value!r} beside {setting}, got {got!r}; {why}: remove it"
            )
    by_hand = any(name in given for given in places.values() for name in sign_in.BY_HAND)
    if not (settings.login_form or by_hand or any(ways.values())):
        problems.append(
            "login_form: expected True without oidc and ldap, got False; nobody could sign in: set one of them first"
        )
    return [*problems, *(_oidc(settings, settings.oidc) if settings.oidc else []), *_ldap(settings)]


def _oidc(settings: Settings, oidc: sign_in.Oidc) -> Iterator[str]:
    preset = oidc.preset_of
    if not settings.external_url:
        yield (
            "public_url: expected the URL that people type for oidc, got None; the provider sends them back there: set "
            "it, or open_webui_public_url for a proxy of your own"
        )
    given = {name for name in oidc.model_fields_set if getattr(oidc, name) not in (None, [], False)}
    for name in sorted(given - preset.keys):
        everybody = sign_in.OPEN_TO_EVERYBODY.get(oidc.preset)
        of_groups = everybody and name in sign_in.PRESETS["generic"].takes and name not in ("name", "scopes")
        why = (
            f"{everybody} sends no groups: name 'domains', and make admins in the Admin Panel"
            if of_groups
            else "remove it"
        )
        yield f"oidc/{name}: expected no such key for preset {oidc.preset!r}, got one; {why}"
    if preset.needs and getattr(oidc, preset.needs) is None:
        yield f"oidc/{preset.needs}: expected it for preset {oidc.preset!r}, got None; see docs/how-to/sign-in.md"
    elif oidc.preset == "keycloak" and not re.search("/realms/[^/]+$", oidc.url or ""):
        yield (
            f"oidc/url: expected the URL of a realm for preset 'keycloak', got {oidc.url!r}; "
            "e.g. 'https://id.example.org/realms/staff'"
        )
    role = settings.open_webui_env.get("DEFAULT_USER_ROLE", "pending")
    if oidc.preset in sign_in.OPEN_TO_EVERYBODY and oidc.signup and not oidc.domains and role != "pending":
        yield (
            f"oidc/domains: expected a list for preset {oidc.preset!r} beside DEFAULT_USER_ROLE = {role!r}, got none; "
            f"everybody with an account at {sign_in.OPEN_TO_EVERYBODY[oidc.preset]} would be let in: name your "
            "domains, or leave DEFAULT_USER_ROLE as it is"
        )


def _ldap(settings: Settings) -> Iterator[str]:
    ldap = settings.ldap
    if ldap and (ldap.bind_dn is None) != (ldap.bind_password is None):
        missing = "bind_dn" if ldap.bind_dn is None else "bind_password"
        yield (
            f"ldap/{missing}: expected it beside the other of bind_dn and bind_password, got None; name both, or "
            "neither for a directory that anybody may search"
        )


# Variables in `open_webui_saved` that don't take any text: their values, as a pattern and in words.
_SAVED_VALUES = {
    "DEFAULT_USER_ROLE": ("pending|user|admin", "'pending', 'user' or 'admin'"),
    "ENABLE_SIGNUP": ("(?i:true|false)", "'True' or 'False'"),
}
# The first release that keeps each saved setting by itself: an import into an earlier one replaces all of them.
_SAVES_EACH = (0, 12)
# Variables by which Open WebUI takes no password, with which the stack's own account signs in.
_NO_PASSWORD: dict[str, Callable[[str], bool]] = {
    "ENABLE_PASSWORD_AUTH": lambda value: value.lower() != "true",
    "WEBUI_AUTH": lambda value: value.lower() != "true",
    "WEBUI_AUTH_TRUSTED_EMAIL_HEADER": bool,
}


def _saved(settings: Settings) -> Iterator[str]:
    """What a deploy needs that saves settings in Open WebUI."""
    if not settings.open_webui_saved:
        return
    where = "open_webui_saved"
    if not settings.open_webui_persistent_config:
        yield (
            f"{where}: expected [] beside open_webui_persistent_config = False, got {settings.open_webui_saved}; "
            "Open WebUI reads no saved value then: remove one of the two"
        )
    if settings.topology == "swarm":
        yield (
            f"{where}: expected [] in a swarm, got {settings.open_webui_saved}; change the values in the Admin Panel "
            "there: remove it"
        )
    version = version_of(settings.open_webui_image)
    if version is not None and version < _SAVES_EACH:
        yield (
            f"open_webui_image: expected Open WebUI 0.12 or newer for {where}, got {settings.open_webui_image}; older "
            "ones save all settings as one: name a newer one"
        )
    for name in map(str, dict.fromkeys(settings.open_webui_saved)):
        if name in ("openai_connections", "ollama"):
            if not getattr(settings, name):
                yield (
                    f"{name}: expected a value beside {where} = [{name!r}], got {getattr(settings, name)!r}; set it, "
                    f"or remove the name from {where}"
                )
            continue
        value = settings.open_webui_env.get(name)
        pattern, words = _SAVED_VALUES.get(name, ("(?s).+", "a value"))
        if value is None or not re.fullmatch(pattern, value):
            yield (
                f"open_webui_env/{name}: expected {words} beside {where} = [{name!r}], got "
                f"{'none' if value is None else repr(value)}; set it, or remove the name from {where}"
            )
    for name, forbids in _NO_PASSWORD.items():
        if name in settings.open_webui_env and forbids(settings.open_webui_env[name]):
            yield (
                f"open_webui_env/{name}: expected a way to sign in with a password for {where}, got "
                f"{settings.open_webui_env[name]!r}; the stack's own account needs it: remove one of the two"
            )


def _shared(settings: Settings) -> list[str]:
    """In a swarm a volume is its node's own: what one process writes, another does not find."""
    if settings.topology != "swarm" or settings.open_webui_shared_dir:
        return []
    if settings.open_webui_env.get("STORAGE_PROVIDER", "local") != "local":
        return []
    return [
        "open_webui_shared_dir: expected a folder that all hosts share, or open_webui_env with STORAGE_PROVIDER = 's3' "
        "and its bucket, got neither; a file uploaded to one host would be missing on the others"
    ]


def _monitor(settings: Settings) -> list[str]:
    """Nothing is told, and nothing is counted, without the monitor."""
    if settings.monitor_interval_s:
        return []
    wanted = [name for name in ("alarms", "metrics_textfile_dir", "metrics_bind") if getattr(settings, name)]
    return [
        f"monitor_interval_s: expected seconds from 5 to 3600 for {name}, got 0; the monitor does that: set both, or "
        "neither"
        for name in wanted
    ]


# --- All hosts of an inventory ----------------------------------------------------------------------


def telemetry_problems(inventory: Mapping[str, Settings]) -> list[str]:
    """Hosts with a stack each whose replicas would have the same names at one collector, a line for each name."""
    hosts: dict[tuple[str, str], list[str]] = {}
    for name, one in inventory.items():
        if one.otel and one.topology == "compose":
            hosts.setdefault((one.otel.endpoint, one.otel_host), []).append(name)
    return [
        f"otel/host: expected a name of its own for each host that sends to {endpoint}, got {host!r} for "
        f"{_names(names)}; their numbers would be mixed up: set 'host' for each"
        for (endpoint, host), names in hosts.items()
        if len(names) > 1
    ]


# --- All hosts of a swarm ---------------------------------------------------------------------------

# Beginnings of settings that may differ between hosts. All others describe the one stack, and have to be the same.
_OF_A_HOST = (
    *("preflight_", "docker_", "verify_url", "backup_", "drill_", "restore_"),
    *("rollout_", "teardown_"),
    *("swarm_manager", "swarm_runs", "swarm_availability", "swarm_address", "watchdog_", "bundle_file"),
    *("stack_adopt", "registry_login"),
    *("monitor_", "alarm", "metrics_"),
)
# Settings for batches of hosts, with the values that change nothing: a swarm's hosts are one stack.
_BATCHES = {"rollout_canary": (0, []), "rollout_batch": (None, "100%"), "rollout_pause_s": (0,)}


def swarm_problems(inventory: Mapping[str, Settings], targeted: Iterable[str]) -> list[str]:
    """Why these hosts can't be one swarm, a line each; nothing for an inventory without a swarm.

    `inventory` has the settings of all hosts; this run acts on those `targeted`.
    """
    topologies = {name: one.topology for name, one in inventory.items()}
    if "swarm" not in topologies.values():
        return []
    if "compose" in topologies.values():
        odd = [name for name, topology in topologies.items() if topology == "compose"]
        return [
            f"topology: expected 'swarm' for all hosts of the inventory, got 'compose' for {_names(odd)}; "
            "a swarm has an inventory of its own"
        ]
    return [
        *_swarm_roles(inventory, set(targeted)),
        *_agreement(inventory),
        *(
            line
            for one in dict.fromkeys(_refused_in_a_swarm(settings) for settings in inventory.values())
            for line in one
        ),
    ]


def _swarm_roles(inventory: Mapping[str, Settings], targeted: set[str]) -> Iterator[str]:
    data_nodes = [name for name, one in inventory.items() if one.runs("data")]
    managers = [name for name, one in inventory.items() if one.swarm_manager]
    if len(data_nodes) != 1:
        yield (
            f"swarm_runs: expected exactly one host with 'data', got {_names(data_nodes)}; Valkey's and Postgres's "
            "volumes are on one host"
        )
    elif not inventory[data_nodes[0]].swarm_manager:
        yield (
            f"swarm_manager: expected True for {data_nodes[0]}, which has the data, got False; "
            "the swarm is steered there"
        )
    elif inventory[data_nodes[0]].swarm_availability != "active":
        yield (
            f"swarm_availability: expected 'active' for {data_nodes[0]}, which runs 'data', got 'drain'; "
            "its volumes are nowhere else"
        )
    elif data_nodes[0] not in targeted:
        yield (
            f"{data_nodes[0]}: expected it in each run, since the swarm is steered from there, got it left out or out "
            "of reach; add it to --limit, or see docs/how-to/swarm.md, when it is lost"
        )
    if len(managers) not in (1, 3):
        yield (
            f"swarm_manager: expected 1 or 3 managers, got {len(managers)} ({_names(managers)}); 2 fail when either "
            "does, 3 go on when one does"
        )
    for what in ("open-webui", "proxy"):
        if not any(one.runs(what) and one.swarm_availability == "active" for one in inventory.values()):
            yield f"swarm_runs: expected {what!r} for at least one active host, got none; add it to one"


def _agreement(inventory: Mapping[str, Settings]) -> Iterator[str]:
    for name in next(iter(inventory.values())).model_fields_set:
        if name.startswith(_OF_A_HOST):
            continue
        hosts: dict[str, list[str]] = {}
        for host, one in inventory.items():
            hosts.setdefault(repr(getattr(one, name)), []).append(host)
        if len(hosts) > 1:
            got = " and ".join(f"one for {_names(names)}" for names in hosts.values())
            yield f"{name}: expected the same for all hosts of a swarm, which are one stack, got {got}; set it once"


def _refused_in_a_swarm(settings: Settings) -> tuple[str, ...]:
    found = []
    if settings.stack_adopt:
        found.append("stack_adopt: expected False in a swarm, got True; adopt it with topology = 'compose' first")
    if not settings.public_url:
        found.append("public_url: expected the proxy's URL for a swarm, got None; only the proxy is published there")
    if not set(settings.proxy_addresses) <= {"0.0.0.0", "::"}:  # noqa: S104 what they have to be
        found.append(
            f"proxy_bind: expected '0.0.0.0' in a swarm, got {settings.proxy_bind!r}; Docker publishes on all "
            "addresses there (docs/how-to/swarm.md)"
        )
    for name, usual in _BATCHES.items():
        value = getattr(settings, name)
        if value not in usual:
            found.append(
                f"{name}: expected it to be left as it is in a swarm, got {value!r}; its hosts are one stack, which "
                "replaces one replica at a time"
            )
    return tuple(found)


def _names(names: Sequence[str], most: int = 5) -> str:
    listed = ", ".join(names[:most]) or "none"
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"


# Runbook -> what to do in a swarm, where it does not work yet.
_NOT_YET = {
    "rollback": "set the version and the settings of before, and deploy",
    "rotate": "remove the secret's file in stack_dir/secrets on the host with the data, and deploy",
    "teardown": "`docker stack rm open-webui`, then `docker swarm leave` on each host; volumes stay",
    "bundle": "make the bundle with an inventory of topology = 'compose'",
}


def runbook_refusals(runbook: str) -> list[str]:
    """Why a runbook can't be run on a swarm."""
    if runbook not in _NOT_YET:
        return []
    return [f"topology: expected 'compose' for runbooks/{runbook}.py, got 'swarm'; {_NOT_YET[runbook]}"]
