"""A model's answer at a real websocket: when its tokens came, and four ways in which they do not come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.verify.open_webui import ACTIVE, HANG_UP, OpenWebUi, delta, done, failed, serving
from webui_stack.verify import answer, websocket
from webui_stack.verify.answer import Answer, Fault
from webui_stack.verify.websocket import ProbeError, Way

MODEL = "lab-short"
KEY, WORDS = "sk-proj-0123456789abcdefghij", "Qabcdefghijklmnopqrstuvwxyzabcdefghij"
# What Open WebUI 0.12.4 says when the model's server is killed in the middle of an answer.
CUT_OFF = (
    "Response payload is not completed: <TransferEncodingError: 400, message='Not enough data to satisfy transfer "
    "length header.'>"
)


@dataclass(frozen=True)
class Site:
    """The stand-in, and the way to it."""

    open_webui: OpenWebUi
    way: Way

    def ask(self, *script: dict[str, Any] | float, model: str = MODEL, limit_s: float = 3.0) -> Answer:
        self.open_webui.script = script
        with websocket.connected(self.way, 5, "token") as session:
            return answer.ask(session, self.way, "token", model, limit_s, 1.0)


@pytest.fixture
def site() -> Iterator[Site]:
    open_webui = OpenWebUi()
    with serving(open_webui.app) as port:
        yield Site(open_webui, Way(f"http://127.0.0.1:{port}"))


def test_an_answer_is_timed_by_its_first_and_last_token(site: Site) -> None:
    start = time.perf_counter()
    found = site.ask(ACTIVE, 0.2, delta("Hel"), 0.3, delta("lo"), delta("!"), 2.0, done("Hello!"), limit_s=20.0)
    whole_ms = (time.perf_counter() - start) * 1000
    assert found.fault is None
    assert found.pieces == 3
    assert found.first_ms is not None
    assert found.last_ms is not None
    assert found.first_ms >= 200
    assert found.last_ms > found.first_ms
    assert found.last_ms < whole_ms - 1000, "the end is no token"


def test_a_question_asks_for_nothing_that_stays(site: Site) -> None:
    site.ask(ACTIVE, delta("Hello"), done("Hello"))
    (body,) = site.open_webui.asked
    assert body["chat_id"] == f"temporary:{body['session_id']}"
    assert body["model"] == MODEL
    assert body["stream"] is True
    assert "background_tasks" not in body
    assert site.open_webui.stopped == [], "an answer that is over is not stopped"


@pytest.mark.parametrize(
    ("script", "pieces"),
    [
        pytest.param([delta("Hmm", "reasoning_text"), delta("Hello"), done("Hello")], 2, id="a thought counts"),
        pytest.param([done("Hello")], 1, id="all at once, of a model that does not stream"),
        pytest.param(
            [
                {"type": "chat:completion", "data": {"choices": [{"message": {"content": "Hello"}}]}},
                done("Hello"),
            ],
            1,
            id="all at once, and again at the end",
        ),
        pytest.param([delta(""), delta("Hello"), done("Hello")], 1, id="an empty piece does not count"),
        pytest.param(
            [{"type": "status", "data": None}, {"type": "chat:completion", "data": {"usage": {}}}, done("Hello")],
            1,
            id="what brings no text does not count",
        ),
    ],
)
def test_pieces_are_what_a_model_said(site: Site, script: list[Any], pieces: int) -> None:
    found = site.ask(ACTIVE, *script)
    assert (found.fault, found.pieces) == (None, pieces)


@dataclass(frozen=True)
class Case:
    """What Open WebUI does with a question, and what has to be said of it."""

    fault: Fault
    seen: str
    script: Sequence[dict[str, Any] | float] = ()
    is_stopped: bool = False
    model: str = MODEL


CASES = {
    "a name that nobody lists": Case(
        Fault.UNKNOWN, "lab-shrot is not among those of ordinary users: lab-long, lab-short", model="lab-shrot"
    ),
    "an error of the model's server": Case(
        Fault.SILENT,
        "Open WebUI: Server Connection Error",
        [ACTIVE, failed("Open WebUI: Server Connection Error")],
    ),
    "an error as its server wrote it": Case(
        Fault.SILENT,
        "no such model",
        [ACTIVE, {"type": "chat:completion", "data": {"error": {"message": "no such\nmodel", "code": 404}}}],
    ),
    "no token in time": Case(Fault.SILENT, "no token within 2 s", [ACTIVE, 9.0], is_stopped=True),
    "an end without a word": Case(Fault.SILENT, "it ended without a word", [ACTIVE, done("")]),
    "somebody stopped it": Case(Fault.SILENT, "it was stopped", [ACTIVE, {"type": "chat:tasks:cancel"}]),
    "an answer that stands still": Case(
        Fault.UNFINISHED, "and no end within 2 s", [ACTIVE, delta("Hel"), delta("lo"), 9.0], is_stopped=True
    ),
    "an answer that breaks off": Case(
        Fault.UNFINISHED,
        f"after 1 piece: {CUT_OFF}",
        [ACTIVE, delta("Hel"), failed(CUT_OFF)],
    ),
    "no event": Case(Fault.UNHEARD, "the question was accepted, and 1 s were silent", [9.0], is_stopped=True),
    "a websocket that ends before the answer": Case(
        Fault.UNHEARD, "the websocket ended after 0 pieces", [0.2, HANG_UP], is_stopped=True
    ),
    "a websocket that ends within the answer": Case(
        Fault.UNHEARD, "the websocket ended after 1 piece", [ACTIVE, delta("Hel"), HANG_UP], is_stopped=True
    ),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_each_fault_has_words_of_its_own_and_a_next_step(site: Site, case: Case) -> None:
    found = site.ask(*case.script, model=case.model, limit_s=2.0)
    assert found.fault is case.fault
    assert case.seen in found.seen
    *before, last = found.checks(case.model)
    assert last.is_fault
    assert last.seen.startswith(f"{case.fault.value}: ")
    assert last.next_step == case.fault.next_step
    assert last.name == ("last" if before else "first") + f" token of {case.model}"
    assert [check.ok for check in before] == [True] * (found.pieces > 0)
    assert len(site.open_webui.stopped) == case.is_stopped


def test_the_faults_are_told_in_four_words_each_and_no_two_alike() -> None:
    assert [len(fault.value.split()) for fault in Fault] == [4, 4, 4, 4]
    assert len({fault.next_step for fault in Fault}) == 4


def test_a_name_that_nobody_lists_is_not_asked(site: Site) -> None:
    site.ask(model="lab-shrot")
    assert site.open_webui.asked == []


def test_a_shared_model_that_no_server_offers_is_a_silent_one(site: Site) -> None:
    """Open WebUI forgets the models of a server that is down, except what admins wrote down of them."""
    site.open_webui.models, site.open_webui.shared = ["lab-long"], [MODEL]
    found = site.ask()
    assert found.fault is Fault.SILENT
    assert "no server offers it now" in found.seen


def test_without_any_model_that_is_said(site: Site) -> None:
    site.open_webui.models = []
    assert site.ask().seen.endswith("ordinary users: none")


def test_of_many_models_ten_are_named(site: Site) -> None:
    site.open_webui.models = [f"model-{number:02}" for number in range(30)]
    assert site.ask().seen.endswith("model-09, ...")


def test_a_question_that_is_refused_is_a_model_that_does_not_answer(site: Site) -> None:
    site.open_webui.status = 400
    found = site.ask()
    assert found.fault is Fault.SILENT
    assert found.seen.endswith("answered 400 Bad Request: Model not found")


def test_events_of_another_answer_are_not_this_one(site: Site) -> None:
    site.open_webui.of_another = True
    assert site.ask(ACTIVE, delta("Hello"), done("Hello")).fault is Fault.UNHEARD


def test_an_answer_that_can_not_be_stopped_is_told(site: Site) -> None:
    site.open_webui.stops = False
    found = site.ask(ACTIVE, 9.0, limit_s=1.0)
    assert "no token within 1 s; it could not be stopped: " in found.seen


def test_a_provider_s_error_brings_no_key_and_no_line_into_the_report(site: Site) -> None:
    said = f"Incorrect API key provided:\n{KEY} {WORDS}. See https://example.org/keys. {'no ' * 200}"
    found = site.ask(failed(said))
    assert found.seen.startswith("Incorrect API key provided: *** ***. See https://example.org/keys. no no")
    assert len(found.seen) == 200


def test_no_answer_of_open_webui_is_no_fault_of_the_model(site: Site) -> None:
    nobody = Way("http://127.0.0.1:1")
    with websocket.connected(site.way, 5) as session, pytest.raises(ProbeError, match="no answer from"):
        answer.ask(session, nobody, "token", MODEL, 1.0, 1.0)


def test_the_checks_of_a_whole_answer_have_its_times() -> None:
    first, last = Answer(first_ms=210.4, last_ms=6100.0, pieces=58).checks(MODEL)
    assert (first.ok, first.elapsed_ms, first.seen) == (True, 210.4, "arrived after 210 ms")
    assert (last.ok, last.elapsed_ms, last.seen) == (True, 6100.0, "arrived after 6100 ms, in 58 pieces")


def test_a_next_step_that_is_known_better_stands_for_the_fault_s_own() -> None:
    (check,) = Answer(fault=Fault.UNHEARD, seen="silence").checks(MODEL, "Valkey's ACL refuses it")
    assert check.next_step == "Valkey's ACL refuses it"
