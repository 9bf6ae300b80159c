"""The browser's story through each proxy of one's own: sign-up, an answer that grows, two people who see each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.browser.models import Models, assert_grows
from tests.browser.person import Person, Site
from tests.browser.sites import by_name
from tests.lab.door import Door
from tests.lab.own_proxies import PROXIES
from tests.lab.session import FRESH, Lab

pytestmark = [pytest.mark.lab, pytest.mark.long]

ADMIN = "/api/v1/auths/admin/config"
# What each speaks with browsers (`nextHopProtocol`): the page's nginx has no HTTP/2.
SPOKEN = {"nginx": "http/1.1", "haproxy": "h2", "caddy": "h2", "traefik": "h2"}


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def site(lab: Lab, doors: dict[str, Door], proxy: str) -> Site:
    return by_name(doors[proxy], lab.host(FRESH), [lab.inventory["tls"]["certificate_file"]], http2=True)


@pytest.fixture
def open_sign_up(ada: Person) -> Iterator[None]:
    """The admin lets everybody sign up."""
    before = ada.ask(ADMIN)
    ada.ask(ADMIN, {**before, "ENABLE_SIGNUP": True, "DEFAULT_USER_ROLE": "user"})
    yield
    ada.ask(ADMIN, before)


@pytest.mark.usefixtures("open_sign_up")
def test_people_sign_up_chat_and_see_each_other(
    ada: Person, newcomer: Callable[[], Person], models: Models, channel: str, proxy: str
) -> None:
    grace = newcomer()
    grace.sign_up("Grace", f"grace-{time.time_ns()}@lab.test", "Hopper-1906")
    assert grace.ask("/api/v1/auths/")["role"] == "user"
    spoken = "performance.getEntriesByType('resource').map(one => one.nextHopProtocol)"
    assert SPOKEN[proxy] in grace.page.evaluate(spoken)

    assert_grows(ada, models)
    ada.picture(f"{proxy}-answer")

    for person in (ada, grace):
        person.open_channel(channel)
    grace.write("Do you see this?")
    ada.sees("Do you see this?")
    ada.write("I do, and can you see this?")
    grace.sees("I do, and can you see this?")
    ada.picture(f"{proxy}-channel")
    assert any("Do you see this?" in frame for frame in ada.frames)
    assert grace.polls == []
