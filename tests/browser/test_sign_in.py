"""Single sign-on in a browser, at two replicas: a login that goes through both, and a sign-out that both know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.at_replicas import mark_of, move, process_of
from tests.browser.person import Person, Site
from tests.browser.sites import by_name
from tests.lab import sign_in_host
from tests.lab.own_proxies import forwarded
from tests.lab.replicas import PROCESSES, Stack
from tests.lab.session import SPARE, Lab

pytestmark = [pytest.mark.lab, pytest.mark.long]

PROVIDER_PORT = 8443


@pytest.fixture(scope="module")
def site(lab: Lab, stack: Stack, replicated: sign_in_host.Site) -> Iterator[Site]:
    """The stack with its provider, which Chromium reaches through SSH, by the address that Open WebUI has of it."""
    replicated.data["oidc"] = replicated.provider(replicated.data["public_url"], page=True)
    replicated.put("person.json", json.dumps(sign_in_host.person("boss", "chat admins")))
    replicated.deploy()
    certificates = [lab.inventory["tls"]["certificate_file"], str(replicated.folder / "authority.pem")]
    with forwarded(PROVIDER_PORT, SPARE) as port:
        provider = f"{replicated.address}:{PROVIDER_PORT} 127.0.0.1:{port}"
        yield by_name(stack.door, stack.host, certificates, elsewhere=[provider])


@pytest.fixture(scope="module")
def marks(newcomer: Callable[[], Person]) -> list[str]:
    """The proxy's marks of both replicas."""
    found: set[str] = set()
    for _ in range(30):
        person = newcomer()
        person.ask("/health")
        found.add(mark_of(person))
        person.page.context.close()
        if len(found) == len(PROCESSES):
            return sorted(found)
    raise AssertionError("30 browsers, and all at the same replica")


def had(path: str, stack: Stack) -> list[str]:
    """The replicas that were asked for a path lately."""
    return [name for name in PROCESSES if path in stack.host.check_output("docker logs --since 5m %s 2>&1", name)]


def sign_in(person: Person, begins_at: str, ends_at: str) -> str:
    """Sign somebody in by the provider, at the replicas of these marks; their token."""
    person.ask("/health")
    move(person, begins_at)
    person.page.goto("/auth")
    person.page.get_by_role("button", name="Continue with Keycloak").click()
    link = person.page.get_by_role("link", name="Continue")
    link.wait_for()
    move(person, ends_at)
    link.click()
    person.page.locator("#chat-input").wait_for()
    assert mark_of(person) == ends_at
    (token,) = (one["value"] for one in person.page.context.cookies() if one["name"] == "token")
    return token


def statuses(stack: Stack, token: str) -> list[int]:
    """What each replica answers this login."""
    return [stack.ask(process, "/api/v1/auths/", token)[0] for process in PROCESSES]


def assert_out(person: Person) -> None:
    """Their browser shows the page to sign in when they come back."""
    person.page.goto("/")
    person.page.wait_for_url("**/auth**")
    person.page.get_by_role("button", name="Continue with Keycloak").wait_for()


def test_a_login_goes_through_two_replicas_and_a_sign_out_ends_it_at_both(
    newcomer: Callable[[], Person], browser: Browser, stack: Stack, marks: list[str]
) -> None:
    here, there = marks
    boss = newcomer()
    token = sign_in(boss, here, there)
    boss.picture("sign-in-done")
    begun, ended = had("/oauth/oidc/login", stack), had("/oauth/oidc/callback", stack)
    assert sorted([*begun, *ended]) == PROCESSES, "it began at one, and ended at the other"
    assert boss.ask("/api/v1/auths/")["role"] == "admin"

    # Another tab with the same login, which the proxy keeps at the other replica.
    state = boss.page.context.storage_state()
    context = browser.new_context(storage_state=state, base_url=stack.door.url, locale="en-US")
    tab = Person(context.new_page())
    move(tab, here)
    tab.page.goto("/")
    tab.page.locator("#chat-input").wait_for()
    assert {process_of(boss, stack), process_of(tab, stack)} == set(PROCESSES)
    assert statuses(stack, token) == [200, 200]

    boss.sign_out()
    assert statuses(stack, token) == [401, 401]
    assert_out(tab)
    tab.picture("sign-in-out-at-both")


def test_an_admin_signs_a_person_out_of_all_devices_at_both_replicas(
    newcomer: Callable[[], Person], stack: Stack, marks: list[str]
) -> None:
    devices = [newcomer(), newcomer()]
    tokens = [sign_in(device, mark, mark) for device, mark in zip(devices, marks, strict=True)]
    assert {process_of(device, stack) for device in devices} == set(PROCESSES)
    assert [statuses(stack, token) for token in tokens] == [[200, 200]] * 2
    boss = devices[0].ask("/api/v1/auths/")["id"]
    stack.door.visitor().must("POST", f"/api/v1/users/{boss}/sessions/revoke", {}, stack.door.sign_in())
    assert [statuses(stack, token) for token in tokens] == [[401, 401]] * 2
    for device in devices:
        assert_out(device)
