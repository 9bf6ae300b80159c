"""Logging in to Valkey: an unread password is told as such, and a refused one as a disagreement of files."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from webui_stack.transport import remote
from webui_stack.verify import valkey_login


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        pytest.param(remote.RemoteError("answer of the host: expected its mark"), "expected its mark", id="no answer"),
        pytest.param(["a"], "expected two lines in /opt/open-webui/secrets, got 1", id="one of two"),
    ],
)
def test_passwords_that_cannot_be_read_are_no_disagreement_of_files(
    monkeypatch: pytest.MonkeyPatch, answer: Any, seen: str
) -> None:
    def run(*_: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(remote, "run", run)
    host: Any = None
    found = valkey_login.read_passwords(host, "/opt/open-webui")
    assert isinstance(found, redis.RedisError)
    assert seen in str(found)
    assert "disagree" not in valkey_login.next_step(found)


def test_a_refused_login_is_still_a_disagreement_of_files() -> None:
    assert "disagree" in valkey_login.next_step(redis.exceptions.AuthenticationError("WRONGPASS"))
