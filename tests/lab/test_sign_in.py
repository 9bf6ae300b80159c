"""People sign in by a provider and by a directory: real ones on the host, with a private CA; doctor sees them fail."""

from __future__ import annotations

import base64
import json
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.host.certified import certified
from tests.lab import oidc_provider
from tests.lab.precious import Precious, within
from tests.lab.session import FRESH, Lab, changed, report_in

pytestmark = pytest.mark.lab

FOLDER = "/root/sign-in"
HERE = "http://127.0.0.1:3000"
SECRET, LDAP_PASSWORD = "sesame:of/the+provider", "sesame of the directory"
UNIT = "lab-oidc-provider"
DOCTOR = ("-y", "runbooks/doctor.py")


def person(name: str, *groups: str) -> dict[str, Any]:
    """Somebody at the provider, as it tells of them."""
    return {"sub": name, "name": name.title(), "email": f"{name}@example.org", "groups": list(groups)}


@dataclass
class Site:
    """The host with a private CA, and an admin of Open WebUI's own; `data` are settings that a test gives it."""

    lab: Lab
    precious: Precious
    address: str
    authority: Path
    folder: Path
    data: dict[str, Any]

    @property
    def host(self) -> Any:
        return self.precious.host

    def run(self, *arguments: str) -> Any:
        environment = {"OIDC_SECRET": SECRET, "LDAP_PASSWORD": LDAP_PASSWORD}
        return self.lab.run(*arguments, TEST_HOST_DATA=json.dumps({FRESH: self.data}), **environment)

    def deploy(self) -> None:
        result = self.run("-y", "deploy.py", "--json")
        assert result.returncode == 0, result.stdout
        assert SECRET not in result.stdout
        assert LDAP_PASSWORD not in result.stdout

    def put(self, name: str, content: str | bytes) -> None:
        """A file that root alone can read."""
        data = base64.b64encode(content.encode() if isinstance(content, str) else content).decode()
        self.host.check_output(f"umask 077 && mkdir -p {FOLDER} && echo {data} | base64 -d >{FOLDER}/{name}")

    def people(self) -> dict[str, str]:
        """The role of each account, as an admin is told."""
        return {one["email"]: one["role"] for one in self.precious.ask("/api/v1/users/all")["users"]}


@pytest.fixture
def site(lab: Lab, deployed: dict[str, Any], tmp_path: Path) -> Iterator[Site]:
    """The host is without these settings afterwards."""
    precious, address = Precious(lab), lab.entry(FRESH)["address"]
    made = certified(tmp_path, address)
    # Variables win: this database was filled by a start without them.
    data = {"trusted_ca": [str(made.authority)], "open_webui_persistent_config": False}
    one = Site(lab, precious, address, made.authority, tmp_path, data)
    one.put("server.pem", (tmp_path / "server.pem").read_bytes())
    one.put("authority.pem", made.authority.read_bytes())
    yield one
    one.host.check_output(f"rm -r {FOLDER}")
    lab.report("-y", "deploy.py")


@pytest.fixture
def provider(site: Site) -> Iterator[Site]:
    """The host with a provider, by which alone people sign in."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
    issuer = f"https://{site.address}:8443/realms/staff"
    given = {
        **{"issuer": issuer, "path": "/realms/staff", "client_id": "chat", "client_secret": SECRET},
        "redirect_uri": f"{HERE}/oauth/oidc/callback",
        "key": {"n": key.public_numbers.n, "e": key.public_numbers.e, "d": key.d},
    }
    site.put("given.json", json.dumps(given))
    site.put("provider.py", Path(oidc_provider.__file__).read_text())
    site.host.check_output(f"systemd-run --unit {UNIT} python3 {FOLDER}/provider.py {FOLDER}")
    site.data |= {
        "open_webui_public_url": HERE,
        "oidc": {
            **{"preset": "keycloak", "url": issuer, "client_id": "chat", "client_secret": "env:OIDC_SECRET"},
            **{"admin_groups": ["chat admins"], "groups": ["staff"], "sync_groups": True},
        },
        "login_form": False,
    }
    yield site
    site.host.run(f"systemctl stop {UNIT}")


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


def test_a_provider_signs_people_in_with_the_roles_of_their_groups(provider: Site) -> None:
    site = provider
    site.deploy()
    boss, clerk, stranger = person("boss", "chat admins", "staff"), person("clerk", "staff"), person("stranger", "x")

    assert sign_in(site, boss) == f"{HERE}/auth"
    assert sign_in(site, clerk) == f"{HERE}/auth"
    assert "/auth?error=" in sign_in(site, stranger)
    assert (me(site, boss)["role"], me(site, clerk)["role"]) == ("admin", "user")
    roles = site.people()
    assert (roles["boss@example.org"], roles["clerk@example.org"]) == ("admin", "user")
    assert "stranger@example.org" not in roles
    groups = {one["name"] for one in site.precious.ask("/api/v1/groups/")}
    assert {"chat admins", "staff"} <= groups

    sign_in(site, person("boss", "staff"))
    assert site.people()["boss@example.org"] == "user", "who left the group is no admin from the next login on"

    seen = site.precious.ask("/api/config")
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
def test_a_directory_signs_people_in_and_doctor_sees_it_stop(directory: Site) -> None:
    site = directory
    site.deploy()
    login = {"user": "dora", "password": "of-dora"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        site.precious.ask("/api/v1/auths/ldap", {**login, "password": "of-somebody"})
    assert refused.value.code == 400
    answer = site.precious.ask("/api/v1/auths/ldap", login)
    assert (answer["email"], answer["name"]) == ("dora@example.org", "Dora")
    assert site.people()["dora@example.org"] == "pending", "an admin has to let her in"
    assert "readers" in {one["name"] for one in site.precious.ask("/api/v1/groups/")}
    assert site.precious.ask("/api/config")["features"]["enable_ldap"] is True

    fine = site.run(*DOCTOR)
    assert (fine.returncode, "sign-in: " in fine.stdout) == (0, False), fine.stdout
    site.host.check_output("systemctl stop slapd")
    within(30, "slapd is down", lambda: site.host.run("ss -Hltn 'sport = :636' | grep .").rc == 1)
    gone = site.run(*DOCTOR)
    assert gone.returncode == 1
    assert f"fault   sign-in: ldap from Open WebUI: ldaps://{site.address}:636, not reachable: " in gone.stdout
