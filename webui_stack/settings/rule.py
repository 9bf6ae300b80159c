"""Rules of a single value, and the words of its refusal."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import AfterValidator, PlainValidator
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Rule:
    """The words of a refusal: what was expected, and what to do."""

    expected: str
    fix: str


def _refuse_unless(accept: Callable[[Any], bool | Rule]) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        found = accept(value)
        if found is not True:
            raise PydanticCustomError("rule", "does not follow its rule", {"rule": found or None})
        return value

    return validate


def must(accept: Callable[[Any], bool | Rule]) -> AfterValidator:
    """Refuse a value unless `accept` says True.

    The words are those of the `Rule` that it returns, or of the field's own.
    """
    return AfterValidator(_refuse_unless(accept))


def must_alone(accept: Callable[[Any], bool | Rule]) -> PlainValidator:
    """Do the same for a union: pydantic would report each of its types that does not fit."""
    return PlainValidator(_refuse_unless(accept))


def matches(pattern: str) -> AfterValidator:
    return must(lambda value: re.fullmatch(pattern, value) is not None)


def between(low: int, high: int) -> AfterValidator:
    return must(lambda value: low <= value <= high)


def zero_or_between(low: int, high: int) -> AfterValidator:
    return must(lambda value: value == 0 or low <= value <= high)
