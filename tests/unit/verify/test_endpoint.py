"""How verify enters: over a real TLS connection, as a client that knows roots only and no intermediate certificate."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.defaults import settings
from webui_stack.transport import tunnel
from webui_stack.verify import certificate, endpoint
from webui_stack.verify.websocket import ProbeError, Way

NAME = "chat.example.org"
DAY_S = 86400.0


@dataclass
class Signed:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def sign(
    name: str, by: Signed | None = None, ca: bool = True, names: tuple[str, ...] = (), usage: bool = False
) -> Signed:
    """A certificate for `name`, signed by another one or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=99))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        own: list[x509.GeneralName] = [x509.DNSName(one) for one in names]
        own.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        builder = builder.add_extension(x509.SubjectAlternativeName(own), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    if usage:
        allowed = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign"), False
        )
        rest = {"crl_sign": False, "encipher_only": False, "decipher_only": False}
        builder = builder.add_extension(x509.KeyUsage(digital_signature=True, **allowed, **rest), critical=True)
    return Signed(builder.sign(by.key if by else key, hashes.SHA256()), key)


ROOT = sign("A root")
MIDDLE = sign("An intermediate", ROOT)
LEAF = sign(NAME, MIDDLE, ca=False, names=(NAME,))
ALONE = sign(NAME, ca=False, names=(NAME,))
SIGNS_NOTHING = sign(NAME, ca=False, names=(NAME,), usage=True)
STRANGER = sign("Another root")


@dataclass
class Server:
    """A TLS server on the loopback; what it serves is a file on this machine, as `proxy_certificate` is."""

    port: int
    chain: Path


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    """A function that starts a server with a key and a chain of certificates."""
    listeners: list[socket.socket] = []

    def start(leaf: Signed, *chain: Signed, refuse: bool = False) -> Server:
        file, key = tmp_path / "chain.pem", tmp_path / "key.pem"
        file.write_bytes(b"".join(one.pem for one in (leaf, *chain)))
        key.write_bytes(leaf.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file, key)
        if refuse:
            context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=answer, args=(listener, context), daemon=True).start()
        return Server(listener.getsockname()[1], file)

    def answer(listener: socket.socket, context: ssl.SSLContext) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed at the end of the test
            try:
                with context.wrap_socket(connection, server_side=True) as encrypted:
                    encrypted.recv(1)
            except OSError:
                pass  # a client that refuses the certificate

    yield start
    for listener in listeners:
        listener.close()


def entered(server: Server, ca: Signed | None = None, folder: Path | None = None, **changes: Any) -> Way:
    """The way in through the proxy, with its certificate from a file."""
    if ca:
        assert folder is not None
        (folder / "ca.pem").write_bytes(ca.pem)
        changes["verify_ca"] = str(folder / "ca.pem")
    wanted = settings(
        public_url=f"https://{NAME}",
        proxy_tls="files",
        proxy_certificate=str(server.chain),
        proxy_certificate_key="env:KEY",
        verify_url=f"https://127.0.0.1:{server.port}",
        **changes,
    )
    host: Any = None  # nothing is asked of it
    return endpoint.of(host, wanted, "open-webui-proxy", 5)


def shown_by(way: Way) -> Any:
    """The certificate that a client is shown there and takes."""
    found = endpoint.certificate_of(way)
    assert found
    return found


def test_a_whole_chain_is_trusted_by_who_knows_its_root(serve: Any, tmp_path: Path) -> None:
    shown = shown_by(entered(serve(LEAF, MIDDLE), ROOT, tmp_path))
    assert ("commonName", NAME) in shown["subject"][0]


def test_a_missing_intermediate_is_refused_though_the_root_is_known(serve: Any, tmp_path: Path) -> None:
    way = entered(serve(LEAF), ROOT, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError) as error:
        endpoint.certificate_of(way)
    found = certificate.refused(error.value, "renew it")
    assert found.is_fault
    assert "serve the intermediate certificates too" in found.next_step
    assert "verify_ca" in found.next_step


def test_an_intermediate_in_the_file_of_the_ca_fills_no_gap(serve: Any, tmp_path: Path) -> None:
    way = entered(serve(LEAF), ROOT, tmp_path)
    (tmp_path / "ca.pem").write_bytes(ROOT.pem + MIDDLE.pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        endpoint.certificate_of(way)


def test_a_chain_of_a_root_that_nobody_knows_is_refused(serve: Any, tmp_path: Path) -> None:
    server = serve(LEAF, MIDDLE)
    for way in (entered(server), entered(server, STRANGER, tmp_path)):
        with pytest.raises(ssl.SSLCertVerificationError):
            endpoint.certificate_of(way)


def test_a_root_in_the_file_of_the_certificate_is_the_operators_word(serve: Any) -> None:
    assert endpoint.certificate_of(entered(serve(LEAF, MIDDLE, ROOT)))


def test_a_root_in_that_file_fills_no_gap(serve: Any) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        endpoint.certificate_of(entered(serve(LEAF, ROOT)))


@pytest.mark.parametrize("alone", [ALONE, SIGNS_NOTHING], ids=["no usage named", "for signatures of a server only"])
def test_a_certificate_that_signed_itself_is_its_own_root(serve: Any, alone: Signed) -> None:
    shown = shown_by(entered(serve(alone)))
    found = certificate.check(shown, ssl.cert_time_to_seconds(shown["notBefore"]) + DAY_S, "renew it")
    assert found.ok
    assert found.seen.startswith("valid for 99 days more of 100 days, until ")


def test_the_operators_own_proxy_is_checked_against_their_own_ca(serve: Any, tmp_path: Path) -> None:
    server = serve(LEAF, MIDDLE)
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    host: Any = None
    ca = str(tmp_path / "ca.pem")
    for given, ok in (({"verify_ca": ca}, True), ({"trusted_ca": [ca]}, True), ({}, False)):
        wanted = settings(verify_url=f"https://127.0.0.1:{server.port}", **given)
        way = endpoint.of(host, wanted, "", 5)
        if ok:
            assert endpoint.certificate_of(way)
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                endpoint.certificate_of(way)


def test_another_name_is_refused(serve: Any) -> None:
    other = sign("other.example.org", ca=False, names=("other.example.org",))
    with pytest.raises(ssl.SSLCertVerificationError) as error:
        endpoint.certificate_of(entered(serve(other)))
    assert "has to be in the certificate" in certificate.refused(error.value, "").next_step


def test_a_proxy_that_has_no_certificate_yet_is_told_from_one_that_does_not_answer(serve: Any) -> None:
    """By the alert that Caddy sends."""
    with pytest.raises(ssl.SSLError) as caught:
        endpoint.certificate_of(entered(serve(ALONE, refuse=True)))
    check = certificate.missing(caught.value)
    assert check
    assert str(check) == (
        "certificate: the proxy has no certificate for its name yet; `docker logs open-webui-proxy` tells why the CA "
        "issued none; does it reach this host by that name?"
    )
    assert check.is_fault
    assert not check.settled, "the CA may take its time"
    with pytest.raises(ssl.SSLError) as another:
        endpoint.certificate_of(entered(serve(LEAF)))
    assert certificate.missing(another.value) is None


def test_without_tls_there_is_no_certificate() -> None:
    host: Any = None
    assert endpoint.certificate_of(endpoint.of(host, settings(verify_url="http://127.0.0.1:1"), "", 5)) is None


def test_a_ca_file_without_a_root_says_so(serve: Any, tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="verify_ca: expected a root certificate"):
        endpoint.certificate_of(entered(serve(LEAF, MIDDLE), MIDDLE, tmp_path))


# --- How long it is still valid -----------------------------------------------------------------------

SHOWN = {"notBefore": "Nov  1 00:00:00 2026 GMT", "notAfter": "Nov 11 00:00:00 2026 GMT"}
BEGIN_S = ssl.cert_time_to_seconds(SHOWN["notBefore"])


@pytest.mark.parametrize(
    ("days", "level"),
    [
        pytest.param(0, "ok", id="new"),
        pytest.param(7.5, "ok", id="a quarter left"),
        pytest.param(7.6, "advice", id="less than a quarter"),
        pytest.param(9, "advice", id="a tenth left"),
        pytest.param(9.1, "fault", id="less than a tenth"),
        pytest.param(11, "fault", id="it has ended"),
    ],
)
def test_what_is_left_is_judged_by_the_lifetime(days: float, level: str) -> None:
    found = certificate.check(SHOWN, BEGIN_S + days * DAY_S, "renew it")
    assert ("ok" if found.ok else "fault" if found.is_fault else "advice") == level


def test_certificates_of_half_a_day_are_judged_by_their_own_lifetime() -> None:
    shown = {"notBefore": "Nov  1 00:00:00 2026 GMT", "notAfter": "Nov  1 12:00:00 2026 GMT"}
    found = certificate.check(shown, BEGIN_S + 8 * 3600, "renew it")
    assert found.ok, "Caddy renews its internal ones when a third is left"
    assert found.seen.startswith("valid for 4 hours more of 12 hours")


def test_a_certificate_ends_at_a_moment_that_programs_read() -> None:
    assert certificate.ends(SHOWN) == "2026-11-11T00:00:00+00:00"


@pytest.mark.parametrize(
    ("seconds", "words"), [(86400 * 61, "61 days"), (86400, "24 hours"), (5400, "90 minutes"), (-5, "0 minutes")]
)
def test_a_duration_is_told_in_words(seconds: float, words: str) -> None:
    assert certificate.duration(seconds) == words


def behind(connection: object, name: str = "web-1") -> Any:
    """A host whose SSH connection goes through this."""
    transport = SimpleNamespace(sock=connection)
    client = SimpleNamespace(get_transport=lambda: transport)
    return SimpleNamespace(name=name, data={}, connector=SimpleNamespace(client=client), connector_data={})


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """All that name service knows, and where each name leads."""
    found: dict[str, str] = {}

    monkeypatch.setattr(endpoint, "_unknown", lambda name: "" if name in found else f"{name}: not known")
    return found


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this machine dials itself is refused; the addresses, as they are tried."""
    tried: list[str] = []

    def direct(address: str, port: int, _: float) -> socket.socket:
        tried.append(address)
        raise tunnel.TunnelError(f"{address}:{port}: refused")

    monkeypatch.setattr(tunnel, "direct", direct)
    monkeypatch.setattr(tunnel, "dial", lambda _, address, port, __: f"{address}:{port} of the host")
    return tried


PORT: dict[str, Any] = {"open_webui_bind": "0.0.0.0", "open_webui_port": 3000}
# What paramiko has in place of a socket.
JUMP = object()


def test_name_service_is_asked_for_a_name() -> None:
    assert endpoint._unknown("127.0.0.1") == ""
    assert endpoint._unknown("no name at all").startswith("no name at all: ")


def test_a_name_of_ssh_alone_is_the_address_that_ssh_reached(names: dict[str, str], refusing: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sshd, socket.create_connection(sshd.getsockname()) as connection:
        way = endpoint.of(behind(connection), settings(**PORT), "proxy", 1)
    assert (way.url, way.dial, way.detour) == ("http://127.0.0.1:3000", None, "")
    assert refusing == []


def test_a_name_of_ssh_alone_behind_a_jump_host_is_reached_through_ssh_and_said(
    names: dict[str, str], refusing: list[str]
) -> None:
    way = endpoint.of(behind(JUMP), settings(**PORT), "proxy", 1)
    assert way.url == "http://web-1:3000"
    assert way.dial is not None
    assert way.dial() == "127.0.0.1:3000 of the host"
    assert way.detour == "web-1: not known"


def test_a_host_behind_a_jump_host_that_refuses_this_machine_is_reached_through_ssh_and_said(
    names: dict[str, str], refusing: list[str]
) -> None:
    names["web-1"] = "10.0.0.5"
    way = endpoint.of(behind(JUMP), settings(**PORT), "proxy", 1)
    assert way.detour == "web-1:3000: refused, and SSH goes there by another host"
    assert refusing == ["web-1"]


def test_a_closed_port_of_a_host_without_a_jump_host_is_no_detour(names: dict[str, str], refusing: list[str]) -> None:
    """A firewall that keeps this machine out keeps people out."""
    names["web-1"] = "10.0.0.5"
    with socket.create_server(("127.0.0.1", 0)) as sshd, socket.create_connection(sshd.getsockname()) as connection:
        way = endpoint.of(behind(connection), settings(**PORT), "proxy", 1)
    assert (way.url, way.dial, way.detour) == ("http://web-1:3000", None, "")


def test_the_proxy_behind_a_jump_host_is_reached_through_ssh_and_said(
    names: dict[str, str], refusing: list[str]
) -> None:
    way = endpoint.of(behind(JUMP), settings(public_url=f"https://{NAME}"), "proxy", 1)
    assert (way.url, way.detour) == (f"https://{NAME}", "web-1: not known")
