"""A secret the operator supplies is in nothing pyinfra prints, however much it is asked to print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.plan.conftest import Pyinfra, answering, converged

MARKERS = {
    "TEST_PASSWORD": "markerPassword0123456789",
    "TEST_SECRET_KEY": "markerSecretKey0123456789abcdef0123",
    "TEST_API_KEY": "sk-marker-in-the-environment",
    "TEST_REGISTRY": "markerRegistry0123",
    "TEST_POSTGRES": "markerPostgres0123456789",
    "TEST_PROXY_KEY": "-----BEGIN PRIVATE KEY-----\nmarkerProxyKey/0123\n-----END PRIVATE KEY-----",
    "TEST_WEBHOOK": "https://hooks.example.org/markerWebhook0123",
    "TEST_NTFY": "tk_markerNtfy0123",
    "TEST_SMTP": "markerSmtp0123",
    "TEST_OIDC": "markerOidc0123",
    "TEST_LDAP": "marker Ldap 0123",
    "TEST_DATABASE_URL": "postgresql://chat:markerDatabase@db.example.org/chat",
}


def shown(output: str) -> list[str]:
    """The secrets of which a line that is secret is in the output."""
    return [
        name
        for name, value in MARKERS.items()
        if any(line in output for line in value.splitlines() if "marker" in line)
    ]


def host() -> dict[str, Any]:
    """A deployed host, to be given the operator's own secrets in place of its own."""
    found = converged(
        valkey_password="env:TEST_PASSWORD",
        open_webui_secret_key="env:TEST_SECRET_KEY",
        alarms=[
            {"webhook": "env:TEST_WEBHOOK"},
            {"ntfy": "https://ntfy.example.org/chat", "token": "env:TEST_NTFY"},
            {
                "email": ["a@example.org"],
                "from": "b@example.org",
                "smtp": "x",
                "user": "y",
                "password": "env:TEST_SMTP",
            },
        ],
        openai_connections=[{"url": "https://llm.example.org/v1", "key": "env:TEST_API_KEY"}],
    )
    return stale(found)


def stale(host: dict[str, Any]) -> dict[str, Any]:
    return answering(
        host,
        project={
            "stale": dict.fromkeys(
                [
                    "/opt/open-webui/secrets/valkey-password",
                    "/opt/open-webui/secrets/alarms.json",
                    "/opt/open-webui/.env",
                ],
                "content",
            )
        },
    )


def hosts(folder: Path) -> dict[str, dict[str, Any]]:
    """The host, one with several processes and all their secrets, and one with a database elsewhere."""
    chain = folder / "chain.pem"
    chain.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    many = converged(
        open_webui_replicas=2,
        public_url="https://chat.example.org",
        postgres_password="env:TEST_POSTGRES",
        proxy_tls="files",
        proxy_certificate=str(chain),
        proxy_certificate_key="env:TEST_PROXY_KEY",
        oidc={"preset": "google", "client_id": "chat", "client_secret": "env:TEST_OIDC"},
        ldap={
            **{"url": "ldaps://ldap.example.org", "search_base": "dc=example,dc=org"},
            **{"bind_dn": "cn=chat,dc=example,dc=org", "bind_password": "env:TEST_LDAP"},
        },
    )
    pulls = converged(
        open_webui_image="registry.lab.test:5000/open-webui/open-webui:v0.13.0-slim",
        registry_login={"registry.lab.test:5000": {"user": "ci", "password": "env:TEST_REGISTRY"}},
    )
    elsewhere = stale(converged(database_url="env:TEST_DATABASE_URL"))
    return {"one": host(), "many": stale(many), "elsewhere": elsewhere, "pulls": pulls}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--dry", "--diff"], id="diff"),
        pytest.param(["--dry", "--debug-operations"], id="debug-operations"),
        pytest.param(["--dry", "-v"], id="v"),
        pytest.param(["--dry", "-vvv", "--debug"], id="all that pyinfra can say"),
        pytest.param(["--json"], id="json"),
    ],
)
def test_no_plan_shows_a_secret(pyinfra: Pyinfra, arguments: list[str], tmp_path: Path) -> None:
    result = pyinfra(hosts(tmp_path), *arguments, **MARKERS)
    assert result.status == 0
    assert "Make the secrets on the host" in result.output
    assert shown(result.output) == []


def test_no_run_shows_a_secret(pyinfra: Pyinfra, tmp_path: Path) -> None:
    deploy = tmp_path / "launch.py"
    deploy.write_text("from tasks import preflight, stack\n\nstack.launch(preflight.check())\n")
    result = pyinfra(hosts(tmp_path), "-y", "-vvv", "--diff", "--debug", deploy=str(deploy), **MARKERS)
    for name in ("one", "many", "elsewhere"):
        assert "called the verb secrets" in result.said(name)
    assert "called the verb pull" in result.said("pulls")
    assert shown(result.output) == []


def test_no_error_shows_a_secret(pyinfra: Pyinfra, tmp_path: Path) -> None:
    environment = {name: f"{value}- -'" for name, value in MARKERS.items()}
    result = pyinfra(hosts(tmp_path), "--dry", "-vvv", **environment)
    assert result.status == 2
    assert "9 problems in the settings" in result.output
    assert "marker" not in result.output


def test_a_secret_that_is_shown_would_be_found() -> None:
    assert [shown(f"x {value} y") for value in MARKERS.values()] == [[name] for name in MARKERS]
