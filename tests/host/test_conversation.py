"""The script that asks Valkey, run by this machine's shell: its valkey-cli writes down how it was asked."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from webui_stack.host.looks import conversation

CLI = """#!/bin/sh
{ printf '%s' "$REDISCLI_AUTH"; printf ' <%s>' "$@"; echo; } >>asked
[ ! -e "$PWD/hangs" ] || exec sleep 30
echo '"PONG"'
"""
QUESTIONS = ["<PING>", "<INFO> <clients> <memory> <stats>", "<ACL> <LOG> <16>", "<PUBSUB> <NUMSUB> <socketio> <a#/#b>"]
ODD = json.dumps({"x": "it's $HOME `id` \\ \" * ;"})


def run(
    folder: Path, environment: Mapping[str, str], arguments: Sequence[str], cli: str = "valkey-cli"
) -> tuple[int, list[str]]:
    (folder / cli).write_text(CLI)
    (folder / cli).chmod(0o755)
    for name in ("timeout", "sleep"):
        (folder / name).symlink_to(shutil.which(name) or "")
    done = subprocess.run(
        ["/bin/sh", "-c", conversation._ASK, "sh", *arguments],
        env={"PATH": str(folder), **environment},
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=30,
    )
    return done.returncode, (folder / "asked").read_text().splitlines()


@pytest.mark.parametrize("cli", ["valkey-cli", "redis-cli"])
def test_each_question_is_asked_as_its_user_with_the_password_in_the_environment(tmp_path: Path, cli: str) -> None:
    passwords = {"MONITOR": "pass of $x", "PUBLISHER": 'another "one"'}
    status, asked = run(tmp_path, passwords, ["socketio a#/#b", "a#/#b", ODD, "socketio", "{}"], cli)
    assert status == 0
    assert asked == [
        *(f"pass of $x <--json> <--user> <monitor> {one}" for one in QUESTIONS),
        f'another "one" <--json> <--user> <open-webui> <PUBLISH> <a#/#b> <{ODD}>',
        'another "one" <--json> <--user> <open-webui> <PUBLISH> <socketio> <{}>',
    ]


def test_without_passwords_the_default_user_asks(tmp_path: Path) -> None:
    status, asked = run(tmp_path, {"MONITOR": "", "PUBLISHER": ""}, ["socketio a#/#b"])
    assert (status, asked) == (0, [f" <--json> {one}" for one in QUESTIONS])


def test_the_first_question_without_an_answer_is_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = f"timeout {conversation._ANSWER_S} "
    assert limit in conversation._ASK
    monkeypatch.setattr(conversation, "_ASK", conversation._ASK.replace(limit, "timeout 0.2 "))
    (tmp_path / "hangs").touch()
    status, asked = run(tmp_path, {"MONITOR": "x", "PUBLISHER": "y"}, ["socketio a#/#b", "socketio", "{}"])
    assert (status, len(asked)) == (conversation._TIMED_OUT, 1)


def test_answers_are_told_apart_by_their_form() -> None:
    lines = (
        '"PONG"\n# Clients\r\nmaxclients:10\r\nused_memory_human:1.0M\r\n\r\n[]\n["socketio",1,"a",0]\nerror:"X y"\n1'
    )
    read = conversation.read([*lines.split("\n"), "NOPERM no", "AUTH failed: WRONGPASS", '[{"count":1}]', "0", ""])
    assert (read.pong, read.listeners, read.denied) == (True, {"socketio": 1, "a": 0}, [{"count": 1}])
    assert read.info == {"maxclients": "10", "used_memory_human": "1.0M"}
    assert read.errors == ["X y", "NOPERM no", "AUTH failed: WRONGPASS"]
