"""Every setting has a documented default, and every mistake gets the error line that helps."""

from __future__ import annotations

import io
import subprocess
import tokenize
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import ALL_PY, DEFAULTS, ROOT, settings
from webui_stack.host import throw_away
from webui_stack.settings.model import EVERYDAY_WORDS, Settings, SettingsError, from_data, postgres_major, version_of

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def problems(**changes: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings(**changes)
    return caught.value.problems


# --- The commented file an operator reads is the model ---------------------------------------------


def test_defaults_are_a_complete_and_valid_set() -> None:
    assert isinstance(from_data(DEFAULTS), Settings)


def test_defaults_and_model_name_the_same_settings() -> None:
    assert list(DEFAULTS) == list(Settings.model_fields)


def test_every_default_carries_or_follows_a_comment() -> None:
    source = ALL_PY.read_text()
    commented = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith(("# ---", "# renovate:"))
    }
    lines = source.splitlines()
    bare = []
    for number, line in enumerate(lines, 1):
        if line.partition(" = ")[0] not in DEFAULTS:
            continue
        above = number - 1
        while lines[above - 1].startswith("# renovate:"):
            above -= 1
        if not commented & {number, above}:
            bare.append(line)
    assert bare == []


def test_every_image_pin_is_annotated_for_renovate_with_its_own_repository() -> None:
    lines = ALL_PY.read_text().splitlines()
    pins = [name for name in DEFAULTS if name.endswith("_image")]
    assert pins == ["valkey_image", "open_webui_image", "proxy_image", "postgres_image"]
    for setting in pins:
        number = next(i for i, line in enumerate(lines) if line.startswith(f"{setting} = "))
        repository = DEFAULTS[setting].rpartition(":")[0]
        assert lines[number - 1] == f"# renovate: datasource=docker depName={repository} versioning=docker"


def test_a_missing_setting_is_named() -> None:
    data = {name: value for name, value in DEFAULTS.items() if name != "open_webui_port"}
    with pytest.raises(SettingsError) as caught:
        from_data(data)
    assert caught.value.problems == [
        "open_webui_port: expected a value, got nothing; see inventories/group_data/all.py"
    ]


# --- One mistake, one line --------------------------------------------------------------------------

MISTAKES = [
    pytest.param(
        {"valkey_pasword": "hunter2"},
        "valkey_pasword: expected a setting of this project, got an unknown name; did you mean valkey_password?",
        id="unknown, near miss",
    ),
    pytest.param(
        {"openwebui_port": 3000},
        "openwebui_port: expected a setting of this project, got an unknown name; did you mean open_webui_port?",
        id="unknown, near miss with another prefix",
    ),
    pytest.param(
        {"preflight_min_memory": 1},
        "preflight_min_memory: expected a setting of this project, got an unknown name; did you mean "
        "preflight_min_memory_mb?",
        id="unknown, unit forgotten",
    ),
    pytest.param(
        {"verify_everything": 1},
        "verify_everything: expected a setting of this project, got an unknown name; see "
        "inventories/group_data/all.py for what there is",
        id="unknown, ours by prefix, nothing near",
    ),
    pytest.param(
        {"preflight_min_memory_mb": "1024"},
        "preflight_min_memory_mb: expected a whole number of megabytes, 0 or more, got '1024'; 0 switches it off",
        id="preflight_min_memory_mb: text for a number",
    ),
    pytest.param(
        {"preflight_min_memory_mb": -1},
        "preflight_min_memory_mb: expected a whole number of megabytes, 0 or more, got -1; 0 switches it off",
        id="preflight_min_memory_mb: negative",
    ),
    pytest.param(
        {"preflight_min_memory_mb": True},
        "preflight_min_memory_mb: expected a whole number of megabytes, 0 or more, got True; 0 switches it off",
        id="preflight_min_memory_mb: bool for a number",
    ),
    pytest.param(
        {"preflight_min_disk_mb": None},
        "preflight_min_disk_mb: expected a whole number of megabytes, 0 or more, got None; 0 switches it off",
        id="preflight_min_disk_mb: None",
    ),
    pytest.param(
        {"preflight_min_disk_mb": 8192.5},
        "preflight_min_disk_mb: expected a whole number of megabytes, 0 or more, got 8192.5; 0 switches it off",
        id="preflight_min_disk_mb: fraction",
    ),
    pytest.param(
        {"preflight_max_clock_skew_s": 0},
        "preflight_max_clock_skew_s: expected a whole number of seconds from 1 to 3600, got 0; e.g. 120, "
        "without quotes",
        id="preflight_max_clock_skew_s: zero",
    ),
    pytest.param(
        {"docker_source": "podman"},
        "docker_source: expected 'docker-ce', 'distro' or 'present', got 'podman'; see docs/operations.md, Docker",
        id="docker_source: unknown",
    ),
    pytest.param(
        {"docker_source": None},
        "docker_source: expected 'docker-ce', 'distro' or 'present', got None; see docs/operations.md, Docker",
        id="docker_source: None",
    ),
    pytest.param(
        {"lock_file": 1},
        "lock_file: expected a path on this machine, or an empty string, got 1; '' follows no lock",
        id="lock_file: no text",
    ),
    pytest.param(
        {"image_source": "archive"},
        "image_source: expected 'registry' or 'bundle', got 'archive'; see docs/operations.md, Air-gapped",
        id="image_source: unknown",
    ),
    pytest.param(
        {"bundle_file": " "},
        "bundle_file: expected a path on this machine, got ' '; None: named after the inventory",
        id="bundle_file: blank",
    ),
    pytest.param(
        {"docker_repo_url": "https://packages.example.org/linux/"},
        "docker_repo_url: expected an http(s) URL without a trailing slash, got "
        "'https://packages.example.org/linux/'; e.g. 'https://download.docker.com/linux'",
        id="docker_repo_url: trailing slash",
    ),
    pytest.param(
        {"docker_repo_url": "https://user:sesame@packages.example.org/linux"},
        "docker_repo_url: expected an http(s) URL without a login, got a value (hidden); apt's and dnf's files and "
        "logs show it to everybody on the host: use a mirror that asks for none, or install Docker yourself and set "
        "docker_source = 'present'",
        id="docker_repo_url: password",
    ),
    pytest.param(
        {"docker_repo_url": "https://token@packages.example.org"},
        "docker_repo_url: expected an http(s) URL without a login, got a value (hidden); apt's and dnf's files and "
        "logs show it to everybody on the host: use a mirror that asks for none, or install Docker yourself and set "
        "docker_source = 'present'",
        id="docker_repo_url: token",
    ),
    pytest.param(
        {"docker_repo_url": "packages.example.org/linux"},
        "docker_repo_url: expected an http(s) URL without a trailing slash, got 'packages.example.org/linux'; "
        "e.g. 'https://download.docker.com/linux'",
        id="docker_repo_url: no scheme",
    ),
    pytest.param(
        {"docker_repo_key_sha256": "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"},
        "docker_repo_key_sha256: expected 64 lower-case hexadecimal digits, got "
        "'9DC858229FC7DD38854AE2D88D81803C0EBFCD88'; run sha256sum on the repository's gpg file",
        id="docker_repo_key_sha256: a fingerprint",
    ),
    pytest.param(
        {"docker_repo_key_sha256": None},
        "docker_repo_key_sha256: expected 64 lower-case hexadecimal digits, got None; run sha256sum on the "
        "repository's gpg file",
        id="docker_repo_key_sha256: None",
    ),
    pytest.param(
        {"docker_repo_rpm_key": "/etc/passwd"},
        "docker_repo_rpm_key: expected a readable file with one PGP public key in ASCII armor, got '/etc/passwd'; "
        "check the path; None is Docker's own key",
        id="docker_repo_rpm_key: no key",
    ),
    pytest.param(
        {"docker_daemon": {"hosts": ["tcp://0.0.0.0:2375"]}},
        "docker_daemon: expected keys of Docker's daemon.json, without hosts and default-address-pools, got "
        "{'hosts': ['tcp://0.0.0.0:2375']}; use docker_address_pools for the pools; hosts conflicts with the "
        "service's own -H",
        id="docker_daemon: hosts",
    ),
    pytest.param(
        {"docker_daemon": {"default-address-pools": []}},
        "docker_daemon: expected keys of Docker's daemon.json, without hosts and default-address-pools, got "
        "{'default-address-pools': []}; use docker_address_pools for the pools; hosts conflicts with the "
        "service's own -H",
        id="docker_daemon: address pools",
    ),
    pytest.param(
        {"docker_daemon": "{}"},
        "docker_daemon: expected keys of Docker's daemon.json, without hosts and default-address-pools, got "
        "'{}'; use docker_address_pools for the pools; hosts conflicts with the service's own -H",
        id="docker_daemon: JSON text",
    ),
    pytest.param(
        {"docker_address_pools": {"base": "10.200.0.0/16", "size": 24}},
        "docker_address_pools: expected a list of {'base': subnet, 'size': prefix length}, got {'base': "
        "'10.200.0.0/16', 'size': 24}; [] keeps Docker's own",
        id="docker_address_pools: one instead of a list",
    ),
    pytest.param(
        {"docker_address_pools": ["10.200.0.0/16"]},
        "docker_address_pools/0: expected {'base': subnet, 'size': prefix length}, got '10.200.0.0/16'; e.g. "
        "{'base': '10.9.0.0/16', 'size': 24}",
        id="docker_address_pools: a subnet alone",
    ),
    pytest.param(
        {"docker_address_pools": [{"base": "10.200.0.0/16"}]},
        "docker_address_pools/0/size: expected this key, got nothing; see inventories/group_data/all.py",
        id="docker_address_pools: no size",
    ),
    pytest.param(
        {"docker_address_pools": [{"base": "10.200.0.0/16", "size": 31}]},
        "docker_address_pools/0/size: expected a prefix length from 8 to 30, got 31; e.g. 24",
        id="docker_address_pools: size out of range",
    ),
    pytest.param(
        {"docker_address_pools": [{"base": "10.200.0.0/16", "size": "24"}]},
        "docker_address_pools/0/size: expected a prefix length from 8 to 30, got '24'; e.g. 24",
        id="docker_address_pools: size as text",
    ),
    pytest.param(
        {"docker_address_pools": [{"base": "10.200.0.1/16", "size": 24}]},
        "docker_address_pools/0/base: expected an IPv4 network without host bits, got '10.200.0.1/16'; e.g. "
        "'198.18.5.0/24'",
        id="docker_address_pools: base with host bits",
    ),
    pytest.param(
        {"docker_address_pools": [{"base": "10.200.0.0/16", "size": 24, "name": "x"}]},
        "docker_address_pools/0/name: expected only base and size, got another key; remove it",
        id="docker_address_pools: another key",
    ),
    pytest.param(
        {"docker_address_pools": [{"base": "10.200.0.0/24", "size": 16}]},
        "docker_address_pools/0/size: expected a prefix length not shorter than the base's, got /16 in "
        "10.200.0.0/24; each network is cut from the base",
        id="docker_address_pools: size larger than the base",
    ),
    pytest.param(
        {"docker_address_pools": [{"base": "10.200.0.0/16", "size": 24}, {"base": "10.200.128.0/17", "size": 24}]},
        "docker_address_pools/1: expected a range of its own, got 10.200.128.0/17, which overlaps "
        "docker_address_pools/0 (10.200.0.0/16); choose another subnet",
        id="docker_address_pools: two overlap",
    ),
    pytest.param(
        {"docker_registry_ca": {"registry.example.org:5000": "/nonexistent/ca.pem"}},
        "docker_registry_ca/registry.example.org:5000: expected a readable PEM certificate on this machine, "
        "got '/nonexistent/ca.pem'; check the path",
        id="docker_registry_ca: not there",
    ),
    pytest.param(
        {"docker_registry_ca": {"registry.example.org": "/etc/passwd"}},
        "docker_registry_ca/registry.example.org: expected a readable PEM certificate on this machine, got "
        "'/etc/passwd'; check the path",
        id="docker_registry_ca: not PEM",
    ),
    pytest.param(
        {"docker_registry_ca": ["ca.pem"]},
        "docker_registry_ca: expected a dict of registry host to CA file, got ['ca.pem']; {} trusts the "
        "host's own certificates",
        id="docker_registry_ca: a list",
    ),
    pytest.param(
        {"docker_registry_ca": {"registry.example.org": None}},
        "docker_registry_ca/registry.example.org: expected a readable PEM certificate on this machine, got "
        "None; check the path",
        id="docker_registry_ca: None for a file",
    ),
    pytest.param(
        {"network_subnet": "198.18.5.1/24"},
        "network_subnet: expected an IPv4 network without host bits, got '198.18.5.1/24'; e.g. '198.18.5.0/24'",
        id="network_subnet: host bits",
    ),
    pytest.param(
        {"network_subnet": "fd00::/64"},
        "network_subnet: expected an IPv4 network without host bits, got 'fd00::/64'; e.g. '198.18.5.0/24'",
        id="network_subnet: IPv6",
    ),
    pytest.param(
        {"network_subnet": "198.18.5.0"},
        "network_subnet: expected an IPv4 network without host bits, got '198.18.5.0'; e.g. '198.18.5.0/24'",
        id="network_subnet: no prefix length",
    ),
    pytest.param(
        {"network_subnet": 24},
        "network_subnet: expected an IPv4 network without host bits, got 24; e.g. '198.18.5.0/24'",
        id="network_subnet: a number",
    ),
    pytest.param(
        {"network_subnet": "198.18.5.0/24", "docker_address_pools": [{"base": "198.18.0.0/16", "size": 24}]},
        "network_subnet: expected a range of its own, got 198.18.5.0/24, which overlaps "
        "docker_address_pools/0 (198.18.0.0/16); choose another subnet",
        id="network_subnet: inside a pool",
    ),
    pytest.param(
        {"stack_dir": "open-webui"},
        "stack_dir: expected an absolute path of a folder of its own, of letters, digits and . _ -, got "
        "'open-webui'; e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
        id="stack_dir: relative",
    ),
    pytest.param(
        {"stack_dir": "/opt/open-webui/"},
        "stack_dir: expected an absolute path of a folder of its own, of letters, digits and . _ -, got "
        "'/opt/open-webui/'; e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
        id="stack_dir: trailing slash",
    ),
    pytest.param(
        {"stack_dir": "/opt/open webui"},
        "stack_dir: expected an absolute path of a folder of its own, of letters, digits and . _ -, got "
        "'/opt/open webui'; e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
        id="stack_dir: a blank",
    ),
    pytest.param(
        {"stack_dir": "/"},
        "stack_dir: expected an absolute path of a folder of its own, of letters, digits and . _ -, got '/'; "
        "e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
        id="stack_dir: the root",
    ),
    pytest.param(
        {"stack_dir": None},
        "stack_dir: expected an absolute path of a folder of its own, of letters, digits and . _ -, got None;"
        " e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
        id="stack_dir: None",
    ),
    pytest.param(
        {"valkey_image": "docker.io/valkey/valkey"},
        "valkey_image: expected an image reference with a fixed tag or digest, got 'docker.io/valkey/valkey'; "
        "write registry/name:version; a tag that moves (latest, main, ...) makes two runs differ",
        id="valkey_image: no tag",
    ),
    pytest.param(
        {"valkey_image": "docker.io/valkey/valkey:latest"},
        "valkey_image: expected an image reference with a fixed tag or digest, got "
        "'docker.io/valkey/valkey:latest'; write registry/name:version; a tag that moves (latest, main, ...) "
        "makes two runs differ",
        id="valkey_image: latest",
    ),
    pytest.param(
        {"valkey_image": "docker.io/Valkey/valkey:8.0.11"},
        "valkey_image: expected an image reference with a fixed tag or digest, got "
        "'docker.io/Valkey/valkey:8.0.11'; write registry/name:version; a tag that moves (latest, main, ...) "
        "makes two runs differ",
        id="valkey_image: upper case",
    ),
    pytest.param(
        {"valkey_image": "docker.io/valkey/valkey :8.0.11"},
        "valkey_image: expected an image reference with a fixed tag or digest, got 'docker.io/valkey/valkey "
        ":8.0.11'; write registry/name:version; a tag that moves (latest, main, ...) makes two runs differ",
        id="valkey_image: a blank",
    ),
    pytest.param(
        {"valkey_image": "docker.io/valkey/valkey@sha256:abc"},
        "valkey_image: expected an image reference with a fixed tag or digest, got "
        "'docker.io/valkey/valkey@sha256:abc'; write registry/name:version; a tag that moves (latest, main, "
        "...) makes two runs differ",
        id="valkey_image: half a digest",
    ),
    pytest.param(
        {"valkey_image": ""},
        "valkey_image: expected an image reference with a fixed tag or digest, got ''; write "
        "registry/name:version; a tag that moves (latest, main, ...) makes two runs differ",
        id="valkey_image: empty",
    ),
    pytest.param(
        {"open_webui_image": "ghcr.io/open-webui/open-webui:main"},
        "open_webui_image: expected an image reference with a fixed tag or digest, got "
        "'ghcr.io/open-webui/open-webui:main'; write registry/name:version; a tag that moves (latest, main, "
        "...) makes two runs differ",
        id="open_webui_image: main",
    ),
    pytest.param(
        {"open_webui_image": None},
        "open_webui_image: expected an image reference with a fixed tag or digest, got None; write "
        "registry/name:version; a tag that moves (latest, main, ...) makes two runs differ",
        id="open_webui_image: None",
    ),
    pytest.param(
        {"valkey_password": "markerWithALongTail00"},
        "valkey_password: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="valkey_password: a literal",
    ),
    pytest.param(
        {"valkey_password": "env:"},
        "valkey_password: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="valkey_password: env without a name",
    ),
    pytest.param(
        {"valkey_password": 12345},
        "valkey_password: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="valkey_password: a number",
    ),
    pytest.param(
        {"valkey_default_user": "off"},
        "valkey_default_user: expected 'ping' or 'all', got 'off'; 'ping' lets clients without a password PING only",
        id="valkey_default_user: unknown",
    ),
    pytest.param(
        {"valkey_save": "30"},
        "valkey_save: expected pairs of seconds and changes, or an empty string, got '30'; '30 1' saves after "
        "30 s if a key changed",
        id="valkey_save: half a pair",
    ),
    pytest.param(
        {"valkey_save": "0 1"},
        "valkey_save: expected pairs of seconds and changes, or an empty string, got '0 1'; '30 1' saves "
        "after 30 s if a key changed",
        id="valkey_save: zero seconds",
    ),
    pytest.param(
        {"valkey_save": None},
        "valkey_save: expected pairs of seconds and changes, or an empty string, got None; '30 1' saves after "
        "30 s if a key changed",
        id="valkey_save: None",
    ),
    pytest.param(
        {"valkey_appendonly": "yes"},
        "valkey_appendonly: expected True or False, got 'yes'; write the word without quotes, after --data as well",
        id="valkey_appendonly: text",
    ),
    pytest.param(
        {"valkey_appendonly": 1},
        "valkey_appendonly: expected True or False, got 1; write the word without quotes, after --data as well",
        id="valkey_appendonly: a number for a bool",
    ),
    pytest.param(
        {"valkey_appendfsync": "never"},
        "valkey_appendfsync: expected 'always', 'everysec' or 'no', got 'never'; 'everysec' loses at most the "
        "last second",
        id="valkey_appendfsync: unknown",
    ),
    pytest.param(
        {"valkey_maxclients": 31},
        "valkey_maxclients: expected a number of connections from 32 to 1000000, got 31; e.g. 10000",
        id="valkey_maxclients: too few",
    ),
    pytest.param(
        {"valkey_maxclients": True},
        "valkey_maxclients: expected a number of connections from 32 to 1000000, got True; e.g. 10000",
        id="valkey_maxclients: bool for a number",
    ),
    pytest.param(
        {"valkey_timeout_s": 60},
        "valkey_timeout_s: expected 0, or seconds from 120 to 86400, got 60; it must stay above Open WebUI's "
        "health check interval of 60 s; 0 lets idle connections pile up",
        id="valkey_timeout_s: below the health check",
    ),
    pytest.param(
        {"valkey_timeout_s": 90000},
        "valkey_timeout_s: expected 0, or seconds from 120 to 86400, got 90000; it must stay above Open "
        "WebUI's health check interval of 60 s; 0 lets idle connections pile up",
        id="valkey_timeout_s: above a day",
    ),
    pytest.param(
        {"valkey_pubsub_buffer": "1gb 256mb"},
        "valkey_pubsub_buffer: expected 'hard soft seconds' as in client-output-buffer-limit, got '1gb "
        "256mb'; e.g. '1gb 256mb 180'",
        id="valkey_pubsub_buffer: two parts",
    ),
    pytest.param(
        {"valkey_pubsub_buffer": "1 GB 256 MB 180"},
        "valkey_pubsub_buffer: expected 'hard soft seconds' as in client-output-buffer-limit, got '1 GB 256 "
        "MB 180'; e.g. '1gb 256mb 180'",
        id="valkey_pubsub_buffer: upper case with blanks",
    ),
    pytest.param(
        {"open_webui_bind": "localhost"},
        "open_webui_bind: expected an IP address of the host, got 'localhost'; '127.0.0.1' for this host "
        "only, '0.0.0.0' for everyone",
        id="open_webui_bind: a name",
    ),
    pytest.param(
        {"open_webui_bind": "127.0.0.1:3000"},
        "open_webui_bind: expected an IP address of the host, got '127.0.0.1:3000'; '127.0.0.1' for this host "
        "only, '0.0.0.0' for everyone",
        id="open_webui_bind: with a port",
    ),
    pytest.param(
        {"open_webui_bind": None},
        "open_webui_bind: expected an IP address of the host, got None; '127.0.0.1' for this host only, "
        "'0.0.0.0' for everyone",
        id="open_webui_bind: None",
    ),
    pytest.param(
        {"open_webui_port": 0},
        "open_webui_port: expected a TCP port from 1 to 65535, as a number, got 0; e.g. 3000",
        id="open_webui_port: zero",
    ),
    pytest.param(
        {"open_webui_port": 65536},
        "open_webui_port: expected a TCP port from 1 to 65535, as a number, got 65536; e.g. 3000",
        id="open_webui_port: too high",
    ),
    pytest.param(
        {"open_webui_port": "3000"},
        "open_webui_port: expected a TCP port from 1 to 65535, as a number, got '3000'; e.g. 3000",
        id="open_webui_port: text",
    ),
    pytest.param(
        {"open_webui_port": True},
        "open_webui_port: expected a TCP port from 1 to 65535, as a number, got True; e.g. 3000",
        id="open_webui_port: bool",
    ),
    pytest.param(
        {"open_webui_port": None},
        "open_webui_port: expected a TCP port from 1 to 65535, as a number, got None; e.g. 3000",
        id="open_webui_port: None",
    ),
    pytest.param(
        {"open_webui_public_url": "chat.example.org"},
        "open_webui_public_url: expected a URL of scheme, host and maybe a port, with no path, got "
        "'chat.example.org'; e.g. 'https://chat.example.org'",
        id="open_webui_public_url: no scheme",
    ),
    pytest.param(
        {"open_webui_public_url": "https://chat.example.org/webui"},
        "open_webui_public_url: expected a URL of scheme, host and maybe a port, with no path, got "
        "'https://chat.example.org/webui'; e.g. 'https://chat.example.org'",
        id="open_webui_public_url: a path",
    ),
    pytest.param(
        {"open_webui_public_url": "https://chat.example.org:99999"},
        "open_webui_public_url: expected a URL of scheme, host and maybe a port, with no path, got "
        "'https://chat.example.org:99999'; e.g. 'https://chat.example.org'",
        id="open_webui_public_url: no such port",
    ),
    pytest.param(
        {"open_webui_public_url": "ftp://chat.example.org"},
        "open_webui_public_url: expected a URL of scheme, host and maybe a port, with no path, got "
        "'ftp://chat.example.org'; e.g. 'https://chat.example.org'",
        id="open_webui_public_url: another scheme",
    ),
    pytest.param(
        {"open_webui_cors_origins": ["*"]},
        "open_webui_cors_origins/0: expected a URL of scheme, host and maybe a port, with no path, got '*'; "
        "e.g. 'https://chat.example.org'",
        id="open_webui_cors_origins: a star",
    ),
    pytest.param(
        {"open_webui_cors_origins": "https://chat.example.org"},
        "open_webui_cors_origins: expected a list of URLs, got 'https://chat.example.org'; e.g. "
        "['https://chat.example.org']",
        id="open_webui_cors_origins: not a list",
    ),
    pytest.param(
        {"open_webui_cors_origins": ["https://a.example.org", "b.example.org"]},
        "open_webui_cors_origins/1: expected a URL of scheme, host and maybe a port, with no path, got "
        "'b.example.org'; e.g. 'https://chat.example.org'",
        id="open_webui_cors_origins: the second is wrong",
    ),
    pytest.param(
        {"open_webui_secret_key": "marker0123456789abcdef0123456789"},
        "open_webui_secret_key: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="open_webui_secret_key: a literal",
    ),
    pytest.param(
        {"open_webui_secret_key": "vault:marker"},
        "open_webui_secret_key: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="open_webui_secret_key: unknown source",
    ),
    pytest.param(
        {"open_webui_key_prefix": "Open WebUI"},
        "open_webui_key_prefix: expected up to 32 of a-z, 0-9, _ and -, got 'Open WebUI'; e.g. 'open-webui'",
        id="open_webui_key_prefix: blanks and capitals",
    ),
    pytest.param(
        {"open_webui_key_prefix": ""},
        "open_webui_key_prefix: expected up to 32 of a-z, 0-9, _ and -, got ''; e.g. 'open-webui'",
        id="open_webui_key_prefix: empty",
    ),
    pytest.param(
        {"open_webui_jwt_expires_in": "1 day"},
        "open_webui_jwt_expires_in: expected a duration such as '24h', '30m' or '4w', got '1 day'; '-1' never "
        "expires, which upstream advises against",
        id="open_webui_jwt_expires_in: words",
    ),
    pytest.param(
        {"open_webui_jwt_expires_in": 24},
        "open_webui_jwt_expires_in: expected a duration such as '24h', '30m' or '4w', got 24; '-1' never "
        "expires, which upstream advises against",
        id="open_webui_jwt_expires_in: a number",
    ),
    pytest.param(
        {"open_webui_persistent_config": "True"},
        "open_webui_persistent_config: expected True or False, got 'True'; write the word without quotes, after "
        "--data as well",
        id="open_webui_persistent_config: text",
    ),
    pytest.param(
        {"docker_restart_stops_others": "yes"},
        "docker_restart_stops_others: expected True or False, got 'yes'; write the word without quotes, after --data "
        "as well",
        id="docker_restart_stops_others: text",
    ),
    pytest.param(
        {"stack_adopt": "yes"},
        "stack_adopt: expected True or False, got 'yes'; write the word without quotes, after --data as well",
        id="stack_adopt: text",
    ),
    pytest.param(
        {"stack_adopt_drops": ["network"]},
        "stack_adopt_drops/0: expected 'networks', 'labels', 'mounts', 'extra_hosts', 'devices', 'ports' or "
        "'privileges', got 'network'; the refusal of a take-over names those that the container has",
        id="stack_adopt_drops: unknown kind",
    ),
    pytest.param(
        {"valkey_volume": "/srv/valkey"},
        "valkey_volume: expected the name of a Docker volume, got '/srv/valkey'; "
        "`docker volume ls` lists them; a folder of the host is not used",
        id="valkey_volume: a folder",
    ),
    pytest.param(
        {"open_webui_volume": ""},
        "open_webui_volume: expected the name of a Docker volume, got ''; "
        "`docker volume ls` lists them; a folder of the host is not used",
        id="open_webui_volume: empty",
    ),
    pytest.param(
        {"valkey_memory_limit_mb": "1g"},
        "valkey_memory_limit_mb: expected a whole number of megabytes, 0 or more, got '1g'; 0 switches it off",
        id="valkey_memory_limit_mb: text",
    ),
    pytest.param(
        {"open_webui_memory_limit_mb": -1},
        "open_webui_memory_limit_mb: expected a whole number of megabytes, 0 or more, got -1; 0 switches it off",
        id="open_webui_memory_limit_mb: negative",
    ),
    pytest.param(
        {"valkey_health_interval_s": 0},
        "valkey_health_interval_s: expected seconds from 1 to 300, got 0; "
        "Docker waits so long between two checks of a container that has started",
        id="valkey_health_interval_s: zero",
    ),
    pytest.param(
        {"valkey_health_timeout_s": 61},
        "valkey_health_timeout_s: expected seconds from 1 to 60, got 61; e.g. 3",
        id="valkey_health_timeout_s: over a minute",
    ),
    pytest.param(
        {"valkey_health_retries": 0},
        "valkey_health_retries: expected a number of checks from 1 to 100, got 0; e.g. 3",
        id="valkey_health_retries: none",
    ),
    pytest.param(
        {"open_webui_health_interval_s": "15"},
        "open_webui_health_interval_s: expected seconds from 1 to 300, got '15'; "
        "Docker waits so long between two checks of a container that has started",
        id="open_webui_health_interval_s: text",
    ),
    pytest.param(
        {"valkey_pids_limit": 63},
        "valkey_pids_limit: expected 0, or a number of processes and threads from 64 to 1000000, got 63; "
        "0 sets no limit",
        id="valkey_pids_limit: too few",
    ),
    pytest.param(
        {"open_webui_pids_limit": None},
        "open_webui_pids_limit: expected 0, or a number of processes and threads from 64 to 1000000, got None; "
        "0 sets no limit",
        id="open_webui_pids_limit: None",
    ),
    pytest.param(
        {"open_webui_cap_add": ["cap_chown"]},
        "open_webui_cap_add/0: expected a capability without CAP_, got 'cap_chown'; e.g. 'DAC_OVERRIDE'",
        id="open_webui_cap_add: lower case",
    ),
    pytest.param(
        {"open_webui_cap_add": "CHOWN"},
        "open_webui_cap_add: expected a list of capabilities, got 'CHOWN'; [] gives it none",
        id="open_webui_cap_add: text",
    ),
    pytest.param(
        {"open_webui_read_only": 1},
        "open_webui_read_only: expected True or False, got 1; write the word without quotes, after --data as well",
        id="open_webui_read_only: a number",
    ),
    pytest.param(
        {"open_webui_offline": 0},
        "open_webui_offline: expected True or False, got 0; write the word without quotes, after --data as well",
        id="open_webui_offline: a number for a bool",
    ),
    pytest.param(
        {"open_webui_env": {"ENABLE_SIGNUP": False}},
        "open_webui_env/ENABLE_SIGNUP: expected text, got False; quote numbers and booleans, e.g. 'False'",
        id="open_webui_env: a bool for text",
    ),
    pytest.param(
        {"open_webui_env": {"1ST": "x"}},
        "open_webui_env/1ST: expected a variable name of letters, digits and _, got '1ST'; rename it",
        id="open_webui_env: a digit first",
    ),
    pytest.param(
        {"open_webui_env": {"ENABLE-SIGNUP": "x"}},
        "open_webui_env/ENABLE-SIGNUP: expected a variable name of letters, digits and _, got "
        "'ENABLE-SIGNUP'; rename it",
        id="open_webui_env: a hyphen",
    ),
    pytest.param(
        {"open_webui_env": {"CORS_ALLOW_ORIGIN": "*"}},
        "open_webui_env/CORS_ALLOW_ORIGIN: expected a variable of your own, got one this project sets; set "
        "open_webui_cors_origins instead",
        id="open_webui_env: owned, with its setting",
    ),
    pytest.param(
        {"open_webui_env": {"PORT": "80"}},
        "open_webui_env/PORT: expected a variable of your own, got one this project sets; set "
        "open_webui_port, the published one, instead",
        id="open_webui_env: owned, the published port",
    ),
    pytest.param(
        {"open_webui_env": {"WEBUI_SECRET_KEY": "marker"}},
        "open_webui_env/WEBUI_SECRET_KEY: expected a variable of your own, got one this project sets; set "
        "open_webui_secret_key instead",
        id="open_webui_env: owned, value hidden",
    ),
    pytest.param(
        {"open_webui_env": {"UVICORN_WORKERS": "4"}},
        "open_webui_env/UVICORN_WORKERS: must not be set; remove it: Open WebUI's "
        "one-process database would be corrupted by more than one worker",
        id="open_webui_env: UVICORN_WORKERS",
    ),
    pytest.param(
        {
            "open_webui_env": {"REDIS_SOCKET_TIMEOUT": "5"},
            "open_webui_image": "ghcr.io/open-webui/open-webui:v0.12.3-slim",
        },
        "open_webui_env/REDIS_SOCKET_TIMEOUT: must not be set; remove it: any value kills the Stop button before "
        "0.12.4 (open-webui#27103, #27104)",
        id="open_webui_env: REDIS_SOCKET_TIMEOUT before 0.12.4",
    ),
    pytest.param(
        {"open_webui_env": {"WEBSOCKET_REDIS_OPTIONS": "{}"}},
        "open_webui_env/WEBSOCKET_REDIS_OPTIONS: must not be set; remove it: setting "
        "it disables the inherited connect timeout",
        id="open_webui_env: WEBSOCKET_REDIS_OPTIONS",
    ),
    pytest.param(
        {"open_webui_env": {"REDIS_CLUSTER": "True"}},
        "open_webui_env/REDIS_CLUSTER: must not be set; remove it: this stack's Valkey is one "
        "server, which Open WebUI would not ask any more but a cluster",
        id="open_webui_env: REDIS_CLUSTER",
    ),
    pytest.param(
        {"open_webui_env": {"OPENAI_API_KEY": "sk-marker"}},
        "open_webui_env/OPENAI_API_KEY: expected no secret here, got a name that looks like one (value "
        "hidden); move it to open_webui_secret_env, which keeps it out of compose.yaml and logs",
        id="open_webui_env: a secret's name",
    ),
    pytest.param(
        {"open_webui_env": {"DATABASE_URL": "postgresql://u:marker@db/x"}},
        "open_webui_env/DATABASE_URL: expected no secret here, got a name that looks like one (value hidden); "
        "move it to open_webui_secret_env, which keeps it out of compose.yaml and logs",
        id="open_webui_env: a database URL",
    ),
    pytest.param(
        {"open_webui_env": {"OPENAI_API_KEY": ["marker"]}},
        "open_webui_env/OPENAI_API_KEY: expected text, got a value (hidden); quote numbers and booleans, e.g. 'False'",
        id="open_webui_env: a secret's name, wrong type",
    ),
    pytest.param(
        {
            "open_webui_env": {"OPENAI_API_KEY": "marker"},
            "open_webui_secret_env": {"OPENAI_API_KEY": "env:OPENAI_API_KEY"},
        },
        "open_webui_env/OPENAI_API_KEY: expected one place for it, got two; keep the one in open_webui_secret_env",
        id="open_webui_env: in both",
    ),
    pytest.param(
        {"open_webui_secret_env": {"OPENAI_API_KEY": "sk-marker"}},
        "open_webui_secret_env/OPENAI_API_KEY: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a "
        "value (hidden); secrets are never written into an inventory: name where this machine reads it",
        id="open_webui_secret_env: a literal",
    ),
    pytest.param(
        {"open_webui_secret_env": ["marker"]},
        "open_webui_secret_env: expected a dict of variable to secret source, got a value (hidden); e.g. "
        "{'OPENAI_API_KEY': 'env:KEY'}",
        id="open_webui_secret_env: a list",
    ),
    pytest.param(
        {"open_webui_secret_env": {"A B": "env:A"}},
        "open_webui_secret_env/A B: expected a variable name of letters, digits and _, got 'A B'; rename it",
        id="open_webui_secret_env: a blank in the name",
    ),
    pytest.param(
        {"open_webui_secret_env": {"REDIS_URL": "env:A"}},
        "open_webui_secret_env/REDIS_URL: expected a variable of your own, got one this project sets; remove "
        "it, it follows from the stack's Valkey",
        id="open_webui_secret_env: owned",
    ),
    pytest.param(
        {"open_webui_secret_env": {"WEBSOCKET_SENTINEL_HOSTS": "env:A"}},
        "open_webui_secret_env/WEBSOCKET_SENTINEL_HOSTS: must not be set; remove it: this "
        "stack's Valkey is one server, which Open WebUI would not ask any more but Sentinel",
        id="open_webui_secret_env: refused",
    ),
    pytest.param(
        {"open_webui_start_timeout_s": 0},
        "open_webui_start_timeout_s: expected a whole number of seconds from 1 to 3600, got 0; e.g. 120, "
        "without quotes",
        id="open_webui_start_timeout_s: zero",
    ),
    pytest.param(
        {"open_webui_start_timeout_s": 3601},
        "open_webui_start_timeout_s: expected a whole number of seconds from 1 to 3600, got 3601; e.g. 120, "
        "without quotes",
        id="open_webui_start_timeout_s: over an hour",
    ),
    pytest.param(
        {"open_webui_start_timeout_s": "300"},
        "open_webui_start_timeout_s: expected a whole number of seconds from 1 to 3600, got '300'; e.g. 120, "
        "without quotes",
        id="open_webui_start_timeout_s: text",
    ),
    pytest.param(
        {"topology": "kubernetes"},
        "topology: expected 'compose' or 'swarm', got 'kubernetes'; 'swarm' makes all hosts of the inventory one stack",
        id="topology: unknown",
    ),
    pytest.param(
        {"topology": None},
        "topology: expected 'compose' or 'swarm', got None; 'swarm' makes all hosts of the inventory one stack",
        id="topology: None",
    ),
    pytest.param(
        {"open_webui_replicas": 0},
        "open_webui_replicas: expected a number of processes from 1 to 64, got 0; e.g. 2",
        id="open_webui_replicas: none",
    ),
    pytest.param(
        {"open_webui_replicas": 65},
        "open_webui_replicas: expected a number of processes from 1 to 64, got 65; e.g. 2",
        id="open_webui_replicas: too many",
    ),
    pytest.param(
        {"open_webui_replicas": "3"},
        "open_webui_replicas: expected a number of processes from 1 to 64, got '3'; e.g. 2",
        id="open_webui_replicas: text",
    ),
    pytest.param(
        {"public_url": "http://chat.example.org"},
        "public_url: expected a URL of https, a host name and maybe a port, with no path, got "
        "'http://chat.example.org'; e.g. 'https://chat.example.org'; for a proxy of your own set "
        "open_webui_public_url",
        id="public_url: no TLS",
    ),
    pytest.param(
        {"public_url": "https://chat.example.org/webui"},
        "public_url: expected a URL of https, a host name and maybe a port, with no path, got "
        "'https://chat.example.org/webui'; e.g. 'https://chat.example.org'; for a proxy of your own set "
        "open_webui_public_url",
        id="public_url: a path",
    ),
    pytest.param(
        {"public_url": "https://[2001:db8::1]"},
        "public_url: expected a URL of https, a host name and maybe a port, with no path, got "
        "'https://[2001:db8::1]'; e.g. 'https://chat.example.org'; for a proxy of your own set open_webui_public_url",
        id="public_url: no certificate is for an IPv6 address",
    ),
    pytest.param(
        {"public_url": "https://chat.example.org:99999"},
        "public_url: expected a URL of https, a host name and maybe a port, with no path, got "
        "'https://chat.example.org:99999'; e.g. 'https://chat.example.org'; for a proxy of your own set "
        "open_webui_public_url",
        id="public_url: no such port",
    ),
    pytest.param(
        {"public_url": "chat.example.org"},
        "public_url: expected a URL of https, a host name and maybe a port, with no path, got "
        "'chat.example.org'; e.g. 'https://chat.example.org'; for a proxy of your own set open_webui_public_url",
        id="public_url: no scheme",
    ),
    pytest.param(
        {"proxy_tls": "self-signed"},
        "proxy_tls: expected 'acme', 'internal' or 'files', got 'self-signed'; where the proxy's certificate "
        "comes from",
        id="proxy_tls: unknown",
    ),
    pytest.param(
        {"proxy_acme_email": "ops"},
        "proxy_acme_email: expected an e-mail address, got 'ops'; None goes without",
        id="proxy_acme_email: no domain",
    ),
    pytest.param(
        {"proxy_acme_email": "ops@example.org\n}"},
        "proxy_acme_email: expected an e-mail address, got 'ops@example.org\\n}'; None goes without",
        id="proxy_acme_email: would end its block",
    ),
    pytest.param(
        {"proxy_certificate": "/nonexistent/chain.pem"},
        "proxy_certificate: expected a readable PEM certificate on this machine, got '/nonexistent/chain.pem'; "
        "check the path",
        id="proxy_certificate: not there",
    ),
    pytest.param(
        {"proxy_certificate_key": "-----BEGIN PRIVATE KEY-----\nmarker"},
        "proxy_certificate_key: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="proxy_certificate_key: a literal",
    ),
    pytest.param(
        {"proxy_bind": "chat.example.org"},
        "proxy_bind: expected an IP address of the host, got 'chat.example.org'; '127.0.0.1' for this host "
        "only, '0.0.0.0' for everyone",
        id="proxy_bind: a name",
    ),
    pytest.param(
        {"proxy_http_port": 65536},
        "proxy_http_port: expected a TCP port from 1 to 65535, or 0, got 65536; 0 does not publish it",
        id="proxy_http_port: too high",
    ),
    pytest.param(
        {"proxy_http_port": None},
        "proxy_http_port: expected a TCP port from 1 to 65535, or 0, got None; 0 does not publish it",
        id="proxy_http_port: None",
    ),
    pytest.param(
        {"proxy_image": "docker.io/library/caddy:alpine"},
        "proxy_image: expected an image reference with a fixed tag or digest, got "
        "'docker.io/library/caddy:alpine'; write registry/name:version; a tag that moves (latest, main, ...) "
        "makes two runs differ",
        id="proxy_image: a tag that moves",
    ),
    pytest.param(
        {"proxy_volume": "/srv/caddy"},
        "proxy_volume: expected the name of a Docker volume, got '/srv/caddy'; `docker volume ls` lists them; "
        "a folder of the host is not used",
        id="proxy_volume: a folder",
    ),
    pytest.param(
        {"database": "mysql"},
        "database: expected 'auto', 'sqlite' or 'postgres', got 'mysql'; database_url names one that you run",
        id="database: unknown",
    ),
    pytest.param(
        {"database_url": "postgresql://chat:marker@db.example.org/chat"},
        "database_url: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); secrets "
        "are never written into an inventory: name where this machine reads it",
        id="database_url: a literal",
    ),
    pytest.param(
        {"database_switch": True},
        "database_switch: expected a list of host names, got True; only these hosts may begin with another "
        "database than they have",
        id="database_switch: of all hosts",
    ),
    pytest.param(
        {"database_pool_size": 0},
        "database_pool_size: expected a number of connections from 1 to 1000, got 0; e.g. 15",
        id="database_pool_size: none",
    ),
    pytest.param(
        {"database_pool_overflow": -1},
        "database_pool_overflow: expected a number of connections from 0 to 1000, got -1; e.g. 20",
        id="database_pool_overflow: without a limit",
    ),
    pytest.param(
        {"postgres_image": "docker.io/pgvector/pgvector"},
        "postgres_image: expected an image reference with a fixed tag or digest, got "
        "'docker.io/pgvector/pgvector'; write registry/name:version; a tag that moves (latest, main, ...) "
        "makes two runs differ",
        id="postgres_image: no tag",
    ),
    pytest.param(
        {"postgres_volume": ""},
        "postgres_volume: expected the name of a Docker volume, got ''; `docker volume ls` lists them; a "
        "folder of the host is not used",
        id="postgres_volume: empty",
    ),
    pytest.param(
        {"postgres_password": "marker0123456789"},
        "postgres_password: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="postgres_password: a literal",
    ),
    pytest.param(
        {"postgres_max_connections": 19},
        "postgres_max_connections: expected a number of connections from 20 to 10000, got 19; e.g. 500",
        id="postgres_max_connections: too few",
    ),
    pytest.param(
        {"postgres_max_connections": "500"},
        "postgres_max_connections: expected a number of connections from 20 to 10000, got '500'; e.g. 500",
        id="postgres_max_connections: text",
    ),
    pytest.param(
        {"postgres_memory_limit_mb": "2g"},
        "postgres_memory_limit_mb: expected a whole number of megabytes, 0 or more, got '2g'; 0 switches it off",
        id="postgres_memory_limit_mb: text",
    ),
    pytest.param(
        {"swarm_manager": "yes"},
        "swarm_manager: expected True or False, got 'yes'; write the word without quotes, after --data as well",
        id="swarm_manager: text",
    ),
    pytest.param(
        {"swarm_runs": "data"},
        "swarm_runs: expected a list of 'open-webui', 'proxy' and 'data', got 'data'; [] runs nothing there, "
        "as on a manager that only steers",
        id="swarm_runs: text for a list",
    ),
    pytest.param(
        {"swarm_runs": ["open-webui", "redis"]},
        "swarm_runs/1: expected 'open-webui', 'proxy' or 'data', got 'redis'; 'data' is Valkey and Postgres "
        "with their volumes",
        id="swarm_runs: unknown",
    ),
    pytest.param(
        {"swarm_availability": "pause"},
        "swarm_availability: expected 'active' or 'drain', got 'pause'; 'drain' moves its work to the other hosts",
        id="swarm_availability: Docker's third",
    ),
    pytest.param(
        {"swarm_address": "eth0"},
        "swarm_address: expected an IP address of the host that the other hosts reach, got 'eth0'; None takes "
        "Docker's guess",
        id="swarm_address: an interface",
    ),
    pytest.param(
        {"swarm_address_pool": "10.0.0.1/8"},
        "swarm_address_pool: expected an IPv4 network without host bits, got '10.0.0.1/8'; e.g. '198.18.5.0/24'",
        id="swarm_address_pool: host bits",
    ),
    pytest.param(
        {"swarm_mtu": 68},
        "swarm_mtu: expected bytes from 1280 to 65535, got 68; None asks the hosts' interfaces",
        id="swarm_mtu: too small",
    ),
    pytest.param(
        {"swarm_encrypted": 1},
        "swarm_encrypted: expected True or False, got 1; write the word without quotes, after --data as well",
        id="swarm_encrypted: a number",
    ),
    pytest.param(
        {"open_webui_shared_dir": "nas:/chat"},
        "open_webui_shared_dir: expected an absolute path of a folder of its own, of letters, digits and . _ "
        "-, got 'nas:/chat'; e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
        id="open_webui_shared_dir: an NFS export",
    ),
    pytest.param(
        {"open_webui_shared_dir": "/mnt"},
        "open_webui_shared_dir: expected an absolute path of a folder of its own, of letters, digits and . _ "
        "-, got '/mnt'; e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
        id="open_webui_shared_dir: no folder of its own",
    ),
    pytest.param(
        {"watchdog_pause_s": 29},
        "watchdog_pause_s: expected 0, or seconds from 30 to 3600, got 29; 0 switches the watchdog off",
        id="watchdog_pause_s: below half a minute",
    ),
    pytest.param(
        {"watchdog_pause_s": "120"},
        "watchdog_pause_s: expected 0, or seconds from 30 to 3600, got '120'; 0 switches the watchdog off",
        id="watchdog_pause_s: text",
    ),
    pytest.param(
        {"watchdog_pause_s": None},
        "watchdog_pause_s: expected 0, or seconds from 30 to 3600, got None; 0 switches the watchdog off",
        id="watchdog_pause_s: None",
    ),
    pytest.param(
        {"verify_level": "all"},
        "verify_level: expected 'ping', 'wiring' or 'user', got 'all'; 'wiring' needs no account, 'user' signs in with "
        "one of its own",
        id="verify_level: unknown",
    ),
    pytest.param(
        {"verify_event_kb": 0},
        "verify_event_kb: expected kilobytes from 1 to 16000, got 0; e.g. 1024",
        id="verify_event_kb: nothing",
    ),
    pytest.param(
        {"verify_timeout_s": 1.5},
        "verify_timeout_s: expected a whole number of seconds from 1 to 3600, got 1.5; e.g. 120, without quotes",
        id="verify_timeout_s: fraction",
    ),
    pytest.param(
        {"verify_hold_s": 10},
        "verify_hold_s: expected 0, or seconds from 30 to 3600, got 10; Open WebUI is silent for 25 s at a time; "
        "0 holds no websocket open",
        id="verify_hold_s: shorter than a silence",
    ),
    pytest.param(
        {"verify_ca": "/nonexistent/ca.pem"},
        "verify_ca: expected a readable PEM certificate on this machine, got '/nonexistent/ca.pem'; check the path",
        id="verify_ca: not there",
    ),
    pytest.param(
        {"verify_url": "chat.example.org:8080"},
        "verify_url: expected a URL of scheme, host and maybe a port, with no path, got "
        "'chat.example.org:8080'; e.g. 'https://chat.example.org'",
        id="verify_url: no scheme",
    ),
    pytest.param(
        {"verify_url": "http://chat.example.org/health"},
        "verify_url: expected a URL of scheme, host and maybe a port, with no path, got "
        "'http://chat.example.org/health'; e.g. 'https://chat.example.org'",
        id="verify_url: a path",
    ),
    pytest.param(
        {"verify_url": False},
        "verify_url: expected a URL of scheme, host and maybe a port, with no path, got False; e.g. "
        "'https://chat.example.org'",
        id="verify_url: False",
    ),
    pytest.param(
        {"backup_dir": "/etc"},
        "backup_dir: expected an absolute path of a folder of its own, of letters, digits and . _ -, got '/etc'; "
        "e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
        id="backup_dir: the system's",
    ),
    pytest.param(
        {"backup_keep": -1},
        "backup_keep: expected a number of backup sets from 0 to 10000, got -1; e.g. 7; 0 keeps all",
        id="backup_keep: negative",
    ),
    pytest.param(
        {"backup_min_free_mb": "1 GB"},
        "backup_min_free_mb: expected a whole number of megabytes, 0 or more, got '1 GB'; 0 switches it off",
        id="backup_min_free_mb: text",
    ),
    pytest.param(
        {"backup_schedule": "daily\nExecStart=/bin/sh"},
        "backup_schedule: expected a calendar expression of systemd, or an empty string, got "
        "'daily\\nExecStart=/bin/sh'; e.g. '*-*-* 03:30'; systemd.time(7) explains it",
        id="backup_schedule: two lines",
    ),
    pytest.param(
        {"backup_age_recipient": "AGE-SECRET-KEY-1QQQ"},
        "backup_age_recipient: expected a recipient of age, 'age1' and 58 more characters, got a value (hidden); "
        "`age-keygen` prints one; the identity stays with you",
        id="backup_age_recipient: the secret half",
    ),
    pytest.param(
        {"backup_fetch": " "},
        "backup_fetch: expected a folder on this machine, got ' '; None goes without",
        id="backup_fetch: blank",
    ),
    *[
        pytest.param(
            {"backup_restic_repository": repository, "backup_restic_password": "env:X"},
            "backup_restic_repository: expected a repository of restic in one line, without quotes and without a "
            "password, got a value (hidden); e.g. 'sftp:backup@nas:/srv/restic'; secrets go into backup_restic_env",
            id=f"backup_restic_repository: {why}",
        )
        for why, repository in {
            "empty": "",
            "two lines": "/srv/restic\n/srv/other",
            "a quote": "/srv/it's",
            "a password": "rest:https://user:marker@nas/",
        }.items()
    ],
    pytest.param(
        {"backup_restic_password": "marker"},
        "backup_restic_password: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="backup_restic_password: typed in",
    ),
    pytest.param(
        {"backup_restic_repository": "/srv/restic"},
        "backup_restic_password: expected a secret source for backup_restic_repository, got None; supply one, and "
        "keep it elsewhere: a password that only a lost host knew opens nothing",
        id="backup_restic_password: missing",
    ),
    pytest.param(
        {"backup_restic_env": {"AWS_ACCESS_KEY_ID": "marker"}},
        "backup_restic_env/AWS_ACCESS_KEY_ID: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value "
        "(hidden); secrets are never written into an inventory: name where this machine reads it",
        id="backup_restic_env: typed in",
    ),
    *[
        pytest.param(
            {"backup_restic_env": {name: "env:X"}},
            f"backup_restic_env/{name}: expected names of variables, without RESTIC_PASSWORD, got a value (hidden); "
            "the password is backup_restic_password",
            id=f"backup_restic_env: {name}",
        )
        for name in ("RESTIC_PASSWORD", "A B")
    ],
    pytest.param(
        {"restore_from": ""},
        "restore_from: expected a folder on this machine, got ''; None goes without",
        id="restore_from: empty",
    ),
    pytest.param(
        {"restore_restic_host": "$(reboot)"},
        "restore_restic_host: expected the name a host calls itself, got '$(reboot)'; `hostname` prints it; "
        "`restic snapshots` lists them",
        id="restore_restic_host: no name",
    ),
    pytest.param(
        {"restore_set": "20261126"},
        "restore_set: expected 'newest' or the name of a backup set, got '20261126'; "
        "e.g. '20261126T033000Z'; runbooks/backup.py lists them",
        id="restore_set: a day",
    ),
    pytest.param(
        {"restore_over": "chat-1"},
        "restore_over: expected a list of host names, got 'chat-1'; "
        "only the live stacks of these hosts are replaced by a backup",
        id="restore_over: text for a list",
    ),
    pytest.param(
        {"restore_age_identity": "AGE-SECRET-KEY-1marker"},
        "restore_age_identity: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="restore_age_identity: typed in",
    ),
    pytest.param(
        {"upgrade_rehearse": "no"},
        "upgrade_rehearse: expected True or False, got 'no'; write the word without quotes, after --data as well",
        id="upgrade_rehearse: text",
    ),
    pytest.param(
        {"rollback_to": "yesterday"},
        "rollback_to: expected 'previous' or the name of a deploy, got 'yesterday'; "
        "e.g. '20261126T033000Z'; runbooks/rollback.py --dry lists them",
        id="rollback_to: a word",
    ),
    pytest.param(
        {"teardown_data": True},
        "teardown_data: expected a list of host names, got True; only these hosts lose their data: volumes and secrets",
        id="teardown_data: of all hosts",
    ),
    pytest.param(
        {"teardown_backups": "chat-1"},
        "teardown_backups: expected a list of host names, got 'chat-1'; only these hosts lose their backup sets",
        id="teardown_backups: text for a list",
    ),
    pytest.param(
        {"teardown_docker": "yes"},
        "teardown_docker: expected True or False, got 'yes'; write the word without quotes, after --data as well",
        id="teardown_docker: text",
    ),
    pytest.param(
        {"rotate_secrets": ["valkey_password", "WEBUI_SECRET_KEY"]},
        "rotate_secrets/1: expected 'valkey_password', 'open_webui_secret_key', 'postgres_password' or "
        "'probe_password', got 'WEBUI_SECRET_KEY'; only these can be renewed; change others at their source and deploy",
        id="rotate_secrets: another name",
    ),
    pytest.param(
        {"rotate_secrets": "valkey_password"},
        "rotate_secrets: expected a list of secrets, got 'valkey_password'; "
        "e.g. ['valkey_password']; 'open_webui_secret_key' signs everybody out",
        id="rotate_secrets: text for a list",
    ),
    pytest.param(
        {"rollout_canary": "chat-1"},
        "rollout_canary: expected a list of host names, or a number of hosts, got 'chat-1'; "
        "e.g. ['chat-1.example.org'] or 1; 0 goes without",
        id="rollout_canary: text for a list",
    ),
    pytest.param(
        {"rollout_canary": True},
        "rollout_canary: expected a list of host names, or a number of hosts, got True; "
        "e.g. ['chat-1.example.org'] or 1; 0 goes without",
        id="rollout_canary: bool for a number",
    ),
    pytest.param(
        {"rollout_canary": -1},
        "rollout_canary: expected a list of host names, or a number of hosts, got -1; "
        "e.g. ['chat-1.example.org'] or 1; 0 goes without",
        id="rollout_canary: negative",
    ),
    pytest.param(
        {"rollout_canary": ["a", "a"]},
        "rollout_canary: expected a list of host names, or a number of hosts, got ['a', 'a']; "
        "e.g. ['chat-1.example.org'] or 1; 0 goes without",
        id="rollout_canary: a host twice",
    ),
    pytest.param(
        {"rollout_canary": [1]},
        "rollout_canary: expected a list of host names, or a number of hosts, got [1]; "
        "e.g. ['chat-1.example.org'] or 1; 0 goes without",
        id="rollout_canary: a number in the list",
    ),
    pytest.param(
        {"rollout_batch": 0},
        "rollout_batch: expected a number of hosts, or a percentage from '1%' to '100%', got 0; "
        "e.g. 10 or '25%'; None takes all at once",
        id="rollout_batch: nobody",
    ),
    pytest.param(
        {"rollout_batch": "0%"},
        "rollout_batch: expected a number of hosts, or a percentage from '1%' to '100%', got '0%'; "
        "e.g. 10 or '25%'; None takes all at once",
        id="rollout_batch: no percentage",
    ),
    pytest.param(
        {"rollout_batch": "101%"},
        "rollout_batch: expected a number of hosts, or a percentage from '1%' to '100%', got '101%'; "
        "e.g. 10 or '25%'; None takes all at once",
        id="rollout_batch: more than all",
    ),
    pytest.param(
        {"rollout_batch": "25"},
        "rollout_batch: expected a number of hosts, or a percentage from '1%' to '100%', got '25'; "
        "e.g. 10 or '25%'; None takes all at once",
        id="rollout_batch: text for a number",
    ),
    pytest.param(
        {"rollout_batch": 2.5},
        "rollout_batch: expected a number of hosts, or a percentage from '1%' to '100%', got 2.5; "
        "e.g. 10 or '25%'; None takes all at once",
        id="rollout_batch: fraction",
    ),
    pytest.param(
        {"rollout_max_failures": -1},
        "rollout_max_failures: expected a number of hosts, 0 or more, got -1; 0 stops at the first that fails",
        id="rollout_max_failures: negative",
    ),
    pytest.param(
        {"rollout_pause_s": "60"},
        "rollout_pause_s: expected a whole number of seconds from 0 to 86400, got '60'; 0 goes on at once",
        id="rollout_pause_s: text for a number",
    ),
]


MISTAKEN: list[dict[str, Any]] = [dict(mistake.values[0]) for mistake in MISTAKES]  # type: ignore[call-overload]


@pytest.mark.parametrize(("changes", "line"), MISTAKES)
def test_mistake_gets_this_one_line(changes: dict[str, Any], line: str) -> None:
    assert problems(**changes) == [line]


def test_mistakes_of_every_setting_are_in_the_table() -> None:
    assert {name for changes in MISTAKEN for name in changes} >= set(Settings.model_fields)


@pytest.mark.parametrize("changes", [changes for changes in MISTAKEN if "marker" in str(changes)])
def test_no_error_shows_what_may_be_a_secret(changes: dict[str, Any]) -> None:
    assert "marker" not in "\n".join(problems(**changes))


@pytest.mark.parametrize(
    "value",
    ["OPENAI_API_KEY=sk-marker", ["OPENAI_API_KEY=sk-marker"], [{"OPENAI_API_KEY": "sk-marker"}]],
    ids=["text", "list of assignments", "list of dicts"],
)
def test_no_error_shows_an_environment_of_the_wrong_type(value: Any) -> None:
    assert problems(open_webui_env=value) == [
        "open_webui_env: expected a dict of variable to text, got a value (hidden); e.g. {'ENABLE_SIGNUP': 'False'}"
    ]


def test_registry_has_to_be_a_host_name(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(PEM)
    assert problems(docker_registry_ca={"https://registry.example.org": str(ca)}) == [
        "docker_registry_ca/https://registry.example.org: expected registry host names with an optional port, "
        "got 'https://registry.example.org'; e.g. 'registry.example.org:5000'"
    ]


NO_KEY = "expected a file of certificates without a private key"
KEEP = (
    "everybody could read the key on the host: keep the certificates only, "
    "`sed -n '/BEGIN CERT/,/END CERT/p' FILE >chain.pem`"
)


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "ENCRYPTED ", "OPENSSH "])
@pytest.mark.parametrize("key_first", [True, False])
def test_a_file_with_its_key_in_it_is_no_certificate(tmp_path: Path, kind: str, key_first: bool) -> None:
    key = PEM.replace("CERTIFICATE", f"{kind}PRIVATE KEY")
    file = tmp_path / "combined.pem"
    file.write_text(key + PEM if key_first else PEM + key)
    name = "registry.example.org"
    assert problems(proxy_certificate=str(file), docker_registry_ca={name: str(file)}) == [
        f"docker_registry_ca/{name}: {NO_KEY}, got '{file}'; {KEEP}",
        f"proxy_certificate: {NO_KEY}, got '{file}'; {KEEP}",
    ]
    command = KEEP.split("`")[1].replace("FILE", "combined.pem")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    assert (tmp_path / "chain.pem").read_text() == PEM
    assert settings(proxy_certificate=str(tmp_path / "chain.pem"))


def test_ca_file_in_the_home_of_nobody_is_a_problem_and_no_crash() -> None:
    assert problems(docker_registry_ca={"registry.example.org": "~no-such-user/ca.pem"}) == [
        "docker_registry_ca/registry.example.org: expected a readable PEM certificate on this machine, "
        "got '~no-such-user/ca.pem'; check the path"
    ]


def test_key_for_a_ca_file_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(PEM.replace("CERTIFICATE", "PRIVATE KEY"))
    assert problems(docker_registry_ca={"registry.example.org": str(key)}) == [
        f"docker_registry_ca/registry.example.org: {NO_KEY}, got '{key}'; {KEEP}"
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param(
            {"network_subnet": "198.18.5.0/255.255.255.0"},
            "network_subnet: expected an IPv4 network without host bits, got '198.18.5.0/255.255.255.0'; "
            "e.g. '198.18.5.0/24'",
            id="docker takes prefix lengths, no netmasks",
        ),
        pytest.param(
            {"valkey_image": "docker.io/valkey/valkey:vérsion"},
            "valkey_image: expected an image reference with a fixed tag or digest, got "
            "'docker.io/valkey/valkey:vérsion'; write registry/name:version; a tag that moves (latest, main, ...) "
            "makes two runs differ",
            id="docker takes tags of ASCII only",
        ),
        pytest.param(
            {"open_webui_public_url": "https://chat example.org"},
            "open_webui_public_url: expected a URL of scheme, host and maybe a port, with no path, got "
            "'https://chat example.org'; e.g. 'https://chat.example.org'",
            id="no host name has a blank",
        ),
        pytest.param(
            {"open_webui_public_url": "https://me@chat.example.org"},
            "open_webui_public_url: expected a URL of scheme, host and maybe a port, with no path, got a value "
            "(hidden); e.g. 'https://chat.example.org'",
            id="no browser sends a user in Origin",
        ),
        pytest.param(
            {"stack_dir": "/opt/../etc"},
            "stack_dir: expected an absolute path of a folder of its own, of letters, digits and . _ -, got "
            "'/opt/../etc'; e.g. '/opt/open-webui'; it is made root's and closed to everybody else",
            id="two dots lead somewhere else",
        ),
    ],
)
def test_what_nothing_downstream_can_use_is_refused(changes: dict[str, Any], line: str) -> None:
    assert problems(**changes) == [line]


# --- Kinds: the value that passes and breaks later, beside the one that is right -------------------------


@pytest.mark.parametrize(
    ("reference", "pinned"),
    [
        *((f"registry.example.org:5000/a/b:{tag}", True) for tag in ("v0.12.4", "8.0.11-alpine", "0.8.7-pg17-trixie")),
        *((f"a/b:{tag}", True) for tag in ("v0.12.4-slim", "0.12.4-cuda", "1.2.3rc1", "1.2.3-rc.1", "8.0-alpine")),
        *((f"a/b:{tag}", True) for tag in ("git-abc1234", "sha-0a1b2c3", "main-0a1b2c3", "pg17-v0.8.0", "2026.11")),
        *((f"a/b:{tag}", True) for tag in ("20261129", "nightly-20261129", "2026-11-29", "dev-2026.11.29", "v1.2_3")),
        ("a/b:latest@sha256:" + "0" * 64, True),
        ("a/b@sha256:" + "0" * 64, True),
        *((f"a/b:{tag}", False) for tag in ("latest", "main", "dev", "latest-cuda", "main-slim", "cuda", "ollama")),
        *((f"a/b:{tag}", False) for tag in ("8", "8-alpine", "v8", "8-alpine3.20", "pg17", "main-cuda12.8", "slim")),
        *((f"a/b:{tag}", False) for tag in ("latest-12.8", "stable-1.2", "Main-0.12", "alpine", "trixie", "feedbeefs")),
        *((name, False) for name in ("--privileged/x:1.2.3", "-v/x:1.2.3", "-x:1.2.3", "a-/x:1.2.3", ".a/x:1.2.3")),
        *((name, False) for name in ("a/b", "a/b:", "a/b:-1.2.3", "a/b:1.2.3\n", "a/b:v٤.٢٢.٤", "a:٦٤٤٤/b:1.2.3")),
    ],
)
def test_a_tag_that_moves_is_known_by_its_form(reference: str, pinned: bool) -> None:
    if pinned:
        assert settings(valkey_image=reference).valkey_image == reference
    else:
        assert problems(valkey_image=reference)[0].startswith("valkey_image: expected an image reference with a fixed")


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("ghcr.io/open-webui/open-webui:v0.12.4", (0, 12, 4)),
        ("registry.example.org:5000/a:0.9.10-slim@sha256:" + "0" * 64, (0, 9, 10)),
        ("a@sha256:" + "0" * 64, None),
        ("a:git-abc1234", None),
        ("a:20261129", None),
        ("", None),
    ],
)
def test_an_images_release_is_read_from_its_tag(reference: str, version: tuple[int, ...] | None) -> None:
    assert version_of(reference) == version


@pytest.mark.parametrize(
    ("tag", "major"),
    [
        ("pgvector/pgvector:0.8.7-pg17-trixie", 17),
        ("pgvector/pgvector:0.8.7-pg18-trixie", 18),
        ("pgvector/pgvector:pg19@sha256:" + "0" * 64, 19),
        ("library/postgres:18.1-trixie", 18),
        ("registry.example.org:5000/postgres:16.10", 16),
        ("registry.example.org/chat-database:1.18.0", None),
        ("pgvector/pgvector@sha256:" + "0" * 64, None),
    ],
)
def test_postgres_18_keeps_its_data_elsewhere_and_is_refused(tag: str, major: int | None) -> None:
    reference = f"docker.io/{tag}" if tag.startswith(("pgvector", "library")) else tag
    assert postgres_major(reference) == major
    if (major or 0) < 18:
        assert settings(postgres_image=reference).postgres_image == reference
        return
    assert problems(postgres_image=reference) == [
        f"postgres_image: expected PostgreSQL 17 or older, got {reference!r}; newer images keep their data outside the "
        "volume, and the data of an older one has to be dumped and loaded"
    ]


FLOOR = (
    "expected no less than Valkey's own '32mb 8mb 60', or 0 for no limit, got {!r}; Valkey cuts Open WebUI off when "
    "more than that waits for it, and people miss events; e.g. '1gb 256mb 180'"
)


@pytest.mark.parametrize("buffer", ["1 1 1", "31mb 8mb 60", "32mb 7mb 60", "32mb 8mb 59", "1gb 256mb 0", "32 8 60"])
def test_a_buffer_that_cuts_listeners_off_is_refused(buffer: str) -> None:
    assert problems(valkey_pubsub_buffer=buffer) == [f"valkey_pubsub_buffer: {FLOOR.format(buffer)}"]


@pytest.mark.parametrize("buffer", ["32mb 8mb 60", "33554432 8388608 60", "32768kb 0 0", "0 8mb 60", "0 0 1"])
def test_a_buffer_of_valkeys_own_size_is_taken(buffer: str) -> None:
    assert settings(valkey_pubsub_buffer=buffer)


@pytest.mark.parametrize("lifetime", ["0h", "59s", "1ms", "0w0d", "521w", "999999999999w"])
def test_a_login_lasts_long_enough_to_be_used(lifetime: str) -> None:
    assert problems(open_webui_jwt_expires_in=lifetime) == [
        f"open_webui_jwt_expires_in: expected a duration from a minute to ten years, got {lifetime!r}; people would be "
        "signed out at once, or not be let in; e.g. '24h'"
    ]


@pytest.mark.parametrize("lifetime", ["60s", "1m", "0h90s", "60000ms", "4w", "520w"])
def test_a_login_of_a_minute_or_years_is_taken(lifetime: str) -> None:
    assert settings(open_webui_jwt_expires_in=lifetime)


@pytest.mark.parametrize(
    ("registry", "fine"),
    [
        *((name, True) for name in ("registry.example.org", "registry:5000", "192.0.2.1:443", "A.b-c:65535")),
        *((name, False) for name in ("..", ".", "", "a..b", "-a", "a-", "a/b", "../a", "a:0", "a:65536", "a:٦", "a\n")),
    ],
)
def test_a_registrys_folder_is_a_host_and_a_port(tmp_path: Path, registry: str, fine: bool) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(PEM)
    if fine:
        assert settings(docker_registry_ca={registry: str(ca)})
    else:
        (line,) = problems(docker_registry_ca={registry: str(ca)})
        assert ": expected registry host names with an optional port, got " in line


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        *(
            (email, True)
            for email in ("ops@example.org", "ops+chat@example.org", "o'brien@b.example", "a_b.c%d@localhost")
        ),
        *((email, False) for email in ("`x@y", "#x@y", "<<x@y", "a@b@c", "a b@c", "a@", "@b", "a@b.", "a@-b", "{a}@b")),
        *((email, False) for email in ("a@b\n", "ä@b.example", 'a"@b', "a\\@b", "$a@b")),
    ],
)
def test_who_is_told_of_certificates_has_an_address(address: str, fine: bool) -> None:
    if fine:
        assert settings(proxy_acme_email=address).proxy_acme_email == address
    else:
        assert problems(proxy_acme_email=address) == [
            f"proxy_acme_email: expected an e-mail address, got {address!r}; None goes without"
        ]


@pytest.mark.parametrize("setting", ["open_webui_bind", "proxy_bind", "swarm_address"])
@pytest.mark.parametrize(
    "address",
    ["fe80::1%eth0", "fe80::1%eth0\nports: []", "::1%$(reboot)", "127.0.0.1\n", "٢.٢.٢.٢", "224.0.0.1", "ff02::1"],
)
def test_an_address_is_one_of_a_host_and_nothing_more(setting: str, address: str) -> None:
    (line,) = problems(**{setting: address})
    assert line.startswith(f"{setting}: expected an IP address of the host")


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "fe80::1"])
def test_any_address_of_a_host_is_taken(address: str) -> None:
    assert settings(open_webui_bind=address, proxy_bind=address, swarm_address=address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1", "::1"])
def test_no_other_host_reaches_a_swarm_by_such_an_address(address: str) -> None:
    (line,) = problems(swarm_address=address)
    assert line.startswith("swarm_address: expected an IP address of the host that the other hosts reach")
    assert settings(open_webui_bind=address)


@pytest.mark.parametrize(
    ("schedule", "fine"),
    [
        *((text, True) for text in ("", "daily", "*-*-* 03:30", "Mon..Fri *-*-* 03:30:00", "*:0/15")),
        *((text, True) for text in ("*-02~03", "2026-11-29 03:30 Europe/Berlin", "*-*-* 03:30 America/Port-au-Prince")),
        ("*-*-* 03:30 Etc/GMT+2", True),
        *((text, False) for text in (" ", "   ", " daily", "daily ", "daily\n", "a\nb", "-", "daily; rm", "%h")),
    ],
)
def test_a_schedule_is_one_line_with_something_in_it(schedule: str, fine: bool) -> None:
    if fine:
        assert settings(backup_schedule=schedule).backup_schedule == schedule
    else:
        (line,) = problems(backup_schedule=schedule)
        assert line.startswith("backup_schedule: expected a calendar expression of systemd, or an empty string")


@pytest.mark.parametrize(
    "changes",
    [
        {"network_subnet": "198.18.5.0/٢٤"},
        {"network_subnet": "198.18.5.0/24\n"},
        {"docker_address_pools": [{"base": "10.200.0.0/٢٦", "size": 24}]},
        {"valkey_save": "٣٤ ٢"},
        {"valkey_save": "9999999999 1"},
        {"valkey_pubsub_buffer": "٢gb 256mb 180"},
        {"open_webui_jwt_expires_in": "٢٤h"},
        {"rollout_batch": "٢٦%"},
        {"restore_set": "٢٤٢٦1126T033000Z"},
        {"rollback_to": "٢٤٢٦1126T033000Z"},
        {"public_url": "https://chat.example.org:٨٤٤٣"},
        {"docker_repo_key_sha256": "٤" * 64},
    ],
    ids=str,
)
def test_digits_are_ascii_digits(changes: dict[str, Any]) -> None:
    assert len(problems(**changes)) == 1


def test_no_pattern_of_the_operators_text_takes_the_digits_of_all_scripts() -> None:
    modules = [path for path in (ROOT / "webui_stack/settings").glob("*.py") if path.stem != "digits"]
    assert len(modules) > 3
    for path in modules:
        source = path.read_text()
        assert [word for word in (r"\d", r"\w", "isdigit", "isalnum", "isdecimal") if word in source] == []


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800", "a\udfffb"], ids=ascii)
@pytest.mark.parametrize(
    ("changes", "where"),
    [
        pytest.param(
            lambda text: {"open_webui_env": {"WEBUI_NAME": text}}, "open_webui_env/WEBUI_NAME", id="a variable"
        ),
        pytest.param(lambda text: {"docker_daemon": {"a": [{"b": text}]}}, "docker_daemon/a/0/b", id="deep inside"),
        pytest.param(lambda text: {"restore_over": ["chat-1", text]}, "restore_over/1", id="in a list"),
        pytest.param(lambda text: {"rollout_canary": [text]}, "rollout_canary/0", id="where the type is a union"),
        pytest.param(lambda text: {"lock_file": text}, "lock_file", id="a path"),
        pytest.param(lambda text: {"valkey_password": f"command:{text}"}, "valkey_password", id="a source"),
        pytest.param(lambda text: {"open_webui_port": text}, "open_webui_port", id="and of the wrong type"),
    ],
)
def test_text_that_no_file_can_hold_is_refused_once(changes: Any, where: str, text: str) -> None:
    what = "a NUL character" if "\0" in text else "half of a surrogate pair"
    assert problems(**changes(text)) == [
        f"{where}: expected text that a file can hold, got {what} in it (value hidden); remove it"
    ]


@pytest.mark.parametrize("name", ["A\0", "A\ud800"], ids=ascii)
def test_a_name_that_no_file_can_hold_is_refused_once(name: str) -> None:
    assert problems(open_webui_env={name: "x"}) == [
        f"open_webui_env: expected names that a file can hold, got {name!r}; rename it"
    ]


def test_text_of_all_scripts_is_taken() -> None:
    assert settings(open_webui_env={"WEBUI_NAME": "Чат 🙂\n\t"})


VOLUMES = ["valkey_volume", "open_webui_volume", "proxy_volume", "postgres_volume"]


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("second", range(4))
def test_no_two_services_share_a_volume(first: int, second: int) -> None:
    if first >= second:
        return
    assert problems(**{VOLUMES[first]: "same", VOLUMES[second]: "same"}) == [
        f"{VOLUMES[second]}: expected a volume of its own, got 'same', which {VOLUMES[first]} has as well; one service "
        "would write over the data of the other"
    ]


def test_the_default_of_one_volume_is_not_free_for_another() -> None:
    assert problems(proxy_volume="redis-data")[0].startswith("proxy_volume: expected a volume of its own, got ")
    assert settings(proxy_volume="redis-data", valkey_volume="chat-redis")  # swapped on purpose


@pytest.mark.parametrize("name", throw_away.VOLUMES)
def test_a_volume_that_a_drill_removes_is_nobodys(name: str) -> None:
    assert problems(valkey_volume=name) == [
        f"valkey_volume: expected a volume that lasts, got {name!r}, which runbooks/drill.py removes; rename it"
    ]


OTHERS_FOLDER = (
    "expected a folder of its own, got {!r}; that one is the system's, a person's or emptied at a start; add a name "
    "below a lasting folder, e.g. '/opt/open-webui' or '/var/backups/open-webui'"
)


@pytest.mark.parametrize("setting", ["stack_dir", "backup_dir", "open_webui_shared_dir"])
@pytest.mark.parametrize(
    "path",
    [
        *("/var/lib", "/var/backups", "/home/alice", "/tmp/x", "/tmp/x/y", "/var/tmp/x", "/var/www", "/var/log/x"),
        *(
            "/var/opt",
            "/run/x",
            "/dev/shm/x",
            "/etc/open-webui",
            "/usr/local/x",
            "/var/lib/docker/volumes/x",
            "/var/run/x",
        ),
    ],
)
def test_the_folders_of_others_are_refused(setting: str, path: str) -> None:
    assert problems(**{setting: path}) == [f"{setting}: {OTHERS_FOLDER.format(path)}"]


@pytest.mark.parametrize("path", ["/srv", "/opt", "/home", "/var", "/mnt", "/root", "/", "//", "/srv/", "/srv//x"])
def test_a_folder_at_the_top_is_refused(path: str) -> None:
    assert problems(backup_dir=path)[0].startswith("backup_dir: expected an absolute path of a folder of its own")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/srv/chat",
            "/opt/open-webui",
            "/var/lib/open-webui",
            "/var/backups/open-webui",
            "/home/alice/chat",
            "/mnt/nas",
        ),
        *("/var/www/chat", "/root/chat", "/data/chat", "/var/libx/y", "/tmpx/y", "/home/alice/tmp/x"),
    ],
)
def test_a_folder_below_a_lasting_one_is_taken(path: str) -> None:
    assert settings(stack_dir=path, backup_dir="/srv/backups").stack_dir == path
    assert settings(stack_dir="/srv/stack", backup_dir=path).backup_dir == path


@pytest.mark.parametrize(
    ("stack", "backup"),
    [
        ("/srv/chat", "/srv/chat"),
        ("/srv/chat", "/srv/chat/backups"),
        ("/srv/chat/stack", "/srv/chat"),
    ],
)
def test_no_folder_is_inside_the_other(stack: str, backup: str) -> None:
    assert problems(stack_dir=stack, backup_dir=backup) == [
        f"backup_dir: expected a folder outside stack_dir ({stack}), got {backup}; name another, and move there what "
        "is in it"
    ]
    assert settings(stack_dir="/srv/chat", backup_dir="/srv/chat-backups")


def test_the_shared_folder_is_neither_in_nor_around_the_others() -> None:
    found = problems(stack_dir="/srv/chat", backup_dir="/srv/shared/backups", open_webui_shared_dir="/srv/shared")
    assert [line.partition(",")[0] for line in found] == [
        "open_webui_shared_dir: expected a folder outside backup_dir (/srv/shared/backups)"
    ]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        *(
            (name, value, "")
            for name in ("ENABLE_API_KEYS", "USER_PERMISSIONS_FEATURES_API_KEYS")
            for value in ("True", "false")
        ),
        *((name, "1", "") for name in ("ENABLE_API_KEYS", "AIOHTTP_POOL_CONNECTIONS", "WEBUI_AUTH")),
        *((name, "False", "") for name in ("WEBUI_AUTH", "ENABLE_PASSWORD_AUTH", "ENABLE_FORWARD_USER_INFO_HEADERS")),
        *((name, "", "") for name in ("OPENAI_API_KEY", "LDAP_APP_PASSWORD")),
        ("TOOL_SERVER_CONNECTIONS", "[]", ""),
        ("CODE_EXECUTION_JUPYTER_AUTH", "token", ""),
        ("RAG_SOURCE_METADATA_KEYS", "title,author", ""),
        ("API_KEYS_ALLOWED_ENDPOINTS", "/api/v1/chats", ""),
        ("S3_KEY_PREFIX", "chat/", ""),
        ("OPENAI_API_BASE_URL", "https://api.example.org/v1", ""),
        ("HTTPS_PROXY", "http://proxy.example.org:3128", ""),
        ("WEBUI_NAME", "Chat: a@b", ""),
        ("OPENAI_API_CONFIGS", '{"0": {"enable": true, "prefix_id": "x", "key": ""}}', ""),
        *(
            (name, "marker", "name")
            for name in ("OPENAI_API_KEY", "OPENAI_API_KEYS", "AUTOMATIC1111_API_AUTH", "X_AUTH")
        ),
        *(
            (name, "marker", "name")
            for name in ("TOOL_SERVER_CONNECTIONS", "TERMINAL_SERVER_CONNECTIONS", "SCIM_TOKEN")
        ),
        *(
            (name, "marker", "name")
            for name in ("CHROMA_CLIENT_AUTH_CREDENTIALS", "CHROMA_HTTP_HEADERS", "LDAP_APP_PASSWORD")
        ),
        *((name, "123456", "name") for name in ("LDAP_APP_PASSWORD", "WEBUI_ADMIN_PASSWORD", "PGVECTOR_PGCRYPTO_KEY")),
        ("GOOGLE_APPLICATION_CREDENTIALS_JSON", "{marker}", "name"),
        *(
            (name, "http://user:marker@proxy:3128", "value")
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "ANY")
        ),
        ("OPENAI_API_BASE_URLS", "https://a.example;https://marker@b.example", "value"),
        ("QDRANT_URI", "redis://:marker@cache:6379/0", "value"),
        ("OPENAI_API_CONFIGS", '{"0": {"key": "marker"}}', "value"),
        ("ANY", '{"headers": {"Authorization": "marker"}}', "value"),
        ("OTEL_EXPORTER_OTLP_HEADERS_X", "authorization=Basic marker0123", "value"),
        ("SAML_X", "-----BEGIN PRIVATE KEY-----\nmarker", "value"),
    ],
)
def test_a_secret_is_known_by_its_name_and_its_value(name: str, value: str, what: str) -> None:
    if not what:
        assert settings(open_webui_env={name: value}).open_webui_env == {name: value}
        return
    assert problems(open_webui_env={name: value}) == [
        f"open_webui_env/{name}: expected no secret here, got a {what} that looks like one (value hidden); "
        "move it to open_webui_secret_env, which keeps it out of compose.yaml and logs"
    ]
    assert settings(open_webui_secret_env={name: "env:X"})


@pytest.mark.parametrize(
    "changes",
    [
        {"open_webui_env": {"HTTP_PROXY": ["http://user:marker@proxy"]}},
        {"open_webui_env": {"WEBUI_NAME": b"marker"}},
        {"docker_daemon": {"proxies": {"http-proxy": "http://user:marker@proxy"}, "hosts": []}},
        {"docker_repo_url": "https://user:marker@packages.example.org/"},
        {"open_webui_public_url": "https://user:marker@chat.example.org"},
    ],
)
def test_no_error_shows_a_value_that_is_a_secret_by_itself(changes: dict[str, Any]) -> None:
    (line,) = problems(**changes)
    assert "marker" not in line


@pytest.mark.parametrize(
    ("limit", "pool"),
    [(4096, 1792), (8192, 2000), (0, 2000), (2048, 768), (592, 40), (64, 40)],
)
def test_both_pools_of_threads_fit_in_the_container(limit: int, pool: int) -> None:
    """Two pools and 512 other threads (open_webui/main.py, 0.12.4: anyio's limiter and asyncio's executor)."""
    assert settings(open_webui_pids_limit=limit).thread_pool_size == pool


@pytest.mark.parametrize(("limit", "most"), [(4096, 1792), (1024, 256), (64, 0)])
def test_more_threads_than_the_container_may_have_are_refused(limit: int, most: int) -> None:
    given = {"open_webui_pids_limit": limit}
    assert problems(open_webui_env={"THREAD_POOL_SIZE": str(most + 1)}, **given) == [
        f"open_webui_env/THREAD_POOL_SIZE: expected at most {most} for open_webui_pids_limit = {limit}, got "
        f"{most + 1}; it sizes two pools, which with 512 other threads may be {2 * most + 514}: "
        "lower it, or raise the limit"
    ]
    assert settings(open_webui_env={"THREAD_POOL_SIZE": str(most)}, **given) if most else True
    assert settings(open_webui_env={"THREAD_POOL_SIZE": "9000"}, open_webui_pids_limit=0)


@pytest.mark.parametrize("image", ["v0.12.4", "v0.13.0-slim", "git-abc1234", "v0.12.4@sha256:" + "0" * 64])
def test_a_timeout_is_taken_from_the_release_on_that_stands_it(image: str) -> None:
    """What names no release counts as the newest."""
    given = {"open_webui_image": f"ghcr.io/open-webui/open-webui:{image}"}
    assert settings(open_webui_env={"REDIS_SOCKET_TIMEOUT": "5"}, **given)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("port", "open_webui_port or proxy_http_port"),
        ("domain", "public_url"),
        ("email", "proxy_acme_email"),
        ("image", "open_webui_image or valkey_image"),
        ("replicas", "open_webui_replicas"),
        ("volume", "open_webui_volume or valkey_volume"),
        ("tls", "public_url or proxy_tls"),
    ],
)
def test_an_everyday_word_for_a_setting_is_not_passed_over(key: str, meant: str) -> None:
    assert problems(**{key: "x"}) == [
        f"{key}: expected a setting of this project, got an unknown name; did you mean {meant}?"
    ]


def test_every_everyday_word_leads_to_settings_there_are() -> None:
    assert {name for names in EVERYDAY_WORDS.values() for name in names} <= set(Settings.model_fields)
    assert not set(EVERYDAY_WORDS) & set(Settings.model_fields)


# --- Several at once, and what is none of our business ----------------------------------------------


def test_all_mistakes_come_out_together() -> None:
    assert problems(open_webui_port=0, valkey_pasword="x", docker_address_pools=[{"base": "10.0.0.0/8"}]) == [
        "valkey_pasword: expected a setting of this project, got an unknown name; did you mean valkey_password?",
        "docker_address_pools/0/size: expected this key, got nothing; see inventories/group_data/all.py",
        "open_webui_port: expected a TCP port from 1 to 65535, as a number, got 0; e.g. 3000",
    ]


def test_all_disagreements_come_out_together() -> None:
    found = problems(
        docker_address_pools=[{"base": "198.18.0.0/16", "size": 8}],
        network_subnet="198.18.5.0/24",
        open_webui_env={"UVICORN_WORKERS": "2", "PORT": "80"},
    )
    assert [line.partition(":")[0] for line in found] == [
        "docker_address_pools/0/size",
        "network_subnet",
        "open_webui_env/UVICORN_WORKERS",
        "open_webui_env/PORT",
    ]


def test_a_bad_field_does_not_hide_a_disagreement() -> None:
    found = problems(open_webui_port=0, open_webui_env={"UVICORN_WORKERS": "2"})
    assert [line.partition(":")[0] for line in found] == ["open_webui_port", "open_webui_env/UVICORN_WORKERS"]


def test_the_error_text_is_its_problems() -> None:
    with pytest.raises(SettingsError) as caught:
        settings(open_webui_port=0, verify_timeout_s=0)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param({"ssh_user": "ops", "ssh_key": "~/.ssh/id", "ssh_hostname": "203.0.113.5"}, id="ssh connector"),
        pytest.param({"docker_identifier": "abc", "docker_platform": "linux/arm64"}, id="docker connector"),
        pytest.param({"_sudo": True, "_sudo_password": "marker", "_stack_dir": "x"}, id="global arguments"),
        pytest.param({"rack": 4, "contact": "ops@example.org", "webui_note": "x"}, id="the inventory's own"),
        pytest.param({"fake_responses": {}, "fake_delay": 0}, id="other connectors"),
        pytest.param(
            {"public_ip": "203.0.113.5", "database_name": "crm", "proxy_host": "squid", "topology_zone": "b"},
            id="common words, which some settings begin with as well",
        ),
    ],
)
def test_keys_of_others_are_left_alone(foreign: dict[str, Any]) -> None:
    assert settings(**foreign) == settings()


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("public_ur", "public_url"),
        ("publc_url", "public_url"),
        ("database_urls", "database_url"),
        ("proxy_acme_mail", "proxy_acme_email"),
        ("proxy_certificat", "proxy_certificate"),
        ("topolgy", "topology"),
        ("swarm_managers", "swarm_manager"),
        ("postgres_max_connection", "postgres_max_connections"),
    ],
)
def test_a_near_miss_is_caught_though_its_first_word_is_common(key: str, meant: str) -> None:
    assert problems(**{key: "x"}) == [
        f"{key}: expected a setting of this project, got an unknown name; did you mean {meant}?"
    ]


# --- Fine alone and wrong together ------------------------------------------------------------------

MANY: dict[str, Any] = {"open_webui_replicas": 3, "public_url": "https://chat.example.org"}
SWARM: dict[str, Any] = {"topology": "swarm", "open_webui_shared_dir": "/mnt/chat"}
NO_FILE_TO_SHARE = "got 'sqlite'; processes that share a file of SQLite corrupt it"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param(
            {**MANY, "database": "sqlite"},
            f"database: expected 'postgres' or 'auto' for open_webui_replicas = 3, {NO_FILE_TO_SHARE}",
            id="several processes on SQLite",
        ),
        pytest.param(
            {**SWARM, "database": "sqlite"},
            f"database: expected 'postgres' or 'auto' for a swarm, {NO_FILE_TO_SHARE}",
            id="a swarm on SQLite, even with one process: while it moves there are two",
        ),
        pytest.param(
            {"database_url": "env:X", "database": "postgres"},
            "database: expected 'auto' beside database_url, got 'postgres'; remove one of the two",
            id="two databases",
        ),
        pytest.param(
            {"open_webui_replicas": 2},
            "public_url: expected the proxy's URL for open_webui_replicas = 2, got None; only the proxy spreads people "
            "over them",
            id="several processes and nobody before them",
        ),
        pytest.param(
            {"database": "postgres", "open_webui_secret_env": {"DATABASE_URL": "env:X"}},
            "open_webui_secret_env/DATABASE_URL: expected database_url instead, got the variable; remove it",
            id="the database's URL a second time, secret",
        ),
        pytest.param(
            {"database_url": "env:X", "open_webui_secret_env": {"PGVECTOR_DB_URL": "env:X"}},
            "open_webui_secret_env/PGVECTOR_DB_URL: expected database_url instead, got the variable; remove it",
            id="the vectors' URL",
        ),
        *[
            pytest.param(
                {"database": "postgres", "open_webui_env": {name: "5"}},
                f"open_webui_env/{name}: expected {setting} instead, got the variable; remove it",
                id=name,
            )
            for name, setting in {
                "DATABASE_POOL_SIZE": "database_pool_size",
                "DATABASE_POOL_MAX_OVERFLOW": "database_pool_overflow",
                "PGVECTOR_POOL_SIZE": "database_pool_size",
            }.items()
        ],
        pytest.param(
            {**MANY, "open_webui_env": {"ENABLE_DB_MIGRATIONS": "true"}},
            "open_webui_env/ENABLE_DB_MIGRATIONS: expected the first process to migrate and no other, as it is "
            "without, got the variable; remove it",
            id="every process migrates",
        ),
        pytest.param(
            {"public_url": "https://chat.example.org", "open_webui_public_url": "https://chat.example.org"},
            "open_webui_public_url: expected None beside public_url, got a URL; that one is for a proxy of your own, "
            "remove one of them",
            id="two proxies",
        ),
        pytest.param(
            {"public_url": "https://chat.example.org", "proxy_tls": "files", "proxy_certificate_key": "env:X"},
            "proxy_certificate: expected it for proxy_tls = 'files', got None; name the file",
            id="a key without its certificate",
        ),
        pytest.param(
            {"public_url": "https://chat.example.org:80"},
            "proxy_http_port: expected another port than public_url's, got 80 for both; 0 does without it",
            id="one port for both, of the URL",
        ),
        pytest.param(
            {"public_url": "https://chat.example.org", "proxy_http_port": 443},
            "proxy_http_port: expected another port than public_url's, got 443 for both; 0 does without it",
            id="one port for both, of HTTPS",
        ),
        pytest.param(
            {"topology": "swarm"},
            "open_webui_shared_dir: expected a folder that all hosts share, or open_webui_env with STORAGE_PROVIDER = "
            "'s3' and its bucket, got neither; a file uploaded to one host would be missing on the others",
            id="uploads on one host of a swarm",
        ),
        pytest.param(
            {"topology": "swarm", "open_webui_env": {"STORAGE_PROVIDER": "local"}},
            "open_webui_shared_dir: expected a folder that all hosts share, or open_webui_env with STORAGE_PROVIDER = "
            "'s3' and its bucket, got neither; a file uploaded to one host would be missing on the others",
            id="uploads on one host of a swarm, said so",
        ),
    ],
)
def test_what_is_fine_alone_and_wrong_together_gets_this_one_line(changes: dict[str, Any], line: str) -> None:
    assert problems(**changes) == [line]


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_text(PEM)
    files = {"public_url": "https://chat.example.org", "proxy_tls": "files", "proxy_certificate": str(chain)}
    assert problems(**files) == [
        "proxy_certificate_key: expected it for proxy_tls = 'files', got None; name the file",
    ]
    assert settings(**files, proxy_certificate_key="env:X").proxy_tls == "files"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(MANY, id="several processes, their database and their proxy"),
        pytest.param({**MANY, "database_url": "env:X"}, id="several on a Postgres of the operator's"),
        pytest.param(SWARM, id="a swarm with a shared folder"),
        pytest.param({"topology": "swarm", "open_webui_env": {"STORAGE_PROVIDER": "s3"}}, id="a swarm with S3"),
        pytest.param({"open_webui_public_url": "https://chat.example.org", "proxy_http_port": 443}, id="no proxy"),
        pytest.param({"public_url": "https://chat.example.org:8443", "proxy_http_port": 443}, id="swapped ports"),
        pytest.param({"proxy_tls": "files"}, id="files of no proxy"),
        pytest.param({"open_webui_env": {"DATABASE_POOL_SIZE": "5"}}, id="a pool of SQLite"),
        pytest.param({"open_webui_secret_env": {"DATABASE_URL": "env:X"}}, id="a database we know nothing of"),
    ],
)
def test_what_goes_together_is_taken(changes: dict[str, Any]) -> None:
    assert isinstance(settings(**changes), Settings)


@pytest.mark.parametrize(
    ("replicas", "pool", "overflow", "needed"),
    [
        pytest.param(1, 15, 20, 160, id="one process, and the one that takes its place"),
        pytest.param(5, 15, 20, 460, id="as many as the defaults carry"),
        pytest.param(5, 10, 0, 160, id="smaller pools"),
        pytest.param(64, 1, 0, 465, id="many processes with one connection each"),
    ],
)
def test_postgres_takes_the_pools_of_all_processes_or_is_refused(
    replicas: int, pool: int, overflow: int, needed: int
) -> None:
    """(replicas + 1) * (2 * (pool + overflow) + 5) + 10, by hand."""
    changes: dict[str, Any] = {
        **MANY,
        "database": "postgres",
        "open_webui_replicas": replicas,
        "database_pool_size": pool,
        "database_pool_overflow": overflow,
    }
    assert settings(**changes, postgres_max_connections=needed).postgres_connections == needed
    (line,) = problems(**changes, postgres_max_connections=needed - 1)
    assert line == (
        f"postgres_max_connections: expected {needed} or more for {replicas} processes of up to "
        f"{2 * (pool + overflow) + 5} and one more while they are replaced, got {needed - 1}; raise it, or lower "
        "database_pool_size and database_pool_overflow"
    )
    elsewhere = {**changes, "database": "auto", "database_url": "env:X"}
    assert settings(**elsewhere, postgres_max_connections=needed - 1)  # its size is not ours to judge


def test_all_that_is_wrong_together_comes_out_together_and_waits_for_each_alone() -> None:
    wrong: dict[str, Any] = {"topology": "swarm", "database": "sqlite", "open_webui_env": {"UVICORN_WORKERS": "2"}}
    found = [line.partition(":")[0] for line in problems(**wrong)]
    assert found == ["open_webui_env/UVICORN_WORKERS", "database", "open_webui_shared_dir"]
    found = [line.partition(":")[0] for line in problems(**wrong, open_webui_port=0)]
    assert found == ["open_webui_port", "open_webui_env/UVICORN_WORKERS"]


# --- What follows from them -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "sqlite"),
        ({"database": "sqlite"}, "sqlite"),
        ({"database": "postgres"}, "postgres"),
        (MANY, "postgres"),
        (SWARM, "postgres"),
        ({"database_url": "env:X"}, "external"),
        ({**MANY, "database_url": "env:X"}, "external"),
    ],
)
def test_the_database_follows_from_what_the_replicas_need(changes: dict[str, Any], kind: str) -> None:
    assert settings(**changes).database_kind == kind


@pytest.mark.parametrize(
    ("changes", "services"),
    [
        pytest.param({}, ["redis", "open-webui"], id="the tutorial's"),
        pytest.param(
            MANY, ["redis", "postgres", "open-webui", "open-webui-2", "open-webui-3", "proxy"], id="several processes"
        ),
        pytest.param({**MANY, **SWARM}, ["redis", "postgres", "open-webui", "proxy"], id="a swarm counts them itself"),
        pytest.param({"database_url": "env:X"}, ["redis", "open-webui"], id="a database elsewhere is no service"),
        pytest.param({"public_url": "https://a.example.org"}, ["redis", "open-webui", "proxy"], id="a proxy alone"),
    ],
)
def test_the_services_follow_in_the_order_they_start(changes: dict[str, Any], services: list[str]) -> None:
    assert list(settings(**changes).images) == services


@pytest.mark.parametrize(
    ("public_url", "name", "port", "external"),
    [
        (None, "", 443, ""),
        ("https://chat.example.org/", "chat.example.org", 443, "https://chat.example.org"),
        ("https://chat.example.org:8443", "chat.example.org", 8443, "https://chat.example.org:8443"),
    ],
)
def test_the_proxys_name_and_port_are_its_urls(public_url: str | None, name: str, port: int, external: str) -> None:
    found = settings(public_url=public_url)
    assert (found.proxy_name, found.proxy_port, found.external_url) == (name, port, external)


def test_an_operators_wish_is_what_differs_from_the_defaults() -> None:
    assert settings().docker_daemon_explicit == set()
    changed = {**DEFAULTS["docker_daemon"], "log-opts": {"max-size": "50m"}, "mtu": 1400}
    pools = [{"base": "198.19.0.0/17", "size": 24}]
    found = settings(docker_daemon=changed, docker_address_pools=pools).docker_daemon_explicit
    assert found == {"log-opts", "mtu", "default-address-pools"}
    assert settings(**SWARM).docker_daemon_explicit == {"live-restore"}


def test_a_swarms_docker_goes_without_live_restore() -> None:
    assert settings().docker_daemon_json["live-restore"] is True
    assert settings(**SWARM).docker_daemon_json["live-restore"] is False  # one that has it on joins none


# --- Every default can be set otherwise -------------------------------------------------------------

CHOICES = [
    ("preflight_min_memory_mb", 0),
    ("preflight_min_disk_mb", 0),
    ("preflight_max_clock_skew_s", 3600),
    ("docker_source", "distro"),
    ("docker_source", "present"),
    ("docker_repo_url", "http://packages.example.org:8080/docker/linux"),
    ("docker_repo_url", "https://packages.example.org/a@b/linux"),
    ("docker_repo_key_sha256", "0" * 64),
    ("docker_repo_rpm_key", str(ROOT / "templates/docker-ce.asc")),
    ("docker_daemon", {}),
    ("docker_daemon", {"log-driver": "journald", "dns": ["192.0.2.1"]}),
    ("docker_restart_stops_others", True),
    ("docker_address_pools", [{"base": "198.19.0.0/17", "size": 24}, {"base": "198.19.128.0/17", "size": 26}]),
    ("network_subnet", "198.18.5.0/24"),
    ("stack_dir", "/srv/stacks/open_webui-1.2"),
    ("stack_adopt", True),
    ("stack_adopt_drops", ["networks", "labels"]),
    ("lock_file", "~/locks/chat.lock.toml"),
    ("lock_file", ""),
    ("image_source", "bundle"),
    ("bundle_file", "/media/usb/chat.tar"),
    ("valkey_volume", "tutorial_redis-data"),
    ("valkey_memory_limit_mb", 512),
    ("valkey_pids_limit", 0),
    ("open_webui_volume", "chat.data_2"),
    ("open_webui_memory_limit_mb", 4096),
    ("open_webui_pids_limit", 64),
    ("open_webui_cap_add", ["DAC_OVERRIDE", "NET_BIND_SERVICE"]),
    ("open_webui_read_only", True),
    ("valkey_image", "registry.example.org:5000/valkey/valkey:9.0.8-alpine"),
    ("valkey_image", "valkey/valkey@sha256:" + "a" * 64),
    ("valkey_image", "docker.io/valkey/valkey:latest@sha256:" + "0" * 64),
    ("valkey_password", "env:VALKEY_PASSWORD"),
    ("valkey_password", "file:~/valkey password"),
    ("valkey_default_user", "all"),
    ("valkey_save", ""),
    ("valkey_save", "3600 1 300 100 60 10000"),
    ("valkey_appendonly", False),
    ("valkey_appendfsync", "always"),
    ("valkey_appendfsync", "no"),
    ("valkey_maxclients", 32),
    ("valkey_timeout_s", 0),
    ("valkey_timeout_s", 120),
    ("valkey_pubsub_buffer", "0 0 0"),
    ("valkey_pubsub_buffer", "32mb 8388608 60"),
    ("valkey_pubsub_buffer", "64mb 0 0"),
    ("open_webui_image", "localhost:5000/open-webui:v0.12.4-slim"),
    ("open_webui_bind", "::1"),
    ("open_webui_bind", "0.0.0.0"),
    ("open_webui_port", 65535),
    ("open_webui_public_url", "https://chat.example.org"),
    ("open_webui_public_url", "http://[2001:db8::1]:8080"),
    ("open_webui_cors_origins", ["https://a.example.org:8443", "http://b.example.org"]),
    ("open_webui_secret_key", "command:pass show open-webui | head -1"),
    ("open_webui_key_prefix", "team_2-chat"),
    ("open_webui_jwt_expires_in", "-1"),
    ("open_webui_jwt_expires_in", "1w2d12h"),
    ("open_webui_persistent_config", False),
    ("open_webui_offline", True),
    ("open_webui_env", {"ENABLE_SIGNUP": "False", "WEBUI_NAME": "", "OPENAI_API_BASE_URL": "https://api.example.org"}),
    ("open_webui_secret_env", {"OPENAI_API_KEY": "env:OPENAI_API_KEY", "DATABASE_URL": "file:/run/db-url"}),
    ("open_webui_start_timeout_s", 3600),
    ("open_webui_health_interval_s", 300),
    ("valkey_health_interval_s", 1),
    ("valkey_health_timeout_s", 60),
    ("valkey_health_retries", 100),
    ("topology", "swarm"),
    ("open_webui_replicas", 5),
    ("public_url", "https://chat.example.org"),
    ("public_url", "https://chat.example.org:8443"),
    ("proxy_tls", "internal"),
    ("proxy_tls", "files"),
    ("proxy_acme_email", "ops+chat@example.org"),
    ("proxy_certificate_key", "file:~/chat.key"),
    ("proxy_bind", "::"),
    ("proxy_http_port", 0),
    ("proxy_http_port", 8080),
    ("proxy_image", "registry.example.org:5000/library/caddy:2.10.2"),
    ("proxy_volume", "caddy_data"),
    ("database", "sqlite"),
    ("database", "postgres"),
    ("database_url", "env:DATABASE_URL"),
    ("database_switch", ["chat-1.example.org"]),
    ("database_pool_size", 1),
    ("database_pool_overflow", 0),
    ("postgres_image", "registry.example.org:5000/pgvector/pgvector:0.8.1-pg17"),
    ("postgres_volume", "chat.postgres"),
    ("postgres_password", "command:pass show postgres"),
    ("postgres_max_connections", 10_000),
    ("postgres_memory_limit_mb", 2048),
    ("swarm_manager", True),
    ("swarm_runs", []),
    ("swarm_runs", ["data", "proxy", "open-webui"]),
    ("swarm_availability", "drain"),
    ("swarm_address", "192.0.2.7"),
    ("swarm_address_pool", "198.18.0.0/16"),
    ("swarm_encrypted", False),
    ("swarm_mtu", 1400),
    ("open_webui_shared_dir", "/mnt/chat"),
    ("watchdog_pause_s", 0),
    ("watchdog_pause_s", 30),
    ("verify_level", "ping"),
    ("verify_level", "user"),
    ("verify_event_kb", 16000),
    ("verify_timeout_s", 1),
    ("verify_hold_s", 60),
    ("verify_url", "http://127.0.0.1:20001"),
    ("backup_dir", "/srv/backups"),
    ("backup_min_free_mb", 0),
    ("backup_keep", 0),
    ("backup_schedule", "Mon..Fri *-*-* 03:30:00"),
    ("backup_age_recipient", "age1" + "q" * 58),
    ("backup_fetch", "~/backups"),
    ("backup_restic_repository", "s3:https://s3.example.org/bucket name"),
    ("backup_restic_repository", "sftp://backup@nas:2222//srv/restic"),
    ("backup_restic_password", "file:~/restic.key"),
    ("backup_restic_env", {"AWS_ACCESS_KEY_ID": "env:ID"}),
    ("restore_set", "20261126T033000Z"),
    ("restore_over", ["chat-1.example.org"]),
    ("restore_age_identity", "file:~/backup.key"),
    ("restore_from", "backups/chat-1"),
    ("restore_restic_host", "chat-1.example.org"),
    ("upgrade_rehearse", False),
    ("rollback_to", "20261126T033000Z"),
    ("teardown_data", ["chat-1.example.org"]),
    ("teardown_backups", ["chat-1.example.org"]),
    ("teardown_docker", True),
    ("rotate_secrets", ["open_webui_secret_key"]),
    ("rollout_canary", 1),
    ("rollout_canary", ["chat-1.example.org", "chat-9.example.org"]),
    ("rollout_batch", 10),
    ("rollout_batch", "100%"),
    ("rollout_max_failures", 2),
    ("rollout_pause_s", 86400),
]


# What a setting can't be without.
NEEDED: dict[str, dict[str, Any]] = {
    "backup_restic_repository": {"backup_restic_password": "env:X"},
    "open_webui_replicas": {"public_url": "https://chat.example.org"},
    "topology": {"open_webui_shared_dir": "/mnt/chat"},
}


@pytest.mark.parametrize(("name", "value"), CHOICES, ids=[f"{name}={value!r:.40}" for name, value in CHOICES])
def test_default_can_be_set_otherwise(name: str, value: Any) -> None:
    assert settings(**NEEDED.get(name, {}), **{name: value}).model_dump()[name] == value != DEFAULTS[name]


def test_every_setting_has_another_good_value() -> None:
    elsewhere = {"docker_registry_ca", "proxy_certificate", "verify_ca"}  # need a file: the next tests
    assert {name for name, _ in CHOICES} | elsewhere == set(Settings.model_fields)


def test_proxy_certificate_can_be_set(tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_text(PEM)
    assert settings(proxy_certificate=str(chain)).proxy_certificate == str(chain)


def test_verify_ca_can_be_set(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(PEM)
    assert settings(verify_ca=str(ca)).verify_ca == str(ca)


def test_registry_ca_can_be_set(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(f"# the lab's CA\n{PEM}")
    wanted = {"registry.example.org:5000": str(ca)}
    assert settings(docker_registry_ca=wanted).docker_registry_ca == wanted


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings().open_webui_port = 1


# --- Origins: as a browser spells them -----------------------------------------------------------------

SPELLED = [
    pytest.param("https://chat.example.org", "https://chat.example.org", id="as it is"),
    pytest.param("https://chat.example.org/", "https://chat.example.org", id="a slash"),
    pytest.param("https://Chat.Example.ORG", "https://chat.example.org", id="capitals"),
    pytest.param("HTTPS://chat.example.org", "https://chat.example.org", id="a capital scheme"),
    pytest.param("https://chat.example.org:443", "https://chat.example.org", id="https's own port"),
    pytest.param("https://chat.example.org:0443/", "https://chat.example.org", id="a zero before the port"),
    pytest.param("https://chat.example.org:", "https://chat.example.org", id="a colon and no port"),
    pytest.param("https://chat.example.org:8443", "https://chat.example.org:8443", id="another port"),
    pytest.param("https://chat.example.org:80", "https://chat.example.org:80", id="http's port is none of https"),
    pytest.param("https://Bücher.example", "https://xn--bcher-kva.example", id="an umlaut"),
    pytest.param("https://faß.example", "https://xn--fa-hia.example", id="a sharp s stays one"),
    pytest.param("https://チャット.example:443", "https://xn--7ckep0i.example", id="Japanese"),
    pytest.param("https://xn--bcher-kva.example", "https://xn--bcher-kva.example", id="in ASCII already"),
]
PLAIN = [
    pytest.param("http://chat.example.org:80", "http://chat.example.org", id="http's own port"),
    pytest.param("http://chat.example.org:443", "http://chat.example.org:443", id="https's port is none of http"),
    pytest.param("http://[2001:DB8:0:0:0:0:0:1]:80", "http://[2001:db8::1]", id="IPv6 in full"),
    pytest.param("http://[::FFFF:192.0.2.1]:8080", "http://[::ffff:c000:201]:8080", id="IPv4 in IPv6"),
    pytest.param("http://192.0.2.1:3000", "http://192.0.2.1:3000", id="IPv4"),
    pytest.param("http://LOCALHOST:3000", "http://localhost:3000", id="a name of one word"),
    pytest.param("https://chat.example.org.", "https://chat.example.org.", id="the root's dot, which browsers keep"),
]


@pytest.mark.parametrize(("written", "sent"), SPELLED)
def test_the_proxys_url_is_taken_as_browsers_spell_it(written: str, sent: str) -> None:
    found = settings(public_url=written, proxy_http_port=0)
    assert (found.public_url, found.external_url, found.cors_allow_origin) == (sent, sent, sent)
    assert f"https://{found.proxy_name}" + ("" if found.proxy_port == 443 else f":{found.proxy_port}") == sent


@pytest.mark.parametrize(("written", "sent"), SPELLED + PLAIN)
def test_every_other_origin_is_taken_as_browsers_spell_it(written: str, sent: str) -> None:
    found = settings(open_webui_public_url=written, open_webui_cors_origins=[written, "https://b.example"])
    assert (found.external_url, found.cors_allow_origin) == (sent, f"{sent};https://b.example")
    assert settings(verify_url=written).verify_url == written  # a way to dial, with the port that was said


@pytest.mark.parametrize(
    "written",
    [
        *(
            "https://chat.example.org\n",
            "https://chat.exa\tmple.org",
            " https://chat.example.org",
            "https:chat.example",
        ),
        *("https://a.example;https://b.example", "https://chat.example.org?", "https://chat.example.org#", "https://"),
        *(
            "https:\\\\chat.example.org",
            "https://ch%61t.example.org",
            "https://chat..example.org",
            "https://[fe80::1%25a]",
        ),
        *(
            "https://chat.example.org:0",
            "https://chat.example.org:x",
            "https://chat .example",
            "https://xn--a.example",
        ),
        *("app://chat", "https://chat.example.org//", "https://a'b.example", "https://[::1", "null"),
    ],
)
def test_what_is_no_origin_is_refused(written: str) -> None:
    for setting in ("public_url", "open_webui_public_url", "verify_url"):
        (line,) = problems(**{setting: written})
        assert line.startswith(f"{setting}: expected a URL of ")
    assert problems(open_webui_cors_origins=[written])[0].startswith("open_webui_cors_origins/0: expected a URL of ")


@pytest.mark.parametrize("written", ["https://chat.example.org.", "https://a_b.example", "https://-a.example"])
def test_no_certificate_is_for_such_a_name(written: str) -> None:
    assert problems(public_url=written)[0].startswith("public_url: expected a URL of https, a host name and")


# --- CORS -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("public_url", "origins", "expected"),
    [
        pytest.param(None, [], "*", id="nothing known, upstream's default"),
        pytest.param("https://chat.example.org", [], "https://chat.example.org", id="the public URL"),
        pytest.param("https://chat.example.org/", [], "https://chat.example.org", id="no browser sends the slash"),
        pytest.param(
            None,
            ["http://a.example.org", "http://b.example.org/"],
            "http://a.example.org;http://b.example.org",
            id="a list alone",
        ),
        pytest.param(
            "https://c.example.org",
            ["http://a.example.org", "https://c.example.org/"],
            "https://c.example.org;http://a.example.org",
            id="the public URL first, each once",
        ),
    ],
)
def test_cors_lists_each_public_origin_once(public_url: str | None, origins: list[str], expected: str) -> None:
    assert settings(open_webui_public_url=public_url, open_webui_cors_origins=origins).cors_allow_origin == expected


def test_the_digest_tells_what_a_host_was_told_and_not_how_the_run_went() -> None:
    run = {
        "rollout_batch": 5,
        "restore_over": ["a"],
        "rotate_secrets": [],
        "rollback_to": "previous",
        "teardown_data": ["a"],
        "database_switch": ["a"],
    }
    assert settings().digest == settings(**run).digest
    assert settings().digest != settings(open_webui_jwt_expires_in="1h").digest
    assert len(settings().digest) == 12
