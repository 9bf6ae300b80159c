"""A server's certificate: which of a file's certificates are roots, and how long one is still valid. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from webui_stack.model.check import Check

if TYPE_CHECKING:
    from cryptography import x509

NAME = "certificate"
# Whoever renews certificates does so earlier: Caddy and certbot at a third of the lifetime.
_ADVICE, _FAULT = 1 / 4, 1 / 10
# OpenSSL's codes (X509_V_ERR_*, x509_vfy.h, 3.0) of a chain that ends at no known root.
_NO_ROOT = {2, 18, 19, 20, 21}
_EXPIRED, _OTHER_NAME = 10, {62, 64}


def roots(pem: bytes) -> list[str]:
    """The certificates of a PEM file that signed themselves, each as PEM. Raises `ValueError` for no PEM file."""
    # Here, because most runs read no certificates, and this takes 0.02 s to load.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    found = x509.load_pem_x509_certificates(pem)
    return [one.public_bytes(Encoding.PEM).decode() for one in found if _signed_itself(one)]


def _signed_itself(certificate: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def check(shown: Mapping[str, Any], now_s: float, renewal: str) -> Check:
    """How long a certificate is still valid, of its lifetime.

    `shown` is what `ssl.SSLSocket.getpeercert` returns, `now_s` is in seconds since the epoch, `renewal` says how to
    renew it.
    """
    begins_s, ends_s = (ssl.cert_time_to_seconds(shown[name]) for name in ("notBefore", "notAfter"))
    left_s = ends_s - now_s
    share = left_s / (ends_s - begins_s) if ends_s > begins_s else 0.0
    return Check(
        NAME,
        share >= _ADVICE,
        f"valid for {duration(left_s)} more of {duration(ends_s - begins_s)}, until {shown['notAfter']}",
        renewal,
        advice=share >= _FAULT,
        settled=True,
    )


def ends(shown: Mapping[str, Any]) -> str:
    """When a certificate ends (ISO 8601, in UTC); `shown` as for `check`."""
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC).isoformat()


def refused(error: ssl.SSLCertVerificationError, renewal: str) -> Check:
    """That clients refuse the certificate, and what to do."""
    code = error.verify_code
    if code in _NO_ROOT:
        step = (
            "clients know roots only: serve the intermediate certificates too (proxy_certificate is the whole chain); "
            "is the root a private CA's, name its file in verify_ca"
        )
    elif code == _EXPIRED:
        step = renewal
    elif code in _OTHER_NAME:
        step = "the name in the URL has to be in the certificate"
    else:
        step = "a browser refuses it as well"
    return Check(NAME, False, f"refused: {error.verify_message}", step)


def missing(error: ssl.SSLError) -> Check | None:
    """That Caddy has no certificate for the name, and what to do; None for any other error.

    It ends the handshake then with this alert, as Go's crypto/tls does for an error of its GetCertificate.
    """
    if error.reason != "TLSV1_ALERT_INTERNAL_ERROR":
        return None
    step = "`docker logs open-webui-proxy` tells why the CA issued none; does it reach this host by that name?"
    return Check(NAME, False, "the proxy has no certificate for its name yet", step)


def duration(seconds: float) -> str:
    """A time as people say it: `61 days`, `11 hours`, `5 minutes`; 0 and less is `0 minutes`."""
    for unit, size_s in (("day", 86400), ("hour", 3600)):
        if seconds >= 2 * size_s:
            return f"{int(seconds // size_s)} {unit}s"
    return f"{max(0, int(seconds // 60))} minutes"
