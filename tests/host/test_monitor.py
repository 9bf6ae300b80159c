"""The monitor goes on whatever fails, tells what a verb explains, and shows its numbers."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.host.fake_engine import REFUSED
from tests.host.fake_monitored import FOLDER, Monitored
from tests.host.fake_websockets import Websockets
from tests.host.faults import Fault, Faults
from tests.host.test_metrics import parsed
from webui_stack.host.alarms.message import Message
from webui_stack.host.alarms.receivers import Receivers
from webui_stack.host.at_work import Watcher
from webui_stack.host.errors import HostError
from webui_stack.host.finding import Finding, Sample
from webui_stack.host.holder import Holder
from webui_stack.host.journal import Journal, Step
from webui_stack.host.locks import Locks
from webui_stack.host.looks import LOOKS, Look
from webui_stack.host.looks.request import Request, Served, Thresholds
from webui_stack.host.looks.sight import Sight
from webui_stack.host.verbs import monitor
from webui_stack.host.verbs.monitor import Changes, Monitor, Round

ME = Holder("upgrade", 42, "4026531836", 1000, "boot")
TABLE = {verb: [Step("save", "go back")] for verb in ("upgrade", "up", "rotate")}


class Processes:
    """`dead` says that the verb's process has ended, `rebooted` that the host has."""

    dead = rebooted = False

    def state(self, _: Holder) -> Any:
        return "dead" if self.dead else "alive"

    def rebooted_since(self, _: Holder) -> bool:
        return self.rebooted


class Told:
    """Keeps what was told; `error` is raised once it has."""

    def __init__(self) -> None:
        self.rounds: list[Sequence[Finding]] = []
        self.error = ""

    def tell(self, findings: Sequence[Finding]) -> None:
        self.rounds.append(findings)
        if self.error:
            raise RuntimeError(self.error)


class Watched(Monitored):
    """A host with a monitor that runs."""

    def __init__(self, root: Path, websockets: Websockets | None = None, **changes: Any) -> None:
        super().__init__(root, websockets, **changes)
        self.processes, self.told, self.said = Processes(), Told(), list[str]()
        self.locks = Locks(self.kernel, self.clock, self.said.append)
        self.journal = Journal(self.files, FOLDER, TABLE, self.clock)
        self.monitor = self.anew()

    def anew(self, looks: Sequence[Look] = LOOKS) -> Monitor:
        watcher = Watcher(self.journal, self.locks, self.processes, self.files, self.clock)
        self.monitor = Monitor(self.request, self.host(), watcher, [self.told], self.said.append, looks)
        return self.monitor

    def once(self) -> dict[str, Finding]:
        self.clock.passed_s += 60
        self.kernel.now_s = self.clock.now()
        return {one.name: one for one in self.monitor.once().findings}


@pytest.fixture(scope="module")
def websockets() -> Iterator[Websockets]:
    served = Websockets()
    yield served
    served.end()


@pytest.fixture
def world(tmp_path: Path, websockets: Websockets) -> Watched:
    return Watched(tmp_path, websockets)


def broken(findings: dict[str, Finding]) -> dict[str, str]:
    """What is not well or unknown, with what explains it."""
    return {name: one.silenced_by for name, one in findings.items() if one.ok is not True}


def test_all_that_is_well_is_told_each_round(world: Watched) -> None:
    assert broken(world.once()) == {}
    assert broken(world.once()) == {}
    assert [len(one) for one in world.told.rounds] == [len(world.told.rounds[0])] * 2
    names = [one.name for one in world.told.rounds[0]]
    assert len(set(names)) == len(names)
    assert {f"look_{one.name}" for one in LOOKS} < set(names)


# --- What fails


@pytest.mark.parametrize("look", [one.name for one in LOOKS])
@pytest.mark.parametrize(
    "error", [HostError("x", expected="a", got="b", do="c"), ValueError("secret"), OSError(5, "x")]
)
def test_a_look_that_fails_is_unknown_and_the_others_go_on(world: Watched, look: str, error: Exception) -> None:
    def fails(_: Sight) -> Iterator[Finding | Sample]:
        yield Finding("before", True, "as it was")
        raise error

    looks = [replace(one, at=fails) if one.name == look else one for one in LOOKS]
    whole = set(world.once())
    world.anew(looks)
    findings = world.once()
    assert broken(findings) == {f"look_{look}": ""}
    assert findings["before"].ok
    assert "secret" not in findings[f"look_{look}"].seen
    assert len(whole - set(findings)) < len(whole) / 2
    assert len(world.told.rounds) == 2


@pytest.mark.parametrize("index", range(2))
def test_wherever_docker_refuses_a_round_is_told(world: Watched, index: int) -> None:
    world.once()
    world.engine.faults = Faults(Fault(index, REFUSED))
    findings = world.once()
    assert set(broken(findings)) >= {"look_valkey"}
    assert findings["docker"].ok, "a refusal is an answer"
    assert all(one.ok is None for name, one in findings.items() if name in broken(findings))


def test_a_docker_that_gives_no_answer_is_one_finding(world: Watched) -> None:
    world.once()
    world.docker.down = True
    findings = world.once()
    unknown = {f"look_{one.name}" for one in LOOKS if one.needs_docker}
    assert broken(findings) == {"docker": "", **dict.fromkeys(unknown, "docker")}
    assert findings["docker"].seen.startswith("Docker gives no answer: nobody at /var/run/docker.sock")
    assert "disk_docker" in findings, "what it needs of Docker is known from before"
    assert not [name for name in findings if name.startswith(("container_", "valkey_"))]
    world.docker.down = False
    assert broken(world.once()) == {}


def test_a_teller_that_fails_ends_nothing_and_is_told_once(world: Watched) -> None:
    world.told.error = "https://hooks.example.org/secret"
    world.once()
    world.once()
    assert len(world.told.rounds) == 2
    assert len(world.said) == 1
    assert world.said[0].startswith("not everybody could be told: a fault of this program: RuntimeError in _tell (")
    assert "secret" not in world.said[0]


def test_receivers_that_cannot_be_read_stop_no_look_and_are_a_finding_until_they_can(world: Watched) -> None:
    path = f"{FOLDER}/secrets/alarms.json"
    world.request = replace(world.request, alarms=path)
    world.anew()
    world.monitor._tellers = [world.told, monitor.People(world.request, world.files, world.clock, world.said.append)]
    assert broken(world.once()) == {}, "nobody was to be told yet"
    findings = world.once()
    assert (broken(findings), len(world.told.rounds)) == ({"alarms": ""}, 2)
    assert findings["alarms"].seen.startswith(f"{path}: expected the receivers of alarms, got no file")
    assert len(world.said) == 1
    world.files.make_folder(f"{FOLDER}/secrets")
    world.files.write(path, '{"format": 1, "alarms": []}')
    world.once()
    assert broken(world.once()) == {}


def test_what_breaks_for_two_rounds_reaches_a_receiver(world: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    class Receiver:
        name = "webhook-1"

        def send(self, message: Message) -> None:
            sent.append(message.kind)

    monkeypatch.setattr("webui_stack.host.alarms.receivers.read", lambda *_: Receivers([Receiver()]))
    world.request = replace(world.request, alarms="/secret")
    world.anew()
    world.monitor._tellers = [monitor.People(world.request, world.files, world.clock, world.said.append)]
    for status in ("running", "exited", "exited", "exited", "running", "running"):
        world.docker.named("open-webui").status = status
        world.once()
    assert sent == ["problem", "well"]
    world.docker.down = True
    for _ in range(5):
        world.once()
    world.docker.down = False
    world.once()
    assert sent == ["problem", "well", "problem", "well"], "a Docker that gives no answer is one message"


def test_a_crash_of_a_round_closes_its_websockets(world: Watched) -> None:
    def killed(_: Sight) -> Iterator[Finding | Sample]:
        raise KeyboardInterrupt
        yield

    sessions: list[Any] = []

    def holds(at: Sight) -> Iterator[Finding | Sample]:
        held = at.conversation
        assert held
        sessions.extend(ear.session for ear in held.ears)
        return
        yield

    world.anew([Look("holds", holds), Look("killed", killed)])
    with pytest.raises(KeyboardInterrupt):
        world.monitor.once()
    assert [one._connection.fileno() for one in sessions] == [-1]


# --- Verbs at work


def stop(world: Watched) -> None:
    world.docker.named("open-webui").status = "exited"
    world.states["open-webui-backup.service"] = "failed"


def test_a_verb_explains_what_it_stops_and_nothing_else(world: Watched) -> None:
    with world.locks.work("deploy", ["open-webui"]):
        world.journal.begin("upgrade", ME, step="save")
        stop(world)
        findings = world.once()
        assert broken(findings) == {
            "container_open_webui": "upgrade",
            "unit_open_webui_backup_service": "",
        }
        assert (findings["verb"].ok, findings["verb"].seen) == (True, "upgrade has been at work for 0 minutes")
    world.journal.end()
    assert broken(world.once())["container_open_webui"] == ""


def test_a_verb_explains_it_up_to_its_limit(world: Watched) -> None:
    with world.locks.work("rotate"):
        stop(world)
        world.once()
        world.clock.passed_s += 3500
        assert broken(world.once())["container_open_webui"] == "rotate"
        world.clock.passed_s += 60
        findings = world.once()
        assert broken(findings)["container_open_webui"] == ""
        assert (findings["verb"].ok, findings["verb"].seen) == (False, "rotate has been at work for 61 minutes")


def test_the_next_verb_has_a_limit_of_its_own(world: Watched) -> None:
    stop(world)
    with world.locks.work("rotate"):
        world.once()
        world.clock.passed_s += 3600
    with world.locks.work("deploy"):
        assert broken(world.once())["container_open_webui"] == "deploy"


@pytest.mark.parametrize(
    "take",
    [
        lambda locks: locks.data("backup", live=True),
        lambda locks: locks.data("drill", live=False),
        lambda locks: locks.work("releases"),
        lambda locks: locks.container("open-webui", "watchdog"),
    ],
)
def test_what_only_reads_explains_nothing(world: Watched, take: Callable[[Locks], Any]) -> None:
    stop(world)
    with take(world.locks):
        assert broken(world.once())["container_open_webui"] == ""


def test_a_verb_that_was_cut_off_is_a_fault_and_explains_nothing(world: Watched) -> None:
    world.journal.begin("upgrade", ME, step="save")
    stop(world)
    for dead, rebooted in ((True, False), (False, True)):
        world.processes.dead, world.processes.rebooted = dead, rebooted
        findings = world.once()
        assert broken(findings)["container_open_webui"] == ""
        assert findings["verb"].seen.startswith("cut off: upgrade, at the step 'save', begun")
        assert findings["verb"].ok is False


def test_a_recovery_explains_what_it_repairs(world: Watched) -> None:
    world.journal.begin("upgrade", ME, step="save")
    world.processes.dead = True
    stop(world)
    with world.locks.work("recover"):
        assert broken(world.once())["container_open_webui"] == "recover"


def test_a_journal_that_nobody_can_read_is_a_fault(world: Watched) -> None:
    world.files.make_folder(FOLDER)
    world.files.write(world.journal.path, "{")
    findings = world.once()
    assert broken(findings) == {"verb": ""}
    assert "remove" in findings["verb"].next_step


def test_a_verb_that_begins_during_the_round_explains_it(world: Watched) -> None:
    def begins(_: Sight) -> Iterator[Finding | Sample]:
        world.locks.work("deploy")
        yield Finding("container_x", False, "it is down", "wait")

    world.anew([Look("containers", begins, stops=True)])
    assert broken(world.once()) == {"container_x": "deploy"}


def test_docker_that_a_verb_restarts_is_explained(world: Watched) -> None:
    with world.locks.work("docker"):
        world.docker.down = True
        assert set(broken(world.once()).values()) == {"docker"}


def test_no_lock_is_held_during_a_round_or_after_it(world: Watched) -> None:
    def takes(_: Sight) -> Iterator[Finding | Sample]:
        world.locks.work("deploy", limit_s=0).release()
        yield Finding("taken", True, "it could be taken")

    world.anew([Look("takes", takes)])
    assert world.once()["taken"].ok
    world.locks.work("deploy", limit_s=0).release()


def test_what_the_watchdog_restarted_is_repaired_and_what_a_verb_did_is_not(world: Watched) -> None:
    assert {one.repaired for one in world.once().values()} == {""}
    world.restart("open-webui")
    assert world.once()["container_open_webui"].repaired == "restarted"
    world.kernel.now_s = world.clock.now()
    world.locks.work("rotate").release()
    world.restart("open-webui")
    assert {one.repaired for one in world.once().values()} == {""}, "a verb was at work between two rounds"
    world.once()
    world.restart("open-webui")
    assert world.once()["container_open_webui"].repaired == "restarted"


def test_what_a_verb_did_after_the_last_round_that_saw_it_is_not_repaired(world: Watched) -> None:
    world.once()
    with world.locks.work("rotate"):
        for _ in range(5):
            world.once()
        world.restart("open-webui")
    assert {one.repaired for one in world.once().values()} == {""}


def test_what_valkey_denied_while_a_verb_was_at_work_is_no_fault_after_it(world: Watched) -> None:
    def denied(age_s: float) -> list[dict[str, Any]]:
        return [{"reason": "auth", "object": "AUTH", "username": "open-webui", "age-seconds": age_s}]

    world.once()
    with world.locks.work("rotate"):
        world.once()
    world.valkey.denied = denied(30)
    assert broken(world.once()) == {}
    world.valkey.denied = denied(90)
    assert broken(world.once()) == {}
    world.valkey.denied = denied(10)
    assert broken(world.once()) == {"valkey_denials": ""}


@pytest.mark.crash
def test_whatever_docker_refuses_a_round_is_told_and_the_next_one_is_well(
    tmp_path: Path, websockets: Websockets
) -> None:
    def whole(folder: Path) -> Watched:
        world = Watched(folder, websockets)
        world.put("open-webui-postgres", "postgres")
        world.request = replace(world.request, postgres="open-webui-postgres")
        world.anew()
        return world

    first = whole(tmp_path / "first")
    first.once()
    faults = [one for one in first.engine.faults.points() if not one.kind.startswith("crash")]
    assert len(faults) > 10
    for number, fault in enumerate(faults):
        world = whole(tmp_path / str(number))
        world.engine.faults = Faults(fault)
        findings = world.once()
        # Where Docker has its data is known from its file as well.
        assert broken(findings) or first.engine.faults.calls[fault.index].name == "docker: info", fault
        assert not [name for name, one in findings.items() if one.ok is False and name != "docker"], fault
        world.engine.faults = Faults()
        world.clock.passed_s += 600
        assert broken(world.once()) == {}, fault


# --- Numbers


def test_numbers_are_in_the_file_and_served_and_a_scrape_asks_nobody(world: Watched) -> None:
    world.files.make_folder("/var/textfile", mode=0o755)
    world.request = replace(world.request, metrics_textfile_dir="/var/textfile", metrics_bind="127.0.0.1:0")
    world.anew()
    findings = world.once()
    assert broken(findings) == {}
    text = world.files.read_text("/var/textfile/open-webui-stack.prom") or ""
    series, types, helps = parsed(text)
    assert {name for name, _ in series} == set(types) == set(helps), "each has a help text"
    assert all(name.startswith("open_webui_stack_") for name in types)
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in types.items())
    assert series["open_webui_stack_check_ok", (("check", "valkey_pong"),)] == 1
    assert series["open_webui_stack_look_timestamp_seconds", ()] == world.clock.now()
    world.engine.faults = Faults()
    asked = len(world.system.asked)
    server = world.monitor._server
    assert server
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
        assert answer.read().decode() == text
    assert (world.engine.faults.calls, len(world.system.asked)) == ([], asked)
    server.close()


def test_what_is_unknown_has_no_number_of_its_own(world: Watched) -> None:
    def fails(_: Sight) -> Iterator[Finding | Sample]:
        raise HostError("x", expected="a", got="b", do="c")
        yield

    world.anew([Look("disk", fails)])
    made = world.monitor.once()
    assert isinstance(made, Round)
    values = {(one.name, one.labels.get("check")): one.value for one in made.samples}
    assert values["open_webui_stack_check_unknown", "look_disk"] == 1
    assert ("open_webui_stack_check_ok", "look_disk") not in values


def test_places_for_numbers_that_fail_are_faults_and_are_tried_again(world: Watched) -> None:
    world.request = replace(world.request, metrics_textfile_dir="/var/textfile", metrics_bind="192.0.2.1:9469")
    world.anew()
    assert broken(world.once()) == {"metrics_textfile": "", "metrics_http": ""}
    world.files.make_folder("/var/textfile", mode=0o755)
    assert broken(world.once()) == {"metrics_http": ""}


# --- The loop


class EnoughError(Exception):
    """The test has seen enough."""


def test_a_round_begins_each_minute_whatever_the_last_one_took(world: Watched) -> None:
    took_s = iter([1.0, 130.0, 5.0, 0.0])
    began: list[float] = []

    def slow(_: Sight) -> Iterator[Finding | Sample]:
        began.append(world.clock.passed_s)
        world.clock.passed_s += next(took_s)
        if len(began) == 4:
            raise KeyboardInterrupt
        yield Finding("slow", True, "it took long")

    world.anew([Look("slow", slow)])
    with pytest.raises(KeyboardInterrupt):
        world.monitor.stay()
    assert [round(after - before) for before, after in pairwise(began)] == [60, 130, 60]


def test_changes_are_lines_of_the_journal() -> None:
    said: list[str] = []
    changes = Changes(said.append)
    for ok, silenced, repaired in (
        (True, "", ""),
        (False, "", ""),
        (False, "", ""),
        (None, "up", ""),
        (True, "", "again"),
    ):
        changes.tell([Finding("x", ok, "seen", silenced_by=silenced, repaired=repaired)])
    assert said == [
        "x is not well: seen",
        "x is unknown (explained by up): seen",
        "x is well again: seen",
        "x was again: seen",
    ]


def test_the_verb_reads_a_request_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Request] = []

    def stay(self: Monitor) -> None:
        seen.append(self._asked)

    monkeypatch.setattr(monitor, "require_root", lambda: None)
    monkeypatch.setattr(Monitor, "stay", stay)
    asked = Request(
        *("/opt/x", "/var/x", ["open-webui"], ["open-webui"], "redis-valkey"),
        served=Served("127.0.0.1", 443, "chat.example.org", renews=True),
        thresholds=Thresholds(certificate_days=3),
    )
    monitor.run(json.loads(json.dumps(asdict(asked))), lambda _: None)
    assert [asdict(one) for one in seen] == [json.loads(json.dumps(asdict(asked)))]
