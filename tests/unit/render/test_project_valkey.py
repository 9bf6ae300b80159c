"""Valkey in the project: the tutorial's contract, valkey.conf, and a start script run for real."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.unit.render.projects import NASTY, TUTORIAL, rendered, service
from webui_stack.render import project


def directives(**changes: Any) -> dict[str, str]:
    """valkey.conf's directives; each comes once."""
    text = project.files(settings(**changes))["valkey/valkey.conf"]
    lines = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    assert len({name for name, _, _ in lines}) == len(lines)
    return {name: value for name, _, value in lines}


@pytest.mark.parametrize(
    "key",
    ["container_name", "restart", "cap_drop", "cap_add", "logging", "networks"],
)
def test_valkey_keeps_what_the_tutorial_says(key: str) -> None:
    assert service("redis")[key] == TUTORIAL["services"]["redis"][key]


def test_valkeys_health_check_is_the_tutorials_ping_as_often_while_it_starts() -> None:
    ours, tutorial = service("redis")["healthcheck"], TUTORIAL["services"]["redis"]["healthcheck"]
    assert (ours["start_interval"], ours["timeout"]) == (tutorial["interval"], tutorial["timeout"])
    assert ours["test"].startswith("valkey-cli ping")


def test_valkeys_health_check_afterwards_is_as_the_settings_say() -> None:
    changes = {"valkey_health_interval_s": 20, "valkey_health_timeout_s": 4, "valkey_health_retries": 2}
    checks = [service("redis")["healthcheck"], service("redis", **changes)["healthcheck"]]
    times = [(check["interval"], check["timeout"], check["retries"]) for check in checks]
    assert times == [("10s", "3s", 3), ("20s", "4s", 2)]


@pytest.mark.parametrize(
    ("answer", "is_alive"),
    [
        ("PONG", True),
        ("MISCONF Errors writing to the AOF file: No space left on device", True),
        ("MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.", True),
        ("BUSY Valkey is busy running a script.", True),
        # Neither healthy nor, for as long as loading may take, unhealthy: nothing is started on it.
        ("LOADING Valkey is loading the dataset in memory", False),
        ("NOAUTH Authentication required.", False),
        ("Could not connect to Valkey at 127.0.0.1:6379: Connection refused", False),
        ("", False),
    ],
)
def test_a_valkey_that_cannot_save_is_alive_and_one_that_loads_is_not_yet(
    answer: str, is_alive: bool, tmp_path: Path
) -> None:
    cli = tmp_path / "valkey-cli"
    cli.write_text(f'#!/bin/sh\n[ "$*" = ping ] && echo "{answer}"\n')
    cli.chmod(0o755)
    check = service("redis")["healthcheck"]["test"].replace("$$", "$")
    ran = subprocess.run(["sh", "-c", check], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True)
    assert (ran.returncode == 0) == is_alive


def test_valkey_may_load_for_longer_than_a_deploy_waits() -> None:
    assert service("redis")["healthcheck"]["start_period"] == "1h"


def test_valkey_keeps_the_tutorials_volume_and_its_data() -> None:
    assert set(TUTORIAL["services"]["redis"]["volumes"]) <= set(service("redis")["volumes"])
    assert rendered()["volumes"]["redis-data"] == {"name": "redis-data", "external": True}
    assert rendered(valkey_volume="chat_redis-data")["volumes"]["redis-data"]["name"] == "chat_redis-data"
    assert directives()["dir"] == "/data"


def test_valkey_is_the_tutorials_image_in_a_later_patch() -> None:
    repository, _, tag = service("redis")["image"].rpartition(":")
    tutorial_repository, _, tutorial_tag = TUTORIAL["services"]["redis"]["image"].rpartition(":")
    assert repository == tutorial_repository
    assert re.sub(r"\d+-", "*-", tag) == re.sub(r"\d+-", "*-", tutorial_tag) == "8.0.*-alpine"


def test_valkey_saves_as_the_tutorial_says() -> None:
    """The tutorial's `valkey-server --save 30 1`, by way of the configuration file."""
    program, _, arguments = TUTORIAL["services"]["redis"]["command"].partition(" ")
    assert service("redis")["command"] == ["sh", "/etc/valkey/start.sh"]
    start = project.files(settings())["valkey/start.sh"]
    assert start.endswith(f"\nexec docker-entrypoint.sh {program} /etc/valkey/valkey.conf $late\n")
    assert "./valkey:/etc/valkey:ro" in service("redis")["volumes"]
    assert f"--save {directives()['save']}" == arguments


@pytest.mark.parametrize(
    ("name", "value", "directive", "expected"),
    [
        ("valkey_save", "60 5", "save", "60 5"),
        ("valkey_save", "", "save", '""'),
        ("valkey_appendonly", False, "appendonly", "no"),
        ("valkey_appendfsync", "always", "appendfsync", "always"),
        ("valkey_maxclients", 500, "maxclients", "500"),
        ("valkey_timeout_s", 0, "timeout", "0"),
        ("valkey_pubsub_buffer", "64mb 8mb 60", "client-output-buffer-limit", "pubsub 64mb 8mb 60"),
    ],
)
def test_a_valkey_setting_is_in_its_file_and_recreates_the_container(
    name: str, value: Any, directive: str, expected: str
) -> None:
    assert directives(**{name: value})[directive] == expected
    assert directives()[directive] != expected
    label = "open-webui-stack.valkey-files"
    assert service("redis", **{name: value})["labels"][label] != service("redis")["labels"][label]
    assert service("open-webui", **{name: value}) == service("open-webui")


def test_the_label_is_the_hash_of_the_very_files() -> None:
    files = project.files(settings())
    label = service("redis")["labels"]["open-webui-stack.valkey-files"]
    text = files["valkey/valkey.conf"] + files["valkey/start.sh"]
    assert label == hashlib.sha256(text.encode()).hexdigest()


def test_a_setting_of_open_webui_leaves_valkey_alone() -> None:
    changes: dict[str, Any] = {"open_webui_port": 8080, "open_webui_offline": True, "open_webui_env": NASTY}
    assert service("redis", **changes) == service("redis")
    assert service("open-webui", **changes) != service("open-webui")


def test_valkey_never_evicts_and_its_users_protect_it() -> None:
    conf = directives()
    assert conf["maxmemory-policy"] == "noeviction"
    assert (conf["protected-mode"], conf["aclfile"]) == ("no", "/run/users.acl")


def test_valkey_may_open_a_file_for_each_client() -> None:
    assert service("redis", valkey_maxclients=20000)["ulimits"]["nofile"] > 20000


def test_the_default_user_is_closed_once_valkey_has_loaded_also_where_its_disk_is_full(tmp_path: Path) -> None:
    """Otherwise nobody could ask it anything, until somebody restarts it."""
    (tmp_path / "users.acl").write_text("user default on nopass resetkeys resetchannels -@all +ping\nuser monitor on\n")
    (tmp_path / "answers").write_text(
        "NOAUTH\nLOADING Valkey is loading\nMISCONF Errors writing to the AOF file\nBUSY\nOK\n"
    )
    for name, text in {
        "valkey-cli": 'echo "$*" >>asked; head -n 1 answers; sed -i 1d answers',
        "docker-entrypoint.sh": "true",
        "sleep": "true",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = project.files(settings())["valkey/start.sh"].replace("/etc/valkey/", "./").replace("/run/", "./run-")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", f"{script.replace('exec ', '')}\nwait"], cwd=tmp_path, env=environment, check=True)
    rules = "acl setuser default reset on nopass resetkeys resetchannels -@all +ping"
    assert (tmp_path / "asked").read_text().splitlines() == ["ping", "ping", "ping", rules, rules]


def test_the_start_script_is_good_shell() -> None:
    start = project.files(settings())["valkey/start.sh"]
    checked = subprocess.run(["sh", "-n"], input=start, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
