"""A port that somebody else has is named with its holder; the stack's own, or one beside ours, is no trouble."""

from __future__ import annotations

from typing import Any

import pytest

from tests import surveys
from tests.defaults import settings
from webui_stack.model import ports

NGINX = ("0.0.0.0", 80, "nginx", 812)
PROXY = {"public_url": "https://chat.example.org"}


def taken(
    *listening: tuple[str, int, str, int], published: tuple[tuple[str, str, int], ...] = ()
) -> tuple[ports.Taken, ...]:
    """Who has which port, by what a host says: address, port, program and pid; container, address and port."""
    part = {
        "listening": [
            {"address": address, "port": port, "program": program, "pid": pid}
            for address, port, program, pid in listening
        ],
        "published": [
            {"container": container, "address": address, "port": port} for container, address, port in published
        ],
    }
    return surveys.parsed(surveys.changed(surveys.DEPLOYED, machine=part)).machine.taken


def refusals(found: tuple[ports.Taken, ...], **changes: Any) -> list[str]:
    return ports.refusals(found, settings(**changes))


def test_a_program_on_the_port_is_named() -> None:
    assert refusals(taken(NGINX), **PROXY) == [
        "port 80 (proxy_http_port): expected it to be free on this host, got it taken by nginx (pid 812); stop that, "
        "or choose another port"
    ]


def test_a_container_on_the_port_is_named_and_not_dockers_own_program() -> None:
    found = taken(
        ("0.0.0.0", 443, "docker-proxy", 9),
        published=(("traefik", "0.0.0.0", 443), ("traefik", "::", 443)),
    )
    (line,) = refusals(found, **PROXY)
    assert line.startswith(
        "port 443 (public_url): expected it to be free on this host, got it taken by the container traefik;"
    )


def test_a_container_without_dockers_program_is_seen() -> None:
    assert len(refusals(taken(published=(("wiki", "127.0.0.1", 3000),)))) == 1


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        pytest.param(taken(), {}, id="nobody"),
        pytest.param(taken(NGINX), {}, id="a port that is not published"),
        pytest.param(taken(NGINX), {**PROXY, "proxy_http_port": 0}, id="a port that is switched off"),
        pytest.param(
            taken(("127.0.0.1", 3000, "docker-proxy", 9), published=(("open-webui", "127.0.0.1", 3000),)),
            {},
            id="Open WebUI's own",
        ),
        pytest.param(
            taken(published=(("ed2841d13856_open-webui", "127.0.0.1", 3000),)),
            {},
            id="Open WebUI's own, which compose was about to replace when it was killed",
        ),
        pytest.param(taken(published=(("open-webui-proxy", "0.0.0.0", 443),)), PROXY, id="the proxy's own"),
        pytest.param(taken(published=(("open-webui_proxy.x.y", "0.0.0.0", 443),)), PROXY, id="a swarm's own"),
        pytest.param(taken(("192.0.2.9", 3000, "node", 7)), {}, id="another address of the host"),
        pytest.param(taken(("::", 3000, "", 0)), {}, id="IPv6 alone"),
    ],
)
def test_nobody_is_in_the_way(found: tuple[ports.Taken, ...], changes: dict[str, Any]) -> None:
    assert refusals(found, **changes) == []


@pytest.mark.parametrize(
    ("address", "bind"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("*", "127.0.0.1"),
        ("::", "::1"),
    ],
)
def test_sockets_that_can_not_be_beside_each_other(address: str, bind: str) -> None:
    (line,) = refusals(taken((address, 3000, "", 0)), open_webui_bind=bind)
    assert "taken by another program" in line


IPV6_AS_WELL = {**PROXY, "proxy_bind": ["192.0.2.7", "::"]}


@pytest.mark.parametrize(
    ("address", "ports"),
    [("192.0.2.7", [443]), ("0.0.0.0", [443]), ("::1", [443]), ("::", [443]), ("*", [443]), ("192.0.2.9", [])],
)
def test_a_port_is_looked_for_on_each_address_of_the_proxy(address: str, ports: list[int]) -> None:
    found = refusals(taken((address, 443, "nginx", 8)), **IPV6_AS_WELL)
    assert [line.split()[1] for line in found] == [str(port) for port in ports], "and said once"


def test_each_port_is_wanted_on_each_address() -> None:
    assert ports.wanted(settings(**IPV6_AS_WELL)) == [
        ("public_url", "192.0.2.7", 443),
        ("public_url", "::", 443),
        ("proxy_http_port", "192.0.2.7", 80),
        ("proxy_http_port", "::", 80),
    ]


def test_a_swarm_publishes_on_hosts_with_the_proxy_alone() -> None:
    swarm = settings(**PROXY).model_copy(update={"topology": "swarm", "swarm_runs": ["proxy"]})
    assert [port for _, _, port in ports.wanted(swarm)] == [443, 80]
    assert ports.wanted(swarm.model_copy(update={"swarm_runs": ["data"]})) == []
