"""One run at a time has a host: its lease is heeded by all versions, outlives lost connections, and ends by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.host.fake_clock import START_S, FakeClock
from tests.host.fake_files import FakeFiles
from webui_stack.host.errors import HostError
from webui_stack.host.holder import Holder, Processes, parse
from webui_stack.host.lease import EXPIRY_S, Lease
from webui_stack.host.locks import RUN_FOLDER, Locks
from webui_stack.host.verbs.lease import Leases

ME = Holder("alice@desk", 4711, "4026531836", 99, "boot-1")
MINE, OTHERS = ME.token, "mallory@elsewhere:4711:4026531836:17:boot-2"
NOW_S = int(START_S)
LOG = "/var/log/open-webui/deploys.jsonl"


class Host:
    def __init__(self) -> None:
        self.files = FakeFiles()
        self.clock = FakeClock()
        locks = Locks(self.files.kernel, self.clock, lambda _: None)
        self.lease = Lease(self.files, locks, self.clock)
        self.files.make_folder(RUN_FOLDER)
        self.files.kernel.now_s = START_S

    @property
    def text(self) -> str | None:
        return self.files.read_text(f"{RUN_FOLDER}/lease")


@pytest.fixture
def host() -> Host:
    return Host()


def test_a_lease_is_written_as_earlier_versions_read_it(host: Host) -> None:
    assert host.lease.take(MINE) is None
    assert host.text == f"{MINE} {NOW_S} {NOW_S + EXPIRY_S}\n"


def test_somebody_elses_lease_is_heeded_until_it_expires(host: Host) -> None:
    host.lease.take(OTHERS)
    host.clock.sleep(EXPIRY_S - 1)
    other = host.lease.take(MINE)
    assert other
    assert (other.owner, other.since_s, other.left_s) == (OTHERS, NOW_S, 1)
    assert str(other) == "mallory@elsewhere, process 4711 since 03:00:00 UTC"
    host.clock.sleep(1)
    assert host.lease.take(MINE) is None


@pytest.mark.parametrize("path", [f"{RUN_FOLDER}/lease", f"{RUN_FOLDER}.lease"])
def test_the_lease_of_an_earlier_version_is_heeded_wherever_it_is(host: Host, path: str) -> None:
    host.files.write(path, f"mallory@elsewhere:4711 {NOW_S} {NOW_S + 60}\n")
    other = host.lease.take(MINE)
    assert other
    assert str(other) == "mallory@elsewhere:4711 since 03:00:00 UTC"


@pytest.mark.parametrize("text", ["", "half a", f"{OTHERS} {NOW_S} soon\n", "\0\0\0"])
def test_a_lease_that_can_not_be_read_counts_for_as_long_as_one_could(host: Host, text: str) -> None:
    host.files.write(f"{RUN_FOLDER}/lease", text or " ")
    if not text:
        host.files.kernel.find(f"{RUN_FOLDER}/lease").data = b""
    other = host.lease.take(MINE)
    assert other
    assert (str(other), other.left_s) == ("an unknown run since 03:00:00 UTC", EXPIRY_S)
    host.clock.sleep(EXPIRY_S)
    assert host.lease.take(MINE) is None


def test_one_that_is_known_to_have_ended_is_followed_at_once(host: Host) -> None:
    host.lease.take(OTHERS)
    assert host.lease.take(MINE, gone=[OTHERS]) is None
    assert not host.lease.renew(OTHERS)


def test_renewal_keeps_a_lease_and_when_it_began(host: Host) -> None:
    host.lease.take(MINE)
    host.clock.sleep(100)
    assert host.lease.renew(MINE)
    assert host.text == f"{MINE} {NOW_S} {NOW_S + 100 + EXPIRY_S}\n"
    assert host.lease.take(OTHERS)


def test_renewal_takes_nothing_from_another(host: Host) -> None:
    assert not host.lease.renew(MINE)
    host.lease.take(OTHERS)
    before = host.text
    assert not host.lease.renew(MINE)
    host.lease.release(MINE)
    host.lease.leave(MINE)
    assert host.text == before


def test_release_takes_away_what_earlier_versions_left(host: Host) -> None:
    for ending in (".lease.lock", ".work"):
        host.files.write(f"{RUN_FOLDER}{ending}", "")
    host.files.write(f"{RUN_FOLDER}.lease", f"mallory@elsewhere:4711 0 {NOW_S - 1}\n")
    host.lease.take(MINE)
    host.lease.release(MINE)
    assert host.files.listdir("/run") == ["open-webui-stack"]
    assert host.text is None
    assert host.lease.take(OTHERS) is None


def test_leave_leaves_nothing(host: Host) -> None:
    host.lease.take(MINE)
    host.lease.leave(MINE)
    assert host.files.listdir("/run") == []
    assert host.lease.take(OTHERS) is None


def test_a_reboot_ends_a_lease(host: Host) -> None:
    host.lease.take(OTHERS)
    host.files.kernel.cut_power(names=True)
    assert host.lease.take(MINE) is None


# --- The verbs


class Verbs(Host):
    """The verbs of the lease on a host; `said` is the log of its deploys."""

    def __init__(self) -> None:
        super().__init__()
        self.locks = Locks(self.files.kernel, self.clock, lambda _: None)
        self.verbs = Leases(self.files, self.locks, self.clock, self.lease)

    def asked(self, owner: str = MINE, line: str = "", gone: tuple[str, ...] = ()) -> dict[str, object]:
        return {"owner": owner, "line": line, "gone": gone, "log": LOG}

    @property
    def said(self) -> str:
        return self.files.read_text(LOG) or ""


def test_who_takes_the_lease_says_so_in_the_log_and_who_gets_none_does_not() -> None:
    host = Verbs()
    assert host.verbs.take(host.asked(line="mine")) == {"other": None, "busy": None}
    answer = host.verbs.take(host.asked(OTHERS, line="theirs"))
    assert answer["other"] == {"owner": MINE, "since_s": NOW_S, "left_s": EXPIRY_S}
    assert host.said == "mine\n"
    assert host.verbs.take(host.asked(OTHERS, gone=(MINE,)))["other"] is None


def test_whoever_is_at_work_is_told_once_that_lasts() -> None:
    host = Verbs()
    with host.locks.work("backup"):
        told = host.verbs.take(host.asked())["busy"]
        assert told.startswith("backup, process ")
        assert host.clock.monotonic() >= 3
    assert host.verbs.take(host.asked())["busy"] is None


def test_a_lease_that_is_given_back_leaves_its_line_also_where_it_was_lost() -> None:
    host = Verbs()
    host.verbs.take(host.asked())
    host.verbs.release(host.asked(line="changed"))
    assert (host.text, host.said) == (None, "changed\n")
    host.verbs.take(host.asked(OTHERS))
    host.verbs.release(host.asked(line="failed"))
    assert (host.text or "").startswith(OTHERS)
    assert host.said == "changed\nfailed\n"


def test_a_line_that_a_power_cut_has_cut_swallows_no_other() -> None:
    """L15."""
    host = Verbs()
    host.files.make_folder("/var/log/open-webui")
    host.files.write(LOG, '{"at": "2026')
    host.verbs.log(host.asked(line="{}"))
    assert host.said.splitlines() == ['{"at": "2026', "{}"]
    with pytest.raises(HostError, match="expected one line, got several"):
        host.verbs.log(host.asked(line="a\nb"))


def test_a_log_that_can_not_be_written_keeps_nobody_from_giving_the_lease_back() -> None:
    host = Verbs()
    host.verbs.take(host.asked())
    host.files.make_folder(LOG)
    with pytest.raises(HostError, match=LOG):
        host.verbs.release(host.asked(line="changed"))
    assert host.text is None


# --- Who is alive


def test_a_holder_reads_back_from_its_token() -> None:
    assert parse(ME.token) == ME
    assert Holder.from_json(ME.as_json()) == ME


@pytest.mark.parametrize("token", ["", "alice@desk:4711", "a:b:c:d:e", "alice@desk:²:4026531836:9:b"])
def test_a_lease_of_an_earlier_version_names_no_holder(token: str) -> None:
    assert parse(token) is None


@pytest.mark.parametrize(
    "found", [None, {}, {"pid": 1}, {**ME.as_json(), "pid": "1"}, {**ME.as_json(), "pid": True}, [1]]
)
def test_what_is_no_holder_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match="a holder has"):
        Holder.from_json(found)


def test_a_process_is_alive_until_it_ends_also_as_a_zombie() -> None:
    processes = Processes()
    me = processes.me("alice@desk")
    assert me.pid == os.getpid()
    assert processes.state(me) == "alive"
    program = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-ISc", program], stdin=subprocess.PIPE) as child:
        started = processes._stat(child.pid)
        assert started
        holder = replace(me, pid=child.pid, started=started[1])
        assert processes.state(holder) == "alive"
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and nobody asked for its status
        assert processes.state(holder) == "dead"
    assert processes.state(holder) == "dead"


def proc(folder: Path, pid: int = 4711, started: int = 99, boot: str = "boot-1", state: str = "S") -> Processes:
    """A /proc with one process, in the PID namespace of `ME`."""
    fields = " ".join([state, *["0"] * 18, str(started), "0"])
    for name, content in (
        (f"{pid}/stat", f"{pid} (a) (name 1) {fields}\n"),
        ("sys/kernel/random/boot_id", f"{boot}\n"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "self/ns").mkdir(parents=True)
    (folder / "self/ns/pid").symlink_to(f"pid:[{ME.namespace}]")
    return Processes(str(folder))


@pytest.mark.parametrize(
    ("holder", "state"),
    [
        (ME, "alive"),
        (replace(ME, pid=4712), "dead"),
        (replace(ME, started=98), "dead"),  # its number was given to another process
        (replace(ME, pid=4712, namespace="4026532000"), "elsewhere"),
        (replace(ME, pid=4712, boot="boot-2"), "elsewhere"),
    ],
)
def test_a_number_alone_does_not_make_a_process(tmp_path: Path, holder: Holder, state: str) -> None:
    processes = proc(tmp_path)
    assert processes.state(holder) == state
    assert processes.rebooted_since(holder) is (holder.boot != ME.boot)


def test_a_proc_that_is_not_mounted_is_an_error_and_nobody_is_dead(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="mount /proc"):
        Processes(str(tmp_path)).state(ME)
