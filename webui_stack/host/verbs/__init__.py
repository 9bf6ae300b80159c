"""One module a verb. A verb takes its arguments and a function for events, and returns what JSON can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import (
    backup,
    cause,
    docker,
    doctor,
    drill,
    hand_made,
    images,
    recover,
    secrets,
    serving,
    survey,
    teardown,
    up,
    watch,
)

VERBS: Mapping[str, Callable[..., Any]] = {
    "backup": backup.run,
    "cause": cause.run,
    "docker": docker.run,
    "doctor": doctor.run,
    "drill": drill.run,
    "hand_made": hand_made.run,
    "images": images.look,
    "load": images.load,
    "pull": images.pull,
    "recover": recover.run,
    "save": images.save,
    "secrets": secrets.run,
    "serving": serving.run,
    "survey": survey.run,
    "teardown": teardown.remove,
    "teardown_look": teardown.look,
    "up": up.run,
    "watch": watch.run,
}
DETACHED = frozenset({"backup", "docker", "drill", "load", "pull", "secrets", "teardown", "up"})
"""The verbs by which a run changes the host: each has a process of its own (`worker.py`)."""
