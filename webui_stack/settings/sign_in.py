"""How people sign in besides Open WebUI's own passwords: by a provider of OpenID Connect, and by LDAP. Pure.

Source of the variables: open_webui/config.py, utils/oauth.py and routers/auths.py, 0.12.4.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict

from webui_stack.settings import origin
from webui_stack.settings.rule import Rule, matches, must
from webui_stack.settings.types import HOST_OF_CONTAINERS, SecretSource, Switch, is_of_the_container, is_url

SECRETS = ("client_secret", "bind_password")
"""The keys whose values are secret sources."""
_DISCOVERY = "/.well-known/openid-configuration"


class Preset(NamedTuple):
    """What a preset is in Open WebUI: its name there, and its variables; the key it needs, and those it may have."""

    provider: str
    client_id: str
    client_secret: str
    redirect: str
    needs: str = ""
    takes: tuple[str, ...] = ()

    @property
    def keys(self) -> set[str]:
        """All keys that may be in the setting beside this preset."""
        return {*_OF_ALL, self.needs, *self.takes}


_OF_ALL = ("preset", "client_id", "client_secret", "domains", "signup", "merge_accounts")
_OIDC = ("oidc", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OPENID_REDIRECT_URI", "url")
_OF_GROUPS = ("admin_groups", "groups", "sync_groups", "groups_claim")
PRESETS = {
    "generic": Preset(*_OIDC, ("name", "scopes", *_OF_GROUPS)),
    "keycloak": Preset(*_OIDC, ("name", "scopes", *_OF_GROUPS)),
    "google": Preset("google", "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GOOGLE_REDIRECT_URI"),
    "microsoft": Preset(
        *("microsoft", "MICROSOFT_CLIENT_ID", "MICROSOFT_CLIENT_SECRET", "MICROSOFT_REDIRECT_URI"),
        "tenant",
        _OF_GROUPS,
    ),
    "github": Preset("github", "GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET", "GITHUB_CLIENT_REDIRECT_URI"),
}
"""The values of `preset`."""
OPEN_TO_EVERYBODY = {"google": "Google", "github": "GitHub"}
"""Presets whose provider gives an account to whoever asks for one, and tells no groups."""
BY_HAND = (
    *("OAUTH_CLIENT_ID", "GOOGLE_CLIENT_ID", "MICROSOFT_CLIENT_ID", "GITHUB_CLIENT_ID", "FEISHU_CLIENT_ID"),
    *("WEBUI_AUTH_TRUSTED_EMAIL_HEADER", "ENABLE_LDAP"),
)
"""Variables by which an operator sets a sign-in up without these settings."""


def _is_issuer(value: str) -> bool | Rule:
    own = Rule("an address that containers and browsers reach", "that one is Open WebUI's own container there")
    login = "it would be readable in compose.yaml; name the secret as client_secret"
    return is_url(value, r"https://[^\s/?#;'\"\\]+(?:/[^\s?#;'\"\\]*)?", login=login, own=own)


def _issuer(value: str) -> str:
    return value.rstrip("/").removesuffix(_DISCOVERY).rstrip("/")


_Text = Annotated[
    str,
    matches(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?"),
    Rule("one line of text", "e.g. 'Example'"),
]
_Claim = Annotated[
    str,
    matches(r"[^\s\x00-\x1f\x7f'\"]+"),
    Rule("the name of a claim", "e.g. 'groups' or 'resource_access.chat.roles'"),
]
# Open WebUI splits its list at each comma; "*" is everybody to it.
_Group = Annotated[
    str,
    matches(r"(?!\*$)[^\s,\x00-\x1f\x7f](?:[^,\x00-\x1f\x7f]*[^\s,\x00-\x1f\x7f])?"),
    Rule("the name of a group as the provider sends it, without a comma", "e.g. 'chat-admins'"),
]
_Groups = Annotated[list[_Group], Rule("a list of groups", "e.g. ['chat-admins']")]
_Attribute = Annotated[
    str, matches(r"[A-Za-z][A-Za-z0-9-]*"), Rule("the name of an attribute", "e.g. 'uid', or 'sAMAccountName'")
]


class Oidc(BaseModel):
    """A provider of OpenID Connect, or GitHub. `PRESETS` says which keys belong to which preset."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    preset: Annotated[
        Literal["generic", "keycloak", "google", "microsoft", "github"],
        Rule(
            "'generic', 'keycloak', 'google', 'microsoft' or 'github'",
            "'generic' is for each other provider of OpenID Connect",
        ),
    ]
    client_id: Annotated[
        str,
        matches(r"[^\s'\"\\]+"),
        Rule("the client's ID in one word", "the provider shows it where you registered Open WebUI"),
    ]
    client_secret: SecretSource
    url: (
        Annotated[
            str,
            must(_is_issuer),
            AfterValidator(_issuer),
            Rule("an https URL without a query", "e.g. 'https://id.example.org/realms/staff'"),
        ]
        | None
    ) = None
    tenant: (
        Annotated[
            str,
            matches(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
            Rule("the ID of your tenant, a UUID", "Entra's overview shows it; 'common' would let other tenants in"),
        ]
        | None
    ) = None
    name: _Text | None = None
    scopes: Annotated[
        list[Annotated[str, matches(r"[!#-\[\]-~]+"), Rule("a scope in one word", "e.g. 'groups'")]],
        Rule("a list of scopes", "e.g. ['groups'], besides openid, email and profile"),
    ] = []
    groups_claim: _Claim = "groups"
    admin_groups: _Groups = []
    groups: _Groups = []
    sync_groups: Switch = False
    domains: Annotated[
        list[Annotated[str, matches(origin.HOST_NAME), Rule("the domain of e-mail addresses", "e.g. 'example.org'")]],
        Rule("a list of domains", "e.g. ['example.org']; [] takes each address that the provider sends"),
    ] = []
    signup: Switch = True
    merge_accounts: Switch = False

    @property
    def preset_of(self) -> Preset:
        """What its preset is in Open WebUI."""
        return PRESETS[self.preset]

    def variables(self, external_url: str) -> dict[str, str]:
        """Open WebUI's variables without the secret, for people who come to `external_url`."""
        preset = self.preset_of
        found = {
            "ENABLE_OAUTH_SIGNUP": str(self.signup),
            "OAUTH_MERGE_ACCOUNTS_BY_EMAIL": str(self.merge_accounts),
            preset.client_id: self.client_id,
            preset.redirect: f"{external_url}/oauth/{preset.provider}/callback",
        }
        if self.url:
            found["OPENID_PROVIDER_URL"] = self.url + _DISCOVERY
            found["OAUTH_PROVIDER_NAME"] = self.name or ("Keycloak" if self.preset == "keycloak" else "SSO")
        if self.tenant:
            found["MICROSOFT_CLIENT_TENANT_ID"] = self.tenant
        if self.scopes:
            found["OAUTH_SCOPES"] = " ".join(dict.fromkeys(["openid", "email", "profile", *self.scopes]))
        if self.domains:
            # Open WebUI compares them with addresses in lower case.
            found["OAUTH_ALLOWED_DOMAINS"] = ",".join(self.domains).lower()
        if self.admin_groups or self.groups:
            found |= {
                "ENABLE_OAUTH_ROLE_MANAGEMENT": "True",
                "OAUTH_ROLES_CLAIM": self.groups_claim,
                # Without these two, groups of the names "admin" and "user" would count.
                "OAUTH_ADMIN_ROLES": ",".join(self.admin_groups),
                "OAUTH_ALLOWED_ROLES": ",".join(self.groups) or "*",
            }
        if self.sync_groups:
            found |= {
                "ENABLE_OAUTH_GROUP_MANAGEMENT": "True",
                "ENABLE_OAUTH_GROUP_CREATION": "True",
                "OAUTH_GROUPS_CLAIM": self.groups_claim,
            }
        return found


_LDAP_PORTS = {"ldap": 389, "ldaps": 636}
_LDAP_URL = re.compile(rf"(ldaps?)://({origin.HOST_NAME}|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{{0,4}}))?/?")


def _is_ldap(value: str) -> bool | Rule:
    found = _LDAP_URL.fullmatch(value)
    if not found or int(found[3] or 1) > 65535:
        return False
    return not is_of_the_container(found[2].strip("[]").lower()) or Rule(
        "an address that containers reach",
        f"that one is Open WebUI's own container there; this server is 'ldap://{HOST_OF_CONTAINERS}'",
    )


class Ldap(BaseModel):
    """A directory. Open WebUI binds as `bind_dn`, looks the person up, then binds as that person."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    url: Annotated[
        str,
        must(_is_ldap),
        Rule("a URL of ldaps or ldap, a host and maybe a port", "e.g. 'ldaps://ldap.example.org'"),
    ]
    search_base: Annotated[_Text, Rule("the name of an entry", "e.g. 'ou=people,dc=example,dc=org'")]
    bind_dn: Annotated[_Text, Rule("the name of an entry", "e.g. 'cn=chat,dc=example,dc=org'")] | None = None
    bind_password: SecretSource | None = None
    user_attribute: _Attribute = "uid"
    mail_attribute: _Attribute = "mail"
    filter: Annotated[
        str,
        matches(r"(?:\([^\x00-\x1f\x7f]+\))?"),
        Rule("a filter in parentheses, or an empty string", "e.g. '(memberOf=cn=chat,ou=groups,dc=example,dc=org)'"),
    ] = ""
    name: _Text = "LDAP"
    sync_groups: Switch = False
    groups_attribute: _Attribute = "memberOf"

    @property
    def is_encrypted(self) -> bool:
        return self.url.startswith("ldaps:")

    def variables(self) -> dict[str, str]:
        """Open WebUI's variables without the secret. All are named: it saves each at its first start."""
        found = _LDAP_URL.fullmatch(self.url)
        assert found is not None
        return {
            "ENABLE_LDAP": "True",
            "LDAP_SERVER_LABEL": self.name,
            "LDAP_SERVER_HOST": found[2].strip("[]"),
            "LDAP_SERVER_PORT": found[3] or str(_LDAP_PORTS[found[1]]),
            "LDAP_USE_TLS": str(self.is_encrypted),
            "LDAP_APP_DN": self.bind_dn or "",
            "LDAP_SEARCH_BASE": self.search_base,
            "LDAP_SEARCH_FILTERS": self.filter,
            "LDAP_ATTRIBUTE_FOR_USERNAME": self.user_attribute,
            "LDAP_ATTRIBUTE_FOR_MAIL": self.mail_attribute,
            "ENABLE_LDAP_GROUP_MANAGEMENT": str(self.sync_groups),
            "ENABLE_LDAP_GROUP_CREATION": str(self.sync_groups),
            "LDAP_ATTRIBUTE_FOR_GROUPS": self.groups_attribute,
        }


OidcSetting = Annotated[
    Oidc,
    Rule(
        "{'preset': name, 'client_id': text, 'client_secret': secret source} and the preset's other keys",
        "e.g. {'preset': 'keycloak', 'url': 'https://id.example.org/realms/staff', 'client_id': 'chat', "
        "'client_secret': 'env:OIDC_SECRET'}; docs/how-to/sign-in.md",
    ),
]
LdapSetting = Annotated[
    Ldap,
    Rule(
        "{'url': URL, 'search_base': name} and maybe further keys",
        "e.g. {'url': 'ldaps://ldap.example.org', 'search_base': 'ou=people,dc=example,dc=org'}; "
        "docs/how-to/sign-in.md",
    ),
]
