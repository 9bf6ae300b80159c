"""The proxy of a real site: headers, a limit for uploads, IPv4 and IPv6, another CA, a CDN before it; other proxies.

What is marked long: Debian's pebble as the CA, and proxies of one's own (`own_proxies`).
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests.lab.door import Door
from tests.lab.own_proxies import CADDY, install, put, unpack_caddy
from tests.lab.precious import within
from tests.lab.replicas import Stack
from tests.lab.session import FRESH, SPARE, Lab, changed, containers, predicted

pytestmark = pytest.mark.lab

MEGABYTE = 1 << 20
HELD_S = 300
# Open WebUI's ping (WEBSOCKET_SERVER_PING_INTERVAL, 0.12.4).
PING_S = 25


def address_of(host: Any) -> str:
    """The address at which others reach the host."""
    (found,) = re.findall(r"inet ([0-9.]+)/", host.check_output("ip -4 -o address show dev eth0"))
    return str(found)


def client_seen(host: Any, door: Door, **headers: str) -> str:
    """Whose request Open WebUI takes this for: the address in its log."""
    mark = f"mark-{time.time_ns()}"
    assert door.visitor().ask("GET", f"/api/config?{mark}", **headers).status == 200
    return logged(host, mark)


def logged(host: Any, mark: str) -> str:
    names = "docker ps --format '{{.Names}}' | grep -E '^open-webui(-[0-9]+)?$'"
    log = f"for name in $({names}); do docker logs --since 1m $name; done"
    found = re.findall(rf"([0-9a-fA-F.:]+):[0-9]+ - \"GET [^\"]*{mark}", host.check_output(f"({log}) 2>&1"))
    assert len(found) == 1, found
    return str(found[0])


def dialled(door: Door) -> ssl.SSLSocket:
    """A connection to the proxy."""
    plain = socket.create_connection(("127.0.0.1", door.port), 30)
    return ssl.create_default_context(cafile=door.ca_file).wrap_socket(plain, server_hostname=door.name)


# --- The proxy of the stack -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def addresses(stack: Stack) -> list[str]:
    """One that others reach, and both loopbacks. The lab's hosts have IPv6 there alone, switched off."""
    stack.host.check_output("sysctl -q -w net.ipv6.conf.lo.disable_ipv6=0")
    return [address_of(stack.host), "127.0.0.1", "::1"]


@pytest.fixture(scope="module")
def newer_caddy(stack: Stack) -> str:
    """An image with Caddy of Debian's backports, of the line that operators get; the lab's own where it is not older.

    Of the release's Caddy 2.6 a body that is too large makes 502, and it knows no trusted_proxies for all.
    """
    image = str(stack.lab.inventory["images"]["caddy"])
    if not re.search(r":2\.[0-7]\.", image):
        return image
    host = stack.host
    name = image.rpartition(":")[0] + f":{unpack_caddy(host)}"
    recipe = f"FROM {image}\nCOPY usr/bin/caddy /usr/bin/caddy\nRUN setcap cap_net_bind_service=+ep /usr/bin/caddy\n"
    put(host, f"{CADDY}/Dockerfile", recipe)
    host.check_output(f"docker build --quiet --tag {name} {CADDY}")
    return name


@pytest.fixture(scope="module")
def before(stack: Stack) -> dict[str, str]:
    """The containers, before anything here was changed."""
    return containers(stack.host)


@pytest.fixture(scope="module")
def site(stack: Stack, addresses: list[str], before: dict[str, str], newer_caddy: str) -> Stack:
    """The stack with settings of a real site."""
    headers = {"Referrer-Policy": None, "X-Frame-Options": "SAMEORIGIN", "Server": None}
    own = {"proxy_bind": addresses, "proxy_headers": headers, "proxy_max_body_mb": 1, "proxy_image": newer_caddy}
    real = Stack(stack.lab, stack.host, stack.door, {**stack.settings, **own})
    real.deploy()
    return real


def test_the_proxy_alone_is_replaced(site: Stack, before: dict[str, str]) -> None:
    after = containers(site.host)
    assert {name for name in after if after[name] != before[name]} == {"open-webui-proxy"}
    assert predicted(site.deploy("--dry")) == []


def test_each_address_serves_and_no_other_is_published(site: Stack, addresses: list[str]) -> None:
    published = site.host.check_output("docker port open-webui-proxy").splitlines()
    wanted = [f"[{one}]" if ":" in one else one for one in addresses]
    assert sorted(line.split(" -> ")[1] for line in published) == sorted(
        f"{one}:{port}" for one in wanted for port in (443, 80)
    )
    name = site.door.name
    put(site.host, "/root/ca.pem", Path(site.door.ca_file).read_bytes())
    for one, spelt in zip(addresses, wanted, strict=True):
        seen = site.host.check_output(
            f"curl -sS -o /dev/null -w '%{{http_code}} %{{remote_ip}}' --cacert /root/ca.pem "
            f"--resolve '{name}:443:{spelt}' https://{name}/health"
        )
        assert seen == f"200 {one}"


def test_headers_are_as_the_settings_say(site: Stack) -> None:
    for path in ("/", "/health", "/api/config"):
        found = site.door.visitor().ask("GET", path).headers
        for name, value in {
            "Content-Security-Policy": ["frame-ancestors 'self'"],
            "X-Content-Type-Options": ["nosniff"],
            "Strict-Transport-Security": ["max-age=31536000"],
            "X-Frame-Options": ["SAMEORIGIN"],
            "Referrer-Policy": None,
            "Server": None,
        }.items():
            assert found.get_all(name) == value, f"{path}: {name}"


@pytest.mark.parametrize(("size", "status"), [(MEGABYTE, 422), (MEGABYTE + 1, 413)])
def test_a_request_that_is_too_large_is_refused_with_413(site: Stack, size: int, status: int) -> None:
    """Of a size that passes, it is read by Open WebUI, and no JSON."""
    asked = site.door.visitor().ask("POST", "/api/v1/auths/signin", b"x" * size, Content_Type="application/json")
    assert asked.status == status


def test_a_trusted_proxy_names_the_client_and_nobody_else_does(site: Stack) -> None:
    direct = client_seen(site.host, site.door)
    assert client_seen(site.host, site.door, X_Forwarded_For="203.0.113.7") == direct, "nobody is trusted"
    site.deploy(trusted_proxies=["198.51.100.0/24"])
    assert client_seen(site.host, site.door, X_Forwarded_For="203.0.113.7") == direct, "somebody else is"
    site.deploy(trusted_proxies=[direct, "198.51.100.0/24"])
    # What a client wrote, the client, and the two that passed it on.
    seen = client_seen(site.host, site.door, X_Forwarded_For="192.0.2.66, 203.0.113.7, 198.51.100.4")
    assert seen == "203.0.113.7"


# --- Another CA by ACME -----------------------------------------------------------------------------

# A certificate of pebble's is valid for five years, or for so many seconds. Caddy looks every ten minutes which ones
# end within a third of their lifetime (certmagic, DefaultRenewCheckInterval and DefaultRenewalWindowRatio): the first
# look finds one of 13 minutes, which has three left.
VALID_S = 13 * 60
LOOK_S = 10 * 60
PEBBLE: dict[str, Any] = {
    "listenAddress": "0.0.0.0:14000",
    "managementListenAddress": "127.0.0.1:15000",
    "certificate": "/root/pebble/tls.pem",
    "privateKey": "/root/pebble/tls.key",
    "httpPort": 80,
    "tlsPort": 443,
    "ocspResponderURL": "",
    "externalAccountBindingRequired": False,
}


class Pebble:
    """Debian's ACME server for tests, on a host. `settings` let the host's stack ask it."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.host, self.folder = stack, stack.host, folder
        install(self.host, "pebble")
        address = address_of(self.host)
        # Of itself and of no CA: a name with one label is not asked of the lab's DNS by containers (engine 26.1).
        self.host.check_output(
            "mkdir -p /root/pebble && cd /root/pebble && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=pebble "
            f"-addext subjectAltName=IP:{address} -keyout tls.key -out tls.pem 2>&1"
        )
        (folder / "directory-ca.pem").write_text(self.host.check_output("cat /root/pebble/tls.pem"))
        self.settings = {
            "proxy_tls": "acme",
            "proxy_certificate": None,
            "proxy_certificate_key": None,
            "proxy_acme_directory": f"https://{address}:14000/dir",
            "trusted_ca": [str(folder / "directory-ca.pem")],
            "verify_ca": str(folder / "root.pem"),
        }

    @contextmanager
    def runs(self, **changes: Any) -> Iterator[None]:
        """It runs, and issues certificates of a new root, which `verify_ca` has."""
        # Accounts with an earlier one.
        self.host.check_output("docker exec open-webui-proxy rm -rf /data/caddy/acme /data/caddy/certificates")
        put(self.host, "/root/pebble/config.json", json.dumps({"pebble": {**PEBBLE, **changes}}))
        program = self.host.check_output("command -v pebble")
        self.host.check_output(
            "systemd-run --quiet --unit=pebble --setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0 "
            f"{program} -config /root/pebble/config.json"
        )
        ask = "curl -sSf -k https://127.0.0.1:15000/roots/0"
        try:
            within(20, "pebble answers", lambda: self.host.run(ask).rc == 0)
            (self.folder / "root.pem").write_text(self.host.check_output(ask))
            yield
        finally:
            self.host.run("systemctl stop pebble; systemctl reset-failed pebble")

    @contextmanager
    def finds(self, name: str) -> Iterator[None]:
        """It finds the host by that name while the block lasts."""
        self.host.check_output(f"cp /etc/hosts /root/pebble/hosts; ! grep -q ' {name}$' /etc/hosts")
        self.host.check_output(f"echo '127.0.0.1 {name}' >>/etc/hosts")
        try:
            yield
        finally:
            self.host.check_output("cat /root/pebble/hosts >/etc/hosts")

    @property
    def door(self) -> Door:
        """The stack's, for clients that trust its root."""
        return Door(self.stack.door.name, self.stack.door.port, str(self.folder / "root.pem"))


@pytest.fixture
def acme(stack: Stack, tmp_path: Path) -> Iterator[Pebble]:
    """The stack has the lab's certificate again afterwards."""
    yield Pebble(stack, tmp_path)
    stack.deploy()


@pytest.mark.long
def test_a_private_ca_issues_by_acme_and_its_refusal_is_told(stack: Stack, acme: Pebble) -> None:
    host, door = stack.host, stack.door
    with acme.runs():
        data = json.dumps({SPARE: {**stack.settings, **acme.settings}})
        refused = stack.lab.run("-y", "deploy.py", limit=SPARE, TEST_HOST_DATA=data)
        assert refused.returncode != 0, refused.stdout
        assert (
            "certificate: the proxy has no certificate for its name yet; `docker logs open-webui-proxy`"
            in refused.stdout
        )
        assert "urn:ietf:params:acme:error:" in host.check_output("docker logs open-webui-proxy 2>&1")
        with acme.finds(door.name):
            host.check_output("docker restart open-webui-proxy")  # Caddy itself waits for minutes before it asks again
            stack.deploy(**acme.settings)
        assert acme.door.visitor().ask("GET", "/health").status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            door.visitor().ask("GET", "/health")
        assert changed(stack.deploy(**acme.settings)) == []


def served(door: Door) -> tuple[str, float]:
    """The serial of the certificate that a client gets and trusts, and the seconds it is valid."""
    with dialled(door) as connection:
        shown: Any = connection.getpeercert()
    return str(shown["serialNumber"]), ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()


@pytest.mark.long
def test_a_certificate_that_is_about_to_end_is_renewed_without_anybody(
    stack: Stack, acme: Pebble, newer_caddy: str
) -> None:
    """Each look at it is a handshake: the earlier certificate is served until the new one is."""
    profiles = {"default": {"description": "short", "validityPeriod": VALID_S}}
    with (
        acme.runs(certificateValidityPeriod=VALID_S, profiles=profiles),
        acme.finds(stack.door.name),
    ):
        stack.deploy(**acme.settings, proxy_image=newer_caddy)
        first, left_s = served(acme.door)
        assert 0 < left_s < VALID_S, "the CA's word"
        started = containers(stack.host)["open-webui-proxy"]
        seen = [(first, left_s)]

        def renewed() -> bool:
            seen.append(served(acme.door))
            return seen[-1][0] != first

        took_s = within(LOOK_S + 60, "another certificate is served", renewed, 2)
        print(f"renewed after {took_s:.0f} s, {seen[-2][1]:.0f} s before the first one ended")
        assert seen[-1][1] > seen[-2][1] + 60, "the new one is valid for longer"
        assert min(left for _, left in seen) > 60, "nobody saw one that was about to end"
        assert acme.door.visitor().ask("GET", "/health").status == 200
        assert containers(stack.host)["open-webui-proxy"] == started, "no restart renewed it"


# --- Proxies of one's own ---------------------------------------------------------------------------


def status_of_upload(door: Door, size: int) -> str:
    """The status for somebody who says how much will follow, and waits."""
    with dialled(door) as connection:
        head = f"POST /api/v1/files/ HTTP/1.1\r\nHost: {door.name}\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        return connection.recv(4096).decode().split()[1]


def pings_within(door: Door, seconds: float) -> int:
    """How often the server pinged one websocket that was held so long, and that was answered each time."""
    url = f"wss://{door.name}/ws/socket.io/?EIO=4&transport=websocket"
    client = websocket.create_connection(url, socket=dialled(door), origin=door.url, timeout=2 * PING_S)
    try:
        assert str(client.recv()).startswith("0{")
        end, pings = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            assert client.recv() == "2", "the server's ping, and nothing else"
            client.send("3")
            pings += 1
        return pings
    finally:
        client.close()


@pytest.fixture(scope="module")
def proxies(lab: Lab, doors: dict[str, Door], stack: Stack) -> dict[str, tuple[Any, Door]]:
    """The hosts and doors of all: those of one's own, and the stack's."""
    return {**{name: (lab.host(FRESH), door) for name, door in doors.items()}, "the stack's": (stack.host, stack.door)}


@pytest.mark.long
def test_a_websocket_is_held_for_five_minutes_by_each_proxy(proxies: dict[str, tuple[Any, Door]]) -> None:
    with ThreadPoolExecutor(len(proxies)) as pool:
        held = pool.map(lambda one: pings_within(one[1], HELD_S), proxies.values())
        pings = dict(zip(proxies, held, strict=True))
    assert pings == dict.fromkeys(proxies, HELD_S // PING_S)


@pytest.mark.long
def test_uploads_pass_each_proxy(proxies: dict[str, tuple[Any, Door]]) -> None:
    content = b"x" * (20 * MEGABYTE)
    for name, (_, door) in proxies.items():
        token = door.sign_in()
        visitor = door.visitor()
        assert visitor.download(visitor.upload(content, token), token) == content, name


@pytest.mark.long
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_length_above_the_limit_is_refused_before_the_body(doors: dict[str, Door], name: str) -> None:
    """Caddy counts what it has read: `test_a_request_that_is_too_large_is_refused_with_413`."""
    assert status_of_upload(doors[name], 101 * MEGABYTE) == "413"


@pytest.mark.long
def test_no_client_names_itself_through_any_proxy(proxies: dict[str, tuple[Any, Door]]) -> None:
    for name, (host, door) in proxies.items():
        seen = client_seen(host, door, X_Forwarded_For="203.0.113.7")
        assert seen not in ("203.0.113.7", "unknown"), name
        assert re.fullmatch(r"[0-9.]+", seen), name
