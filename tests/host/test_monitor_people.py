"""The monitor tells the receivers that are in their file now, whatever becomes of it while the monitor runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.host import http_receiver
from tests.host.alarmed import broken, well
from tests.host.fake_clock import FakeClock
from tests.host.fake_files import FakeKernel
from tests.host.http_receiver import HttpReceiver
from webui_stack.host.alarms import record
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.finding import Finding
from webui_stack.host.looks.request import Request
from webui_stack.host.verbs.monitor import People

PATH = "/opt/open-webui/secrets/alarms.json"


class Host:
    """A host whose monitor has just begun, with the path of the receivers' file."""

    def __init__(self, path: str = PATH) -> None:
        self.files, self.clock, self.said = Files(FakeKernel()), FakeClock(), list[str]()
        self.files.make_folder(PATH.rpartition("/")[0])
        asked = Request("/opt/open-webui", "/var/backups", [], [], "redis-valkey", alarms=path)
        self.people = People(asked, self.files, self.clock, self.said.append)

    def put(self, *alarms: dict[str, Any], mode: int = 0o600) -> None:
        self.files.write(PATH, json.dumps({"format": 1, "alarms": alarms}), mode=mode)

    def round(self, *findings: Finding) -> str:
        """One round of looks is told; why the receivers could not be read, "" where they could."""
        self.clock.sleep(60)
        try:
            self.people.tell(findings)
        except HostError as error:
            return str(error)
        return ""


@pytest.fixture
def hook() -> Iterator[HttpReceiver]:
    with http_receiver.serving(HttpReceiver()) as service:
        yield service


def kinds(service: HttpReceiver) -> list[str]:
    return [json.loads(one.body)["kind"] for one in service.got]


def test_a_receiver_that_is_set_while_the_monitor_runs_is_told_from_the_next_look_on(hook: HttpReceiver) -> None:
    host = Host()
    host.put()
    assert host.round(well()) == ""
    host.put({"webhook": hook.url})
    assert [host.round(broken()), host.round(broken())] == ["", ""]
    assert kinds(hook) == ["problem"]
    with http_receiver.serving(HttpReceiver()) as other:
        host.put({"webhook": other.url})
        assert host.round(well()) == ""
        assert (kinds(hook), kinds(other)) == (["problem"], ["well"])


def test_while_the_file_can_not_be_used_those_of_before_are_told(hook: HttpReceiver) -> None:
    host = Host()
    host.put({"webhook": hook.url})
    assert host.round(well()) == ""
    host.put({"webhook": hook.url}, mode=0o644)
    said = {host.round(broken()) for _ in range(3)}
    assert said == {f"{PATH}: expected a file that only root can read, got mode 0644 and the user 0; deploy again"}
    assert kinds(hook) == ["problem"]
    host.put({"webhook": hook.url})
    assert host.round(well()) == ""
    assert kinds(hook) == ["problem", "well"]


def test_without_the_file_nobody_is_told_and_each_round_says_so(hook: HttpReceiver) -> None:
    host = Host()
    host.put({"webhook": hook.url})
    assert host.round(well()) == ""
    host.files.remove(PATH)
    said = {host.round(broken()) for _ in range(3)}
    assert said == {f"{PATH}: expected the receivers of alarms, got no file; deploy again"}
    assert hook.got == []


def test_where_no_receivers_are_set_alarms_are_kept_and_a_file_that_was_left_is_not_read(hook: HttpReceiver) -> None:
    host = Host(path="")
    host.put({"webhook": hook.url})
    assert [host.round(broken()) for _ in range(3)] == [""] * 3
    assert hook.got == []
    assert record.read(host.files).state["valkey_pong"].told == "broken"
