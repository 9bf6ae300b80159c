"""What compose says of a project, and what is remembered of it as the shell of a deploy writes it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.host.fake_files import FakeFiles
from tests.host.fake_system import FakeSystem
from webui_stack.host import compose
from webui_stack.host.compose import Compose
from webui_stack.host.errors import HostError
from webui_stack.host.system import Ended

GOOD = "/opt/stack/.good"


def program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a user with docker in PATH and a compose of their own."""
    home = tmp_path / "home"
    program(home / "bin/docker")
    program(home / ".docker/cli-plugins/docker-compose")
    monkeypatch.setenv("HOME", str(home))
    for tool in ("xargs", "stat", "sha256sum"):
        (home / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    monkeypatch.setenv("PATH", f"{home}/bin")
    return home


# As versions up to 2026-11-30 told it.
EARLIER = r"""
# Which Docker and Compose there are, told by their files: where the CLI looks for plug-ins (docker/cli,
# cli-plugins/manager), and the CLI itself.
programs() {
  for plugin in "${HOME:-/root}/.docker" /usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker \
    /usr/libexec/docker; do
    echo "$plugin/cli-plugins/docker-compose"
  done | xargs stat -L -c '%n %s %Y' "$(command -v docker)" 2>/dev/null | sha256sum
}
"""


def as_the_shell_writes_it() -> str:
    return subprocess.check_output(["/bin/sh", "-s"], input=f"{EARLIER}\nprograms", text=True).rstrip("\n")


def remember(host: FakeSystem, text: str = "hash open-webui c1\nhash redis c2\n") -> None:
    host.put(f"{GOOD}/known", f"programs {compose.programs()}\ncompose 2.26.1\nkey k  -\n{text}")


@pytest.mark.parametrize("missing", ["", "bin/docker", ".docker/cli-plugins/docker-compose"])
def test_programs_are_told_as_the_shell_tells_them(home: Path, missing: str) -> None:
    if missing:
        (home / missing).unlink()
    assert compose.programs() == as_the_shell_writes_it()


def test_what_was_remembered_counts_while_the_programs_are_the_same(home: Path, tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    remember(host)
    assert compose.known(host, GOOD) == compose.Known("2.26.1", "k  -", {"open-webui": "c1", "redis": "c2"})


@pytest.mark.parametrize("line", ["hash redis", "hash", "hash redis c2 c3"])
def test_a_memory_that_a_power_cut_damaged_tells_nothing(home: Path, tmp_path: Path, line: str) -> None:
    host = FakeSystem(tmp_path)
    remember(host, f"hash open-webui c1\n{line}\n")
    assert compose.known(host, GOOD) == compose.Known()


@pytest.mark.parametrize("name", ["bin/docker", ".docker/cli-plugins/docker-compose"])
@pytest.mark.parametrize("how", ["another size", "another time", "gone"])
def test_another_docker_or_compose_makes_it_unknown(home: Path, tmp_path: Path, name: str, how: str) -> None:
    host = FakeSystem(tmp_path)
    remember(host)
    file = home / name
    written_s = file.stat().st_mtime
    if how == "gone":
        file.unlink()
    elif how == "another size":
        file.write_text("#!/bin/sh\n\n")
        os.utime(file, (written_s, written_s))
    else:
        os.utime(file, (0, written_s + 1))
    assert compose.known(host, GOOD) == compose.Known()


@pytest.mark.parametrize("text", [None, "", "compose 2.26.1\nkey k\n"], ids=["absent", "empty", "without programs"])
def test_a_record_that_does_not_name_the_programs_says_nothing(home: Path, tmp_path: Path, text: str | None) -> None:
    host = FakeSystem(tmp_path)
    if text is not None:
        host.put(f"{GOOD}/known", text)
    assert compose.known(host, GOOD) == compose.Known()


@pytest.mark.parametrize("env", ["A='1'\nB='\u00fc'", "A='\u2028'", "A='\udcff'"], ids=ascii)
def test_the_key_is_what_the_shell_of_a_deploy_prints_of_the_two_files(tmp_path: Path, env: str) -> None:
    file = "services: {}\n"
    (tmp_path / "compose.yaml").write_text(file)
    (tmp_path / ".env").write_bytes(f"{env}\n".encode("utf-8", "surrogateescape"))
    said = subprocess.check_output(["sh", "-c", "cat compose.yaml .env | sha256sum"], cwd=tmp_path, text=True)
    assert compose.key(file, env) == said.rstrip("\n")


@pytest.mark.parametrize(("said", "version"), [("2.26.1\n", "2.26.1"), ("v2.40.3\n", "2.40.3"), (None, "")])
def test_composes_version_is_told_without_a_v_and_none_where_there_is_none(
    tmp_path: Path, said: str | None, version: str
) -> None:
    host = FakeSystem(tmp_path, docker=lambda _: said)
    assert compose.version(host) == version
    assert host.asked[0].command == ("docker", "compose", "version", "--short")


def test_hashes_are_asked_of_the_file_as_wanted_and_none_of_one_that_compose_refuses(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path, docker="open-webui c1\nredis c2\n")
    assert compose.hashes(host, "/opt/stack", "services: {}\n", "A='1'") == {"open-webui": "c1", "redis": "c2"}
    assert host.asked[0].stdin == "services: {}\n"
    host.programs["docker"] = lambda _: None
    assert compose.hashes(host, "/opt/stack", "services: {}\n", "A='1'") == {}


def test_compose_has_the_files_variables_and_none_of_the_callers(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REDIS_URL", "COMPOSE_FILE", "COMPOSE_PROFILES", "DOCKER_HOST", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "of the caller")
    host = FakeSystem(tmp_path, docker="")
    compose.hashes(host, "/opt/stack", "", "# a comment\nREDIS_URL='redis://x'\nWEBUI_SECRET_KEY='a=b'")
    assert host.asked[0].environment == {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "REDIS_URL": "redis://x",
        "WEBUI_SECRET_KEY": "a=b",
    }
    assert "redis://x" not in " ".join(host.asked[0].command), "everybody can see it"


@pytest.mark.parametrize(
    "value", ["", " two  words ", "$HOME `id`", '"', "#", "C:\\temp\\n", "a=b", "\u2028", "\x0c", "\x85"], ids=ascii
)
def test_a_variables_value_is_what_is_between_its_quotes(value: str) -> None:
    assert compose.variables(f"A='1'\nB='{value}'\nC='2'") == {"A": "1", "B": value, "C": "2"}


# --- The project in a folder


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def host(tmp_path: Path) -> FakeSystem:
    return FakeSystem(tmp_path, docker="redis\nopen-webui\n")


@pytest.fixture
def project(host: FakeSystem, said: list[str]) -> Compose:
    files = FakeFiles()
    files.make_folder("/opt/stack/secrets")
    files.write("/opt/stack/.env", "# a comment\nA='hidden-in-env'\nSHORT='open'\n")
    files.write("/opt/stack/secrets/key", "hidden-in-file\n")
    return Compose(host, files, "/opt/stack", wait_s=120, descriptors=[7, 8], tell=said.append)


@pytest.mark.parametrize(
    ("change", "arguments", "limit_s"),
    [
        (lambda one: one.up(), "up --detach --wait --wait-timeout 120 --pull never", 720),
        (lambda one: one.up("redis"), "up --detach --wait --wait-timeout 120 --pull never redis", 720),
        (lambda one: one.restart("redis"), "restart redis", 600),
        (lambda one: one.restart("redis", alone=True), "restart --no-deps redis", 600),
        (lambda one: one.remove("redis"), "rm --stop --force redis", 600),
        (lambda one: one.services(), "config --services", 60),
    ],
)
def test_compose_is_given_the_projects_own_file_the_locks_and_nothing_of_the_callers_environment(
    home: Path,
    host: FakeSystem,
    project: Compose,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Compose], object],
    arguments: str,
    limit_s: int,
) -> None:
    monkeypatch.setenv("REDIS_URL", "of the caller")
    change(project)
    (asked,) = host.asked
    start = "docker compose --project-directory /opt/stack --file /opt/stack/compose.yaml"
    assert " ".join(asked.command) == f"{start} {arguments}"
    assert asked.environment == {"PATH": os.environ["PATH"], "HOME": str(home)}
    assert (asked.limit_s, asked.descriptors) == (limit_s, (7, 8))


def test_compose_that_fails_is_an_error_with_its_last_line_and_all_of_them_are_told(
    host: FakeSystem, project: Compose, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Ended(1, "", " Container redis-valkey  Starting\ncontainer redis-valkey is unhealthy\n\n")
    monkeypatch.setattr(host, "_carry_out", lambda *_: ended)
    with pytest.raises(HostError) as caught:
        project.up()
    assert str(caught.value) == (
        "compose: expected `docker compose up` to succeed, got exit status 1: container redis-valkey is unhealthy; "
        "see the lines above, and run this again"
    )
    assert said[1] == "container redis-valkey is unhealthy"


def test_no_secret_is_in_what_compose_says_of_a_broken_file(
    host: FakeSystem, project: Compose, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = 'unexpected character "!" in variable name near "A=\'hidden-in-env\' open hidden-in-file"'
    monkeypatch.setattr(host, "_carry_out", lambda *_: Ended(1, "", broken))
    for ask in (project.up, project.services):
        with pytest.raises(HostError) as caught:
            ask()
        assert "hidden" not in f"{caught.value}{said}"
    assert "near \"A='***' open ***\"" in said[0]


@pytest.mark.parametrize("output", ["", "\n"])
def test_a_project_without_services_is_an_error(host: FakeSystem, project: Compose, output: str) -> None:
    host.programs["docker"] = output
    with pytest.raises(HostError, match="expected services in it, got none"):
        project.services()
    with pytest.raises(HostError, match="expected a hash of each service"):
        project.hashes()


def test_what_is_remembered_is_what_is_known_later(
    home: Path, tmp_path: Path, host: FakeSystem, project: Compose
) -> None:
    def docker(arguments: Sequence[str]) -> str:
        return "2.26.1\n" if "version" in arguments else "open-webui c1\nredis c2\n"

    host.programs["docker"] = docker
    host.put(f"{GOOD}/known", compose.remembered(project, b"services: {}\n", b"A='1'\n"))
    key = compose.key("services: {}\n", "A='1'")
    assert compose.known(host, GOOD) == compose.Known("2.26.1", key, {"open-webui": "c1", "redis": "c2"})
    host.programs["docker"] = lambda arguments: None if "version" in arguments else "redis c2\n"
    with pytest.raises(HostError, match="expected its version"):
        compose.remembered(project, b"", b"")
