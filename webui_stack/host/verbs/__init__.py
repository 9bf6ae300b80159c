"""One module a verb. A verb takes its arguments and a function for events, and returns what JSON can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import docker, doctor, survey

VERBS: Mapping[str, Callable[..., Any]] = {"docker": docker.run, "doctor": doctor.run, "survey": survey.run}
DETACHED = frozenset({"docker"})
"""The verbs that change the host: each runs in a process of its own (`worker.py`)."""
