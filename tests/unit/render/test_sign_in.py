"""Sign-in in what a stack is made of: variables in its definition, secrets only in the host's own files."""

from __future__ import annotations

from typing import Any

import pytest

from tests import yaml_text
from tests.defaults import settings
from tests.unit.render.projects import PROXIED, SWARM, service
from tests.unit.settings.test_sign_in import EXPECTED, LDAP, SECRET, oidc
from webui_stack.render import project, secrets_requests, stack_requests
from webui_stack.settings.sources import supply

DIRECTORY = {**LDAP, "bind_dn": "cn=chat", "bind_password": "env:LDAP_PASSWORD"}


@pytest.mark.parametrize("preset", EXPECTED)
def test_each_preset_is_in_the_definition_with_a_secret_of_the_host(preset: str) -> None:
    found: dict[str, str] = service("open-webui", **PROXIED, oidc=oidc(preset))["environment"]
    assert found[SECRET[preset]] == f"${{{SECRET[preset]}:?run deploy.py}}"
    assert EXPECTED[preset].items() <= found.items()
    assert ("OAUTH_CODE_CHALLENGE_METHOD" in found) is (preset in ("generic", "keycloak"))


def test_each_replica_has_the_same_sign_in_and_the_same_key() -> None:
    many = {**PROXIED, "open_webui_replicas": 2, "oidc": oidc(admin_groups=["ops"]), "ldap": DIRECTORY}
    first, second = (service(name, **many)["environment"] for name in ("open-webui", "open-webui-2"))
    of_sign_in = {name for name in first if "OAUTH" in name or "LDAP" in name or "OPENID" in name}
    assert len(of_sign_in) > 20
    assert {name: first[name] for name in {*of_sign_in, "WEBUI_SECRET_KEY", "DATABASE_URL"}}.items() <= second.items()


def test_secrets_reach_the_hosts_files_alone() -> None:
    wanted = settings(**PROXIED, oidc=oidc(), ldap=DIRECTORY)
    values = {"env:OIDC_SECRET": "marker-oidc", "env:LDAP_PASSWORD": "marker ldap"}
    wish = secrets_requests.wish(wanted, supply(wanted, values.__getitem__))
    assert wish["environment"] == {"OAUTH_CLIENT_SECRET": "marker-oidc", "LDAP_APP_PASSWORD": "marker ldap"}
    assert "marker" not in "".join(project.files(wanted).values())


def test_a_swarm_gets_the_secrets_with_its_others() -> None:
    wanted = settings(**{**SWARM, "oidc": oidc(), "ldap": DIRECTORY})
    asked = stack_requests.swarm_request(wanted)["request"]
    assert {"OAUTH_CLIENT_SECRET", "LDAP_APP_PASSWORD"} <= set(asked["variables"])
    found = yaml_text.read(project.files(wanted)["stack.yaml"])["services"]["open-webui"]["environment"]
    assert "OAUTH_CLIENT_SECRET" not in found
    assert found["OAUTH_CLIENT_ID"] == "chat"


@pytest.mark.parametrize("url", ["ldap://host.docker.internal", "ldaps://host.docker.internal:1636"])
def test_a_directory_on_the_server_itself_is_reachable(url: str) -> None:
    found = service("open-webui", ldap={**LDAP, "url": url})
    assert found["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert "extra_hosts" not in service("open-webui", ldap=LDAP)


@pytest.mark.parametrize("changes", [{}, PROXIED, {"open_webui_env": {"OAUTH_CLIENT_ID": "x"}}], ids=str)
def test_a_stack_without_these_settings_is_as_it_was(changes: dict[str, Any]) -> None:
    found = service("open-webui", **changes)["environment"]
    names = {name for name in found if "OAUTH" in name or "LDAP" in name or "LOGIN" in name}
    assert names == set(changes.get("open_webui_env", ()))


def test_an_operator_may_switch_pkce_off() -> None:
    found = service("open-webui", **PROXIED, oidc=oidc(), open_webui_env={"OAUTH_CODE_CHALLENGE_METHOD": ""})
    assert found["environment"]["OAUTH_CODE_CHALLENGE_METHOD"] == ""
