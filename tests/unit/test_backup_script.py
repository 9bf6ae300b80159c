"""What a backup says of itself: which keys a set may hold in clear."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.defaults import settings
from webui_stack import templates

KEYS = {"OPENAI_API_KEY": "env:X", "AUDIO_STT_OPENAI_API_KEY": "env:Y"}


def script(**changes: object) -> str:
    return templates.backup(settings(**changes))["/opt/open-webui/backup.sh"]


def test_the_run_and_the_manifest_name_keys_that_may_be_in_clear() -> None:
    text = script(open_webui_secret_env=KEYS)
    assert '"may_be_in_clear=AUDIO_STT_OPENAI_API_KEY,OPENAI_API_KEY" ' in text
    assert "saves them in its database: AUDIO_STT_OPENAI_API_KEY, OPENAI_API_KEY" in text
    checked = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_without_such_keys_nothing_is_said_of_any() -> None:
    assert '"may_be_in_clear=" ' in script()
    assert "saves them in its database" not in script()


@pytest.mark.parametrize("topology", ["compose", "swarm"])
def test_no_value_of_a_key_is_in_the_script(topology: str) -> None:
    swarm = {
        "topology": "swarm",
        "public_url": "https://chat.example.org",
        "open_webui_shared_dir": "/srv/shared",
        "swarm_manager": True,
        "swarm_runs": ["data", "proxy", "open-webui"],
    }
    text = script(open_webui_secret_env=KEYS, **(swarm if topology == "swarm" else {}))
    assert not any(source in text for source in KEYS.values())


RUNC = "OCI runtime exec failed: exec failed: unable to start container process: read init-p: connection reset by peer"


@pytest.mark.parametrize(
    ("answers", "status", "asked"),
    [
        ([RUNC, "Background saving scheduled"], 0, 2),
        (["ERR save already in progress", RUNC, "Background saving started"], 0, 3),
        (["NOPERM this user has no permissions"], 1, 1),
        ([""], 1, 1),
    ],
    ids=["docker did not start it once", "busy, then not started", "refused", "silent"],
)
def test_a_snapshot_is_asked_for_again_only_where_nobody_was_asked(
    tmp_path: Path, answers: list[str], status: int, asked: int
) -> None:
    text = script()
    functions = text[text.index("\nbegun() {") : text.index("\nover() {")]
    (tmp_path / "answers").write_text("\n".join(answers) + "\n")
    program = f"""{functions}
persistence() {{ echo 0; }}
fail() {{ echo "$1"; exit 1; }}
ask() {{
  [ "$1" = bgsave ] || return 0
  echo x >>asked
  sed -n "$(wc -l <asked)p" answers
}}
until begun; do :; done
"""
    done = subprocess.run(["sh", "-s"], input=program, cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (status, "")
    assert len((tmp_path / "asked").read_text().split()) == asked
