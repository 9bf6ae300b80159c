"""SSH keys, and the certificate authority that signs certificates for the registry and for Open WebUI."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import state

_LIFETIME = datetime.timedelta(days=825)
# the clocks of hosts and machine may differ a little
_BACKDATE = datetime.timedelta(days=1)


def ensure_ssh_key(path: Path, comment: str) -> str:
    """Ensure an ed25519 key pair exists at `path` and `path`.pub; return the public line."""
    public_path = path.with_name(path.name + ".pub")
    if not (path.exists() and public_path.exists()):
        key = ed25519.Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        state.write(path, private)
        state.write(public_path, public + f" {comment}\n".encode(), 0o644)
    return public_path.read_text().strip()


def ensure_authority(name: str) -> Path:
    """Ensure the lab has its own certificate authority, ca.crt and ca.key; return ca.crt's path."""
    certificate_path = state.folder(name) / "ca.crt"
    key_path = state.folder(name) / "ca.key"
    if not (certificate_path.exists() and key_path.exists()):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Open WebUI lab {name}")])
        certificate = (
            _builder(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        state.write(key_path, _private_bytes(key))
        state.write(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return certificate_path


def ensure_certificate(name: str, host: str) -> tuple[Path, Path]:
    """Ensure the lab has a server certificate for `host` and its key; return the two paths, both PEM."""
    certificate_path = state.folder(name) / f"{host}.crt"
    key_path = state.folder(name) / f"{host}.key"
    if not (certificate_path.exists() and key_path.exists()):
        certificate, key = issue(name, host)
        state.write(key_path, key)
        state.write(certificate_path, certificate, 0o644)
    return certificate_path, key_path


def issue(name: str, host: str) -> tuple[bytes, bytes]:
    """A server certificate of the lab's authority for `host`, localhost and 127.0.0.1: (certificate, key), PEM."""
    authority = x509.load_pem_x509_certificate((state.folder(name) / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((state.folder(name) / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    names = [x509.DNSName(host), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        _builder(subject, authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _private_bytes(key)


def _builder(subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
