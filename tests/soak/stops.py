"""Which runs are cut off by a sudden stop of their host, and when. Pure."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from tests.soak.account import NOTHING

RUNBOOKS = {
    "deploy": "deploy.py",
    "upgrade": "runbooks/upgrade.py",
    "restore": "runbooks/restore.py",
    "rotate": "runbooks/rotate.py",
}


@dataclass(frozen=True)
class Turn:
    """A stop of the host at a part of a run, between 0 and 1 of its length."""

    number: int
    verb: str
    part: float

    def __str__(self) -> str:
        return f"{self.number}: {self.verb} at {self.part:.0%}"


def turns(count: int, seed: int) -> list[Turn]:
    """As many stops of each verb, in any order; those of one verb are spread over the whole of its run.

    The same ones for the same seed. Within its share of the run a stop is anywhere.
    """
    chosen = random.Random(seed)  # noqa: S311
    planned: list[tuple[str, float]] = []
    for place, verb in enumerate(RUNBOOKS):
        times = len(range(place, count, len(RUNBOOKS)))
        planned += [(verb, (share + chosen.random()) / times) for share in range(times)]
    chosen.shuffle(planned)
    return [Turn(number, verb, part) for number, (verb, part) in enumerate(planned, 1)]


def step_in(journal: bytes) -> str:
    """What a host's journal says is under way, in words; of none, that nothing is."""
    if not journal:
        return NOTHING
    entry = json.loads(journal)
    return f"{entry['verb']}: {entry['step'] or 'not begun'}"
