"""Certificates: how long those in files, and the one that the proxy serves, are valid still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Union

from .. import certificate
from ..certificate import Validity
from ..errors import HostError
from ..finding import Finding, Sample
from .request import Served
from .sight import Sight
from .words import duration, name

_Kept = dict[str, Union[HostError, Validity]]  # noqa: UP007 Python 3.9 has no `|` for types at run time

_DAY_S = 86400.0
# A certificate lasts for hours at least: it is looked at once in so many looks.
_LOOKS = 10
_SHARE = 1 / 4
_HANDSHAKE_S = 5.0


def look(at: Sight) -> Iterator[Finding | Sample]:
    """Cost: no call to Docker; a TLS handshake with the proxy in each tenth look."""
    if not (at.asked.certificates or at.asked.served):
        return
    # One age for all answers: a file and what the proxy serves of it are one message, so one look asks both again.
    kept: _Kept = at.memory.kept("certificates", at.asked.interval_s * _LOOKS, dict)
    for path in at.asked.certificates:
        of_file = _answer(kept, path, partial(_of_file, at, path))
        yield from _left(at, path.rpartition("/")[2], path, of_file, renews=False)
    served = at.asked.served
    if served and (not at.asked.proxy or _serves(at)):
        shown = _answer(kept, "", lambda: _shown(at, served))
        yield from _left(at, "served", f"the certificate of {served.name}", shown, renews=served.renews)


def _answer(kept: _Kept, what: str, ask: Callable[[], Validity]) -> Validity:
    """The answer, or the error, that is kept; asked where there is none yet."""
    if what not in kept:
        try:
            kept[what] = ask()
        except HostError as error:
            kept[what] = error
    found = kept[what]
    if isinstance(found, HostError):
        raise found
    return found


def _of_file(at: Sight, path: str) -> Validity:
    """The validity of the file's certificate that ends first."""
    return min(certificate.of_pem(path, at.system.text(path)), key=lambda one: one.ends_s)


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
