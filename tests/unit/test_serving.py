"""Whether a stack works is the host's own word, and half an answer is none."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from webui_stack import serving, templates

WORKS = """container redis-valkey running healthy
container open-webui running healthy
health open-webui 200
websocket open-webui 101
ping PONG
subscribers 1
published 200
end
"""


def faults(text: str) -> list[str]:
    return serving.faults(text.splitlines())


def test_a_stack_that_works_has_no_faults() -> None:
    assert faults(WORKS) == []


@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        ("open-webui running healthy", "open-webui running unhealthy", "open-webui is running, health unhealthy"),
        ("open-webui running healthy", "open-webui missing none", "open-webui is missing, health none"),
        ("health open-webui 200", "health open-webui 000", "open-webui: expected 200 from /health, got no answer"),
        ("health open-webui 200", "health open-webui ", "open-webui: expected 200 from /health, got no answer"),
        ("websocket open-webui 101", "websocket open-webui 403", "open-webui: expected 101 for a websocket, got 403"),
        ("ping PONG", "ping ", "redis-valkey: expected PONG, got no answer"),
        ("subscribers 1", "subscribers 0", "redis-valkey: expected 1 that listen for events, got 0"),
        ("subscribers 1", "subscribers ", "redis-valkey: expected 1 that listen for events, got 0"),
        ("published 200", "published ", "published port: expected 200 from /health, got no answer"),
    ],
)
def test_each_thing_that_is_broken_on_the_host_is_a_fault(was: str, becomes: str, fault: str) -> None:
    assert faults(WORKS.replace(was, becomes)) == [fault]


@pytest.mark.parametrize("lines", range(WORKS.count("\n")))
def test_an_answer_that_was_cut_off_says_nothing(lines: int) -> None:
    with pytest.raises(serving.UnknownError):
        serving.faults(WORKS.splitlines()[:lines])


@pytest.mark.parametrize("changes", [{}, {"open_webui_replicas": 2, "public_url": "https://chat.example.org"}], ids=str)
def test_a_host_whose_docker_does_not_answer_says_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    script = templates.serving_script(settings(**changes))
    said = subprocess.run(
        ["sh", "-s"], input=script, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, text=True, capture_output=True
    )
    assert (said.returncode, said.stdout) == (1, "")
    assert ('\n  echo "published ' in script) == (not changes)
