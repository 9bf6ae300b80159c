"""Certificates: how long those in files, and the one that the proxy serves, are valid still."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .. import certificate
from ..certificate import Validity
from ..finding import Finding, Sample
from .request import Served
from .sight import Sight
from .words import duration, name

_DAY_S = 86400.0
# A certificate lasts for hours at least: it is looked at once in so many looks.
_LOOKS = 10
_SHARE = 1 / 4
_HANDSHAKE_S = 5.0


def look(at: Sight) -> Iterator[Finding | Sample]:
    """Cost: no call to Docker; a TLS handshake with the proxy in each tenth look."""
    pause_s = at.asked.interval_s * _LOOKS
    for path in at.asked.certificates:
        of_file = at.memory.kept(f"certificate {path}", pause_s, partial(_of_file, at, path))
        yield from _left(at, path.rpartition("/")[2], path, min(of_file, key=lambda one: one.ends_s), renews=False)
    served = at.asked.served
    if served and (not at.asked.proxy or _serves(at)):
        shown = at.memory.kept("certificate served", pause_s, lambda: _shown(at, served))
        yield from _left(at, "served", f"the certificate of {served.name}", shown, renews=served.renews)


def _of_file(at: Sight, path: str) -> list[Validity]:
    return certificate.of_pem(path, at.system.text(path))


def _shown(at: Sight, served: Served) -> Validity:
    return certificate.served(served.address, served.port, served.name, at.dial, _HANDSHAKE_S)


def _serves(at: Sight) -> bool:
    """Whether the proxy can be asked: where it does not run, the look at containers says so."""
    one = at.one(at.asked.proxy)
    return bool(at.asked.swarm) or (one is not None and one.status == "running" and one.health != "starting")


def _left(at: Sight, what: str, shown: str, one: Validity, *, renews: bool) -> Iterator[Finding | Sample]:
    left_s = one.ends_s - at.clock.now()
    bound_s = at.asked.thresholds.certificate_days * _DAY_S
    if renews:  # Caddy renews at a third, and its internal ones last 12 hours
        bound_s = min(bound_s, (one.ends_s - one.begins_s) * _SHARE)
    is_well = left_s >= bound_s
    step = "look at `docker logs` of the proxy: it renews this by itself" if renews else "set a new one; run deploy.py"
    seen = f"{shown} is valid for {duration(left_s)} more" if left_s > 0 else f"{shown} has ended"
    yield Finding(name("certificate", what), is_well, seen, "" if is_well else step)
    about = "When a certificate ends, in seconds since 1970."
    yield Sample("open_webui_stack_certificate_expiry_timestamp_seconds", one.ends_s, {"certificate": what}, about)
