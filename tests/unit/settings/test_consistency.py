"""Settings that are fine alone and wrong together are refused, of a host and of a swarm's hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.swarms import DATA_NODE, of, three
from tests.unit.settings.given import MANY, PEM, SWARM, problems
from webui_stack.host import throw_away
from webui_stack.settings import consistency
from webui_stack.settings.model import Settings

VOLUMES = ["valkey_volume", "open_webui_volume", "proxy_volume", "postgres_volume"]


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("second", range(4))
def test_no_two_services_share_a_volume(first: int, second: int) -> None:
    if first >= second:
        return
    assert problems(**{VOLUMES[first]: "same", VOLUMES[second]: "same"}) == [
        f"{VOLUMES[second]}: expected a volume of its own, got 'same', which {VOLUMES[first]} has as well; one service "
        "would write over the data of the other"
    ]


def test_the_default_of_one_volume_is_not_free_for_another() -> None:
    assert problems(proxy_volume="redis-data")[0].startswith("proxy_volume: expected a volume of its own, got ")
    assert settings(proxy_volume="redis-data", valkey_volume="chat-redis")  # swapped on purpose


@pytest.mark.parametrize("name", throw_away.VOLUMES)
def test_a_volume_that_a_drill_removes_is_nobodys(name: str) -> None:
    assert problems(valkey_volume=name) == [
        f"valkey_volume: expected a volume that lasts, got {name!r}, which runbooks/drill.py removes; rename it"
    ]


@pytest.mark.parametrize(
    ("stack", "backup"),
    [
        ("/srv/chat", "/srv/chat"),
        ("/srv/chat", "/srv/chat/backups"),
        ("/srv/chat/stack", "/srv/chat"),
    ],
)
def test_no_folder_is_inside_the_other(stack: str, backup: str) -> None:
    assert problems(stack_dir=stack, backup_dir=backup) == [
        f"backup_dir: expected a folder outside stack_dir ({stack}), got {backup}; name another, and move there what "
        "is in it"
    ]
    assert settings(stack_dir="/srv/chat", backup_dir="/srv/chat-backups")


def test_the_shared_folder_is_neither_in_nor_around_the_others() -> None:
    found = problems(stack_dir="/srv/chat", backup_dir="/srv/shared/backups", open_webui_shared_dir="/srv/shared")
    assert [line.partition(",")[0] for line in found] == [
        "open_webui_shared_dir: expected a folder outside backup_dir (/srv/shared/backups)"
    ]


@pytest.mark.parametrize(("limit", "most"), [(4096, 1792), (1024, 256), (64, 0)])
def test_more_threads_than_the_container_may_have_are_refused(limit: int, most: int) -> None:
    given = {"open_webui_pids_limit": limit}
    assert problems(open_webui_env={"THREAD_POOL_SIZE": str(most + 1)}, **given) == [
        f"open_webui_env/THREAD_POOL_SIZE: expected at most {most} for open_webui_pids_limit = {limit}, got "
        f"{most + 1}; it sizes two pools, which with 512 other threads may be {2 * most + 514}: "
        "lower it, or raise the limit"
    ]
    assert settings(open_webui_env={"THREAD_POOL_SIZE": str(most)}, **given) if most else True
    assert settings(open_webui_env={"THREAD_POOL_SIZE": "9000"}, open_webui_pids_limit=0)


NO_FILE_TO_SHARE = "got 'sqlite'; replicas that share a file of SQLite corrupt it"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param(
            {**MANY, "database": "sqlite"},
            f"database: expected 'postgres' or 'auto' for open_webui_replicas = 3, {NO_FILE_TO_SHARE}",
            id="several processes on SQLite",
        ),
        pytest.param(
            {**SWARM, "database": "sqlite"},
            f"database: expected 'postgres' or 'auto' for a swarm, {NO_FILE_TO_SHARE}",
            id="a swarm on SQLite, even with one process: while it moves there are two",
        ),
        pytest.param(
            {"database_url": "env:X", "database": "postgres"},
            "database: expected 'auto' beside database_url, got 'postgres'; remove one of the two",
            id="two databases",
        ),
        pytest.param(
            {"open_webui_replicas": 2},
            "public_url: expected the proxy's URL for open_webui_replicas = 2, got None; only the proxy spreads people "
            "over them",
            id="several processes and nobody before them",
        ),
        pytest.param(
            {"database": "postgres", "open_webui_secret_env": {"DATABASE_URL": "env:X"}},
            "open_webui_secret_env/DATABASE_URL: expected database_url instead, got the variable; remove it",
            id="the database's URL a second time, secret",
        ),
        pytest.param(
            {"database_url": "env:X", "open_webui_secret_env": {"PGVECTOR_DB_URL": "env:X"}},
            "open_webui_secret_env/PGVECTOR_DB_URL: expected database_url instead, got the variable; remove it",
            id="the vectors' URL",
        ),
        *[
            pytest.param(
                {"database": "postgres", "open_webui_env": {name: "5"}},
                f"open_webui_env/{name}: expected {setting} instead, got the variable; remove it",
                id=name,
            )
            for name, setting in {
                "DATABASE_POOL_SIZE": "database_pool_size",
                "DATABASE_POOL_MAX_OVERFLOW": "database_pool_overflow",
                "PGVECTOR_POOL_SIZE": "database_pool_size",
            }.items()
        ],
        pytest.param(
            {**MANY, "open_webui_env": {"ENABLE_DB_MIGRATIONS": "true"}},
            "open_webui_env/ENABLE_DB_MIGRATIONS: expected the first replica to migrate and no other, as it is "
            "without, got the variable; remove it",
            id="every process migrates",
        ),
        pytest.param(
            {"public_url": "https://chat.example.org", "open_webui_public_url": "https://chat.example.org"},
            "open_webui_public_url: expected None beside public_url, got a URL; that one is for a proxy of your own, "
            "remove one of them",
            id="two proxies",
        ),
        pytest.param(
            {"public_url": "https://chat.example.org", "proxy_tls": "files", "proxy_certificate_key": "env:X"},
            "proxy_certificate: expected it for proxy_tls = 'files', got None; name the file",
            id="a key without its certificate",
        ),
        pytest.param(
            {"public_url": "https://chat.example.org:80"},
            "proxy_http_port: expected another port than public_url's, got 80 for both; 0 does without it",
            id="one port for both, of the URL",
        ),
        pytest.param(
            {"public_url": "https://chat.example.org", "proxy_http_port": 443},
            "proxy_http_port: expected another port than public_url's, got 443 for both; 0 does without it",
            id="one port for both, of HTTPS",
        ),
        pytest.param(
            {
                "public_url": "https://chat.example.org",
                "proxy_tls": "internal",
                "proxy_acme_directory": "https://ca.example.org/directory",
            },
            "proxy_acme_directory: expected proxy_tls = 'acme' beside it, got 'internal'; nobody would be asked there: "
            "remove one of them",
            id="an ACME directory that nobody asks",
        ),
        pytest.param(
            {"open_webui_public_url": "https://chat.example.org", "trusted_proxies": ["192.0.2.0/24"]},
            "trusted_proxies: expected [] without public_url, got ['192.0.2.0/24']; it is for the stack's own proxy: "
            "Open WebUI itself reads FORWARDED_ALLOW_IPS in open_webui_env",
            id="trusted by a proxy that is not there",
        ),
        pytest.param(
            {
                "public_url": "https://chat.example.org",
                "trusted_proxies": ["192.0.2.0/24"],
                "proxy_image": "docker.io/library/caddy:2.7.6-alpine",
            },
            "proxy_image: expected Caddy 2.8.0 or newer for trusted_proxies, got docker.io/library/caddy:2.7.6-alpine; "
            "older ones do not start with it: name a newer one",
            id="trusted by a Caddy that does not know it",
        ),
        pytest.param(
            {"topology": "swarm"},
            "open_webui_shared_dir: expected a folder that all hosts share, or open_webui_env with STORAGE_PROVIDER = "
            "'s3' and its bucket, got neither; a file uploaded to one host would be missing on the others",
            id="uploads on one host of a swarm",
        ),
        pytest.param(
            {"topology": "swarm", "open_webui_env": {"STORAGE_PROVIDER": "local"}},
            "open_webui_shared_dir: expected a folder that all hosts share, or open_webui_env with STORAGE_PROVIDER = "
            "'s3' and its bucket, got neither; a file uploaded to one host would be missing on the others",
            id="uploads on one host of a swarm, said so",
        ),
    ],
)
def test_what_is_fine_alone_and_wrong_together_gets_this_one_line(changes: dict[str, Any], line: str) -> None:
    assert problems(**changes) == [line]


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_text(PEM)
    files = {"public_url": "https://chat.example.org", "proxy_tls": "files", "proxy_certificate": str(chain)}
    assert problems(**files) == [
        "proxy_certificate_key: expected it for proxy_tls = 'files', got None; name the file",
    ]
    assert settings(**files, proxy_certificate_key="env:X").proxy_tls == "files"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(MANY, id="several processes, their database and their proxy"),
        pytest.param({**MANY, "database_url": "env:X"}, id="several on a Postgres of the operator's"),
        pytest.param(SWARM, id="a swarm with a shared folder"),
        pytest.param({"topology": "swarm", "open_webui_env": {"STORAGE_PROVIDER": "s3"}}, id="a swarm with S3"),
        pytest.param({"open_webui_public_url": "https://chat.example.org", "proxy_http_port": 443}, id="no proxy"),
        pytest.param({"public_url": "https://chat.example.org:8443", "proxy_http_port": 443}, id="swapped ports"),
        pytest.param({"proxy_tls": "files"}, id="files of no proxy"),
        pytest.param(
            {"proxy_tls": "internal", "proxy_acme_directory": "https://ca.example.org/directory"},
            id="a directory of no proxy",
        ),
        pytest.param(
            {
                "public_url": "https://chat.example.org",
                "trusted_proxies": ["192.0.2.0/24"],
                "proxy_image": f"docker.io/library/caddy@sha256:{'0' * 64}",
            },
            id="trusted by a Caddy that names no release",
        ),
        pytest.param({"open_webui_env": {"DATABASE_POOL_SIZE": "5"}}, id="a pool of SQLite"),
        pytest.param({"open_webui_secret_env": {"DATABASE_URL": "env:X"}}, id="a database we know nothing of"),
    ],
)
def test_what_goes_together_is_taken(changes: dict[str, Any]) -> None:
    assert isinstance(settings(**changes), Settings)


@pytest.mark.parametrize(
    ("replicas", "pool", "overflow", "needed"),
    [
        pytest.param(1, 15, 20, 160, id="one process, and the one that takes its place"),
        pytest.param(5, 15, 20, 460, id="as many as the defaults carry"),
        pytest.param(5, 10, 0, 160, id="smaller pools"),
        pytest.param(64, 1, 0, 465, id="many processes with one connection each"),
    ],
)
def test_postgres_takes_the_pools_of_all_processes_or_is_refused(
    replicas: int, pool: int, overflow: int, needed: int
) -> None:
    """(replicas + 1) * (2 * (pool + overflow) + 5) + 10, by hand."""
    changes: dict[str, Any] = {
        **MANY,
        "database": "postgres",
        "open_webui_replicas": replicas,
        "database_pool_size": pool,
        "database_pool_overflow": overflow,
    }
    assert settings(**changes, postgres_max_connections=needed).postgres_connections == needed
    (line,) = problems(**changes, postgres_max_connections=needed - 1)
    assert line == (
        f"postgres_max_connections: expected {needed} or more for {replicas} replicas of up to "
        f"{2 * (pool + overflow) + 5} and one more while they are replaced, got {needed - 1}; raise it, or lower "
        "database_pool_size and database_pool_overflow"
    )
    elsewhere = {**changes, "database": "auto", "database_url": "env:X"}
    assert settings(**elsewhere, postgres_max_connections=needed - 1)  # its size is not ours to judge


# --- All hosts of a swarm ---------------------------------------------------------------------------


def test_one_host_with_the_data_that_steers_two_workers_is_a_swarm() -> None:
    assert consistency.swarm_problems(three(), ["a", "b", "c"]) == []
    assert consistency.swarm_problems({"a": of(**DATA_NODE)}, ["a"]) == []


def test_hosts_with_a_stack_each_are_no_business_of_a_swarm() -> None:
    assert consistency.swarm_problems({"a": settings(), "b": settings(rollout_canary=1)}, ["a", "b"]) == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"b": settings()}, "topology: expected 'swarm' for all hosts of the inventory, got 'compose' for b; "),
        (
            {"a": of(swarm_manager=True, swarm_runs=["proxy"])},
            "swarm_runs: expected exactly one host with 'data', got none; ",
        ),
        ({"b": of(swarm_runs=["data"])}, "swarm_runs: expected exactly one host with 'data', got a, b; "),
        (
            {"a": of(**{**DATA_NODE, "swarm_manager": False}), "b": of(swarm_manager=True)},
            "swarm_manager: expected True for a, which has the data, got",
        ),
        (
            {"a": of(**DATA_NODE, swarm_availability="drain"), "b": of(swarm_runs=["proxy"])},
            "swarm_availability: expected 'active' for a, which runs",
        ),
        ({"b": of(swarm_manager=True)}, "swarm_manager: expected 1 or 3 managers, got 2 (a, b); 2 fail when either"),
        (
            {"a": of(**{**DATA_NODE, "swarm_runs": ["data", "open-webui"]})},
            "swarm_runs: expected 'proxy' for at least one",
        ),
        ({"b": of(open_webui_offline=True)}, "open_webui_offline: expected the same for all hosts of a swarm, which"),
        ({"b": of(valkey_image="valkey/valkey:8.0.9")}, "valkey_image: expected the same for all hosts of a swarm"),
        (three(stack_adopt=True), "stack_adopt: expected False in a swarm, got True; "),
        (three(public_url=None), "public_url: expected the proxy's URL for a swarm, got None; "),
        (three(proxy_bind="127.0.0.1"), "proxy_bind: expected '0.0.0.0' in a swarm, got '127.0.0.1'; "),
        (
            three(proxy_bind=["192.0.2.7", "::"]),
            "proxy_bind: expected '0.0.0.0' in a swarm, got ['192.0.2.7', '::']; ",
        ),
        (three(rollout_canary=1), "rollout_canary: expected it to be left as it is in a swarm, got 1; "),
        (three(rollout_batch="50%"), "rollout_batch: expected it to be left as it is in a swarm, got '50%'; "),
        (three(rollout_pause_s=5), "rollout_pause_s: expected it to be left as it is in a swarm, got 5; "),
    ],
)
def test_hosts_that_are_no_swarm_together_are_told_in_one_line(changed: dict[str, Settings], line: str) -> None:
    (found,) = consistency.swarm_problems({**three(), **changed}, ["a", "b", "c"])
    assert found.startswith(line)


def test_a_swarm_is_published_on_all_addresses_of_each_kind() -> None:
    assert consistency.swarm_problems(three(proxy_bind=["0.0.0.0", "::"]), ["a", "b", "c"]) == []


def test_what_is_a_hosts_own_may_differ() -> None:
    own = of(backup_keep=1, preflight_min_disk_mb=1, verify_url="https://127.0.0.1", docker_source="present")
    assert consistency.swarm_problems({**three(), "b": own}, ["a", "b", "c"]) == []


def test_the_host_with_the_data_is_in_each_run() -> None:
    (found,) = consistency.swarm_problems(three(), ["b", "c"])
    assert found.startswith("a: expected it in each run, since the swarm is steered from there, got it left out")
    assert consistency.swarm_problems(three(), ["a", "b"]) == []


@pytest.mark.parametrize("runbook", ["rollback", "rotate", "teardown", "bundle"])
def test_a_runbook_that_would_do_harm_says_what_to_do_instead(runbook: str) -> None:
    (found,) = consistency.runbook_refusals(runbook)
    assert found.startswith(f"topology: expected 'compose' for runbooks/{runbook}.py, got 'swarm'; ")


@pytest.mark.parametrize("name", ["deploy", "verify", "status", "doctor", "lock", "restore", "drill"])
def test_others_are_not_in_the_way(name: str) -> None:
    assert consistency.runbook_refusals(name) == []


# --- Open WebUI's own metrics

OTEL: dict[str, Any] = {"endpoint": "http://collector.example.org:4317"}


def test_a_collector_is_one_that_each_host_of_a_swarm_reaches() -> None:
    itself = {"endpoint": "http://host.docker.internal:4317"}
    assert settings(otel=itself)
    (found,) = problems(**SWARM, otel=itself)
    assert found.startswith("otel: expected addresses that each host of a swarm reaches, got host.docker.internal; ")


def test_two_hosts_that_would_send_under_one_name_are_refused() -> None:
    named = {**OTEL, "host": "b"}
    alike = {"a": settings(otel=OTEL), "b": settings(otel=named), "c": settings(otel=OTEL), "d": settings()}
    assert consistency.telemetry_problems(alike) == [
        "otel/host: expected a name of its own for each host that sends to http://collector.example.org:4317, got '' "
        "for a, c; their numbers would be mixed up: set 'host' for each"
    ]
    apart = {name: settings(otel=OTEL, public_url=f"https://{name}.example.org") for name in "ab"}
    elsewhere = {"c": settings(otel={"endpoint": "http://other.example.org:4317"}), "d": settings(otel=OTEL)}
    assert consistency.telemetry_problems({**apart, **elsewhere}) == []


def test_the_hosts_of_a_swarm_have_one_name_together() -> None:
    assert consistency.telemetry_problems(three(otel=OTEL)) == []
    assert consistency.swarm_problems(three(otel=OTEL), ["a", "b", "c"]) == []


# --- Jobs on backups

RESTIC: dict[str, Any] = {"backup_restic_repository": "/srv/restic", "backup_restic_password": "env:A"}
SECOND: dict[str, Any] = {"backup_restic_second_repository": "/mnt/nas", "backup_restic_second_password": "env:B"}


def test_a_second_repository_is_another_one_with_a_password_beside_a_first_one() -> None:
    assert settings(**RESTIC, **SECOND)
    assert problems(**SECOND)[0].startswith("backup_restic_repository: expected the first repository beside ")
    same = {**SECOND, "backup_restic_second_repository": "/srv/restic"}
    assert problems(**RESTIC, **same) == [
        "backup_restic_second_repository: expected another repository than backup_restic_repository, got /srv/restic "
        "for both; name another place"
    ]
    without = {**SECOND, "backup_restic_second_password": None}
    assert problems(**RESTIC, **without)[0].startswith(
        "backup_restic_second_password: expected a secret source for backup_restic_second_repository, got None; supply"
    )


def test_a_check_by_schedule_has_a_repository() -> None:
    assert settings(**RESTIC, backup_check_schedule="Sun *-*-* 05:00")
    assert problems(backup_check_schedule="daily")[0].startswith("backup_check_schedule: expected '' without a restic")


def test_a_drill_by_schedule_has_a_database_of_its_own() -> None:
    assert settings(drill_schedule="Sat *-*-* 05:00")
    assert problems(drill_schedule="daily", database_url="env:URL")[0].startswith(
        "drill_schedule: expected '' beside database_url, got a schedule; "
    )
