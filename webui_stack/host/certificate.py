"""When certificates begin and end: those in a PEM file, and the one that a server shows."""

from __future__ import annotations

import base64
import binascii
import calendar
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import HostError
from .system import why

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
# Tags of DER (X.690): universal ones, and the version's own one in a certificate (RFC 5280, 4.1).
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
# A year of two digits is of 1950 to 2049 (RFC 5280, 4.1.2.5.1).
_CENTURY = 50
Dial = Callable[[str, int, float], socket.socket]


@dataclass(frozen=True)
class Validity:
    """When a certificate begins and ends, in seconds since 1970."""

    begins_s: float
    ends_s: float


def of_pem(where: str, text: str) -> list[Validity]:
    """The certificates of a PEM file, in its order: one at least. Raises `HostError` for what is none."""
    try:
        found = [validity(base64.b64decode("".join(block.split()), validate=True)) for block in _PEM.findall(text)]
    except (ValueError, binascii.Error):
        found = []
    if not found:
        do = "put the certificate there again, by deploy.py"
        raise HostError(where, expected="certificates in PEM", got="none that can be read", do=do)
    return found


def served(address: str, port: int, name: str, dial: Dial, limit_s: float) -> Validity:
    """The certificate that a server shows for a name, trusted or not. Raises `HostError` where it shows none."""
    import ssl  # costs more than all else at a start

    where = f"{name} at {address}:{port}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with dial(address, port, limit_s) as connection, context.wrap_socket(connection, server_hostname=name) as tls:
            shown = tls.getpeercert(binary_form=True)
        return validity(shown or b"")
    except (OSError, ValueError) as error:
        got = why(error) if isinstance(error, OSError) else "one that can't be read"
        raise HostError(where, expected="a certificate", got=got, do="look at `docker logs` of the proxy") from None


def validity(der: bytes) -> Validity:
    """When a certificate begins and ends. Raises `ValueError` for what is no certificate."""
    whole = _Reader(der).inside(_SEQUENCE)
    signed = whole.inside(_SEQUENCE)
    if signed.tag() == _VERSION:
        signed.next()
    for _ in ("serial", "algorithm", "issuer"):
        signed.next()
    times = signed.inside(_SEQUENCE)
    return Validity(_moment(*times.next()), _moment(*times.next()))


def _moment(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= _CENTURY else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))


class _Reader:
    """The values in a piece of DER, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def tag(self) -> int:
        """The tag of the next value."""
        return self._byte(self._at)

    def next(self) -> tuple[int, bytes]:
        tag, length, begin = self.tag(), self._byte(self._at + 1), self._at + 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(self._data[begin : begin + size], "big")
            begin += size
        if begin + length > len(self._data):
            raise ValueError("cut off")
        self._at = begin + length
        return tag, self._data[begin : self._at]

    def inside(self, wanted: int) -> _Reader:
        """The values within the next one, which has this tag."""
        tag, content = self.next()
        if tag != wanted:
            raise ValueError("another form")
        return _Reader(content)

    def _byte(self, at: int) -> int:
        if at >= len(self._data):
            raise ValueError("cut off")
        return self._data[at]
