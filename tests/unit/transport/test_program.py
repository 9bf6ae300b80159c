"""The host's program is sent once, speaks in lines of its own, and names what it misses."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Host

from tests.defaults import settings
from tests.local import local_host
from tests.stack_folder import as_root
from webui_stack.host import recovery
from webui_stack.host.verbs import VERBS
from webui_stack.render import host_program, survey_requests
from webui_stack.settings.sources import Supplied
from webui_stack.transport import program
from webui_stack.transport.program import HostRefusedError, NoPythonError
from webui_stack.transport.remote import RemoteError

DAY_S = 86400.0
LOOK: dict[str, Any] = json.loads(survey_requests.survey_request(settings(), Supplied(None, None, {}))[0])["arguments"]


@pytest.fixture
def host() -> Host:
    return local_host()


@as_root
def test_the_program_is_sent_once_and_answers(host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    found = program.call(host, "survey", LOOK, folder=str(folder))
    assert found["machine"]["architecture"] == os.uname().machine
    (sent,) = folder.iterdir()
    assert sent.name == host_program.digest()
    assert list(sent.glob("host/__pycache__/protocol.*.pyc")), "it was not compiled"
    before = sent.stat().st_mtime_ns
    program.call(host, "survey", LOOK, folder=str(folder))
    assert (list(folder.iterdir()), sent.stat().st_mtime_ns) == ([sent], before)


@as_root
def test_a_sending_that_was_cut_off_leaves_no_program(host: Host, tmp_path: Path) -> None:
    """What is in place is whole: the folder gets its name last."""
    (tmp_path / f"{host_program.digest()}.4711" / "host").mkdir(parents=True)
    assert program.call(host, "survey", LOOK, folder=str(tmp_path))["machine"]["epoch_s"]


@as_root
def test_programs_of_before_go_after_a_day_unless_a_unit_is_to_start_them(host: Host, tmp_path: Path) -> None:
    folder, units = tmp_path / "programs", tmp_path / "units"
    units.mkdir()
    for name, age_s in {"old": 2 * DAY_S, "of-a-unit": 2 * DAY_S, "young": DAY_S / 2}.items():
        (folder / name).mkdir(parents=True)
        os.utime(folder / name, (time.time() - age_s,) * 2)
    (units / "ours.service").write_bytes(f"ExecStart=python3 -I -S {folder}/of-a-unit recover\n".encode() + b"\xff")
    (units / "masked.service").symlink_to("/dev/null")
    (units / "gone.service").symlink_to(units / "nowhere")
    program.send(host, str(folder), str(units))
    assert {one.name for one in folder.iterdir()} == {"of-a-unit", "young", host_program.digest()}
    assert program.UNITS == recovery.FOLDER


@as_root
@pytest.mark.parametrize("is_there", [True, False], ids=["there", "not sent yet"])
def test_a_program_that_waits_answers_when_it_is_asked(host: Host, tmp_path: Path, is_there: bool) -> None:
    if is_there:
        program.send(host, str(tmp_path))
    waiting = program.Waiting(host, "survey", str(tmp_path))
    assert waiting.call(LOOK)["machine"]["architecture"] == os.uname().machine
    (sent,) = tmp_path.iterdir()
    assert sent.name == host_program.digest()


def test_an_error_of_a_program_that_waited_is_told(host: Host, tmp_path: Path) -> None:
    program.send(host, str(tmp_path))
    with pytest.raises(HostRefusedError, match=r"^verb: expected one of .*, got explode; deploy again$"):
        program.Waiting(host, "explode", str(tmp_path)).call({})


def test_a_program_that_waited_and_gave_no_whole_answer_is_not_asked_again(host: Host, tmp_path: Path) -> None:
    """It may have done what it was asked."""
    place, asked = tmp_path / host_program.digest(), tmp_path / "asked"
    place.mkdir()
    (place / "__main__.py").write_text(f"print('python', flush=True); input(); open({str(asked)!r}, 'a').write('x')\n")
    with pytest.raises(RemoteError, match="expected a result, got the end of the output"):
        program.Waiting(host, "deploy_log", str(tmp_path)).call({})
    assert asked.read_text() == "x"


def test_an_error_of_the_program_is_one_line_in_four_parts(host: Host, programs: str) -> None:
    known = ", ".join(sorted(VERBS))
    words = rf"^verb: expected one of {known}, got explode; deploy again$"
    with pytest.raises(HostRefusedError, match=words) as caught:
        program.call(host, "explode", {}, folder=programs)
    assert caught.value.failure.got == "explode"


def test_a_host_without_a_python_that_is_new_enough_is_named(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sh", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 97\n")  # as what is sent ends on a Python that is too old
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoPythonError, match=r"^python3: expected 3\.9 or newer on the host, got none; run deploy\.py"):
        program.call(host, "survey", LOOK, folder=str(tmp_path / "programs"))
    assert not (tmp_path / "programs").exists()


@as_root
def test_a_newer_python_of_another_name_is_found(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    (place / "python3").write_text("#!/bin/sh\nexit 97\n")
    (place / "python3").chmod(0o755)
    (place / "python3.11").symlink_to(Path(sys.executable).resolve())
    for name in ("sh", "env", "ip", "dpkg-query"):
        (place / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(place))
    assert program.call(host, "survey", LOOK, folder=str(tmp_path / "programs"))["machine"]


def test_a_program_that_ends_without_an_answer_is_no_answer(host: Host, tmp_path: Path) -> None:
    place = tmp_path / host_program.digest()
    place.mkdir()
    (place / "__main__.py").write_text("print('all is well')\n")
    with pytest.raises(RemoteError, match=r"got (the end of the output|its end before it had read all)"):
        program.call(host, "survey", LOOK, folder=str(tmp_path))
    (place / "__main__.py").write_text("import sys; sys.exit('no memory')\n")
    with pytest.raises(RemoteError, match=r"no memory"):
        program.call(host, "survey", LOOK, folder=str(tmp_path))


def test_the_same_files_have_the_same_name_and_others_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def named() -> str:
        host_program.archive.cache_clear()
        host_program.digest.cache_clear()
        return host_program.digest()

    first = named()
    copy = tmp_path / "host"
    shutil.copytree(host_program._HOST, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with monkeypatch.context() as patched:
        patched.setattr(host_program, "_HOST", copy)
        assert named() == first
        (copy / "errors.py").write_text("")
        assert named() != first
    assert named() == first


def test_what_containers_and_postgres_are_given_is_sent_as_well() -> None:
    with tarfile.open(fileobj=io.BytesIO(host_program.archive())) as archive:
        assert {"host/data/roles.sql", "host/data/dataset.py", "host/data/folders.py"} <= set(archive.getnames())


def test_the_start_runs_on_a_python_that_is_too_old() -> None:
    """It is asked on such a host, too: nothing in it may be younger than Python 3.6 of RHEL 8."""
    for source in (host_program._START, program._UNPACK):
        ast.parse(source, feature_version=(3, 6))
