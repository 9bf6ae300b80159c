"""Every setting of the project as one typed, frozen model.

The defaults live in `inventories/group_data/all.py` and nowhere else: the model has none, so the
commented file an operator reads is also the file that is checked.
"""

from __future__ import annotations

import hashlib
import ipaddress
import runpy
from functools import cache
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from webui_stack import shipped
from webui_stack.overlay import fragment
from webui_stack.settings.image_reference import version_of
from webui_stack.settings.receivers import Receiver
from webui_stack.settings.rule import Rule, between, matches, must, zero_or_between
from webui_stack.settings.sign_in import LdapSetting, OidcSetting
from webui_stack.settings.types import (
    HOST_OF_CONTAINERS,
    AbsolutePath,
    AcmeDirectory,
    Address,
    AgeRecipient,
    Batch,
    Calendar,
    Canary,
    Certificate,
    DialedOrigin,
    DockerDaemonKeys,
    EmailAddress,
    Endpoint,
    HealthInterval,
    HostsOwnName,
    Image,
    Kept,
    KeyPrefix,
    Lifetime,
    LocalFolder,
    LocalPath,
    Megabytes,
    Ollama,
    OllamaModel,
    OpenAiConnections,
    Origin,
    OtelSetting,
    OutboundProxySetting,
    OverlayFile,
    PackageRepository,
    Pids,
    Port,
    PostgresImage,
    ProxyBind,
    ProxyHeaders,
    PublicKeyFile,
    PubsubBuffer,
    ReachableAddress,
    Registry,
    RegistryLogins,
    ResticRepository,
    ResticVariables,
    Seconds,
    SecretSource,
    SecureOrigin,
    Sha256,
    SharedFolder,
    Snapshots,
    Subnet,
    Switch,
    TrustedProxies,
    Variables,
    Volume,
)

# Connections of each process to the vectors.
VECTOR_POOL = 5
# Threads of Open WebUI besides its two pools: of PyTorch, of the tokenizers and of Uvicorn, by the number of cores.
OTHER_THREADS = 512

_DEFAULTS = shipped.path("inventories") / "group_data" / "all.py"


@cache
def defaults() -> dict[str, Any]:
    """Every setting with its default, read once from this repository, wherever the inventory lives."""
    return {name: value for name, value in runpy.run_path(str(_DEFAULTS)).items() if not name.startswith("_")}


class AddressPool(BaseModel):
    """One entry of Docker's `default-address-pools`: networks of `/size` cut from `base`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    base: Subnet
    size: Annotated[int, between(8, 30), Rule("a prefix length from 8 to 30", "e.g. 24")]


class Settings(BaseModel):
    """All settings of one host. `inventories/group_data/all.py` says what each one does."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    preflight_min_memory_mb: Megabytes
    preflight_min_disk_mb: Megabytes
    preflight_max_clock_skew_s: Seconds

    docker_source: Annotated[
        Literal["docker-ce", "distro", "present"],
        Rule("'docker-ce', 'distro' or 'present'", "see docs/how-to/docker.md"),
    ]
    docker_repo_url: PackageRepository
    docker_repo_key_sha256: Sha256
    docker_repo_rpm_key: PublicKeyFile | None
    docker_daemon: DockerDaemonKeys
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
        dict[Registry, Certificate],
        Rule("a dict of registry host to CA file", "{} trusts the host's own certificates"),
    ]

    registry_login: RegistryLogins

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
    stack_overlay: OverlayFile | None

    lock_file: Annotated[str, Rule("a path on this machine, or an empty string", "'' follows no lock")] | None
    image_source: Annotated[
        Literal["registry", "bundle"],
        Rule("'registry' or 'bundle'", "see docs/how-to/air-gapped.md"),
    ]
    bundle_file: LocalPath | None

    valkey_image: Image
    valkey_volume: Volume
    valkey_password: SecretSource | None
    valkey_default_user: Annotated[
        Literal["ping", "all"], Rule("'ping' or 'all'", "'ping' lets clients without a password PING only")
    ]
    valkey_save: Snapshots
    valkey_appendonly: Switch
    valkey_appendfsync: Annotated[
        Literal["always", "everysec", "no"],
        Rule("'always', 'everysec' or 'no'", "'everysec' loses at most the last second"),
    ]
    valkey_maxclients: Annotated[
        int, between(32, 1_000_000), Rule("a number of connections from 32 to 1000000", "e.g. 10000")
    ]
    valkey_timeout_s: Annotated[
        int,
        zero_or_between(120, 86400),
        Rule(
            "0, or seconds from 120 to 86400",
            "it must stay above Open WebUI's health check interval of 60 s; 0 lets idle connections pile up",
        ),
    ]
    valkey_pubsub_buffer: PubsubBuffer
    valkey_memory_limit_mb: Megabytes
    valkey_pids_limit: Pids
    valkey_health_interval_s: HealthInterval
    valkey_health_timeout_s: Annotated[int, between(1, 60), Rule("seconds from 1 to 60", "e.g. 3")]
    valkey_health_retries: Annotated[int, between(1, 100), Rule("a number of checks from 1 to 100", "e.g. 3")]

    open_webui_image: Image
    open_webui_replicas: Annotated[int, between(1, 64), Rule("a number of replicas from 1 to 64", "e.g. 2")]
    open_webui_volume: Volume
    open_webui_bind: Address
    open_webui_port: Port
    open_webui_public_url: Origin | None
    open_webui_cors_origins: Annotated[list[Origin], Rule("a list of URLs", "e.g. ['https://chat.example.org']")]
    open_webui_secret_key: SecretSource | None
    open_webui_key_prefix: KeyPrefix
    open_webui_jwt_expires_in: Lifetime
    open_webui_persistent_config: Switch
    open_webui_saved: Annotated[
        list[
            Annotated[
                Literal["DEFAULT_MODELS", "DEFAULT_USER_ROLE", "ENABLE_SIGNUP", "openai_connections", "ollama"],
                Rule(
                    "'DEFAULT_MODELS', 'DEFAULT_USER_ROLE', 'ENABLE_SIGNUP', 'openai_connections' or 'ollama'",
                    "admins change all other settings in the Admin Panel",
                ),
            ]
        ],
        Rule("a list of variables and settings", "e.g. ['ENABLE_SIGNUP', 'openai_connections']"),
    ]
    open_webui_offline: Switch
    open_webui_env: Variables
    open_webui_secret_env: Annotated[
        dict[str, SecretSource],
        Rule("a dict of variable to secret source", "e.g. {'OPENAI_API_KEY': 'env:KEY'}"),
    ]
    open_webui_start_timeout_s: Seconds
    open_webui_health_interval_s: HealthInterval
    open_webui_memory_limit_mb: Megabytes
    open_webui_pids_limit: Pids
    open_webui_cap_add: Annotated[
        list[Annotated[str, matches(r"[A-Z][A-Z_]+"), Rule("a capability without CAP_", "e.g. 'DAC_OVERRIDE'")]],
        Rule("a list of capabilities", "[] gives it none"),
    ]
    open_webui_read_only: Switch

    openai_connections: OpenAiConnections
    ollama: Ollama | None
    ollama_image: Image
    ollama_volume: Volume
    ollama_gpu: Switch
    ollama_models: Annotated[
        list[OllamaModel], Rule("a list of models", "e.g. ['llama3.2:1b']; a deploy pulls those that are missing")
    ]

    oidc: OidcSetting | None
    ldap: LdapSetting | None
    login_form: Switch

    trusted_ca: Annotated[
        list[Certificate], Rule("a list of CA files on this machine", "[] trusts the CAs of each image alone")
    ]
    outbound_proxy: OutboundProxySetting | None

    public_url: SecureOrigin | None
    proxy_tls: Annotated[
        Literal["acme", "internal", "files"],
        Rule("'acme', 'internal' or 'files'", "where the proxy's certificate comes from"),
    ]
    proxy_acme_email: EmailAddress | None
    proxy_acme_directory: AcmeDirectory | None
    proxy_certificate: Certificate | None
    proxy_certificate_key: SecretSource | None
    proxy_bind: ProxyBind
    proxy_http_port: Annotated[
        int, between(0, 65535), Rule("a TCP port from 1 to 65535, or 0", "0 does not publish it")
    ]
    proxy_headers: ProxyHeaders
    trusted_proxies: TrustedProxies
    proxy_max_body_mb: Megabytes
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
    database_pool_size: Annotated[int, between(1, 1000), Rule("a number of connections from 1 to 1000", "e.g. 15")]
    database_pool_overflow: Annotated[int, between(0, 1000), Rule("a number of connections from 0 to 1000", "e.g. 20")]
    postgres_image: PostgresImage
    postgres_volume: Volume
    postgres_password: SecretSource | None
    postgres_max_connections: Annotated[
        int, between(20, 10_000), Rule("a number of connections from 20 to 10000", "e.g. 500")
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
    swarm_address: ReachableAddress | None
    swarm_address_pool: Subnet | None
    swarm_encrypted: Switch
    swarm_mtu: (
        Annotated[int, between(1280, 65_535), Rule("bytes from 1280 to 65535", "None asks the hosts' interfaces")]
        | None
    )
    open_webui_shared_dir: AbsolutePath | None

    watchdog_pause_s: Annotated[
        int, zero_or_between(30, 3600), Rule("0, or seconds from 30 to 3600", "0 switches the watchdog off")
    ]

    monitor_interval_s: Annotated[
        int, zero_or_between(5, 3600), Rule("0, or seconds from 5 to 3600", "0 switches the monitor off")
    ]
    alarms: Annotated[
        list[Receiver], Rule("a list of receivers", "e.g. [{'webhook': 'env:WEBHOOK_URL'}]; docs/how-to/monitoring.md")
    ]
    alarm_reminder_h: Annotated[int, zero_or_between(1, 720), Rule("0, or hours from 1 to 720", "0 sends no reminders")]
    metrics_textfile_dir: SharedFolder | None
    metrics_bind: Endpoint | None
    otel: OtelSetting | None

    verify_level: Annotated[
        Literal["ping", "wiring", "user"],
        Rule("'ping', 'wiring' or 'user'", "'wiring' needs no account, 'user' signs in with one of its own"),
    ]
    verify_model: (
        Annotated[
            str,
            must(lambda value: value.isprintable() and value.strip() == value != ""),
            Rule("a model's name", "e.g. 'llama3.2:1b', as Open WebUI lists it; None asks no model"),
        ]
        | None
    )
    verify_event_kb: Annotated[int, between(1, 16000), Rule("kilobytes from 1 to 16000", "e.g. 1024")]
    verify_timeout_s: Seconds
    verify_hold_s: Annotated[
        int,
        zero_or_between(30, 3600),
        Rule("0, or seconds from 30 to 3600", "Open WebUI is silent for 25 s at a time; 0 holds no websocket open"),
    ]
    verify_url: DialedOrigin | None
    verify_ca: Certificate | None

    backup_dir: AbsolutePath
    backup_min_free_mb: Megabytes
    backup_keep: Annotated[
        int, between(0, 10_000), Rule("a number of backup sets from 0 to 10000", "e.g. 7; 0 keeps all")
    ]
    backup_keep_daily: Kept
    backup_keep_weekly: Kept
    backup_keep_monthly: Kept
    backup_schedule: Calendar
    backup_check_schedule: Calendar
    drill_schedule: Calendar
    backup_age_recipient: AgeRecipient | None
    backup_fetch: LocalFolder | None
    backup_restic_repository: ResticRepository | None
    backup_restic_password: SecretSource | None
    backup_restic_env: ResticVariables
    backup_restic_append_only: Switch
    backup_restic_second_repository: ResticRepository | None
    backup_restic_second_password: SecretSource | None
    backup_restic_second_env: ResticVariables
    backup_restic_second_append_only: Switch
    restore_set: Annotated[
        str,
        matches(r"newest|[0-9]{8}T[0-9]{6}Z"),
        Rule("'newest' or the name of a backup set", "e.g. '20261126T033000Z'; runbooks/backups.py lists them"),
    ]
    restore_over: Annotated[
        list[str], Rule("a list of host names", "only the live stacks of these hosts are replaced by a backup")
    ]
    restore_age_identity: SecretSource | None
    restore_from: LocalFolder | None
    restore_restic_host: HostsOwnName | None

    upgrade_rehearse: Switch
    rollback_to: Annotated[
        str,
        matches(r"previous|[0-9]{8}T[0-9]{6}Z"),
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

    rollout_canary: Canary
    rollout_batch: Batch
    rollout_max_failures: Annotated[
        int, must(lambda value: value >= 0), Rule("a number of hosts, 0 or more", "0 stops at the first that fails")
    ]
    rollout_pause_s: Annotated[
        int, between(0, 86400), Rule("a whole number of seconds from 0 to 86400", "0 goes on at once")
    ]

    @property
    def images(self) -> dict[str, str]:
        """Service -> image reference, of every service of the stack in the order they start."""
        found = {"redis": self.valkey_image}
        if self.database_kind == "postgres":
            found["postgres"] = self.postgres_image
        if self.ollama == "service":
            found["ollama"] = self.ollama_image
        found |= dict.fromkeys(self.open_webui_services, self.open_webui_image)
        if self.public_url:
            found["proxy"] = self.proxy_image
        return found

    @property
    def overlay(self) -> fragment.Overlay | None:
        """The operator's own compose fragment; None without one."""
        return fragment.read(self.stack_overlay) if self.stack_overlay else None

    @property
    def all_images(self) -> dict[str, str]:
        """Service -> image reference: the stack's services, and then those that only the overlay has."""
        return self.images | (self.overlay.images if self.overlay else {})

    @property
    def open_webui_services(self) -> list[str]:
        """The services that are Open WebUI: one for each process, the first migrates the database. In a swarm, one."""
        count = 1 if self.topology == "swarm" else self.open_webui_replicas
        return ["open-webui", *(f"open-webui-{number}" for number in range(2, count + 1))]

    @property
    def ollama_url(self) -> str:
        """Where Open WebUI asks Ollama, "" for nowhere."""
        names = {"host": HOST_OF_CONTAINERS, "service": "ollama"}
        return f"http://{names[self.ollama]}:11434" if self.ollama in names else self.ollama or ""

    @property
    def asks_its_host(self) -> bool:
        """Whether Open WebUI asks its own server for something, by the name that containers have for it."""
        urls = [self.ollama_url, *(one.url for one in self.openai_connections), *self.open_webui_env.values()]
        urls += [self.ldap.url] if self.ldap else []
        urls += [self.otel.endpoint] if self.otel else []
        return self.asks_its_host_for_others or any(HOST_OF_CONTAINERS in url for url in urls)

    @property
    def asks_its_host_for_others(self) -> bool:
        """Whether the HTTP proxy runs on the server itself."""
        asked = self.outbound_proxy
        return asked is not None and any(HOST_OF_CONTAINERS in (url or "") for url in (asked.http, asked.https))

    @property
    def secret_variables(self) -> list[str]:
        """Open WebUI's variables whose values the operator supplies as secrets."""
        keys = ["OPENAI_API_KEYS"] if self.openai_connections else []
        return sorted([*self.open_webui_secret_env, *keys, *self.sign_in_secrets])

    @property
    def sign_in_variables(self) -> dict[str, str]:
        """Open WebUI's variables of `oidc`, `ldap` and `login_form`, without their secrets."""
        oidc = self.oidc.variables(self.external_url) if self.oidc else {}
        ldap = self.ldap.variables() if self.ldap else {}
        form = {} if self.login_form else {"ENABLE_LOGIN_FORM": "False"}
        return oidc | ldap | form

    @property
    def sign_in_secrets(self) -> dict[str, tuple[str, str]]:
        """Open WebUI's variables of `oidc` and `ldap` that are secret: where each is set, and its source."""
        found = {}
        if self.oidc:
            found[self.oidc.preset_of.client_secret] = ("oidc/client_secret", self.oidc.client_secret)
        if self.ldap and self.ldap.bind_password:
            found["LDAP_APP_PASSWORD"] = ("ldap/bind_password", self.ldap.bind_password)
        return found

    @property
    def restarts_after_valkey(self) -> bool:
        """Whether Open WebUI has to start again after Valkey did.

        Releases before 0.12.0 lose their subscriptions for good (open-webui#25216, #27762; #29976, #31619 repaired it).
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

    @property
    def backup_retention(self) -> tuple[int, int, int, int]:
        """How many sets stay: the newest ones, and one of each of so many days, weeks and months."""
        return self.backup_keep, self.backup_keep_daily, self.backup_keep_weekly, self.backup_keep_monthly

    @property
    def uploads_elsewhere(self) -> str:
        """Where people's uploads are that backup sets do not have, such as "s3"; "" where the sets have them."""
        provider = self.open_webui_env.get("STORAGE_PROVIDER", "")
        return "" if provider == "local" else provider

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
    def proxy_addresses(self) -> list[str]:
        """The host's addresses that the proxy is published on. Verify and the monitor ask the first."""
        return [self.proxy_bind] if isinstance(self.proxy_bind, str) else self.proxy_bind

    @property
    def sent_headers(self) -> dict[str, str | None]:
        """Header -> its value in the proxy's answers, None for one that is removed: the operator's over the default."""
        own = {name.lower() for name in self.proxy_headers}
        usual = {name: value for name, value in defaults()["proxy_headers"].items() if name.lower() not in own}
        return usual | self.proxy_headers

    @property
    def external_url(self) -> str:
        """What people type, "" where nobody has said: the URL of our proxy, or of the operator's own."""
        return self.public_url or self.open_webui_public_url or ""

    @property
    def otel_host(self) -> str:
        """What begins the name of each replica in its metrics and traces, "" for nothing."""
        return (self.otel.host if self.otel else None) or urlsplit(self.external_url).hostname or ""

    @property
    def is_open_to_others(self) -> bool:
        """Whether somebody beside the host itself can reach the sign-up page."""
        return bool(self.external_url) or not ipaddress.ip_address(self.open_webui_bind).is_loopback

    @property
    def connections_per_process(self) -> int:
        """Connections to Postgres that a replica opens at most.

        It has two pools of the same size, one for each way it talks to the database (open_webui/internal/db.py,
        0.12.4). A third is for vectors, and we keep it small (retrieval/vector/dbs/pgvector.py).
        """
        return 2 * (self.database_pool_size + self.database_pool_overflow) + VECTOR_POOL

    @property
    def postgres_connections(self) -> int:
        """Connections the stack may need at once: of all processes, one more that takes another's place, and tools."""
        return (self.open_webui_replicas + 1) * self.connections_per_process + 10

    @property
    def thread_pool_size(self) -> int:
        """Threads in each of the two pools of a replica: 2000, or as many as its container may have."""
        if not self.open_webui_pids_limit:
            return 2000
        return max(40, min(2000, (self.open_webui_pids_limit - OTHER_THREADS) // 2))  # 40 is the library's own

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
        usual = defaults()["docker_daemon"]
        return frozenset(
            key for key, value in self.docker_daemon_json.items() if key not in usual or usual[key] != value
        )

    @property
    def digest(self) -> str:
        """SHA-256 of all settings but the run's own, shortened: equal where two deploys were told the same of the host.

        No secret is in it, only where secrets come from.
        """
        run = ("rollout_", "restore_", "upgrade_", "rollback_", "rotate_", "teardown_", "database_switch")
        of_the_run = {name for name in type(self).model_fields if name.startswith(run)}
        told = self.model_dump_json(exclude=of_the_run) + (self.overlay.text if self.overlay else "")
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    @property
    def cors_allow_origin(self) -> str:
        """`CORS_ALLOW_ORIGIN`: the public origins joined by `;`, or upstream's `*` when none is known."""
        origins = [self.external_url, *self.open_webui_cors_origins]
        return ";".join(dict.fromkeys(one for one in origins if one)) or "*"
