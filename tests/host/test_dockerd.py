"""Docker's configuration as it is on a host: daemon.json, and options from wherever they come."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.host.fake_system import FakeSystem
from webui_stack.host import dockerd, units
from webui_stack.host.errors import HostError
from webui_stack.model import docker_config

# As systemd 257 prints it of Debian's docker.io.
EXEC = (
    "{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock "
    "$DOCKER_OPTS ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }"
)


def unit(**properties: str) -> Mapping[str, str]:
    return {"Id": dockerd.UNIT, "ExecStart": EXEC, "EnvironmentFiles": "/etc/default/docker (ignore_errors=yes)"} | (
        properties
    )


def shown(**properties: str) -> str:
    return "".join(f"{name}={value}\n" for name, value in unit(**properties).items())


def with_process(host: FakeSystem, *words: str, pid: int = 42) -> None:
    host.put(f"/proc/{pid}/cmdline", "\0".join(["/usr/sbin/dockerd", *words, ""]))


# --- daemon.json


@pytest.mark.parametrize("text", ['{"debug": true}', '{"debug": true}\n', '{"a": "\u00fc"}', ""])
def test_daemon_json_is_told_by_its_bytes_with_or_without_a_final_line_break(tmp_path: Path, text: str) -> None:
    host = FakeSystem(tmp_path)
    host.put(dockerd.DAEMON_JSON, text)
    assert dockerd.look(host, {})["sha256"] == docker_config.sha256(text)
    assert hashlib.sha256(text.encode()).hexdigest() == docker_config.sha256(text)


def test_no_daemon_json_is_no_hash(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    assert dockerd.look(host, {})["sha256"] == ""
    host.put("/etc/docker", "a file in the place of the folder")
    assert dockerd.look(host, {})["sha256"] == ""


def test_a_daemon_json_that_can_not_be_read_is_not_one_that_is_absent(tmp_path: Path) -> None:
    """It would be replaced."""
    host = FakeSystem(tmp_path)
    host.path(dockerd.DAEMON_JSON).mkdir(parents=True)
    with pytest.raises(HostError, match=r"^/etc/docker/daemon\.json: expected a file to read, got Is a directory; "):
        dockerd.look(host, {})


def test_a_change_of_daemon_json_that_was_cut_off_is_told(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    assert not dockerd.look(host, {})["changing"]
    host.put(f"{dockerd.DAEMON_JSON}.changing")
    assert dockerd.look(host, {})["changing"]


@pytest.mark.parametrize(
    ("setting", "text", "root"),
    [
        pytest.param("", None, "/var/lib/docker", id="by default"),
        pytest.param("/srv/docker", '{"data-root": "/mnt/docker"}', "/srv/docker", id="by the settings"),
        pytest.param("", '{"data-root" : "/mnt/docker"}', "/mnt/docker", id="by the file"),
        pytest.param("", '{"data-root": "/mnt/docker", }', "/mnt/docker", id="by a file that is no JSON"),
        pytest.param("", '{"data-root": "docker"}', "/var/lib/docker", id="no path"),
    ],
)
def test_the_data_of_a_docker_that_nobody_can_ask_are_where_it_is_to_have_them(
    tmp_path: Path, setting: str, text: str | None, root: str
) -> None:
    host = FakeSystem(tmp_path)
    if text is not None:
        host.put(dockerd.DAEMON_JSON, text)
    assert dockerd.root(host, setting) == root


@pytest.mark.parametrize(("text", "noted"), [(None, False), ("", False), ('{"LocalAddr":""}', True)])
def test_docker_notes_its_swarm_in_a_file(tmp_path: Path, text: str | None, noted: bool) -> None:
    """Without that, nothing is overlooked (moby, daemon/cluster/cluster.go, 26.1)."""
    host = FakeSystem(tmp_path)
    if text is not None:
        host.put("/mnt/docker/swarm/docker-state.json", text)
    assert dockerd.notes_a_swarm(host, "/mnt/docker") == noted


# --- Options


def options(host: FakeSystem, of: Mapping[str, str]) -> list[str]:
    found: list[str] = dockerd.look(host, of)["options"]
    return found


def test_options_of_the_unit_are_told_by_their_names(tmp_path: Path) -> None:
    """A value may be a password."""
    assert options(FakeSystem(tmp_path), unit()) == ["--containerd", "-H"]


@pytest.mark.parametrize("line", ["DOCKER_OPTS={}\n", " DOCKER_OPTS='{}'\n", '# x\nDOCKER_OPTS="{}"'])
@pytest.mark.parametrize("systemd", [True, False], ids=["systemd", "without systemd"])
def test_options_of_dockers_variable_count(tmp_path: Path, line: str, systemd: bool) -> None:
    """Debian's unit and its init script read the same one."""
    host = FakeSystem(tmp_path)
    host.put("/etc/default/docker", line.format("--log-driver=syslog --http-proxy=http://user:sesame@example.org"))
    if systemd:
        host.path("/run/systemd/system").mkdir(parents=True)
    found = dockerd.look(host, unit() if systemd else {})
    assert {"--log-driver", "--http-proxy"} <= set(found["options"])
    assert "sesame" not in str(found)


def test_a_host_whose_systemd_knows_no_docker_has_none_configured(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    host.put("/etc/default/docker", "DOCKER_OPTS=--debug\n")
    host.path("/run/systemd/system").mkdir(parents=True)
    assert options(host, {}) == []


def test_variables_of_every_environment_file_count(tmp_path: Path) -> None:
    """Amazon Linux and Fedora name several files in the unit; systemd prints a line for each."""
    words = EXEC.replace("$DOCKER_OPTS", "$OPTIONS ${DOCKER_STORAGE_OPTIONS}")
    files = (
        "/etc/sysconfig/docker (ignore_errors=yes)\nEnvironmentFiles=/etc/sysconfig/docker-storage (ignore_errors=yes)"
    )
    host = FakeSystem(tmp_path, systemctl=shown(ExecStart=words, EnvironmentFiles=files))
    host.path("/run/systemd/system").mkdir(parents=True)
    host.put("/etc/sysconfig/docker", 'OPTIONS="--default-ulimit nofile=32768:65536"\n')
    host.put("/etc/sysconfig/docker-storage", "DOCKER_STORAGE_OPTIONS=--storage-driver=overlay2\n")
    known = units.look(host, [dockerd.UNIT])
    assert options(host, known[dockerd.UNIT]) == ["--containerd", "--default-ulimit", "--storage-driver", "-H"]


def test_of_several_commands_the_last_is_the_service(tmp_path: Path) -> None:
    """A drop-in clears ExecStart before it sets it; systemd prints what is left."""
    host = FakeSystem(tmp_path, systemctl=f"{shown()}ExecStart={EXEC.replace('$DOCKER_OPTS', '--debug')}\n")
    host.path("/run/systemd/system").mkdir(parents=True)
    assert "--debug" in options(host, units.look(host, [dockerd.UNIT])[dockerd.UNIT])


@pytest.mark.parametrize("systemd", [True, False], ids=["systemd", "without systemd"])
def test_options_of_the_process_that_runs_count(tmp_path: Path, systemd: bool) -> None:
    """The unit may have been edited since."""
    host = FakeSystem(tmp_path)
    with_process(host, "-H", "unix:///var/run/docker.sock", "--userns-remap=default")
    if not systemd:
        host.put("/var/run/docker.pid", "42\n")
    found = dockerd.look(host, unit(MainPID="42") if systemd else {})
    assert found["runs"]
    assert {"--userns-remap", "-H"} <= set(found["options"])
    assert "unix:///var/run/docker.sock" not in found["options"]


@pytest.mark.parametrize("noted", ["", "0", "43", "x", "\u00b2"])
def test_a_daemon_that_has_ended_does_not_run_whatever_its_file_says(tmp_path: Path, noted: str) -> None:
    host = FakeSystem(tmp_path)
    with_process(host, "--debug")
    host.put("/var/run/docker.pid", noted)
    found = dockerd.look(host, {})
    assert (found["runs"], found["options"]) == (False, [])


@pytest.mark.parametrize("words", [["--config-file", "/srv/d.json"], ["--config-file=/srv/d.json"]], ids=" ".join)
def test_a_configuration_in_another_file_is_named(tmp_path: Path, words: list[str]) -> None:
    host = FakeSystem(tmp_path)
    with_process(host, *words, "--debug")
    assert dockerd.look(host, unit(MainPID="42"))["config_files"] == ["/srv/d.json"]
    in_unit = unit(ExecStart=EXEC.replace("$DOCKER_OPTS", " ".join(words)))
    assert dockerd.look(host, in_unit)["config_files"] == ["/srv/d.json"]


def test_without_one_no_other_file_is_named(tmp_path: Path) -> None:
    assert dockerd.look(FakeSystem(tmp_path), unit())["config_files"] == []


# --- The socket


def contexts(address: str) -> Any:
    return lambda arguments: f"{address}\n" if arguments[-1] == "own" else None


@pytest.mark.parametrize(
    "text", [None, "{}", '{"currentContext": "default"}', '{"currentContext": ""}', "no JSON", "[]"]
)
def test_without_a_context_the_engine_is_at_its_own_socket_and_nobody_is_asked(
    tmp_path: Path, text: str | None
) -> None:
    host = FakeSystem(tmp_path)
    if text is not None:
        host.put("/root/.docker/config.json", text)
    assert dockerd.socket(host, "/root") == "/var/run/docker.sock"


def test_the_engine_is_where_the_context_in_use_leads(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path, docker=contexts("unix:///run/user/0/docker.sock"))
    host.put("/root/.docker/config.json", '{"currentContext": "own"}')
    assert dockerd.socket(host, "/root") == "/run/user/0/docker.sock"


@pytest.mark.parametrize("address", ["ssh://other.example.org", "tcp://192.0.2.1:2376", ""])
def test_a_context_of_another_host_is_refused(tmp_path: Path, address: str) -> None:
    host = FakeSystem(tmp_path, docker=contexts(address))
    host.put("/root/.docker/config.json", '{"currentContext": "own"}')
    with pytest.raises(HostError, match=r"^docker context own: expected an engine on this host, got one at "):
        dockerd.socket(host, "/root")
