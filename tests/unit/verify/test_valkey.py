"""What a Valkey that answers, and not with PONG, means."""

from __future__ import annotations

import pytest

from webui_stack.verify import valkey


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        ("MISCONF Errors writing to the AOF file: No space left on device", "it could not save"),
        ("LOADING Valkey is loading the dataset in memory", "it loads its data"),
        ("NOAUTH Authentication required.", "it loads its data"),
        ("BUSY Valkey is busy running a script.", "a script keeps it busy"),
        ("Could not connect to Valkey at 127.0.0.1:6379: Connection refused", "Valkey does not answer"),
        ("", "Valkey does not answer"),
    ],
)
def test_the_next_step_follows_from_the_answer(answer: str, step: str) -> None:
    assert valkey.next_step(answer).startswith(step)
