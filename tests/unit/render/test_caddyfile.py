"""Caddy itself takes each form of the proxy's Caddyfile, and understands what the settings mean.

`make caddy` unpacks Debian's Caddy. Its version is not the image's, so no test asks for what only one of them has.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.unit.render.projects import MANY, PROXIED, SWARM
from tests.unit.verify.test_endpoint import sign
from webui_stack.render import project

DIRECTORY = "https://acme-staging-v02.api.letsencrypt.org/directory"
TRUSTED = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]
OWN_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob: https:",
    "Permissions-Policy": 'geolocation=(self "https://chat.example.org"), camera=()',
    "X-Of-Mine": "`#` $HOME <a> %41 @b *",
    "Server": None,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is shipped": {},
    "several replicas": MANY,
    "a swarm": SWARM,
    "its own CA": {"proxy_tls": "internal"},
    "a certificate": {"proxy_tls": "files"},
    "another port, and no HTTP": {"public_url": "https://chat.example.org:8443", "proxy_http_port": 0},
    "another directory": {"proxy_acme_email": "ops@example.org", "proxy_acme_directory": DIRECTORY},
    "no header": {"proxy_headers": dict.fromkeys(settings().proxy_headers)},
    "headers of one's own": {"proxy_headers": OWN_HEADERS},
    "a limit for uploads": {"proxy_max_body_mb": 100},
    "a CDN": {"trusted_proxies": TRUSTED},
    "all of it": {
        **{"proxy_acme_directory": DIRECTORY, "proxy_headers": OWN_HEADERS},
        **{"proxy_max_body_mb": 100, "trusted_proxies": TRUSTED},
    },
}
# The first with `trusted_proxies_strict`; settings refuse an older one.
TRUSTING = (2, 8)


def run(*arguments: str, home: Path) -> str:
    """What Caddy prints; it keeps what it makes below `home`."""
    program = shutil.which("caddy")
    assert program
    done = subprocess.run(
        [program, *arguments], env={"HOME": str(home)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, ...]:
    """The version of the Caddy that is here."""
    if not shutil.which("caddy"):
        pytest.skip("caddy is not in PATH; `make caddy` unpacks Debian's")
    found = re.match(r"v?([0-9]+)\.([0-9]+)", run("version", home=tmp_path_factory.mktemp("version")))
    assert found, "Caddy does not say which it is"
    return tuple(int(number) for number in found.groups())


def written(folder: Path, changes: Mapping[str, Any]) -> Path:
    """The Caddyfile of these settings, with files that are there where it names files of its container."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    signed = sign("Ours", names=("chat.example.org",))
    certificate.write_bytes(signed.pem)
    key.write_bytes(signed.key_pem)
    if changes.get("proxy_tls") == "files":
        changes = {**changes, "proxy_certificate": str(certificate), "proxy_certificate_key": "env:X"}
    text = project.files(settings(**{**PROXIED, **changes}))["proxy/Caddyfile"]
    file = folder / "Caddyfile"
    file.write_text(
        text.replace("/etc/caddy/certificate.pem", str(certificate)).replace("/run/secrets/proxy-key", str(key))
    )
    return file


def adapted(folder: Path, **changes: Any) -> dict[str, Any]:
    """The configuration that Caddy makes of the Caddyfile."""
    found: dict[str, Any] = json.loads(
        run("adapt", "--adapter", "caddyfile", "--config", str(written(folder, changes)), home=folder)
    )
    return found


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Each object within a configuration."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(inner)


def handlers(configuration: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [one for one in parts(dict(configuration)) if one.get("handler") == name]


@pytest.mark.parametrize("variant", VARIANTS)
def test_caddy_takes_the_file(version: tuple[int, ...], variant: str, tmp_path: Path) -> None:
    changes = VARIANTS[variant]
    if changes.get("trusted_proxies") and version < TRUSTING:
        pytest.skip("trusted_proxies_strict is of Caddy 2.8; Debian's newest is in its backports")
    run("validate", "--adapter", "caddyfile", "--config", str(written(tmp_path, changes)), home=tmp_path)


def test_a_file_that_caddy_does_not_take_is_found(version: tuple[int, ...], tmp_path: Path) -> None:
    file = written(tmp_path, {})
    file.write_text(file.read_text().replace("flush_interval", "flush_intervall"))
    with pytest.raises(AssertionError, match="flush_intervall"):
        run("validate", "--adapter", "caddyfile", "--config", str(file), home=tmp_path)


def test_a_header_of_open_webuis_own_stays(version: tuple[int, ...], tmp_path: Path) -> None:
    found = [one["response"] for one in handlers(adapted(tmp_path), "headers")]
    unless_there = {
        name: one["set"][name] for one in found if "require" in one for name in one["set"] if list(one["set"]) == [name]
    }
    shipped = settings().sent_headers
    assert unless_there == {name: [value] for name, value in shipped.items() if name != "Strict-Transport-Security"}
    assert [one["require"]["headers"] for one in found if "require" in one] == [{name: None} for name in unless_there]
    always = [one for one in found if "Strict-Transport-Security" in one.get("set", {})]
    assert [one.get("deferred", "require" in one) for one in always] == [False], "sent with the proxy's own errors, too"


def test_headers_reach_caddy_as_they_were_written(version: tuple[int, ...], tmp_path: Path) -> None:
    found = [one["response"] for one in handlers(adapted(tmp_path, proxy_headers=OWN_HEADERS), "headers")]
    values = {name: value for one in found for name, (value,) in one.get("set", {}).items()}
    wanted = {name: value for name, value in settings(proxy_headers=OWN_HEADERS).sent_headers.items() if value}
    assert {name: values[name] for name in wanted} == wanted
    assert [one["delete"] for one in found if "delete" in one] == [["Server"]]


def test_another_directory_is_the_only_one_that_is_asked(version: tuple[int, ...], tmp_path: Path) -> None:
    found = adapted(tmp_path, **VARIANTS["another directory"])
    issuers = [issuer for one in parts(found) for issuer in one.get("issuers", [])]
    assert issuers, "nobody is asked for certificates"
    assert {issuer.get("ca") for issuer in issuers} == {DIRECTORY}
    assert {issuer["module"] for issuer in issuers} == {"acme"}


def test_the_limit_for_uploads_is_in_bytes_and_for_every_request(version: tuple[int, ...], tmp_path: Path) -> None:
    found = adapted(tmp_path, proxy_max_body_mb=100)
    assert [one["max_size"] for one in handlers(found, "request_body")] == [100 << 20]
    (route,) = [
        one for one in parts(found) if any(each.get("handler") == "request_body" for each in one.get("handle", []))
    ]
    assert "match" not in route


def test_a_cdn_is_asked_for_the_client_and_nobody_else_is(version: tuple[int, ...], tmp_path: Path) -> None:
    if version < TRUSTING:
        pytest.skip("trusted_proxies_strict is of Caddy 2.8; Debian's newest is in its backports")
    found = adapted(tmp_path, trusted_proxies=TRUSTED)
    servers = [one for one in found["apps"]["http"]["servers"].values() if ":443" in one["listen"]]
    assert [(one["trusted_proxies"], one["trusted_proxies_strict"]) for one in servers] == [
        ({"source": "static", "ranges": TRUSTED}, 1)
    ]
    (proxy,) = handlers(found, "reverse_proxy")
    assert proxy["headers"]["request"]["set"] == {"X-Forwarded-For": ["{http.vars.client_ip}"]}
