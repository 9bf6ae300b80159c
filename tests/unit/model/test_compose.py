"""What a host says of Docker and compose is read right, and `pending` names why compose has work to do."""

from __future__ import annotations

import math
import re
import shlex
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import surveys, yaml_text
from tests.surveys import Document, changed
from webui_stack.model import compose

# The document's sections about the stack, from a lab host after a deploy: Debian 13, Engine 26.1.5, compose 2.26.1.
CAPTURE = surveys.captured("compose/observe-2.26.1")
NETWORK = CAPTURE["network"]
VALKEY = "registry.lab.test:5000/valkey/valkey:8.1.1"
OPEN_WEBUI = "registry.lab.test:5000/open-webui/open-webui:v0.12.4-slim"
IMAGES = {"redis": VALKEY, "open-webui": OPEN_WEBUI}
DIRECTORY = "/opt/open-webui"
OTHER_HASH = "0" * 64


def but(name: str, **values: Any) -> Document:
    """The capture with one container that has other values."""
    return changed(CAPTURE, containers=surveys.with_container(CAPTURE, name, **values))


def reasons(work: list[compose.Work]) -> list[str]:
    return [str(item) for item in work]


def without(section: str, name: str) -> Document:
    """The capture without one image or container."""
    if section == "containers":
        return changed(CAPTURE, containers=[one for one in CAPTURE["containers"] if one["name"] != name])
    return changed(CAPTURE, **{section: {key: one for key, one in CAPTURE[section].items() if key != name}})


def with_hash(service: str, value: str, stack: Document = CAPTURE) -> Document:
    return changed(stack, project={"hashes": {**stack["project"]["hashes"], service: value}})


def with_mounted(service: str, newest: int | None, stack: Document = CAPTURE) -> Document:
    return changed(stack, project={"mounted": {**stack["project"]["mounted"], service: newest}})


# --- Reading ----------------------------------------------------------------------------------------


def test_a_deployed_host_is_read_whole() -> None:
    observed = parse(CAPTURE)
    assert observed.hashes == {
        "open-webui": "751a53f9084d2ae0a80c2f74d33d7513848a3fe01cd937f62746b373d9433549",
        "redis": "14e3babcc750bbd4593d8084bc6ebc5cdcb382be046d0970a65be335747d7832",
    }
    assert {reference: image.id for reference, image in observed.images.items()} == {
        VALKEY: "sha256:5721201e782ae3f5a10c58bc11008232acf277e39d508e2288efe7a668a2d681",
        OPEN_WEBUI: "sha256:257b8c7ec06895229a6fd749d7b5b95f71eae5be4c663d2f8e8ae49e76b9b896",
    }
    assert observed.network == compose.Network(NETWORK["id"], "bridge", ("198.19.1.0/24",), in_use=True)
    assert observed.processes == {"open-webui": "198.19.1.3"}
    assert observed.stale == frozenset()
    assert list(observed.containers) == ["redis-valkey", "open-webui"]
    assert observed.containers["redis-valkey"] == compose.Container(
        name="redis-valkey",
        id="052002f2c0a37b3db995ac36323cadc9862f43b84af519d01924fe4e1457555a",
        image_id="sha256:5721201e782ae3f5a10c58bc11008232acf277e39d508e2288efe7a668a2d681",
        directory=DIRECTORY,
        service="redis",
        config_hash="14e3babcc750bbd4593d8084bc6ebc5cdcb382be046d0970a65be335747d7832",
        status="running",
        health="healthy",
        health_log="",
        health_passed_at=observed.containers["redis-valkey"].health_passed_at,
        exit_code=0,
        started_at="2026-11-22T21:05:02.232553045Z",
        addresses={"openwebui-network": "198.19.1.2"},
        network_ids={"openwebui-network": NETWORK["id"]},
        mounts={"/etc/valkey": "/opt/open-webui/valkey", "/data": "redis-data"},
    )
    assert observed.containers["open-webui"].health_log == '{"status":true}'


NEWER = [
    pytest.param("observe-2.40.3", id="28.5.2"),
    pytest.param("observe-2.40.3-containerd", id="28.5.2, images in containerd's store"),
]


@pytest.mark.parametrize("file", NEWER)
def test_a_newer_engine_is_read_as_well(file: str) -> None:
    observed = parse(surveys.captured(f"compose/{file}"))
    assert observed.network
    assert observed.network.subnets == ("198.19.1.0/24",)
    assert observed.network.is_ours
    assert observed.network.in_use
    assert compose.pending(observed, DIRECTORY, IMAGES) == []
    for service, name in compose.containers_of(IMAGES).items():
        found = observed.containers[name]
        assert (found.service, found.status, found.health) == (service, "running", "healthy")
        assert found.config_hash == observed.hashes[service]
        assert found.image_id == observed.images[IMAGES[service]].id
        assert found.health_passed_at > found.started_at
        assert found.address.startswith("198.19.1.")
    assert observed.containers["redis-valkey"].mounts["/data"] == "redis-data"
    assert observed.processes == {"open-webui": observed.containers["open-webui"].address}


def test_an_image_in_containerds_store_has_its_manifest_s_digest_for_an_id() -> None:
    """In Docker's own store the digest is another: that of the image's configuration."""
    ids = {
        file: (image.id, image.digests)
        for file in ("observe-2.40.3", "observe-2.40.3-containerd")
        for image in [parse(surveys.captured(f"compose/{file}")).images[VALKEY]]
    }
    (own, own_digests), (containerds, containerds_digests) = ids.values()
    assert own_digests == containerds_digests == (f"{VALKEY.rpartition(':')[0]}@{containerds}",)
    assert own != containerds


def test_a_host_without_engine_is_empty() -> None:
    assert parse(surveys.FRESH) == compose.Observed()


def test_a_host_without_the_data_of_its_swarm_is_told_of_no_wanted_stack() -> None:
    observed = parse(changed(CAPTURE, project=None))
    assert (observed.hashes, observed.stale) == ({}, frozenset())
    assert len(observed.containers) == 2


def test_a_container_without_healthcheck_has_no_health() -> None:
    container = parse(but("redis-valkey", health="", last_probe=None)).containers["redis-valkey"]
    assert (container.health, container.health_log) == ("none", "")


def test_an_unhealthy_container_brings_what_its_check_said() -> None:
    probe = {"ended_at": "2026-11-22T21:10:00Z", "exit_code": 1, "output": "NOAUTH\n"}
    stack = but("redis-valkey", health="unhealthy", last_probe=probe)
    container = parse(stack).containers["redis-valkey"]
    assert (container.status, container.health, container.health_log) == ("running", "unhealthy", "NOAUTH")


# --- What has to change -----------------------------------------------------------------------------


def test_nothing_is_pending_on_a_converged_host() -> None:
    assert compose.pending(parse(CAPTURE), DIRECTORY, IMAGES) == []


def test_everything_is_pending_on_a_fresh_host() -> None:
    assert reasons(compose.pending(compose.Observed(), DIRECTORY, IMAGES)) == [
        "redis: has no container",
        "open-webui: has no container",
    ]


MOVED = changed(CAPTURE, images={**CAPTURE["images"], VALKEY: {"id": f"sha256:{OTHER_HASH}", "digests": []}})
BRIDGE = {"bridge": {"id": OTHER_HASH, "address": "172.17.0.2"}}
MADE_AGAIN = {compose.NETWORK: {"id": OTHER_HASH, "address": "198.19.1.2"}}


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        pytest.param(but("redis-valkey", status="exited"), ["redis: is exited"], id="stopped"),
        pytest.param(but("open-webui", status="paused"), ["open-webui: is paused"], id="paused"),
        pytest.param(but("open-webui", status="created"), ["open-webui: is created"], id="created"),
        pytest.param(but("open-webui", status="restarting"), ["open-webui: is restarting"], id="loops"),
        pytest.param(without("containers", "redis-valkey"), ["redis: has no container"], id="missing"),
        pytest.param(with_hash("redis", OTHER_HASH), ["redis: its definition changed"], id="hash changed"),
        pytest.param(
            changed(CAPTURE, project={"hashes": {}}),
            ["redis: its definition changed", "open-webui: its definition changed"],
            id="compose.yaml gone or .env unreadable",
        ),
        pytest.param(MOVED, ["redis: its image changed"], id="image moved under its tag"),
        pytest.param(without("images", OPEN_WEBUI), ["open-webui: its image changed"], id="image removed"),
        pytest.param(
            but("open-webui", networks=BRIDGE),
            ["open-webui: is not attached to openwebui-network"],
            id="network detached",
        ),
        pytest.param(
            but("redis-valkey", networks=MADE_AGAIN),
            ["redis: is not attached to openwebui-network"],
            id="network removed and made again",
        ),
        pytest.param(
            changed(CAPTURE, network=None),
            ["redis: is not attached to openwebui-network", "open-webui: is not attached to openwebui-network"],
            id="network removed",
        ),
        pytest.param(but("redis-valkey", health="starting"), [], id="not yet healthy"),
        pytest.param(
            but("open-webui", networks={}),
            ["open-webui: is not attached to openwebui-network"],
            id="no network at all",
        ),
        pytest.param(but("redis-valkey", health="unhealthy"), ["redis: is unhealthy"], id="unhealthy"),
    ],
)
def test_the_reason_compose_has_work(stack: Document, expected: list[str]) -> None:
    assert reasons(compose.pending(parse(stack), DIRECTORY, IMAGES)) == expected


@pytest.mark.parametrize("newest", [None, 1795381503], ids=["not as wanted", "newer than its process"])
def test_files_that_changed_under_a_running_service_make_it_anew(newest: int | None) -> None:
    (work,) = pending(with_mounted("redis", newest), IMAGES)
    assert work == compose.Work("redis", "its configuration files changed under it", recreate=True)


def test_files_of_the_second_a_process_started_in_are_what_it_read() -> None:
    """Valkey started at 21:05:02.23; file times are compared in whole seconds."""
    assert pending(with_mounted("redis", 1795381502), IMAGES) == []


# --- Several processes ------------------------------------------------------------------------------

PROXY, POSTGRES = "registry.lab.test:5000/library/caddy:2.10.2", "registry.lab.test:5000/pgvector/pgvector:0.8.1"
MANY = {
    "redis": VALKEY,
    "postgres": POSTGRES,
    "open-webui": OPEN_WEBUI,
    "open-webui-2": OPEN_WEBUI,
    "open-webui-3": OPEN_WEBUI,
    "proxy": PROXY,
}


def like(original: str, service: str, address: str, **changes: Any) -> Document:
    """The container of one more service, like `original` otherwise."""
    (one,) = (one for one in CAPTURE["containers"] if one["name"] == original)
    return {
        **one,
        "name": compose.container_of(service),
        "labels": {**one["labels"], "com.docker.compose.service": service},
        "networks": {compose.NETWORK: {**one["networks"][compose.NETWORK], "address": address}},
        **changes,
    }


def joined(*containers: Document, stack: Document = CAPTURE) -> Document:
    """The stack with more services, each defined as its container is."""
    hashes = {
        one["labels"]["com.docker.compose.service"]: one["labels"]["com.docker.compose.config-hash"]
        for one in containers
        if "com.docker.compose.config-hash" in one["labels"]
    }
    return changed(
        stack,
        containers=[*stack["containers"], *containers],
        project={"hashes": {**stack["project"]["hashes"], **hashes}},
    )


def several() -> Document:
    """The capture, were it of a host with three processes, Postgres and a proxy."""
    images = CAPTURE["images"]
    stack = joined(
        like("redis-valkey", "postgres", "198.19.1.4"),
        like("open-webui", "open-webui-2", "198.19.1.5"),
        like("open-webui", "open-webui-3", "198.19.1.6"),
        like("redis-valkey", "proxy", "198.19.1.7"),
    )
    stack = changed(stack, images={**images, POSTGRES: images[VALKEY], PROXY: images[VALKEY]})
    return with_mounted("proxy", 1795381502, stack)


def parse(stack: Document) -> compose.Observed:
    """The stack as a run reads it: only if the document has the form that was agreed."""
    return surveys.parsed(changed(surveys.DEPLOYED, **stack)).services


def pending(stack: Document, images: dict[str, str] = MANY) -> list[compose.Work]:
    return compose.pending(parse(stack), DIRECTORY, images)


def test_every_process_is_a_container_of_ours_and_serves_people() -> None:
    observed = parse(several())
    assert set(observed.containers) == set(compose.containers_of(MANY).values())
    assert observed.processes == {
        "open-webui": "198.19.1.3",
        "open-webui-2": "198.19.1.5",
        "open-webui-3": "198.19.1.6",
    }
    assert pending(several()) == []


def test_a_process_by_another_name_in_the_network_serves_people_and_is_no_container_of_ours() -> None:
    observed = parse(joined(like("open-webui", "open-webui", "198.19.1.4", name="second")))
    assert observed.processes == {"open-webui": "198.19.1.3", "second": "198.19.1.4"}
    assert list(observed.containers) == ["redis-valkey", "open-webui"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"networks": BRIDGE}, id="elsewhere"),
        pytest.param({"status": "exited", "exit_code": 137, "started_at": ""}, id="stopped"),
    ],
)
def test_a_process_that_does_not_run_in_the_network_serves_nobody(changes: dict[str, Any]) -> None:
    observed = parse(joined(like("open-webui", "open-webui-2", "198.19.1.5", **changes)))
    assert observed.processes == {"open-webui": "198.19.1.3"}
    assert "open-webui-2" in observed.containers


def test_processes_that_are_missing_are_each_brought_up() -> None:
    assert reasons(pending(CAPTURE)) == [
        "postgres: has no container",
        "open-webui-2: has no container",
        "open-webui-3: has no container",
        "proxy: has no container",
    ]


@pytest.mark.parametrize(
    ("images", "removed"),
    [
        pytest.param({k: v for k, v in MANY.items() if k != "open-webui-3"}, ["open-webui-3"], id="one process less"),
        pytest.param({k: v for k, v in MANY.items() if k != "proxy"}, ["proxy"], id="no proxy"),
        pytest.param(IMAGES, ["postgres", "open-webui-2", "open-webui-3", "proxy"], id="back to the tutorial's two"),
    ],
)
def test_what_is_not_wanted_any_more_is_removed_and_nothing_else(images: dict[str, str], removed: list[str]) -> None:
    assert pending(several(), images) == [
        compose.Work(service, "is not wanted any more", remove=True) for service in removed
    ]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"com.docker.compose.project.working_dir": "/root/chat"}, id="of another project"),
        pytest.param({}, id="made by hand"),
    ],
)
def test_what_others_made_by_our_names_is_not_removed(labels: dict[str, str]) -> None:
    assert pending(joined(like("open-webui", "open-webui-2", "198.19.1.5", labels=labels)), IMAGES) == []


def test_one_process_that_differs_is_the_only_work() -> None:
    stack = several()
    sick = surveys.with_container(stack, "open-webui-2", health="unhealthy", last_probe=None)
    assert pending(changed(stack, containers=sick)) == [compose.Work("open-webui-2", "is unhealthy", recreate=True)]


@pytest.mark.parametrize(("newest", "stale"), [(None, True), (1795381503, True), (1795381502, False)])
def test_files_that_changed_under_the_proxy_make_it_anew_and_nothing_else(newest: int | None, stale: bool) -> None:
    stack = with_mounted("proxy", newest, several())
    assert parse(stack).stale == ({"proxy"} if stale else set())
    reason = "its configuration files changed under it"
    assert pending(stack) == ([compose.Work("proxy", reason, recreate=True)] if stale else [])


def test_files_of_a_proxy_that_is_not_there_are_not_stale() -> None:
    assert parse(with_mounted("proxy", None)).stale == frozenset()


@pytest.mark.parametrize(
    ("service", "container", "process", "data"),
    [
        ("redis", "redis-valkey", False, "/data"),
        ("postgres", "open-webui-postgres", False, "/var/lib/postgresql/data"),
        ("open-webui", "open-webui", True, "/app/backend/data"),
        ("open-webui-2", "open-webui-2", True, "/app/backend/data"),
        ("open-webui-64", "open-webui-64", True, "/app/backend/data"),
        ("proxy", "open-webui-proxy", False, "/data"),
    ],
)
def test_names_lead_from_service_to_container_and_back(service: str, container: str, process: bool, data: str) -> None:
    assert compose.container_of(service) == container
    assert compose.service_of(container) == service
    assert compose.is_process(service) is process
    assert compose.data_of(service) == data
    assert re.fullmatch(compose.OURS, container)


@pytest.mark.parametrize(
    "name",
    ["open-webui-", "open-webui-two", "my-open-webui", "open-webui-2.by-hand", "open-webui-drill", "redis", "proxy"],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert not re.fullmatch(compose.OURS, name)
    assert not compose.is_process(name)


PROBE = {"ended_at": "2026-11-22T21:10:00Z", "output": ""}


@pytest.mark.parametrize(
    ("values", "age_s"),
    [
        pytest.param({"last_probe": {**PROBE, "exit_code": 0}}, 3.0, id="passed"),
        pytest.param({"last_probe": {**PROBE, "exit_code": 1}}, math.inf, id="failed"),
        pytest.param({"health": "", "last_probe": None}, math.inf, id="no health check"),
        pytest.param({"status": "exited"}, math.inf, id="stopped"),
    ],
)
def test_a_health_check_is_as_old_as_its_last_pass(values: dict[str, Any], age_s: float) -> None:
    container = parse(but("redis-valkey", **values)).containers["redis-valkey"]
    assert compose.health_age_s(container, 1795381803.0) == age_s


def test_another_image_in_the_settings_is_pending() -> None:
    images = {**IMAGES, "open-webui": "ghcr.io/open-webui/open-webui:v9.9.9"}
    assert reasons(compose.pending(parse(CAPTURE), DIRECTORY, images)) == ["open-webui: its image changed"]


PAUSED = but("redis-valkey", status="paused")


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        pytest.param(PAUSED, compose.Work("redis", "is paused", unpause=True), id="paused: compose up fails on it"),
        pytest.param(
            with_hash("redis", OTHER_HASH, PAUSED),
            compose.Work("redis", "its definition changed", unpause=True),
            id="paused and changed",
        ),
        pytest.param(
            but("redis-valkey", networks={}),
            compose.Work("redis", "is not attached to openwebui-network", recreate=True),
            id="detached: compose up leaves it so",
        ),
        pytest.param(
            but("redis-valkey", health="unhealthy"),
            compose.Work("redis", "is unhealthy", recreate=True),
            id="unhealthy: compose up leaves it so",
        ),
        pytest.param(
            but("redis-valkey", status="exited"),
            compose.Work("redis", "is exited"),
            id="stopped: compose up starts it",
        ),
    ],
)
def test_what_compose_alone_would_not_do(stack: Document, expected: compose.Work) -> None:
    assert pending(stack, IMAGES) == [expected]


# --- Containers and networks of others --------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "maker"),
    [
        pytest.param({}, "hand", id="docker run"),
        pytest.param(
            {"com.docker.compose.project": "open-webui", "com.docker.compose.project.working_dir": "/root/chat"},
            "compose in /root/chat",
            id="a compose project of the same name elsewhere",
        ),
    ],
)
def test_a_container_of_another_origin_is_replaced(labels: dict[str, str], maker: str) -> None:
    (work,) = pending(but("redis-valkey", labels=labels), IMAGES)
    assert work.replace
    assert (
        str(work) == f"redis: its container was made by {maker}; a new one takes its place, with its data in redis-data"
    )


WAY_OUT = "it is not replaced, other containers may use it: disconnect them, `docker network rm` it and run again"


def network(**changes: Any) -> Document:
    return {**NETWORK, **changes}


@pytest.mark.parametrize(
    ("inspected", "subnet", "lines"),
    [
        pytest.param(None, "198.18.5.0/24", [], id="not there yet"),
        pytest.param(network(), None, [], id="any subnet will do"),
        pytest.param(network(), "198.19.1.0/24", [], id="the wanted subnet"),
        pytest.param(
            network(),
            "198.18.5.0/24",
            [
                "openwebui-network: expected network_subnet 198.18.5.0/24, got 198.19.1.0/24; " + WAY_OUT,
            ],
            id="another subnet",
        ),
        pytest.param(
            network(driver="overlay"),
            None,
            ["openwebui-network: expected driver bridge, got overlay; " + WAY_OUT],
            id="another driver",
        ),
        pytest.param(
            network(driver="macvlan", subnets=[]),
            "198.18.5.0/24",
            [
                "openwebui-network: expected driver bridge, got macvlan; " + WAY_OUT,
                "openwebui-network: expected network_subnet 198.18.5.0/24, got none; " + WAY_OUT,
            ],
            id="another driver and no subnet",
        ),
        pytest.param(
            network(subnets=["fd00::/64", "198.18.5.0/24"]),
            "198.18.5.0/24",
            [],
            id="the wanted subnet beside an IPv6 one",
        ),
        pytest.param(
            network(subnets=["fd00::/64", "198.19.1.0/24"]),
            "198.18.5.0/24",
            [
                "openwebui-network: expected network_subnet 198.18.5.0/24, got fd00::/64, 198.19.1.0/24; " + WAY_OUT,
            ],
            id="two others",
        ),
    ],
)
def test_a_network_is_taken_as_it_is_or_refused(
    inspected: Document | None, subnet: str | None, lines: list[str]
) -> None:
    assert compose.network_refusals(parse(changed(CAPTURE, network=inspected)).network, subnet) == lines


def test_a_networks_mtu_is_dockers_unless_it_says_otherwise() -> None:
    key = "com.docker.network.driver.mtu"
    for options, mtu in (({key: "1400", "encrypted": ""}, 1400), ({}, 1500), ({key: "\u00b2"}, 1500)):
        found = parse(changed(CAPTURE, network=network(options=options))).network
        assert found is not None
        assert found.mtu == mtu


# --- Writing ----------------------------------------------------------------------------------------


def as_compose_reads(text: str) -> Any:
    """A YAML scalar, and then compose's interpolation: `$$` is `$`, any other `$` would be a variable."""
    value = yaml_text.read(f"key: {text}\n")["key"]
    assert "$" not in value.replace("$$", "")
    return value.replace("$$", "$")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
@example('say "hi"')
@example("it's")
@example("two\nlines\r\n\ttabbed")
@example("Grüße, 世界")
@example("emoji \U0001f600")
@example("$HOME ${X:-y} $$ 100$")
@example("# no comment")
@example("key: value")
@example("  leading and trailing  ")
@example("back\\slash \\n \\")
@example("{flow: [a]}")
@example("\x7f \x85 \u2028 \ufeff")
@example("")
@example("null")
@example("0x10")
@example("yes")
def test_quoted_text_is_read_back_unchanged(value: str) -> None:
    assert as_compose_reads(compose.quoted(value)) == value


@pytest.mark.parametrize("value", ["emoji \U0001f600", "\x7f\x85\u2028"], ids=["beyond the BMP", "control characters"])
def test_quoted_text_has_no_escape_compose_refuses(value: str) -> None:
    """compose 2.26.1 on surrogates, `"\\ud83d\\ude00"`: found invalid Unicode character escape code."""
    assert not re.search(r"\\u[dD][89a-fA-F]", compose.quoted(value))


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("::1", "[::1]"), ("2001:db8::5", "[2001:db8::5]")],
)
def test_only_ipv6_is_published_in_brackets(address: str, expected: str) -> None:
    assert compose.published(address) == expected


def test_a_command_names_its_file_so_that_no_override_is_picked_up() -> None:
    assert compose.command("/opt/open-webui", "up", "--detach") == (
        'env -i PATH="$PATH" HOME="${HOME:-/root}" '
        "docker compose --project-directory /opt/open-webui --file /opt/open-webui/compose.yaml up --detach"
    )


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.text(st.characters(codec="ascii")))
def test_a_command_is_quoted_for_a_shell(directory: str, argument: str) -> None:
    assert shlex.split(compose.command(directory, argument, files=[f"{directory}/x"]))[4:] == [
        "docker", "compose", "--project-directory", directory, "--file", f"{directory}/x", argument,
    ]  # fmt: skip
