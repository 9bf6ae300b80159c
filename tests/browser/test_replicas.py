"""Two people at two processes, through the proxy: what they see of models and of each other, and when one is killed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Error

from tests.browser.at_replicas import mark_of, process_of
from tests.browser.models import LONG, QUESTION, SHORT, Models, assert_grows
from tests.browser.person import Person, Site, pieces
from tests.browser.sites import by_name
from tests.lab.precious import EMAIL, PASSWORD, START_S, within
from tests.lab.replicas import PROCESSES, Stack
from tests.lab.session import ROOT, Lab, numsub

pytestmark = pytest.mark.lab

POLICY_PAGE = ROOT / "docs/how-to/https.md"


@pytest.fixture(scope="module")
def site(lab: Lab, stack: Stack) -> Site:
    return by_name(stack.door, stack.host, [lab.inventory["tls"]["certificate_file"]])


@pytest.fixture(scope="module")
def elsewhere(newcomer: Callable[[], Person], ada: Person) -> Callable[[], Person]:
    """Each call is someone whose browser the proxy keeps at another process than Ada's."""

    def come() -> Person:
        for _ in range(30):
            person = newcomer()
            person.ask("/health")
            if mark_of(person) != mark_of(ada):
                return person
            person.page.context.close()
        raise AssertionError("30 browsers, and all at the same process")

    return come


@pytest.fixture(scope="module")
def grace(elsewhere: Callable[[], Person], account: dict[str, str]) -> Person:
    person = elsewhere()
    person.sign_in(**account)
    return person


@pytest.fixture(scope="module")
def ada_elsewhere(elsewhere: Callable[[], Person]) -> Person:
    """Her other device."""
    person = elsewhere()
    person.sign_in(EMAIL, PASSWORD)
    return person


@pytest.fixture
def in_channel(ada: Person, grace: Person, channel: str) -> None:
    for person in (ada, grace):
        person.open_channel(channel)


def test_chromium_would_refuse_another_certificate(browser: Browser, site: Site) -> None:
    """The control: it is not just any certificate that the people below have before them."""
    there, *_ = site.arguments
    with (
        browser.browser_type.launch(executable_path=shutil.which("chromium"), args=[there]) as strict,
        pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"),
    ):
        strict.new_page().goto(f"{site.url}/health")


def test_two_people_are_at_two_processes(ada: Person, grace: Person, ada_elsewhere: Person, stack: Stack) -> None:
    assert {process_of(ada, stack), process_of(grace, stack)} == set(PROCESSES)
    assert process_of(ada_elsewhere, stack) == process_of(grace, stack)


def test_an_answer_grows_over_the_websocket(ada: Person, models: Models) -> None:
    assert_grows(ada, models)


def test_an_answer_is_stopped_from_the_other_process(ada: Person, ada_elsewhere: Person, models: Models) -> None:
    """Both of Ada's devices see it grow, and the one that did not ask for it stops it."""
    before, brought_before = models.cancelled(LONG), len(ada_elsewhere.frames)
    ada.start_chat(LONG, QUESTION)
    ada.watch_answer(lambda text: len(text.split()) > 10)
    ada_elsewhere.page.goto(f"/c/{ada.chat}")
    ada_elsewhere.watch_answer(lambda text: len(text.split()) > 20)
    assert len(pieces(ada_elsewhere.frames[brought_before:])) >= 3
    assert models.cancelled(LONG) == before
    ada_elsewhere.stop()
    within(10, "the model saw its answer cut off", lambda: models.cancelled(LONG) == before + 1)
    ada.picture("replicas-stopped")
    assert len(ada.answer()) < len(models.answer(LONG)) / 2


@pytest.mark.usefixtures("in_channel")
def test_what_is_written_at_one_process_is_seen_at_the_other(ada: Person, grace: Person) -> None:
    ada.write("Can you see this over there?")
    grace.sees("Can you see this over there?")
    grace.write("I can, and can you see this?")
    ada.sees("I can, and can you see this?")
    ada.picture("replicas-ada")
    grace.picture("replicas-grace")


@pytest.fixture
def unwatched(stack: Stack) -> Iterator[None]:
    with stack.unwatched():
        yield
    within(START_S, "both processes listen", lambda: numsub(stack.host) == len(PROCESSES))


@pytest.mark.usefixtures("in_channel", "unwatched")
def test_who_was_at_a_killed_process_is_back_without_reload(ada: Person, grace: Person, stack: Stack) -> None:
    of_ada, of_grace = ada.connections, grace.connections
    stack.kill(process_of(grace, stack))

    def back() -> bool:
        grace.page.wait_for_timeout(100)
        return grace.connections > of_grace

    back_s = within(30, "Grace's page has another websocket", back)

    def heard() -> bool:
        # Open WebUI joins her to her channels a moment after it has confirmed the websocket, when her page asks for
        # that (`user-join` in open_webui/socket/main.py, 0.12.4). Nobody sends again what was written in between.
        ada.write(f"You were away for {back_s:.0f} s")
        grace.page.wait_for_timeout(1000)
        return grace.shows(f"You were away for {back_s:.0f} s")

    within(30, "Grace's page shows what Ada writes", heard, 1)
    grace.sees(f"You were away for {back_s:.0f} s")
    grace.picture("replicas-killed")
    assert ada.connections == of_ada, "Ada was at the other process, and thrown out as well"
    assert any("You were away" in frame for frame in grace.frames)


def strict_policy() -> str:
    """The one that the docs offer."""
    (policy,) = re.findall(r'(?m)^"Content-Security-Policy": \(\n((?: +".*"\n)+)\)', POLICY_PAGE.read_text())
    return "".join(re.findall(r'"(.*)"', policy))


@pytest.mark.usefixtures("ada")
def test_the_strict_policy_of_the_docs_hinders_nobody(
    newcomer: Callable[[], Person], stack: Stack, models: Models
) -> None:
    stack.deploy(proxy_headers={"Content-Security-Policy": strict_policy()})
    person, answer = newcomer(), models.answer(SHORT)
    refused: list[str] = []
    person.page.on(
        "console", lambda said: refused.append(said.text) if "Content Security Policy" in said.text else None
    )
    person.sign_in(EMAIL, PASSWORD)
    person.start_chat(SHORT, QUESTION)
    person.watch_answer(lambda text: text == answer)
    person.picture("replicas-strict-policy")
    assert refused == []
    person.page.evaluate("fetch('https://elsewhere.lab.test/').catch(() => null)")
    control = "the control: that policy is in force, and Chromium says what it refuses"
    assert any("https://elsewhere.lab.test/" in text for text in refused), control
