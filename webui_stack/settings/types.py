"""Types of settings, each with the rule of its value."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict

from webui_stack.overlay import fragment
from webui_stack.settings import environment, image_reference, origin
from webui_stack.settings.rule import Rule, between, matches, must, must_alone, zero_or_between

# --- Secrets --------------------------------------------------------------------------------------

SecretSource = Annotated[
    str,
    matches(r"(?s)(?:env|file|command):\S.*"),
    Rule(
        "'env:NAME', 'file:PATH' or 'command:COMMAND'",
        "secrets are never written into an inventory: name where this machine reads it",
    ),
]


# --- Numbers and switches -------------------------------------------------------------------------

Switch = Annotated[bool, Rule("True or False", "write the word without quotes, after --data as well")]
Port = Annotated[int, between(1, 65535), Rule("a TCP port from 1 to 65535, as a number", "e.g. 3000")]
Seconds = Annotated[int, between(1, 3600), Rule("a whole number of seconds from 1 to 3600", "e.g. 120, without quotes")]
Megabytes = Annotated[int, between(0, 10_000_000), Rule("a whole number of megabytes, 0 or more", "0 switches it off")]
Pids = Annotated[
    int,
    zero_or_between(64, 1_000_000),
    Rule("0, or a number of processes and threads from 64 to 1000000", "0 sets no limit"),
]
HealthInterval = Annotated[
    int,
    between(1, 300),
    Rule("seconds from 1 to 300", "Docker waits so long between two checks of a container that has started"),
]


# --- Docker ---------------------------------------------------------------------------------------

Image = Annotated[
    str,
    must(image_reference.is_pinned_image),
    Rule(
        "an image reference with a fixed tag or digest",
        "write registry/name:version; a tag that moves (latest, main, ...) makes two runs differ",
    ),
]
# From 18 on the images' data folder is /var/lib/postgresql/18/docker (https://github.com/docker-library/postgres/pull/1259).
_NEWEST_POSTGRES = 17


def _is_postgres(reference: str) -> bool | Rule:
    if (image_reference.postgres_major(reference) or 0) <= _NEWEST_POSTGRES:
        return True
    return Rule(
        f"PostgreSQL {_NEWEST_POSTGRES} or older",
        "newer images keep their data outside the volume, and the data of an older one has to be dumped and loaded",
    )


PostgresImage = Annotated[Image, must(_is_postgres)]
Volume = Annotated[
    str,
    matches(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+"),
    Rule("the name of a Docker volume", "`docker volume ls` lists them; a folder of the host is not used"),
]


def _is_json(value: Any) -> bool:
    try:
        return bool(json.dumps(value))
    except (TypeError, ValueError):
        return False


DockerDaemonKeys = Annotated[
    dict[str, Any],
    must(lambda keys: _is_json(keys) and not {"default-address-pools", "hosts"} & set(keys)),
    Rule(
        "keys of Docker's daemon.json, without hosts and default-address-pools",
        "use docker_address_pools for the pools; hosts conflicts with the service's own -H",
    ),
]


def _is_package_repository(value: str) -> bool | Rule:
    if re.match(r"[a-z]+://[^/]*@", value):
        return Rule(
            "an http(s) URL without a login",
            "apt's and dnf's files and logs show it to everybody on the host: use a mirror that asks for none, or "
            "install Docker yourself and set docker_source = 'present'",
        )
    return re.fullmatch(r"https?://[^\s/?#]+(?:/[^\s?#]*[^\s?#/])?", value) is not None


PackageRepository = Annotated[
    str,
    must(_is_package_repository),
    Rule("an http(s) URL without a trailing slash", "e.g. 'https://download.docker.com/linux'"),
]
Sha256 = Annotated[
    str,
    matches(r"[0-9a-f]{64}"),
    Rule("64 lower-case hexadecimal digits", "run sha256sum on the repository's gpg file"),
]


def _is_registry(value: str) -> bool:
    match = re.fullmatch(rf"{origin.HOST_NAME}(?::([1-9][0-9]{{0,4}}))?", value)
    return match is not None and int(match[1] or 443) <= 65535


Registry = Annotated[
    str,
    must(_is_registry),
    Rule("registry host names with an optional port", "e.g. 'registry.example.org:5000'"),
]


class RegistryLogin(BaseModel):
    """Who pulls from a registry. `password` is a secret source: of a password, or of a token in its place."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    user: Annotated[
        str,
        matches(r"[^\s:\x00-\x1f\x7f](?:[^:\x00-\x1f\x7f]*[^\s:\x00-\x1f\x7f])?"),
        Rule("a user's name, without a colon", "as given to `docker login --username`"),
    ]
    password: SecretSource


RegistryLogins = Annotated[
    dict[
        Registry,
        Annotated[
            RegistryLogin,
            Rule("{'user': name, 'password': secret source}", "e.g. {'user': 'ci', 'password': 'env:REGISTRY_TOKEN'}"),
        ],
    ],
    Rule(
        "a dict of registry host to {'user': name, 'password': secret source}",
        "e.g. {'ghcr.io': {'user': 'ci', 'password': 'env:REGISTRY_TOKEN'}}",
    ),
]


# --- Addresses and URLs ---------------------------------------------------------------------------


def _is_subnet(value: str) -> bool:
    try:
        return bool(re.fullmatch(r"[0-9.]+/[0-9]+", value) and ipaddress.IPv4Network(value))
    except ValueError:
        return False


Subnet = Annotated[str, must(_is_subnet), Rule("an IPv4 network without host bits", "e.g. '198.18.5.0/24'")]


def _address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address without a scope: `fe80::1%eth0` means an interface of one machine, and Docker takes none."""
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        return None
    return None if "%" in value or found.is_multicast else found


def _is_address(value: str) -> bool:
    return _address(value) is not None


Address = Annotated[
    str,
    must(_is_address),
    Rule("an IP address of the host", "'127.0.0.1' for this host only, '0.0.0.0' for everyone"),
]


def _is_endpoint(value: str) -> bool:
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([1-9][0-9]{0,4})", value)
    return found is not None and int(found[3]) <= 65535 and _is_address(found[1] or found[2])


Endpoint = Annotated[
    str,
    must(_is_endpoint),
    Rule("an IP address of the host with a port", "e.g. '127.0.0.1:9469' or '[::1]:9469'; None serves nothing"),
]


def _is_reachable(value: str) -> bool:
    found = _address(value)
    return found is not None and not (found.is_unspecified or found.is_loopback)


ReachableAddress = Annotated[
    str,
    must(_is_reachable),
    Rule("an IP address of the host that the other hosts reach", "None takes Docker's guess"),
]
Origin = Annotated[
    str,
    AfterValidator(origin.canonical),
    Rule("a URL of scheme, host and maybe a port, with no path", "e.g. 'https://chat.example.org'"),
]


def _is_origin(value: str) -> bool:
    return bool(origin.canonical(value))  # its ValueError is a refusal as well


DialedOrigin = Annotated[
    str,
    must(_is_origin),
    Rule("a URL of scheme, host and maybe a port, with no path", "e.g. 'https://chat.example.org'"),
]


def _secure_origin(value: str) -> str:
    """The origin of a proxy of ours: its name has to be one that a certificate can be for."""
    found = origin.canonical(value)
    if not re.fullmatch(rf"https://{origin.HOST_NAME}(?::[0-9]+)?", found):
        raise ValueError("no name for a certificate")
    return found


SecureOrigin = Annotated[
    str,
    AfterValidator(_secure_origin),
    Rule(
        "a URL of https, a host name and maybe a port, with no path",
        "e.g. 'https://chat.example.org'; for a proxy of your own set open_webui_public_url",
    ),
]
EmailAddress = Annotated[
    str,
    matches(rf"[A-Za-z0-9][A-Za-z0-9._%+'=-]*@{origin.HOST_NAME}"),
    Rule("an e-mail address", "None goes without"),
]


# --- Files and folders ----------------------------------------------------------------------------


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


Certificate = Annotated[str, must(_is_pem), Rule("a readable PEM certificate on this machine", "check the path")]


def _is_key(path: str) -> bool:
    try:
        text = Path(path).expanduser().read_text(encoding="ascii")
    except (OSError, ValueError, RuntimeError):  # RuntimeError: ~nobody
        return False
    return text.count("-----BEGIN PGP PUBLIC KEY BLOCK-----") == 1 and "PRIVATE KEY" not in text


PublicKeyFile = Annotated[
    str,
    must(_is_key),
    Rule("a readable file with one PGP public key in ASCII armor", "check the path; None is Docker's own key"),
]
# Folders whose mode and contents are the system's, or that are emptied at a start.
_SYSTEM_FOLDERS = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr"),  # noqa: S108
    *("/lost+found", "/snap", "/var/cache", "/var/lock", "/var/log", "/var/mail", "/var/run", "/var/spool", "/var/tmp"),  # noqa: S108
    *("/var/lib/apt", "/var/lib/containerd", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/rpm", "/var/lib/systemd"),
)
# Folders that others share: a folder below one of them can be ours.
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


AbsolutePath = Annotated[
    str,
    must(_is_own_folder),
    Rule(
        "an absolute path of a folder of its own, of letters, digits and . _ -",
        "e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
    ),
]
SharedFolder = Annotated[
    str,
    must(lambda path: not re.search(r"/\.\.?(/|$)", path) and re.fullmatch(r"(?:/[A-Za-z0-9._-]+)+", path) is not None),
    Rule(
        "an absolute path of a folder that is there, of letters, digits and . _ -",
        "the one that node-exporter reads, e.g. '/var/lib/prometheus/node-exporter'; None writes nothing",
    ),
]


def _is_overlay(path: str) -> bool | Rule:
    try:
        fragment.read(path)
    except fragment.OverlayError as error:
        return Rule("a compose file in YAML on this machine", f"{error}")
    return True


OverlayFile = Annotated[
    str, must(_is_overlay), Rule("a compose file in YAML on this machine", "see docs/how-to/overlay.md")
]
LocalPath = Annotated[
    str, must(lambda value: bool(value.strip())), Rule("a path on this machine", "None: named after the inventory")
]
LocalFolder = Annotated[
    str, must(lambda value: bool(value.strip())), Rule("a folder on this machine", "None goes without")
]


# --- Variables ------------------------------------------------------------------------------------

Variables = Annotated[
    dict[str, Annotated[str, Rule("text", "quote numbers and booleans, e.g. 'False'")]],
    Rule("a dict of variable to text", "e.g. {'ENABLE_SIGNUP': 'False'}"),
]


# --- Valkey ---------------------------------------------------------------------------------------


def _is_save(value: str) -> bool:
    """Pairs of `seconds changes`, or nothing for no snapshots (Valkey's `save`)."""
    pair = "[1-9][0-9]{0,8} [1-9][0-9]{0,8}"
    return re.fullmatch(f"(?:{pair}(?: {pair})*)?", value) is not None


Snapshots = Annotated[
    str,
    must(_is_save),
    Rule("pairs of seconds and changes, or an empty string", "'30 1' saves after 30 s if a key changed"),
]
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


PubsubBuffer = Annotated[
    str,
    must(_is_pubsub_buffer),
    Rule("'hard soft seconds' as in client-output-buffer-limit", "e.g. '1gb 256mb 180'"),
]


# --- Open WebUI -----------------------------------------------------------------------------------

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


Lifetime = Annotated[
    str,
    must(_is_lifetime),
    Rule("a duration such as '24h', '30m' or '4w'", "'-1' never expires, which upstream advises against"),
]
KeyPrefix = Annotated[
    str, matches(r"[a-z0-9][a-z0-9_-]{0,31}"), Rule("up to 32 of a-z, 0-9, _ and -", "e.g. 'open-webui'")
]


# --- Models ---------------------------------------------------------------------------------------

# The server itself, as its containers name it (extra_hosts, `host-gateway`).
HOST_OF_CONTAINERS = "host.docker.internal"


def is_of_the_container(name: str) -> bool:
    """Whether a container that asks for this host asks itself."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    found = _address(name)
    return found is not None and (found.is_loopback or found.is_unspecified)


def is_url(value: str, form: str, *, login: str, own: Rule) -> bool | Rule:
    """Whether a text is a URL of this form that containers ask, without a login: `login` says what to do about one.

    `own` is the refusal of an address that is the asking container itself.
    """
    try:
        parts = urlsplit(value)
        if parts.username is not None or parts.password is not None:
            return Rule("a URL without a login", login)
        name, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not name or not re.fullmatch(form, value):
        return False
    return not is_of_the_container(name) or own


def _is_api(value: str) -> bool | Rule:
    """A URL that Open WebUI can ask from its container. Semicolons separate URLs in its variables."""
    own = Rule(
        "an address that containers reach",
        f"that one is Open WebUI's own container there; this server is 'http://{HOST_OF_CONTAINERS}:PORT', "
        "and ollama = 'host' its Ollama",
    )
    login = "it would be readable in compose.yaml; name the secret in 'key'"
    return is_url(value, r"https?://[^\s/?#;'\"\\]+(?:/[^\s?#;'\"\\]*)?", login=login, own=own)


def _without_slash(value: str) -> str:
    return value.rstrip("/")


ApiUrl = Annotated[
    str,
    must(_is_api),
    AfterValidator(_without_slash),
    Rule("an http(s) URL without a query", "e.g. 'https://llm.example.org/v1'"),
]
Ollama = Annotated[
    str,
    must(lambda value: value in ("host", "service") or _is_api(value)),
    AfterValidator(_without_slash),
    Rule("'host', 'service' or an http(s) URL", "e.g. 'http://192.0.2.10:11434'; None goes without"),
]
OllamaModel = Annotated[
    str,
    matches(r"[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]+(?=/))?(?:/[A-Za-z0-9._-]+)*(?::[A-Za-z0-9._-]+)?"),
    Rule("the name of a model", "e.g. 'llama3.2:1b'; https://ollama.com/library lists them"),
]


def _is_proxy(value: str) -> bool | Rule:
    try:
        parts = urlsplit(value)
        if parts.username is not None or parts.password is not None:
            return Rule(
                "a URL without a login",
                "it would be readable in compose.yaml; leave this None, and put http_proxy, https_proxy and no_proxy "
                "into open_webui_secret_env (docs/how-to/http-proxy.md)",
            )
        name, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not name or not re.fullmatch(r"https?://[^\s/?#;'\"\\]+/?", value):
        return False
    if value.startswith("https:"):
        return Rule(
            "a proxy that is asked by http",
            "Open WebUI's client for models (aiohttp) ignores one that is asked by https, and goes past it; requests "
            "for HTTPS pass an http:// proxy encrypted",
        )
    return not is_of_the_container(name) or Rule(
        "an address that containers reach",
        f"that one is the container itself there; a proxy on this server is 'http://{HOST_OF_CONTAINERS}:PORT'",
    )


ProxyUrl = Annotated[
    str,
    must(_is_proxy),
    AfterValidator(_without_slash),
    Rule("an http URL of scheme, host and maybe a port", "e.g. 'http://proxy.example.org:3128'"),
]


class OutboundProxy(BaseModel):
    """The HTTP proxy between the stack and others. `no_proxy` names further hosts that are asked directly."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    http: ProxyUrl | None = None
    https: ProxyUrl | None = None
    no_proxy: Annotated[
        list[
            Annotated[
                str,
                matches(r"\.?[A-Za-z0-9][A-Za-z0-9.:/_-]*"),
                Rule("a host, a domain or a subnet", "e.g. '.example.org' or '192.0.2.0/24'"),
            ]
        ],
        Rule("a list of hosts, domains and subnets", "e.g. ['.example.org']; those of the stack are always in it"),
    ] = []


OutboundProxySetting = Annotated[
    OutboundProxy,
    must(lambda value: bool(value.http or value.https)),
    Rule(
        "{'http': URL, 'https': URL, 'no_proxy': list} with one URL at least",
        "e.g. {'https': 'http://proxy.example.org:3128', 'no_proxy': ['.example.org']}",
    ),
]


class OpenAiConnection(BaseModel):
    """An API that speaks OpenAI's protocol. `key` is a secret source, None for an API that asks for none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    url: ApiUrl
    key: SecretSource | None = None


OpenAiConnections = Annotated[
    list[
        Annotated[
            OpenAiConnection,
            Rule("{'url': URL, 'key': secret source}", "e.g. {'url': 'https://llm.example.org/v1', 'key': 'env:KEY'}"),
        ]
    ],
    Rule(
        "a list of {'url': URL, 'key': secret source}",
        "e.g. [{'url': 'https://llm.example.org/v1', 'key': 'env:KEY'}]",
    ),
]


# --- Open WebUI's own metrics and traces ------------------------------------------------------------


def _is_collector(value: str) -> bool | Rule:
    own = Rule(
        "an address that containers reach",
        f"that one is Open WebUI's own container there; a collector on this server is 'http://{HOST_OF_CONTAINERS}:PORT'",
    )
    login = (
        "it would be readable in compose.yaml; put OTEL_BASIC_AUTH_USERNAME into open_webui_env and "
        "OTEL_BASIC_AUTH_PASSWORD into open_webui_secret_env"
    )
    return is_url(value, r"https?://[A-Za-z0-9.:\[\]_-]+(?:/[A-Za-z0-9._~%+/-]*)?", login=login, own=own)


class Otel(BaseModel):
    """Where Open WebUI sends its own metrics, and its traces, by OTLP. `host` begins the name of each replica."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    endpoint: Annotated[
        str,
        must(_is_collector),
        AfterValidator(_without_slash),
        Rule("an http(s) URL without a query", "e.g. 'http://collector.example.org:4317'"),
    ]
    protocol: Annotated[
        Literal["grpc", "http"], Rule("'grpc' or 'http'", "collectors have gRPC at port 4317, HTTP at 4318")
    ] = "grpc"
    traces: Switch = False
    host: (
        Annotated[
            str,
            matches(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
            Rule(
                "a name of letters, digits and . _ -", "e.g. 'chat-1'; None takes the host in the URL that people type"
            ),
        ]
        | None
    ) = None


def _is_for_its_protocol(value: Otel) -> bool | Rule:
    parts = urlsplit(value.endpoint)
    return (
        value.protocol == "http"
        or (parts.port is not None and not parts.path)
        or Rule(
            "a URL of host and port alone for protocol 'grpc'",
            "name the port, e.g. 'http://collector.example.org:4317', or set 'protocol': 'http'",
        )
    )


OtelSetting = Annotated[
    Otel,
    must(_is_for_its_protocol),
    Rule(
        "{'endpoint': URL, 'protocol': 'grpc' or 'http', 'traces': switch, 'host': name}",
        "e.g. {'endpoint': 'http://collector.example.org:4317'}; see docs/how-to/monitoring.md",
    ),
]


# --- Proxy ----------------------------------------------------------------------------------------


def _is_bind(value: Any) -> bool | Rule:
    """One address, or a list of those whose ports are not each other's. Docker binds `::` to IPv6 alone."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(one, str) and _is_address(one) for one in listed):
        return False
    addresses = [ipaddress.ip_address(one) for one in listed]
    for version in (4, 6):
        alike = [one for one in addresses if one.version == version]
        if len(set(alike)) < len(alike) or (len(alike) > 1 and any(one.is_unspecified for one in alike)):
            return Rule(
                "addresses without each other's ports",
                "'0.0.0.0' has those of all IPv4 addresses, '::' those of all IPv6 addresses: remove the others",
            )
    return bool(listed)


ProxyBind = Annotated[
    str | list[str],
    must_alone(_is_bind),
    Rule(
        "an IP address of the host, or a list of them",
        "'127.0.0.1' for this host only, '0.0.0.0' for everyone, ['0.0.0.0', '::'] with IPv6",
    ),
]


def _is_acme_directory(value: str) -> bool | Rule:
    own = Rule(
        "an address that containers reach",
        "that one is the proxy's own container there; name an address of the server",
    )
    login = "it would be readable in the Caddyfile, and ACME has accounts instead"
    return is_url(value, r"https://[A-Za-z0-9.:\[\]_-]+(?:/[A-Za-z0-9._~%+/-]*)?", login=login, own=own)


AcmeDirectory = Annotated[
    str,
    must(_is_acme_directory),
    Rule(
        "the https URL of an ACME directory",
        "e.g. 'https://acme-staging-v02.api.letsencrypt.org/directory'; None asks Let's Encrypt",
    ),
]
# Headers that describe one answer, or its connection.
_OF_ONE_ANSWER = {
    *("connection", "content-disposition", "content-encoding", "content-length", "content-range", "content-type"),
    *("date", "etag", "keep-alive", "last-modified", "location", "set-cookie", "trailer", "transfer-encoding"),
    *("upgrade", "vary", "www-authenticate"),
}


def _is_header(name: str) -> bool | Rule:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name):
        return False
    if name.lower().startswith("access-control-"):
        return Rule("a header that Open WebUI leaves to the proxy", "set open_webui_cors_origins instead")
    if name.lower() in _OF_ONE_ANSWER or name.lower().startswith("sec-websocket-"):
        return Rule(
            "a header that is the same for each answer", "this one describes one answer, or its connection: remove it"
        )
    return True


# In a Caddyfile {} is a placeholder, and a backslash an escape.
_HEADER_VALUE = r"[!-\[\]-z|~](?:[ -\[\]-z|~]*[!-\[\]-z|~])?"


def _are_headers(headers: dict[str, str | None]) -> bool | Rule:
    names = [name.lower() for name in headers]
    return len(set(names)) == len(names) or Rule("each header once", "upper and lower case are the same")


ProxyHeaders = Annotated[
    dict[
        Annotated[
            str, must(_is_header), Rule("the name of a header, of letters, digits and -", "e.g. 'X-Frame-Options'")
        ],
        Annotated[
            str,
            matches(_HEADER_VALUE),
            Rule("one line of ASCII without {, } and \\, or None", "None removes the header"),
        ]
        | None,
    ],
    must(_are_headers),
    Rule("a dict of header to value or None", "e.g. {'X-Frame-Options': 'DENY', 'Referrer-Policy': None}"),
]


def _is_trusted_proxy(value: str) -> bool | Rule:
    try:
        found = re.fullmatch(r"[0-9a-fA-F.:]+(?:/[0-9]{1,3})?", value) and ipaddress.ip_network(value)
    except ValueError:
        return False
    if found and not found.prefixlen:
        return Rule(
            "the networks of a CDN or a load balancer", "everybody could say that they are somebody else: list its own"
        )
    return bool(found)


TrustedProxies = Annotated[
    list[
        Annotated[
            str,
            must(_is_trusted_proxy),
            Rule("an address, or a network without host bits", "e.g. '192.0.2.0/24' or '2001:db8::/32'"),
        ]
    ],
    Rule("a list of addresses and networks", "e.g. ['192.0.2.0/24', '2001:db8::/32']; [] trusts nobody"),
]


# --- Backups --------------------------------------------------------------------------------------

Calendar = Annotated[
    str,
    matches(r"(?:[A-Za-z0-9*][A-Za-z0-9*:,./~_+ -]*[A-Za-z0-9*])?"),
    Rule("a calendar expression of systemd, or an empty string", "e.g. '*-*-* 03:30'; systemd.time(7) explains it"),
]
Kept = Annotated[
    int, between(0, 10_000), Rule("a number of backup sets from 0 to 10000", "e.g. 14; 0 keeps none for their age")
]
# An X25519 recipient of age: Bech32 (https://age-encryption.org/v1).
AgeRecipient = Annotated[
    str,
    matches(r"age1[02-9ac-hj-np-z]{58}"),
    Rule("a recipient of age, 'age1' and 58 more characters", "`age-keygen` prints one; the identity stays with you"),
]


def _is_repository(value: str) -> bool:
    """One line that needs no escapes; a URL with a password in it would be shown."""
    return re.fullmatch(r"[^\x00-\x20\x7f'\"](?:[^\x00-\x1f\x7f'\"]*)", value) is not None and not re.search(
        r"//[^/]*:[^/]*@", value
    )


ResticRepository = Annotated[
    str,
    must(_is_repository),
    Rule(
        "a repository of restic in one line, without quotes and without a password",
        "e.g. 'sftp:backup@nas:/srv/restic'; secrets go into backup_restic_env",
    ),
]
HostsOwnName = Annotated[
    str,
    matches(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    Rule("the name a host calls itself", "`hostname` prints it; `restic snapshots` lists them"),
]
ResticVariables = Annotated[
    dict[
        Annotated[
            str,
            must(lambda name: environment.is_name(name) and name != "RESTIC_PASSWORD"),
            Rule("names of variables, without RESTIC_PASSWORD", "the repository's password has a setting of its own"),
        ],
        SecretSource,
    ],
    Rule("a dict of variable to secret source", "e.g. {'AWS_SECRET_ACCESS_KEY': 'env:KEY'}"),
]


# --- Rollout --------------------------------------------------------------------------------------


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least  # True is an int, too


def _is_canary(value: Any) -> bool:
    """Host names, each once, or a number of hosts."""
    if not isinstance(value, list):
        return _is_count(value, 0)
    return all(isinstance(name, str) and name for name in value) and len(set(value)) == len(value)


Canary = Annotated[
    int | list[str],
    must_alone(_is_canary),
    Rule("a list of host names, or a number of hosts", "e.g. ['chat-1.example.org'] or 1; 0 goes without"),
]


def _is_batch(value: Any) -> bool:
    """A number of hosts, a percentage of them, or None."""
    if isinstance(value, str):
        return re.fullmatch(r"(?:[1-9][0-9]?|100)%", value) is not None
    return value is None or _is_count(value, 1)


Batch = Annotated[
    int | str | None,
    must_alone(_is_batch),
    Rule("a number of hosts, or a percentage from '1%' to '100%'", "e.g. 10 or '25%'; None takes all at once"),
]
