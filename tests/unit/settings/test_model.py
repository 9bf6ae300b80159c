"""Every setting has a documented default, which can be set otherwise; and what follows from the settings."""

from __future__ import annotations

import io
import tokenize
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import ALL_PY, DEFAULTS, ROOT, settings
from tests.unit.settings.given import MANY, PEM, SWARM
from webui_stack.settings.model import Settings
from webui_stack.settings.validation import from_data


def test_defaults_are_a_complete_and_valid_set() -> None:
    assert isinstance(from_data(DEFAULTS), Settings)


def test_defaults_and_model_name_the_same_settings() -> None:
    assert list(DEFAULTS) == list(Settings.model_fields)


def test_every_default_carries_or_follows_a_comment() -> None:
    source = ALL_PY.read_text()
    commented = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith(("# ---", "# renovate:"))
    }
    lines = source.splitlines()
    bare = []
    for number, line in enumerate(lines, 1):
        if line.partition(" = ")[0] not in DEFAULTS:
            continue
        above = number - 1
        while lines[above - 1].startswith("# renovate:"):
            above -= 1
        if not commented & {number, above}:
            bare.append(line)
    assert bare == []


def test_every_image_pin_is_annotated_for_renovate_with_its_own_repository() -> None:
    lines = ALL_PY.read_text().splitlines()
    pins = [name for name in DEFAULTS if name.endswith("_image")]
    assert pins == ["valkey_image", "open_webui_image", "ollama_image", "proxy_image", "postgres_image"]
    for setting in pins:
        number = next(i for i, line in enumerate(lines) if line.startswith(f"{setting} = "))
        repository = DEFAULTS[setting].rpartition(":")[0]
        assert lines[number - 1] == f"# renovate: datasource=docker depName={repository} versioning=docker"


@pytest.mark.parametrize(
    ("limit", "pool"),
    [(4096, 1792), (8192, 2000), (0, 2000), (2048, 768), (592, 40), (64, 40)],
)
def test_both_pools_of_threads_fit_in_the_container(limit: int, pool: int) -> None:
    """Two pools and 512 other threads (open_webui/main.py, 0.12.4: anyio's limiter and asyncio's executor)."""
    assert settings(open_webui_pids_limit=limit).thread_pool_size == pool


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "sqlite"),
        ({"database": "sqlite"}, "sqlite"),
        ({"database": "postgres"}, "postgres"),
        (MANY, "postgres"),
        (SWARM, "postgres"),
        ({"database_url": "env:X"}, "external"),
        ({**MANY, "database_url": "env:X"}, "external"),
    ],
)
def test_the_database_follows_from_what_the_replicas_need(changes: dict[str, Any], kind: str) -> None:
    assert settings(**changes).database_kind == kind


@pytest.mark.parametrize(
    ("changes", "services"),
    [
        pytest.param({}, ["redis", "open-webui"], id="the tutorial's"),
        pytest.param(
            MANY, ["redis", "postgres", "open-webui", "open-webui-2", "open-webui-3", "proxy"], id="several processes"
        ),
        pytest.param({**MANY, **SWARM}, ["redis", "postgres", "open-webui", "proxy"], id="a swarm counts them itself"),
        pytest.param({"database_url": "env:X"}, ["redis", "open-webui"], id="a database elsewhere is no service"),
        pytest.param({"public_url": "https://a.example.org"}, ["redis", "open-webui", "proxy"], id="a proxy alone"),
    ],
)
def test_the_services_follow_in_the_order_they_start(changes: dict[str, Any], services: list[str]) -> None:
    assert list(settings(**changes).images) == services


@pytest.mark.parametrize(
    ("public_url", "name", "port", "external"),
    [
        (None, "", 443, ""),
        ("https://chat.example.org/", "chat.example.org", 443, "https://chat.example.org"),
        ("https://chat.example.org:8443", "chat.example.org", 8443, "https://chat.example.org:8443"),
    ],
)
def test_the_proxys_name_and_port_are_its_urls(public_url: str | None, name: str, port: int, external: str) -> None:
    found = settings(public_url=public_url)
    assert (found.proxy_name, found.proxy_port, found.external_url) == (name, port, external)


def test_the_operators_headers_are_over_the_default_whatever_their_case() -> None:
    shipped = DEFAULTS["proxy_headers"]
    assert settings().sent_headers == shipped
    own = {"referrer-policy": "no-referrer", "X-Content-Type-Options": None, "X-Frame-Options": "DENY"}
    kept = {name: shipped[name] for name in ("Content-Security-Policy", "Strict-Transport-Security")}
    assert settings(proxy_headers=own).sent_headers == {**kept, **own}


@pytest.mark.parametrize("bind", ["192.0.2.7", ["192.0.2.7"]])
def test_one_address_of_the_proxy_is_a_list_of_one(bind: str | list[str]) -> None:
    assert settings(proxy_bind=bind).proxy_addresses == ["192.0.2.7"]


def test_an_operators_wish_is_what_differs_from_the_defaults() -> None:
    assert settings().docker_daemon_explicit == set()
    changed = {**DEFAULTS["docker_daemon"], "log-opts": {"max-size": "50m"}, "mtu": 1400}
    pools = [{"base": "198.19.0.0/17", "size": 24}]
    found = settings(docker_daemon=changed, docker_address_pools=pools).docker_daemon_explicit
    assert found == {"log-opts", "mtu", "default-address-pools"}
    assert settings(**SWARM).docker_daemon_explicit == {"live-restore"}


def test_a_swarms_docker_goes_without_live_restore() -> None:
    assert settings().docker_daemon_json["live-restore"] is True
    assert settings(**SWARM).docker_daemon_json["live-restore"] is False  # one that has it on joins none


CHOICES = [
    ("preflight_min_memory_mb", 0),
    ("preflight_min_disk_mb", 0),
    ("preflight_max_clock_skew_s", 3600),
    ("docker_source", "distro"),
    ("docker_source", "present"),
    ("docker_repo_url", "http://packages.example.org:8080/docker/linux"),
    ("docker_repo_url", "https://packages.example.org/a@b/linux"),
    ("docker_repo_key_sha256", "0" * 64),
    ("docker_repo_rpm_key", str(ROOT / "templates/docker-ce.asc")),
    ("docker_daemon", {}),
    ("docker_daemon", {"log-driver": "journald", "dns": ["192.0.2.1"]}),
    ("docker_restart_stops_others", True),
    ("docker_address_pools", [{"base": "198.19.0.0/17", "size": 24}, {"base": "198.19.128.0/17", "size": 26}]),
    ("network_subnet", "198.18.5.0/24"),
    ("stack_dir", "/srv/stacks/open_webui-1.2"),
    ("stack_adopt", True),
    ("stack_adopt_drops", ["networks", "labels"]),
    ("lock_file", "~/locks/chat.lock.toml"),
    ("lock_file", ""),
    ("image_source", "bundle"),
    ("bundle_file", "/media/usb/chat.tar"),
    ("valkey_volume", "tutorial_redis-data"),
    ("valkey_memory_limit_mb", 512),
    ("valkey_pids_limit", 0),
    ("open_webui_volume", "chat.data_2"),
    ("open_webui_memory_limit_mb", 4096),
    ("open_webui_pids_limit", 64),
    ("open_webui_cap_add", ["DAC_OVERRIDE", "NET_BIND_SERVICE"]),
    ("open_webui_read_only", True),
    ("valkey_image", "registry.example.org:5000/valkey/valkey:9.0.8-alpine"),
    ("valkey_image", "valkey/valkey@sha256:" + "a" * 64),
    ("valkey_image", "docker.io/valkey/valkey:latest@sha256:" + "0" * 64),
    ("valkey_password", "env:VALKEY_PASSWORD"),
    ("valkey_password", "file:~/valkey password"),
    ("valkey_default_user", "all"),
    ("valkey_save", ""),
    ("valkey_save", "3600 1 300 100 60 10000"),
    ("valkey_appendonly", False),
    ("valkey_appendfsync", "always"),
    ("valkey_appendfsync", "no"),
    ("valkey_maxclients", 32),
    ("valkey_timeout_s", 0),
    ("valkey_timeout_s", 120),
    ("valkey_pubsub_buffer", "0 0 0"),
    ("valkey_pubsub_buffer", "32mb 8388608 60"),
    ("valkey_pubsub_buffer", "64mb 0 0"),
    ("open_webui_image", "localhost:5000/open-webui:v0.12.4-slim"),
    ("open_webui_bind", "::1"),
    ("open_webui_bind", "0.0.0.0"),
    ("open_webui_port", 65535),
    ("open_webui_public_url", "https://chat.example.org"),
    ("open_webui_public_url", "http://[2001:db8::1]:8080"),
    ("open_webui_cors_origins", ["https://a.example.org:8443", "http://b.example.org"]),
    ("open_webui_secret_key", "command:pass show open-webui | head -1"),
    ("open_webui_key_prefix", "team_2-chat"),
    ("open_webui_jwt_expires_in", "-1"),
    ("open_webui_jwt_expires_in", "1w2d12h"),
    ("open_webui_persistent_config", False),
    ("open_webui_offline", True),
    ("open_webui_env", {"ENABLE_SIGNUP": "False", "WEBUI_NAME": "", "OPENAI_API_BASE_URL": "https://api.example.org"}),
    ("open_webui_secret_env", {"OPENAI_API_KEY": "env:OPENAI_API_KEY", "DATABASE_URL": "file:/run/db-url"}),
    ("open_webui_start_timeout_s", 3600),
    ("open_webui_health_interval_s", 300),
    ("valkey_health_interval_s", 1),
    ("valkey_health_timeout_s", 60),
    ("valkey_health_retries", 100),
    ("registry_login", {"ghcr.io": {"user": "ci", "password": "env:TOKEN"}}),
    ("registry_login", {"registry.example.org:5000": {"user": "robot$chat+ci", "password": "command:pass show reg"}}),
    ("topology", "swarm"),
    ("open_webui_replicas", 5),
    ("openai_connections", [{"url": "https://llm.example.org/v1", "key": "env:KEY"}]),
    (
        "outbound_proxy",
        {"http": "http://proxy.example.org:3128", "https": None, "no_proxy": [".example.org", "192.0.2.0/24"]},
    ),
    (
        "oidc",
        {
            **{"preset": "microsoft", "client_id": "chat", "client_secret": "env:X", "url": None, "name": None},
            **{"tenant": "0f1e2d3c-0000-4000-8000-0123456789ab", "scopes": [], "groups_claim": "roles"},
            **{"admin_groups": ["Chat.Admin"], "groups": ["Chat.User"], "sync_groups": True},
            **{"domains": ["example.org"], "signup": False, "merge_accounts": True},
        },
    ),
    (
        "ldap",
        {
            **{"url": "ldaps://ldap.example.org", "search_base": "dc=example,dc=org", "bind_dn": "cn=chat"},
            **{"bind_password": "file:~/ldap", "user_attribute": "sAMAccountName", "mail_attribute": "mail"},
            **{"filter": "(&(a=b)(!(c=d)))", "name": "Example", "sync_groups": True, "groups_attribute": "memberOf"},
        },
    ),
    ("login_form", False),
    ("open_webui_saved", ["ENABLE_SIGNUP"]),
    ("ollama", "host"),
    ("ollama", "service"),
    ("ollama", "http://192.0.2.10:11434"),
    ("ollama_image", "registry.example.org:5000/ollama/ollama:0.40.2-rocm"),
    ("ollama_volume", "models"),
    ("ollama_gpu", True),
    ("ollama_models", ["llama3.2:1b", "nomic-embed-text", "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"]),
    ("public_url", "https://chat.example.org"),
    ("public_url", "https://chat.example.org:8443"),
    ("proxy_tls", "internal"),
    ("proxy_tls", "files"),
    ("proxy_acme_email", "ops+chat@example.org"),
    ("proxy_acme_directory", "https://ca.example.org:9000/acme/acme/directory"),
    ("proxy_certificate_key", "file:~/chat.key"),
    ("proxy_bind", "::"),
    ("proxy_bind", ["192.0.2.7", "127.0.0.1", "::"]),
    ("proxy_headers", {"X-Frame-Options": "DENY", "Referrer-Policy": None}),
    ("proxy_max_body_mb", 100),
    ("trusted_proxies", ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]),
    ("proxy_http_port", 0),
    ("proxy_http_port", 8080),
    ("proxy_image", "registry.example.org:5000/library/caddy:2.10.2"),
    ("proxy_volume", "caddy_data"),
    ("database", "sqlite"),
    ("database", "postgres"),
    ("database_url", "env:DATABASE_URL"),
    ("database_switch", ["chat-1.example.org"]),
    ("database_pool_size", 1),
    ("database_pool_overflow", 0),
    ("postgres_image", "registry.example.org:5000/pgvector/pgvector:0.8.1-pg17"),
    ("postgres_volume", "chat.postgres"),
    ("postgres_password", "command:pass show postgres"),
    ("postgres_max_connections", 10_000),
    ("postgres_memory_limit_mb", 2048),
    ("swarm_manager", True),
    ("swarm_runs", []),
    ("swarm_runs", ["data", "proxy", "open-webui"]),
    ("swarm_availability", "drain"),
    ("swarm_address", "192.0.2.7"),
    ("swarm_address_pool", "198.18.0.0/16"),
    ("swarm_encrypted", False),
    ("swarm_mtu", 1400),
    ("open_webui_shared_dir", "/mnt/chat"),
    ("watchdog_pause_s", 0),
    ("watchdog_pause_s", 30),
    ("monitor_interval_s", 0),
    ("monitor_interval_s", 5),
    ("alarms", [{"webhook": "env:WEBHOOK_URL"}, {"webhook": "https://hooks.example.org/a?b=c"}]),
    ("alarms", [{"ntfy": "https://ntfy.example.org/chat", "token": "file:~/ntfy"}]),
    ("alarms", [{"heartbeat": "http://user:word@[2001:db8::7]:8080/ping"}]),
    ("alarms", [{"email": ["a@example.org", "b@example.org"], "from": "c@example.org", "smtp": "mail.example.org"}]),
    (
        "alarms",
        [
            {
                **{"email": ["a@example.org"], "from": "c@example.org", "smtp": "[2001:db8::7]:465", "tls": "tls"},
                **{"user": "chat", "password": "command:pass show smtp"},
            }
        ],
    ),
    ("alarm_reminder_h", 0),
    ("alarm_reminder_h", 720),
    ("metrics_textfile_dir", "/var/lib/prometheus/node-exporter"),
    ("metrics_bind", "127.0.0.1:9469"),
    ("metrics_bind", "[::1]:9469"),
    ("otel", {"endpoint": "http://collector.example.org:4317", "protocol": "grpc", "traces": False, "host": None}),
    ("otel", {"endpoint": "https://[2001:db8::7]:4318/otlp", "protocol": "http", "traces": True, "host": "chat-1"}),
    ("verify_level", "ping"),
    ("verify_level", "user"),
    ("verify_model", "llama3.2:1b"),
    ("verify_model", "GPT 5 (ours)"),
    ("verify_event_kb", 16000),
    ("verify_timeout_s", 1),
    ("verify_hold_s", 60),
    ("verify_url", "http://127.0.0.1:20001"),
    ("backup_dir", "/srv/backups"),
    ("backup_min_free_mb", 0),
    ("backup_keep", 0),
    ("backup_keep_daily", 14),
    ("backup_keep_weekly", 8),
    ("backup_keep_monthly", 10_000),
    ("backup_schedule", "Mon..Fri *-*-* 03:30:00"),
    ("backup_check_schedule", "Sun *-*-* 05:00"),
    ("drill_schedule", "Sat *-*-* 05:00"),
    ("backup_age_recipient", "age1" + "q" * 58),
    ("backup_fetch", "~/backups"),
    ("backup_restic_repository", "s3:https://s3.example.org/bucket name"),
    ("backup_restic_repository", "sftp://backup@nas:2222//srv/restic"),
    ("backup_restic_password", "file:~/restic.key"),
    ("backup_restic_env", {"AWS_ACCESS_KEY_ID": "env:ID"}),
    ("backup_restic_append_only", True),
    ("backup_restic_second_repository", "/mnt/nas/restic"),
    ("backup_restic_second_password", "file:~/second.key"),
    ("backup_restic_second_env", {"AWS_ACCESS_KEY_ID": "env:ID"}),
    ("backup_restic_second_append_only", True),
    ("restore_set", "20261126T033000Z"),
    ("restore_over", ["chat-1.example.org"]),
    ("restore_age_identity", "file:~/backup.key"),
    ("restore_from", "backups/chat-1"),
    ("restore_restic_host", "chat-1.example.org"),
    ("upgrade_rehearse", False),
    ("rollback_to", "20261126T033000Z"),
    ("teardown_data", ["chat-1.example.org"]),
    ("teardown_backups", ["chat-1.example.org"]),
    ("teardown_docker", True),
    ("rotate_secrets", ["open_webui_secret_key"]),
    ("rollout_canary", 1),
    ("rollout_canary", ["chat-1.example.org", "chat-9.example.org"]),
    ("rollout_batch", 10),
    ("rollout_batch", "100%"),
    ("rollout_max_failures", 2),
    ("rollout_pause_s", 86400),
]

RESTIC = {"backup_restic_repository": "/srv/restic", "backup_restic_password": "env:X"}
# What a setting can't be without.
NEEDED: dict[str, dict[str, Any]] = {
    "oidc": {"public_url": "https://chat.example.org"},
    "login_form": {"ldap": {"url": "ldap://ldap.example.org", "search_base": "dc=example,dc=org"}},
    "backup_check_schedule": RESTIC,
    "backup_restic_repository": {"backup_restic_password": "env:X"},
    "backup_restic_second_repository": {**RESTIC, "backup_restic_second_password": "env:Y"},
    "ollama_gpu": {"ollama": "service"},
    "open_webui_saved": {"open_webui_env": {"ENABLE_SIGNUP": "True"}},
    "ollama_models": {"ollama": "service"},
    "open_webui_replicas": {"public_url": "https://chat.example.org"},
    "topology": {"open_webui_shared_dir": "/mnt/chat"},
    "trusted_proxies": {"public_url": "https://chat.example.org"},
}


@pytest.mark.parametrize(("name", "value"), CHOICES, ids=[f"{name}={value!r:.40}" for name, value in CHOICES])
def test_default_can_be_set_otherwise(name: str, value: Any) -> None:
    assert settings(**NEEDED.get(name, {}), **{name: value}).model_dump()[name] == value != DEFAULTS[name]


def test_every_setting_has_another_good_value() -> None:
    # Those need a file: the next tests.
    elsewhere = {"docker_registry_ca", "proxy_certificate", "stack_overlay", "trusted_ca", "verify_ca"}
    assert {name for name, _ in CHOICES} | elsewhere == set(Settings.model_fields)


def test_proxy_certificate_can_be_set(tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_text(PEM)
    assert settings(proxy_certificate=str(chain)).proxy_certificate == str(chain)


def test_verify_ca_can_be_set(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(PEM)
    assert settings(verify_ca=str(ca)).verify_ca == str(ca)


def test_trusted_cas_can_be_set(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(PEM)
    assert settings(trusted_ca=[str(ca)]).trusted_ca == [str(ca)]


def test_registry_ca_can_be_set(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(f"# the lab's CA\n{PEM}")
    wanted = {"registry.example.org:5000": str(ca)}
    assert settings(docker_registry_ca=wanted).docker_registry_ca == wanted


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings().open_webui_port = 1


@pytest.mark.parametrize(
    ("public_url", "origins", "expected"),
    [
        pytest.param(None, [], "*", id="nothing known, upstream's default"),
        pytest.param("https://chat.example.org", [], "https://chat.example.org", id="the public URL"),
        pytest.param("https://chat.example.org/", [], "https://chat.example.org", id="no browser sends the slash"),
        pytest.param(
            None,
            ["http://a.example.org", "http://b.example.org/"],
            "http://a.example.org;http://b.example.org",
            id="a list alone",
        ),
        pytest.param(
            "https://c.example.org",
            ["http://a.example.org", "https://c.example.org/"],
            "https://c.example.org;http://a.example.org",
            id="the public URL first, each once",
        ),
    ],
)
def test_cors_lists_each_public_origin_once(public_url: str | None, origins: list[str], expected: str) -> None:
    assert settings(open_webui_public_url=public_url, open_webui_cors_origins=origins).cors_allow_origin == expected


def test_the_digest_tells_what_a_host_was_told_and_not_how_the_run_went() -> None:
    run = {
        "rollout_batch": 5,
        "restore_over": ["a"],
        "rotate_secrets": [],
        "rollback_to": "previous",
        "teardown_data": ["a"],
        "database_switch": ["a"],
    }
    assert settings().digest == settings(**run).digest
    assert settings().digest != settings(open_webui_jwt_expires_in="1h").digest
    assert len(settings().digest) == 12
