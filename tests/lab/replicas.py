"""The stack of two processes with Postgres behind the proxy, for every module that wants it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.door import Door, door_of, proxied
from tests.lab.session import SPARE, Lab, afterwards, wanted_later

PROCESSES = ["open-webui", "open-webui-2"]
CONTAINERS = {*PROCESSES, "open-webui-postgres", "open-webui-proxy", "redis-valkey"}


@dataclass(frozen=True)
class Stack:
    """The stack of SPARE; `settings` are what its first deploy was told."""

    lab: Lab
    host: Any
    door: Door
    settings: dict[str, Any]

    def deploy(self, *arguments: str, **changes: Any) -> dict[str, Any]:
        data = json.dumps({SPARE: {**self.settings, **changes}})
        return self.lab.report(*(arguments or ("-y",)), "deploy.py", limit=SPARE, TEST_HOST_DATA=data)

    def ask(self, process: str, path: str, token: str) -> tuple[int, str]:
        """Status and body of what one process answers, past the proxy."""
        said = self.host.run(
            f"docker exec {process} curl -s -w '\\n%%{{http_code}}' -H %s http://127.0.0.1:8080{path}",
            f"Authorization: Bearer {token}",
        ).stdout
        body, _, status = said.rpartition("\n")
        return int(status), body

    def kill(self, process: str) -> None:
        """As the kernel does when memory runs out: Docker starts it again."""
        self.host.check_output("kill -9 $(docker inspect --format '{{.State.Pid}}' %s)", process)

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Without the watchdog: it may restart what a test counts on."""
        self.host.check_output("systemctl stop open-webui-watchdog.service")
        try:
            yield
        finally:
            self.host.check_output("systemctl start open-webui-watchdog.service")

    def rest(self) -> None:
        """Stop it, for the sake of the hosts beside it; the next deploy has it running again."""
        self.host.check_output("systemctl stop open-webui-watchdog.service; docker ps -q | xargs -r docker stop")


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Stack]:
    """Deployed with its own settings for each module that wants it.

    It is stopped after a module unless the next one wants it: idle, it takes a quarter of a core, and a start takes 8 s
    of one for each process.
    """
    settings = {"open_webui_replicas": len(PROCESSES), "verify_level": "wiring", **proxied(lab, SPARE)}
    stack = Stack(lab, lab.host(SPARE), door_of(lab, SPARE), settings)
    stack.deploy()
    yield stack
    goes_on = any("stack" in getattr(item, "fixturenames", ()) for item in afterwards(request)[:1])
    if not goes_on and wanted_later(request, "lab"):
        stack.rest()
