# Every setting of the project with its default. Override any of them for one host (in its tuple), for
# a group (group_data/<group>.py beside this file) or for one run (`pyinfra --data name=value`).
# An unknown name, a wrong type or a value that can't work is refused before any host is touched.

# --- Preflight: a host with less than this is refused --------------------------------------------
preflight_min_memory_mb = 1024  # free memory in MB; Open WebUI needs 0.8 GB, and a model cache more
preflight_min_disk_mb = 8192  # free disk where Docker has its data, in MB; the images alone take about 5 GB
preflight_max_clock_skew_s = 120  # a host's clock may differ from this machine's by so many seconds

# --- Docker ---------------------------------------------------------------------------------------
docker_source = "docker-ce"  # "docker-ce": Docker's repository; "distro": the distribution's; "present": only checked
docker_repo_url = "https://download.docker.com/linux"  # the docker-ce repository, or your mirror of it
# SHA-256 of that repository's key file for apt (fingerprint 9DC858229FC7DD38854AE2D88D81803C0EBFCD88)
docker_repo_key_sha256 = "1500c1f56fa9e26b9b8f42452a553675796ade0807cdce11975eb98170b3a570"
docker_repo_rpm_key = None  # its key for dnf, a file on this machine; None: Docker's own, which comes with this
# Defaults for /etc/docker/daemon.json. What the host already says there wins over them, but not over a value that
# you change here. {} leaves the file alone.
docker_daemon = {
    "live-restore": True,  # containers keep running while Docker itself restarts
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "3"},  # for containers that don't set their own
}
docker_restart_stops_others = False  # True: Docker may restart even where that stops containers of others
docker_address_pools = []  # subnets Docker may use, [{"base": "10.200.0.0/16", "size": 24}]; []: Docker's own
docker_registry_ca = {}  # private registries' CA files on this machine, {"registry.example.org:5000": "ca.pem"}

# --- Network --------------------------------------------------------------------------------------
network_subnet = None  # subnet of openwebui-network; None: Docker chooses

# --- Topology (docs/operations.md, Replicas, Swarm) --------------------------------------------------
topology = "compose"  # "compose": a stack on each host; "swarm": one stack over all hosts of the inventory

# --- Stack ----------------------------------------------------------------------------------------
stack_dir = "/opt/open-webui"  # compose project and secrets on the host (0700, root)
stack_adopt = False  # True: take over containers made by hand, with their data (docs/operations.md, Adoption)
stack_adopt_drops = []  # what a container made by hand may lose by that: "networks", "labels", "mounts", ...

# --- Where images come from -----------------------------------------------------------------------
# A lock file has the exact images and Docker packages (runbooks/lock.py writes it); where one is, it is followed.
lock_file = None  # on this machine; None: INVENTORY.lock.toml beside the inventory file, if there; "": follow none
image_source = "registry"  # "bundle": images and Docker itself from an archive, with no registry or mirror in reach
bundle_file = None  # that archive on this machine (runbooks/bundle.py writes it); None: bundles/INVENTORY.tar

# --- Valkey ---------------------------------------------------------------------------------------
# The release line of the tutorial (8.0.1), patched: its data loads unchanged, eight CVEs are fixed.
# renovate: datasource=docker depName=docker.io/valkey/valkey versioning=docker
valkey_image = "docker.io/valkey/valkey:8.0.12-alpine"
valkey_volume = "redis-data"  # Docker volume of its data; made if missing, never removed
valkey_password = None  # of the user open-webui; None: made on the host; or "env:NAME", "file:PATH", "command:..."
valkey_default_user = "ping"  # clients without a password may "ping" only, or "all" as in the tutorial
valkey_save = "30 1"  # snapshot after this many seconds if this many keys changed; "": no snapshots
valkey_appendonly = True  # also log every write (AOF), so that a crash loses next to nothing
valkey_appendfsync = "everysec"  # a crash loses at most a second; "always": nothing, slower
valkey_maxclients = 10000  # connections; Open WebUI fails logins when they run out
valkey_timeout_s = 1800  # close connections idle for so long, in seconds; at 0 they pile up
valkey_pubsub_buffer = "1gb 256mb 180"  # hard, soft, seconds; no less than "32mb 8mb 60", which loses large events
valkey_memory_limit_mb = 0  # of its container, at least twice its data for saving; 0: none
valkey_pids_limit = 128  # processes and threads of its container; it uses about ten; 0: none
valkey_health_interval_s = 10  # seconds between two health checks; each costs about 0.1 s of a core; while it starts: 1
valkey_health_timeout_s = 3  # a health check that takes longer has failed
valkey_health_retries = 3  # after so many failed checks in a row it is unhealthy, and restarted

# --- Open WebUI -----------------------------------------------------------------------------------
# The newest release this project was tested with; never a tag that moves.
# renovate: datasource=docker depName=ghcr.io/open-webui/open-webui versioning=docker
open_webui_image = "ghcr.io/open-webui/open-webui:v0.12.4"
open_webui_replicas = 1  # processes that share the users; more than one need Postgres, and public_url to be spread over
open_webui_volume = "open-webui"  # Docker volume of database and uploads; made if missing, never removed
open_webui_bind = "127.0.0.1"  # the first to sign up is the admin: open it ("0.0.0.0") when you are ready
open_webui_port = 3000  # published port on the host
open_webui_public_url = None  # what people type where a proxy of yours is in front; sets CORS, cookies and links
open_webui_cors_origins = []  # further origins whose pages may use it; a wrong list breaks websockets
open_webui_secret_key = None  # signs the logins, best 32 characters or more; sources as for valkey_password
open_webui_key_prefix = "open-webui"  # of its keys in Valkey
open_webui_jwt_expires_in = "24h"  # how long a login lasts; upstream's default is 4w
open_webui_persistent_config = True  # True: what admins save in the UI wins over variables after first boot
open_webui_offline = False  # True on hosts without internet: no version check, no model downloads
open_webui_env = {}  # any further variable of Open WebUI, {"OPENAI_API_BASE_URL": "https://..."}
open_webui_secret_env = {}  # further variables with secrets, {"OPENAI_API_KEY": "env:OPENAI_API_KEY"}
open_webui_start_timeout_s = 300  # containers must be healthy within so many seconds
open_webui_health_interval_s = 15  # seconds between two health checks; while it starts: 2
open_webui_memory_limit_mb = 0  # of its container, in MB; 0: none; one that is too small ends it mid-answer
open_webui_pids_limit = 4096  # processes and threads of its container, twice THREAD_POOL_SIZE and 512 more; 0: none
open_webui_cap_add = []  # Linux capabilities it keeps; it needs none where its files are root's
open_webui_read_only = False  # True: it can't write outside its volume and /tmp; no pip installs by tools then

# --- Proxy (docs/operations.md, Proxy) --------------------------------------------------------------
# "https://chat.example.org" brings a proxy with HTTPS, Caddy; Open WebUI is not published itself then.
public_url = None
proxy_tls = "acme"  # certificates: "acme" from Let's Encrypt; "internal" from a CA of Caddy's own, for labs; or "files"
proxy_acme_email = None  # whom the CA may tell of trouble with a certificate
proxy_certificate = None  # for "files": the chain in PEM, on this machine
proxy_certificate_key = None  # for "files": its key in PEM; sources as for valkey_password
proxy_bind = "0.0.0.0"  # noqa: S104 address of the host it is published on, with the port of public_url
proxy_http_port = 80  # leads to public_url, and answers Let's Encrypt; 0: not published
# renovate: datasource=docker depName=docker.io/library/caddy versioning=docker
proxy_image = "docker.io/library/caddy:2.11.9-alpine"
proxy_volume = "open-webui-proxy"  # Docker volume of its certificates; made if missing, never removed

# --- Database (docs/operations.md, Replicas) ----------------------------------------------------------
# "sqlite" in the volume; "postgres": a service of the stack; "auto": that of the two the replicas need
database = "auto"
database_url = None  # of a Postgres with pgvector that you run; it has a password: sources as for valkey_password
database_switch = []  # hosts that may begin with another database than they have, ["chat-1"]: you have moved their data
database_pool_size = 15  # connections each Open WebUI process keeps open, in each of its two pools
database_pool_overflow = 20  # so many more in each of them under load
# renovate: datasource=docker depName=docker.io/pgvector/pgvector versioning=docker
postgres_image = "docker.io/pgvector/pgvector:0.8.7-pg17-trixie"
postgres_volume = "open-webui-postgres"  # Docker volume of its data; made if missing, never removed
postgres_password = None  # of the user open-webui; None: made on the host; sources as for valkey_password
postgres_max_connections = 500  # must be enough for the pools of all processes, and one more while they are replaced
postgres_memory_limit_mb = 0  # of its container, in MB; 0: none

# --- Swarm (docs/operations.md, Swarm): of each host, but for the last four -------------------------------
swarm_manager = False  # 1 or 3 hosts; the swarm is steered by more than half of them
swarm_runs = ["open-webui"]  # what it may run: "open-webui", "proxy", and on one manager "data": Valkey and Postgres
swarm_availability = "active"  # "drain": nothing runs there; its work goes to the others
swarm_address = None  # where the other hosts reach it, an IP address; None: Docker's guess
swarm_address_pool = None  # subnet that the swarm's networks are cut from; None: Docker's, 10.0.0.0/8
swarm_encrypted = True  # traffic between hosts by IPsec; False where the kernel has none (ESP)
swarm_mtu = None  # largest packet between the hosts, in bytes; None: the smallest MTU of their interfaces
open_webui_shared_dir = None  # the same folder on all hosts (NFS, CephFS, ...), for uploads; None: they are in S3

# --- Watchdog -------------------------------------------------------------------------------------
watchdog_pause_s = 120  # restart a container that stopped answering, once in so many seconds; 0: never restart

# --- Verify ---------------------------------------------------------------------------------------
# "ping": Valkey answers; "wiring": and an event in it arrives at a websocket; "user": and so does one that a user's
# request causes, from an account of the probe's own (made once, its password stays on the host).
verify_level = "wiring"
verify_event_kb = 1024  # size of the large event that has to arrive, in kilobytes
verify_timeout_s = 60  # the proof must succeed within so many seconds
verify_hold_s = 0  # hold a websocket open for so long; 60 finds proxies that end quiet ones; 0: not tried
verify_url = None  # where this machine reaches Open WebUI; None: through SSH when bound to loopback, else the host
verify_ca = None  # a private CA's root certificate, in PEM on this machine; trusted besides this machine's own

# --- Backup and restore (runbooks/backup.py, runbooks/restore.py) --------------------------------------
backup_dir = "/var/backups/open-webui"  # where sets are kept on the host (0700, root)
backup_min_free_mb = 1024  # in MB; no set is made that would leave less free in backup_dir, whose disk Valkey may share
backup_keep = 7  # the newest sets; older ones go once a new one is complete; 0: all
backup_schedule = ""  # when a timer makes one, "*-*-* 03:30" (systemd.time); "": only the runbook does
# "age1...": secrets go into the set, and a fetched set is encrypted whole; None: secrets stay out, it is in clear.
backup_age_recipient = None
backup_fetch = None  # a folder on this machine; each new set is fetched to FOLDER/HOST/, backup_keep of them stay
# Each new set, the timer's as well, is copied by restic to "sftp:backup@nas:/srv/restic", "s3:https://...", "/mnt/nas".
backup_restic_repository = None  # made if missing; None: sets stay on the host
backup_restic_password = None  # of the repository; keep it elsewhere, too; sources as for valkey_password
backup_restic_env = {}  # what its storage asks for, {"AWS_ACCESS_KEY_ID": "env:ID", "AWS_SECRET_ACCESS_KEY": "env:KEY"}
restore_set = "newest"  # or a set's name, "20261126T033000Z"
restore_over = []  # hosts whose live data a restore or rollback may replace by a set's, ["chat-1.example.org"]
# What decrypts a fetched set and the secrets of any, "file:~/backup.key"; None: the host's secrets are left alone.
restore_age_identity = None
restore_from = None  # a set, or a folder of sets, on this machine, "backups/chat-1"; None: backup_dir, or restic has it
restore_restic_host = None  # whose sets in the repository, by what `hostname` printed there; None: the host's own

# --- Upgrade and rollback (runbooks/upgrade.py, runbooks/rollback.py) ----------------------------------
upgrade_rehearse = True  # try an upgrade that changes data on a copy first; takes the memory of a second Open WebUI
rollback_to = "previous"  # or a deploy's name, "20261126T033000Z"

# --- Teardown (runbooks/teardown.py) -----------------------------------------------------------------
teardown_data = []  # hosts that lose their data, too: volumes and secrets, ["chat-1.example.org"]
teardown_backups = []  # hosts that lose their backup sets, too
teardown_docker = False  # True: Docker goes, too, where nobody's container or volume is left

# --- Rotation (runbooks/rotate.py) ------------------------------------------------------------------------
# Which secrets are renewed: "valkey_password", "probe_password", "postgres_password" where the stack has one, and
# "open_webui_secret_key", which signs people out.
rotate_secrets = ["valkey_password", "probe_password"]

# --- Rollout: of one run, so all targeted hosts have to have the same ---------------------------------
# Batches in inventory order; one starts only when those before it are proved (docs/operations.md, Fleets).
rollout_canary = 0  # the first batch: so many hosts, or ["chat-1.example.org"]; 0: no batch of its own
rollout_batch = None  # hosts in each batch after it: a number, or "25%" of all targeted hosts; None: all at once
rollout_max_failures = 0  # more failed hosts than this, and no further batch starts
rollout_pause_s = 0  # wait between batches, in seconds; only after one that changed something
