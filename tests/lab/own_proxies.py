"""Proxies of one's own in front of one Open WebUI: nginx, HAProxy and Caddy, as a page of the docs has them."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.door import Door, door_of
from tests.lab.session import FRESH, ROOT, SSH_CONFIG, Lab

PAGE = ROOT / "docs" / "how-to" / "own-proxy.md"
PROXIES = ("nginx", "haproxy", "caddy")
# Those beside nginx: a host has its ports once.
_PORTS = {"haproxy": 8443, "caddy": 9443}
CADDY = "/root/newer-caddy"
_CADDY_UNIT = "own-caddy"


def put(host: Any, path: str, content: bytes | str, mode: str = "600") -> None:
    """Ensure the file on the host has this content."""
    data = content.encode() if isinstance(content, str) else content
    host.check_output(
        f"umask 077; base64 -d >{path} <<'EOF'\n{base64.encodebytes(data).decode()}EOF\nchmod {mode} {path}"
    )


def install(host: Any, *packages: str) -> None:
    """Ensure Debian's packages are on the host."""
    for package in packages:
        candidate = re.search(r"Candidate: (\S+)", host.check_output(f"apt-get -qq update; apt-cache policy {package}"))
        if not candidate or candidate[1] == "(none)":
            pytest.skip(f"{package} is in no archive of this host")
    names = " ".join(packages)
    host.check_output(f"DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends {names} 2>&1")


def unpack_caddy(host: Any) -> str:
    """Ensure Caddy of Debian's backports, of the line that operators get, is in a folder on the host; its version."""
    host.check_output(
        "mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources | sed -n 1p); "
        'echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie-backports main" '
        ">/etc/apt/sources.list.d/backports.list; apt-get -qq update"
    )
    host.check_output(
        f"mkdir -p {CADDY} && cd {CADDY} && apt-get -qq download caddy/trixie-backports 2>&1 "
        "&& dpkg-deb -x caddy_*.deb . && rm /etc/apt/sources.list.d/backports.list && apt-get -qq update"
    )
    version: str = host.check_output(f"{CADDY}/usr/bin/caddy version").split()[0].removeprefix("v")
    return version.split("+")[0].split("~")[0]


def snippet(title: str) -> str:
    """The first example below a heading of the docs, for the lab's name."""
    below = PAGE.read_text().partition(f"\n## {title}\n")[2]
    found = re.findall(r"(?ms)^```[a-z]*\n(.*?)^```$", below)[0]
    return str(found).replace("chat.example.org", "chat.lab.test")


@pytest.fixture(scope="module")
def doors(lab: Lab, deployed: Mapping[str, Any]) -> Iterator[dict[str, Door]]:
    """The doors of all three, with the page's examples and the lab's certificate; nginx is at port 443."""
    host, tls = lab.host(FRESH), lab.inventory["tls"]
    install(host, "nginx", "haproxy")
    chain, key = (Path(tls[name]).read_bytes() for name in ("certificate_file", "key_file"))
    put(host, "/etc/ssl/chat.pem", chain)
    put(host, "/etc/ssl/chat.key", key)
    put(host, "/etc/haproxy/chat.pem", chain + key)
    _start_nginx(host)
    _start_haproxy(host)
    _start_caddy(host)
    print(host.check_output(f"nginx -v 2>&1; haproxy -v | sed -n 1p; {CADDY}/usr/bin/caddy version"))
    nginx = door_of(lab, FRESH)
    settings = {
        "open_webui_public_url": nginx.url,
        "verify_url": f"https://127.0.0.1:{nginx.port}",
        "verify_ca": tls["ca_file"],
    }
    lab.report("-y", "deploy.py", limit=FRESH, TEST_HOST_DATA=json.dumps({FRESH: settings}))
    with ExitStack() as tunnels:
        ports = {name: tunnels.enter_context(forwarded(port)) for name, port in _PORTS.items()}
        yield {"nginx": nginx, **{name: Door(nginx.name, port, nginx.ca_file) for name, port in ports.items()}}
    host.check_output(f"systemctl disable --now nginx haproxy 2>&1; systemctl stop {_CADDY_UNIT}")
    lab.report("-y", "deploy.py", limit=FRESH)


def _start_nginx(host: Any) -> None:
    put(host, "/etc/nginx/conf.d/chat.conf", snippet("nginx"))
    host.check_output("rm -f /etc/nginx/sites-enabled/default; nginx -t 2>&1; systemctl enable nginx 2>&1")
    host.check_output("systemctl restart nginx")


def _start_haproxy(host: Any) -> None:
    beside = snippet("HAProxy").replace("bind :80", "bind :8080").replace("bind :443", f"bind :{_PORTS['haproxy']}")
    put(host, "/root/haproxy.cfg", beside)
    host.check_output(
        "test -e /root/haproxy.dist || cp /etc/haproxy/haproxy.cfg /root/haproxy.dist; "
        "cat /root/haproxy.dist /root/haproxy.cfg >/etc/haproxy/haproxy.cfg; "
        "haproxy -c -f /etc/haproxy/haproxy.cfg 2>&1; systemctl restart haproxy"
    )


def _start_caddy(host: Any) -> None:
    """With the lab's certificate, as no CA issues one for the lab's name."""
    unpack_caddy(host)
    beside = f"{{\n\tadmin off\n\thttp_port 9080\n\thttps_port {_PORTS['caddy']}\n}}\n"
    site = snippet("Caddy").replace("{\n", "{\n\ttls /etc/ssl/chat.pem /etc/ssl/chat.key\n", 1)
    put(host, f"{CADDY}/Caddyfile", beside + site)
    program = f"{CADDY}/usr/bin/caddy"
    host.check_output(f"{program} validate --config {CADDY}/Caddyfile 2>&1")
    run = f"{program} run --config {CADDY}/Caddyfile"
    host.check_output(f"systemd-run --quiet --collect --unit={_CADDY_UNIT} --setenv=HOME=/root {run}")


@contextmanager
def forwarded(port: int, name: str = FRESH) -> Iterator[int]:
    """A port of this machine that leads to one of a host's loopback, through SSH."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        free = int(listening.getsockname()[1])
    command = ["ssh", "-F", SSH_CONFIG, "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{free}:127.0.0.1:{port}", name]
    tunnel = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        time.sleep(3)
        assert tunnel.poll() is None, "ssh forwards nothing"
        yield free
    finally:
        tunnel.terminate()
        tunnel.wait(10)
