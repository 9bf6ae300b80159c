"""People sign in by a provider and by a directory: real ones on the host, with a private CA; doctor sees them fail."""

from __future__ import annotations

import json
import re
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.precious import Precious, within
from tests.lab.replicas import PROCESSES, Stack
from tests.lab.session import FRESH, Lab, changed, report_in, wanted_later
from tests.lab.sign_in_host import FOLDER, HERE, LDAP_PASSWORD, SECRET, UNIT, Site, person

pytestmark = pytest.mark.lab

DOCTOR = ("-y", "runbooks/doctor.py")


@pytest.fixture
def site(request: pytest.FixtureRequest, lab: Lab, deployed: dict[str, Any], tmp_path: Path) -> Iterator[Site]:
    """The host is without these settings afterwards, where a later test has it."""
    # Variables win: this database was filled by a start without them.
    one = Site(lab, FRESH, tmp_path, {"open_webui_persistent_config": False})
    yield one
    one.end()
    if wanted_later(request, "deployed"):
        lab.report("-y", "deploy.py")


@pytest.fixture
def ada(site: Site) -> Precious:
    """An admin of Open WebUI's own: the first account is one whatever its groups are."""
    return Precious(site.lab)


def people(ada: Precious) -> dict[str, str]:
    """The role of each account, as an admin is told."""
    return {one["email"]: one["role"] for one in ada.ask("/api/v1/users/all")["users"]}


def sign_in(site: Site, who: dict[str, Any]) -> str:
    """Where a browser of this person ends up, having gone to the provider and back; its cookies are in a jar."""
    site.put("person.json", json.dumps(who))
    curl = f"curl --silent --show-error --location --cacert {FOLDER}/authority.pem --max-time 30 --output /dev/null"
    jar = f"{FOLDER}/{who['sub']}.jar"
    return str(
        site.host.check_output(
            f"rm -f {jar}; {curl} --cookie-jar {jar} --cookie {jar} --write-out '%{{url_effective}}' "
            f"{HERE}/oauth/oidc/login"
        )
    )


def me(site: Site, who: dict[str, Any]) -> dict[str, Any]:
    """What Open WebUI tells the person whose cookies are in the jar."""
    jar = f"{FOLDER}/{who['sub']}.jar"
    token = site.host.check_output(f"awk '$6 == \"token\" {{ print $7 }}' {jar}")
    answer = site.host.check_output(f"curl --silent --header 'Authorization: Bearer {token}' {HERE}/api/v1/auths/")
    found: dict[str, Any] = json.loads(answer)
    return found


def test_a_provider_signs_people_in_with_the_roles_of_their_groups(site: Site, ada: Precious) -> None:
    oidc = {**site.provider(HERE), "groups": ["staff"], "sync_groups": True}
    site.data |= {"open_webui_public_url": HERE, "oidc": oidc, "login_form": False}
    site.deploy()
    boss, clerk, stranger = person("boss", "chat admins", "staff"), person("clerk", "staff"), person("stranger", "x")

    assert sign_in(site, boss) == f"{HERE}/auth"
    assert sign_in(site, clerk) == f"{HERE}/auth"
    assert "/auth?error=" in sign_in(site, stranger)
    assert (me(site, boss)["role"], me(site, clerk)["role"]) == ("admin", "user")
    roles = people(ada)
    assert (roles["boss@example.org"], roles["clerk@example.org"]) == ("admin", "user")
    assert "stranger@example.org" not in roles
    groups = {one["name"] for one in ada.ask("/api/v1/groups/")}
    assert {"chat admins", "staff"} <= groups

    sign_in(site, person("boss", "staff"))
    assert people(ada)["boss@example.org"] == "user", "who left the group is no admin from the next login on"

    seen = ada.ask("/api/config")
    assert seen["oauth"]["providers"] == {"oidc": "Keycloak"}
    assert seen["features"]["enable_login_form"] is False
    env = "/opt/open-webui/.env"
    secret = site.host.check_output(f"stat -c '%a %U' {env}; grep -c '^OAUTH_CLIENT_SECRET=' {env}")
    assert secret.split() == ["600", "root", "1"]
    assert site.host.run(f"grep -rF '{SECRET}' /opt/open-webui/compose.yaml").rc == 1
    again = site.run("-y", "deploy.py", "--json")
    assert changed(report_in(again.stdout)) == [], "a second run changes nothing"

    fine = site.run(*DOCTOR)
    assert (fine.returncode, "sign-in: " in fine.stdout) == (0, False), fine.stdout

    issuer = site.data["oidc"]["url"]
    document = f"{issuer}/.well-known/openid-configuration"
    site.host.check_output(f"""sed -i 's#"issuer": "[^"]*#&-of-others#' {FOLDER}/given.json""")
    other = site.run(*DOCTOR).stdout
    assert f"fault   sign-in: oidc from Open WebUI: {document}, the issuer differs: {issuer}-of-others; " in other

    site.host.check_output(f"systemctl stop {UNIT}")
    gone = site.run(*DOCTOR)
    assert gone.returncode == 1
    assert f"{document}, not reachable: Connection refused; people can't sign in: " in gone.stdout


# --- Several replicas


def headers(site: Site, command: str) -> str:
    return str(site.host.check_output(f"{command} --silent --output /dev/null --dump-header -"))


def header(name: str, answer: str) -> str:
    found = re.search(rf"(?im)^{name}: *([^;\r\n]*)", answer)
    assert found, answer
    return found[1]


@pytest.mark.long
def test_a_login_that_began_at_one_replica_ends_at_another_and_is_revoked_at_both(
    stack: Stack, replicated: Site
) -> None:
    site = replicated
    site.data["oidc"] = site.provider(site.data["public_url"])
    site.deploy()
    site.put("person.json", json.dumps(person("boss", "chat admins")))

    begun = headers(site, "docker exec open-webui curl http://127.0.0.1:8080/oauth/oidc/login")
    page = header("location", begun)
    back = header("location", headers(site, f"curl --cacert {FOLDER}/authority.pem '{page}'"))
    assert back.startswith(f"{site.data['public_url']}/oauth/oidc/callback?code=")
    cookie, query = header("set-cookie", begun), back.partition("?")[2]
    ended = headers(
        site,
        f"docker exec open-webui-2 curl --header 'Cookie: {cookie}' 'http://127.0.0.1:8080/oauth/oidc/callback?{query}'",
    )
    (token,) = re.findall(r"(?im)^set-cookie: token=([^;\s]+)", ended)

    roles = [stack.ask(process, "/api/v1/auths/", token) for process in PROCESSES]
    assert [(status, json.loads(body)["role"]) for status, body in roles] == [(200, "admin")] * 2
    signout = f"--request POST --header 'Authorization: Bearer {token}' http://127.0.0.1:8080/api/v1/auths/signout"
    assert " 200 " in headers(site, f"docker exec open-webui-2 curl {signout}").splitlines()[0]
    assert [stack.ask(process, "/api/v1/auths/", token)[0] for process in PROCESSES] == [401, 401]


# --- A directory

ENTRIES = """\
dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: uid=dora,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: dora
cn: Dora
sn: Directory
mail: dora@example.org
seeAlso: cn=readers,ou=groups,dc=example,dc=org
userPassword: of-dora
"""
# Debian's slapd has its certificate, and speaks TLS alone to others (slapd-config(5)).
TLS = """\
dn: cn=config
changetype: modify
replace: olcTLSCertificateFile
olcTLSCertificateFile: /etc/ldap/lab.pem
-
replace: olcTLSCertificateKeyFile
olcTLSCertificateKeyFile: /etc/ldap/lab.pem
"""
INSTALL = """\
echo 'slapd slapd/domain string example.org
slapd slapd/password1 password {password}
slapd slapd/password2 password {password}
slapd shared/organization string Example' | debconf-set-selections
export DEBIAN_FRONTEND=noninteractive
apt-get update -q && apt-get install -qy --no-install-recommends slapd ldap-utils
install -m 600 -o openldap {folder}/server.pem /etc/ldap/lab.pem
ldapmodify -Q -Y EXTERNAL -H ldapi:/// -f {folder}/tls.ldif
ldapadd -x -H ldapi:/// -D cn=admin,dc=example,dc=org -w '{password}' -f {folder}/entries.ldif
sed -i 's#^SLAPD_SERVICES=.*#SLAPD_SERVICES="ldaps:/// ldapi:///"#' /etc/default/slapd
systemctl restart slapd
"""


@pytest.fixture
def directory(site: Site) -> Iterator[Site]:
    """The host with Debian's slapd, and settings that lead Open WebUI there."""
    site.put("tls.ldif", TLS)
    site.put("entries.ldif", ENTRIES)
    site.host.check_output("set -e\n" + INSTALL.format(password=LDAP_PASSWORD, folder=FOLDER) + "true")
    site.data["ldap"] = {
        **{"url": f"ldaps://{site.address}", "search_base": "ou=people,dc=example,dc=org"},
        **{"bind_dn": "cn=admin,dc=example,dc=org", "bind_password": "env:LDAP_PASSWORD"},
        **{"sync_groups": True, "groups_attribute": "seeAlso"},
    }
    yield site
    site.host.check_output("DEBIAN_FRONTEND=noninteractive apt-get purge -qy slapd ldap-utils")
    site.host.check_output("rm -f /etc/ldap/lab.pem")


@pytest.mark.long
def test_a_directory_signs_people_in_and_doctor_sees_it_stop(directory: Site, ada: Precious) -> None:
    site = directory
    site.deploy()
    login = {"user": "dora", "password": "of-dora"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        ada.ask("/api/v1/auths/ldap", {**login, "password": "of-somebody"})
    assert refused.value.code == 400
    answer = ada.ask("/api/v1/auths/ldap", login)
    assert (answer["email"], answer["name"]) == ("dora@example.org", "Dora")
    assert people(ada)["dora@example.org"] == "pending", "an admin has to let her in"
    assert "readers" in {one["name"] for one in ada.ask("/api/v1/groups/")}
    assert ada.ask("/api/config")["features"]["enable_ldap"] is True

    fine = site.run(*DOCTOR)
    assert (fine.returncode, "sign-in: " in fine.stdout) == (0, False), fine.stdout
    site.host.check_output("systemctl stop slapd")
    within(30, "slapd is down", lambda: site.host.run("ss -Hltn 'sport = :636' | grep .").rc == 1)
    gone = site.run(*DOCTOR)
    assert gone.returncode == 1
    assert f"fault   sign-in: ldap from Open WebUI: ldaps://{site.address}:636, not reachable: " in gone.stdout
