"""Presets of sign-in: the variables of each, and what is refused, each mistake by its own name."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from tests.defaults import ROOT, settings
from tests.unit.settings.given import problems
from webui_stack.settings import sign_in

PAGE = ROOT / "docs/how-to/sign-in.md"
URL = "https://chat.example.org"
CLIENT = {"client_id": "chat", "client_secret": "env:OIDC_SECRET"}
TENANT = "0f1e2d3c-0000-4000-8000-0123456789ab"
ISSUER = "https://id.example.org/realms/staff"
KEYCLOAK = {"preset": "keycloak", "url": ISSUER, **CLIENT}
LDAP: dict[str, Any] = {"url": "ldaps://ldap.example.org", "search_base": "ou=people,dc=example,dc=org"}
NEEDS: dict[str, dict[str, Any]] = {
    "generic": {"url": "https://id.example.org"},
    "keycloak": {"url": ISSUER},
    "google": {},
    "microsoft": {"tenant": TENANT},
    "github": {},
}
OPEN = {"ENABLE_OAUTH_SIGNUP": "True", "OAUTH_MERGE_ACCOUNTS_BY_EMAIL": "False"}
EXPECTED: dict[str, dict[str, str]] = {
    "generic": {
        "OAUTH_CLIENT_ID": "chat",
        "OPENID_REDIRECT_URI": f"{URL}/oauth/oidc/callback",
        "OPENID_PROVIDER_URL": "https://id.example.org/.well-known/openid-configuration",
        "OAUTH_PROVIDER_NAME": "SSO",
    },
    "keycloak": {
        "OAUTH_CLIENT_ID": "chat",
        "OPENID_REDIRECT_URI": f"{URL}/oauth/oidc/callback",
        "OPENID_PROVIDER_URL": f"{ISSUER}/.well-known/openid-configuration",
        "OAUTH_PROVIDER_NAME": "Keycloak",
    },
    "google": {"GOOGLE_CLIENT_ID": "chat", "GOOGLE_REDIRECT_URI": f"{URL}/oauth/google/callback"},
    "microsoft": {
        "MICROSOFT_CLIENT_ID": "chat",
        "MICROSOFT_REDIRECT_URI": f"{URL}/oauth/microsoft/callback",
        "MICROSOFT_CLIENT_TENANT_ID": TENANT,
    },
    "github": {"GITHUB_CLIENT_ID": "chat", "GITHUB_CLIENT_REDIRECT_URI": f"{URL}/oauth/github/callback"},
}
SECRET = {
    "generic": "OAUTH_CLIENT_SECRET",
    "keycloak": "OAUTH_CLIENT_SECRET",
    "google": "GOOGLE_CLIENT_SECRET",
    "microsoft": "MICROSOFT_CLIENT_SECRET",
    "github": "GITHUB_CLIENT_SECRET",
}


def oidc(preset: str = "keycloak", **more: Any) -> dict[str, Any]:
    return {"preset": preset, **CLIENT, **NEEDS[preset], **more}


def variables(given: dict[str, Any]) -> dict[str, str]:
    return settings(public_url=URL, oidc=given).sign_in_variables


# --- What each preset is


def test_each_preset_is_tried() -> None:
    assert set(EXPECTED) == set(NEEDS) == set(SECRET) == set(sign_in.PRESETS)


@pytest.mark.parametrize("preset", EXPECTED)
def test_a_preset_gives_the_variables_of_its_provider_and_the_name_of_its_secret(preset: str) -> None:
    wanted = settings(public_url=URL, oidc=oidc(preset))
    assert wanted.sign_in_variables == OPEN | EXPECTED[preset]
    assert wanted.secret_variables == [SECRET[preset]]


def test_a_provider_sends_people_back_to_a_proxy_of_the_operators_own() -> None:
    wanted = settings(open_webui_public_url="https://ai.example.org:8443", oidc=oidc())
    assert wanted.sign_in_variables["OPENID_REDIRECT_URI"] == "https://ai.example.org:8443/oauth/oidc/callback"


@pytest.mark.parametrize("url", [ISSUER, f"{ISSUER}/", f"{ISSUER}/.well-known/openid-configuration"])
def test_an_issuer_may_be_pasted_with_its_document(url: str) -> None:
    assert variables(oidc(url=url))["OPENID_PROVIDER_URL"] == f"{ISSUER}/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("groups", "admins", "allowed"),
    [
        ({"admin_groups": ["ops", "chat admins"]}, "ops,chat admins", "*"),
        ({"groups": ["staff", "guests"]}, "", "staff,guests"),
        ({"admin_groups": ["ops"], "groups": ["staff"]}, "ops", "staff"),
    ],
    ids=["admins alone", "a door for some", "both"],
)
def test_groups_give_roles_and_no_group_counts_that_nobody_named(
    groups: dict[str, Any], admins: str, allowed: str
) -> None:
    found = variables(oidc(**groups))
    assert (found["OAUTH_ADMIN_ROLES"], found["OAUTH_ALLOWED_ROLES"]) == (admins, allowed)
    assert (found["ENABLE_OAUTH_ROLE_MANAGEMENT"], found["OAUTH_ROLES_CLAIM"]) == ("True", "groups")


def test_without_groups_open_webui_keeps_its_own_roles_and_groups() -> None:
    assert not [name for name in variables(oidc()) if "ROLE" in name or "GROUP" in name]


def test_groups_of_the_provider_become_groups_of_open_webui() -> None:
    found = variables(oidc("microsoft", sync_groups=True, groups_claim="roles"))
    assert {name: value for name, value in found.items() if "GROUP" in name} == {
        "ENABLE_OAUTH_GROUP_MANAGEMENT": "True",
        "ENABLE_OAUTH_GROUP_CREATION": "True",
        "OAUTH_GROUPS_CLAIM": "roles",
    }


def test_further_keys_have_their_variables() -> None:
    found = variables(
        oidc(name="Example", scopes=["groups"], domains=["Example.org"], signup=False, merge_accounts=True)
    )
    assert {name: found[name] for name in ("OAUTH_PROVIDER_NAME", "OAUTH_SCOPES", "OAUTH_ALLOWED_DOMAINS")} == {
        "OAUTH_PROVIDER_NAME": "Example",
        "OAUTH_SCOPES": "openid email profile groups",
        "OAUTH_ALLOWED_DOMAINS": "example.org",
    }
    assert (found["ENABLE_OAUTH_SIGNUP"], found["OAUTH_MERGE_ACCOUNTS_BY_EMAIL"]) == ("False", "True")


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("ldaps://ldap.example.org", "ldap.example.org", "636", "True"),
        ("ldap://ldap.example.org/", "ldap.example.org", "389", "False"),
        ("ldaps://192.0.2.7:1636", "192.0.2.7", "1636", "True"),
        ("ldap://[2001:db8::7]:3890", "2001:db8::7", "3890", "False"),
    ],
)
def test_the_url_of_a_directory_is_host_port_and_tls(url: str, host: str, port: str, tls: str) -> None:
    found = settings(ldap={**LDAP, "url": url}).sign_in_variables
    assert (found["LDAP_SERVER_HOST"], found["LDAP_SERVER_PORT"], found["LDAP_USE_TLS"]) == (host, port, tls)


def test_a_directory_has_all_its_variables() -> None:
    more = {
        **{"bind_dn": "cn=chat,dc=example,dc=org", "bind_password": "env:LDAP", "filter": "(objectClass=person)"},
        **{"user_attribute": "sAMAccountName", "mail_attribute": "userPrincipalName", "name": "Example"},
        **{"sync_groups": True, "groups_attribute": "isMemberOf"},
    }
    wanted = settings(ldap={**LDAP, **more})
    assert wanted.secret_variables == ["LDAP_APP_PASSWORD"]
    assert wanted.sign_in_variables == {
        "ENABLE_LDAP": "True",
        "LDAP_SERVER_LABEL": "Example",
        "LDAP_SERVER_HOST": "ldap.example.org",
        "LDAP_SERVER_PORT": "636",
        "LDAP_USE_TLS": "True",
        "LDAP_APP_DN": "cn=chat,dc=example,dc=org",
        "LDAP_SEARCH_BASE": "ou=people,dc=example,dc=org",
        "LDAP_SEARCH_FILTERS": "(objectClass=person)",
        "LDAP_ATTRIBUTE_FOR_USERNAME": "sAMAccountName",
        "LDAP_ATTRIBUTE_FOR_MAIL": "userPrincipalName",
        "ENABLE_LDAP_GROUP_MANAGEMENT": "True",
        "ENABLE_LDAP_GROUP_CREATION": "True",
        "LDAP_ATTRIBUTE_FOR_GROUPS": "isMemberOf",
    }


def test_a_directory_that_anybody_may_search_has_no_secret() -> None:
    assert settings(ldap=LDAP).secret_variables == []


def test_the_form_is_off_only_where_somebody_says_so() -> None:
    assert settings().sign_in_variables == {}
    assert settings(login_form=False, ldap=LDAP).sign_in_variables["ENABLE_LOGIN_FORM"] == "False"


@pytest.mark.parametrize("name", sign_in.BY_HAND)
def test_the_form_may_be_off_beside_a_sign_in_by_variables(name: str) -> None:
    assert settings(login_form=False, open_webui_env={name: "x"}).sign_in_variables == {"ENABLE_LOGIN_FORM": "False"}


def test_two_providers_stand_beside_each_other_where_no_variable_is_both() -> None:
    given = {"GITHUB_CLIENT_ID": "x", "OAUTH_UPDATE_PICTURE_ON_LOGIN": "True", "OAUTH_CODE_CHALLENGE_METHOD": ""}
    assert settings(public_url=URL, oidc=oidc(), open_webui_env=given)


# --- The page

EXAMPLES = re.findall(r'(?s)```python\n("(?:oidc|ldap|login_form)": .*?)```', PAGE.read_text())


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_page_is_accepted(example: str) -> None:
    given = ast.literal_eval(f"{{{example}}}")
    beside = {"ldap": LDAP} if "login_form" in given else {}
    assert settings(public_url=URL, **given, **beside).sign_in_variables


def test_the_page_has_an_example_of_each_preset_and_each_redirect_address() -> None:
    given = [ast.literal_eval(f"{{{example}}}") for example in EXAMPLES]
    assert {one["oidc"]["preset"] for one in given if "oidc" in one} == set(sign_in.PRESETS)
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| `(https://[^`]+)` \|", PAGE.read_text()))
    assert rows == {name: f"{URL}/oauth/{preset.provider}/callback" for name, preset in sign_in.PRESETS.items()}


# --- Mistakes: `test_validation.py` has them with all others

MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no such preset": (
        {"oidc": {**KEYCLOAK, "preset": "okta"}},
        "oidc/preset: expected 'generic', 'keycloak', 'google', 'microsoft' or 'github', got 'okta'; 'generic' is for "
        "each other provider of OpenID Connect",
    ),
    "no secret": (
        {"oidc": {"preset": "google", "client_id": "chat"}},
        "oidc/client_secret: expected this key, got nothing; see inventories/group_data/all.py",
    ),
    "the secret itself": (
        {"oidc": {**KEYCLOAK, "client_secret": "marker-secret"}},
        "oidc/client_secret: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); secrets are "
        "never written into an inventory: name where this machine reads it",
    ),
    "a text": (
        {"oidc": "marker"},
        "oidc: expected {'preset': name, 'client_id': text, 'client_secret': secret source} and the preset's other "
        "keys, got a value (hidden); e.g. {'preset': 'keycloak', 'url': 'https://id.example.org/realms/staff', "
        "'client_id': 'chat', 'client_secret': 'env:OIDC_SECRET'}; docs/how-to/sign-in.md",
    ),
    "a client's ID of two words": (
        {"oidc": {**KEYCLOAK, "client_id": "my chat"}},
        "oidc/client_id: expected the client's ID in one word, got 'my chat'; the provider shows it where you "
        "registered Open WebUI",
    ),
    "http": (
        {"oidc": {**KEYCLOAK, "url": "http://id.example.org/realms/staff"}},
        "oidc/url: expected an https URL without a query, got 'http://id.example.org/realms/staff'; e.g. "
        "'https://id.example.org/realms/staff'",
    ),
    "a URL with a login": (
        {"oidc": {**KEYCLOAK, "url": "https://me:marker@id.example.org/realms/staff"}},
        "oidc/url: expected a URL without a login, got a value (hidden); it would be readable in compose.yaml; name "
        "the secret as client_secret",
    ),
    "the container itself": (
        {"oidc": {**KEYCLOAK, "url": "https://localhost:8443/realms/staff"}},
        "oidc/url: expected an address that containers and browsers reach, got 'https://localhost:8443/realms/staff'; "
        "that one is Open WebUI's own container there",
    ),
    "Keycloak without its realm": (
        {"public_url": URL, "oidc": {**KEYCLOAK, "url": "https://id.example.org/"}},
        "oidc/url: expected the URL of a realm for preset 'keycloak', got 'https://id.example.org'; e.g. "
        "'https://id.example.org/realms/staff'",
    ),
    "no URL": (
        {"public_url": URL, "oidc": {"preset": "generic", **CLIENT}},
        "oidc/url: expected it for preset 'generic', got None; see docs/how-to/sign-in.md",
    ),
    "no tenant": (
        {"public_url": URL, "oidc": {"preset": "microsoft", **CLIENT}},
        "oidc/tenant: expected it for preset 'microsoft', got None; see docs/how-to/sign-in.md",
    ),
    "every tenant": (
        {"oidc": {"preset": "microsoft", "tenant": "common", **CLIENT}},
        "oidc/tenant: expected the ID of your tenant, a UUID, got 'common'; Entra's overview shows it; 'common' would "
        "let other tenants in",
    ),
    "a key of another preset": (
        {"public_url": URL, "oidc": {"preset": "google", "url": "https://accounts.google.com", **CLIENT}},
        "oidc/url: expected no such key for preset 'google', got one; remove it",
    ),
    "groups that nobody sends": (
        {"public_url": URL, "oidc": {"preset": "github", "admin_groups": ["ops"], **CLIENT}},
        "oidc/admin_groups: expected no such key for preset 'github', got one; GitHub sends no groups: name 'domains', "
        "and make admins in the Admin Panel",
    ),
    "no such key": (
        {"oidc": {**KEYCLOAK, "secret": "marker"}},
        "oidc/secret: expected only preset and client_id and client_secret and url and tenant and name and scopes and "
        "groups_claim and admin_groups and groups and sync_groups and domains and signup and merge_accounts, got "
        "another key; remove it",
    ),
    "a group that would be two": (
        {"oidc": {**KEYCLOAK, "admin_groups": ["cn=ops,dc=example"]}},
        "oidc/admin_groups/0: expected the name of a group as the provider sends it, without a comma, got "
        "'cn=ops,dc=example'; e.g. 'chat-admins'",
    ),
    "a group that is everybody": (
        {"oidc": {**KEYCLOAK, "groups": ["*"]}},
        "oidc/groups/0: expected the name of a group as the provider sends it, without a comma, got '*'; e.g. "
        "'chat-admins'",
    ),
    "one group": (
        {"oidc": {**KEYCLOAK, "admin_groups": "ops"}},
        "oidc/admin_groups: expected a list of groups, got 'ops'; e.g. ['chat-admins']",
    ),
    "an address for a domain": (
        {"oidc": {**KEYCLOAK, "domains": ["me@example.org"]}},
        "oidc/domains/0: expected the domain of e-mail addresses, got 'me@example.org'; e.g. 'example.org'",
    ),
    "a claim of two words": (
        {"oidc": {**KEYCLOAK, "groups_claim": "my groups"}},
        "oidc/groups_claim: expected the name of a claim, got 'my groups'; e.g. 'groups' or "
        "'resource_access.chat.roles'",
    ),
    "scopes in one": (
        {"oidc": {**KEYCLOAK, "scopes": ["groups roles"]}},
        "oidc/scopes/0: expected a scope in one word, got 'groups roles'; e.g. 'groups'",
    ),
    "no public_url": (
        {"oidc": KEYCLOAK},
        "public_url: expected the URL that people type for oidc, got None; the provider sends them back there: set it, "
        "or open_webui_public_url for a proxy of your own",
    ),
    "a variable beside oidc": (
        {"public_url": URL, "oidc": KEYCLOAK, "open_webui_env": {"OAUTH_CLIENT_ID": "x"}},
        "open_webui_env/OAUTH_CLIENT_ID: expected one place for it, got two; oidc sets it, remove one of them",
    ),
    "a secret beside oidc": (
        {"public_url": URL, "oidc": KEYCLOAK, "open_webui_secret_env": {"OAUTH_CLIENT_SECRET": "env:X"}},
        "open_webui_secret_env/OAUTH_CLIENT_SECRET: expected one place for it, got two; oidc sets it, remove one of "
        "them",
    ),
    "a provider that is switched off": (
        {"public_url": URL, "oidc": KEYCLOAK, "open_webui_env": {"ENABLE_OAUTH": "False"}},
        "open_webui_env/ENABLE_OAUTH: expected 'True' beside oidc, got 'False'; it switches the provider off: "
        "remove it",
    ),
    "no sign-in at all": (
        {"ldap": LDAP, "open_webui_env": {"WEBUI_AUTH": "False"}},
        "open_webui_env/WEBUI_AUTH: expected 'True' beside oidc or ldap, got 'False'; without it nobody signs in: "
        "remove it",
    ),
    "anybody's Google account": (
        {
            "public_url": URL,
            "oidc": {"preset": "google", **CLIENT},
            "open_webui_env": {"DEFAULT_USER_ROLE": "user"},
        },
        "oidc/domains: expected a list for preset 'google' beside DEFAULT_USER_ROLE = 'user', got none; everybody with "
        "an account at Google would be let in: name your domains, or leave DEFAULT_USER_ROLE as it is",
    ),
    "no form and nothing else": (
        {"login_form": False},
        "login_form: expected True without oidc and ldap, got False; nobody could sign in: set one of them first",
    ),
    "the form's variable": (
        {"login_form": False, "ldap": LDAP, "open_webui_env": {"ENABLE_LOGIN_FORM": "True"}},
        "open_webui_env/ENABLE_LOGIN_FORM: expected one place for it, got two; login_form sets it, remove one of them",
    ),
    "LDAP by another scheme": (
        {"ldap": {**LDAP, "url": "ldap.example.org:636"}},
        "ldap/url: expected a URL of ldaps or ldap, a host and maybe a port, got 'ldap.example.org:636'; e.g. "
        "'ldaps://ldap.example.org'",
    ),
    "LDAP at no such port": (
        {"ldap": {**LDAP, "url": "ldaps://ldap.example.org:99999"}},
        "ldap/url: expected a URL of ldaps or ldap, a host and maybe a port, got 'ldaps://ldap.example.org:99999'; "
        "e.g. 'ldaps://ldap.example.org'",
    ),
    "LDAP in the container itself": (
        {"ldap": {**LDAP, "url": "ldap://127.0.0.1"}},
        "ldap/url: expected an address that containers reach, got 'ldap://127.0.0.1'; that one is Open WebUI's own "
        "container there; this server is 'ldap://host.docker.internal'",
    ),
    "a filter without parentheses": (
        {"ldap": {**LDAP, "filter": "objectClass=person"}},
        "ldap/filter: expected a filter in parentheses, or an empty string, got 'objectClass=person'; e.g. "
        "'(memberOf=cn=chat,ou=groups,dc=example,dc=org)'",
    ),
    "LDAP's password itself": (
        {"ldap": {**LDAP, "bind_dn": "cn=chat", "bind_password": "marker"}},
        "ldap/bind_password: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); secrets are "
        "never written into an inventory: name where this machine reads it",
    ),
    "a password for nobody": (
        {"ldap": {**LDAP, "bind_password": "env:X"}},
        "ldap/bind_dn: expected it beside the other of bind_dn and bind_password, got None; name both, or neither for "
        "a directory that anybody may search",
    ),
    "nobody's password": (
        {"ldap": {**LDAP, "bind_dn": "cn=chat"}},
        "ldap/bind_password: expected it beside the other of bind_dn and bind_password, got None; name both, or "
        "neither for a directory that anybody may search",
    ),
    "a variable beside ldap": (
        {"ldap": LDAP, "open_webui_env": {"LDAP_SEARCH_FILTER": "(a=b)"}},
        "open_webui_env/LDAP_SEARCH_FILTER: expected one place for it, got two; ldap sets it, remove one of them",
    ),
    "LDAP without passwords": (
        {"ldap": LDAP, "open_webui_env": {"ENABLE_PASSWORD_AUTH": "False"}},
        "open_webui_env/ENABLE_PASSWORD_AUTH: expected 'True' beside ldap, got 'False'; Open WebUI takes no password "
        "of LDAP without it: remove it",
    ),
    "another word": (
        {"sso": "x"},
        "sso: expected a setting of this project, got an unknown name; did you mean oidc?",
    ),
}


def test_in_a_swarm_the_directory_of_one_host_is_not_that_of_another() -> None:
    swarm = {"topology": "swarm", "open_webui_shared_dir": "/mnt/chat", "public_url": URL}
    (found,) = problems(**swarm, ldap={**LDAP, "url": "ldap://host.docker.internal"})
    assert found.startswith("ldap: expected addresses that each host of a swarm reaches, got host.docker.internal")
