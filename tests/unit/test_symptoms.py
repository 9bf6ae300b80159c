"""What doctor's script prints: never a secret, whatever is in the variables; and always exit code 0."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import FIXTURES, settings
from webui_stack import diagnosis, symptoms, templates

KEY = "k" * 48
# Docker, as far as the script asks it: one container open-webui with these variables.
DOCKER = """#!/bin/sh
case "$*" in
*Config.Env*) cat "$(dirname "$0")/variables" ;;
*) exit 1 ;;
esac
"""


def report(folder: Path, *variables: str, engine: bool = True, **changes: Any) -> symptoms.Observed:
    """What the script, run by a real shell, prints of a container with these variables."""
    (folder / "variables").write_text("".join(json.dumps(variable) + "\n" for variable in variables))
    docker = folder / "docker"
    docker.write_text(DOCKER.replace("case", 'case "$1" in version) exit 0 ;; esac\ncase', 1) if engine else DOCKER)
    docker.chmod(0o755)
    script = templates.doctor_script(settings(stack_dir=str(folder / "stack"), **changes))
    result = subprocess.run(
        ["sh", "-s", "doctor"],
        input=script,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert result.stderr == ""
    (folder / "output").write_text(result.stdout)
    return symptoms.parse(result.stdout.splitlines())


def test_of_variables_only_the_names_are_told(tmp_path: Path) -> None:
    found = report(
        tmp_path,
        f"WEBUI_SECRET_KEY={KEY}",
        "OPENAI_API_KEY=sk-marker",
        "OPENAI_API_KEYS=\nWEBUI_URL=marker",  # a value of two lines
        "EMPTY=",
        "DATABASE_URL=postgresql://user:marker@db/x",
        "WEBUI_URL=https://user:marker@chat.example.org/",
        "CORS_ALLOW_ORIGIN=https://a.example.org;https://b.example.org",
    )
    output = (tmp_path / "output").read_text()
    assert "marker" not in output
    assert KEY not in output
    assert found.variables == {
        "WEBUI_SECRET_KEY",
        "OPENAI_API_KEY",
        "OPENAI_API_KEYS",
        "DATABASE_URL",
        "WEBUI_URL",
        "CORS_ALLOW_ORIGIN",
    }
    assert found.values == {
        "WEBUI_URL": "https://chat.example.org/",
        "CORS_ALLOW_ORIGIN": "https://a.example.org;https://b.example.org",
    }
    assert found.key_fingerprint == hashlib.sha256(KEY.encode()).hexdigest()[:12]
    assert not found.key_is_short
    assert found.unread == ()


def test_a_short_key_is_told_as_short(tmp_path: Path) -> None:
    assert report(tmp_path, "WEBUI_SECRET_KEY=t0p-s3cr3t").key_is_short
    assert report(tmp_path, "WEBUI_SECRET_KEY=").key_fingerprint == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://redis:6379/1", "redis://redis:6379/1"),
        ("rediss://user:marker@redis.example.org:6380", "rediss://redis.example.org:6380"),
        ("redis://:mar@ker@[2001:db8::1]:6379/1?x=1", "redis://[2001:db8::1]:6379/1"),
        ("redis://:marker/@redis/1", "redis://redis/1"),
        ("redis://user:marker?x@redis:6379/1", "?"),
        ("redis://user:1marker#x@redis:6379/1", "?"),
        ("redis://redis:6379/1?password=marker@x", "?"),
        ("redis://redis:6379/1?password=marker", "redis://redis:6379/1"),
        ('redis://user:mar"ker@redis:6379/1', "?"),
        ("marker", "?"),
    ],
)
def test_of_an_address_the_password_is_left_out(tmp_path: Path, url: str, shown: str) -> None:
    assert report(tmp_path, f"WEBSOCKET_REDIS_URL={url}").addresses == {"WEBSOCKET_REDIS_URL": shown}
    output = (tmp_path / "output").read_text()
    assert "mar" not in output
    assert "ker@" not in output


def test_without_an_engine_the_script_ends_well(tmp_path: Path) -> None:
    found = report(tmp_path, "WEBUI_SECRET_KEY=x", engine=False)
    assert found.host["engine"] == ""
    assert found.variables == frozenset()
    assert found.host_number("memory_kb") > 0


def test_the_newest_set_and_the_room_for_the_next_are_told(tmp_path: Path) -> None:
    sets = tmp_path / "sets"
    for name in ("20261127T033000Z", "20261128T033000Z", ".20261129T033000Z.new", "lost+found"):
        (sets / name).mkdir(parents=True)
    found = report(tmp_path, backup_dir=str(sets))
    assert found.backup["newest"] == "20261128T033000Z", "one that is being made is none yet"
    assert found.backup_number("disk_kb") > found.backup_number("disk_free_kb") > 0
    assert found.backup["mount"].startswith("/")
    assert found.unread == ()


def test_a_folder_of_sets_that_is_not_there_has_no_newest(tmp_path: Path) -> None:
    found = report(tmp_path, backup_dir=str(tmp_path / "sets"))
    assert "newest" not in found.backup
    assert found.backup_number("now_s") > 0


def test_what_the_schedule_names_is_read() -> None:
    found = symptoms.parse(["due 2026-11-30 03:30:00", "due 2026-12-01 03:30:00", "backup timer active"])
    assert [str(at) for at in found.due] == ["2026-11-30 03:30:00+00:00", "2026-12-01 03:30:00+00:00"]
    assert found.unread == ()


def test_the_captures_are_read_to_the_last_line() -> None:
    for name in ("tutorial-26.1.5.txt", "deployed-26.1.5.txt"):
        found = symptoms.parse((FIXTURES / "doctor" / name).read_text().splitlines())
        assert found.unread == ()
        assert found.errors == ()
        assert found.info["valkey_version"] == "8.1.1"


@pytest.mark.parametrize(
    "answer",
    [
        '[{"count":1,"reason":"key","context":"toplevel","object":"a:b","username":"bob"}]',  # RESP3
        '[["count",1,"reason","key","context","toplevel","object","a:b","username","bob"]]',  # RESP2
    ],
)
def test_the_acl_log_is_read_in_both_protocols(answer: str) -> None:
    assert symptoms.parse([f"answer {answer}"]).denied == (symptoms.Denied("bob", "key", "a:b"),)


@pytest.mark.parametrize("answer", ['[["count"]]', "{", '["socketio"]', '["socketio","x"]', "[3]", '{"a":1}]'])
def test_an_answer_of_another_form_is_an_error_and_no_crash(answer: str) -> None:
    found = symptoms.parse([f"answer {answer}"])
    assert found.errors == (answer,)
    assert diagnosis.checks(found, settings())


def test_what_it_cannot_read_is_kept() -> None:
    lines = ("container {", "never seen", "api <html>", "api 3", "value 3")
    assert symptoms.parse(lines).unread == lines
