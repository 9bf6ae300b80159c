"""Whole numbers in text that others wrote: a host, a server, a person. Pure.

Python's own questions and conversions know the digits of every script, superscripts among them, and `int` takes blanks,
signs and underscores as well. What a host prints has ASCII digits, or is no number.
"""

from __future__ import annotations

import re

# More digits are no size, port, version or time; Python itself stops at 4300 of them with another error.
_WHOLE = re.compile("[0-9]{1,18}")


def whole(text: str | None) -> int | None:
    """The number that a text of ASCII digits is; None for every other text."""
    return int(text) if text and _WHOLE.fullmatch(text) else None


def integer(text: str) -> int:
    """The number that a text of ASCII digits is, with or without a minus sign. Raises ValueError for other text."""
    found = whole(text.removeprefix("-"))
    if found is None:
        raise ValueError(f"expected a whole number, got {text!r}")
    return -found if text.startswith("-") else found
