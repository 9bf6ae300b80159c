"""Words of findings: stable names in words of Prometheus' labels, shares and times as people say them."""

from __future__ import annotations

import re


def name(kind: str, thing: str) -> str:
    """As in `name("container", "open-webui-2")`: container_open_webui_2."""
    return f"{kind}_{re.sub('[^a-z0-9]+', '_', thing.lower()).strip('_')}"


def percent(part: float, whole: float) -> float:
    """0 of nothing."""
    return 100 * part / whole if whole else 0.0


def duration(seconds: float) -> str:
    """A time as people say it: `61 days`, `11 hours`, `5 minutes`; 0 and less is `0 minutes`."""
    for unit, size_s in (("day", 86400), ("hour", 3600)):
        if seconds >= 2 * size_s:
            return f"{int(seconds // size_s)} {unit}s"
    return f"{max(0, int(seconds // 60))} minutes"
