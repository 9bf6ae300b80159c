"""One thing looked at on a host; what verify and doctor are made of, and what reports show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was seen, and when it is not well, what to do next.

    `advice` marks what is worth knowing and no fault. `settled` marks what waiting won't change.
    `elapsed_ms` is what it took, in milliseconds, where that means something to people.
    """

    name: str
    ok: bool
    seen: str
    next_step: str = ""
    advice: bool = False
    settled: bool = False
    elapsed_ms: float | None = None

    @property
    def is_fault(self) -> bool:
        return not self.ok and not self.advice

    def __str__(self) -> str:
        return f"{self.name}: {self.seen}" + (f"; {self.next_step}" if self.next_step and not self.ok else "")
