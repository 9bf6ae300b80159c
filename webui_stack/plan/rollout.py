"""A run in batches: which hosts go together, whether the next batch may start, what became of each host.

Pure: hosts are names in the inventory's order, and what happened to them is told by `tasks/rollout.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import Protocol

Batch = tuple[str, ...]

# Names listed in an error before it says how many more there are.
_NAMES = 20


class Policy(Protocol):
    """The settings of a rollout, as `settings.Settings` has them; `inventories/group_data/all.py` explains them."""

    @property
    def rollout_canary(self) -> int | list[str]: ...
    @property
    def rollout_batch(self) -> int | str | None: ...
    @property
    def rollout_max_failures(self) -> int: ...
    @property
    def rollout_pause_s(self) -> int: ...


_SETTINGS = ("rollout_canary", "rollout_batch", "rollout_max_failures", "rollout_pause_s")


class Fate(Enum):
    """What a rollout did with a host, in the words of its summary."""

    DONE = "done"
    FAILED = "failed"
    CUT_OFF = "cut off"
    UNTOUCHED = "untouched"


def problems(policies: Mapping[str, Policy], inventory: Sequence[str]) -> list[str]:
    """Why the targeted hosts' settings are not those of one run, a line each.

    Hosts that disagree, or a canary that is not a host of the inventory. A canary of the inventory that is not targeted
    is fine.
    """
    found = []
    for setting in _SETTINGS:
        hosts_by_value: dict[str, list[str]] = {}
        for name, policy in policies.items():
            hosts_by_value.setdefault(repr(getattr(policy, setting)), []).append(name)
        if len(hosts_by_value) > 1:
            got = " and ".join(f"{value} ({_some(names, 3)})" for value, names in hosts_by_value.items())
            found.append(
                f"{setting}: expected the same for all targeted hosts, since it is about the run, got {got}; "
                "set it in group_data/all.py beside your inventory, or with --data"
            )
    canaries = {name for p in policies.values() if isinstance(p.rollout_canary, list) for name in p.rollout_canary}
    for name in sorted(canaries.difference(inventory)):
        near = difflib.get_close_matches(name, inventory, n=1)
        hint = f"did you mean {near[0]}? There" if near else "there"
        found.append(f"rollout_canary: expected hosts of the inventory, got {name!r}; {hint} are {_some(inventory)}")
    return found


def batches(policy: Policy, hosts: Sequence[str]) -> list[Batch]:
    """The hosts in their order, cut into batches, the canary first.

    A percentage is one of all `hosts`, rounded down but never to nothing. A canary that is not among
    `hosts` (`--limit`) is left out.
    """
    canary = policy.rollout_canary
    first = hosts[:canary] if isinstance(canary, int) else [name for name in hosts if name in canary]
    rest = [name for name in hosts if name not in set(first)]
    size = _size(policy.rollout_batch, len(hosts))
    cut = [first, *(rest[start : start + size] for start in range(0, len(rest), size))]
    return [tuple(batch) for batch in cut if batch]


def _size(batch: int | str | None, hosts: int) -> int:
    if batch is None:
        return max(hosts, 1)
    if isinstance(batch, str):
        return max(hosts * int(batch.removesuffix("%")) // 100, 1)
    return batch


def first_closed(policy: Policy, plan: Sequence[Batch], failed: Collection[str]) -> int | None:
    """The first batch, from 0, that may not start: more than `rollout_max_failures` hosts before it `failed`.

    None of those after it may either. A batch's own hosts that failed early do not count against it.
    """
    failures = 0
    for number, batch in enumerate(plan):
        if failures > policy.rollout_max_failures:
            return number
        failures += len(set(batch).intersection(failed))
    return None


def reminders(pause_s: int) -> Iterator[tuple[int, int]]:
    """How a pause is waited: steps of seconds to sleep and seconds then left; ten at most, or 10 s each."""
    step_s = max(10, -(-pause_s // 10))
    for slept_s in range(0, pause_s, step_s):
        left_s = max(pause_s - slept_s - step_s, 0)
        yield pause_s - slept_s - left_s, left_s


# --- What people read ------------------------------------------------------------------------------


def title(number: int, plan: Sequence[Batch]) -> str:
    """`Batch 2 of 4`, of batch 1 counted from 0: what the batch's operations are named after."""
    return f"Batch {number + 1} of {len(plan)}"


def told_plan(policy: Policy, plan: Sequence[Batch]) -> list[str]:
    """The batches to come, a line each."""
    canary = policy.rollout_canary
    has_canary = canary > 0 if isinstance(canary, int) else not set(canary).isdisjoint(plan[0])
    return [
        f"{title(number, plan)}{', the canary' if has_canary and number == 0 else ''}: {', '.join(batch)}"
        for number, batch in enumerate(plan)
    ]


def told_stop(policy: Policy, plan: Sequence[Batch], failed: Collection[str], stopped_at: int) -> str:
    """Why a batch, from 0, and those after it are not started."""
    count = sum(name in failed for batch in plan[:stopped_at] for name in batch)
    hosts = "1 host" if count == 1 else f"{count} hosts"
    return (
        f"stopped before {title(stopped_at, plan).lower()}: {hosts} failed, "
        f"rollout_max_failures is {policy.rollout_max_failures}"
    )


def told_end(plan: Sequence[Batch], fates: Mapping[str, Fate]) -> list[str]:
    """What became of which host, and what to do about it."""
    hosts = {fate: [name for batch in plan for name in batch if fates[name] is fate] for fate in Fate}
    lines = [f"{fate.value:<9}  {len(names)}: {', '.join(names)}" for fate, names in hosts.items() if names]
    if len(hosts[Fate.DONE]) < len(fates):
        fix = "fix what failed and " if hosts[Fate.FAILED] else ""
        lines.append(f"{fix}run the same command again: it goes on with what is left")
    return lines


def _some(names: Sequence[str], most: int = _NAMES) -> str:
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
