"""A host where people sign in by others: a provider on it, and a private CA."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.host.certified import certified
from tests.lab import oidc_provider
from tests.lab.replicas import Stack
from tests.lab.session import SPARE, Lab

FOLDER = "/root/sign-in"
HERE = "http://127.0.0.1:3000"
SECRET, LDAP_PASSWORD = "sesame:of/the+provider", "sesame of the directory"
UNIT = "lab-oidc-provider"


def person(name: str, *groups: str) -> dict[str, Any]:
    """Somebody at the provider, as it tells of them."""
    return {"sub": name, "name": name.title(), "email": f"{name}@example.org", "groups": list(groups)}


@dataclass
class Site:
    """A host with a private CA; `data` are the settings that a test gives it."""

    lab: Lab
    name: str
    folder: Path
    data: dict[str, Any]

    def __post_init__(self) -> None:
        made = certified(self.folder, self.address)
        self.data = {**self.data, "trusted_ca": [str(made.authority)]}
        self.put("server.pem", (self.folder / "server.pem").read_bytes())
        self.put("authority.pem", made.authority.read_bytes())

    @property
    def host(self) -> Any:
        return self.lab.host(self.name)

    @property
    def address(self) -> str:
        return str(self.lab.entry(self.name)["address"])

    def run(self, *arguments: str) -> Any:
        secrets = {"OIDC_SECRET": SECRET, "LDAP_PASSWORD": LDAP_PASSWORD}
        data = json.dumps({self.name: self.data})
        return self.lab.run(*arguments, limit=self.name, TEST_HOST_DATA=data, **secrets)

    def deploy(self) -> None:
        result = self.run("-y", "deploy.py", "--json")
        assert result.returncode == 0, result.stdout
        assert SECRET not in result.stdout
        assert LDAP_PASSWORD not in result.stdout

    def put(self, name: str, content: str | bytes) -> None:
        """A file that root alone can read."""
        data = base64.b64encode(content.encode() if isinstance(content, str) else content).decode()
        self.host.check_output(f"umask 077 && mkdir -p {FOLDER} && echo {data} | base64 -d >{FOLDER}/{name}")

    def provider(self, public_url: str, *, page: bool = False) -> dict[str, Any]:
        """Start a provider that sends people back to this address; the setting that names it.

        With `page` it shows people a page first, with a link that leads back.
        """
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
        issuer = f"https://{self.address}:8443/realms/staff"
        given = {
            **{"issuer": issuer, "path": "/realms/staff", "client_id": "chat", "client_secret": SECRET},
            "redirect_uri": f"{public_url}/oauth/oidc/callback",
            "page": page,
            "key": {"n": key.public_numbers.n, "e": key.public_numbers.e, "d": key.d},
        }
        self.put("given.json", json.dumps(given))
        self.put("provider.py", Path(oidc_provider.__file__).read_text())
        self.host.check_output(f"systemd-run --unit {UNIT} python3 {FOLDER}/provider.py {FOLDER}")
        return {
            **{"preset": "keycloak", "url": issuer, "client_id": "chat", "client_secret": "env:OIDC_SECRET"},
            "admin_groups": ["chat admins"],
        }

    def end(self) -> None:
        self.host.check_output(f"systemctl stop {UNIT} 2>/dev/null; rm -r {FOLDER}")


@pytest.fixture(scope="module")
def replicated(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The stack of two replicas behind the proxy. The next module that wants it deploys it without these settings."""
    stack.door.sign_in()
    one = Site(stack.lab, SPARE, tmp_path_factory.mktemp("replicated"), stack.settings)
    yield one
    one.end()
