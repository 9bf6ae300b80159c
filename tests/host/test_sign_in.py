"""What asks providers from Open WebUI's container: by real sockets and TLS, and each fault by its kind."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import ROOT
from tests.host.certified import ADDRESS, Certified, certified
from webui_stack.host import sign_in

PROGRAM = ROOT / "webui_stack/host/sign_in.py"
DOCUMENT = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certified(tmp_path_factory.mktemp("certified"))


class Provider:
    """A provider at an address of this machine: what it answers, and how it was asked."""

    def __init__(self, made: Certified, *, tls: bool = True) -> None:
        self.status, self.body, self.asked = 200, b"", list[str]()
        self.location = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """It has no log."""

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.end_headers()
                self.wfile.write(outer.body)

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that did not trust it is no error here."""

        self._server = Server((ADDRESS, 0), Handler)
        if tls:
            # The handshake is each connection's own: one that fails must not end the server.
            self._server.socket = made.context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"http{'s' if tls else ''}://{ADDRESS}:{self._server.server_address[1]}"
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def tells(self, **changes: Any) -> None:
        found = {name: f"{self.url}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        self.body = json.dumps({"issuer": self.url, **found, **changes}).encode()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def provider(made: Certified) -> Iterator[Provider]:
    one = Provider(made)
    one.tells()
    yield one
    one.end()


def printed(made: Certified | None, **environment: str) -> list[dict[str, str]]:
    """What it prints, given to a Python on stdin as in the container."""
    trusted = {"SSL_CERT_FILE": str(made.authority)} if made else {}
    done = subprocess.run(
        [sys.executable, "-"],
        input=PROGRAM.read_text(),
        env={**trusted, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    answers: list[dict[str, str]] = json.loads(line)
    return answers


def oidc(url: str) -> dict[str, str]:
    return {"OAUTH_CLIENT_ID": "chat", "OPENID_PROVIDER_URL": url + DOCUMENT}


def fault(answers: list[dict[str, str]]) -> tuple[str, str]:
    (one,) = answers
    return one["fault"], one["got"]


# --- A discovery document


def test_a_provider_that_answers_with_its_document_is_fine(made: Certified, provider: Provider) -> None:
    assert printed(made, **oidc(provider.url)) == [
        {"way": "oidc", "where": provider.url + DOCUMENT, "fault": "", "got": ""}
    ]
    assert provider.asked == [DOCUMENT]


def test_a_slash_at_the_end_is_no_other_issuer(made: Certified, provider: Provider) -> None:
    provider.tells(issuer=f"{provider.url}/")
    assert fault(printed(made, **oidc(provider.url))) == ("", "")


def test_nobody_who_listens_is_named(made: Certified) -> None:
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        url = f"https://{ADDRESS}:{free.getsockname()[1]}"
    assert fault(printed(made, **oidc(url))) == ("unreachable", "Connection refused")


def test_a_name_that_nobody_knows_is_named(made: Certified) -> None:
    kind, got = fault(printed(made, **oidc("https://id.invalid")))
    assert kind == "unreachable"
    assert got


def test_a_certificate_that_nobody_trusts_is_named(provider: Provider) -> None:
    kind, got = fault(printed(None, **oidc(provider.url)))
    assert (kind, "self-signed" in got or "self signed" in got) == ("untrusted", True)
    assert provider.asked == []


def test_a_port_without_tls_is_named(made: Certified) -> None:
    plain = Provider(made, tls=False)
    kind, _ = fault(printed(made, **oidc(f"https://{ADDRESS}:{plain.port}")))
    plain.end()
    assert kind == "tls"


@pytest.mark.parametrize(
    ("body", "got"),
    [
        (b"<html>", "no JSON"),
        (b"\xff", "no JSON"),
        (b"", "no JSON"),
        (b"[]", "JSON that is no object"),
        (b"{}", "no issuer, authorization_endpoint, token_endpoint, jwks_uri"),
        (b'{"issuer": 1}', "no issuer, authorization_endpoint, token_endpoint, jwks_uri"),
    ],
)
def test_what_is_no_document_is_named(made: Certified, provider: Provider, body: bytes, got: str) -> None:
    provider.body = body
    assert fault(printed(made, **oidc(provider.url))) == ("form", got)


def test_a_document_that_lacks_an_endpoint_is_named(made: Certified, provider: Provider) -> None:
    provider.tells(jwks_uri=None)
    assert fault(printed(made, **oidc(provider.url))) == ("form", "no jwks_uri")


def test_another_issuer_is_named_and_shown_on_one_line(made: Certified, provider: Provider) -> None:
    provider.tells(issuer="http://id.example.org\n\x1b[31m" + "x" * 500)
    kind, got = fault(printed(made, **oidc(provider.url)))
    assert (kind, len(got), got.startswith("http://id.example.org [31mx")) == ("issuer", 200, True)


@pytest.mark.parametrize("status", [404, 500, 403])
def test_another_status_is_named(made: Certified, provider: Provider, status: int) -> None:
    provider.status = status
    assert fault(printed(made, **oidc(provider.url))) == ("status", f"HTTP {status}")


def test_a_redirect_is_not_followed_because_open_webui_follows_none(made: Certified, provider: Provider) -> None:
    provider.status, provider.location = 302, f"{provider.url}/elsewhere"
    assert fault(printed(made, **oidc(provider.url))) == ("status", "HTTP 302")
    assert provider.asked == [DOCUMENT]


def test_a_document_at_another_address_may_name_any_issuer(made: Certified, provider: Provider) -> None:
    provider.tells(issuer="https://id.example.org")
    found = printed(made, OAUTH_CLIENT_ID="chat", OPENID_PROVIDER_URL=f"{provider.url}/document")
    assert fault(found) == ("", "")


def test_a_login_in_an_address_is_not_told(made: Certified, provider: Provider) -> None:
    url = provider.url.replace("https://", "https://me:marker@")
    assert "marker" not in json.dumps(printed(made, **oidc(url)))


@pytest.mark.parametrize(("tenant", "fine"), [("0f1e2d3c-0000-4000-8000-0123456789AB", True), ("example.org", False)])
def test_microsofts_issuer_has_the_tenants_id(made: Certified, provider: Provider, tenant: str, fine: bool) -> None:
    given = {
        "MICROSOFT_CLIENT_ID": "chat",
        "MICROSOFT_CLIENT_TENANT_ID": tenant,
        "MICROSOFT_CLIENT_LOGIN_BASE_URL": provider.url,
    }
    assert fault(printed(made, **given))[0] == "issuer" if fine else True
    provider.tells(issuer=f"{provider.url}/0f1e2d3c-0000-4000-8000-0123456789ab/v2.0")
    assert fault(printed(made, **given)) == ("", "")
    assert provider.asked[-1] == f"/{tenant}/v2.0{DOCUMENT}"


def test_providers_are_asked_by_the_variables_of_the_proxy(made: Certified, provider: Provider) -> None:
    """The proxy here knows no CONNECT, so its refusal is what is seen."""
    proxy = Provider(made, tls=False)
    found = printed(made, **oidc(provider.url), https_proxy=proxy.url)
    assert (fault(found)[0], provider.asked) == ("unreachable", [])
    assert fault(printed(made, **oidc(provider.url), https_proxy=proxy.url, no_proxy=ADDRESS)) == ("", "")
    proxy.end()


def test_a_provider_that_says_nothing_ends_the_wait(made: Certified, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "_LIMIT_S", 0.2)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    with socket.socket() as silent:
        silent.bind((ADDRESS, 0))
        silent.listen()
        found = sign_in.answers(oidc(f"https://{ADDRESS}:{silent.getsockname()[1]}"))
    assert fault(found) == ("unreachable", "no answer in 0 s")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OPENID_PROVIDER_URL": "https://id.invalid"},
        {"OAUTH_CLIENT_ID": "chat"},
        {"OAUTH_CLIENT_ID": "chat", "OPENID_PROVIDER_URL": "https://id.invalid", "ENABLE_OAUTH": "False"},
        {"GOOGLE_CLIENT_ID": "chat", "ENABLE_OAUTH": "false"},
        {"MICROSOFT_CLIENT_TENANT_ID": "x"},
        {"LDAP_SERVER_HOST": "ldap.invalid"},
        {"ENABLE_LDAP": "False", "LDAP_SERVER_HOST": "ldap.invalid"},
    ],
    ids=str,
)
def test_nobody_is_asked_who_signs_nobody_in(environment: dict[str, str]) -> None:
    assert sign_in.answers(environment) == []


@pytest.mark.parametrize(
    ("environment", "way", "where"),
    [
        ({"GOOGLE_CLIENT_ID": "x"}, "google", f"https://accounts.google.com{DOCUMENT}"),
        ({"GITHUB_CLIENT_ID": "x"}, "github", "https://api.github.com"),
        (
            {"MICROSOFT_CLIENT_ID": "x", "MICROSOFT_CLIENT_TENANT_ID": "t"},
            "microsoft",
            f"https://login.microsoftonline.com/t/v2.0{DOCUMENT}",
        ),
    ],
)
def test_providers_of_the_world_are_asked_where_they_are(environment: dict[str, str], way: str, where: str) -> None:
    """By a proxy where nobody is: no test asks them themselves."""
    (one,) = printed(None, **environment, https_proxy=f"http://{ADDRESS}:1")
    assert (one["way"], one["where"], one["fault"]) == (way, where, "unreachable")


# --- A directory


@contextmanager
def directory(context: ssl.SSLContext | None) -> Iterator[int]:
    """A server that takes one connection, with TLS where it is given a context; its port."""
    with socket.socket() as listening:
        listening.bind((ADDRESS, 0))
        listening.listen()

        def take() -> None:
            try:
                connection, _ = listening.accept()
                with connection:
                    if context:
                        context.wrap_socket(connection, server_side=True).close()
                    else:
                        connection.sendall(b"0\x0c\x02\x01\x01")
            except OSError:
                pass  # a client that does not trust it ends the handshake

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(5)


def ldap(port: int, **more: str) -> dict[str, str]:
    return {"ENABLE_LDAP": "True", "LDAP_SERVER_HOST": ADDRESS, "LDAP_SERVER_PORT": str(port), **more}


def test_a_directory_with_a_certificate_of_a_trusted_ca_is_fine(made: Certified) -> None:
    with directory(made.context) as port:
        found = printed(made, **ldap(port))
    assert found == [{"way": "ldap", "where": f"ldaps://{ADDRESS}:{port}", "fault": "", "got": ""}]


def test_a_directory_without_tls_is_fine_where_none_is_wanted(made: Certified) -> None:
    with directory(None) as port:
        found = printed(made, **ldap(port, LDAP_USE_TLS="False"))
    assert found == [{"way": "ldap", "where": f"ldap://{ADDRESS}:{port}", "fault": "", "got": ""}]


def test_a_directory_without_tls_is_named_where_it_is_wanted(made: Certified) -> None:
    with directory(None) as port:
        assert fault(printed(made, **ldap(port)))[0] == "tls"


def test_a_directory_that_nobody_trusts_is_named(made: Certified) -> None:
    with directory(made.context) as port:
        assert fault(printed(None, **ldap(port)))[0] == "untrusted"


@pytest.mark.parametrize(
    "more", [{"LDAP_VALIDATE_CERT": "False"}, {"LDAP_CA_CERT_FILE": "AUTHORITY"}], ids=["not asked", "a file"]
)
def test_a_directory_is_trusted_as_open_webui_is_told(made: Certified, more: dict[str, str]) -> None:
    given = {name: value.replace("AUTHORITY", str(made.authority)) for name, value in more.items()}
    with directory(made.context) as port:
        assert fault(printed(None, **ldap(port, **given))) == ("", "")


def test_a_certificate_of_another_name_is_named(made: Certified) -> None:
    with directory(made.context) as port:
        assert fault(printed(made, **{**ldap(port), "LDAP_SERVER_HOST": "localhost"}))[0] == "untrusted"


@pytest.mark.parametrize("port", ["1", "x"])
def test_a_directory_that_is_not_there_is_named(made: Certified, port: str) -> None:
    assert fault(printed(made, **{**ldap(0), "LDAP_SERVER_PORT": port}))[0] == "unreachable"


def test_an_address_with_a_scheme_is_one_as_well(made: Certified, tmp_path: Path) -> None:
    with directory(made.context) as port:
        found = printed(made, **{**ldap(port, LDAP_USE_TLS="False"), "LDAP_SERVER_HOST": f"ldaps://{ADDRESS}"})
    assert found[0]["where"] == f"ldaps://{ADDRESS}:{port}"
    assert found[0]["fault"] == ""
