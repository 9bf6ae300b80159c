"""The names of `typing` for modules that have to start quickly: nothing reads an annotation while the program runs.

`typing` takes 9 ms of processor time to load (Python 3.11), an eighth of a whole survey. To mypy these are its own.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, BinaryIO, Literal, NoReturn, Protocol, TypedDict, TypeVar, Union, cast
else:

    class _Name:
        """Stands for a name, with parameters or without."""

        def __getitem__(self, parameters):
            return self

    class Protocol:
        """A base class without anything."""

    Any = BinaryIO = Literal = NoReturn = Union = _Name()
    TypedDict = dict

    def TypeVar(name, **_):  # noqa: N802 typing's own name
        return name

    def cast(_, value):
        return value


__all__ = ["Any", "BinaryIO", "Literal", "NoReturn", "Protocol", "TypeVar", "TypedDict", "Union", "cast"]
