"""What can be taken over, with what changes for people; and what not, with the reason and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import surveys
from tests.defaults import settings
from webui_stack.documents import document
from webui_stack.model import compose
from webui_stack.plan import adoption, overlay_contract
from webui_stack.plan.adoption import HandMade
from webui_stack.settings.model import Settings

OURS = surveys.parsed(surveys.DEPLOYED).services.containers
# A lab host with the tutorial's deployment, Engine 26.1.5; OPENAI_API_KEY was added to its run.
BY_HAND = surveys.captured("compose/hand-made-26.1.5")


def containers(name: str, **changes: Any) -> Mapping[str, compose.Container]:
    """Our containers, one of them with other values."""
    found = surveys.with_container(surveys.DEPLOYED, name, **changes)
    return surveys.parsed(surveys.changed(surveys.DEPLOYED, containers=found)).services.containers


def mount(destination: str, place: str) -> dict[str, Any]:
    return {"mounts": {destination: place}, "labels": {}}


def test_our_own_containers_are_not_foreign() -> None:
    assert adoption.foreign(OURS, "/opt/open-webui") == []
    assert adoption.refusals(OURS, settings()) == []
    assert adoption.refusals({}, settings()) == []


def test_a_moved_project_folder_makes_them_foreign() -> None:
    assert adoption.foreign(OURS, "/srv/open-webui") == ["redis-valkey", "open-webui"]


def test_what_was_made_by_hand_needs_the_operators_word() -> None:
    by_hand = containers("open-webui", labels={})
    assert adoption.refusals(by_hand, settings()) == [
        "container open-webui: expected one made by this project, got one made by hand; "
        "set stack_adopt = True to take it over with its data (docs/how-to/adopt.md)"
    ]
    assert adoption.refusals(by_hand, settings(stack_adopt=True)) == []


@pytest.mark.parametrize(
    ("name", "mounted", "line"),
    [
        pytest.param(
            "redis-valkey",
            mount("/data", "tutorial_redis-data"),
            "container redis-valkey: expected its data in the volume redis-data, got tutorial_redis-data; "
            "set valkey_volume = 'tutorial_redis-data' to keep using that",
            id="another volume",
        ),
        pytest.param(
            "open-webui",
            mount("/app/backend/data", "/srv/chat"),
            "container open-webui: expected its data in the volume open-webui, got the host's folder /srv/chat; "
            "copy it into a volume, make the container anew with that",
            id="a folder of the host",
        ),
        pytest.param(
            "open-webui",
            mount("/elsewhere", "open-webui"),
            "container open-webui: expected its data in the volume open-webui, got none, so that it is lost with the "
            "container; copy it into that volume first (docker cp)",
            id="nothing mounted",
        ),
    ],
)
def test_data_that_would_be_left_behind_is_refused(name: str, mounted: dict[str, Any], line: str) -> None:
    assert adoption.refusals(containers(name, **mounted), settings(stack_adopt=True)) == [line]


def test_another_volume_in_the_settings_is_refused_for_our_own_containers_too() -> None:
    assert adoption.refusals(OURS, settings(open_webui_volume="empty")) == [
        "container open-webui: expected its data in the volume empty, got open-webui; "
        "set open_webui_volume = 'open-webui' to keep using that"
    ]


# --- Containers the tutorial has not ------------------------------------------------------------------

MANY: dict[str, Any] = {"open_webui_replicas": 2, "public_url": "https://chat.example.org"}


def one_more(
    name: str, labels: dict[str, str], mounts: dict[str, str] | None = None
) -> Mapping[str, compose.Container]:
    """Our containers and one more, like Valkey's otherwise."""
    redis, *_ = surveys.DEPLOYED["containers"]
    more = {**redis, "name": name, "labels": labels, "mounts": mounts or {}}
    found = [*surveys.DEPLOYED["containers"], more]
    return surveys.parsed(surveys.changed(surveys.DEPLOYED, containers=found)).services.containers


@pytest.mark.parametrize("adopt", [False, True])
@pytest.mark.parametrize("name", ["open-webui-postgres", "open-webui-proxy", "open-webui-2"])
@pytest.mark.parametrize(
    ("labels", "maker"),
    [({}, "hand"), ({"com.docker.compose.project.working_dir": "/root/chat"}, "compose in /root/chat")],
    ids=["by hand", "by compose"],
)
def test_only_what_the_tutorial_has_can_be_taken_over(
    name: str, labels: dict[str, str], maker: str, adopt: bool
) -> None:
    """Even with its data where ours would be: nothing says that they are an Open WebUI's."""
    volume = {"/var/lib/postgresql/data": "open-webui-postgres"}
    found = one_more(name, labels, volume)
    assert adoption.refusals(found, settings(**MANY, stack_adopt=adopt)) == [
        f"container {name}: expected one made by this project, or none, got one made by {maker}; rename it or remove it"
    ]


def test_what_the_settings_do_not_want_is_nobodys_business() -> None:
    assert adoption.refusals(one_more("open-webui-postgres", {}), settings()) == []


@pytest.mark.parametrize(
    ("name", "destination", "setting", "volume"),
    [
        ("open-webui-postgres", "/var/lib/postgresql/data", "postgres_volume", "open-webui-postgres"),
        ("open-webui-proxy", "/data", "proxy_volume", "open-webui-proxy"),
        ("open-webui-2", "/app/backend/data", "open_webui_volume", "open-webui"),
    ],
)
def test_another_volume_in_the_settings_is_refused_for_each_kind_of_container(
    name: str, destination: str, setting: str, volume: str
) -> None:
    ours = {"com.docker.compose.project.working_dir": "/opt/open-webui"}
    found = one_more(name, ours, {destination: volume})
    assert adoption.refusals(found, settings(**MANY)) == []
    lost = f"container {name}: expected its data in the volume empty, got {volume}; "
    assert lost + f"set {setting} = {volume!r} to keep using that" in adoption.refusals(
        found, settings(**MANY, **{setting: "empty"})
    )


def test_a_hand_made_container_is_read_with_names_alone() -> None:
    found = adoption.parse(BY_HAND)
    assert found == HandMade(
        variables=frozenset({"ENABLE_WEBSOCKET_SUPPORT", "WEBSOCKET_MANAGER", "WEBSOCKET_REDIS_URL", "OPENAI_API_KEY"}),
        ports=("8080/tcp -> 0.0.0.0:3000",),
        version="0.12.4",
    )


@pytest.mark.parametrize(
    ("port", "shown"),
    [
        ({"address": "127.0.0.1", "outside": 3000, "inside": "8080/tcp"}, ("8080/tcp -> 127.0.0.1:3000",)),
        ({"address": "::1", "outside": 3000, "inside": "8080/tcp"}, ("8080/tcp -> [::1]:3000",)),
        ({"address": "::", "outside": 3000, "inside": "8080/tcp"}, ()),
    ],
    ids=["an address", "an IPv6 address", "the second line of a port for all"],
)
def test_a_port_is_shown_as_docker_does(port: dict[str, Any], shown: tuple[str, ...]) -> None:
    found = adoption.parse(surveys.replaced(BY_HAND, "open_webui/ports", [port]))
    assert found.ports == shown


def test_a_host_without_such_containers_has_nothing_by_hand() -> None:
    assert adoption.parse({"containers": {}, "open_webui": None}) == HandMade(frozenset(), (), "")


def test_a_stopped_container_has_no_version() -> None:
    assert adoption.parse(surveys.replaced(BY_HAND, "open_webui/version", "")).version == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("containers", ...),
        ("open_webui", ...),
        ("containers/redis-valkey/networks", ...),
        ("containers/open-webui/mounts", None),
        ("open_webui/variables", ...),
        ("open_webui/key_length", "long"),
    ],
)
def test_what_is_not_whole_is_no_container_without_extras(path: str, value: Any) -> None:
    with pytest.raises(document.IncompleteError, match="hand_made: expected the section"):
        adoption.parse(surveys.replaced(EXTRAS, path, value))


def test_what_changes_is_told_with_the_setting_that_keeps_it() -> None:
    found = adoption.parse(BY_HAND)
    assert adoption.changes(found, settings()) == [
        "open-webui: set by hand and not in the settings: OPENAI_API_KEY; "
        "put what you need into open_webui_env or open_webui_secret_env first",
        "open-webui: 8080/tcp -> 0.0.0.0:3000 becomes 127.0.0.1:3000",
        "open-webui: what its database saved at its first start goes on overruling variables, logins of 4 weeks "
        "for one; runbooks/doctor.py lists it",
        "open-webui: everybody signs in once more, since it has no key that could be kept",
    ]


def test_nothing_to_tell_but_the_address_where_the_settings_have_it_all() -> None:
    found = HandMade(frozenset({"OPENAI_API_KEY", "WEBUI_SECRET_KEY", "WEBUI_NAME"}), (), "0.12.4")
    same = settings(
        open_webui_secret_env={"OPENAI_API_KEY": "env:X"},
        open_webui_env={"WEBUI_NAME": "chat"},
        open_webui_secret_key="env:KEY",
        open_webui_persistent_config=False,
    )
    assert adoption.changes(found, same) == [
        "open-webui: no published port becomes 127.0.0.1:3000",
        "open-webui: people stay signed in only if open_webui_secret_key is the key it has",
    ]


@pytest.mark.parametrize(("length", "told"), [(44, False), (36, False), (16, True)])
def test_a_key_that_is_kept_is_told_of_where_it_is_weak(length: int, told: bool) -> None:
    lines = adoption.changes(HandMade(frozenset(), (), "", length), settings())
    assert [line for line in lines if "once more, since" in line] == []
    assert any(f"weak ({length} characters)" in line for line in lines) == told


# --- What a take-over would drop ----------------------------------------------------------------------

# A lab host, Engine 26.1.5, with both containers given more than the tutorial has.
EXTRAS = surveys.captured("compose/hand-made-extras-26.1.5")
BOTH = ["redis-valkey", "open-webui"]


def test_the_tutorial_alone_has_nothing_that_would_be_dropped() -> None:
    found = adoption.parse(BY_HAND)
    assert found.extras == {}
    assert adoption.dropped(found, BOTH, settings(stack_adopt=True)) == []


def test_what_would_be_dropped_is_refused_by_name() -> None:
    found = adoption.parse(EXTRAS)
    assert adoption.dropped(found, BOTH, settings(stack_adopt=True)) == [
        "container open-webui: expected nothing that a take-over drops, got devices /dev/null; extra_hosts "
        "ollama:198.18.0.9; labels traefik.enable; mounts /srv/models; networks proxy; privileges NET_RAW; put it into "
        "an overlay (stack_overlay), or let it go with stack_adopt_drops = ['devices', 'extra_hosts', 'labels', "
        "'mounts', 'networks', 'privileges']",
        "container redis-valkey: expected nothing that a take-over drops, got networks tutorial_default; ports "
        "6379/tcp; keep that container, or let it go with stack_adopt_drops = ['networks', 'ports']",
    ]


def test_the_name_of_the_server_itself_is_not_lost_where_the_settings_use_it() -> None:
    hosts = ("host.docker.internal:host-gateway", "ollama:198.18.0.9")
    found = replace(adoption.NONE, extras={"open-webui": {"extra_hosts": hosts}})
    (line,) = adoption.dropped(found, BOTH, settings(stack_adopt=True))
    assert "extra_hosts host.docker.internal:host-gateway, ollama:198.18.0.9;" in line
    (line,) = adoption.dropped(found, BOTH, settings(stack_adopt=True, ollama="host"))
    assert "got extra_hosts ollama:198.18.0.9;" in line
    alone = replace(found, extras={"open-webui": {"extra_hosts": hosts[:1]}})
    assert adoption.dropped(alone, BOTH, settings(stack_adopt=True, ollama="host")) == []
    assert not [line for line in adoption.changes(alone, settings(ollama="host")) if "loses" in line]


def test_the_operator_lets_go_kind_by_kind() -> None:
    found = adoption.parse(EXTRAS)
    some = settings(stack_adopt=True, stack_adopt_drops=["networks", "ports"])
    (line,) = adoption.dropped(found, BOTH, some)
    assert "networks" not in line
    assert "labels traefik.enable" in line
    assert adoption.dropped(found, ["redis-valkey"], some) == []
    assert adoption.dropped(found, [], settings(stack_adopt=True)) == []
    assert "redis-valkey: loses networks tutorial_default; ports 6379/tcp" in adoption.changes(found, some)


# --- The overlay that keeps it ----------------------------------------------------------------------


def given(**changes: Any) -> HandMade:
    """The host of `EXTRAS`, with other things at its open-webui."""
    document = EXTRAS
    for kind, what in changes.items():
        document = surveys.replaced(document, f"containers/open-webui/{kind}", what)
    return adoption.parse(document)


def with_overlay(text: str, folder: Path, **changes: Any) -> Settings:
    folder.mkdir(exist_ok=True)
    path = folder / "chat.override.yaml"
    path.write_text(text)
    return settings(stack_adopt=True, stack_overlay=str(path), **changes)


def test_the_overlay_has_what_one_can_keep_and_names_the_rest() -> None:
    text = adoption.overlay(adoption.parse(EXTRAS), BOTH, settings(stack_adopt=True))
    assert (
        text
        == """\
# What containers made by hand have and the stack has not. Read it, then name this file in stack_overlay.
# Not kept: redis-valkey: networks tutorial_default; ports 6379/tcp
services:
  open-webui:
    networks: ["proxy"]
    extra_hosts: ["ollama:198.18.0.9"]
    cap_add: ["NET_RAW"]
    labels:
      "traefik.enable": "true"
    volumes:
      - {type: bind, source: "/srv/models", target: "/srv/models", read_only: true}
    devices: ["/dev/null:/dev/null"]
networks:
  "proxy": {external: true}
"""
    )


def test_with_that_overlay_nothing_is_lost_but_what_it_names(tmp_path: Path) -> None:
    found = given(
        devices=["/dev/null:/dev/lab", "/dev/kvm", "GPU"],
        privileges=["CAP_NET_RAW", "privileged", "user 1000"],
        labels={"traefik.enable": "true", "price": "5", "traefik.users": None},
        networks=["proxy", "openwebui-network", "tutorial_default"],
        ports=["8080/tcp", "9090/tcp"],
        mounts=[
            {"target": "/app/backend/data", "kind": "volume", "source": "open-webui", "writable": True},
            {"target": "/srv/models", "kind": "bind", "source": "/srv/a $5 model", "writable": True},
            {"target": "/srv/shared", "kind": "volume", "source": "ollama", "writable": False},
            {"target": "/srv/memory", "kind": "tmpfs", "source": "", "writable": True},
        ],
    )
    text = adoption.overlay(found, BOTH, settings(stack_adopt=True))
    kept = with_overlay(text, tmp_path)
    assert overlay_contract.problems(kept) == []
    assert adoption.dropped(found, BOTH, kept) == [
        "container open-webui: expected nothing that a take-over drops, got labels traefik.users; mounts /srv/memory; "
        "ports 9090/tcp; privileges privileged, user 1000; keep that container, or let it go with stack_adopt_drops = "
        "['labels', 'mounts', 'ports', 'privileges']",
        "container redis-valkey: expected nothing that a take-over drops, got networks tutorial_default; ports "
        "6379/tcp; keep that container, or let it go with stack_adopt_drops = ['networks', 'ports']",
    ]
    assert adoption.overlay(found, BOTH, kept) == "", "nothing more that an overlay can keep"
    assert 'source: "/srv/a $$5 model"' in text, "one dollar for compose"
    assert '"kept-ollama": {external: true, name: "ollama"}' in text
    assert 'driver: "nvidia", count: all, capabilities: [gpu]' in text
    (line,) = [line for line in adoption.changes(found, kept) if line.startswith("open-webui: loses")]
    lost = "labels traefik.users; mounts /srv/memory; ports 9090/tcp; privileges privileged, user 1000"
    assert line == f"open-webui: loses {lost}"


def test_the_other_forms_of_an_overlay_keep_as_much(tmp_path: Path) -> None:
    found = given(devices=["nvidia", "/dev/null:/dev/lab"])
    text = """\
services:
  open-webui:
    networks: {edge: {aliases: [chat]}}
    labels: [traefik.enable=true]
    volumes: ["/elsewhere:/srv/models"]
    extra_hosts: {ollama: 198.18.0.9}
    devices: ["/dev/null:/dev/lab:r"]
    cap_add: [CAP_NET_RAW]
    gpus: all
networks:
  edge: {external: true, name: proxy}
"""
    assert adoption.dropped(found, ["open-webui"], with_overlay(text, tmp_path)) == []
    listed = text.replace("{ollama: 198.18.0.9}", "[ollama=198.18.0.9]")
    listed = listed.replace("gpus: all", "gpus: [{driver: nvidia}]")
    assert adoption.dropped(found, ["open-webui"], with_overlay(listed, tmp_path / "listed")) == []


def test_an_overlay_of_another_service_or_name_keeps_nothing(tmp_path: Path) -> None:
    text = "services: {open-webui: {labels: {traefik.other: x}, networks: [edge]}}\nnetworks: {edge: {external: true}}"
    found = given()
    (line,) = adoption.dropped(found, ["open-webui"], with_overlay(text, tmp_path))
    assert "labels traefik.enable; mounts /srv/models; networks proxy" in line


def test_what_the_operator_lets_go_is_not_in_the_overlay() -> None:
    found = adoption.parse(EXTRAS)
    drops = ["devices", "extra_hosts", "labels", "mounts", "privileges"]
    text = adoption.overlay(found, BOTH, settings(stack_adopt=True, stack_adopt_drops=drops))
    assert "labels" not in text
    assert 'networks: ["proxy"]' in text
    assert adoption.overlay(found, ["redis-valkey"], settings(stack_adopt=True)) == ""
    assert adoption.overlay(adoption.parse(BY_HAND), BOTH, settings(stack_adopt=True)) == ""


@pytest.mark.parametrize(
    ("running", "image", "refused"),
    [
        ("0.12.5", "x/open-webui:v0.12.4", True),
        ("0.13.0", "x/open-webui:v0.12.4-slim", True),
        ("1.0.0", "x:5000/open-webui:0.12.4@sha256:" + "0" * 64, True),
        ("0.12.4", "x/open-webui:v0.12.4", False),
        ("0.9.10", "x/open-webui:v0.12.4", False),
        ("", "x/open-webui:v0.12.4", False),
        ("0.12.5", "x/open-webui@sha256:" + "0" * 64, False),
        ("0.12.5", "x/open-webui:git-abc1234", False),
    ],
)
def test_only_an_older_version_than_runs_there_is_refused(running: str, image: str, refused: bool) -> None:
    found = HandMade(frozenset(), (), running)
    problems = adoption.too_new(found, settings(open_webui_image=image))
    assert bool(problems) == refused
    if refused:
        assert problems[0].startswith(f"open_webui_image: expected {running} or newer, which runs there, got 0.12.4; ")
