"""Containers reach others by a proxy and trust private CAs; each other, and themselves, they ask directly."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests import yaml_text
from tests.defaults import settings
from tests.unit.render.projects import PEM, PROXIED, SWARM, rendered, service
from webui_stack.render import outbound, project
from webui_stack.render.backup_requests import drill_request
from webui_stack.render.environment import migrating_environment

BY_PROXY: dict[str, Any] = {
    "outbound_proxy": {
        "http": "http://proxy.example.org:3128",
        "https": "http://proxy.example.org:3129/",
        "no_proxy": [".example.org", "localhost"],
    }
}
OTHER = PEM.replace("MIIB", "MIIC")
BUNDLE = "/tmp/trusted-ca.pem"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two files of CAs: one with comments and Windows' ends of lines, and one that has the other's as well."""
    first, second = tmp_path / "a.pem", tmp_path / "b.pem"
    first.write_bytes(f"# ours\n{PEM}".replace("\n", "\r\n").encode())
    second.write_text(f"{OTHER}{PEM}")
    return [str(first), str(second)]


# --- CAs


def test_the_certificates_of_all_files_are_given_once_and_nothing_else(files: list[str]) -> None:
    assert f"{outbound.authorities(settings(trusted_ca=files))}\n" == PEM + OTHER


def test_every_client_of_open_webui_is_told_of_the_bundle(files: list[str]) -> None:
    found = service("open-webui", trusted_ca=files)["environment"]
    assert {name for name, value in found.items() if value == BUNDLE} == {
        *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AIOHTTP_CLIENT_SSL_CERT_FILE", "AWS_CA_BUNDLE"),
    }
    assert found["TRUSTED_CA"] == (PEM + OTHER).rstrip("\n")


def test_a_bundle_is_made_of_the_systems_cas_and_ours_before_the_program_starts(
    files: list[str], tmp_path: Path
) -> None:
    wanted = settings(trusted_ca=files)
    system, made = tmp_path / "system.pem", tmp_path / "bundle.pem"
    system.write_text("the system's\n")
    script = outbound.before_start(wanted).replace("/etc/ssl/certs/ca-certificates.crt", str(system))
    script = script.replace(BUNDLE, str(made)) + 'exec cat "$SSL_CERT_FILE"'
    environment = {**outbound.trust(wanted), "SSL_CERT_FILE": str(made), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, check=True, text=True)
    assert ran.stdout == f"the system's\n{PEM}{OTHER}"


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("open-webui", "exec bash start.sh"),
        ("proxy", "exec caddy run --config /etc/caddy/Caddyfile --adapter caddyfile"),
        ("ollama", "exec ollama serve"),
    ],
)
def test_the_program_of_each_image_starts_as_without_a_ca(files: list[str], name: str, program: str) -> None:
    found = service(name, trusted_ca=files, ollama="service", **PROXIED)
    command: list[str] = [*found.get("entrypoint", []), *found["command"]]
    assert command[:-1] == ["sh", "-c"]
    script = command[-1]
    assert script.endswith(f"; {program}")
    assert "$$TRUSTED_CA" in script, "compose would put a variable of its own there"
    assert found["environment"]["SSL_CERT_FILE"] == BUNDLE
    without = service(name, ollama="service", **PROXIED)
    assert not {"entrypoint", "command"} & set(without)


def test_each_replica_of_open_webui_makes_the_bundle(files: list[str]) -> None:
    services = rendered(**PROXIED, open_webui_replicas=3, trusted_ca=files)["services"]
    commands = [body["command"] for name, body in services.items() if name.startswith("open-webui")]
    assert len(commands) == 3
    assert all(BUNDLE in command[2] for command in commands)


def test_a_swarm_makes_the_bundle_before_it_reads_its_secrets(files: list[str]) -> None:
    wanted = settings(**SWARM, trusted_ca=files, ollama="service")
    services = yaml_text.read(project.files(wanted)["stack.yaml"])["services"]
    assert services["open-webui"]["command"][2].startswith(outbound.before_start(wanted).replace("$", "$$"))
    assert services["open-webui"]["command"][2].endswith("exec setpriv --no-new-privs bash start.sh")
    assert services["proxy"]["command"][2].endswith(
        "exec setpriv --no-new-privs caddy run --config /etc/caddy/Caddyfile --adapter caddyfile"
    )
    assert services["ollama"]["entrypoint"] == ["setpriv", "--no-new-privs", "sh", "-c"]
    assert services["ollama"]["command"][0].endswith("; exec ollama serve")
    assert all(services[name]["environment"]["SSL_CERT_FILE"] == BUNDLE for name in ("open-webui", "proxy", "ollama"))


def test_metrics_go_to_a_collector_that_the_bundle_knows(files: list[str]) -> None:
    """gRPC reads neither the system's CAs nor OpenSSL's variable."""
    otel = {"endpoint": "https://collector.example.org:4317"}
    name = "OTEL_EXPORTER_OTLP_CERTIFICATE"
    assert service("open-webui", trusted_ca=files, otel=otel)["environment"][name] == BUNDLE
    assert name not in service("open-webui", trusted_ca=files)["environment"]
    assert name not in service("open-webui", otel=otel)["environment"]


def test_a_container_that_makes_no_bundle_is_told_of_none(files: list[str]) -> None:
    """httpx and requests fail on a bundle that is not there."""
    wanted = settings(trusted_ca=files)
    assert BUNDLE not in str(migrating_environment(wanted))
    assert BUNDLE not in str(drill_request(wanted, remembers=False))


def test_another_ca_makes_another_definition(files: list[str]) -> None:
    both, one = (project.files(settings(trusted_ca=some))["compose.yaml"] for some in (files, files[:1]))
    assert both != one


# --- Proxy


def test_open_webui_asks_others_by_the_proxy_in_either_case_of_the_names() -> None:
    found = service("open-webui", **BY_PROXY)["environment"]
    for name, value in (("http", "http://proxy.example.org:3128"), ("https", "http://proxy.example.org:3129")):
        assert found[f"{name}_proxy"] == found[f"{name}_PROXY".upper()] == value
    assert found["no_proxy"] == found["NO_PROXY"]


@pytest.mark.parametrize(
    ("host", "is_direct"),
    [
        *((name, True) for name in ("localhost", "127.0.0.1", "redis", "postgres", "ollama", "open-webui-2", "proxy")),
        ("redis-valkey", True),
        ("host.docker.internal:11434", True),
        ("llm.example.org", True),
        ("api.openai.com", False),
        ("redis.io", False),
    ],
)
def test_the_stack_itself_is_asked_directly_as_pythons_clients_read_the_list(host: str, is_direct: bool) -> None:
    found = service("open-webui", **PROXIED, **BY_PROXY, open_webui_replicas=2, ollama="service")["environment"]
    proxies = {"http": found["http_proxy"], "no": found["no_proxy"]}
    assert bool(urllib.request.proxy_bypass_environment(host, proxies)) is is_direct  # type: ignore[attr-defined]


def test_the_list_has_each_name_once_and_the_networks_subnet() -> None:
    names = service("open-webui", **BY_PROXY, network_subnet="198.18.5.0/24")["environment"]["no_proxy"].split(",")
    assert len(names) == len(set(names))
    assert "198.18.5.0/24" in names
    assert names[:3] == ["localhost", "127.0.0.1", "::1"]


@pytest.mark.parametrize("name", ["proxy", "ollama"])
def test_gos_programs_ask_by_the_proxy_for_https_alone(name: str) -> None:
    """Caddy's healthcheck, by busybox's wget, and its way to Open WebUI are HTTP."""
    found = service(name, **PROXIED, **BY_PROXY, ollama="service")["environment"]
    assert {key for key in found if "proxy" in key.lower()} == {"HTTPS_PROXY", "NO_PROXY"}


@pytest.mark.parametrize("changes", [{"proxy_tls": "internal"}, {"outbound_proxy": {"http": "http://p.example.org"}}])
def test_a_caddy_that_asks_nobody_by_https_needs_no_proxy(changes: dict[str, Any]) -> None:
    assert "environment" not in service("proxy", **{**PROXIED, **BY_PROXY, **changes})


def test_valkey_and_postgres_are_told_of_no_proxy_and_no_ca(files: list[str]) -> None:
    services = rendered(**BY_PROXY, trusted_ca=files, database="postgres")["services"]
    for name in ("redis", "postgres"):
        assert "proxy" not in str(services[name]).lower()
        assert BUNDLE not in str(services[name])


def test_a_proxy_on_the_server_itself_is_found_by_all_that_use_it() -> None:
    itself = {"outbound_proxy": {"https": "http://host.docker.internal:3128"}}
    services = rendered(**PROXIED, **itself, ollama="service")["services"]
    for name in ("open-webui", "proxy", "ollama"):
        assert services[name]["extra_hosts"] == ["host.docker.internal:host-gateway"]
