"""Answers as Valkey writes them, in pieces as a network hands them on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from webui_stack.host.resp import Client, RefusedError

ANSWERS = {
    "simple": (b"+PONG\r\n", "PONG"),
    "number": (b":12\r\n", 12),
    "no text": (b"$-1\r\n", None),
    "no list": (b"*-1\r\n", None),
    "empty": (b"$0\r\n\r\n", ""),
    "text": (b"$11\r\na\r\nb$1\r\n*c\xc3\r\n", "a\r\nb$1\r\n*c\ufffd"),
    "list": (b"*2\r\n$8\r\nsocketio\r\n:1\r\n", ["socketio", 1]),
    "lists": (b"*1\r\n*2\r\n$5\r\ncount\r\n*0\r\n", [["count", []]]),
}


def answered(pieces: Sequence[bytes], *words: str, limit_s: float = 5.0) -> tuple[Any, bytes]:
    """What the client makes of these pieces, and what it had sent before the first."""
    ours, theirs = socket.socketpair()
    sent = []

    def serve() -> None:
        with theirs, suppress(BrokenPipeError):
            sent.append(theirs.recv(1 << 16))
            for piece in pieces:
                theirs.sendall(piece)
                time.sleep(0.001)
            if not pieces:
                time.sleep(limit_s + 0.2)

    server = threading.Thread(target=serve)
    server.start()
    client = Client(ours, limit_s)
    try:
        return client.ask(*words), sent[0]
    finally:
        client.close()
        server.join()


@pytest.mark.parametrize(("written", "read"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("size", [1, 1000])
def test_each_kind_of_answer_is_read_whole(written: bytes, read: Any, size: int) -> None:
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    assert answered(pieces, "PING")[0] == read


def test_words_are_sent_as_they_are() -> None:
    odd = "it's $HOME \r\n \u00e9 *"
    assert answered([b"+OK\r\n"], "PUBLISH", odd)[1] == b"*2\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n" % (
        len(odd.encode()),
        odd.encode(),
    )


def test_an_error_of_valkeys_is_a_refusal() -> None:
    with pytest.raises(RefusedError, match=r"^NOPERM User default has no permissions$"):
        answered([b"-NOPERM User default has no permissions\r\n"], "INFO")


@pytest.mark.parametrize(
    "written", [b"HTTP/1.1 400 Bad\r\n", b"\r\n", b"$x\r\n", b"*1\r\n!1\r\n"], ids=["http", "empty", "text", "list"]
)
def test_another_protocol_is_no_answer(written: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected RESP2|invalid literal"):
        answered([written], "PING")


def test_an_answer_without_an_end_is_not_waited_for() -> None:
    with pytest.raises(ValueError, match="expected an answer of at most 4194304 bytes"):
        answered([b"$9999999\r\n", *[b"x" * (1 << 20)] * 5], "PING")


def test_a_connection_that_ends_early_is_an_error() -> None:
    with pytest.raises(ConnectionResetError):
        answered([b"$5\r\nab"], "PING")


@pytest.mark.parametrize("pieces", [[], [b"$100000\r\n"] + [b"a"] * 300], ids=["silent", "slow"])
def test_an_answer_has_its_time_and_no_more(pieces: list[bytes]) -> None:
    began_s = time.monotonic()
    with pytest.raises(socket.timeout):
        answered(pieces, "PING", limit_s=0.1)
    assert time.monotonic() - began_s < 5
