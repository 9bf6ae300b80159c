# Every setting of the project with its default. Override any of them for one host (in its tuple), for
# a group (group_data/<group>.py beside this file) or for one run (`pyinfra --data name=value`).
# Three mistakes are refused before any host is touched: a name that looks like one of these but is none, a wrong
# type, and a value that can't work. docs/reference/settings.md is made from this file.

# --- Preflight: a host below these limits is refused ----------------------------------------------
preflight_min_memory_mb = 1024  # free memory in MB; Open WebUI needs 0.8 GB, and a model cache more
preflight_min_disk_mb = 8192  # free disk where Docker has its data, in MB; the images alone take about 5 GB
preflight_max_clock_skew_s = 120  # most seconds that a host's clock may differ from this machine's

# --- Docker ---------------------------------------------------------------------------------------
docker_source = "docker-ce"  # "docker-ce": Docker's repository; "distro": the distribution's; "present": only checked
docker_repo_url = "https://download.docker.com/linux"  # the docker-ce repository, or your mirror of it
# SHA-256 of that repository's key file for apt (fingerprint 9DC858229FC7DD38854AE2D88D81803C0EBFCD88)
docker_repo_key_sha256 = "1500c1f56fa9e26b9b8f42452a553675796ade0807cdce11975eb98170b3a570"
docker_repo_rpm_key = None  # that repository's key for dnf, a file on this machine; None: Docker's own
# Defaults for /etc/docker/daemon.json. The host's own values win over these defaults. A value that you change here
# wins over both. {} leaves the file alone.
docker_daemon = {
    "live-restore": True,  # containers keep running while Docker itself restarts
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "3"},  # for containers that don't set their own
}
docker_restart_stops_others = False  # True: Docker may restart even if that stops containers of others
docker_address_pools = []  # subnets Docker may use, [{"base": "10.200.0.0/16", "size": 24}]; []: Docker's own
docker_registry_ca = {}  # private registries' CA files on this machine, {"registry.example.org:5000": "ca.pem"}
# Registries that ask for a login, {"ghcr.io": {"user": "ci", "password": "env:TOKEN"}}; Docker Hub is "docker.io".
# Sources of passwords as for valkey_password; no file on the host has them.
registry_login = {}

# --- Network --------------------------------------------------------------------------------------
network_subnet = None  # subnet of openwebui-network; None: Docker chooses

# --- Topology (docs/how-to/replicas.md, docs/how-to/swarm.md) -------------------------------------
topology = "compose"  # "compose": a stack on each host; "swarm": one stack over all hosts of the inventory

# --- Stack ----------------------------------------------------------------------------------------
stack_dir = "/opt/open-webui"  # compose project and secrets on the host (0700, root)
stack_adopt = False  # True: take over containers made by hand, with their data (docs/how-to/adopt.md)
stack_adopt_drops = []  # things such a container may lose: "networks", "labels", "mounts", ...
stack_overlay = None  # "chat.override.yaml": your own compose fragment on this machine (docs/how-to/overlay.md)

# --- Where images come from -----------------------------------------------------------------------
# The exact images and Docker packages (runbooks/lock.py writes the file); used if present.
lock_file = None  # its path on this machine; None: INVENTORY.lock.toml beside the inventory; "": none
image_source = "registry"  # "bundle": images and Docker itself from an archive, for hosts without internet
bundle_file = None  # the archive on this machine (runbooks/bundle.py writes it); None: bundles/INVENTORY.tar

# --- Valkey ---------------------------------------------------------------------------------------
# The release line of the tutorial (8.0.1), patched: its data loads unchanged, eight CVEs are fixed.
# renovate: datasource=docker depName=docker.io/valkey/valkey versioning=docker
valkey_image = "docker.io/valkey/valkey:8.0.12-alpine"
valkey_volume = "redis-data"  # Docker volume of its data; made if missing
valkey_password = None  # for the user open-webui; None: made on the host; or "env:NAME", "file:PATH", "command:..."
valkey_default_user = "ping"  # clients without a password may "ping" only, or "all" as in the tutorial
valkey_save = "30 1"  # snapshot after this many seconds if this many keys changed; "": no snapshots
valkey_appendonly = True  # also log every write (AOF), so that a crash loses next to nothing
valkey_appendfsync = "everysec"  # a crash loses at most a second; "always": nothing, slower
valkey_maxclients = 10000  # connections; Open WebUI fails logins when they run out
valkey_timeout_s = 1800  # close connections that were idle for this many seconds; 0: never, and they pile up
valkey_pubsub_buffer = "1gb 256mb 180"  # hard, soft, seconds; at least "32mb 8mb 60", which loses large events
valkey_memory_limit_mb = 0  # limit of its container, in MB; at least twice its data, for saving; 0: none
valkey_pids_limit = 128  # most processes and threads of its container; it uses about ten; 0: no limit
valkey_health_interval_s = 10  # seconds between two health checks; each costs about 0.1 s of a core; while it starts: 1
valkey_health_timeout_s = 3  # a health check that takes longer fails
valkey_health_retries = 3  # failed checks in a row until it is unhealthy, and restarted

# --- Open WebUI -----------------------------------------------------------------------------------
# A release or a digest; tags that move are refused. The lab runs the slim image of this release.
# renovate: datasource=docker depName=ghcr.io/open-webui/open-webui versioning=docker
open_webui_image = "ghcr.io/open-webui/open-webui:v0.12.4"
open_webui_replicas = 1  # replicas that share the users; more than one needs Postgres and public_url
open_webui_volume = "open-webui"  # Docker volume of database and uploads; made if missing
open_webui_bind = "127.0.0.1"  # the first account becomes the admin: sign up before you open it ("0.0.0.0")
open_webui_port = 3000  # published port on the host
open_webui_public_url = None  # the address behind a proxy of your own; sets CORS, cookies and links
open_webui_cors_origins = []  # further origins whose pages may use it; a wrong list breaks websockets
open_webui_secret_key = None  # signs the logins, 32 characters or more; sources as for valkey_password
open_webui_key_prefix = "open-webui"  # prefix of its keys in Valkey
open_webui_jwt_expires_in = "24h"  # how long a login lasts; upstream's default is 4w
open_webui_persistent_config = True  # True: values that admins save win over variables after the first start
# Variables and settings whose values a deploy saves in Open WebUI's database, where admins saved others:
# "DEFAULT_MODELS", "DEFAULT_USER_ROLE", "ENABLE_SIGNUP", "openai_connections" and "ollama". It makes an admin's account
# of the stack's own (docs/how-to/saved-settings.md).
open_webui_saved = []
open_webui_offline = False  # True on hosts without internet: no version check, no model downloads
open_webui_env = {}  # any further variable of Open WebUI, {"OPENAI_API_BASE_URL": "https://..."}
open_webui_secret_env = {}  # further variables with secrets, {"OPENAI_API_KEY": "env:OPENAI_API_KEY"}
open_webui_start_timeout_s = 300  # seconds until containers must be healthy
open_webui_health_interval_s = 15  # seconds between two health checks; while it starts: 2
open_webui_memory_limit_mb = 0  # of each replica's container; 0: none; a limit that is too small ends it mid-answer
open_webui_pids_limit = 4096  # of each replica's container; at least twice THREAD_POOL_SIZE and 512 more; 0: none
open_webui_cap_add = []  # Linux capabilities it keeps; it needs none if its files belong to root
open_webui_read_only = False  # True: it can't write outside its volume and /tmp; tools can't install packages

# --- Models (docs/how-to/models-and-keys.md) ------------------------------------------------------
# APIs that speak OpenAI's protocol, [{"url": "https://llm.example.org/v1", "key": "env:LLM_KEY"}]; keys are secrets:
# sources as for valkey_password. The variables of Open WebUI follow from it.
openai_connections = []
# "host": Ollama on this server; "service": Ollama in the stack; or its URL, "http://192.0.2.10:11434"; None: without.
ollama = None
# The image of "service": a release or a digest; tags that move are refused.
# renovate: datasource=docker depName=docker.io/ollama/ollama versioning=docker
ollama_image = "docker.io/ollama/ollama:0.40.2"
ollama_volume = "open-webui-ollama"  # Docker volume of the models of "service"; made if missing; backups exclude it
ollama_gpu = False  # True: all NVIDIA GPUs of the server, with its container toolkit; else the processor answers
ollama_models = []  # a deploy pulls them into "service", ["llama3.2:1b"]; it removes none

# --- Sign-in (docs/how-to/sign-in.md) --------------------------------------------------------------
# Single sign-on, {"preset": "keycloak", "url": "https://id.example.org/realms/staff", "client_id": "chat",
# "client_secret": "env:OIDC_SECRET", "admin_groups": ["chat-admins"]}; presets: "generic", "keycloak", "google",
# "microsoft" and "github". It needs public_url; the secret's sources as for valkey_password.
oidc = None
# A directory, {"url": "ldaps://ldap.example.org", "search_base": "ou=people,dc=example,dc=org", "bind_dn":
# "cn=chat,dc=example,dc=org", "bind_password": "env:LDAP_PASSWORD"}; sources as for valkey_password.
ldap = None
login_form = True  # False: no form for Open WebUI's own passwords, and no sign-up by it; needs oidc or ldap

# --- Outbound connections (docs/how-to/private-ca.md, docs/how-to/http-proxy.md) --------------------
trusted_ca = []  # private CAs that the stack trusts besides the system's, ["ca.pem"]; files on this machine
# The HTTP proxy between the stack and others, {"https": "http://proxy.example.org:3128", "no_proxy": [".example.org"]},
# with "http" as well. The stack's own names are always in no_proxy. Docker itself has a setting of its own.
outbound_proxy = None

# --- Proxy (docs/how-to/https.md) -----------------------------------------------------------------
# "https://chat.example.org" adds Caddy, a proxy with HTTPS, in front of Open WebUI. The first account becomes the
# admin, and this address is open to everybody: let the first start create the admin (docs/how-to/sign-in.md).
public_url = None
proxy_tls = "acme"  # certificates: "acme" from Let's Encrypt; "internal" from a CA of Caddy's own, for labs; or "files"
proxy_acme_email = None  # contact for certificate warnings
# For "acme": another directory than Let's Encrypt's, such as a CA's of your own; trusted_ca has its root.
proxy_acme_directory = None
proxy_certificate = None  # for "files": the chain in PEM, on this machine
proxy_certificate_key = None  # for "files": its key in PEM; sources as for valkey_password
# Host address that publishes the port of public_url, or several: ["0.0.0.0", "::"]. Verify asks the first one.
proxy_bind = "0.0.0.0"  # noqa: S104
proxy_http_port = 80  # redirects to public_url, and answers Let's Encrypt; 0: not published
# Headers of the proxy's answers. Yours are added to these; None removes one: {"Referrer-Policy": None}. If Open WebUI
# sends one of them itself, its own stays. A stricter Content-Security-Policy is in docs/how-to/https.md.
proxy_headers = {
    "Content-Security-Policy": "frame-ancestors 'self'",  # no other site shows it in a frame
    "Referrer-Policy": "strict-origin-when-cross-origin",  # other sites learn its name only
    "Strict-Transport-Security": "max-age=31536000",  # browsers use HTTPS alone for a year
    "X-Content-Type-Options": "nosniff",  # browsers guess no other type for a file
}
# Networks of a CDN or a load balancer in front of the proxy, ["192.0.2.0/24"]: these may say whose request it is.
trusted_proxies = []
proxy_max_body_mb = 0  # the largest request, such as an upload; a larger one is refused with 413; 0: no limit
# renovate: datasource=docker depName=docker.io/library/caddy versioning=docker
proxy_image = "docker.io/library/caddy:2.11.9-alpine"
proxy_volume = "open-webui-proxy"  # Docker volume of its certificates; made if missing

# --- Database (docs/how-to/replicas.md) -----------------------------------------------------------
# "sqlite" in the volume; "postgres": a service of the stack; "auto": Postgres for more than one replica
database = "auto"
database_url = None  # of your own Postgres with pgvector; a secret: sources as for valkey_password
database_switch = []  # hosts that may switch database, ["chat-1"]; their data were moved
database_pool_size = 15  # connections that each replica keeps open, in each of its two pools
database_pool_overflow = 20  # additional connections in each pool under load
# renovate: datasource=docker depName=docker.io/pgvector/pgvector versioning=docker
postgres_image = "docker.io/pgvector/pgvector:0.8.7-pg17-trixie"
postgres_volume = "open-webui-postgres"  # Docker volume of its data; made if missing
postgres_password = None  # for the user open-webui; None: made on the host; sources as for valkey_password
postgres_max_connections = 500  # enough for the pools of all replicas and one more
postgres_memory_limit_mb = 0  # of its container, in MB; 0: none

# --- Swarm (docs/how-to/swarm.md): set for each host, except the last four, which are the same for all ---
swarm_manager = False  # True on 1 or 3 hosts; more than half of them have to be up to change anything
swarm_runs = ["open-webui"]  # "open-webui", "proxy", and on one manager "data": Valkey and Postgres
swarm_availability = "active"  # "drain": nothing runs there; its work moves to the other hosts
swarm_address = None  # IP address at which the other hosts reach it; None: Docker's guess
swarm_address_pool = None  # subnet for the swarm's networks; None: Docker's, 10.0.0.0/8
swarm_encrypted = True  # IPsec between the hosts; False if the kernel has no ESP
swarm_mtu = None  # largest packet between the hosts, in bytes; None: the smallest MTU of their interfaces
open_webui_shared_dir = None  # the same folder on all hosts (NFS, CephFS, ...), for uploads; None: use S3

# --- Watchdog -------------------------------------------------------------------------------------
watchdog_pause_s = 120  # restart a container that hangs, at most once in this many seconds; 0: never

# --- Monitor (docs/how-to/monitoring.md) ----------------------------------------------------------
monitor_interval_s = 60  # look at the stack so often; 0: no monitor, so no alarms and no metrics
# Receivers of a message when something breaks, and when it is well again; any number, one kind in each:
# {"webhook": URL}, {"ntfy": URL, "token": SOURCE}, {"heartbeat": URL}, and by e-mail {"email": ["ops@example.org"],
# "from": "chat@example.org", "smtp": "smtp.example.org:587", "user": "chat", "password": SOURCE, "tls": "starttls"}.
# A URL may be a source as well: such URLs are secrets. Sources as for valkey_password.
alarms = []
alarm_reminder_h = 24  # hours until what is still broken is told again; 0: never
metrics_textfile_dir = None  # node-exporter's folder for text files; the monitor writes open-webui-stack.prom there
metrics_bind = None  # "127.0.0.1:9469": serve metrics for Prometheus there, at /metrics
# Open WebUI's own metrics by OTLP: {"endpoint": "http://collector.example.org:4317"}. "protocol": "grpc" (or "http"),
# "traces": True (they hold people's e-mail addresses), "host": "chat-1" (begins each replica's name). None: sends none.
otel = None

# --- Verify ---------------------------------------------------------------------------------------
# "ping": Valkey answers. "wiring": an event in Valkey also arrives at a websocket. "user": so does an event that a
# user's request causes; the probe has its own account (made once, its password stays on the host).
verify_level = "wiring"
# "llama3.2:1b": at level "user" the probe asks this model for a short answer, whose first and last token have to
# arrive at the websocket within verify_timeout_s. All users have to be allowed to use the model. None: asks no model.
verify_model = None
verify_event_kb = 1024  # size of the large event that has to arrive, in kilobytes
verify_timeout_s = 60  # seconds within which the proof must succeed
verify_hold_s = 0  # hold a websocket open for this long; 60 finds proxies that end quiet ones; 0: skip
verify_url = None  # where this machine reaches Open WebUI; None: public_url, the host, or SSH for the loopback
verify_ca = None  # a private CA's root certificate, in PEM on this machine; trusted besides its own

# --- Backup and restore (runbooks/backup.py, runbooks/restore.py) ---------------------------------
backup_dir = "/var/backups/open-webui"  # where the host keeps backups (0700, root)
backup_min_free_mb = 1024  # in MB; a backup that would leave less in backup_dir is refused
backup_keep = 7  # how many stay; older ones are deleted once a new one is complete; 0: all
backup_keep_daily = 0  # also keep the newest backup of each of this many days that have one; 0: none
backup_keep_weekly = 0  # the same for weeks
backup_keep_monthly = 0  # the same for months
backup_schedule = ""  # for a timer, "*-*-* 03:30" (systemd.time); "": no timer
backup_check_schedule = ""  # for a timer that runs `restic check`, "Sun *-*-* 05:00"; "": no timer
drill_schedule = ""  # for a timer that tries to restore the newest backup, "Sat *-*-* 05:00"; "": no timer
# "age1...": backups include the secrets, and fetched ones are encrypted whole. None: no secrets, in clear.
backup_age_recipient = None
backup_fetch = None  # a folder on this machine; each new backup is copied to FOLDER/HOST/
# Where restic copies each new backup, the timer's as well: "sftp:backup@nas:/srv/restic", "s3:https://...", "/mnt/nas".
backup_restic_repository = None  # made if missing; None: backups stay on the host
backup_restic_password = None  # of the repository; keep it elsewhere, too; sources as for valkey_password
backup_restic_env = {}  # variables for its storage, {"AWS_ACCESS_KEY_ID": "env:ID", "AWS_SECRET_ACCESS_KEY": "env:KEY"}
backup_restic_append_only = False  # True: the host deletes nothing there; another machine has to
backup_restic_second_repository = None  # restic also copies each new backup to this one
backup_restic_second_password = None  # of the second repository
backup_restic_second_env = {}  # variables for its storage
backup_restic_second_append_only = False  # True: the host deletes nothing there; another machine has to
restore_set = "newest"  # "newest", or a backup's name: "20261126T033000Z"
restore_over = []  # hosts whose data a restore or rollback may replace, ["chat-1.example.org"]
# The age identity for fetched backups and for secrets, "file:~/backup.key"; None: the host keeps its secrets.
restore_age_identity = None
restore_from = None  # a backup, or a folder of them, on this machine, "backups/chat-1"; None: on the host, or restic
restore_restic_host = None  # take this host's backups from restic, a name as `hostname` prints it; None: its own

# --- Upgrade and rollback (runbooks/upgrade.py, runbooks/rollback.py) -----------------------------
upgrade_rehearse = True  # try an upgrade that changes data on a copy first; needs memory for two
rollback_to = "previous"  # "previous", or a release's name: "20261126T033000Z"

# --- Teardown (runbooks/teardown.py) --------------------------------------------------------------
teardown_data = []  # hosts that also lose their data: volumes and secrets, ["chat-1.example.org"]
teardown_backups = []  # hosts that also lose their backups
teardown_docker = False  # True: also removes Docker, if no container or volume of others is left

# --- Rotation (runbooks/rotate.py) ----------------------------------------------------------------
# Secrets to renew: "valkey_password", "probe_password", "postgres_password" where the stack has one, and
# "open_webui_secret_key", which signs everybody out.
rotate_secrets = ["valkey_password", "probe_password"]

# --- Rollout: the same for all targeted hosts of a run --------------------------------------------
# Batches follow the inventory's order; one starts when those before it are proved (docs/how-to/fleets.md).
rollout_canary = 0  # hosts that go first: a number, or ["chat-1.example.org"]; 0: no canary
rollout_batch = None  # hosts in each batch after it: a number, or "25%" of all targeted hosts; None: all at once
rollout_max_failures = 0  # if more hosts fail, no further batch starts
rollout_pause_s = 0  # wait between batches, in seconds; only after one that changed something
