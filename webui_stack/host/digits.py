"""Whole numbers in text that others wrote. Pure.

Python's own questions know the digits of every script, and `int` takes blanks, signs and underscores as well.
"""

from __future__ import annotations

import re

# More digits are no process id, version or time.
_WHOLE = re.compile("[0-9]{1,18}")


def whole(text: str) -> int | None:
    """The number that a text of ASCII digits is; None for every other text."""
    return int(text) if _WHOLE.fullmatch(text) else None
