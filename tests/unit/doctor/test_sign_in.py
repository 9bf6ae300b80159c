"""Doctor on sign-in: not offered, not reached, not trusted, and each with its next step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doctor_documents import having
from tests.unit.doctor.judging import FINE, judged, levels
from tests.unit.settings.test_sign_in import LDAP, URL, oidc
from webui_stack.model.check import Check

OIDC = {"way": "oidc", "where": "https://id.example.org/x", "fault": "", "got": ""}
DIRECTORY = {"way": "ldap", "where": "ldaps://ldap.example.org:636", "fault": "", "got": ""}
# What /api/config says (open_webui/main.py, 0.12.4).
OFFERED: dict[str, Any] = {
    **{"status": True, "version": "0.12.4", "oauth": {"providers": {"oidc": "Keycloak"}, "auto_redirect": False}},
    "features": {"enable_ldap": True, "enable_login_form": False},
}
ALL: dict[str, Any] = {"public_url": URL, "oidc": oidc(), "ldap": LDAP, "login_form": False}


def of_sign_in(api: dict[str, Any], *ways: dict[str, str], **changes: Any) -> list[Check]:
    document = having(FINE, open_webui={"api": api, "sign_in": list(ways)})
    return [check for check in judged(document, **changes) if check.name.startswith("sign-in")]


def test_a_sign_in_that_works_has_nothing() -> None:
    checks = of_sign_in(OFFERED, OIDC, DIRECTORY, **ALL)
    assert levels(checks) == {}
    assert [check.name for check in checks] == [
        "sign-in: oidc",
        "sign-in: ldap",
        "sign-in: form",
        "sign-in: oidc from Open WebUI",
        "sign-in: ldap from Open WebUI",
        "sign-in: LDAP's passwords",
    ]


def test_a_stack_without_these_settings_is_not_asked_about_them() -> None:
    assert of_sign_in(OFFERED) == []


@pytest.mark.parametrize(
    ("api", "row"),
    [
        ({**OFFERED, "oauth": {"providers": {"google": "Google"}}}, "sign-in: oidc"),
        ({**OFFERED, "oauth": {"providers": {}}}, "sign-in: oidc"),
        ({**OFFERED, "features": {"enable_ldap": False, "enable_login_form": False}}, "sign-in: ldap"),
        ({**OFFERED, "features": {"enable_ldap": True, "enable_login_form": True}}, "sign-in: form"),
    ],
)
def test_a_setting_that_open_webui_does_not_follow_is_a_fault(api: dict[str, Any], row: str) -> None:
    checks = of_sign_in(api, **ALL)
    assert levels(checks) == {row: "fault"}
    (fault,) = [check for check in checks if check.is_fault]
    assert "deploy.py" in fault.next_step or "overrules" in fault.next_step


@pytest.mark.parametrize(
    "api", [{}, {"status": True}, {"features": [], "oauth": {}}], ids=["no answer", "older", "odd"]
)
def test_an_open_webui_that_tells_nothing_of_its_sign_in_is_not_judged_by_it(api: dict[str, Any]) -> None:
    assert of_sign_in(api, **ALL) == []


@pytest.mark.parametrize(
    ("fault", "got", "seen", "step"),
    [
        ("unreachable", "Connection refused", "not reachable: Connection refused", "firewall"),
        ("untrusted", "self-signed certificate", "certificate not trusted: self-signed certificate", "trusted_ca"),
        ("tls", "WRONG_VERSION_NUMBER", "no TLS: WRONG_VERSION_NUMBER", "speaks TLS"),
        ("status", "HTTP 404", "HTTP 404", "provider's issuer"),
        ("form", "no JSON", "no discovery document: no JSON", "has to be the issuer"),
        ("issuer", "http://id", "the issuer differs: http://id", "name this issuer as url"),
        ("of tomorrow", "x", "of tomorrow: x", "tell this project"),
    ],
)
def test_each_fault_is_named_with_its_next_step(fault: str, got: str, seen: str, step: str) -> None:
    checks = of_sign_in(OFFERED, {**OIDC, "fault": fault, "got": got}, **ALL)
    assert levels(checks) == {"sign-in: oidc from Open WebUI": "fault"}
    (found,) = [check for check in checks if check.is_fault]
    assert (found.seen, step in found.next_step) == (f"https://id.example.org/x, {seen}", True)


def test_a_directory_without_tls_is_advice() -> None:
    checks = of_sign_in(OFFERED, {**DIRECTORY, "where": "ldap://ldap.example.org:389"})
    assert levels(checks) == {"sign-in: LDAP's passwords": "advice"}
