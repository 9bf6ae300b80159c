"""One module a verb. A verb takes its arguments and a function for events, and returns what JSON can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import docker, doctor, survey, watch

VERBS: Mapping[str, Callable[..., Any]] = {
    "docker": docker.run,
    "doctor": doctor.run,
    "survey": survey.run,
    "watch": watch.run,
}
DETACHED = frozenset({"docker"})
"""The verbs that an operator's run has change the host: each runs in a process of its own (`worker.py`)."""
