"""Both sides read what the other wrote, skip what neither wrote, and never show a secret in an error."""

from __future__ import annotations

import json

import pytest

from webui_stack.host import protocol
from webui_stack.host.protocol import Event, Failure, ProtocolError, Request, Result

ODD = "é\u2028\n\x00 'quoted' \ud800"


def test_a_request_is_one_line_and_read_back() -> None:
    request = Request("up", "token", {"text": ODD, "number": 1, "none": None, "list": [True]})
    assert "\n" not in request.line()
    assert request.line().isascii()
    assert Request.read("up", request.line()) == request


@pytest.mark.parametrize("answer", [Event(ODD, "swap", 1, 2), Result({"a": [1, None]}), Failure(ODD, "e", "g", "d")])
def test_an_answer_is_one_line_and_read_back(answer: protocol.Answer) -> None:
    line = protocol.written("token", answer)
    assert "\n" not in line
    assert line.isascii()
    assert protocol.read("token", line) == answer


@pytest.mark.parametrize("line", ["", "Welcome!", "tokens {}", 'other {"result":{}}', "token"])
def test_a_line_of_somebody_else_is_no_answer(line: str) -> None:
    assert protocol.read("token", line) is None


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[]",
        '{"format":1}',
        '{"format":1,"result":{"value":1,"more":2}}',
        '{"format":1,"event":{}}',
        '{"format":99,"result":{"value":1}}',
        '{"result":{"value":1}}',
    ],
)
def test_an_answer_that_is_none_of_the_three_is_an_error(content: str) -> None:
    with pytest.raises(ProtocolError, match=r"^answer of the host: expected .+, got .+; deploy again"):
        protocol.read("token", f"token {content}")


@pytest.mark.parametrize(
    "line",
    [
        "hunter2",
        json.dumps({"format": 1, "arguments": {"password": "hunter2"}}),
        json.dumps({"format": 1, "token": "", "arguments": {"password": "hunter2"}}),
        json.dumps({"format": 1, "token": "t", "arguments": "hunter2"}),
        json.dumps({"format": 99, "token": "t", "arguments": {"password": "hunter2"}}),
    ],
)
def test_a_request_that_can_not_be_read_is_not_shown(line: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        Request.read("up", line)
    assert "hunter2" not in str(caught.value)


def test_a_requests_arguments_are_not_in_its_repr() -> None:
    assert "hunter2" not in repr(Request("up", "t", {"password": "hunter2"}))
