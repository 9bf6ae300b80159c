"""What a failed lab test leaves behind: all hosts' state, and no longer wait than the limit for one that hangs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.lab import evidence

# In place of ssh: `hangs` never answers, the others print what they were asked to run.
SSH = """#!/bin/sh
case "$*" in
*" hangs "*) echo half of it; exec sleep 60 ;;
esac
echo "$@"
cat
"""


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab of two hosts, one of which hangs."""
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"hosts": [{"name": "well"}, {"name": "hangs"}]}))
    nothing = tmp_path / "nothing"
    monkeypatch.setattr(evidence, "inventory_file", lambda lab: nothing if lab.endswith("-swarm") else inventory)
    monkeypatch.setattr(evidence, "FOLDER", tmp_path / "reports")
    monkeypatch.setattr(evidence, "LIMIT_S", 1)
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_each_host_has_its_file_and_one_that_hangs_holds_up_nothing(hosts: None, tmp_path: Path) -> None:
    start = time.monotonic()
    well, hangs = evidence.keep("lab_test_x.py_test_y")
    assert time.monotonic() - start < 20
    assert well == tmp_path / "reports" / "lab_test_x.py_test_y" / "well.txt"
    assert "journalctl" in well.read_text()
    assert hangs.read_text() == "half of it\n\nhangs: not all of it within 1 s\n"


def test_no_containers_environment_is_asked_for() -> None:
    """It has the secrets of the stack."""
    for question in ("inspect", "/environ", ".env", "secrets"):
        assert question not in evidence.LOOK.replace("docker inspect --format '{{json .State}}'", "")


def test_without_a_lab_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "inventory_file", lambda _: tmp_path / "nothing")
    assert evidence.keep("x") == []
