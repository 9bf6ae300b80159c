"""Docker gets another daemon.json, or runs with the earlier one again, wherever that is cut off and whatever fails."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_files import Crash, FakeFiles, FakeKernel, on_nothing
from tests.host.fake_system import Asked, FakeSystem
from webui_stack.host import recovery
from webui_stack.host.dockerd import DAEMON_JSON, MARK
from webui_stack.host.engine import Engine, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.locks import LockedError, Locks
from webui_stack.host.protocol import PLAIN as PLAIN_TEXT
from webui_stack.host.protocol import Event
from webui_stack.host.protocol import Request as Asking
from webui_stack.host.recovery import FOLDER
from webui_stack.host.verbs import recover
from webui_stack.host.verbs.docker import Configuration, Request

OLD = '{ "live-restore": true, "old": 1 }'
NEW = '{"live-restore": true, "new": 1}\n'
# Docker does not start with it, but `dockerd --validate` finds nothing wrong.
BAD = '{"live-restore": true, "bad": 1}\n'
# A reload takes it.
BAD_AT_START = '{"live-restore": true, "bad": "at start"}\n'
# A file without live-restore, which a reload has put in force all the same, as `RESTART` does; and what carries over.
PLAIN, BRIDGE = '{"old": 1}', '{"old": 1, "live-restore": true}\n'
RESTART = Request(text=NEW, action="restart", survives=True, awaits_live_restore=True)
RELOAD = replace(RESTART, action="reload", survives=False)
# Without live-restore, a plan names whom the restart stops.
STOPS = Request(text='{"new": 1}\n', action="restart", survives=False, awaits_live_restore=False)
LABELS = {"security.selinux": b"container_config_t", "system.posix_acl_access": b"user:monitor:r--"}
DOCKER = "ExecStart={ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// ; ignore_errors=no }"
LINK = f"{FOLDER}/multi-user.target.wants/{recovery.DOCKER.name}"
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
            file = self.kernel.find(DAEMON_JSON)
            file.attributes = dict(LABELS)
            file.sync()
        self.put("/proc/7/cmdline", "/usr/sbin/dockerd\0-H\0fd://\0")
        if systemd:
            self.path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
        self.files.make_folder(f"{FOLDER}/multi-user.target.wants", mode=0o755)
        self.runs = self.limited = self.live = self.boots = False
        self.silent = 0  # questions that Docker does not answer, as while it starts
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
        self.runs, self.live, self.silent = True, wished.get("live-restore", False), wished.get("slow", 0)
        if not self.live or "somebodys" not in self.started:
            self.started = {"somebodys": next(self.moments)}
        return True

    def stop(self) -> None:
        if self.runs and not self.live:
            self.started = {}
        self.runs = False

    def boot(self) -> None:
        """After a power cut: no container runs until Docker starts them, once the unit has ended."""
        self.runs = self.limited = False
        self.started = {}
        self.boots = True
        if self.armed:
            self.recover()
        self.boots = False
        self.start()

    @property
    def armed(self) -> bool:
        """Whether systemd runs the unit at boot: by its link, which leads to it, and its text."""
        with self.quiet():
            return bool(self.files.exists(LINK) and self.files.read_text(self.files.resolved(LINK)))

    @property
    def units(self) -> list[str]:
        return [path for path in (LINK, f"{FOLDER}/{recovery.DOCKER.name}") if self.files.exists(path)]

    def recover(self) -> None:
        locks = Locks(self.kernel, self.clock, self.said.append)
        recover.apply(self, self.files, locks, lambda event: self.said.append(event.text))

    def hang_up(self, pid: int) -> None:
        assert pid == 7
        with suppress(OSError):  # root can signal every process (kill(2))
            self.point("hang up")
        wished = self._wished()
        if wished.get("bad") != 1:
            self.live = wished.get("live-restore", False)
        self.kernel.point("after hang up")

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """What the world does by itself is no point."""
        before, self.kernel.on_point = self.kernel.on_point, on_nothing
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
        return f"Id=docker.service\nMainPID={7 if self.runs else 0}\n{DOCKER}\n"

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
        words = [word for word in command if not word.startswith("--")]
        order = words[1] if command[0] == "systemctl" else words[2]
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
        if order in ("start", "restart") and not self.boots:  # at boot, Docker's start waits for the unit's end
            done = self.start()
        assert "--no-block" in command or not self.boots or order != "start", "it would wait for itself"
        self.kernel.point(f"after {order}")
        return (0, "") if done else (1, "Job for docker.service failed")

    # --- Docker's engine

    def _asked(self) -> None:
        try:
            self.point("the engine")
        except OSError as error:
            raise Unavailable("GET /", str(error)) from None
        self.silent -= 1  # each question takes a second
        if not self.runs or self.silent >= 0:
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


def labels(world: World) -> dict[str, bytes]:
    return world.kernel.find(DAEMON_JSON).attributes


def crash_after(order: str) -> Callable[[str], None]:
    def going(name: str) -> None:
        if name == f"after {order}":
            raise Crash

    return going


@contextmanager
def put_back(world: World) -> Iterator[None]:
    """The file is the same afterwards, with its mode, and Docker runs; nothing else is left."""
    before = (world.daemon_json, mode(world))
    yield
    assert (world.daemon_json, mode(world)) == before
    assert world.runs
    assert LINK not in world.units
    assert world.left == ([] if before == (None, None) else ["daemon.json"])
    assert before == (None, None) or labels(world) == LABELS


def test_a_good_file_is_in_force_with_the_mode_it_had(world: World) -> None:
    started = dict(world.started)
    world.change(RESTART)
    assert (world.daemon_json, world.runs, world.started) == (NEW, True, started)
    assert (mode(world), labels(world)) == (0o600, LABELS)
    assert world.left == ["daemon.json"]
    assert world.orders == ["restart"]
    assert world.units == []
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
    world = World(tmp_path, PLAIN)
    started = dict(world.started)
    with put_back(world), pytest.raises(HostError):
        world.change(replace(RESTART, text=BAD_AT_START))
    assert world.read[-2:] == [BAD_AT_START, BRIDGE]
    assert world.orders == ["restart", "stop", "reset-failed", "start"]
    assert world.started == started
    assert not any("were stopped" in line for line in world.said)


@pytest.mark.parametrize(("earlier", "bridge"), [(PLAIN, BRIDGE), (None, '{"live-restore": true}\n')])
def test_containers_run_on_when_the_next_run_puts_back_what_left_docker_dead(
    tmp_path: Path, earlier: str | None, bridge: str
) -> None:
    world = World(tmp_path, earlier)
    started = dict(world.started)
    world.kernel.on_point = crash_after("restart")
    with pytest.raises(Crash):
        world.change(replace(RESTART, text=BAD_AT_START))
    world.kernel.on_point = on_nothing
    world.kernel.restart()
    assert (world.daemon_json, world.runs) == (BAD_AT_START, False)
    with pytest.raises(HostError, match="as it was before, and Docker runs"):
        world.change(replace(RESTART, text=BAD_AT_START))
    assert world.read[-2:] == [BAD_AT_START, bridge]
    assert (world.daemon_json, world.runs, world.started) == (earlier, True, started)
    assert world.clock.passed_s < 60, "it waited for a Docker that is dead"


@pytest.mark.parametrize("seconds", [5, 59])
def test_a_docker_that_runs_and_does_not_answer_yet_is_waited_for_on_the_way_back(tmp_path: Path, seconds: int) -> None:
    world = World(tmp_path, "{}")
    started = dict(world.started)
    world.clock.on_sleep = lambda: setattr(world, "silent", seconds if world.clock.passed_s == 60 else world.silent)
    with put_back(world), pytest.raises(HostError, match="live-restore to be on after a reload"):
        world.change(replace(RESTART, text=BAD))
    assert (world.orders, world.started) == ([], started)


def test_a_docker_that_starts_slowly_is_not_stopped_while_it_does(world: World) -> None:
    started = dict(world.started)
    with put_back(world), pytest.raises(HostError, match="expected an answer within a minute"):
        world.change(replace(RESTART, text='{"live-restore": true, "slow": 90}'))
    assert (world.orders, world.started) == (["restart"], started)


def test_a_docker_that_hangs_is_started_anew_after_a_minute_more(world: World) -> None:
    started = dict(world.started)
    with put_back(world), pytest.raises(HostError, match="expected an answer within a minute"):
        world.change(replace(RESTART, text='{"live-restore": true, "slow": 10000}'))
    assert (world.orders, world.started) == (["restart", "stop", "reset-failed", "start"], started)
    assert 120 <= world.clock.passed_s < 130


@pytest.mark.parametrize("known", [True, False], ids=["by the run that began it", "by the next one"])
def test_a_way_back_without_live_restore_is_told_and_taken(tmp_path: Path, known: bool) -> None:
    """A Docker that runs is worth more than containers that run on."""
    world = World(tmp_path, PLAIN)
    started = dict(world.started)
    asked = replace(RESTART, text=BAD_AT_START)
    if not known:
        world.kernel.on_point = crash_after("restart")
        with pytest.raises(Crash):
            world.change(asked)
        world.kernel.restart()

    def full_disk(name: str) -> None:
        if name == "before pwrite" and "restart" in world.orders[-1:]:
            raise OSError(28, "No space left on device")

    world.orders.clear()
    world.kernel.on_point = full_disk
    with pytest.raises(HostError, match="as it was before, and Docker runs"):
        world.change(asked)
    assert (world.daemon_json, world.runs, world.left) == (PLAIN, True, ["daemon.json"])
    assert world.read[-2:] == [BAD_AT_START, PLAIN]
    assert world.started != started
    (told,) = [line for line in world.said if "live-restore" in line]
    assert told == (
        "docker: could not be started with live-restore first, so that containers run on (/etc/docker/daemon.json: "
        "a full disk, the one with /etc/docker); it starts with the earlier file, which stops "
        + ("somebodys" if known else "those that run")
    )
    assert ("were stopped by that" in world.said[-1]) == known


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
    assert world.said[0] == "docker: this host has no systemd; if it goes down now, only the next run goes back"


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


# --- Without an operator


def cut_off(world: World, asked: Request, order: str = "restart") -> None:
    """A change is killed after this order."""
    world.kernel.on_point = crash_after(order)
    with pytest.raises(Crash):
        world.change(asked)
    world.kernel.on_point = on_nothing
    world.kernel.restart()


def test_while_docker_changes_a_unit_is_there_that_ends_it_at_boot(world: World) -> None:
    cut_off(world, RESTART)
    assert world.armed
    lines = (world.files.read_text(f"{FOLDER}/{recovery.DOCKER.name}") or "").splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    assert told["Before"] == "docker.service"
    python, *options, program, verb, how = told["ExecStart"].split()
    assert (python, options, verb, how) == (sys.executable, ["-I", "-S"], "recover", "plain")
    assert Path(program, "host", "verbs", "recover.py").exists()
    assert Asking.read(verb, told["StandardInputText"]).token == PLAIN_TEXT


def test_a_change_that_an_earlier_version_has_left_gets_its_unit_with_docker_dead(tmp_path: Path) -> None:
    world = World(tmp_path, BAD, runs=False)
    world.files.write(f"{DAEMON_JSON}.before", OLD)
    world.files.write(MARK, "had\n")
    cut_off(world, RESTART)
    assert world.armed


def test_a_docker_that_does_not_run_needs_no_unit(tmp_path: Path) -> None:
    world = World(tmp_path, runs=False)
    seen = []
    world.kernel.on_point = lambda name: seen.append(name)
    world.change(STOPS)
    assert "before symlink" not in seen


def test_what_dockerd_refuses_leaves_no_unit_but_that_of_a_change_before(world: World) -> None:
    with pytest.raises(HostError, match="no good"):
        world.change(replace(RESTART, text='{"invalid": 1}'))
    assert world.units == []
    cut_off(world, RESTART)
    with pytest.raises(HostError, match="no good"):
        world.change(replace(RESTART, text='{"invalid": 1}'))
    assert world.armed


@pytest.mark.parametrize("text", [NEW, BAD_AT_START], ids=["a good file", "a bad one"])
@pytest.mark.parametrize("earlier", [OLD, None], ids=["had one before", "had none"])
def test_a_boot_puts_the_earlier_file_back_and_docker_starts_with_it(
    tmp_path: Path, earlier: str | None, text: str
) -> None:
    world = World(tmp_path, earlier)
    with put_back(world):
        cut_off(world, replace(RESTART, text=text))
        world.kernel.cut_power(names=False)
        world.boot()
    assert (world.read[-1], world.units) == (earlier, [])
    assert world.said[-1] == f"docker: a change was cut off; {DAEMON_JSON} is as it was before"


@pytest.mark.parametrize("text", [NEW, BAD_AT_START], ids=["one that runs", "one that is dead"])
def test_by_hand_it_starts_docker_or_has_it_read_the_file_again(world: World, text: str) -> None:
    with put_back(world):
        cut_off(world, replace(RESTART, text=text))
        world.recover()
    assert world.orders == (["restart"] if text == NEW else ["restart", "reset-failed", "start"])


@pytest.mark.parametrize("names", [False, True])
def test_a_recovery_that_is_cut_off_anywhere_is_ended_by_the_next_boot(tmp_path: Path, names: bool) -> None:
    for at in itertools.count():
        world = World(tmp_path)
        world.kernel.root.sync()
        with put_back(world):
            cut_off(world, replace(RESTART, text=BAD_AT_START))
            world.kernel.cut_power(names=names)
            world.kernel.on_point = _crash(world.kernel, at)
            try:
                world.boot()
                was_cut = False
            except Crash:
                was_cut = True
            world.kernel.on_point = on_nothing
            world.kernel.cut_power(names=names)
            world.boot()
        if not was_cut:
            assert at > 5
            return


def test_a_change_that_is_still_at_work_is_left_alone_and_named(world: World) -> None:
    cut_off(world, RESTART)
    with Locks(world.kernel, world.clock, world.said.append).work("docker"):
        with pytest.raises(LockedError, match="by docker, process"):
            world.recover()
        assert world.armed
        assert (world.daemon_json, world.clock.passed_s) == (NEW, 60)
    world.recover()
    assert (world.daemon_json, world.left, world.units) == (OLD, ["daemon.json"], [])


def test_a_recovery_that_fails_is_tried_again_at_the_next_boot(world: World) -> None:
    def refuse(name: str) -> None:
        if name == "before rename":
            raise OSError(5, "Input/output error")

    with put_back(world):
        cut_off(world, replace(RESTART, text=BAD_AT_START))
        world.kernel.on_point = refuse
        with pytest.raises(HostError, match="an input/output error of the disk"):
            world.boot()
        world.kernel.on_point = on_nothing
        world.boot()


# --- Cut off, and failing, everywhere

# The earlier file, and what is asked.
SCENARIOS = {
    "a good file by a restart": (OLD, RESTART),
    "a good file by a reload": (OLD, RELOAD),
    "a restart that stops containers": (OLD, STOPS),
    "a bad file": (OLD, replace(RESTART, text=BAD)),
    "a bad file in the place of one without live-restore": (PLAIN, replace(RESTART, text=BAD_AT_START)),
    "a bad file, without a bridge": (OLD, replace(STOPS, text=BAD)),
}
Going = Callable[[str], None]
# A crash on either side of these leaves the same world.
LOOKS = {"close", "fstat", "getxattr", "listdir", "listxattr", "lstat", "open", "pread", "readlink"}


def _crash(kernel: FakeKernel, at: int) -> Going:
    """Crash where the world is another than at the crash before: after each call that changes it, and at the begin."""
    seen, moments = -1, -1
    changes = 0

    def going(name: str) -> None:
        nonlocal seen, moments, changes
        side, _, call = name.partition(" ")
        changes += side == "after" and call not in LOOKS
        now = changes + kernel.inodes  # `open` has made one, or has only looked
        moments += now != seen
        seen = now
        if moments == at:
            raise Crash

    return going


def _fail(at: int) -> Going:
    points = itertools.count()

    def going(name: str) -> None:
        if name.startswith("before ") and name != "before close" and next(points) == at:
            raise OSError(28, "No space left on device")

    return going


def ends_well(world: World, earlier: str, asked: Request) -> None:
    """The next runs bring the new file, or the earlier one back where Docker does not start with the new one."""
    is_good = "bad" not in asked.text
    for _ in range(2):
        try:
            world.run_again(asked)
        except HostError:
            assert not is_good
    assert world.daemon_json == (asked.text if is_good else earlier)
    assert world.runs
    assert set(world.started) == {"somebodys"}
    assert world.left == ["daemon.json"]
    assert labels(world) == LABELS, "its ACL or its SELinux label is lost"
    assert world.kernel._open == {}


def disarms(world: World) -> None:
    """A boot removes the unit of a run that was cut off, or failed, when its change had ended. Its file may stay."""
    if world.armed:
        world.boot()
        assert world.runs
    assert LINK not in world.units


@pytest.mark.crash
@pytest.mark.parametrize("power", [None, False, True], ids=["killed", "power cut", "power cut with late names"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_change_that_is_cut_off_anywhere_ends_well(tmp_path: Path, name: str, power: bool | None) -> None:
    earlier, asked = SCENARIOS[name]
    for at in itertools.count():
        world = World(tmp_path, earlier)
        started = dict(world.started)
        world.kernel.root.sync()
        world.kernel.on_point = _crash(world.kernel, at)
        was_cut = False
        try:
            world.change(asked)
        except Crash:
            was_cut = True
        except HostError:
            assert "bad" in asked.text
        world.kernel.on_point = on_nothing
        if power is None:
            world.kernel.restart()
        else:
            world.kernel.cut_power(names=power)
            world.boot()
            assert world.runs, f"it needs an operator, cut off at point {at}"
            assert not world.armed
        assert world.daemon_json in (earlier, asked.text, BRIDGE), f"half a file, cut off at point {at}"
        ends_well(world, earlier, asked)
        if power is None and asked.survives:
            assert world.started == started, f"somebody's container was stopped, cut off at point {at}"
        disarms(world)
        if not was_cut:
            assert at > 20
            return


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_call_that_fails_anywhere_leaves_a_docker_that_runs(tmp_path: Path, name: str) -> None:
    earlier, asked = SCENARIOS[name]
    failures = 0
    for at in itertools.count():
        world = World(tmp_path, earlier)
        going = _fail(at)
        hit = ""

        def watched(point: str, going: Going = going) -> None:
            nonlocal hit
            try:
                going(point)
            except OSError:
                hit = point
                raise

        world.kernel.on_point = watched
        try:
            world.change(asked)
        except HostError:
            failures += 1
        world.kernel.on_point = on_nothing
        assert world.daemon_json in (earlier, asked.text, BRIDGE), f"half a file, failed at point {at}"
        # Where systemd does not do its part, the next run makes up for it.
        if "bad" not in asked.text or hit not in ("before start", "before reset-failed"):
            assert world.runs, f"Docker was left dead, failed at point {at}"
        ends_well(world, earlier, asked)
        disarms(world)
        if not hit:
            break
    assert failures > 10
