"""Sites with HTTPS and a name of their own, as Chromium gets there."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.browser.person import Site
from tests.lab.door import Door


def by_name(
    door: Door, host: Any, certificates: Sequence[str], *, http2: bool = False, elsewhere: Sequence[str] = ()
) -> Site:
    """The site of a door, by the name that people type.

    Of all certificates without a known authority, Chromium takes those in the files alone. `elsewhere` are more names
    with their places, as `NAME ADDRESS:PORT`. Chromium fails every request on HTTP/2 when an interface of this machine
    comes or goes (ERR_NETWORK_CHANGED), as Docker's do all the time; those on HTTP/1.1 go on.
    """
    there = ", ".join(f"MAP {one}" for one in (f"{door.name} 127.0.0.1:{door.port}", *elsewhere))
    trusted = ",".join(_hash_of_the_key(file) for file in certificates)
    versions = () if http2 else ("--disable-http2",)
    return Site(
        door.url,
        host,
        (f"--host-resolver-rules={there}", *versions, f"--ignore-certificate-errors-spki-list={trusted}"),
    )


def _hash_of_the_key(file: str) -> str:
    certificate = x509.load_pem_x509_certificate(Path(file).read_bytes())
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()
