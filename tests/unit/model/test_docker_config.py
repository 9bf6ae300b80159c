"""Docker's configuration: the host's own choices win, no two drivers are mixed, and what fails is put back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import surveys
from tests.defaults import DEFAULTS, settings
from webui_stack.model import docker_config, survey
from webui_stack.model.docker_config import Container, DaemonJsonError, Observed, Plan, plan, refusals
from webui_stack.settings.sources import HiddenItems

SHIPPED = DEFAULTS["docker_daemon"]
POOLS = [{"base": "198.19.0.0/17", "size": 24}]
SYSLOG = {"log-driver": "syslog", "log-opts": {"syslog-address": "udp://127.0.0.1:514"}}
SOMEBODYS = Container("somebodys")
OURS = Container("open-webui", folder="/opt/open-webui")
RUNNING = Observed(runs=True, containers=(OURS, SOMEBODYS))


def with_file(text: str | dict[str, Any] | None, observed: Observed = RUNNING) -> Observed:
    """The host with this daemon.json."""
    if text is None:
        return observed
    text = text if isinstance(text, str) else json.dumps(text)
    return replace(observed, sha256=docker_config.sha256(text), text=text)


def written(found: Plan) -> Any:
    assert found.text is not None
    assert found.text.endswith("}\n")
    return json.loads(found.text)


def merged(present: str | dict[str, Any] | None, observed: Observed = RUNNING, **changes: Any) -> Any:
    """What daemon.json says after a deploy; None where it stays."""
    found = plan(settings(**changes), with_file(present, observed))
    return None if found.text is None else written(found)


# --- Reading ----------------------------------------------------------------------------------------


def read(part: dict[str, Any]) -> Observed:
    """What a host without Docker says of its configuration, but for these values, as a run reads it."""
    document = surveys.changed(surveys.DEPLOYED, docker_config={**surveys.NO_DOCKER, **part})
    return survey.parse(document).docker


def test_nothing_is_configured_where_no_docker_is() -> None:
    assert read({}) == Observed()


def test_a_change_that_was_cut_off_and_a_file_elsewhere_are_read() -> None:
    found = read({"sha256": "unknown", "changing": True, "config_files": ["/x.json"]})
    assert found == Observed(sha256="unknown", cut_off=True, config_files=frozenset({"/x.json"}))


def test_a_host_is_read_whole() -> None:
    found = survey.parse(surveys.DEPLOYED).docker
    assert found == Observed(
        sha256=docker_config.sha256(surveys.DAEMON_JSON),
        options=frozenset({"containerd", "hosts"}),
        runs=True,
        live_restore=True,
        containers=(Container("open-webui", "/opt/open-webui"), Container("redis-valkey", "/opt/open-webui")),
    )


@pytest.mark.parametrize(("suffix", "driver"), [("", "overlay2"), ("-containerd", "overlayfs")])
def test_a_newer_engine_says_who_keeps_its_images(suffix: str, driver: str) -> None:
    found = read(surveys.captured(f"docker_config/debian-13-docker.io-28.5.2{suffix}"))
    assert (found.containerd_store, found.driver, found.root, found.there) == (
        bool(suffix),
        driver,
        "/var/lib/docker",
        2,
    )
    assert found.live_restore
    assert {one.name for one in found.containers or ()} == {"open-webui", "redis-valkey"}


def test_no_answer_is_not_taken_for_no_containers() -> None:
    assert read({"runs": True, "containers": None}).containers is None
    assert read({"runs": True, "swarm_state": "inactive", "containers": []}).containers == ()


@pytest.mark.parametrize(
    ("option", "key"),
    [
        ("--log-driver", "log-driver"),
        ("--log-opt", "log-opts"),
        ("--default-address-pool", "default-address-pools"),
        ("--insecure-registry", "insecure-registries"),
        ("-Hfd://", "hosts"),
        ("-D", "debug"),
        ("-l", "log-level"),
    ],
)
def test_an_option_is_known_by_its_key_in_daemon_json(option: str, key: str) -> None:
    assert read({"options": [option]}).options == {key}


@pytest.mark.parametrize("state", ["active", "pending", "locked", "error"])
def test_a_node_of_a_swarm_is_one_in_every_state(state: str) -> None:
    assert read({"swarm_state": state}).in_swarm
    assert not read({"swarm_state": "inactive"}).in_swarm


def test_a_docker_that_does_not_run_is_in_the_swarm_that_it_has_a_note_of() -> None:
    """With live-restore in its file it would not start any more."""
    assert read({"swarm_noted": True}).in_swarm
    assert not read({}).in_swarm


# --- What becomes of daemon.json --------------------------------------------------------------------


def test_the_deployed_daemon_json_needs_nothing_more() -> None:
    assert plan(settings(docker_address_pools=POOLS), with_file(surveys.DAEMON_JSON)) == Plan()


@pytest.mark.parametrize("present", [None, "", " \n", "{}"], ids=["no file", "empty", "blank", "empty object"])
def test_a_new_daemon_json_holds_what_is_wanted(present: str | None) -> None:
    assert merged(present) == SHIPPED
    assert plan(settings(), with_file(present)).text == docker_config.alone(settings())


@pytest.mark.parametrize("present", [None, "", "{}", '{"debug": true}'])
def test_wanting_nothing_changes_nothing(present: str | None) -> None:
    assert plan(settings(docker_daemon={}), with_file(present)) == Plan()


KEPT = "/etc/docker/daemon.json: {} stay as they are there, not as docker_daemon says"


@pytest.mark.parametrize(
    ("present", "changes", "expected", "told"),
    [
        pytest.param(
            SYSLOG, {}, {**SYSLOG, "live-restore": True}, [KEPT.format("log-driver, log-opts")], id="a driver"
        ),
        pytest.param(
            {"log-driver": "local"}, {}, {"log-driver": "local", "live-restore": True},
            [KEPT.format("log-driver, log-opts")], id="a driver without options",
        ),
        pytest.param(
            {"log-opts": {"max-size": "1m", "labels": "x"}}, {},
            {"log-opts": {"max-size": "1m", "max-file": "3", "labels": "x"}, "live-restore": True,
             "log-driver": "json-file"},
            [KEPT.format("log-opts")], id="options of the same driver",
        ),
        pytest.param(
            {"live-restore": False}, {}, {**SHIPPED, "live-restore": False}, [KEPT.format("live-restore")],
            id="a switch",
        ),
        pytest.param(
            {"live-restore": False}, {"docker_daemon": {**SHIPPED, "mtu": 1400}},
            {**SHIPPED, "mtu": 1400, "live-restore": False}, [KEPT.format("live-restore")],
            id="a key the operator adds makes no wish of the others",
        ),
        pytest.param(
            {"log-driver": "json-file", "log-opts": {"max-size": "1m"}},
            {"docker_daemon": {**SHIPPED, "log-opts": {"max-size": "50m"}}},
            {"log-driver": "json-file", "log-opts": {"max-size": "50m"}, "live-restore": True}, [],
            id="the operator's wish for options",
        ),
        pytest.param(
            SYSLOG, {"docker_daemon": {**SHIPPED, "log-opts": {"max-size": "50m"}}},
            {**SYSLOG, "live-restore": True}, [KEPT.format("log-driver, log-opts")],
            id="a wish for options of another driver",
        ),
        pytest.param(
            SYSLOG, {"docker_daemon": {"log-driver": "journald"}}, {"log-driver": "journald"}, [],
            id="a wish for a driver leaves none of the other's options",
        ),
        pytest.param(
            SYSLOG, {"docker_daemon": {"log-driver": "local", "log-opts": {"max-size": "1m"}}},
            {"log-driver": "local", "log-opts": {"max-size": "1m"}}, [],
            id="a wish for a driver and its options",
        ),
        pytest.param(
            {"dns": ["192.0.2.1", "192.0.2.2"]}, {"docker_daemon": {"dns": ["192.0.2.3"]}}, {"dns": ["192.0.2.3"]}, [],
            id="lists are replaced whole",
        ),
        pytest.param(
            {"default-address-pools": []}, {"docker_daemon": {}, "docker_address_pools": POOLS},
            {"default-address-pools": POOLS}, [], id="pools are always a wish",
        ),
        pytest.param(
            {"live-restore": 1}, {}, SHIPPED, [], id="a number where a bool belongs, which dockerd refuses"
        ),
        pytest.param(
            {"live-restore": True}, {"topology": "swarm", "swarm_manager": True, "swarm_runs": ["open-webui", "data"],
                                     "public_url": "https://x.example.org", "open_webui_shared_dir": "/srv/shared"},
            {**SHIPPED, "live-restore": False}, [], id="a swarm of ours needs it off",
        ),
    ],
)  # fmt: skip
def test_the_hosts_choices_win_over_defaults_and_the_operators_wishes_over_both(
    present: dict[str, Any], changes: dict[str, Any], expected: dict[str, Any], told: list[str]
) -> None:
    found = plan(settings(**changes), with_file(present))
    assert written(found) == expected
    assert list(found.told) == told
    assert plan(settings(**changes), with_file(found.text)) == Plan(told=found.told), "it does not converge"


def test_a_tuple_is_the_list_json_makes_of_it() -> None:
    """An inventory is Python; a tuple there must not rewrite the file and restart Docker at every run."""
    assert merged('{"dns": ["192.0.2.1"]}', docker_daemon={"dns": ("192.0.2.1",)}) is None


@pytest.mark.parametrize(
    ("options", "expected", "told"),
    [
        pytest.param({"log-driver"}, {"live-restore": True}, "log-driver, log-opts", id="a driver"),
        pytest.param({"log-opts"}, {"live-restore": True}, "log-driver, log-opts", id="options of one"),
        pytest.param(
            {"live-restore"}, {key: SHIPPED[key] for key in docker_config.LOGGING}, "live-restore", id="live-restore"
        ),
    ],
)
def test_what_is_an_option_of_dockers_service_is_not_put_into_the_file(
    options: set[str], expected: dict[str, Any], told: str
) -> None:
    """dockerd does not start with both; not even an operator's wish is worth that."""
    found = plan(settings(), replace(RUNNING, options=frozenset(options)))
    assert written(found) == expected
    assert found.told == (f"docker: {told} stay as the options of Docker's service have them",)
    pools = replace(RUNNING, options=frozenset({"default-address-pools"}))
    assert merged(None, pools, docker_daemon={}, docker_address_pools=POOLS) is None


def test_no_live_restore_on_a_node_of_somebodys_swarm() -> None:
    found = plan(settings(), replace(RUNNING, in_swarm=True))
    assert written(found) == {key: SHIPPED[key] for key in docker_config.LOGGING}
    assert found.told == ("docker: live-restore stays off: this host is in a swarm, where Docker refuses it",)
    assert not found.survives


def test_an_engine_configured_elsewhere_is_left_alone() -> None:
    found = plan(settings(), replace(RUNNING, config_files=frozenset({"/srv/docker.json"})))
    assert found == Plan(told=("docker: is configured by /srv/docker.json, so nothing of docker_daemon is set there",))
    usual = replace(RUNNING, config_files=frozenset({"/etc/docker/daemon.json"}))
    assert written(plan(settings(), usual)) == SHIPPED


@pytest.mark.parametrize(
    ("present", "message"),
    [
        pytest.param("{", "line 1: Expecting property name enclosed in double quotes", id="cut off"),
        pytest.param('{\n"a": 1,\n}', "line 3: Expecting property name enclosed in double quotes", id="trailing comma"),
        pytest.param("[]", "it is not an object", id="a list"),
        pytest.param('"debug"', "it is not an object", id="text"),
        pytest.param("null", "it is not an object", id="null"),
    ],
)
def test_what_can_not_be_merged_is_not_overwritten(present: str, message: str) -> None:
    with pytest.raises(DaemonJsonError) as caught:
        plan(settings(), with_file(present))
    assert str(caught.value).startswith(message)
    (refusal,) = refusals(settings(), with_file(present))
    assert refusal.startswith("/etc/docker/daemon.json: expected a JSON object, got something else (")


def test_a_file_that_could_not_be_read_is_not_taken_for_none() -> None:
    (refusal,) = refusals(settings(), Observed(sha256="unknown"))
    assert "it could not be read" in refusal


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["live-restore", "log-driver", "log-opts", "mtu", "dns"]
OBJECT = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4)


@given(OBJECT, OBJECT, st.frozensets(st.sampled_from(KEYS)), st.booleans())
def test_planning_twice_changes_nothing_more(
    present: dict[str, Any], wanted: dict[str, Any], options: frozenset[str], in_swarm: bool
) -> None:
    observed = Observed(options=options, in_swarm=in_swarm)
    some = settings(docker_daemon=wanted)
    found = plan(some, with_file(present, observed))
    after = written(found) if found.text else present
    assert plan(some, with_file(after, observed)).action == "nothing"
    ours = set(wanted) | ({"log-opts"} if "log-driver" in wanted else set())
    for key in present.keys() - ours:
        assert after[key] == present[key]
    for key in options - present.keys():
        assert key not in after


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        pytest.param(SHIPPED, True, id="as we write it"),
        pytest.param(dict(list(SHIPPED.items())[:1]), True, id="a part of that"),
        pytest.param({**SHIPPED, "mtu": 1400}, False, id="a key of somebody's"),
        pytest.param({**SHIPPED, "log-opts": {"tag": "x"}}, False, id="a nested key of somebody's"),
        pytest.param({**SHIPPED, "log-driver": "journald"}, False, id="another value"),
        pytest.param("[]", False, id="no object"),
        pytest.param("{", False, id="not JSON"),
        pytest.param(None, False, id="no file"),
    ],
)
def test_daemon_json_is_ours_when_it_says_nothing_else(present: Any, expected: bool) -> None:
    assert docker_config.is_ours(settings(), with_file(present)) is expected


# --- Reload or restart, and whom it stops -----------------------------------------------------------


def test_what_a_reload_is_enough_for_restarts_nothing() -> None:
    found = plan(settings(), with_file(SYSLOG))
    assert (found.action, found.awaits_live_restore, found.stops) == ("reload", True, ())
    assert plan(settings(docker_daemon={"labels": ["a=b"]}), RUNNING).action == "reload"


def test_containers_run_on_by_live_restore() -> None:
    found = plan(settings(docker_address_pools=POOLS), with_file(SYSLOG))
    assert (found.action, found.survives, found.stops) == ("restart", True, ())
    assert refusals(settings(docker_address_pools=POOLS), with_file(SYSLOG)) == []


STOPPED = [
    pytest.param(replace(RUNNING, in_swarm=True), {}, id="a swarm has no live-restore"),
    pytest.param(with_file({"live-restore": False}), {}, id="the host has it off"),
    pytest.param(RUNNING, {"docker_daemon": {"log-driver": "local"}}, id="nobody wants it"),
    pytest.param(RUNNING, {"docker_daemon": {"live-restore": True, "bip": "192.0.2.1/24"}}, id="another bridge"),
    pytest.param(replace(RUNNING, options=frozenset({"live-restore"})), {}, id="off by an option"),
]


@pytest.mark.parametrize(("observed", "changes"), STOPPED)
def test_a_restart_that_stops_containers_of_others_needs_a_setting(observed: Observed, changes: dict[str, Any]) -> None:
    found = plan(settings(**changes), observed)
    assert (found.action, found.survives, found.stops, found.others) == (
        "restart",
        False,
        ("somebodys", "open-webui"),
        1,
    )
    assert refusals(settings(**changes), observed) == [
        "docker: expected a restart that stops no containers of others, got one that stops somebodys; set "
        "docker_restart_stops_others = True to restart all the same, or docker_daemon = {} to leave "
        "/etc/docker/daemon.json as it is"
    ]
    assert refusals(settings(**changes, docker_restart_stops_others=True), observed) == []
    assert refusals(settings(**changes), replace(observed, containers=(OURS,))) == []
    assert refusals(settings(**changes), replace(observed, runs=False, containers=None)) == []


HERE = replace(RUNNING, there=3, root="/var/lib/docker", driver="overlay2")
MOVES = [
    pytest.param("features.containerd-snapshotter", {"features": {"containerd-snapshotter": True}}, id="store"),
    pytest.param("storage-driver", {"storage-driver": "btrfs"}, id="driver"),
    pytest.param("data-root", {"data-root": "/srv/docker"}, id="root"),
]


@pytest.mark.parametrize(("what", "wish"), MOVES)
def test_docker_is_not_told_to_look_elsewhere_for_containers_it_has(what: str, wish: dict[str, Any]) -> None:
    changes: dict[str, Any] = {"docker_daemon": {**SHIPPED, **wish}, "docker_restart_stops_others": True}
    for observed in (HERE, replace(HERE, containers=())):  # stopped ones would be gone as well
        (refusal,) = refusals(settings(**changes), observed)
        assert refusal.startswith(f"docker: expected its 3 containers to be there after a restart, got {what} in ")
    assert refusals(settings(**changes), replace(HERE, containers=(), there=0)) == []
    assert plan(settings(**changes), HERE).action == "restart", "a reload takes it in and does not follow it"


IN_FORCE = {"features": {"containerd-snapshotter": False}, "storage-driver": "overlay2", "data-root": "/var/lib/docker"}


def test_what_is_in_force_may_be_said() -> None:
    here = replace(HERE, containers=(OURS,))
    assert refusals(settings(docker_daemon={**SHIPPED, **IN_FORCE}), here) == []
    newer = replace(here, driver="overlayfs", containerd_store=True)
    assert refusals(settings(docker_daemon={**SHIPPED, "features": {"containerd-snapshotter": True}}), newer) == []
    assert refusals(settings(docker_daemon={**SHIPPED, "features": {"containerd-snapshotter": False}}), newer)


def test_a_file_that_somebody_changed_is_not_brought_into_force_by_our_restart() -> None:
    theirs = with_file({"features": {"containerd-snapshotter": True}}, HERE)
    assert "features.containerd-snapshotter" in refusals(settings(docker_address_pools=POOLS), theirs)[0]
    assert refusals(settings(docker_daemon={}), theirs) == []


def test_live_restore_by_an_option_that_is_on_keeps_containers() -> None:
    observed = replace(RUNNING, options=frozenset({"live-restore"}), live_restore=True)
    found = plan(settings(), observed)
    assert found.survives


def test_a_docker_that_does_not_answer_is_not_taken_for_one_without_containers() -> None:
    (refusal,) = refusals(settings(docker_address_pools=POOLS), replace(RUNNING, containers=None))
    assert refusal.startswith("docker: expected it to say which containers run, got no answer")
    assert refusals(settings(docker_daemon={}), replace(RUNNING, containers=None)) == []


def test_a_run_that_was_killed_is_ended_by_the_next() -> None:
    """Whatever the file says: nobody knows whether Docker has read it."""
    found = plan(settings(), with_file(SHIPPED, replace(RUNNING, cut_off=True)))
    assert (found.action, found.text) == ("restart", json.dumps(SHIPPED))
    killed_early = plan(settings(docker_daemon={}), replace(RUNNING, cut_off=True))
    assert (killed_early.action, killed_early.text) == ("restart", "{}\n")


def test_a_docker_that_remaps_users_is_refused_whoever_asked_for_it() -> None:
    assert read({"remaps_users": True}).remaps_users
    assert not read({}).remaps_users
    assert docker_config.shortcomings(settings(), RUNNING) == []
    (refusal,) = docker_config.shortcomings(settings(), replace(RUNNING, remaps_users=True))
    assert refusal.startswith("docker: expected root in a container to be root on the host, got userns-remap")
    assert docker_config.shortcomings(settings(docker_daemon={"userns-remap": "default"}), RUNNING) == [refusal]
    assert docker_config.shortcomings(settings(docker_daemon={"userns-remap": ""}), RUNNING) == []


# --- What is shown ----------------------------------------------------------------------------------

PRIVATE = {
    "proxies": {"http-proxy": "http://user:sesame@proxy"},
    "log-driver": "splunk",
    "log-opts": {"splunk-token": "sesame"},
}


def test_a_diff_shows_only_our_keys_and_no_plan_shows_more() -> None:
    wish = {**SHIPPED, "log-driver": "local"}
    found = plan(settings(docker_daemon=wish), with_file(PRIVATE))
    assert [json.loads(text) for text in found.diff] == [{"log-driver": "splunk", "log-opts": {}}, wish]
    proxies = {"proxies": {"http-proxy": "http://user:sesame@other"}}
    wished = plan(settings(docker_daemon=proxies), with_file(PRIVATE))
    assert json.loads(wished.diff[1]) == {"proxies": {"http-proxy": "http://***@other"}}
    for shown in (found, wished, with_file(PRIVATE), HiddenItems(docker_config.request(found))):
        assert "sesame" not in repr(shown)
