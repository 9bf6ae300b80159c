"""A run asks each host for a survey, and its program loads nothing that takes long.

Loading modules was two thirds of a survey's time (benchmarks/profile.md).
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.defaults import settings
from tests.host.asking import NOTHING
from webui_stack.host import protocol
from webui_stack.render import host_program, survey_requests

# Each takes 2 to 40 ms of processor time with what it loads itself; `typing` 9 ms, `dataclasses` 15 ms.
SLOW = {
    *("asyncio", "calendar", "concurrent.futures", "ctypes", "dataclasses", "datetime", "email", "glob", "http.client"),
    *("importlib.metadata", "inspect", "ipaddress", "logging", "pathlib", "random", "secrets", "shutil", "ssl"),
    *("tempfile", "typing", "urllib.parse", "urllib.request", "uuid"),
}
_LOADED = re.compile(r"^import time: .*\| +(\S+)$", re.MULTILINE)
LOG = protocol.Request("deploy_log", protocol.FRAMED, {"line": "", "log": "/nonexistent"}).line()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    with tarfile.open(fileobj=io.BytesIO(host_program.archive())) as archive:
        archive.extractall(folder, filter="data")
    return folder


def loaded(program: Path, verb: str, request: str) -> set[str]:
    """The modules that the program loads for a request."""
    command = [sys.executable, "-I", "-S", "-X", "importtime", str(program), verb]
    done = subprocess.run(command, input=f"{request}\n", capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"python\n{protocol.FRAMED} ")
    return set(_LOADED.findall(done.stderr))


def test_a_survey_loads_nothing_that_takes_long(program: Path) -> None:
    """Of a host with a stack, but for what Docker says: it leads elsewhere only where something is wrong."""
    (request,) = survey_requests.survey_request(settings(stack_dir="/nonexistent/stack"), NOTHING)
    found = loaded(program, "survey", request)
    assert "host.machine" in found
    assert found & SLOW == set()


def test_a_line_for_the_log_of_deploys_loads_nothing_that_takes_long(program: Path) -> None:
    found = loaded(program, "deploy_log", LOG)
    assert "host.locks" in found
    assert found & SLOW == set()


def test_the_rule_sees_what_is_loaded_late(program: Path, tmp_path: Path) -> None:
    program = shutil.copytree(program, tmp_path / "program")
    with (program / "host" / "verbs" / "lease.py").open("a") as file:
        file.write("\n\ndef log(*_):\n    import pathlib\n")
    assert "pathlib" in loaded(program, "deploy_log", LOG)
