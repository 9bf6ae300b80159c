"""The way to a receiver: its time limit, its TLS, and its errors in words that hold no secret.

A URL of a receiver is a secret, its host's name too: some services give each customer a name. Errors of the standard
library may hold either, or a header with a token.
"""

from __future__ import annotations

import socket
import ssl

from ..errors import HostError

LIMIT_S = 10.0


class RefusedError(HostError):
    """The receiver refuses this message for good: the same message would be refused again."""


def tls() -> ssl.SSLContext:
    """TLS that verifies the certificate and its name, by the host's own list of authorities.

    smtplib verifies neither without such a context (until Python 3.13).
    """
    return ssl.create_default_context()


def why(error: Exception) -> str:
    """What went wrong, without names and contents."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"a certificate that is not valid ({error.verify_message.partition(',')[0]})"  # the name comes behind
    if isinstance(error, ssl.SSLError):
        return f"no TLS ({(error.reason or 'no reason').lower().replace('_', ' ')})"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return f"no answer in {LIMIT_S:.0f} s"
    if isinstance(error, socket.gaierror):
        return "no address for its name"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"an error of the kind {type(error).__name__}"
