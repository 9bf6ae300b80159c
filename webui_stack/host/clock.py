"""Time, as the host has it."""

from __future__ import annotations

import time


class Clock:
    """The host's clocks, in seconds."""

    def now(self) -> float:
        """Seconds since 1970, UTC. An operator or NTP may set this clock back."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment; never set back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def utc(seconds: float) -> str:
    """A moment as backup sets and releases are named: `20261129T030000Z`."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def moment(text: str) -> float:
    """Seconds since 1970 of a time as Docker tells it: RFC 3339 in UTC, with up to nine decimals."""
    import calendar  # here, because a survey has no use for it: it takes 2 ms to load

    whole, _, decimals = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{decimals or 0}")
