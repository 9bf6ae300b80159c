"""Whether those answer by whom people sign in: a provider's discovery document, GitHub's API, a directory.

This file runs in Open WebUI's own container, whose Python gets it on stdin (`open_webui.py`): so it asks by that
container's network, proxy, CAs and variables. It prints one line of JSON, an answer for each way to sign in: `fault` is
"" for none. What it tells of a fault is public: addresses, and the kind of the error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

NAMES = ("OPENID_PROVIDER_URL", "GOOGLE_CLIENT_ID", "MICROSOFT_CLIENT_TENANT_ID", "GITHUB_CLIENT_ID", "ENABLE_LDAP")
"""Variables of which a container with a way in has one."""
_LIMIT_S = 5.0
_MOST_BYTES = 1 << 20
_DISCOVERY = "/.well-known/openid-configuration"
_GOOGLE = "https://accounts.google.com"
_MICROSOFT = "https://login.microsoftonline.com"
# The issuer has the tenant's ID, whichever of its names the address has.
_TENANT_ID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# What Open WebUI's client needs of the document (authlib, base_client/async_app.py and async_openid.py, 1.7).
_NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
_CREDENTIALS = re.compile("//[^/@]*@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class FaultError(Exception):
    """What is wrong: its kind, and what was got."""

    def __init__(self, kind: str, got: str) -> None:
        super().__init__(got)
        self.kind, self.got = kind, _CONTROL.sub(" ", got)[:200]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Open WebUI's client follows none (httpx)."""

    def redirect_request(self, *_: Any) -> None:
        return None


def answers(environment: Mapping[str, str]) -> list[dict[str, str]]:
    """An answer for each way in that the variables name."""
    found = []
    if environment.get("ENABLE_OAUTH", "true").lower() == "true":
        for name, url, issuer in _providers(environment):
            found.append(_answer(name, url, partial(_discovery, url, issuer)))
        if environment.get("GITHUB_CLIENT_ID"):
            api = "https://api.github.com"
            found.append(_answer("github", api, partial(_get, api, known=(200, 403, 429))))  # 403: asked too often
    if environment.get("ENABLE_LDAP", "").lower() == "true":
        host, port, tls = _directory(environment)
        where = f"ldap{'s' if tls else ''}://{host}:{port}"
        found.append(_answer("ldap", where, partial(_connect, environment, host, port, tls)))
    return found


def _providers(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Each provider's name in Open WebUI, its document, and the issuer that this has to name; "" where any will do."""
    given = environment.get
    if given("OAUTH_CLIENT_ID") and given("OPENID_PROVIDER_URL"):
        url = given("OPENID_PROVIDER_URL", "")
        yield "oidc", url, url[: -len(_DISCOVERY)] if url.endswith(_DISCOVERY) else ""
    if given("GOOGLE_CLIENT_ID"):
        yield "google", _GOOGLE + _DISCOVERY, _GOOGLE
    tenant = given("MICROSOFT_CLIENT_TENANT_ID", "")
    if given("MICROSOFT_CLIENT_ID") and tenant:
        base = given("MICROSOFT_CLIENT_LOGIN_BASE_URL") or _MICROSOFT
        issuer = f"{base}/{tenant.lower()}/v2.0" if _TENANT_ID.fullmatch(tenant) else ""
        yield "microsoft", f"{base}/{tenant}/v2.0{_DISCOVERY}", issuer


def _answer(name: str, where: str, ask: Callable[[], object]) -> dict[str, str]:
    fault, got = "", ""
    try:
        ask()
    except FaultError as error:
        fault, got = error.kind, error.got
    return {"way": name, "where": _CREDENTIALS.sub("//", where), "fault": fault, "got": got}


def _discovery(url: str, issuer: str) -> None:
    """Ensure the document is one that Open WebUI can use. Raises `FaultError`."""
    text = _get(url)
    try:
        found = json.loads(text)
    except ValueError:
        raise FaultError("form", "no JSON") from None
    if not isinstance(found, dict):
        raise FaultError("form", "JSON that is no object")
    missing = [name for name in _NEEDED if not isinstance(found.get(name), str)]
    if missing:
        raise FaultError("form", f"no {', '.join(missing)}")
    if issuer and found["issuer"].rstrip("/") != issuer.rstrip("/"):
        raise FaultError("issuer", found["issuer"])


def _get(url: str, known: tuple[int, ...] = (200,)) -> bytes:
    """What an address answers, by the variables of the HTTP proxy. Raises `FaultError`."""
    opener = urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=_trusting()))
    try:
        with opener.open(url, timeout=_LIMIT_S) as answer:
            status, text = answer.status, answer.read(_MOST_BYTES)
    except urllib.error.HTTPError as error:
        status, text = error.code, b""
        error.close()
    except urllib.error.URLError as error:
        raise _unanswered(error.reason if isinstance(error.reason, Exception) else error) from None
    except (OSError, HTTPException, ValueError) as error:
        raise _unanswered(error) from None
    if status not in known:
        raise FaultError("status", f"HTTP {status}")
    return bytes(text)


def _trusting() -> ssl.SSLContext:
    """The CAs of Open WebUI's client: those of SSL_CERT_FILE, else the ones of certifi (httpx 0.28)."""
    certifi = importlib.util.find_spec("certifi")
    if os.environ.get("SSL_CERT_FILE") or not (certifi and certifi.submodule_search_locations):
        return ssl.create_default_context()
    folder = Path(next(iter(certifi.submodule_search_locations)))
    return ssl.create_default_context(cafile=str(folder / "cacert.pem"))


def _unanswered(error: Exception) -> FaultError:
    """Why no answer came. TLS comes first: its errors are errors of the system as well."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return FaultError("untrusted", error.verify_message)
    if isinstance(error, ssl.SSLError):
        return FaultError("tls", error.reason or type(error).__name__)
    if isinstance(error, socket.timeout):  # TimeoutError only since 3.10
        return FaultError("unreachable", f"no answer in {_LIMIT_S:.0f} s")
    if isinstance(error, OSError):
        return FaultError("unreachable", error.strerror or type(error).__name__)
    return FaultError("unreachable", type(error).__name__)


def _directory(environment: Mapping[str, str]) -> tuple[str, str, bool]:
    """Host, port, and whether TLS comes first, as ldap3 takes them."""
    host = environment.get("LDAP_SERVER_HOST") or "localhost"
    scheme, separator, rest = host.partition("://")
    tls = environment.get("LDAP_USE_TLS", "true").lower() == "true" or (bool(separator) and scheme == "ldaps")
    return (rest if separator else host).rstrip("/"), environment.get("LDAP_SERVER_PORT") or "389", tls


def _connect(environment: Mapping[str, str], host: str, port: str, tls: bool) -> None:
    """Ensure the directory takes a connection, and shows a certificate that Open WebUI trusts. Raises `FaultError`."""
    try:
        with socket.create_connection((host, int(port)), timeout=_LIMIT_S) as connection:
            if tls:
                _directory_trust(environment).wrap_socket(connection, server_hostname=host).close()
    except (OSError, ValueError) as error:
        raise _unanswered(error) from None


def _directory_trust(environment: Mapping[str, str]) -> ssl.SSLContext:
    """TLS as Open WebUI speaks it to a directory (routers/auths.py, 0.12.4)."""
    context = ssl.create_default_context(cafile=environment.get("LDAP_CA_CERT_FILE") or None)
    if environment.get("LDAP_VALIDATE_CERT", "true").lower() != "true":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


if __name__ == "__main__":
    json.dump(answers(os.environ), sys.stdout)
