"""Doctor's rules about sign-in: whether Open WebUI offers it, and reaches the provider or the directory. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webui_stack.doctor.rule import DEPLOY, Rule
from webui_stack.documents.doctor_document import SignIn
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import Observed
from webui_stack.settings.model import Settings

_SAVED = (
    "its database overrules the setting: change it in the Admin Panel, or set open_webui_persistent_config = False "
    "(docs/how-to/sign-in.md)"
)
_CA = "a private CA belongs into trusted_ca; an expired certificate has to be renewed there"
# Kind of a fault -> what was seen, and the next step. The kinds are those of host/sign_in.py.
_FAULTS: Mapping[str, tuple[str, str]] = {
    "unreachable": (
        "not reachable: {got}",
        "people can't sign in: see that the address is right, that it runs, and that a firewall, DNS and "
        "outbound_proxy let Open WebUI's container there",
    ),
    "untrusted": ("certificate not trusted: {got}", f"people can't sign in: {_CA}"),
    "tls": ("no TLS: {got}", "people can't sign in: see that this port speaks TLS; plain LDAP is 'ldap://'"),
    "status": (
        "{got}",
        "people can't sign in: see that url, or the tenant, is the provider's issuer; Open WebUI follows no redirect",
    ),
    "form": (
        "no discovery document: {got}",
        "people can't sign in: url has to be the issuer, to which Open WebUI adds /.well-known/openid-configuration",
    ),
    "issuer": (
        "the issuer differs: {got}",
        "logins may be refused: name this issuer as url, or correct the provider's own address (Keycloak: hostname)",
    ),
}


def _offered(seen: Observed, settings: Settings) -> Iterator[Check]:
    """What Open WebUI tells browsers of its sign-in page, compared with the settings."""
    features, oauth = seen.api.get("features"), seen.api.get("oauth")
    if not isinstance(features, Mapping) or not isinstance(oauth, Mapping):
        return
    if settings.oidc:
        offered = settings.oidc.preset_of.provider in (oauth.get("providers") or ())
        yield Check(
            "sign-in: oidc",
            offered,
            f"preset {settings.oidc.preset}, {'offered' if offered else 'not offered'}",
            f"{DEPLOY} sets it; in a running stack, `docker logs open-webui` tells why it was refused",
        )
    if settings.ldap:
        offered = bool(features.get("enable_ldap"))
        yield Check("sign-in: ldap", offered, "offered" if offered else "not offered", _SAVED)
    if not settings.login_form:
        shown = bool(features.get("enable_login_form", True))
        yield Check("sign-in: form", not shown, "shown" if shown else "off", _SAVED)


def _answered(seen: Observed, _: Settings) -> Iterator[Check]:
    for one in seen.sign_in:
        yield _judged(one)
        if one["way"] == "ldap":
            yield Check(
                "sign-in: LDAP's passwords",
                one["where"].startswith("ldaps:"),
                "encrypted" if one["where"].startswith("ldaps:") else "cross the network in clear",
                "use 'ldaps://'; Open WebUI knows no StartTLS",
                advice=True,
            )


def _judged(one: SignIn) -> Check:
    told, step = _FAULTS.get(one["fault"], (f"{one['fault']}: {{got}}", "tell this project"))
    found = f", {told.format(got=one['got'])}" if one["fault"] else " answers"
    return Check(f"sign-in: {one['way']} from Open WebUI", not one["fault"], f"{one['where']}{found}", step)


RULES: tuple[Rule, ...] = (_offered, _answered)
