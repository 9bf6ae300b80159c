"""The crowd reaches a public name by another way, as a browser with its cookies; and refuses what it can't do."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.lab.crowd import Crowd, CrowdError, Site

NAME = "chat.lab.test"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of the public name, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


class Sticky(BaseHTTPRequestHandler):
    """A proxy's page: says which host and cookie it was asked with, and sets one."""

    def do_GET(self) -> None:
        body = f'["{self.headers["Host"]}", "{self.headers.get("Cookie", "")}"]'.encode()
        self.send_response(200)
        self.send_header("Set-Cookie", "lb=one; Path=/; HttpOnly; Secure")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving(certificate: Path) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sticky)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def port(certificate: Path) -> Iterator[int]:
    with serving(certificate) as port:
        yield port


async def asked_twice(site: Site, cookies: bool) -> list[object]:
    async with site.browser(cookies=cookies, connections=1) as browser:
        return [(await site.ask(browser, "/"))[1] for _ in range(2)]


def test_a_public_name_is_reached_at_a_loopback_port_and_its_cookie_is_kept(certificate: Path, port: int) -> None:
    site = Site(f"https://{NAME}", certificate, {NAME: ("127.0.0.1", port)})
    assert asyncio.run(asked_twice(site, cookies=True)) == [[NAME, ""], [NAME, "lb=one"]]


def test_events_are_asked_for_without_cookies(certificate: Path, port: int) -> None:
    site = Site(f"https://{NAME}", certificate, {NAME: ("127.0.0.1", port)})
    assert asyncio.run(asked_twice(site, cookies=False)) == [[NAME, ""], [NAME, ""]]


def test_a_certificate_nobody_vouches_for_is_refused(port: int) -> None:
    site = Site(f"https://{NAME}", "", {NAME: ("127.0.0.1", port)})
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        asyncio.run(asked_twice(site, cookies=True))


def test_a_certificate_of_another_name_is_refused(certificate: Path, port: int) -> None:
    site = Site("https://other.lab.test", certificate, {"other.lab.test": ("127.0.0.1", port)})
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        asyncio.run(asked_twice(site, cookies=True))


def test_a_crowd_that_can_not_sign_in_says_where() -> None:
    with pytest.raises(CrowdError, match=r"http://127\.0\.0\.1:1: ClientConnectorError"), Crowd("http://127.0.0.1:1"):
        pytest.fail("nothing is there")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"clients": 501}, "expected people (5) to 500, got 501"),
        ({"clients": 4}, "expected people (5) to 500, got 4"),
        ({"rate": 0}, "expected up to 100 events a second, got 0"),
        ({"rate": 101}, "expected up to 100 events a second, got 101"),
    ],
)
def test_a_crowd_is_bounded(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 the words are what is tested
        Crowd("http://127.0.0.1:1", **arguments)
    assert told in str(raised.value)
