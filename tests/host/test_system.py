"""Questions to the host: what is not there is "", what can't be read or asked is an error."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from webui_stack.host.errors import HostError
from webui_stack.host.system import Ended, System, which
from webui_stack.host.verbs import VERBS


def test_a_text_is_told_with_its_very_line_ends(tmp_path: Path) -> None:
    """Else a file that somebody saved on Windows would count as the one that is wanted."""
    (tmp_path / "file").write_bytes(b"one\r\ntwo\rthree\n\xff")
    assert System(str(tmp_path)).text("/file") == "one\r\ntwo\rthree\n\udcff"


def test_what_is_not_there_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    host = System(str(tmp_path))
    assert [host.text("/none"), host.text("/file/none")] == ["", ""]
    assert [host.names("/none"), host.names("/file")] == [[], []]


def test_a_process_that_ends_while_it_is_read_is_not_there_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux opens its file, and then says that there is no such process (fs/proc/base.c)."""

    def ended(*_: object, **__: object) -> None:
        raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr("builtins.open", ended)
    assert System(str(tmp_path)).text("/proc/42/comm") == ""


def test_what_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(HostError, match=r"^/folder: expected a file to read, got Is a directory; fix it on the host$"):
        System(str(tmp_path)).text("/folder")


def test_what_a_program_says_is_told_and_where_it_fails_its_last_line() -> None:
    host = System()
    assert host.output("printf", "%s", "said") == "said"
    assert host.attempt("cat", stdin="given") == "given"
    assert host.attempt("false") is None
    with pytest.raises(HostError, match="got exit status 3: second; "):
        host.output("sh", "-c", "echo first >&2; echo second >&2; exit 3")


def test_a_program_that_is_missing_is_an_error_and_no_answer() -> None:
    for ask in (System().output, System().attempt):
        with pytest.raises(HostError, match=r"^no-such-program: .*got no such program"):
            ask("no-such-program")


def test_a_program_has_the_environment_it_is_given_and_nothing_else() -> None:
    said = System().attempt("/usr/bin/env", environment={"A": "1"})
    assert said == "A=1\n"


def carried_out(script: str, *, limit_s: float = 60, descriptors: Sequence[int] = ()) -> Ended:
    path = {"PATH": os.environ["PATH"]}
    return System().carry_out("sh", "-c", script, environment=path, limit_s=limit_s, descriptors=descriptors)


def test_a_change_tells_its_exit_status_and_both_its_outputs() -> None:
    assert carried_out("echo out; echo errors >&2; exit 3") == Ended(3, "out\n", "errors\n")
    with pytest.raises(HostError, match=r"^no-such-program: .*got no such program"):
        System().carry_out("no-such-program", environment={}, limit_s=60)


def test_a_change_that_does_not_end_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    # On a busy machine the shell has not begun after a second.
    with pytest.raises(HostError, match="got no end in 5 s"):
        carried_out(f"sleep 1000 & echo $! >{pid}; wait", limit_s=5)
    stat = Path(f"/proc/{pid.read_text().strip()}/stat")
    until_s = time.monotonic() + 30
    # A process that was killed ends once it gets a turn: under load that is not at once.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while stat.read_text().rpartition(")")[2].split()[0] not in "ZX":
            assert time.monotonic() < until_s, "it runs on"
            time.sleep(0.05)


def test_a_lock_that_a_change_inherits_is_held_until_the_last_of_its_programs_ends(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock, (tmp_path / "lock").open("w") as other:
        fcntl.flock(lock, fcntl.LOCK_EX)
        left = carried_out("sleep 1000 >/dev/null 2>&1 & echo $!", descriptors=[lock.fileno()])
        lock.close()
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(int(left.output), signal.SIGKILL)
        fcntl.flock(other, fcntl.LOCK_EX)


def test_nobody_but_root_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an ordinary user can't read is not absent."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for verb in (VERBS[name] for name in VERBS if name != "connect"):  # which looks at nothing of the host's
        with pytest.raises(HostError, match=r"^privileges: expected root, got an ordinary user; set _sudo = True"):
            verb({}, lambda _: None)


def test_bytes_go_through_a_program_and_a_failure_gives_none() -> None:
    assert System().through("cat", stdin=b"\x00\xff") == b"\x00\xff"
    with pytest.raises(HostError, match=r"got exit status 1: no good"):
        System().through("sh", "-c", "cat >/dev/null; echo no good >&2; exit 1", stdin=b"secret")
    with pytest.raises(HostError, match=r"got no such program"):
        System().through("no-such-program", stdin=b"secret")


def test_what_a_program_makes_is_poured_with_its_secret_in_no_argument() -> None:
    got: list[bytes] = []
    ended = System().pour("sh", "-c", "cat; echo why >&2; exit 3", stdin=b"x" * 300_000, into=got.append, limit_s=60)
    assert (ended.status, b"".join(got), ended.errors) == (3, b"x" * 300_000, "why\n")


def test_a_program_that_pours_has_a_limit_and_is_ended() -> None:
    with pytest.raises(HostError, match=r"^sleep: expected `sleep 60` to succeed, got no end in 0 s"):
        System().pour("sleep", "60", stdin=b"", into=lambda _: None, limit_s=0.1)
    with pytest.raises(HostError, match=r"^no-such-program: .* got no such program"):
        System().pour("no-such-program", stdin=b"", into=lambda _: None, limit_s=1)


def test_a_program_whose_output_nobody_can_take_is_ended() -> None:
    def full(_: bytes) -> None:
        raise HostError("disk", expected="room", got="none", do="free some")

    with pytest.raises(HostError, match=r"^disk: expected room"):
        System().pour("sh", "-c", "yes", stdin=b"", into=full, limit_s=60)


def test_lines_are_told_while_a_program_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui_stack.host.system._LOOK_S", 0.05)
    told: list[tuple[str, float]] = []
    script = "printf 'one\\ntw'; sleep 0.4; echo o; printf rest"
    ended = System().carry_out(
        *("sh", "-c", script),
        environment={"PATH": os.environ["PATH"]},
        limit_s=60,
        tell=lambda line: told.append((line, time.monotonic())),
    )
    assert [line for line, _ in told] == ["one", "two"]
    assert told[1][1] - told[0][1] > 0.2
    assert ended.output == "one\ntwo\nrest"


def test_a_program_that_is_listened_to_has_a_limit_as_well() -> None:
    with pytest.raises(HostError, match=r"got no end in 0 s"):
        System().carry_out("sleep", "60", environment=dict(os.environ), limit_s=0.1, tell=print)


def test_a_program_that_was_begun_ahead_is_asked_once_and_the_next_time_anew(tmp_path: Path) -> None:
    host, runs = System(), tmp_path / "runs"
    asked = ("sh", "-c", f"echo >>{runs}; wc -l <{runs}; echo errors >&2")
    host.ahead(*asked)
    until_s = time.monotonic() + 30
    while not runs.exists():
        assert time.monotonic() < until_s, "it was not begun"
        time.sleep(0.01)
    assert [host.output("printf", "other"), host.output(*asked), host.output(*asked)] == ["other", "1\n", "2\n"]


def test_a_program_that_was_begun_ahead_fails_where_it_is_asked() -> None:
    host = System()
    host.ahead("sh", "-c", "echo second >&2; exit 3")
    with pytest.raises(HostError, match="got exit status 3: second; "):
        host.output("sh", "-c", "echo second >&2; exit 3")
    with pytest.raises(HostError, match=r"^no-such-program: .*got no such program"):
        host.ahead("no-such-program")


def test_a_program_that_says_more_than_a_pipe_takes_is_told_whole_when_it_was_begun_ahead() -> None:
    host = System()
    host.ahead("seq", "100000")
    time.sleep(0.1)  # it waits by now until somebody reads
    assert host.output("seq", "100000").splitlines()[-1] == "100000"


def test_what_is_at_a_path_is_told_and_what_nobody_can_look_at_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "nowhere").symlink_to("none")
    (tmp_path / "loop").symlink_to("loop")
    host = System(str(tmp_path))
    seen = {
        name: (host.exists(f"/{name}"), host.is_file(f"/{name}"), host.is_folder(f"/{name}"))
        for name in ("file", "folder", "nowhere", "none", "file/none")
    }
    assert seen == {
        "file": (True, True, False),
        "folder": (True, False, True),
        **dict.fromkeys(("nowhere", "none", "file/none"), (False, False, False)),
    }
    with pytest.raises(HostError, match=r"^/loop: expected to look at it, got Too many levels of symbolic links"):
        host.exists("/loop")


def test_a_program_is_where_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "tool").write_text("#!/bin/sh\n")
    (second / "tool").chmod(0o755)
    (first / "folder").mkdir()
    monkeypatch.setenv("PATH", f"{first}::{second}")
    assert [which("tool"), which("folder"), which("none")] == [str(second / "tool"), None, None]
    assert shutil.which("tool") == str(second / "tool")
