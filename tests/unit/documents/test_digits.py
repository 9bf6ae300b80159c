"""Numbers in text that others wrote: ASCII digits alone, for the text may be anything."""

from __future__ import annotations

import pytest

from webui_stack.documents import digits
from webui_stack.model import docker, doctor_observed

# Superscript two, Arabic-Indic and full-width three, and what Python's `int` takes besides.
NO_NUMBERS = ["", "\u00b2", "\u0663", "\uff13", "1\u0663", "+3", " 3", "3\n", "1_000", "0x10", "1.5", "3" * 5000]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_other_text_is_no_number(text: str) -> None:
    assert digits.whole(text) is None
    with pytest.raises(ValueError, match="expected a whole number"):
        digits.integer(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("999999999999999999", 10**18 - 1)])
def test_ascii_digits_are_a_number(text: str, number: int) -> None:
    assert digits.whole(text) == digits.integer(text) == number
    assert digits.integer("-" + text) == -number


def test_nothing_and_a_minus_sign_are_no_whole_number() -> None:
    assert digits.whole(None) is None
    assert digits.whole("-1") is None
    with pytest.raises(ValueError, match="whole number"):
        digits.integer("--1")


@pytest.mark.parametrize("digit", ["\u00b2", "\u0663"])
def test_what_a_host_prints_is_read_without_a_traceback(digit: str) -> None:
    """`"\u00b2".isdigit()` is true, and `int` of it raises."""
    assert doctor_observed.number(digit) == 0
    assert "expected Engine 20.10 or newer" in " ".join(docker.shortcomings(docker.Engine(server=f"{digit}.10")))
