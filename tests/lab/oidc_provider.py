"""A provider of OpenID Connect on a lab host: discovery, keys, authorize and token. Python's standard library alone.

Who signs in is in `person.json` beside it, and nobody is asked for a password; with `page` in `given.json`, people see
a page first. It refuses what a real provider refuses: another client, another secret, another redirect
address, a code that is used twice, a wrong verifier (PKCE).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

# The beginning of a SHA-256 digest as PKCS #1 1.5 signs it (RFC 8017, 9.2).
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def signed(claims: dict[str, Any], key: dict[str, int]) -> str:
    """A JWT of these claims, by RS256."""
    header = {"alg": "RS256", "typ": "JWT", "kid": "lab"}
    text = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    size = (key["n"].bit_length() + 7) // 8
    digest = _SHA256 + hashlib.sha256(text.encode()).digest()
    padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    return f"{text}.{encoded(pow(int.from_bytes(padded, 'big'), key['d'], key['n']).to_bytes(size, 'big'))}"


class Provider(BaseHTTPRequestHandler):
    """One request. `folder` has what the provider was started with, `codes` what it gave and nobody has used."""

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}  # noqa: RUF012 of the process

    @property
    def given(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "given.json").read_text())
        return found

    def do_GET(self) -> None:
        """The document, the keys, or the page where somebody would sign in."""
        parts, issuer = urlsplit(self.path), self.given["issuer"]
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix(self.given["path"])
        if path == "/.well-known/openid-configuration":
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            self._answer({"issuer": issuer, **{name: self._at(there) for name, there in names.items()}})
        elif path == "/keys":
            key = self.given["key"]
            public = {"n": number(key["n"]), "e": number(key["e"])}
            self._answer({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "lab", **public}]})
        elif path == "/authorize" and self._is_known(asked):
            code = secrets.token_urlsafe()
            self.codes[code] = asked, json.loads((self.folder / "person.json").read_text())
            back = f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
            if self.given.get("page"):
                page = f'<!DOCTYPE html><title>Sign in</title><a href="{html.escape(back)}">Continue</a>'
                self._send(page.encode(), "text/html")
                return
            self.send_response(302)
            self.send_header("Location", back)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._answer({"error": "invalid_request"}, 400)

    def do_POST(self) -> None:
        """A code for tokens."""
        body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        asked, person = self.codes.pop(body.get("code", [""])[0], ({}, {}))
        login = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        verifier = body.get("code_verifier", [""])[0].encode()
        if login != f"{self.given['client_id']}:{self.given['client_secret']}":
            self._answer({"error": "invalid_client"}, 401)
        elif not asked or asked["code_challenge"] != encoded(hashlib.sha256(verifier).digest()):
            self._answer({"error": "invalid_grant"}, 400)
        else:
            now = int(time.time())
            of_the_login = {"iss": self.given["issuer"], "aud": self.given["client_id"], "iat": now, "exp": now + 300}
            claims = {**of_the_login, **({"nonce": asked["nonce"]} if "nonce" in asked else {}), **person}
            tokens = {"access_token": secrets.token_urlsafe(), "id_token": signed(claims, self.given["key"])}
            self._answer({**tokens, "token_type": "Bearer", "expires_in": 300})

    def _at(self, name: str) -> str:
        return f"https://{self.headers['Host']}{self.given['path']}/{name}"

    def _is_known(self, asked: dict[str, str]) -> bool:
        wanted = {name: self.given[name] for name in ("client_id", "redirect_uri")}
        wanted |= {"response_type": "code", "code_challenge_method": "S256"}
        return {name: asked.get(name) for name in wanted} == wanted and "openid" in asked.get("scope", "").split()

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        self._send(json.dumps(content).encode(), "application/json", status)

    def _send(self, text: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main() -> None:
    """Serve until somebody ends it."""
    server = ThreadingHTTPServer(("0.0.0.0", 8443), Provider)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Provider.folder / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
