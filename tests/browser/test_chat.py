"""What websockets are for, seen in a real browser: answers that grow, a Stop that stops, people who see each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.browser.models import LONG, QUESTION, SHORT, Models
from tests.browser.person import SOCKET, Person, assert_streamed, pieces
from tests.lab.precious import within
from tests.lab.session import FRESH, Lab, ask_as_monitor

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Conversation:
    """A question that was answered to the end, what was seen of the answer meanwhile and what the websocket brought."""

    chat: str
    answer: str
    seen: list[str]
    frames: list[str]


@pytest.fixture(scope="module")
def conversation(ada: Person, models: Models) -> Conversation:
    answer = models.answer(SHORT)
    brought_before = len(ada.frames)
    ada.start_chat(SHORT, QUESTION)
    seen = ada.watch_answer(lambda text: len(text) > len(answer) * 0.7)
    ada.picture("streaming")
    seen += ada.watch_answer(lambda text: text == answer)
    return Conversation(ada.chat, answer, seen, ada.frames[brought_before:])


def test_the_first_to_sign_up_is_the_admin(ada: Person) -> None:
    assert ada.ask("/api/v1/auths/")["role"] == "admin"


def test_an_answer_is_seen_to_grow(conversation: Conversation) -> None:
    partial = [text for text in conversation.seen if text != conversation.answer]
    assert len(set(partial)) >= 3
    assert all(conversation.answer.startswith(text) for text in partial)
    assert sorted(partial, key=len) == partial


def test_the_answer_came_over_the_websocket(ada: Person, conversation: Conversation) -> None:
    assert_streamed(conversation.frames, conversation.answer)
    assert ada.polls == []


def test_stop_silences_the_model_itself(ada: Person, models: Models) -> None:
    before = models.cancelled(LONG)
    ada.start_chat(LONG, QUESTION)
    ada.watch_answer(lambda text: len(text.split()) > 10)
    assert models.cancelled(LONG) == before
    ada.stop()
    within(10, "the model saw its answer cut off", lambda: models.cancelled(LONG) == before + 1)
    stopped = ada.answer()
    ada.page.wait_for_timeout(3000)
    ada.picture("stopped")
    assert ada.answer() == stopped
    assert len(stopped) < len(models.answer(LONG)) / 2


def test_a_reload_shows_the_chat(ada: Person, conversation: Conversation) -> None:
    ada.page.goto(f"/c/{conversation.chat}")
    ada.watch_answer(lambda text: text == conversation.answer)
    # Not sooner: a page of Open WebUI 0.12 that is left while it asks who its user is signs them out.
    ada.page.reload()
    ada.page.get_by_text(QUESTION).wait_for()
    ada.watch_answer(lambda text: text == conversation.answer)


def test_what_one_person_writes_another_sees_without_reload(ada: Person, grace: Person, channel: str) -> None:
    for person in (ada, grace):
        person.open_channel(channel)
    brought_before = len(ada.frames)

    grace.write("Do you see this?")

    ada.sees("Do you see this?")
    ada.picture("channel")
    assert any("Do you see this?" in frame for frame in ada.frames[brought_before:])


def test_a_page_without_its_websocket_is_told_nothing(ada: Person, models: Models) -> None:
    """The control: what the tests above look at is not there when the socket isn't, though the model does answer."""
    deaf = Person(ada.page.context.new_page())
    deaf.page.route_web_socket(f"**{SOCKET}**", lambda socket: socket.close())
    answer = models.answer(SHORT)
    brought_before = len(ada.frames)
    deaf.start_chat(SHORT, QUESTION)

    def told_elsewhere() -> bool:
        ada.page.wait_for_timeout(100)
        return "".join(pieces(ada.frames[brought_before:])).strip() == answer

    within(60, "the answer was on the websocket of Ada's other page", told_elsewhere)
    deaf.picture("without-websocket")
    assert deaf.answer() == ""
    with pytest.raises(AssertionError):
        assert_streamed(deaf.frames, answer)
    # and a page that polls would have been noticed
    deaf.page.evaluate(f"fetch('{SOCKET}?EIO=4&transport=polling')")
    assert len(deaf.polls) == 1


def test_valkeys_acl_refused_nothing_of_all_this(
    lab: Lab, conversation: Conversation, channel: str, deployed: dict[str, Any]
) -> None:
    assert ask_as_monitor(lab.host(FRESH), "ACL LOG").strip() == ""
