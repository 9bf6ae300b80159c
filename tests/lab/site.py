"""What an organisation has around a stack, on the stack's host: APIs with certificates of its CA, a proxy, Ollama."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.lab.precious import within
from tests.lab.sampler import as_root
from tests.lab.session import ROOT, Lab

FOLDER = "/root/site"
PROXY_PORT, OURS_PORT, STRANGERS_PORT = 3128, 8443, 8444
ITSELF = "host.docker.internal"
# A name that the host alone knows: a container reaches it by the proxy or not at all.
BY_PROXY = "llm.site.test"
KEY = "sk-of-the-site"
OLLAMA_STAND_IN = ROOT / "lab" / "images" / "ollama" / "ollama.py"
MODELS = ("llama3.2:1b", "nomic-embed-text")
UNITS = ("site-proxy", "site-ours", "site-strangers", "site-ollama")

CERTIFICATES = f"""
set -eu
umask 077
mkdir -p {FOLDER} && cd {FOLDER}
new="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
printf 'subjectAltName=DNS:{ITSELF},DNS:{BY_PROXY}\\nextendedKeyUsage=serverAuth\\n' >extensions
for who in ours strangers; do
  openssl req -x509 $new -days 30 -keyout $who-ca.key -out $who-ca.pem -subj "/CN=The CA of $who" \
    -addext keyUsage=critical,keyCertSign,cRLSign
  openssl req $new -keyout $who.key -out $who.csr -subj /CN={ITSELF}
  openssl x509 -req -in $who.csr -CA $who-ca.pem -CAkey $who-ca.key -CAcreateserial -days 30 -extfile extensions \
    -out $who.pem
done 2>/dev/null
"""

PROXY = f"""
Port {PROXY_PORT}
Listen {{bridge}}
Timeout 60
MaxClients 100
LogLevel Connect
LogFile "{FOLDER}/proxy.log"
"""

# Each of Open WebUI's clients, or the one named ONLY, asks each URL; a line each: client, URL, what came of it.
CLIENTS = """
import asyncio, json, os, subprocess, sys, urllib.request
import aiohttp, httpx, requests

async def by_aiohttp(url):
    async with aiohttp.ClientSession(trust_env=True, timeout=aiohttp.ClientTimeout(5)) as session:
        async with session.get(url) as answer:
            return answer.status

def by_curl(url):
    ask = ["curl", "-sS", "--max-time", "5", "--output", "/dev/null", "--write-out", "%{http_code}"]
    return int(subprocess.run([*ask, url], check=True, capture_output=True, text=True).stdout)

clients = {
    "requests": lambda url: requests.get(url, timeout=5).status_code,
    "httpx": lambda url: httpx.get(url, timeout=5).status_code,
    "aiohttp": lambda url: asyncio.run(by_aiohttp(url)),
    "urllib": lambda url: urllib.request.urlopen(url, timeout=5).status,
    "curl": by_curl,
}
for url in sys.argv[1:]:
    for name, ask in clients.items():
        if os.environ.get("ONLY", name) != name:
            continue
        try:
            found = ask(url)
        except Exception as error:
            found = str(getattr(error, "stderr", None) or error)
        print(json.dumps([name, url, found]), flush=True)
"""


class Site:
    """A host with all of that. `settings` are those of its stack."""

    def __init__(self, lab: Lab, name: str, folder: Path) -> None:
        self.lab, self.name, self.folder = lab, name, folder
        self.host = lab.host(name)
        self.bridge = ""

    def settings(self, **changes: Any) -> str:
        """TEST_HOST_DATA: a stack that pulls Valkey with a login, and has Postgres, with these changes."""
        registry, login = self.lab.inventory["registry"], self.lab.inventory["login"]
        found = {
            "database": "postgres",
            "valkey_image": login["image"],
            "docker_registry_ca": {one["host"]: registry["ca_file"] for one in (registry, login)},
            "registry_login": {login["host"]: {"user": login["user"], "password": "env:TEST_REGISTRY_PASSWORD"}},
            "open_webui_env": {},
            # What one deploy says is to hold for the next as well.
            "open_webui_persistent_config": False,
        }
        return json.dumps({self.name: found | changes})

    def run(self, *arguments: str, password: str = "", typed: bool = False, **changes: Any) -> str:
        """What a run prints that has to succeed."""
        result = self.tried(*arguments, password=password, typed=typed, **changes)
        assert result.returncode == 0, result.stdout
        return result.stdout

    def tried(
        self, *arguments: str, password: str = "", typed: bool = False, **changes: Any
    ) -> subprocess.CompletedProcess[str]:
        secrets = {
            "TEST_REGISTRY_PASSWORD": password or self.lab.inventory["login"]["password"],
            "TEST_API_KEY": KEY,
        }
        lab = self.lab.as_typed if typed else self.lab
        result = lab.run(*arguments, limit=self.name, TEST_HOST_DATA=self.settings(**changes), **secrets)
        print(result.stdout)  # pytest shows it when the test fails
        return result

    # --- What is around the stack

    def start(self) -> None:
        """Ensure all of it runs. Docker has to be there: containers reach the host by its bridge."""
        ask = "docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}'"
        self.bridge = self.host.check_output(ask)
        self.host.check_output(CERTIFICATES)
        self.host.check_output(f"grep -q {BY_PROXY} /etc/hosts || echo {self.bridge} {BY_PROXY} >>/etc/hosts")
        self.host.check_output(
            # Its own service is not the one that is wanted.
            "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "
            "tinyproxy-bin >/dev/null 2>&1"
        )
        self._put("proxy.conf", PROXY.format(bridge=self.bridge))
        self._put("api_server.py", (ROOT / "tests" / "lab" / "api_server.py").read_text())
        self._put("ollama.py", OLLAMA_STAND_IN.read_text())
        self._put("clients.py", CLIENTS)
        self._unit("site-proxy", f"tinyproxy -d -c {FOLDER}/proxy.conf")
        for who, port in (("ours", OURS_PORT), ("strangers", STRANGERS_PORT)):
            certificate = f"{FOLDER}/{who}.pem {FOLDER}/{who}.key"
            serve = f"python3 {FOLDER}/api_server.py {who} {self.bridge} {port} {certificate}"
            self._unit(f"site-{who}", serve, API_KEY=KEY)
        ollama = {"OLLAMA_HOST": f"{self.bridge}:11434", "OLLAMA_MODELS": f"{FOLDER}/models"}
        self._unit("site-ollama", f"python3 {FOLDER}/ollama.py serve", **ollama)
        for port in (PROXY_PORT, OURS_PORT, STRANGERS_PORT, 11434):
            listens = f"ss --no-header --listening --tcp --numeric src {self.bridge}:{port}"
            within(20, f"port {port}", lambda asked=listens: bool(self.host.check_output(asked)))
        pull = f"OLLAMA_HOST={self.bridge}:11434 python3 {FOLDER}/ollama.py pull lab-tiny:1b"
        assert self.host.check_output(pull) == "success"
        (self.folder / "ca.pem").write_text(self.host.file(f"{FOLDER}/ours-ca.pem").content_string)

    def stop(self) -> None:
        self.host.run(f"systemctl stop {' '.join(UNITS)}; rm -rf {FOLDER}")

    def _put(self, name: str, text: str) -> None:
        put = f"umask 077; mkdir -p {FOLDER}; cat >{FOLDER}/{name}"
        subprocess.run(as_root(put, self.name), input=text, text=True, check=True)

    def _unit(self, unit: str, command: str, **environment: str) -> None:
        variables = " ".join(f"--setenv={name}={value}" for name, value in environment.items())
        self.host.check_output(f"systemd-run --quiet --collect --unit {unit} {variables} {command}")

    @property
    def around(self) -> dict[str, Any]:
        """The settings that tell the stack of it."""
        proxy = f"http://{ITSELF}:{PROXY_PORT}"
        return {
            "trusted_ca": [str(self.folder / "ca.pem")],
            "outbound_proxy": {"http": proxy, "https": proxy},
            "openai_connections": [
                {"url": f"https://{ITSELF}:{OURS_PORT}/v1", "key": "env:TEST_API_KEY"},
                {"url": f"https://{BY_PROXY}:{OURS_PORT}/v1", "key": "env:TEST_API_KEY"},
                {"url": f"https://{ITSELF}:{STRANGERS_PORT}/v1", "key": "env:TEST_API_KEY"},
                {"url": self.lab.inventory["models"]["url"]},
            ],
            "ollama": "service",
            "ollama_image": self.lab.inventory["images"]["ollama"],
            "ollama_models": list(MODELS),
        }

    # --- What is seen of it

    def proxied(self) -> list[str]:
        """Whom the proxy was asked for, host and port if it is not the scheme's, a line for each request."""
        log = self.host.check_output(f"cat {FOLDER}/proxy.log")
        targets = re.findall(r"Request \(file descriptor \d+\): [A-Z]+ (\S+)", log)
        return [urlsplit(one).netloc if "://" in one else one for one in targets]

    def asked(self, *urls: str, **environment: str) -> dict[str, dict[str, Any]]:
        """What came of it when each of Open WebUI's clients asked each URL, in its container: by URL and client.

        `environment` are further variables of the clients; ONLY names the one that asks.
        """
        variables = " ".join(f"--env {name}={value}" for name, value in environment.items())
        command = f"docker exec -i {variables} open-webui python3 - {' '.join(urls)} <{FOLDER}/clients.py"
        found: dict[str, dict[str, Any]] = {}
        for line in self.host.check_output(command).splitlines():
            client, url, outcome = json.loads(line)
            found.setdefault(url, {})[client] = outcome
        print(textwrap.indent(json.dumps(found, indent=1), "    "))
        return found

    def having(self, texts: Mapping[str, str]) -> list[str]:
        """The files of the host that have one of the texts in them, but for the layers of images, and its journal."""
        script = """
        patterns=$(mktemp -p /dev/shm); cat >$patterns
        for folder in / /run /tmp /var/lib/docker; do
          find $folder -xdev -path /var/lib/docker/overlay2 -prune -o -type f -size -8192k \
            -exec grep --files-with-matches --fixed-strings --file $patterns -- {} +
        done
        journalctl --quiet --no-pager --output cat | grep --quiet --fixed-strings --file $patterns && echo journal
        rm $patterns
        """
        asked = as_root(script, self.name)
        done = subprocess.run(asked, input="\n".join(texts.values()), capture_output=True, text=True, check=False)
        return sorted(set(done.stdout.splitlines()))
