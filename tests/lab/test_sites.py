"""A stack in an organisation: a registry with a login, an API behind a private CA, an HTTP proxy, an Ollama.

Ollama is a stand-in (lab/images/ollama): a script with its API and its commands `list` and `pull`. No registry with
Ollama's image is in reach of the lab.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.drifts import FILES
from tests.lab.precious import Precious, within
from tests.lab.sampler import Samples, sampled
from tests.lab.session import ROOT, SPARE, Lab, changed, containers, report_in
from tests.lab.site import BY_PROXY, FOLDER, ITSELF, KEY, MODELS, OURS_PORT, STRANGERS_PORT, Site

pytestmark = pytest.mark.lab

PULL = "Stack | Pull the images"
OURS, STRANGERS = (f"https://{ITSELF}:{port}/" for port in (OURS_PORT, STRANGERS_PORT))
OLLAMA = "open-webui-ollama"
SAID = "This answer comes from the stand-in for Ollama."
# The stack's own names, as its containers ask for them.
OWN = (
    "redis-valkey:6379",
    "redis:6379",
    "open-webui-postgres:5432",
    "postgres:5432",
    "open-webui:8080",
    "localhost:8080",
)


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host without a stack, and what an organisation has around it once Docker is there."""
    found = Site(lab, SPARE, tmp_path_factory.mktemp("site"))
    yield found
    found.stop()


def objects(host: Any) -> str:
    """The containers and volumes of the host; "" where there is no Docker."""
    return str(host.run("docker ps --all --quiet; docker volume ls --quiet").stdout)


def refused(site: Site, password: str = "", **changes: Any) -> str:
    """What a deploy prints that has to fail at the pull, with nothing of the stack made or stopped."""
    before = objects(site.host)
    result = site.tried("-y", "deploy.py", password=password, **changes)
    assert result.returncode == 1
    assert objects(site.host) == before
    assert not site.host.file("/opt/open-webui/compose.yaml").exists
    assert PULL in result.stdout
    assert FILES not in result.stdout
    return result.stdout


# --- A registry that asks for a login


def test_a_registry_that_lets_nobody_in_is_named_with_its_setting_before_anything_is_made(site: Site) -> None:
    login = site.lab.inventory["login"]
    said = refused(site, registry_login={})
    assert f"{login['host']}: expected to pull {login['image']} without a login, got " in said
    assert f"nothing was stopped: set registry_login for {login['host']}, or check the name" in said


def test_a_wrong_password_is_refused_with_the_users_name_and_without_the_password(site: Site) -> None:
    login = site.lab.inventory["login"]
    said = refused(site, password="not-that-one")
    assert f"{login['host']}: expected the login of {login['user']} to pull {login['image']}, got " in said
    assert "see registry_login: user, password and rights" in said
    assert "not-that-one" not in said


class Deployed:
    """The stack as it was deployed with all that is around it, what that run showed, and a person in it."""

    def __init__(self, site: Site, output: str, samples: Samples, since: float) -> None:
        self.site, self.output, self.samples, self.since = site, output, samples, since
        self.precious = Precious(site.lab, site.name)

    def models(self) -> set[str]:
        """The models that Open WebUI offers, once it has asked each API again."""
        return {one["id"] for one in self.precious.ask("/api/models?refresh=true")["data"]}

    def chat(self, model: str) -> str:
        """What a model says, asked as the front end does."""
        asked = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": False}
        return str(self.precious.ask("/api/chat/completions", asked)["choices"][0]["message"]["content"])


@pytest.fixture(scope="module")
def deployed_site(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The one start of Open WebUI for all tests but the last."""
    if not site.host.exists("docker"):
        site.lab.report("-y", "tests/lab/docker_alone.py", limit=site.name)
    site.start()
    since = time.time()
    with sampled(site.lab, tmp_path_factory.mktemp("samples"), site.name) as samples:
        output = site.run("-y", "deploy.py", "-vvv", "--debug", typed=True, **site.around)
    return Deployed(site, output, samples, since)


def test_with_a_login_the_registry_gives_the_image_and_a_second_run_changes_nothing(deployed_site: Deployed) -> None:
    site = deployed_site.site
    image = site.lab.inventory["login"]["image"]
    assert f"pulling {image}" in deployed_site.output
    assert site.host.check_output("docker inspect --format '{{.Config.Image}}' redis-valkey") == image
    assert changed(report_in(site.run("-y", "deploy.py", "--json", **site.around))) == []


def test_the_password_of_a_registry_is_in_no_argument_file_log_or_report(deployed_site: Deployed) -> None:
    site = deployed_site.site
    user, password = site.lab.inventory["login"]["user"], site.lab.inventory["login"]["password"]
    forms = {
        "itself": password,
        # As docker's configuration has it, and as the engine's API wants it.
        "basic": base64.b64encode(f"{user}:{password}".encode()).decode(),
        "header": base64.b64encode(json.dumps({"username": user, "password": password}).encode()).decode().rstrip("="),
    }

    def shown(text: bytes) -> list[str]:
        return [name for name, form in forms.items() if form.encode() in text]

    assert shown(deployed_site.output.encode()) == []
    assert b"dockerd" in deployed_site.samples.host
    assert shown(deployed_site.samples.host) == []
    assert any(b"deploy.py" in arguments for arguments in deployed_site.samples.own_arguments)
    assert not any(shown(arguments) for arguments in deployed_site.samples.own_arguments)
    logs = [*ROOT.glob("*.log"), *(path for path in (ROOT / "reports").rglob("*") if path.is_file())]
    of_the_run = [path for path in logs if path.stat().st_mtime >= deployed_site.since]
    assert of_the_run, "the run wrote no report"
    assert [path for path in of_the_run if shown(path.read_bytes())] == []
    site.host.check_output(f"umask 077; printf 'x %s x' '{forms['basic']}' >{FOLDER}/planted")
    assert [file for file in site.having(forms) if file != "journal"] == [f"{FOLDER}/planted"], "the search finds it"
    site.host.check_output(f"rm {FOLDER}/planted")


def test_no_key_of_an_api_is_among_the_arguments_of_a_process(deployed_site: Deployed) -> None:
    """The stack's: the site's own API has it in its environment."""
    assert KEY.encode() not in deployed_site.samples.host
    assert KEY not in deployed_site.output


# --- An API whose certificate is of a private CA


def test_open_webui_lists_the_models_of_an_api_behind_the_private_ca_and_of_no_other(deployed_site: Deployed) -> None:
    models = deployed_site.models()
    assert f"ours-asked-as-{ITSELF}" in models
    assert not [model for model in models if model.startswith("strangers")]
    log = deployed_site.site.host.check_output("docker logs open-webui 2>&1")
    assert re.search(rf"{ITSELF}:{STRANGERS_PORT}.*certificate verify failed", log)


def test_each_client_of_open_webui_trusts_the_private_ca_beside_the_systems(deployed_site: Deployed) -> None:
    asked = deployed_site.site.asked(OURS, STRANGERS)
    assert asked[OURS] == dict.fromkeys(("requests", "httpx", "aiohttp", "urllib", "curl"), 200)
    for client, outcome in asked[STRANGERS].items():
        assert re.search("certificate", str(outcome), re.IGNORECASE), (client, outcome)
    count = "grep -c BEGIN /tmp/trusted-ca.pem /etc/ssl/certs/ca-certificates.crt"
    lines = deployed_site.site.host.check_output(f"docker exec open-webui {count}").splitlines()
    trusted, systems = (int(line.rpartition(":")[2]) for line in lines)
    assert trusted == systems + 1


# --- An HTTP proxy


def test_open_webui_asks_others_by_the_proxy(deployed_site: Deployed) -> None:
    site, models = deployed_site.site, deployed_site.models()
    assert {"lab-short", "lab-long", f"ours-asked-as-{BY_PROXY}"} <= models
    assert "This answer comes from the lab's own model" in deployed_site.chat("lab-short")
    assert set(site.proxied()) == {"models.lab.test", f"{BY_PROXY}:{OURS_PORT}"}, "and nobody else, since the start"
    before = len(site.proxied())
    assert set(site.asked("http://models.lab.test/v1/models")["http://models.lab.test/v1/models"].values()) == {200}
    assert site.proxied()[before:] == ["models.lab.test"] * 5, "each client"


def test_a_proxy_that_is_asked_by_https_is_refused_since_open_webuis_client_goes_past_it(
    deployed_site: Deployed,
) -> None:
    site = deployed_site.site
    url, by_https = "http://models.lab.test/v1/models", f"https://{ITSELF}:3128"
    before = len(site.proxied())
    assert site.asked(url, ONLY="aiohttp", http_proxy=by_https, HTTP_PROXY=by_https)[url] == {"aiohttp": 200}
    assert site.proxied()[before:] == []
    result = site.tried("deploy.py", "--dry", outbound_proxy={"http": by_https})
    assert result.returncode == 2, "no host was tried"
    assert f"outbound_proxy/http: expected a proxy that is asked by http, got '{by_https}'" in result.stdout


def test_health_checks_and_the_stacks_own_names_are_asked_past_the_proxy(deployed_site: Deployed) -> None:
    site = deployed_site.site
    before = len(site.proxied())
    ask = "docker inspect --format '{{(index .State.Health.Log 0).End}} {{.State.Health.Status}}' open-webui"
    first = site.host.check_output(ask)
    within(60, "a health check", lambda: site.host.check_output(ask) != first)
    assert site.host.check_output(ask).endswith(" healthy")
    urls = [f"http://{name}/" for name in (*OWN, f"{ITSELF}:11434", "127.0.0.1:8080")]
    asked = site.asked(*urls)
    assert set(asked[f"http://{ITSELF}:11434/"].values()) == {200}
    assert set(asked["http://open-webui:8080/"].values()) == {200}
    assert site.proxied()[before:] == []
    # Otherwise the line above proves nothing.
    site.asked("http://redis-valkey:6379/", no_proxy="", NO_PROXY="")
    assert site.proxied()[before:] == ["redis-valkey:6379"] * 5


# --- An Ollama in the stack


def test_an_ollama_of_the_stack_gets_its_models_and_answers(deployed_site: Deployed) -> None:
    """With a stand-in for Ollama's image."""
    host = deployed_site.site.host
    assert "pulling the model llama3.2:1b" in deployed_site.output
    assert re.search(r"pulling the model llama3\.2:1b: \d+ of 1321 MB", deployed_site.output), "how far it is"
    listed = host.check_output(f"docker exec {OLLAMA} ollama list")
    assert re.findall(r"(?m)^(\S+:\S+) ", listed) == ["nomic-embed-text:latest", "llama3.2:1b"]
    state = "{{.State.Health.Status}} {{json .HostConfig.PortBindings}} {{.HostConfig.ReadonlyRootfs}}"
    assert host.check_output(f"docker inspect --format '{state}' {OLLAMA}") == "healthy {} true"
    assert {"nomic-embed-text:latest", "llama3.2:1b"} <= deployed_site.models()
    assert deployed_site.chat("llama3.2:1b") == SAID


def test_the_stacks_ollama_trusts_the_private_ca(deployed_site: Deployed) -> None:
    """By the variable that OpenSSL and Go read; the stand-in's program is Python's."""
    ask = f"import sys, urllib.request; print(urllib.request.urlopen('{OURS}').status)"
    assert deployed_site.site.host.check_output(f"docker exec {OLLAMA} python3 -c %s", ask) == "200"
    without = deployed_site.site.host.run(f"docker exec --env SSL_CERT_FILE= {OLLAMA} python3 -c %s", ask)
    assert "certificate verify failed" in without.stderr


def test_a_model_that_does_not_exist_fails_the_run_and_the_stack_serves_all_the_same(deployed_site: Deployed) -> None:
    site = deployed_site.site
    before = containers(site.host)
    failed = site.tried("-y", "deploy.py", **site.around | {"ollama_models": [*MODELS, "lama:1b"]})
    assert failed.returncode == 1
    said = "ollama_models: lama:1b: expected Ollama to pull it, got pull model manifest: file does not exist"
    assert said in failed.stdout
    assert containers(site.host) == before


def test_models_stay_over_a_restart_of_ollama(deployed_site: Deployed) -> None:
    site = deployed_site.site
    site.host.check_output(f"docker restart --time 5 {OLLAMA}")
    health = f"docker inspect --format '{{{{.State.Health.Status}}}}' {OLLAMA}"
    within(60, "Ollama is healthy", lambda: site.host.check_output(health) == "healthy")
    assert changed(report_in(site.run("-y", "deploy.py", "--json", **site.around))) == []


def test_a_backup_names_the_models_and_has_none_of_their_files(deployed_site: Deployed) -> None:
    site = deployed_site.site
    site.run("-y", "runbooks/backup.py", **site.around)
    newest = site.host.check_output("ls -d /var/backups/open-webui/*/ | tail -1")
    manifest = json.loads(site.host.check_output(f"cat {newest}manifest.json"))
    assert sorted(manifest["models"].split(",")) == ["llama3.2:1b", "nomic-embed-text:latest"]
    assert "ollama" not in site.host.check_output(f"find {newest} -printf '%f\\n'")


@pytest.mark.long
def test_a_restore_pulls_the_models_that_its_set_names(deployed_site: Deployed) -> None:
    """The inventory names none of them, and the volume has lost them."""
    site = deployed_site.site
    site.run("-y", "runbooks/backup.py", **site.around)
    site.host.check_output(f"docker exec {OLLAMA} rm /root/.ollama/models/list.json")
    assert "llama3.2:1b" not in deployed_site.models()
    none_named = site.around | {"ollama_models": [], "restore_over": [site.name]}
    output = site.run("-y", "runbooks/restore.py", **none_named)
    assert "pulling the model llama3.2:1b" in output
    assert {"nomic-embed-text:latest", "llama3.2:1b"} <= deployed_site.models()


# --- An Ollama on the same server


def test_an_api_at_localhost_is_refused_with_the_name_that_containers_have_for_the_server(site: Site) -> None:
    result = site.tried("deploy.py", "--dry", openai_connections=[{"url": "http://localhost:11434/v1"}])
    assert result.returncode == 2, "no host was tried"
    assert "expected an address that containers reach, got 'http://localhost:11434/v1'" in result.stdout
    assert f"this server is 'http://{ITSELF}:PORT', and ollama = 'host' its Ollama" in result.stdout


def test_an_ollama_on_the_server_answers_and_without_the_ca_an_apis_models_are_not_listed(
    deployed_site: Deployed,
) -> None:
    """With a stand-in for Ollama. The deploy also takes away the CA, the proxy, and all APIs but one."""
    site = deployed_site.site
    alone = {"ollama": "host", "openai_connections": site.around["openai_connections"][:1]}
    site.run("-y", "deploy.py", **alone)
    assert OLLAMA not in containers(site.host)
    models = deployed_site.models() - {"arena-model"}  # Open WebUI's own, which takes one of the others
    assert models == {"lab-tiny:1b"}, "the API's certificate is not trusted any more"
    for client, outcome in site.asked(OURS)[OURS].items():
        assert re.search("certificate", str(outcome), re.IGNORECASE), (client, outcome)
    assert deployed_site.chat("lab-tiny:1b") == SAID
    as_in_the_docs = f"docker exec open-webui curl -s http://{ITSELF}:11434/api/version"
    assert json.loads(site.host.check_output(as_in_the_docs)) == {"version": "0.40.2"}
