"""Docker gets another daemon.json, or runs with the earlier one again, wherever that is cut off and whatever fails."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_files import Crash, FakeFiles, FakeKernel, crash_at
from tests.host.fake_system import Asked, FakeSystem
from webui_stack.host.dockerd import DAEMON_JSON, MARK
from webui_stack.host.engine import Engine, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.protocol import Event
from webui_stack.host.verbs.docker import Configuration, Request

OLD = '{ "live-restore": true, "old": 1 }'
NEW = '{"live-restore": true, "new": 1}\n'
# Docker does not start with it, but `dockerd --validate` finds nothing wrong.
BAD = '{"live-restore": true, "bad": 1}\n'
BRIDGE = '{"old": 1, "live-restore": true}\n'
RESTART = Request(text=NEW, bridge=BRIDGE, action="restart", survives=True, awaits_live_restore=True)
RELOAD = replace(RESTART, action="reload", survives=False, bridge=None)
# Without live-restore, a plan names whom the restart stops.
STOPS = Request(text='{"new": 1}\n', bridge=None, action="restart", survives=False, awaits_live_restore=False)
UNIT = "ExecStart={ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// ; ignore_errors=no }"
JOURNAL = "started\nfailed to start daemon: bad thing at http://user:sesame@proxy\n"


class World(FakeSystem):
    """A host with systemd, a Docker, and a container of somebody's whose restart policy is `always`.

    Every call to systemd, Docker and the files is a point of the kernel's, where it can fail or be the last one.
    """

    def __init__(self, folder: Path, text: str | None = OLD, *, runs: bool = True, systemd: bool = True) -> None:
        super().__init__(
            folder,
            dockerd=self._dockerd,
            systemctl=self._systemctl,
            service=lambda _: "",
            journalctl=lambda _: JOURNAL,
        )
        self.kernel = FakeKernel()
        self.files, self.clock = FakeFiles(self.kernel), FakeClock()
        if text is not None:
            self.files.make_folder("/etc/docker", mode=0o755)
            self.files.write(DAEMON_JSON, text, mode=0o600)
        self.put("/proc/7/cmdline", "/usr/sbin/dockerd\0-H\0fd://\0")
        if systemd:
            self.path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
        self.runs = self.limited = self.live = False
        self.started: dict[str, int] = {}
        self.moments = itertools.count(1)
        self.read: list[str | None] = []  # each file that Docker has tried to start with
        self.orders: list[str] = []
        self.said: list[str] = []
        if runs:
            self.start()
        self.orders.clear()

    # --- Docker's service

    @property
    def daemon_json(self) -> str | None:
        """daemon.json, through a link as Docker reads it; None where there is none."""
        return self.files.read_text(self.files.resolved(DAEMON_JSON))

    @property
    def left(self) -> list[str]:
        return self.files.listdir("/etc/docker") or []

    def _wished(self) -> dict[str, Any]:
        with self.quiet():
            return dict(json.loads((self.daemon_json or "").strip() or "{}"))

    def start(self) -> bool:
        """Docker reads its file and starts. Without live-restore in it, Docker starts all containers anew."""
        wished = self._wished()
        with self.quiet():
            self.read.append(self.daemon_json)
        if self.limited or "bad" in wished:
            self.limited = True
            return False
        self.runs, self.live = True, wished.get("live-restore", False)
        if not self.live or "somebodys" not in self.started:
            self.started = {"somebodys": next(self.moments)}
        return True

    def stop(self) -> None:
        if self.runs and not self.live:
            self.started = {}
        self.runs = False

    def boot(self) -> None:
        """After a power cut: no container runs until Docker starts them."""
        self.runs = self.limited = False
        self.started = {}
        self.start()

    def hang_up(self, pid: int) -> None:
        assert pid == 7
        with suppress(OSError):  # root can signal every process (kill(2))
            self.point("hang up")
        wished = self._wished()
        if "bad" not in wished:
            self.live = wished.get("live-restore", False)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """What the world does by itself is no point."""
        before, self.kernel.on_point = self.kernel.on_point, lambda _: None
        try:
            yield
        finally:
            self.kernel.on_point = before

    def point(self, name: str) -> None:
        """Raises `OSError` where the call fails."""
        self.kernel.point(f"before {name}")

    def _dockerd(self, arguments: Sequence[str]) -> str:
        return "--validate" if arguments == ["--help"] else ""

    def _systemctl(self, arguments: Sequence[str]) -> str:
        assert arguments[0] == "show"
        return f"Id=docker.service\nMainPID={7 if self.runs else 0}\n{UNIT}\n"

    def _run(self, command: Sequence[str], *rest: Any) -> tuple[int, str, str]:
        try:
            self.point(command[0])
        except OSError as error:
            return 1, "", str(error)
        if command[0] == "dockerd" and "--validate" in command:
            self.asked.append(Asked(tuple(command)))
            with self.quiet():
                refused = "invalid" in (self.files.read_text(command[-1]) or "")
            return (1, "", "no good: http://user:sesame@proxy") if refused else (0, "", "")
        return super()._run(command, *rest)

    def _order(self, command: Sequence[str], limit_s: float) -> tuple[int, str]:
        del limit_s
        order = command[1] if command[0] == "systemctl" else command[2]
        try:
            self.point(order)
        except OSError as error:
            return 1, str(error)
        done = True
        self.orders.append(order)
        if order == "reset-failed":
            self.limited = False
        if order in ("stop", "restart"):
            self.stop()
        if order in ("start", "restart"):
            done = self.start()
        self.kernel.point(f"after {order}")
        return (0, "") if done else (1, "Job for docker.service failed")

    # --- Docker's engine

    def _asked(self) -> None:
        try:
            self.point("the engine")
        except OSError as error:
            raise Unavailable("GET /", str(error)) from None
        if not self.runs:
            raise Unavailable("GET /", "nobody at the socket")

    def ping(self) -> str:
        self._asked()
        return "1.44"

    def info(self) -> Any:
        self._asked()
        return Info(self.live)

    def running(self) -> Any:
        self._asked()
        return [Container(name, "") for name in self.started]

    def container(self, name: str) -> Any:
        self._asked()
        return Container(name, str(self.started[name]))

    # --- The verb

    def change(self, asked: Request) -> None:
        engine = cast(Engine, self)

        def say(event: Event) -> None:
            self.said.append(event.text)

        Configuration(self, engine, self.files, self.clock, say).change(asked)

    def run_again(self, asked: Request) -> None:
        """What the next run does: nothing where the file is as wanted; else, and after a cut, with a restart."""
        with self.quiet():
            marked = self.files.exists(MARK)
            as_wanted = self.daemon_json == asked.text
        if marked or not as_wanted:
            self.change(replace(asked, action="restart") if marked else asked)


@dataclass(frozen=True)
class Info:
    live_restore: bool


@dataclass(frozen=True)
class Container:
    name: str
    started_at: str


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def mode(world: World) -> int | None:
    found = world.files.stat(DAEMON_JSON)
    return found.mode if found else None


@contextmanager
def put_back(world: World) -> Iterator[None]:
    """The file is the same afterwards, with its mode, and Docker runs; nothing else is left."""
    before = (world.daemon_json, mode(world))
    yield
    assert (world.daemon_json, mode(world)) == before
    assert world.runs
    assert world.left == ([] if before == (None, None) else ["daemon.json"])


def test_a_good_file_is_in_force_with_the_mode_it_had(world: World) -> None:
    started = dict(world.started)
    world.change(RESTART)
    assert (world.daemon_json, world.runs, world.started) == (NEW, True, started)
    assert mode(world) == 0o600
    assert world.left == ["daemon.json"]
    assert world.orders == ["restart"]
    checked = ("dockerd", "-H", "fd://", "--validate", "--config-file", f"{DAEMON_JSON}.new")
    assert checked in [one.command for one in world.asked]


def test_a_new_file_is_readable_and_one_behind_a_link_stays_there(tmp_path: Path) -> None:
    world = World(tmp_path, None)
    world.change(replace(STOPS, text=NEW))
    assert mode(world) == 0o644
    world.files.rename(DAEMON_JSON, "/opt/elsewhere")
    world.kernel.add(DAEMON_JSON, 0o120777, "../../opt/elsewhere")
    world.change(replace(RELOAD, text=OLD))
    link = world.files.stat(DAEMON_JSON)
    assert link
    assert link.kind == "link"
    assert world.files.read_text("/opt/elsewhere") == OLD
    assert world.left == ["daemon.json"]


@pytest.mark.parametrize("present", [OLD, "", None], ids=["a file", "an empty one", "none"])
def test_a_file_that_docker_does_not_start_with_is_put_back(tmp_path: Path, present: str | None) -> None:
    world = World(tmp_path, present)
    with put_back(world), pytest.raises(HostError) as caught:
        world.change(replace(STOPS, text='{"bad": 1}'))
    reason = "failed to start daemon: bad thing at http://***@proxy"
    assert caught.value.got == f"exit status 1: Job for docker.service failed ({reason})"
    assert caught.value.do.startswith(f"{DAEMON_JSON} is as it was before, and Docker runs")
    stopped = "docker: these containers were stopped by that, and run again where their restart policy says so: "
    assert (world.said[-1] == f"{stopped}somebodys") == (present != OLD)


def test_on_the_way_back_docker_starts_with_live_restore_so_that_containers_run_on(tmp_path: Path) -> None:
    world = World(tmp_path, "{}")
    world.live = True  # by a reload of a file that was there before
    started = dict(world.started)
    with put_back(world), pytest.raises(HostError):
        world.change(replace(RESTART, text=BAD))
    assert world.read[-2:] == [BAD, BRIDGE]
    assert world.orders == ["restart", "stop", "reset-failed", "start"]
    assert world.started == started
    assert not any("were stopped" in line for line in world.said)


def test_without_live_restore_in_force_nothing_is_restarted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "hang_up", lambda _: None)
    world.live = False
    with put_back(world), pytest.raises(HostError):
        world.change(RESTART)
    assert world.orders == []


def test_what_dockerd_refuses_never_gets_into_place(world: World) -> None:
    with put_back(world), pytest.raises(HostError) as caught:
        world.change(replace(RESTART, text='{"invalid": 1}'))
    assert caught.value.got == "no good: http://***@proxy"
    assert world.orders == []


def test_a_docker_that_does_not_run_is_not_started(tmp_path: Path) -> None:
    world = World(tmp_path, runs=False)
    world.change(replace(STOPS, text=BAD))
    assert (world.daemon_json, world.runs, world.orders) == (BAD, False, [])
    assert world.left == ["daemon.json"]


def test_without_systemd_the_service_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, systemd=False)
    world.put("/var/run/docker.pid", "7\n")
    world.change(STOPS)
    assert (world.daemon_json, world.orders) == (STOPS.text, ["restart"])


def test_the_reason_is_in_the_log_where_there_is_no_journal(tmp_path: Path) -> None:
    world = World(tmp_path, systemd=False)
    world.put("/var/run/docker.pid", "7\n")
    world.put("/var/log/docker.log", JOURNAL)
    world.limited = False
    with pytest.raises(HostError, match=r"bad thing at http://\*\*\*@proxy"):
        world.change(replace(STOPS, text='{"bad": 1}'))


@pytest.mark.parametrize("word", ["had", "none"])
def test_a_change_that_was_cut_off_leaves_what_the_next_one_needs_to_go_back(tmp_path: Path, word: str) -> None:
    """Cut off after the new file got into place, Docker dead since: the file before that comes back."""
    world = World(tmp_path, BAD, runs=False)
    world.limited = True
    world.files.write(MARK, f"{word}\n")
    if word == "had":
        world.files.write(f"{DAEMON_JSON}.before", OLD)
    with pytest.raises(HostError):
        world.change(replace(STOPS, text=BAD))
    assert world.runs
    assert world.left == (["daemon.json"] if word == "had" else [])
    assert world.daemon_json == (OLD if word == "had" else None)


# --- Cut off, and failing, everywhere

SCENARIOS = {
    "a good file by a restart": RESTART,
    "a good file by a reload": RELOAD,
    "a restart that stops containers": STOPS,
    "a bad file": replace(RESTART, text=BAD),
    "a bad file, without a bridge": replace(STOPS, text=BAD),
}
Going = Callable[[str], None]


def _fail(at: int) -> Going:
    points = itertools.count()

    def going(name: str) -> None:
        if name.startswith("before ") and name != "before close" and next(points) == at:
            raise OSError(28, "No space left on device")

    return going


def ends_well(world: World, asked: Request) -> None:
    """The next runs bring the new file, or the earlier one back where Docker does not start with the new one."""
    is_good = "bad" not in asked.text
    for _ in range(2):
        try:
            world.run_again(asked)
        except HostError:
            assert not is_good
    assert world.daemon_json == (asked.text if is_good else OLD)
    assert world.runs
    assert set(world.started) == {"somebodys"}
    assert world.left == ["daemon.json"]
    assert world.kernel._open == {}


@pytest.mark.crash
@pytest.mark.parametrize("power", [None, False, True], ids=["killed", "power cut", "power cut with late names"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_change_that_is_cut_off_anywhere_ends_well(tmp_path: Path, name: str, power: bool | None) -> None:
    asked = SCENARIOS[name]
    for at in itertools.count():
        world = World(tmp_path)
        started = dict(world.started)
        world.kernel.root.sync()
        world.kernel.on_point = crash_at(at)
        was_cut = False
        try:
            world.change(asked)
        except Crash:
            was_cut = True
        except HostError:
            assert "bad" in asked.text
        world.kernel.on_point = lambda _: None
        if power is None:
            world.kernel.restart()
        else:
            world.kernel.cut_power(names=power)
            world.boot()
        assert world.daemon_json in (OLD, asked.text, asked.bridge), f"half a file, cut off at point {at}"
        ends_well(world, asked)
        if power is None and asked.survives:
            assert world.started == started, f"somebody's container was stopped, cut off at point {at}"
        if not was_cut:
            assert at > 30
            return


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_call_that_fails_anywhere_leaves_a_docker_that_runs(tmp_path: Path, name: str) -> None:
    asked = SCENARIOS[name]
    failures = 0
    for at in itertools.count():
        world = World(tmp_path)
        going = _fail(at)
        hit = False

        def watched(point: str, going: Going = going) -> None:
            nonlocal hit
            try:
                going(point)
            except OSError:
                hit = True
                raise

        world.kernel.on_point = watched
        try:
            world.change(asked)
        except HostError:
            failures += 1
        world.kernel.on_point = lambda _: None
        assert world.daemon_json in (OLD, asked.text, asked.bridge), f"half a file, failed at point {at}"
        if "bad" not in asked.text:
            assert world.runs, f"Docker was left dead, failed at point {at}"
        ends_well(world, asked)
        if not hit:
            break
    assert failures > 10
