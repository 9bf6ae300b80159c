"""Docker on a host is read right from real output, and each host Docker can't come to is told why."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.defaults import DEFAULTS, FIXTURES
from webui_stack import engine, machine
from webui_stack.engine import Engine, Source, is_ours, merge_daemon_json

# COMMAND's output on lab hosts: Debian 13 with docker.io after a deploy, and before anything was installed.
DEPLOYED = engine.parse((FIXTURES / "engine" / "debian-13-docker.io-26.1.5.txt").read_text().splitlines())
FRESH = engine.parse((FIXTURES / "engine" / "debian-13-fresh.txt").read_text().splitlines())

DEBIAN_13 = machine.parse((FIXTURES / "machine" / "debian-13.txt").read_text().splitlines())
DEBIAN_12 = replace(DEBIAN_13, version="12", codename="bookworm", pretty_name="Debian GNU/Linux 12 (bookworm)")
UBUNTU = replace(DEBIAN_13, distribution="ubuntu", version="24.04", codename="noble", pretty_name="Ubuntu 24.04.3 LTS")
RHEL = replace(
    DEBIAN_13, distribution="rhel", version="9.4", codename="", pretty_name="Red Hat Enterprise Linux 9.4 (Plow)"
)
CE = frozenset(engine.packages(DEBIAN_13, "docker-ce"))
DOCKER_CE = Engine(
    server="28.1.1",
    compose="2.35.1",
    has_cli=True,
    processes=frozenset({"containerd", "dockerd"}),
    versions=dict.fromkeys(CE, ""),
)


# --- Reading ----------------------------------------------------------------------------------------


def test_a_host_with_the_distributions_docker_is_read_whole() -> None:
    assert replace(DEPLOYED, versions={}, daemon_json=None) == Engine(
        server="26.1.5+dfsg1",
        compose="2.26.1-4",
        has_cli=True,
        running_containers=2,
        processes=frozenset({"dockerd", "containerd"}),
    )
    assert DEPLOYED.packages >= {"docker.io", "docker-cli", "docker-compose", "containerd", "runc"}
    assert len(DEPLOYED.packages) == 153
    assert json.loads(DEPLOYED.daemon_json or "")["log-driver"] == "json-file"


def test_a_fresh_host_has_no_docker() -> None:
    assert replace(FRESH, versions={}) == Engine()
    assert {"curl", "ca-certificates"} <= FRESH.packages
    assert not [name for name in FRESH.packages if "docker" in name]


def test_an_engine_s_own_packages_are_told_from_the_others() -> None:
    assert engine.parse(["package=bash 5.2-1", "package=runc 1.1.15+ds1-2+b4"]).family == {"runc": "1.1.15+ds1-2+b4"}


def test_no_output_is_no_docker() -> None:
    assert engine.parse([]) == Engine()


def test_a_stopped_engine_has_a_client_and_no_version() -> None:
    lines = ["cli=/usr/bin/docker", "server=", "compose=2.26.1", "running=0", "key="]
    assert engine.parse(lines) == Engine(has_cli=True, compose="2.26.1")


def test_a_compose_version_loses_its_v() -> None:
    assert engine.parse(["compose=v2.40.0"]).compose == "2.40.0"


def test_equals_signs_in_daemon_json_stay() -> None:
    assert engine.parse(['daemon={"labels":', 'daemon=["a=b=c"]}']).daemon_json == '{"labels":\n["a=b=c"]}'


def test_an_empty_daemon_json_is_there() -> None:
    assert engine.parse(["daemon="]).daemon_json == ""


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="the command's apt half needs dpkg")
def test_apts_files_of_sources_are_read_whole_and_without_passwords(tmp_path: Path) -> None:
    """The very command, on this machine, with its paths led to a folder."""
    folder = tmp_path / "etc/apt/sources.list.d"
    folder.mkdir(parents=True)
    (tmp_path / "etc/apt/sources.list").write_text("# none\n\ndeb https://me:secret@packages.example.org/x trixie main")
    (folder / "docker.sources").write_text("Types: deb\n\nURIs: https://a=b.example.org\n")
    (folder / "old.list.disabled").write_text("deb https://packages.example.org/y trixie main\n")
    command = engine.COMMAND.replace("/etc/apt", f"{tmp_path}/etc/apt")
    output = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert engine.parse(output.splitlines()).apt_sources == {
        f"{tmp_path}/etc/apt/sources.list": "# none\n\ndeb https://packages.example.org/x trixie main\n",
        f"{folder}/docker.sources": "Types: deb\n\nURIs: https://a=b.example.org\n",
    }


# --- What to install --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "source", "expected"),
    [
        pytest.param(DEBIAN_13, "distro", ["docker.io", "docker-cli", "docker-compose"], id="Debian's own"),
        pytest.param(UBUNTU, "distro", ["docker.io", "docker-compose-v2"], id="Ubuntu's own"),
        pytest.param(
            RHEL,
            "docker-ce",
            ["docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"],
            id="Docker's, for dnf",
        ),
    ],
)
def test_packages_by_source(host: machine.Machine, source: Source, expected: list[str]) -> None:
    assert engine.packages(host, source) == expected


@pytest.mark.parametrize(
    ("host", "installed", "source", "expected"),
    [
        pytest.param(DEBIAN_13, FRESH.packages, "docker-ce", [], id="a fresh host"),
        pytest.param(DEBIAN_13, CE, "docker-ce", [], id="its own packages"),
        pytest.param(
            DEBIAN_13,
            DEPLOYED.packages,
            "docker-ce",
            ["docker.io", "docker-cli", "docker-compose", "containerd", "runc"],
            id="Debian's before Docker's",
        ),
        pytest.param(
            DEBIAN_13,
            CE,
            "distro",
            ["docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"],
            id="Docker's before Debian's",
        ),
        pytest.param(RHEL, frozenset({"podman-docker", "runc"}), "docker-ce", ["podman-docker", "runc"], id="podman"),
    ],
)
def test_rivals_that_have_to_go(
    host: machine.Machine, installed: frozenset[str], source: Source, expected: list[str]
) -> None:
    assert engine.conflicts(host, Engine(versions=dict.fromkeys(installed, "")), source) == expected


# --- Refusals ---------------------------------------------------------------------------------------

WANTED = DEFAULTS["docker_daemon"]

REFUSALS = [
    pytest.param(DEBIAN_13, FRESH, "docker-ce", [], id="fresh host, docker-ce"),
    pytest.param(DEBIAN_13, FRESH, "distro", [], id="fresh host, distro"),
    pytest.param(DEBIAN_13, DEPLOYED, "distro", [], id="its own packages again, distro"),
    pytest.param(DEBIAN_13, DOCKER_CE, "docker-ce", [], id="its own packages again, docker-ce"),
    pytest.param(UBUNTU, FRESH, "distro", [], id="Ubuntu, distro"),
    pytest.param(DEBIAN_12, FRESH, "docker-ce", [], id="Debian 12, docker-ce"),
    pytest.param(RHEL, FRESH, "docker-ce", [], id="RHEL, docker-ce"),
    pytest.param(
        DEBIAN_13,
        Engine(versions=DEPLOYED.versions),
        "docker-ce",
        [],
        id="rivals that don't run are replaced",
    ),
    pytest.param(
        DEBIAN_12,
        FRESH,
        "distro",
        [
            "docker_source: expected a distribution with Compose v2, got Debian 12, whose packages have none; "
            "set docker_source = 'docker-ce', or upgrade the host to Debian 13"
        ],
        id="Debian 12, distro",
    ),
    pytest.param(
        RHEL,
        FRESH,
        "distro",
        [
            "docker_source: expected a distribution with Docker packages, got Red Hat Enterprise Linux 9.4 (Plow); "
            "set docker_source = 'docker-ce'"
        ],
        id="RHEL, distro",
    ),
    pytest.param(
        DEBIAN_13,
        DEPLOYED,
        "docker-ce",
        [
            "docker_source: expected no other engine, got docker.io, docker-cli, docker-compose, containerd, runc with "
            "containerd, dockerd running and 2 containers up; keep it with docker_source = 'distro' or 'present', "
            "or remove it yourself first"
        ],
        id="Debian's engine runs, docker-ce",
    ),
    pytest.param(
        DEBIAN_13,
        DOCKER_CE,
        "distro",
        [
            "docker_source: expected no other engine, got docker-ce, docker-ce-cli, containerd.io, "
            "docker-buildx-plugin, docker-compose-plugin with containerd, dockerd running and 0 containers up; "
            "keep it with docker_source = 'docker-ce' or 'present', or remove it yourself first"
        ],
        id="Docker's engine runs, distro",
    ),
    pytest.param(
        DEBIAN_13,
        Engine(versions={"containerd": "1.7", "runc": "1.1"}, processes=frozenset({"containerd"})),
        "docker-ce",
        [
            "docker_source: expected no other engine, got containerd, runc with containerd running and 0 containers "
            "up; keep it with docker_source = 'distro' or 'present', or remove it yourself first"
        ],
        id="a Kubernetes node's containerd runs",
    ),
    pytest.param(
        DEBIAN_13,
        replace(FRESH, server="28.0.0", has_cli=True),
        "docker-ce",
        [
            "docker_source: expected no engine or one from packages, got Docker 28.0.0 installed some other way; "
            "set docker_source = 'present' to use it as it is"
        ],
        id="an engine from no package",
    ),
    pytest.param(
        DEBIAN_13,
        replace(FRESH, daemon_json="{\n  broken"),
        "docker-ce",
        [
            "/etc/docker/daemon.json: expected a JSON object, got something else (line 2: Expecting property name "
            "enclosed in double quotes); mend it on the host: it is never overwritten"
        ],
        id="daemon.json is no JSON",
    ),
    pytest.param(
        DEBIAN_13,
        replace(FRESH, daemon_json="[]"),
        "distro",
        [
            "/etc/docker/daemon.json: expected a JSON object, got something else (it is not an object); "
            "mend it on the host: it is never overwritten"
        ],
        id="daemon.json is a list",
    ),
    pytest.param(
        DEBIAN_12,
        replace(FRESH, daemon_json="[]"),
        "distro",
        [
            "docker_source: expected a distribution with Compose v2, got Debian 12, whose packages have none; "
            "set docker_source = 'docker-ce', or upgrade the host to Debian 13",
            "/etc/docker/daemon.json: expected a JSON object, got something else (it is not an object); "
            "mend it on the host: it is never overwritten",
        ],
        id="two reasons at once",
    ),
    pytest.param(DEBIAN_13, DOCKER_CE, "present", [], id="present and new enough"),
    pytest.param(DEBIAN_12, DOCKER_CE, "present", [], id="present on Debian 12"),
    pytest.param(DEBIAN_13, replace(DOCKER_CE, daemon_json="[]"), "present", [], id="present leaves daemon.json alone"),
    pytest.param(
        DEBIAN_13,
        FRESH,
        "present",
        [
            "docker: expected it to be installed (docker_source = 'present'), got no docker command; "
            "install it, or set docker_source = 'docker-ce'"
        ],
        id="present without docker",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("host", "observed", "source", "lines"), REFUSALS)
def test_docker_may_come_from_there_or_is_refused(
    host: machine.Machine, observed: Engine, source: Source, lines: list[str]
) -> None:
    assert engine.refusals(host, observed, source, WANTED) == lines


STOPPED = (
    "docker: expected a running engine, got none; look at `journalctl -u docker` (or /var/log/docker.log) on the host"
)
NO_COMPOSE = (
    "; install docker-compose-plugin (Docker's repository) or docker-compose (Debian 13)"
)  # fmt: skip


@pytest.mark.parametrize(
    ("server", "compose", "lines"),
    [
        pytest.param("26.1.5+dfsg1", "2.26.1-4", [], id="Debian 13's"),
        pytest.param("20.10.0", "2.21.0", [], id="just new enough"),
        pytest.param("28.1.1", "2.35.1-desktop.1", [], id="Docker Desktop's"),
        pytest.param("28.1.1", "2.40.3+ds1-0ubuntu1", [], id="Ubuntu's"),
        pytest.param("28.1.1", "5.0.0", [], id="a later major version"),
        pytest.param("", "2.26.1", [STOPPED], id="not running"),
        pytest.param(
            "19.03.15", "2.26.1", ["docker: expected Engine 20.10 or newer, got 19.03.15; upgrade it"], id="old engine"
        ),
        pytest.param(
            "26.1.5",
            "2.20.3",
            [f"docker compose: expected version 2.21 or newer, got 2.20.3{NO_COMPOSE}"],
            id="old compose",
        ),
        pytest.param(
            "26.1.5",
            "1.29.2",
            [f"docker compose: expected version 2.21 or newer, got 1.29.2{NO_COMPOSE}"],
            id="compose 1",
        ),
        pytest.param(
            "26.1.5",
            "",
            [f"docker compose: expected version 2.21 or newer, got none{NO_COMPOSE}"],
            id="no compose",
        ),
        pytest.param(
            "",
            "",
            [STOPPED, f"docker compose: expected version 2.21 or newer, got none{NO_COMPOSE}"],
            id="nothing",
        ),
    ],
)
def test_an_engine_too_old_for_the_stack(server: str, compose: str, lines: list[str]) -> None:
    assert engine.shortcomings(Engine(has_cli=True, server=server, compose=compose)) == lines


# --- daemon.json ------------------------------------------------------------------------------------


def test_the_deployed_daemon_json_needs_nothing_more() -> None:
    assert merge_daemon_json(DEPLOYED.daemon_json, WANTED) is None


@pytest.mark.parametrize("current", [None, "", " \n", "{}"], ids=["no file", "empty", "blank", "empty object"])
def test_a_new_daemon_json_holds_what_is_wanted(current: str | None) -> None:
    merged = merge_daemon_json(current, WANTED)
    assert merged is not None
    assert json.loads(merged) == WANTED
    assert merged.endswith("}\n")


@pytest.mark.parametrize("current", [None, "", "{}", '{"debug": true}'])
def test_wanting_nothing_changes_nothing(current: str | None) -> None:
    assert merge_daemon_json(current, {}) is None


def test_foreign_keys_are_kept_nested_ones_too() -> None:
    current = '{"debug": true, "log-opts": {"labels": "x", "max-size": "1m"}, "log-driver": "journald"}'
    merged = merge_daemon_json(current, {"log-driver": "json-file", "log-opts": {"max-size": "10m"}})
    assert json.loads(merged or "") == {
        "debug": True,
        "log-opts": {"labels": "x", "max-size": "10m"},
        "log-driver": "json-file",
    }


def test_lists_are_replaced_whole() -> None:
    merged = merge_daemon_json('{"dns": ["192.0.2.1", "192.0.2.2"]}', {"dns": ["192.0.2.3"]})
    assert json.loads(merged or "") == {"dns": ["192.0.2.3"]}


def test_a_number_where_a_bool_belongs_is_put_right() -> None:
    """1 equals True in Python and not in JSON: dockerd refuses to start with it."""
    merged = merge_daemon_json('{"live-restore": 1}', {"live-restore": True})
    assert merged is not None
    assert json.loads(merged)["live-restore"] is True


def test_a_tuple_is_the_list_json_makes_of_it() -> None:
    """An inventory is Python; a tuple there must not rewrite the file and restart Docker at every run."""
    assert merge_daemon_json('{"dns": ["192.0.2.1"]}', {"dns": ("192.0.2.1",)}) is None


@pytest.mark.parametrize(
    ("current", "message"),
    [
        pytest.param("{", "line 1: Expecting property name enclosed in double quotes", id="cut off"),
        pytest.param('{\n"a": 1,\n}', "line 3: Expecting property name enclosed in double quotes", id="trailing comma"),
        pytest.param("[]", "it is not an object", id="a list"),
        pytest.param('"debug"', "it is not an object", id="text"),
        pytest.param("null", "it is not an object", id="null"),
    ],
)
def test_what_can_not_be_merged_is_not_overwritten(current: str, message: str) -> None:
    with pytest.raises(engine.DaemonJsonError) as caught:
        merge_daemon_json(current, WANTED)
    assert str(caught.value).startswith(message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


def holds(present: Any, wanted: Any) -> bool:
    """Whether every key of `wanted` is in `present`, at any depth."""
    if isinstance(wanted, dict) and isinstance(present, dict):
        return all(key in present and holds(present[key], value) for key, value in wanted.items())
    return bool(present == wanted)


@given(OBJECT, OBJECT)
def test_merging_twice_changes_nothing_more(current: dict[str, Any], wanted: dict[str, Any]) -> None:
    merged = merge_daemon_json(json.dumps(current), wanted) or json.dumps(current)
    assert merge_daemon_json(merged, wanted) is None
    assert holds(json.loads(merged), wanted)
    assert {key: value for key, value in json.loads(merged).items() if key not in wanted} == {
        key: value for key, value in current.items() if key not in wanted
    }


def test_the_check_of_a_new_daemon_json_quotes_its_path() -> None:
    assert "--config-file '/etc/docker/daemon json.new'" in engine.validate_command("/etc/docker/daemon json.new")


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        pytest.param(json.dumps(WANTED), True, id="as we write it"),
        pytest.param(json.dumps(dict(list(WANTED.items())[:1])), True, id="a part of that"),
        pytest.param(json.dumps({**WANTED, "mtu": 1400}), False, id="a key of somebody's"),
        pytest.param(json.dumps({**WANTED, "log-opts": {"tag": "x"}}), False, id="a nested key of somebody's"),
        pytest.param(json.dumps({**WANTED, "log-driver": "journald"}), False, id="another value"),
        pytest.param("[]", False, id="no object"),
        pytest.param("{", False, id="not JSON"),
        pytest.param(None, False, id="no file"),
    ],
)
def test_daemon_json_is_ours_when_it_says_nothing_else(current: str | None, expected: bool) -> None:
    assert is_ours(current, WANTED) is expected
