"""One host's data as `Settings`, or refused with every problem."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from webui_stack.settings import consistency, errors
from webui_stack.settings.model import Settings


def from_data(data: Mapping[str, Any]) -> Settings:
    """Ensure the host data is a complete and sound set of settings.

    Keys that are clearly not ours (no prefix of ours, no near miss, no everyday word for a setting) are left alone: an
    inventory may carry data of other deploys. Raises `SettingsError` with every problem found; changes nothing.
    """
    ours = {key: value for key, value in data.items() if key in Settings.model_fields}
    problems = [errors.unknown(key) for key in sorted(data) if errors.is_meant_for_us(key)]
    unwritable = {key: found for key, value in ours.items() if (found := list(_unwritable(key, value)))}
    problems += [line for found in unwritable.values() for line in found]
    ours = {key: value for key, value in ours.items() if key not in unwritable}
    settings = None
    try:
        settings = Settings(**ours)
    except ValidationError as error:
        problems += [errors.explain(detail) for detail in error.errors() if detail["loc"][0] not in unwritable]
    problems += consistency.disagreements(ours, settings)
    if problems or settings is None:
        raise errors.SettingsError(problems)
    return settings


# Characters that no file, variable or argument can hold: C ends its strings at the one, UTF-8 has not the others.
_UNWRITABLE = re.compile("[\\0\ud800-\udfff]")


def _unwritable(where: str, value: Any) -> Iterator[str]:
    """A line for each text below a setting that can't be written anywhere; the text itself may be a secret."""
    if isinstance(value, str) and (found := _UNWRITABLE.search(value)):
        what = "a NUL character" if found[0] == "\0" else "half of a surrogate pair"
        yield f"{where}: expected text that a file can hold, got {what} in it (value hidden); remove it"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str) and _UNWRITABLE.search(key):
                yield f"{where}: expected names that a file can hold, got {key!r}; rename it"
            else:
                yield from _unwritable(f"{where}/{key}", inner)
    elif isinstance(value, list | tuple | set):
        for i, inner in enumerate(value):
            yield from _unwritable(f"{where}/{i}", inner)
