"""Doctor's rules about the proxy. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from webui_stack.doctor.rule import Rule
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import Observed
from webui_stack.settings.model import Settings

# The patch release of Caddy that has the fixes, and the newest that was known on 2026-11-29
# (github.com/caddyserver/caddy/releases).
_FIXED, _NEWEST = (2, 11, 2), (2, 11, 9)
_HOLES = "GHSA-5r3v-vc8m-m96g, GHSA-hffm-g8v7-wrv7, GHSA-7r4p-vjf4-gxv4"


def _version(seen: Observed, _: Settings) -> Iterator[Check]:
    version, package = seen.proxy.get("version", "").split(" ")[0].removeprefix("v"), seen.proxy.get("package", "")
    numbers = re.match(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})", version)
    if not numbers:
        return
    known = tuple(int(part) for part in numbers.groups())
    seen_as = f"Caddy {version}" + (f" (package {package})" if package else "")
    newest = ".".join(map(str, _NEWEST))
    yield Check(
        "proxy: version",
        known >= _NEWEST,
        f"{seen_as} is older than the fixes of {_HOLES}" if known < _FIXED else seen_as,
        f"a distribution fixes under an old number: look {package} up in its security tracker"
        if package
        else f"set proxy_image to {newest} or newer",
        advice=bool(package) or known >= _FIXED,
    )


RULES: tuple[Rule, ...] = (_version,)
