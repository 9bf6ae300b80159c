"""Every setting of the project as one typed, frozen model.

The defaults live in `inventories/group_data/all.py` and nowhere else: the model has none, so the
commented file an operator reads is also the file that is checked. `from_data` turns one host's data
into `Settings` or raises `SettingsError` with *every* problem of that host, each written as
`setting: expected, got, what to do`.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import json
import re
import runpy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from webui_stack.settings import origin, shipped


@dataclass(frozen=True)
class Rule:
    """What a value has to be, in the words of the error a person reads."""

    expected: str
    fix: str


class SettingsError(Exception):
    """Every problem of one host's settings, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _refuse_unless(accept: Callable[[Any], bool | Rule]) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        found = accept(value)
        if found is not True:
            raise PydanticCustomError("rule", "does not follow its rule", {"rule": found or None})
        return value

    return validate


def _must(accept: Callable[[Any], bool | Rule]) -> AfterValidator:
    """Refuse a value that `accept` does not take; the words come from the field's `Rule`, or the one it returns."""
    return AfterValidator(_refuse_unless(accept))


def _must_alone(accept: Callable[[Any], bool]) -> PlainValidator:
    """The same where the type is a union: pydantic would report each of its types that does not fit."""
    return PlainValidator(_refuse_unless(accept))


def _matches(pattern: str) -> AfterValidator:
    return _must(lambda value: re.fullmatch(pattern, value) is not None)


def _between(low: int, high: int) -> AfterValidator:
    return _must(lambda value: low <= value <= high)


_HOST_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"

# Docker's reference grammar (distribution/reference), with a tag or digest required.
_IMAGE = re.compile(
    rf"(?:{_HOST_NAME}(?::[0-9]+)?/)?"
    r"(?P<path>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
# A part of a tag, between - or _, that names a release: at least major.minor, v0.12.4, 1.2.3rc1.
_RELEASE = re.compile(r"v?[0-9]+(?:\.[0-9]+)+(?:[a-z]+\.?[0-9]*)?", re.IGNORECASE)
# What such a tag says instead of a release: a day, or a commit.
_DAY = re.compile(r"(?<![0-9])20[0-9]{2}([-._]?)[01][0-9]\1[0-3][0-9](?![0-9])")
_COMMIT = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{7,64}")
# Tags of a line of development, whatever follows: `main-slim`, `latest-cuda12.8`.
_LINES = {"latest", "main", "master", "dev", "develop", "edge", "nightly", "stable", "testing", "unstable"}


def is_pinned_image(reference: str) -> bool:
    """Whether the reference names the same image tomorrow: by a digest, or a tag that does not move."""
    match = _IMAGE.fullmatch(reference)
    if match is None:
        return False
    return bool(match["digest"]) or bool(match["tag"] and _is_fixed_tag(match["tag"]))


def _is_fixed_tag(tag: str) -> bool:
    parts = re.split(r"[-_]", tag)
    if _DAY.search(tag) or any(_COMMIT.fullmatch(part) for part in parts):
        return True
    return parts[0].lower() not in _LINES and any(_RELEASE.fullmatch(part) for part in parts)


def version_of(reference: str) -> tuple[int, ...] | None:
    """The release that an image's tag names, (0, 12, 4) for `...:v0.12.4-slim`; None where it names none."""
    match = _IMAGE.fullmatch(reference)
    found = re.match(r"v?([0-9]+)\.([0-9]+)\.([0-9]+)(?![0-9])", (match and match["tag"]) or "")
    return tuple(int(number) for number in found.groups()) if found else None


def postgres_major(reference: str) -> int | None:
    """The major version of PostgreSQL that an image's name tells; None where it tells none."""
    match = _IMAGE.fullmatch(reference)
    if match is None or not match["tag"]:
        return None
    found = re.search(r"(?<![a-z0-9])pg([0-9]+)", match["tag"])
    if not found and match["path"].split("/")[-1] == "postgres":
        found = re.match(r"([0-9]+)(?![0-9])", match["tag"])
    return int(found[1]) if found else None


# From 18 on the images' data folder is /var/lib/postgresql/18/docker (https://github.com/docker-library/postgres/pull/1259).
_NEWEST_POSTGRES = 17


def _is_postgres(reference: str) -> bool | Rule:
    if (postgres_major(reference) or 0) <= _NEWEST_POSTGRES:
        return True
    return Rule(
        f"PostgreSQL {_NEWEST_POSTGRES} or older",
        "newer images keep their data outside the volume, and the data of an older one has to be dumped and loaded",
    )


def _is_subnet(value: str) -> bool:
    try:
        return bool(re.fullmatch(r"[0-9.]+/[0-9]+", value) and ipaddress.IPv4Network(value))
    except ValueError:
        return False


def _address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address without a scope: `fe80::1%eth0` means an interface of one machine, and Docker takes none."""
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        return None
    return None if "%" in value or found.is_multicast else found


def _is_address(value: str) -> bool:
    return _address(value) is not None


def _is_reachable(value: str) -> bool:
    found = _address(value)
    return found is not None and not (found.is_unspecified or found.is_loopback)


def _is_origin(value: str) -> bool:
    return bool(origin.canonical(value))  # its ValueError is a refusal as well


def _secure_origin(value: str) -> str:
    """The origin of a proxy of ours: its name has to be one that a certificate can be for."""
    found = origin.canonical(value)
    if not re.fullmatch(rf"https://{_HOST_NAME}(?::[0-9]+)?", found):
        raise ValueError("no name for a certificate")
    return found


def _is_package_repository(value: str) -> bool | Rule:
    if re.match(r"[a-z]+://[^/]*@", value):
        return Rule(
            "an http(s) URL without a login",
            "apt's and dnf's files and logs show it to everybody on the host: use a mirror that asks for none, or "
            "install Docker yourself and set docker_source = 'present'",
        )
    return re.fullmatch(r"https?://[^\s/?#]+(?:/[^\s?#]*[^\s?#/])?", value) is not None


def _is_registry(value: str) -> bool:
    match = re.fullmatch(rf"{_HOST_NAME}(?::([1-9][0-9]{{0,4}}))?", value)
    return match is not None and int(match[1] or 443) <= 65535


def _is_pem(path: str) -> bool | Rule:
    try:
        text = Path(path).expanduser().read_text(encoding="ascii")
    except (OSError, ValueError, RuntimeError):  # RuntimeError: ~nobody
        return False
    if "PRIVATE KEY-----" in text:
        return Rule(
            "a file of certificates without a private key",
            "everybody could read the key on the host: keep the certificates only, "
            "`sed -n '/BEGIN CERT/,/END CERT/p' FILE >chain.pem`",
        )
    return "-----BEGIN CERTIFICATE-----" in text


def _is_key(path: str) -> bool:
    try:
        text = Path(path).expanduser().read_text(encoding="ascii")
    except (OSError, ValueError, RuntimeError):  # RuntimeError: ~nobody
        return False
    return text.count("-----BEGIN PGP PUBLIC KEY BLOCK-----") == 1 and "PRIVATE KEY" not in text


# Folders whose mode and contents are the system's, or that are emptied at a start.
_SYSTEM_FOLDERS = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr"),  # noqa: S108
    *("/lost+found", "/snap", "/var/cache", "/var/lock", "/var/log", "/var/mail", "/var/run", "/var/spool", "/var/tmp"),  # noqa: S108
    *("/var/lib/apt", "/var/lib/containerd", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/rpm", "/var/lib/systemd"),
)
# Folders that others share: one below them can be ours, but not they.
_SHARED_FOLDERS = (
    *("/home", "/var/backups", "/var/crash", "/var/games", "/var/lib", "/var/local", "/var/opt", "/var/www"),
    *("/opt/containerd", "/var/lib/private", "/var/lib/snapd"),
)


def _is_own_folder(path: str) -> bool | Rule:
    names = path.split("/")[1:]
    if not (
        path.startswith("/")
        and len(names) > 1
        and all(re.fullmatch(r"[A-Za-z0-9._-]+", name) and set(name) != {"."} for name in names)
    ):
        return False
    inside = any(path == folder or path.startswith(f"{folder}/") for folder in _SYSTEM_FOLDERS)
    is_home = len(names) == 2 and names[0] == "home"
    if inside or is_home or path in _SHARED_FOLDERS:
        return Rule(
            "a folder of its own",
            "that one is the system's, a person's or emptied at a start; add a name below a lasting folder, e.g. "
            "'/opt/open-webui' or '/var/backups/open-webui'",
        )
    return True


def _is_json(value: Any) -> bool:
    try:
        return bool(json.dumps(value))
    except (TypeError, ValueError):
        return False


def _is_save(value: str) -> bool:
    """Pairs of `seconds changes`, or nothing for no snapshots (Valkey's `save`)."""
    pair = "[1-9][0-9]{0,8} [1-9][0-9]{0,8}"
    return re.fullmatch(f"(?:{pair}(?: {pair})*)?", value) is not None


_SIZES = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


def _is_pubsub_buffer(value: str) -> bool | Rule:
    size = "([0-9]{1,12})(kb|mb|gb)?"
    match = re.fullmatch(f"{size} {size} ([0-9]{{1,5}})", value)
    if match is None:
        return False
    hard, soft = (int(number) * _SIZES[unit or ""] for number, unit in (match.groups()[:2], match.groups()[2:4]))
    enough = (not hard or hard >= 32 << 20) and (not soft or (soft >= 8 << 20 and int(match[5]) >= 60))
    return enough or Rule(
        "no less than Valkey's own '32mb 8mb 60', or 0 for no limit",
        "Valkey cuts Open WebUI off when more than that waits for it, and people miss events; e.g. '1gb 256mb 180'",
    )


_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def _is_lifetime(value: str) -> bool | Rule:
    """A duration as Open WebUI reads it (open_webui/utils/misc.py, parse_duration), or -1."""
    if value == "-1":
        return True
    if not re.fullmatch(r"(?:[0-9]{1,12}(?:ms|[smhdw]))+", value):
        return False
    total_ms = sum(int(number) * _UNITS_MS[unit] for number, unit in re.findall(r"([0-9]+)(ms|[smhdw])", value))
    return _UNITS_MS["m"] <= total_ms <= 520 * _UNITS_MS["w"] or Rule(
        "a duration from a minute to ten years", "people would be signed out at once, or not be let in; e.g. '24h'"
    )


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least  # True is an int, too


def _is_canary(value: Any) -> bool:
    """Host names, each once, or a number of hosts."""
    if not isinstance(value, list):
        return _is_count(value, 0)
    return all(isinstance(name, str) and name for name in value) and len(set(value)) == len(value)


def _is_batch(value: Any) -> bool:
    """A number of hosts, a percentage of them, or None."""
    if isinstance(value, str):
        return re.fullmatch(r"(?:[1-9][0-9]?|100)%", value) is not None
    return value is None or _is_count(value, 1)


def _is_repository(value: str) -> bool:
    """One line that needs no escapes; a URL with a password in it would be shown."""
    return re.fullmatch(r"[^\x00-\x20\x7f'\"](?:[^\x00-\x1f\x7f'\"]*)", value) is not None and not re.search(
        r"//[^/]*:[^/]*@", value
    )


# POSIX's portable variable name; compose refuses others in an env file.
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Names compose and docker read from the same .env or environment for themselves.
_FOR_COMPOSE = re.compile(
    r"COMPOSE_|DOCKER_|BUILDKIT_|VALKEY_ACL_SHA256$|POSTGRES_PASSWORD$|PROXY_KEY_SHA256$|PATH$|HOME$"
)
# Names whose values are secrets, whatever they look like. Those of the second kind may also hold a number.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:SECRET|PASSWORD|PASSWD|TOKEN|KEY|CREDENTIALS|CREDENTIALS_JSON)$|^DATABASE_URL$|^PGVECTOR_DB_URL$"
)
_SECRETS_NAME = re.compile(r"(?:^|_)(?:KEYS|AUTH|CONNECTIONS|HEADERS)$")
# Names that end like those and hold none (open_webui/config.py and env.py, 0.12.4).
_NO_SECRET = {"CODE_EXECUTION_JUPYTER_AUTH", "CODE_INTERPRETER_JUPYTER_AUTH", "LICENSE_PUBLIC_KEY"} | {
    "RAG_SOURCE_METADATA_KEYS"
}
_SWITCH = re.compile(r"true|false|yes|no|on|off|none|null|\[\]|\{\}|", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
# Values that are secrets under any name: a user's password in a URL, a key in PEM, a field of JSON, an HTTP header.
_SECRET_VALUE = re.compile(
    r"://[^\s/@:?#]*:[^\s/@]+@|https?://[^\s/@:?#]+@|PRIVATE KEY-----|\b(?:bearer|basic)\s+[a-z0-9+/=_.~-]{8}"
    r"|\"[a-z_-]*(?:key|token|password|secret|authorization)\"\s*:\s*\"[^\"]",
    re.IGNORECASE,
)


def _secret(name: str, value: str) -> str:
    """What makes a variable one of `open_webui_secret_env`: its "name" or its "value", "" when neither does."""
    named = _SECRET_NAME.search(name) or (_SECRETS_NAME.search(name) and not _NUMBER.fullmatch(value))
    if named and name not in _NO_SECRET and not _SWITCH.fullmatch(value):
        return "name"
    return "value" if _SECRET_VALUE.search(value) else ""


# Variables the project sets itself, and what to do instead.
_OWNED = {
    "ENABLE_WEBSOCKET_SUPPORT": "remove it, websockets are always on",
    "WEBSOCKET_MANAGER": "remove it, it is always redis",
    "WEBSOCKET_REDIS_URL": "remove it, it follows from the stack's Valkey",
    "REDIS_URL": "remove it, it follows from the stack's Valkey",
    "REDIS_KEY_PREFIX": "set open_webui_key_prefix instead",
    "WEBUI_SECRET_KEY": "set open_webui_secret_key instead",
    "WEBUI_URL": "set open_webui_public_url instead",
    "CORS_ALLOW_ORIGIN": "set open_webui_cors_origins instead",
    "JWT_EXPIRES_IN": "set open_webui_jwt_expires_in instead",
    "ENABLE_PERSISTENT_CONFIG": "set open_webui_persistent_config instead",
    "OFFLINE_MODE": "set open_webui_offline instead",
    "HF_HUB_OFFLINE": "set open_webui_offline instead",
    "PORT": "set open_webui_port, the published one, instead",
}
_ONE_SERVER = "this stack's Valkey is one server, which Open WebUI would not ask any more"
# Variables upstream offers that break a stack: the first release that is fine with them, None where there is none yet,
# and the reason.
_BROKEN: dict[str, tuple[tuple[int, ...] | None, str]] = {
    "UVICORN_WORKERS": (None, "Open WebUI's one-process database would be corrupted by more than one worker"),
    "REDIS_SOCKET_TIMEOUT": ((0, 12, 4), "any value kills the Stop button before 0.12.4 (open-webui#27103, #27104)"),
    "WEBSOCKET_REDIS_OPTIONS": (None, "setting it disables the inherited connect timeout"),
    "REDIS_SENTINEL_HOSTS": (None, f"{_ONE_SERVER} but Sentinel"),
    "WEBSOCKET_SENTINEL_HOSTS": (None, f"{_ONE_SERVER} but Sentinel"),
    "REDIS_CLUSTER": (None, f"{_ONE_SERVER} but a cluster"),
    "WEBSOCKET_REDIS_CLUSTER": (None, f"{_ONE_SERVER} but a cluster"),
}


def broken_variables(version: tuple[int, ...] | None) -> dict[str, str]:
    """The variables that must not be set for this release of Open WebUI, with the reason; None is the newest one."""
    return {
        name: why
        for name, (since, why) in _BROKEN.items()
        if since is None or (version is not None and version < since)
    }


# Connections of each process to the vectors.
VECTOR_POOL = 5

Port = Annotated[int, _between(1, 65535), Rule("a TCP port from 1 to 65535, as a number", "e.g. 3000")]
Seconds = Annotated[
    int, _between(1, 3600), Rule("a whole number of seconds from 1 to 3600", "e.g. 120, without quotes")
]
Megabytes = Annotated[int, _between(0, 10_000_000), Rule("a whole number of megabytes, 0 or more", "0 switches it off")]
Pids = Annotated[
    int,
    _must(lambda value: value == 0 or 64 <= value <= 1_000_000),
    Rule("0, or a number of processes and threads from 64 to 1000000", "0 sets no limit"),
]
HealthInterval = Annotated[
    int,
    _between(1, 300),
    Rule("seconds from 1 to 300", "Docker waits so long between two checks of a container that has started"),
]
Switch = Annotated[bool, Rule("True or False", "write the word without quotes, after --data as well")]
Image = Annotated[
    str,
    _must(is_pinned_image),
    Rule(
        "an image reference with a fixed tag or digest",
        "write registry/name:version; a tag that moves (latest, main, ...) makes two runs differ",
    ),
]
Volume = Annotated[
    str,
    _matches(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+"),
    Rule("the name of a Docker volume", "`docker volume ls` lists them; a folder of the host is not used"),
]
Subnet = Annotated[str, _must(_is_subnet), Rule("an IPv4 network without host bits", "e.g. '198.18.5.0/24'")]
Address = Annotated[
    str,
    _must(_is_address),
    Rule("an IP address of the host", "'127.0.0.1' for this host only, '0.0.0.0' for everyone"),
]
Origin = Annotated[
    str,
    AfterValidator(origin.canonical),
    Rule("a URL of scheme, host and maybe a port, with no path", "e.g. 'https://chat.example.org'"),
]
SecretSource = Annotated[
    str,
    _matches(r"(?s)(?:env|file|command):\S.*"),
    Rule(
        "'env:NAME', 'file:PATH' or 'command:COMMAND'",
        "secrets are never written into an inventory: name where this machine reads it",
    ),
]
AbsolutePath = Annotated[
    str,
    _must(_is_own_folder),
    Rule(
        "an absolute path of a folder of its own, of letters, digits and . _ -",
        "e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
    ),
]

LocalPath = Annotated[
    str, _must(lambda value: bool(value.strip())), Rule("a path on this machine", "None: named after the inventory")
]
LocalFolder = Annotated[
    str, _must(lambda value: bool(value.strip())), Rule("a folder on this machine", "None goes without")
]


# An X25519 recipient of age: Bech32 (https://age-encryption.org/v1).
AgeRecipient = Annotated[
    str,
    _matches(r"age1[02-9ac-hj-np-z]{58}"),
    Rule("a recipient of age, 'age1' and 58 more characters", "`age-keygen` prints one; the identity stays with you"),
]


_DEFAULTS = shipped.path("inventories") / "group_data" / "all.py"


@cache
def defaults() -> dict[str, Any]:
    """Every setting with its default, read once from this repository, wherever the inventory lives."""
    return {name: value for name, value in runpy.run_path(str(_DEFAULTS)).items() if not name.startswith("_")}


class AddressPool(BaseModel):
    """One entry of Docker's `default-address-pools`: networks of `/size` cut from `base`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    base: Subnet
    size: Annotated[int, _between(8, 30), Rule("a prefix length from 8 to 30", "e.g. 24")]


class Settings(BaseModel):
    """All settings of one host. `inventories/group_data/all.py` says what each one does."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    preflight_min_memory_mb: Megabytes
    preflight_min_disk_mb: Megabytes
    preflight_max_clock_skew_s: Seconds

    docker_source: Annotated[
        Literal["docker-ce", "distro", "present"],
        Rule("'docker-ce', 'distro' or 'present'", "see docs/operations.md, Docker"),
    ]
    docker_repo_url: Annotated[
        str,
        _must(_is_package_repository),
        Rule("an http(s) URL without a trailing slash", "e.g. 'https://download.docker.com/linux'"),
    ]
    docker_repo_key_sha256: Annotated[
        str,
        _matches(r"[0-9a-f]{64}"),
        Rule("64 lower-case hexadecimal digits", "run sha256sum on the repository's gpg file"),
    ]
    docker_repo_rpm_key: (
        Annotated[
            str,
            _must(_is_key),
            Rule("a readable file with one PGP public key in ASCII armor", "check the path; None is Docker's own key"),
        ]
        | None
    )
    docker_daemon: Annotated[
        dict[str, Any],
        _must(lambda keys: _is_json(keys) and not {"default-address-pools", "hosts"} & set(keys)),
        Rule(
            "keys of Docker's daemon.json, without hosts and default-address-pools",
            "use docker_address_pools for the pools; hosts conflicts with the service's own -H",
        ),
    ]
    docker_restart_stops_others: Switch
    docker_address_pools: Annotated[
        list[
            Annotated[
                AddressPool, Rule("{'base': subnet, 'size': prefix length}", "e.g. {'base': '10.9.0.0/16', 'size': 24}")
            ]
        ],
        Rule("a list of {'base': subnet, 'size': prefix length}", "[] keeps Docker's own"),
    ]
    docker_registry_ca: Annotated[
        dict[
            Annotated[
                str,
                _must(_is_registry),
                Rule("registry host names with an optional port", "e.g. 'registry.example.org:5000'"),
            ],
            Annotated[str, _must(_is_pem), Rule("a readable PEM certificate on this machine", "check the path")],
        ],
        Rule("a dict of registry host to CA file", "{} trusts the host's own certificates"),
    ]

    network_subnet: Subnet | None

    topology: Annotated[
        Literal["compose", "swarm"], Rule("'compose' or 'swarm'", "'swarm' makes all hosts of the inventory one stack")
    ]

    stack_dir: AbsolutePath
    stack_adopt: Switch
    stack_adopt_drops: Annotated[
        list[
            Annotated[
                Literal["networks", "labels", "mounts", "extra_hosts", "devices", "ports", "privileges"],
                Rule(
                    "'networks', 'labels', 'mounts', 'extra_hosts', 'devices', 'ports' or 'privileges'",
                    "the refusal of a take-over names those that the container has",
                ),
            ]
        ],
        Rule("a list of what a take-over may drop", "e.g. ['networks']"),
    ]

    lock_file: Annotated[str, Rule("a path on this machine, or an empty string", "'' follows no lock")] | None
    image_source: Annotated[
        Literal["registry", "bundle"],
        Rule("'registry' or 'bundle'", "see docs/operations.md, Air-gapped"),
    ]
    bundle_file: LocalPath | None

    valkey_image: Image
    valkey_volume: Volume
    valkey_password: SecretSource | None
    valkey_default_user: Annotated[
        Literal["ping", "all"], Rule("'ping' or 'all'", "'ping' lets clients without a password PING only")
    ]
    valkey_save: Annotated[
        str,
        _must(_is_save),
        Rule("pairs of seconds and changes, or an empty string", "'30 1' saves after 30 s if a key changed"),
    ]
    valkey_appendonly: Switch
    valkey_appendfsync: Annotated[
        Literal["always", "everysec", "no"],
        Rule("'always', 'everysec' or 'no'", "'everysec' loses at most the last second"),
    ]
    valkey_maxclients: Annotated[
        int, _between(32, 1_000_000), Rule("a number of connections from 32 to 1000000", "e.g. 10000")
    ]
    valkey_timeout_s: Annotated[
        int,
        _must(lambda value: value == 0 or 120 <= value <= 86400),
        Rule(
            "0, or seconds from 120 to 86400",
            "it must stay above Open WebUI's health check interval of 60 s; 0 lets idle connections pile up",
        ),
    ]
    valkey_pubsub_buffer: Annotated[
        str,
        _must(_is_pubsub_buffer),
        Rule("'hard soft seconds' as in client-output-buffer-limit", "e.g. '1gb 256mb 180'"),
    ]
    valkey_memory_limit_mb: Megabytes
    valkey_pids_limit: Pids
    valkey_health_interval_s: HealthInterval
    valkey_health_timeout_s: Annotated[int, _between(1, 60), Rule("seconds from 1 to 60", "e.g. 3")]
    valkey_health_retries: Annotated[int, _between(1, 100), Rule("a number of checks from 1 to 100", "e.g. 3")]

    open_webui_image: Image
    open_webui_replicas: Annotated[int, _between(1, 64), Rule("a number of processes from 1 to 64", "e.g. 2")]
    open_webui_volume: Volume
    open_webui_bind: Address
    open_webui_port: Port
    open_webui_public_url: Origin | None
    open_webui_cors_origins: Annotated[list[Origin], Rule("a list of URLs", "e.g. ['https://chat.example.org']")]
    open_webui_secret_key: SecretSource | None
    open_webui_key_prefix: Annotated[
        str, _matches(r"[a-z0-9][a-z0-9_-]{0,31}"), Rule("up to 32 of a-z, 0-9, _ and -", "e.g. 'open-webui'")
    ]
    open_webui_jwt_expires_in: Annotated[
        str,
        _must(_is_lifetime),
        Rule("a duration such as '24h', '30m' or '4w'", "'-1' never expires, which upstream advises against"),
    ]
    open_webui_persistent_config: Switch
    open_webui_offline: Switch
    open_webui_env: Annotated[
        dict[str, Annotated[str, Rule("text", "quote numbers and booleans, e.g. 'False'")]],
        Rule("a dict of variable to text", "e.g. {'ENABLE_SIGNUP': 'False'}"),
    ]
    open_webui_secret_env: Annotated[
        dict[str, SecretSource],
        Rule("a dict of variable to secret source", "e.g. {'OPENAI_API_KEY': 'env:KEY'}"),
    ]
    open_webui_start_timeout_s: Seconds
    open_webui_health_interval_s: HealthInterval
    open_webui_memory_limit_mb: Megabytes
    open_webui_pids_limit: Pids
    open_webui_cap_add: Annotated[
        list[Annotated[str, _matches(r"[A-Z][A-Z_]+"), Rule("a capability without CAP_", "e.g. 'DAC_OVERRIDE'")]],
        Rule("a list of capabilities", "[] gives it none"),
    ]
    open_webui_read_only: Switch

    public_url: (
        Annotated[
            str,
            AfterValidator(_secure_origin),
            Rule(
                "a URL of https, a host name and maybe a port, with no path",
                "e.g. 'https://chat.example.org'; for a proxy of your own set open_webui_public_url",
            ),
        ]
        | None
    )
    proxy_tls: Annotated[
        Literal["acme", "internal", "files"],
        Rule("'acme', 'internal' or 'files'", "where the proxy's certificate comes from"),
    ]
    proxy_acme_email: (
        Annotated[
            str,
            _matches(rf"[A-Za-z0-9][A-Za-z0-9._%+'=-]*@{_HOST_NAME}"),
            Rule("an e-mail address", "None goes without"),
        ]
        | None
    )
    proxy_certificate: (
        Annotated[str, _must(_is_pem), Rule("a readable PEM certificate on this machine", "check the path")] | None
    )
    proxy_certificate_key: SecretSource | None
    proxy_bind: Address
    proxy_http_port: Annotated[
        int, _between(0, 65535), Rule("a TCP port from 1 to 65535, or 0", "0 does not publish it")
    ]
    proxy_image: Image
    proxy_volume: Volume

    database: Annotated[
        Literal["auto", "sqlite", "postgres"],
        Rule("'auto', 'sqlite' or 'postgres'", "database_url names one that you run"),
    ]
    database_url: SecretSource | None
    database_switch: Annotated[
        list[str], Rule("a list of host names", "only these hosts may begin with another database than they have")
    ]
    database_pool_size: Annotated[int, _between(1, 1000), Rule("a number of connections from 1 to 1000", "e.g. 15")]
    database_pool_overflow: Annotated[int, _between(0, 1000), Rule("a number of connections from 0 to 1000", "e.g. 20")]
    postgres_image: Annotated[Image, _must(_is_postgres)]
    postgres_volume: Volume
    postgres_password: SecretSource | None
    postgres_max_connections: Annotated[
        int, _between(20, 10_000), Rule("a number of connections from 20 to 10000", "e.g. 500")
    ]
    postgres_memory_limit_mb: Megabytes

    swarm_manager: Switch
    swarm_runs: Annotated[
        list[
            Annotated[
                Literal["open-webui", "proxy", "data"],
                Rule("'open-webui', 'proxy' or 'data'", "'data' is Valkey and Postgres with their volumes"),
            ]
        ],
        Rule("a list of 'open-webui', 'proxy' and 'data'", "[] runs nothing there, as on a manager that only steers"),
    ]
    swarm_availability: Annotated[
        Literal["active", "drain"], Rule("'active' or 'drain'", "'drain' moves its work to the other hosts")
    ]
    swarm_address: (
        Annotated[
            str,
            _must(_is_reachable),
            Rule("an IP address of the host that the other hosts reach", "None takes Docker's guess"),
        ]
        | None
    )
    swarm_address_pool: Subnet | None
    swarm_encrypted: Switch
    swarm_mtu: (
        Annotated[int, _between(1280, 65_535), Rule("bytes from 1280 to 65535", "None asks the hosts' interfaces")]
        | None
    )
    open_webui_shared_dir: AbsolutePath | None

    watchdog_pause_s: Annotated[
        int,
        _must(lambda value: value == 0 or 30 <= value <= 3600),
        Rule("0, or seconds from 30 to 3600", "0 switches the watchdog off"),
    ]

    verify_level: Annotated[
        Literal["ping", "wiring", "user"],
        Rule("'ping', 'wiring' or 'user'", "'wiring' needs no account, 'user' signs in with one of its own"),
    ]
    verify_event_kb: Annotated[int, _between(1, 16000), Rule("kilobytes from 1 to 16000", "e.g. 1024")]
    verify_timeout_s: Seconds
    verify_hold_s: Annotated[
        int,
        _must(lambda value: value == 0 or 30 <= value <= 3600),
        Rule("0, or seconds from 30 to 3600", "Open WebUI is silent for 25 s at a time; 0 holds no websocket open"),
    ]
    verify_url: (
        Annotated[
            str,
            _must(_is_origin),
            Rule("a URL of scheme, host and maybe a port, with no path", "e.g. 'https://chat.example.org'"),
        ]
        | None
    )
    verify_ca: (
        Annotated[str, _must(_is_pem), Rule("a readable PEM certificate on this machine", "check the path")] | None
    )

    backup_dir: AbsolutePath
    backup_min_free_mb: Megabytes
    backup_keep: Annotated[
        int, _between(0, 10_000), Rule("a number of backup sets from 0 to 10000", "e.g. 7; 0 keeps all")
    ]
    backup_schedule: Annotated[
        str,
        _matches(r"(?:[A-Za-z0-9*][A-Za-z0-9*:,./~_+ -]*[A-Za-z0-9*])?"),
        Rule("a calendar expression of systemd, or an empty string", "e.g. '*-*-* 03:30'; systemd.time(7) explains it"),
    ]
    backup_age_recipient: AgeRecipient | None
    backup_fetch: LocalFolder | None
    backup_restic_repository: (
        Annotated[
            str,
            _must(_is_repository),
            Rule(
                "a repository of restic in one line, without quotes and without a password",
                "e.g. 'sftp:backup@nas:/srv/restic'; secrets go into backup_restic_env",
            ),
        ]
        | None
    )
    backup_restic_password: SecretSource | None
    backup_restic_env: Annotated[
        dict[
            Annotated[
                str,
                _must(lambda name: bool(_ENV_NAME.fullmatch(name)) and name != "RESTIC_PASSWORD"),
                Rule("names of variables, without RESTIC_PASSWORD", "the password is backup_restic_password"),
            ],
            SecretSource,
        ],
        Rule("a dict of variable to secret source", "e.g. {'AWS_SECRET_ACCESS_KEY': 'env:KEY'}"),
    ]
    restore_set: Annotated[
        str,
        _matches(r"newest|[0-9]{8}T[0-9]{6}Z"),
        Rule("'newest' or the name of a backup set", "e.g. '20261126T033000Z'; runbooks/backup.py lists them"),
    ]
    restore_over: Annotated[
        list[str], Rule("a list of host names", "only the live stacks of these hosts are replaced by a backup")
    ]
    restore_age_identity: SecretSource | None
    restore_from: LocalFolder | None
    restore_restic_host: (
        Annotated[
            str,
            _matches(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
            Rule("the name a host calls itself", "`hostname` prints it; `restic snapshots` lists them"),
        ]
        | None
    )

    upgrade_rehearse: Switch
    rollback_to: Annotated[
        str,
        _matches(r"previous|[0-9]{8}T[0-9]{6}Z"),
        Rule("'previous' or the name of a deploy", "e.g. '20261126T033000Z'; runbooks/rollback.py --dry lists them"),
    ]

    teardown_data: Annotated[
        list[str], Rule("a list of host names", "only these hosts lose their data: volumes and secrets")
    ]
    teardown_backups: Annotated[list[str], Rule("a list of host names", "only these hosts lose their backup sets")]
    teardown_docker: Switch

    rotate_secrets: Annotated[
        list[
            Annotated[
                Literal["valkey_password", "open_webui_secret_key", "postgres_password", "probe_password"],
                Rule(
                    "'valkey_password', 'open_webui_secret_key', 'postgres_password' or 'probe_password'",
                    "only these can be renewed; change others at their source and deploy",
                ),
            ]
        ],
        Rule("a list of secrets", "e.g. ['valkey_password']; 'open_webui_secret_key' signs everybody out"),
    ]

    rollout_canary: Annotated[
        int | list[str],
        _must_alone(_is_canary),
        Rule("a list of host names, or a number of hosts", "e.g. ['chat-1.example.org'] or 1; 0 goes without"),
    ]
    rollout_batch: Annotated[
        int | str | None,
        _must_alone(_is_batch),
        Rule("a number of hosts, or a percentage from '1%' to '100%'", "e.g. 10 or '25%'; None takes all at once"),
    ]
    rollout_max_failures: Annotated[
        int, _must(lambda value: value >= 0), Rule("a number of hosts, 0 or more", "0 stops at the first that fails")
    ]
    rollout_pause_s: Annotated[
        int, _between(0, 86400), Rule("a whole number of seconds from 0 to 86400", "0 goes on at once")
    ]

    @property
    def images(self) -> dict[str, str]:
        """Service -> image reference, of every service of the stack in the order they start."""
        found = {"redis": self.valkey_image}
        if self.database_kind == "postgres":
            found["postgres"] = self.postgres_image
        found |= dict.fromkeys(self.open_webui_services, self.open_webui_image)
        if self.public_url:
            found["proxy"] = self.proxy_image
        return found

    @property
    def open_webui_services(self) -> list[str]:
        """The services that are Open WebUI: one for each process, the first migrates the database. In a swarm, one."""
        count = 1 if self.topology == "swarm" else self.open_webui_replicas
        return ["open-webui", *(f"open-webui-{number}" for number in range(2, count + 1))]

    @property
    def restarts_after_valkey(self) -> bool:
        """Whether Open WebUI has to start anew after Valkey did.

        Releases before 0.12.0 lose their subscriptions for good (open-webui#25216, #27762; #29976, #31619 mended it).
        An image whose tag names no release is taken for a newer one.
        """
        version = version_of(self.open_webui_image)
        return version is not None and version < (0, 12)

    @property
    def database_kind(self) -> Literal["sqlite", "postgres", "external"]:
        """Where people's data are: a file in a volume, a service of the stack, or a database the operator runs."""
        if self.database_url:
            return "external"
        if self.database == "auto":
            return "postgres" if self.open_webui_replicas > 1 or self.topology == "swarm" else "sqlite"
        return self.database

    def runs(self, what: Literal["data", "proxy", "open-webui"]) -> bool:
        """Whether this host is to have it: with compose each has all."""
        return self.topology == "compose" or what in self.swarm_runs

    @property
    def proxy_port(self) -> int:
        """The port of `public_url`."""
        return urlsplit(self.public_url or "").port or 443

    @property
    def proxy_name(self) -> str:
        """The host name of `public_url`, "" without a proxy."""
        return urlsplit(self.public_url or "").hostname or ""

    @property
    def external_url(self) -> str:
        """What people type, "" where nobody has said: the URL of our proxy, or of the operator's own."""
        return self.public_url or self.open_webui_public_url or ""

    @property
    def is_open_to_others(self) -> bool:
        """Whether somebody beside the host itself can reach the sign-up page."""
        return bool(self.external_url) or not ipaddress.ip_address(self.open_webui_bind).is_loopback

    @property
    def connections_per_process(self) -> int:
        """Connections to Postgres that an Open WebUI process opens at most.

        It has two pools of the same size, one for each way it talks to the database (open_webui/internal/db.py,
        0.12.4), and a third for vectors, which we keep small (retrieval/vector/dbs/pgvector.py).
        """
        return 2 * (self.database_pool_size + self.database_pool_overflow) + VECTOR_POOL

    @property
    def postgres_connections(self) -> int:
        """Connections the stack may need at once: of all processes, one more that takes another's place, and tools."""
        return (self.open_webui_replicas + 1) * self.connections_per_process + 10

    @property
    def thread_pool_size(self) -> int:
        """Threads in each of the two pools of an Open WebUI process: 2000, or as many as its container may have."""
        if not self.open_webui_pids_limit:
            return 2000
        return max(40, min(2000, (self.open_webui_pids_limit - _OTHER_THREADS) // 2))  # 40 is the library's own

    @property
    def docker_daemon_json(self) -> dict[str, Any]:
        """The keys that daemon.json has to have."""
        wanted = dict(self.docker_daemon)
        if self.topology == "swarm":
            wanted["live-restore"] = False  # an engine that has it joins no swarm, and one in a swarm starts no more
        if self.docker_address_pools:
            wanted["default-address-pools"] = [pool.model_dump() for pool in self.docker_address_pools]
        return wanted

    @property
    def docker_daemon_explicit(self) -> frozenset[str]:
        """The keys of `docker_daemon_json` that the operator asked for: they are not as the defaults have them."""
        shipped = defaults()["docker_daemon"]
        return frozenset(
            key for key, value in self.docker_daemon_json.items() if key not in shipped or shipped[key] != value
        )

    @property
    def digest(self) -> str:
        """SHA-256 of all settings but the run's own, shortened: equal where two deploys were told the same of the host.

        No secret is in it, only where secrets come from.
        """
        run = ("rollout_", "restore_", "upgrade_", "rollback_", "rotate_", "teardown_", "database_switch")
        of_the_run = {name for name in type(self).model_fields if name.startswith(run)}
        return hashlib.sha256(self.model_dump_json(exclude=of_the_run).encode()).hexdigest()[:12]

    @property
    def cors_allow_origin(self) -> str:
        """`CORS_ALLOW_ORIGIN`: the public origins joined by `;`, or upstream's `*` when none is known."""
        origins = [self.external_url, *self.open_webui_cors_origins]
        return ";".join(dict.fromkeys(one for one in origins if one)) or "*"


@cache
def _alone(name: str) -> TypeAdapter[Any]:
    """What tells whether a field is fine alone."""
    return TypeAdapter(Settings.model_fields[name].rebuild_annotation())


def _disagreements(data: Mapping[str, Any], settings: Settings | None) -> list[str]:
    """Settings that are fine alone and wrong together. A field that is not fine alone is left out.

    `settings` is None when there is such a field: what many settings decide together is looked at once all are fine.
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
        *_repository(sound("backup_restic_repository", None), data.get("backup_restic_password")),
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


# Threads of Open WebUI besides its two pools: of PyTorch, of the tokenizers and of Uvicorn, by the number of cores.
_OTHER_THREADS = 512


def _threads(environment: Mapping[str, str], limit: int) -> list[str]:
    value = environment.get("THREAD_POOL_SIZE", "")
    if not limit or not re.fullmatch(r"[0-9]{1,9}", value):
        return []  # Open WebUI itself goes without what is no number
    needed = 2 * int(value) + _OTHER_THREADS
    if needed <= limit:
        return []
    return [
        f"open_webui_env/THREAD_POOL_SIZE: expected at most {max(0, limit - _OTHER_THREADS) // 2} for "
        f"open_webui_pids_limit = {limit}, got {value}; it sizes two pools, which with {_OTHER_THREADS} other threads "
        f"may be {needed}: lower it, or raise the limit"
    ]


def _environment(plain: dict[str, str], secret: dict[str, str], version: tuple[int, ...] | None) -> list[str]:
    problems = []
    broken = broken_variables(version)
    for setting, names in (("open_webui_env", plain), ("open_webui_secret_env", secret)):
        for name in names:
            where = f"{setting}/{name}"
            if not _ENV_NAME.fullmatch(name):
                problems.append(f"{where}: expected a variable name of letters, digits and _, got {name!r}; rename it")
            elif name in _OWNED:
                problems.append(f"{where}: expected a variable of your own, got one this project sets; {_OWNED[name]}")
            elif _FOR_COMPOSE.match(name):
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
        elif name not in _OWNED and (what := _secret(name, value)):
            problems.append(
                f"open_webui_env/{name}: expected no secret here, got a {what} that looks like one (value hidden); "
                "move it to open_webui_secret_env, which keeps it out of compose.yaml and logs"
            )
    return problems


def _repository(repository: str | None, password: object) -> list[str]:
    if repository and password is None:
        return [
            "backup_restic_password: expected a secret source for backup_restic_repository, got None; supply one, and "
            "keep it elsewhere: a password that only a lost host knew opens nothing"
        ]
    return []


def _topology(settings: Settings) -> list[str]:
    return [*_processes(settings), *_proxy(settings), *_shared(settings)]


def _processes(settings: Settings) -> list[str]:
    """What several processes need (https://docs.openwebui.com/troubleshooting/multi-replica, 0.12)."""
    problems = []
    many = settings.open_webui_replicas > 1 or settings.topology == "swarm"
    why = f"open_webui_replicas = {settings.open_webui_replicas}" if settings.topology == "compose" else "a swarm"
    if many and settings.database_kind == "sqlite":
        problems.append(
            f"database: expected 'postgres' or 'auto' for {why}, got 'sqlite'; processes that share a file of SQLite "
            "corrupt it"
        )
    if settings.database_kind != "sqlite":
        for setting in ("open_webui_env", "open_webui_secret_env"):
            for name in sorted(getattr(settings, setting).keys() & _DATABASE_VARIABLES.keys()):
                problems.append(f"{setting}/{name}: expected {_DATABASE_VARIABLES[name]}, got the variable; remove it")
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
            f"postgres_max_connections: expected {needed} or more for {settings.open_webui_replicas} processes of "
            f"up to {settings.connections_per_process} and one more while they are replaced, got "
            f"{settings.postgres_max_connections}; raise it, or lower database_pool_size and database_pool_overflow"
        )
    return problems


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
    if settings.public_url and settings.proxy_http_port == settings.proxy_port:
        problems.append(
            f"proxy_http_port: expected another port than public_url's, got {settings.proxy_port} for both; 0 does "
            "without it"
        )
    return problems


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


# Variables the project sets itself where it knows of the database.
_DATABASE_VARIABLES = {
    "DATABASE_URL": "database_url instead",
    "PGVECTOR_DB_URL": "database_url instead",
    "DATABASE_POOL_SIZE": "database_pool_size instead",
    "DATABASE_POOL_MAX_OVERFLOW": "database_pool_overflow instead",
    "PGVECTOR_POOL_SIZE": "database_pool_size instead",
    "ENABLE_DB_MIGRATIONS": "the first process to migrate and no other, as it is without",
}

# Keys with our prefixes that belong to pyinfra's own connectors.
_CONNECTOR_KEYS = {"docker_identifier", "docker_platform", "docker_architecture"}
# Words that an inventory may well use for things of its own.
_COMMON_WORDS = {"public_", "database_", "postgres_", "proxy_", "topology_"}
_PREFIXES = tuple(
    sorted({f"{name.split('_')[0]}_" for name in Settings.model_fields} - _COMMON_WORDS | {"open_webui_"})
)
# Settings that once had another name: old name -> new one. A rename adds its line here.
_RENAMED: dict[str, str] = {}


# Everyday words for a setting that has a longer name: who writes one means us.
EVERYDAY_WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("domain", "fqdn", "url", "webui_url"), ("public_url",)),
    **dict.fromkeys(("tls", "ssl", "https"), ("public_url", "proxy_tls")),
    **dict.fromkeys(("email", "acme_email"), ("proxy_acme_email",)),
    **dict.fromkeys(("certificate", "cert"), ("proxy_certificate",)),
    **dict.fromkeys(("port", "http_port", "webui_port"), ("open_webui_port", "proxy_http_port")),
    **dict.fromkeys(("bind", "listen"), ("open_webui_bind", "proxy_bind")),
    **dict.fromkeys(("image", "webui_image"), ("open_webui_image", "valkey_image")),
    **dict.fromkeys(("replicas", "workers"), ("open_webui_replicas",)),
    **dict.fromkeys(("secret_key", "webui_secret_key"), ("open_webui_secret_key",)),
    **dict.fromkeys(("password", "redis_password"), ("valkey_password",)),
    **dict.fromkeys(("volume", "volumes"), ("open_webui_volume", "valkey_volume")),
    **dict.fromkeys(("subnet",), ("network_subnet",)),
    **dict.fromkeys(("memory_limit", "memory_limit_mb"), ("open_webui_memory_limit_mb",)),
}


def from_data(data: Mapping[str, Any]) -> Settings:
    """Ensure the host data is a complete and sound set of settings.

    Keys that are clearly not ours (no prefix of ours, no near miss, no everyday word for a setting) are left alone: an
    inventory may carry data of other deploys. Raises `SettingsError` with every problem found; changes nothing.
    """
    ours = {key: value for key, value in data.items() if key in Settings.model_fields}
    problems = [_unknown(key) for key in sorted(data) if _is_meant_for_us(key)]
    unwritable = {key: found for key, value in ours.items() if (found := list(_unwritable(key, value)))}
    problems += [line for found in unwritable.values() for line in found]
    ours = {key: value for key, value in ours.items() if key not in unwritable}
    settings = None
    try:
        settings = Settings(**ours)
    except ValidationError as error:
        problems += [_explain(detail) for detail in error.errors() if detail["loc"][0] not in unwritable]
    problems += _disagreements(ours, settings)
    if problems or settings is None:
        raise SettingsError(problems)
    return settings


# Characters that no file, variable or argument can hold: C ends its strings at the one, UTF-8 has not the others.
_UNWRITABLE = re.compile("[\\0\ud800-\udfff]")


def _unwritable(where: str, value: Any) -> Iterator[str]:
    """A line for each text below a setting that can't be written anywhere; the text itself may be a secret."""
    if isinstance(value, str) and (found := _UNWRITABLE.search(value)):
        what = "a NUL character" if found[0] == "\0" else "half of a surrogate pair"
        yield f"{where}: expected text that a file can hold, got {what} in it (value hidden); remove it"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str) and _UNWRITABLE.search(key):
                yield f"{where}: expected names that a file can hold, got {key!r}; rename it"
            else:
                yield from _unwritable(f"{where}/{key}", inner)
    elif isinstance(value, list | tuple | set):
        for i, inner in enumerate(value):
            yield from _unwritable(f"{where}/{i}", inner)


def _is_meant_for_us(key: str) -> bool:
    if key in Settings.model_fields or key.startswith("_") or key in _CONNECTOR_KEYS:
        return False
    return key in _RENAMED or key in EVERYDAY_WORDS or key.startswith(_PREFIXES) or bool(_near(key, 0.85))


@cache
def _near(key: str, cutoff: float) -> tuple[str, ...]:
    return tuple(difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=cutoff))


def _unknown(key: str) -> str:
    if key in _RENAMED:
        return f"{key}: expected {_RENAMED[key]}, got its old name; rename it"
    near = EVERYDAY_WORDS.get(key) or _near(key, 0.8)
    hint = f"did you mean {' or '.join(near)}?" if near else "see inventories/group_data/all.py for what there is"
    return f"{key}: expected a setting of this project, got an unknown name; {hint}"


def _explain(detail: Any) -> str:
    """Turn one of pydantic's errors into `setting: expected, got, what to do`."""
    path = [part for part in detail["loc"] if part != "[key]"]
    name = "/".join(str(part) for part in path)
    if detail["type"] == "missing":
        what = "a value" if len(path) == 1 else "this key"
        return f"{name}: expected {what}, got nothing; see inventories/group_data/all.py"
    if detail["type"] == "extra_forbidden":
        return f"{name}: expected only base and size, got another key; remove it"
    rule = detail.get("ctx", {}).get("rule") or _rule(list(detail["loc"]))
    got = "a value (hidden)" if _is_secret(path, detail["input"]) else repr(detail["input"])
    return f"{name}: expected {rule.expected}, got {got}; {rule.fix}"


def _is_secret(path: list[Any], value: Any) -> bool:
    """Whether a wrong value may be a secret somebody typed where its source belongs."""
    if _SECRET_VALUE.search(str(value)):
        return True
    if path[0] == "open_webui_env":
        shown = isinstance(value, bool | int | float | None)
        return len(path) == 1 or not shown or bool(_SECRET_NAME.search(str(path[1])))
    sources = (
        *("valkey_password", "open_webui_secret_key", "open_webui_secret_env", "restore_age_identity"),
        *("database_url", "postgres_password", "proxy_certificate_key"),
    )
    # age-keygen prints both halves
    return path[0] in (*sources, "backup_age_recipient") or path[0].startswith("backup_restic_")


def _rule(path: list[Any]) -> Rule:
    """The innermost rule on the way to the value: an element's own before its container's."""
    field = Settings.model_fields[path[0]]
    return _rules(field.annotation, list(field.metadata), path[1:])[-1]


def _rules(annotation: Any, metadata: list[Any], rest: list[Any]) -> list[Rule]:
    found = [m for m in metadata if isinstance(m, Rule)]
    origin = getattr(annotation, "__origin__", None)
    args: tuple[Any, ...] = getattr(annotation, "__args__", ())
    if hasattr(annotation, "__metadata__"):
        return found + _rules(origin, list(annotation.__metadata__), rest)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and rest:
        field = annotation.model_fields.get(str(rest[0]))
        return found if field is None else found + _rules(field.annotation, list(field.metadata), rest[1:])
    if origin is list and rest:
        return found + _rules(args[0], [], rest[1:])
    if origin is dict and rest:
        return found + _rules(args[0 if rest[-1] == "[key]" else 1], [], rest[1:])
    for arg in args:
        if arg is not type(None) and origin not in (list, dict):
            found += _rules(arg, [], rest)
    return found
