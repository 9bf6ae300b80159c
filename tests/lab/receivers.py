"""Receivers of alarms on a host, of Debian's packages: a server of ntfy, and one of SMTP (aiosmtpd) with STARTTLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.lab.precious import within
from tests.lab.watched import serve, silence

MAIL_PORT, NTFY_PORT = 8978, 8979
MAIL_USER, MAIL_PASSWORD, MAIL_TO = "monitor@lab.test", "password-of-the-mail", "ops@lab.test"
TOPIC = f"http://127.0.0.1:{NTFY_PORT}/alarms"
# Takes a mail of its one user alone, once the connection is encrypted; writes a line for each mail.
_MAIL = f"""
import json, ssl, threading
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
class Handler:
    async def handle_DATA(self, server, session, envelope):
        seen = {{"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None}}
        with open("/root/mails", "a") as file:
            print(json.dumps({{**seen, "content": envelope.content.decode()}}), file=file, flush=True)
        return "250 taken"
def is_known(server, session, envelope, mechanism, login):
    return AuthResult(success=(login.login, login.password) == (b"{MAIL_USER}", b"{MAIL_PASSWORD}"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/mail.pem")
Controller(
    Handler(), hostname="127.0.0.1", port={MAIL_PORT}, tls_context=context, require_starttls=True,
    authenticator=is_known, auth_required=True,
).start()
threading.Event().wait()
"""
_TRUSTED = "/usr/local/share/ca-certificates/lab-mail.crt"
# Whoever has the token may write to the topic, anybody may read it, and nobody may do more.
_NTFY = f"""\
listen-http: "127.0.0.1:{NTFY_PORT}"
cache-file: /root/ntfy/cache.db
auth-file: /root/ntfy/user.db
auth-default-access: deny-all
"""
_ALLOW = """
NTFY_PASSWORD=sesame ntfy user --config /root/ntfy/server.yml add monitor
ntfy access --config /root/ntfy/server.yml monitor alarms write-only
ntfy access --config /root/ntfy/server.yml everyone alarms read-only
ntfy token --config /root/ntfy/server.yml add monitor
"""


def certificate(folder: Path, name: str, lasts: timedelta) -> tuple[Path, Path]:
    """A certificate that is its own authority, and its key; valid since yesterday."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    # Python 3.13 wants these of an authority (VERIFY_X509_STRICT).
    used = dict.fromkeys(("digital_signature", "key_cert_sign"), True)
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
    others = dict.fromkeys((*unused, "encipher_only", "decipher_only"), False)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**used, **others), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    chain, private = folder / "certificate.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*plain))
    return chain, private


def install(host: Any, *packages: str) -> None:
    quiet = "apt-get -qq install -y --no-install-recommends"
    host.check_output(f"apt-get -qq update && {quiet} {' '.join(packages)} >/dev/null 2>&1")


@contextmanager
def mail_server(host: Any, folder: Path) -> Iterator[None]:
    """A server at localhost:MAIL_PORT, with a certificate of its own that the host trusts; none of it stays."""
    chain, key = certificate(folder, "localhost", timedelta(days=2))
    host.check_output(f"printf %s %s >{_TRUSTED} && update-ca-certificates >/dev/null 2>&1", "%s", chain.read_text())
    host.check_output("printf %s %s >/root/mail.pem", "%s", chain.read_text() + key.read_text())
    host.check_output("printf %s %s >/root/mail.py", "%s", _MAIL)
    serve(host, "mail-receiver", "python3 /root/mail.py")
    try:
        _listens(host, MAIL_PORT)
        yield
    finally:
        silence(host, "mail-receiver")
        host.check_output(
            f"rm -f {_TRUSTED} /root/mail.* /root/mails && update-ca-certificates --fresh >/dev/null 2>&1"
        )


def mails(host: Any) -> list[tuple[dict[str, Any], EmailMessage]]:
    """What the server of SMTP took, each with the mail itself."""
    lines = [json.loads(line) for line in host.run("cat /root/mails").stdout.splitlines()]
    # Its lines end as SMTP's do.
    return [(one, message_from_string(one["content"].replace("\r\n", "\n"), policy=default)) for one in lines]


@contextmanager
def ntfy_server(host: Any) -> Iterator[str]:
    """A server at TOPIC; gives the token that may write there."""
    host.check_output("install -d -m 700 /root/ntfy && printf %s %s >/root/ntfy/server.yml", "%s", _NTFY)
    serve(host, "ntfy-receiver", "ntfy serve --config /root/ntfy/server.yml")
    try:
        _listens(host, NTFY_PORT)
        told = host.run(f"exec 2>&1; set -e; {_ALLOW}")
        assert told.rc == 0, told.stdout
        yield next(word for word in told.stdout.split() if word.startswith("tk_"))
    finally:
        silence(host, "ntfy-receiver")
        host.run("rm -rf /root/ntfy")


def pushed(host: Any) -> list[dict[str, Any]]:
    """The messages of the topic, as the server of ntfy gives them to whoever reads it."""
    ask = f"import urllib.request as r; print(r.urlopen('{TOPIC}/json?poll=1').read().decode())"
    return [json.loads(line) for line in host.check_output("python3 -c %s", ask).splitlines() if line]


def _listens(host: Any, port: int) -> None:
    within(60, f"port {port} is open", lambda: host.run(f"bash -c ': </dev/tcp/127.0.0.1/{port}'").rc == 0)
