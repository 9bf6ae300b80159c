"""How many times a test has let something fail, or cut a program off: each is a case of `make crash`."""

from __future__ import annotations

made = 0


def one_more() -> None:
    """Count a case."""
    global made
    made += 1
