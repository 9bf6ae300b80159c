"""What contradicts the stack's contract is refused by its place in the overlay, before a host is touched."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from webui_stack.overlay import fragment
from webui_stack.plan import overlay_contract
from webui_stack.settings.errors import SettingsError
from webui_stack.settings.model import Settings

WAYS: dict[str, dict[str, Any]] = {
    "proxy": {"public_url": "https://chat.example.org"},
    "postgres": {"database": "postgres"},
    "swarm": {"topology": "swarm", "public_url": "https://chat.example.org", "open_webui_shared_dir": "/mnt/chat"},
    "ollama": {"ollama": "service"},
    "secret": {"open_webui_secret_env": {"TOKEN": "env:TOKEN"}},
    "ldap": {"ldap": {"url": "ldaps://ldap.example.org", "search_base": "dc=example,dc=org"}},
}
OWN = "networks: [openwebui-network], image: example.org/tika:3.2"
_NUMBERS = count()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def made(folder: Path, text: str, **changes: Any) -> Settings:
    path = folder / f"{next(_NUMBERS)}.yaml"
    path.write_text(text)
    return settings(stack_overlay=str(path), **changes)


def problems(folder: Path, text: str, *ways: str) -> list[str]:
    changes = {name: value for way in ways for name, value in WAYS[way].items()}
    return overlay_contract.problems(made(folder, text, **changes))


def of(service: str, keys: str) -> str:
    return f"services: {{{service}: {{{keys}}}}}\n"


ADDED = """\
services:
  redis:
    labels: {backup: "no"}
    logging: {driver: journald}
  postgres:
    shm_size: 512m
  open-webui:
    networks: [edge]
    labels: {traefik.enable: "true"}
    volumes: ["/srv/models:/models:ro"]
    devices: [/dev/dri]
    extra_hosts: ["models:192.0.2.7"]
    environment: {USE_CUDA_DOCKER: "true", TIKA_SERVER_URL: "http://tika:9998", OTHER: "${TOKEN:?set it}"}
    deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}
    depends_on: {tika: {condition: service_healthy}}
  proxy:
    ports: ["443:443/udp"]
    networks: [edge]
  tika:
    image: docker.io/apache/tika:3.2.1.0
    networks: [openwebui-network]
    ports: ["127.0.0.1:9998:9998", {target: 1, published: 2}]
    volumes: [tika:/cache, "open-webui:/people:ro", /anonymous]
    environment: [PRICE=$$5, "MODE=${MODE:-fast}"]
    healthcheck: {test: [CMD, "true"]}
    restart: unless-stopped
  side:
    image: example.org/side@sha256:0000000000000000000000000000000000000000000000000000000000000000
    network_mode: host
networks:
  edge: {external: true}
  openwebui-network: {external: true}
volumes:
  tika:
configs:
  searxng: {content: "use_default_settings: true"}
x-mine: 1
"""


def test_what_an_operator_adds_is_accepted(folder: Path) -> None:
    assert problems(folder, ADDED, "proxy", "postgres", "secret") == []


REFUSED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "Valkey's port": (
        of("redis", "ports: ['6379:6379']"),
        (),
        "services/redis/ports: must not be set; remove it: Valk",
    ),
    "Postgres's port": (of("postgres", "ports: [5432]"), ("postgres",), "services/postgres/ports: must not be set"),
    "a port beside the proxy": (of("open-webui", "ports: ['80:8080']"), ("proxy",), "services/open-webui/ports: must"),
    "Ollama's port": (of("ollama", "ports: [11434]"), ("ollama",), "services/ollama/ports: must not be set"),
    "an Ollama that is not set": (of("ollama", OWN), (), "services/ollama: expected a service of the stack"),
    "a container's name": (of("redis", "container_name: x"), (), "services/redis/container_name: must not be set"),
    "an image of ours": (
        of("redis", "image: 'valkey:9'"),
        (),
        "services/redis/image: must not be set; set valkey_image",
    ),
    "Open WebUI's image": (of("open-webui", "image: x"), (), "set open_webui_image instead"),
    "build": (of("open-webui", "build: ."), (), "services/open-webui/build: must not be set; push the image"),
    "build of its own": (of("tika", f"{OWN}, build: ."), (), "services/tika/build: must not be set"),
    "profiles": (of("redis", "profiles: [x]"), (), "services/redis/profiles: must not be set"),
    "env_file": (of("tika", f"{OWN}, env_file: .env"), (), "services/tika/env_file: must not be set"),
    "extends": (of("tika", f"{OWN}, extends: {{file: x}}"), (), "services/tika/extends: must not be set"),
    "name": ("name: other\n", (), "stack_overlay/name: must not be set; remove it"),
    "include": ("include: [x.yaml]\n", (), "stack_overlay/include: must not be set"),
    "version": ("version: '3.9'\n", (), "version: expected one of services, networks"),
    "another network's mode": (of("redis", "network_mode: host"), (), "services/redis/network_mode: must not be set"),
    "a way to Valkey": (of("redis", "networks: [edge]"), (), "services/redis/networks: must not be set"),
    "health": (
        of("open-webui", "healthcheck: {disable: true}"),
        (),
        "services/open-webui/healthcheck: must not be set",
    ),
    "command": (
        of("open-webui", "command: sh"),
        (),
        "services/open-webui/command: must not be set; remove it; an over",
    ),
    "memory": (of("redis", "mem_limit: 1g"), (), "set valkey_memory_limit_mb instead"),
    "replicas": (of("open-webui", "deploy: {replicas: 2}"), (), "services/open-webui/deploy/replicas: expected only"),
    "a volume's definition": ("volumes: {redis-data: {name: x}}\n", (), "volumes/redis-data: must not be set"),
    "a volume of the stack's": ("volumes: {x: {name: redis-data}}\n", (), "got redis-data, which has the stack's data"),
    "our network": (
        "networks: {openwebui-network: {driver: host}}\n",
        (),
        "networks/openwebui-network: expected exter",
    ),
    "a network to make": ("networks: {edge: }\n", (), "networks/edge: expected external: true"),
    "data elsewhere": (
        of("open-webui", "volumes: ['/x:/app/backend/data']"),
        (),
        "the stack's own at /app/backend/data",
    ),
    "Valkey's data elsewhere": (
        of("redis", "volumes: [{type: volume, source: x, target: /data}]"),
        (),
        "the stack's own at /data",
    ),
    "a replica's data": (
        of("open-webui-2", "volumes: ['/x:/app/backend/data/']"),
        ("proxy", "two"),
        "the stack's own at /app/backend",
    ),
    "people's data": (
        of("tika", f"{OWN}, volumes: ['open-webui:/x']"),
        (),
        "got open-webui; Open WebUI's may be mounted",
    ),
    "Valkey's data": (
        of("tika", f"{OWN}, volumes: ['redis-data:/x:ro']"),
        (),
        "expected no volume of the stack, got red",
    ),
    "a relative path": (of("open-webui", "volumes: ['./x:/y']"), (), "got './x'; it is a path of the host"),
    "a replica that is not set": (
        of("open-webui-2", "labels: {a: b}"),
        (),
        "services/open-webui-2: expected a service",
    ),
    "a proxy that is not set": (of("proxy", "labels: {a: b}"), (), "services/proxy: expected a service of the stack"),
    "no image": (of("tika", "networks: [openwebui-network]"), (), "services/tika/image: expected an image, got none"),
    "an image that moves": (
        of("tika", "networks: [openwebui-network], image: 'apache/tika:latest'"),
        (),
        "fixed tag or digest, got 'apache/",
    ),
    "no network": (of("tika", "image: 'x/tika:3.2'"), (), "services/tika/networks: expected the networks"),
    "a name of ours": (
        of("tika", f"{OWN}, container_name: open-webui-3"),
        (),
        "services/tika/container_name: expected",
    ),
    "a number of containers": (of("tika", f"{OWN}, scale: 2"), (), "services/tika: expected one container"),
    "our port": (
        of("tika", f"{OWN}, ports: ['3000:80']"),
        (),
        "services/tika/ports: expected a port of its own, got 3000",
    ),
    "the proxy's port": (
        of("tika", f"{OWN}, ports: [{{target: 80, published: 443}}]"),
        ("proxy",),
        "got 443, which the stack publishes",
    ),
    "a variable of ours": (
        of("open-webui", "environment: {REDIS_URL: x}"),
        (),
        "environment/REDIS_URL: expected a varia",
    ),
    "a variable of the sign-in": (
        of("open-webui", "environment: {LDAP_SERVER_HOST: x}"),
        ("ldap",),
        "environment/LDAP_SERVER_HOST: expected a variable of your own",
    ),
    "migrations": (
        of("open-webui", "environment: [ENABLE_DB_MIGRATIONS=true]"),
        (),
        "ENABLE_DB_MIGRATIONS: expected a",
    ),
    "a broken variable": (
        of("open-webui", "environment: {UVICORN_WORKERS: 2}"),
        (),
        "UVICORN_WORKERS: must not be set",
    ),
    "Postgres's variables": (
        of("postgres", "environment: {POSTGRES_USER: x}"),
        ("postgres",),
        "environment/POSTGRES_USER: expected a variabl",
    ),
    "two places": (
        of("open-webui", "environment: {TOKEN: '${TOKEN}'}"),
        ("secret",),
        "TOKEN: expected one place for it",
    ),
    "a secret": (
        of("tika", f"{OWN}, environment: {{API_KEY: hush-hush}}"),
        (),
        "write ${API_KEY} and add API_KEY to open",
    ),
    "a secret value": (
        of("tika", f"{OWN}, environment: ['URL=http://a:hush-hush@b/']"),
        (),
        "got a value that looks lik",
    ),
    "a secret in a label": (
        of("tika", f"{OWN}, labels: {{a: 'Bearer hush-hush'}}"),
        (),
        "services/tika/labels/a: expec",
    ),
    "a secret in a command": (
        of("tika", f"{OWN}, command: 'x --token ${{TOKEN}}'"),
        ("secret",),
        "expected ${TOKEN} under environment only",
    ),
    "an unknown variable": (
        of("tika", f"{OWN}, command: $HOME"),
        (),
        "variables of open_webui_secret_env, got ${HOME}",
    ),
    "a secret in a swarm": (
        of("tika", f"{OWN}, environment: {{API_KEY: hush-hush}}"),
        ("swarm",),
        "make it a secret of the swarm",
    ),
    "a variable in a swarm": (of("tika", f"{OWN}, command: '${{X:-y}}'"), ("swarm",), "expected no ${X} in a swarm"),
    "a service that is none": ("services: {tika: x}\n", (), "services/tika: expected a mapping, got str"),
    "services that are none": ("services: [tika]\n", (), "services: expected a mapping, got list"),
}
WAYS["two"] = {"open_webui_replicas": 2}


@pytest.mark.parametrize("name", REFUSED)
def test_what_contradicts_the_contract_is_refused_by_name(folder: Path, name: str) -> None:
    text, ways, expected = REFUSED[name]
    found = problems(folder, text, *ways)
    assert len(found) == 1, found
    assert found[0].startswith("stack_overlay/")
    assert expected in found[0]
    assert "hush" not in found[0]


def test_a_file_that_is_no_fragment_is_refused_with_its_line(folder: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        made(folder, "services:\n  a: [\n")
    (line,) = caught.value.problems
    assert line.startswith("stack_overlay: expected a compose file in YAML on this machine, got '")
    assert "; line 3: " in line


def test_without_an_overlay_there_is_nothing_to_refuse() -> None:
    assert overlay_contract.problems(settings()) == []


def test_its_images_are_those_of_the_stack_for_lock_and_bundle_and_of_its_own_otherwise(folder: Path) -> None:
    found = made(folder, of("tika", OWN))
    assert list(found.all_images) == ["redis", "open-webui", "tika"]
    assert "tika" not in found.images


def test_two_overlays_are_two_deploys_in_the_log(folder: Path) -> None:
    path = folder / "one.yaml"
    path.write_text(of("tika", OWN))
    first = settings(stack_overlay=str(path)).digest
    path.write_text(of("tika", f"{OWN}, labels: {{a: b}}"))
    fragment.read.cache_clear()  # the next run
    assert settings(stack_overlay=str(path)).digest != first
