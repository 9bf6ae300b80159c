"""The proxy in the project: its ports, its certificate, its Caddyfile. The lab runs `caddy validate`."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.unit.render.projects import MANY, PEM, PROXIED, rendered, service
from webui_stack.render import project


@pytest.mark.parametrize("changes", [MANY, PROXIED, {**PROXIED, "database_url": "env:X"}], ids=str)
def test_only_the_proxy_publishes_ports(changes: dict[str, Any]) -> None:
    services = rendered(**changes)["services"]
    assert {name: body["ports"] for name, body in services.items() if "ports" in body} == {
        "proxy": ["0.0.0.0:443:443", "0.0.0.0:80:80"]
    }
    assert all(body["networks"] == ["openwebui-network"] and "network_mode" not in body for body in services.values())


@pytest.mark.parametrize(
    ("changes", "ports"),
    [
        ({"public_url": "https://chat.example.org:8443"}, ["0.0.0.0:8443:443", "0.0.0.0:80:80"]),
        ({"proxy_bind": "::1"}, ["[::1]:443:443", "[::1]:80:80"]),
        ({"proxy_bind": ["127.0.0.1"]}, ["127.0.0.1:443:443", "127.0.0.1:80:80"]),
        (
            {"proxy_bind": ["192.0.2.7", "::"]},
            ["192.0.2.7:443:443", "192.0.2.7:80:80", "[::]:443:443", "[::]:80:80"],
        ),
        ({"proxy_bind": ["192.0.2.7", "::"], "proxy_http_port": 0}, ["192.0.2.7:443:443", "[::]:443:443"]),
        ({"proxy_http_port": 8080}, ["0.0.0.0:443:443", "0.0.0.0:8080:80"]),
        ({"proxy_http_port": 0}, ["0.0.0.0:443:443"]),
    ],
    ids=str,
)
def test_the_proxy_is_published_where_the_settings_say(changes: dict[str, Any], ports: list[str]) -> None:
    assert service("proxy", **{**PROXIED, **changes})["ports"] == ports


def test_the_proxy_is_made_anew_for_another_file_and_for_another_key(certificate: dict[str, Any]) -> None:
    files = project.files(settings(**certificate))
    proxy = service("proxy", **certificate)
    text = files["proxy/Caddyfile"] + files["proxy/certificate.pem"]
    assert proxy["labels"] == {
        "open-webui-stack.proxy-files": hashlib.sha256(text.encode()).hexdigest(),
        "open-webui-stack.proxy-key": "${PROXY_KEY_SHA256:?run deploy.py}",
    }
    assert "./secrets/proxy-key:/run/secrets/proxy-key:ro" in proxy["volumes"]
    Path(certificate["proxy_certificate"]).write_text(PEM.replace("MIIB", "MIIC"))
    renewed = rendered(**certificate)["services"]
    assert renewed["proxy"]["labels"] != proxy["labels"]
    assert renewed["open-webui"] == service("open-webui", **certificate)


def test_no_secret_of_the_proxy_is_mounted_where_it_has_none() -> None:
    proxy = service("proxy", **PROXIED)
    assert proxy["volumes"] == ["proxy:/data", "./proxy:/etc/caddy:ro"]
    assert list(proxy["labels"]) == ["open-webui-stack.proxy-files"]


def caddyfile(**changes: Any) -> str:
    return project.files(settings(**{**PROXIED, **changes}))["proxy/Caddyfile"]


def block(text: str, start: str) -> str:
    """A block of the Caddyfile, from the line it starts with to the brace that closes it."""
    assert text.count(f"\n{start} {{\n") == 1
    return text.partition(f"\n{start} {{\n")[2].partition("\n}\n")[0]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({}, None, id="acme is Caddy's own way"),
        pytest.param({"proxy_tls": "internal"}, "\ttls internal", id="internal"),
        pytest.param({"proxy_tls": "files"}, "\ttls /etc/caddy/certificate.pem /run/secrets/proxy-key", id="files"),
    ],
)
def test_the_certificate_comes_from_where_the_settings_say(
    changes: dict[str, Any], line: str | None, certificate: dict[str, Any]
) -> None:
    if changes.get("proxy_tls") == "files":
        changes = certificate
    site = block(caddyfile(**changes), "chat.example.org").splitlines()
    assert [text for text in site if text.startswith("\ttls")] == ([line] if line else [])
    files = project.files(settings(**{**PROXIED, **changes}))
    assert ("proxy/certificate.pem" in files) == (changes.get("proxy_tls") == "files")


def test_the_certificate_is_the_operators_file(certificate: dict[str, Any]) -> None:
    Path(certificate["proxy_certificate"]).write_text(PEM.rstrip("\n"))
    assert project.files(settings(**certificate))["proxy/certificate.pem"] == PEM


@pytest.mark.parametrize(
    ("replicas", "upstreams"),
    [(1, "open-webui:8080"), (3, "open-webui:8080 open-webui-2:8080 open-webui-3:8080")],
)
def test_the_proxy_knows_every_process(replicas: int, upstreams: str) -> None:
    text = caddyfile(open_webui_replicas=replicas)
    assert re.findall(r"reverse_proxy (.*) \{", text) == [upstreams]
    services = rendered(**{**MANY, "open_webui_replicas": replicas})["services"]
    assert {upstream.removesuffix(":8080") for upstream in upstreams.split()} <= services.keys()


@pytest.mark.parametrize(
    ("public_url", "target"),
    [
        ("https://chat.example.org", "https://chat.example.org"),
        ("https://chat.example.org/", "https://chat.example.org"),
        ("https://chat.example.org:8443", "https://chat.example.org:8443"),
    ],
)
def test_plain_http_leads_to_the_public_url_with_its_port(public_url: str, target: str) -> None:
    """Caddy's own redirect knows nothing of the port that is published."""
    text = caddyfile(public_url=public_url)
    assert block(text, "http://chat.example.org") == f"\tredir {target}{{uri}} permanent"
    assert block(text, "chat.example.org")  # within its container it listens on 443, whatever is published


def test_without_a_port_for_plain_http_there_is_no_redirect() -> None:
    assert "redir" in caddyfile()
    text = caddyfile(proxy_http_port=0)
    assert "redir" not in text
    assert "http://chat.example.org" not in text


def test_the_ca_hears_of_the_operator_only_when_there_is_an_address() -> None:
    assert "\n\temail ops@example.org\n" in caddyfile(proxy_acme_email="ops@example.org")
    assert "email" not in caddyfile()


def headers(**changes: Any) -> list[str]:
    """The lines of the site that are about headers of each answer."""
    site = block(caddyfile(**changes), "chat.example.org").splitlines()
    return [line.strip() for line in site if line.startswith("\theader ") and "/_app/" not in line]


def test_headers_are_sent_unless_open_webui_sends_its_own() -> None:
    assert headers() == [
        "header ?Content-Security-Policy \"frame-ancestors 'self'\"",
        'header ?Referrer-Policy "strict-origin-when-cross-origin"',
        # On the proxy's own errors as well: it is about the connection.
        'header Strict-Transport-Security "max-age=31536000"',
        'header ?X-Content-Type-Options "nosniff"',
    ]


def test_each_header_can_be_changed_removed_and_added() -> None:
    own = {
        **dict.fromkeys(("Content-Security-Policy", "referrer-policy", "Strict-Transport-Security"), None),
        "X-Content-Type-Options": "nosniff",
        "Reporting-Endpoints": 'csp="https://reports.example.org/csp"',
    }
    assert headers(proxy_headers=own) == [
        "header -Content-Security-Policy",
        "header -referrer-policy",
        'header ?Reporting-Endpoints "csp=\\"https://reports.example.org/csp\\""',
        "header -Strict-Transport-Security",
        'header ?X-Content-Type-Options "nosniff"',
    ]


def test_the_order_of_headers_in_an_inventory_changes_nothing() -> None:
    own = {"X-Frame-Options": "DENY", "Permissions-Policy": "camera=()"}
    assert caddyfile(proxy_headers=own) == caddyfile(proxy_headers=dict(reversed(own.items())))


def test_what_is_not_set_is_not_in_the_file() -> None:
    text = caddyfile()
    assert not [word for word in ("acme_ca", "request_body", "trusted_proxies", "header_up") if word in text]


def test_an_upload_is_limited_in_binary_megabytes() -> None:
    """So 100 is enough for a file of 100 MB, by either way to count."""
    assert "\trequest_body {\n\t\tmax_size 100MiB\n\t}\n" in block(
        caddyfile(proxy_max_body_mb=100) + "\n", "chat.example.org"
    )


def test_only_trusted_proxies_may_name_a_client_and_open_webui_hears_of_that_client_alone() -> None:
    text = caddyfile(trusted_proxies=["192.0.2.0/24", "2001:db8::/32"])
    assert "\t\ttrusted_proxies static 192.0.2.0/24 2001:db8::/32\n\t\ttrusted_proxies_strict\n" in text
    assert "\t\theader_up X-Forwarded-For {client_ip}\n" in block(text, "chat.example.org")


def test_what_caddy_would_change_at_run_time_is_switched_off_and_its_health_is_its_own() -> None:
    text = caddyfile()
    assert "\n\tadmin off\n" in text
    assert block(text, "http://127.0.0.1:2020") == "\tbind 127.0.0.1\n\trespond 200"
    assert service("proxy", **PROXIED)["healthcheck"]["test"][-1] == "http://127.0.0.1:2020/"
