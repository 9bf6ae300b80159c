"""Each mistake in a host's data gets the error line that helps, and all of them come out together."""

from __future__ import annotations

from typing import Any

import pytest

from tests.defaults import DEFAULTS, ROOT, settings
from tests.unit.settings.given import problems
from tests.unit.settings.test_saved_settings import MISTAKES as OF_SAVED_SETTINGS
from tests.unit.settings.test_sign_in import MISTAKES as OF_SIGN_IN
from webui_stack.settings.errors import SettingsError
from webui_stack.settings.model import Settings
from webui_stack.settings.validation import from_data


def test_a_missing_setting_is_named() -> None:
    data = {name: value for name, value in DEFAULTS.items() if name != "open_webui_port"}
    with pytest.raises(SettingsError) as caught:
        from_data(data)
    assert caught.value.problems == [
        "open_webui_port: expected a value, got nothing; see inventories/group_data/all.py"
    ]


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
        "docker_source: expected 'docker-ce', 'distro' or 'present', got 'podman'; see docs/how-to/docker.md",
        id="docker_source: unknown",
    ),
    pytest.param(
        {"docker_source": None},
        "docker_source: expected 'docker-ce', 'distro' or 'present', got None; see docs/how-to/docker.md",
        id="docker_source: None",
    ),
    pytest.param(
        {"lock_file": 1},
        "lock_file: expected a path on this machine, or an empty string, got 1; '' follows no lock",
        id="lock_file: no text",
    ),
    pytest.param(
        {"image_source": "archive"},
        "image_source: expected 'registry' or 'bundle', got 'archive'; see docs/how-to/air-gapped.md",
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
        {"stack_overlay": "/nowhere/chat.override.yaml"},
        "stack_overlay: expected a compose file in YAML on this machine, got '/nowhere/chat.override.yaml'; "
        "No such file or directory",
        id="stack_overlay: no such file",
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
        "open_webui_env/UVICORN_WORKERS: must not be set; remove it: more than "
        "one worker corrupts the database; set open_webui_replicas instead",
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
        "open_webui_replicas: expected a number of replicas from 1 to 64, got 0; e.g. 2",
        id="open_webui_replicas: none",
    ),
    pytest.param(
        {"open_webui_replicas": 65},
        "open_webui_replicas: expected a number of replicas from 1 to 64, got 65; e.g. 2",
        id="open_webui_replicas: too many",
    ),
    pytest.param(
        {"open_webui_replicas": "3"},
        "open_webui_replicas: expected a number of replicas from 1 to 64, got '3'; e.g. 2",
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
        "proxy_bind: expected an IP address of the host, or a list of them, got 'chat.example.org'; '127.0.0.1' for "
        "this host only, '0.0.0.0' for everyone, ['0.0.0.0', '::'] with IPv6",
        id="proxy_bind: a name",
    ),
    pytest.param(
        {"proxy_bind": ["192.0.2.7", "chat.example.org"]},
        "proxy_bind: expected an IP address of the host, or a list of them, got ['192.0.2.7', 'chat.example.org']; "
        "'127.0.0.1' for this host only, '0.0.0.0' for everyone, ['0.0.0.0', '::'] with IPv6",
        id="proxy_bind: a name in the list",
    ),
    pytest.param(
        {"proxy_bind": []},
        "proxy_bind: expected an IP address of the host, or a list of them, got []; '127.0.0.1' for this host only, "
        "'0.0.0.0' for everyone, ['0.0.0.0', '::'] with IPv6",
        id="proxy_bind: no address",
    ),
    pytest.param(
        {"proxy_bind": ["::", "0.0.0.0", "127.0.0.1"]},
        "proxy_bind: expected addresses without each other's ports, got ['::', '0.0.0.0', '127.0.0.1']; '0.0.0.0' has "
        "those of all IPv4 addresses, '::' those of all IPv6 addresses: remove the others",
        id="proxy_bind: one within another",
    ),
    pytest.param(
        {"proxy_acme_directory": "http://acme.example.org/directory"},
        "proxy_acme_directory: expected the https URL of an ACME directory, got 'http://acme.example.org/directory'; "
        "e.g. 'https://acme-staging-v02.api.letsencrypt.org/directory'; None asks Let's Encrypt",
        id="proxy_acme_directory: no TLS",
    ),
    pytest.param(
        {"proxy_acme_directory": "https://localhost:14000/dir"},
        "proxy_acme_directory: expected an address that containers reach, got 'https://localhost:14000/dir'; that one "
        "is the proxy's own container there; name an address of the server",
        id="proxy_acme_directory: localhost",
    ),
    pytest.param(
        {"proxy_acme_directory": "https://me:marker@acme.example.org/directory"},
        "proxy_acme_directory: expected a URL without a login, got a value (hidden); it would be readable in the "
        "Caddyfile, and ACME has accounts instead",
        id="proxy_acme_directory: a login",
    ),
    *[
        pytest.param(
            {"otel": {"endpoint": endpoint}},
            f"otel/endpoint: expected an address that containers reach, got '{endpoint}'; that one is Open WebUI's own "
            "container there; a collector on this server is 'http://host.docker.internal:PORT'",
            id=f"otel: {endpoint}",
        )
        for endpoint in ("http://localhost:4317", "http://127.0.0.1:4317", "http://[::1]:4317", "http://0.0.0.0:4317")
    ],
    pytest.param(
        {"otel": {"endpoint": "https://me:marker@collector.example.org:4317"}},
        "otel/endpoint: expected a URL without a login, got a value (hidden); it would be readable in compose.yaml; "
        "put OTEL_BASIC_AUTH_USERNAME into open_webui_env and OTEL_BASIC_AUTH_PASSWORD into open_webui_secret_env",
        id="otel: a login",
    ),
    *[
        pytest.param(
            {"otel": {"endpoint": endpoint}},
            f"otel/endpoint: expected an http(s) URL without a query, got '{endpoint}'; e.g. "
            "'http://collector.example.org:4317'",
            id=f"otel: {why}",
        )
        for why, endpoint in {
            "no scheme": "collector.example.org:4317",
            "another scheme": "grpc://collector.example.org:4317",
            "a query": "http://collector.example.org:4318/?tenant=1",
            "a port too high": "http://collector.example.org:99999",
        }.items()
    ],
    *[
        pytest.param(
            {"otel": {"endpoint": endpoint}},
            "otel: expected a URL of host and port alone for protocol 'grpc', got "
            f"{{'endpoint': '{endpoint}'}}; name the port, e.g. 'http://collector.example.org:4317', or set "
            "'protocol': 'http'",
            id=f"otel: gRPC with {why}",
        )
        for why, endpoint in {
            "a path": "http://collector.example.org:4317/v1/traces",
            "no port": "http://collector.example.org",
        }.items()
    ],
    pytest.param(
        {"otel": {"endpoint": "http://collector.example.org:4317", "protocol": "https"}},
        "otel/protocol: expected 'grpc' or 'http', got 'https'; collectors have gRPC at port 4317, HTTP at 4318",
        id="otel: another protocol",
    ),
    pytest.param(
        {"otel": {"endpoint": "http://collector.example.org:4317", "host": "chat 1,a=b"}},
        "otel/host: expected a name of letters, digits and . _ -, got 'chat 1,a=b'; e.g. 'chat-1'; None takes the host "
        "in the URL that people type",
        id="otel: no name for a host",
    ),
    pytest.param(
        {"otel": "http://collector.example.org:4317"},
        "otel: expected {'endpoint': URL, 'protocol': 'grpc' or 'http', 'traces': switch, 'host': name}, got "
        "'http://collector.example.org:4317'; e.g. {'endpoint': 'http://collector.example.org:4317'}; see "
        "docs/how-to/monitoring.md",
        id="otel: a URL alone",
    ),
    pytest.param(
        {
            "otel": {"endpoint": "http://collector.example.org:4317"},
            "open_webui_env": {"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=one"},
        },
        "open_webui_env/OTEL_RESOURCE_ATTRIBUTES: expected one place for it, got two; otel sets it, remove one of them",
        id="otel: a variable of its own",
    ),
    pytest.param(
        {"proxy_headers": {"X-Frame-Options": 1}},
        "proxy_headers/X-Frame-Options: expected one line of ASCII without {, } and \\, or None, got 1; None removes "
        "the header",
        id="proxy_headers: a number",
    ),
    pytest.param(
        {"proxy_headers": {"X Frame": "DENY"}},
        "proxy_headers/X Frame: expected the name of a header, of letters, digits and -, got 'X Frame'; e.g. "
        "'X-Frame-Options'",
        id="proxy_headers: a name with a blank",
    ),
    pytest.param(
        {"proxy_headers": {"Content-Type": "text/html"}},
        "proxy_headers/Content-Type: expected a header that is the same for each answer, got 'Content-Type'; this one "
        "describes one answer, or its connection: remove it",
        id="proxy_headers: one answer's",
    ),
    pytest.param(
        {"proxy_headers": {"Access-Control-Allow-Origin": "*"}},
        "proxy_headers/Access-Control-Allow-Origin: expected a header that Open WebUI leaves to the proxy, got "
        "'Access-Control-Allow-Origin'; set open_webui_cors_origins instead",
        id="proxy_headers: Open WebUI's",
    ),
    pytest.param(
        {"proxy_headers": {"X-Frame-Options": "DENY", "x-frame-options": "SAMEORIGIN"}},
        "proxy_headers: expected each header once, got {'X-Frame-Options': 'DENY', 'x-frame-options': 'SAMEORIGIN'}; "
        "upper and lower case are the same",
        id="proxy_headers: twice",
    ),
    pytest.param(
        {"proxy_headers": ["X-Frame-Options: DENY"]},
        "proxy_headers: expected a dict of header to value or None, got ['X-Frame-Options: DENY']; e.g. "
        "{'X-Frame-Options': 'DENY', 'Referrer-Policy': None}",
        id="proxy_headers: a list",
    ),
    pytest.param(
        {"proxy_max_body_mb": "100MB"},
        "proxy_max_body_mb: expected a whole number of megabytes, 0 or more, got '100MB'; 0 switches it off",
        id="proxy_max_body_mb: text",
    ),
    pytest.param(
        {"trusted_proxies": ["192.0.2.7/24"]},
        "trusted_proxies/0: expected an address, or a network without host bits, got '192.0.2.7/24'; e.g. "
        "'192.0.2.0/24' or '2001:db8::/32'",
        id="trusted_proxies: host bits",
    ),
    pytest.param(
        {"trusted_proxies": ["::/0"]},
        "trusted_proxies/0: expected the networks of a CDN or a load balancer, got '::/0'; everybody could say that "
        "they are somebody else: list its own",
        id="trusted_proxies: everybody",
    ),
    pytest.param(
        {"trusted_proxies": "192.0.2.0/24"},
        "trusted_proxies: expected a list of addresses and networks, got '192.0.2.0/24'; e.g. ['192.0.2.0/24', "
        "'2001:db8::/32']; [] trusts nobody",
        id="trusted_proxies: one instead of a list",
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
        {"registry_login": {"ghcr.io": "ci:marker"}},
        "registry_login/ghcr.io: expected {'user': name, 'password': secret source}, got a value (hidden); e.g. "
        "{'user': 'ci', 'password': 'env:REGISTRY_TOKEN'}",
        id="registry_login: user and password in one",
    ),
    pytest.param(
        {"registry_login": {"ghcr.io": {"user": "ci", "password": "marker"}}},
        "registry_login/ghcr.io/password: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="registry_login: the password itself",
    ),
    pytest.param(
        {"registry_login": {"ghcr.io": {"user": "ci"}}},
        "registry_login/ghcr.io/password: expected this key, got nothing; see inventories/group_data/all.py",
        id="registry_login: no password",
    ),
    pytest.param(
        {"registry_login": {"ghcr.io": {"user": "ci", "password": "env:X", "token": "marker"}}},
        "registry_login/ghcr.io/token: expected only user and password, got another key; remove it",
        id="registry_login: another key",
    ),
    pytest.param(
        {"registry_login": {"ghcr.io": {"user": "ci:x", "password": "env:X"}}},
        "registry_login/ghcr.io/user: expected a user's name, without a colon, got 'ci:x'; as given to `docker login "
        "--username`",
        id="registry_login: a colon",
    ),
    pytest.param(
        {"registry_login": {"https://ghcr.io": {"user": "ci", "password": "env:X"}}},
        "registry_login/https://ghcr.io: expected registry host names with an optional port, got a value (hidden); "
        "e.g. 'registry.example.org:5000'",
        id="registry_login: a URL",
    ),
    pytest.param(
        {"registry_login": [{"registry": "ghcr.io", "password": "marker"}]},
        "registry_login: expected a dict of registry host to {'user': name, 'password': secret source}, got a value "
        "(hidden); e.g. {'ghcr.io': {'user': 'ci', 'password': 'env:REGISTRY_TOKEN'}}",
        id="registry_login: a list",
    ),
    *(pytest.param(*mistake, id=f"sign-in: {name}") for name, mistake in OF_SIGN_IN.items()),
    *(pytest.param(*mistake, id=f"open_webui_saved: {name}") for name, mistake in OF_SAVED_SETTINGS.items()),
    pytest.param(
        {"trusted_ca": ["/nowhere/ca.pem"]},
        "trusted_ca/0: expected a readable PEM certificate on this machine, got '/nowhere/ca.pem'; check the path",
        id="trusted_ca: no such file",
    ),
    pytest.param(
        {"trusted_ca": "ca.pem"},
        "trusted_ca: expected a list of CA files on this machine, got 'ca.pem'; [] trusts the CAs of each image alone",
        id="trusted_ca: one instead of a list",
    ),
    pytest.param(
        {"outbound_proxy": "http://proxy.example.org:3128"},
        "outbound_proxy: expected {'http': URL, 'https': URL, 'no_proxy': list} with one URL at least, got "
        "'http://proxy.example.org:3128'; e.g. {'https': 'http://proxy.example.org:3128', 'no_proxy': "
        "['.example.org']}",
        id="outbound_proxy: a URL alone",
    ),
    pytest.param(
        {"outbound_proxy": {"https": "http://me:marker@proxy.example.org:3128"}},
        "outbound_proxy/https: expected a URL without a login, got a value (hidden); it would be readable in "
        "compose.yaml; leave this None, and put http_proxy, https_proxy and no_proxy into open_webui_secret_env "
        "(docs/how-to/http-proxy.md)",
        id="outbound_proxy: a login",
    ),
    pytest.param(
        {"outbound_proxy": {"http": "http://localhost:3128"}},
        "outbound_proxy/http: expected an address that containers reach, got 'http://localhost:3128'; that one is the "
        "container itself there; a proxy on this server is 'http://host.docker.internal:PORT'",
        id="outbound_proxy: localhost",
    ),
    pytest.param(
        {"outbound_proxy": {"https": "https://proxy.example.org:3129"}},
        "outbound_proxy/https: expected a proxy that is asked by http, got 'https://proxy.example.org:3129'; Open "
        "WebUI's client for models (aiohttp) ignores one that is asked by https, and goes past it; requests for HTTPS "
        "pass an http:// proxy encrypted",
        id="outbound_proxy: a proxy that is asked by https",
    ),
    pytest.param(
        {"outbound_proxy": {"http": "socks5://proxy.example.org:1080"}},
        "outbound_proxy/http: expected an http URL of scheme, host and maybe a port, got "
        "'socks5://proxy.example.org:1080'; e.g. 'http://proxy.example.org:3128'",
        id="outbound_proxy: another protocol",
    ),
    pytest.param(
        {"outbound_proxy": {"http": "http://proxy.example.org:3128", "no_proxy": "localhost,.example.org"}},
        "outbound_proxy/no_proxy: expected a list of hosts, domains and subnets, got 'localhost,.example.org'; e.g. "
        "['.example.org']; those of the stack are always in it",
        id="outbound_proxy: no_proxy as text",
    ),
    pytest.param(
        {"outbound_proxy": {"http": "http://proxy.example.org:3128", "no_proxy": ["*.example.org"]}},
        "outbound_proxy/no_proxy/0: expected a host, a domain or a subnet, got '*.example.org'; e.g. '.example.org' or "
        "'192.0.2.0/24'",
        id="outbound_proxy: a pattern",
    ),
    pytest.param(
        {"outbound_proxy": {"http": "http://proxy.example.org:3128", "ftp": "x"}},
        "outbound_proxy/ftp: expected only http and https and no_proxy, got another key; remove it",
        id="outbound_proxy: another key",
    ),
    pytest.param(
        {"outbound_proxy": {"no_proxy": [".example.org"]}},
        "outbound_proxy: expected {'http': URL, 'https': URL, 'no_proxy': list} with one URL at least, got "
        "{'no_proxy': ['.example.org']}; e.g. {'https': 'http://proxy.example.org:3128', 'no_proxy': ['.example.org']}",
        id="outbound_proxy: no URL",
    ),
    pytest.param(
        {
            "outbound_proxy": {"https": "http://proxy.example.org:3128"},
            "open_webui_env": {"no_proxy": "localhost"},
        },
        "open_webui_env/no_proxy: expected one place for it, got two; outbound_proxy sets it, remove one of them",
        id="outbound_proxy: and a variable",
    ),
    pytest.param(
        {"openai_connections": {"url": "https://llm.example.org/v1", "key": "marker"}},
        "openai_connections: expected a list of {'url': URL, 'key': secret source}, got a value (hidden); e.g. "
        "[{'url': 'https://llm.example.org/v1', 'key': 'env:KEY'}]",
        id="openai_connections: one instead of a list",
    ),
    pytest.param(
        {"openai_connections": ["https://llm.example.org/v1?key=marker"]},
        "openai_connections/0: expected {'url': URL, 'key': secret source}, got a value (hidden); e.g. "
        "{'url': 'https://llm.example.org/v1', 'key': 'env:KEY'}",
        id="openai_connections: a URL alone",
    ),
    pytest.param(
        {"openai_connections": [{"url": "https://llm.example.org/v1", "key": "sk-marker"}]},
        "openai_connections/0/key: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="openai_connections: the key itself",
    ),
    pytest.param(
        {"openai_connections": [{"url": "https://llm.example.org/v1", "api_key": "marker"}]},
        "openai_connections/0/api_key: expected only url and key, got another key; remove it",
        id="openai_connections: another key",
    ),
    pytest.param(
        {"openai_connections": [{"key": "env:KEY"}]},
        "openai_connections/0/url: expected this key, got nothing; see inventories/group_data/all.py",
        id="openai_connections: no URL",
    ),
    pytest.param(
        {"openai_connections": [{"url": "llm.example.org/v1"}]},
        "openai_connections/0/url: expected an http(s) URL without a query, got 'llm.example.org/v1'; e.g. "
        "'https://llm.example.org/v1'",
        id="openai_connections: no scheme",
    ),
    pytest.param(
        {"openai_connections": [{"url": "https://a.example.org/v1;https://b.example.org/v1"}]},
        "openai_connections/0/url: expected an http(s) URL without a query, got "
        "'https://a.example.org/v1;https://b.example.org/v1'; e.g. 'https://llm.example.org/v1'",
        id="openai_connections: two URLs in one",
    ),
    pytest.param(
        {"openai_connections": [{"url": "https://llm.example.org:99999/v1"}]},
        "openai_connections/0/url: expected an http(s) URL without a query, got 'https://llm.example.org:99999/v1'; "
        "e.g. 'https://llm.example.org/v1'",
        id="openai_connections: no such port",
    ),
    pytest.param(
        {"openai_connections": [{"url": "https://me:marker@llm.example.org/v1"}]},
        "openai_connections/0/url: expected a URL without a login, got a value (hidden); it would be readable in "
        "compose.yaml; name the secret in 'key'",
        id="openai_connections: a URL with a login",
    ),
    pytest.param(
        {"openai_connections": [{"url": "http://localhost:8000/v1"}]},
        "openai_connections/0/url: expected an address that containers reach, got 'http://localhost:8000/v1'; that one "
        "is Open WebUI's own container there; this server is 'http://host.docker.internal:PORT', and ollama = 'host' "
        "its Ollama",
        id="openai_connections: localhost",
    ),
    pytest.param(
        {
            "openai_connections": [{"url": "https://llm.example.org/v1"}],
            "open_webui_env": {"OPENAI_API_BASE_URL": "https://api.openai.com/v1"},
        },
        "open_webui_env/OPENAI_API_BASE_URL: expected one place for it, got two; openai_connections sets it, remove "
        "one of them",
        id="openai_connections: and the variable",
    ),
    pytest.param(
        {
            "openai_connections": [{"url": "https://llm.example.org/v1", "key": "env:KEY"}],
            "open_webui_secret_env": {"OPENAI_API_KEYS": "env:KEYS"},
        },
        "open_webui_secret_env/OPENAI_API_KEYS: expected one place for it, got two; openai_connections sets it, remove "
        "one of them",
        id="openai_connections: and the secret variable",
    ),
    pytest.param(
        {"ollama": "http://127.0.0.1:11434"},
        "ollama: expected an address that containers reach, got 'http://127.0.0.1:11434'; that one is Open WebUI's own "
        "container there; this server is 'http://host.docker.internal:PORT', and ollama = 'host' its Ollama",
        id="ollama: the loopback",
    ),
    pytest.param(
        {"ollama": "http://0.0.0.0:11434"},
        "ollama: expected an address that containers reach, got 'http://0.0.0.0:11434'; that one is Open WebUI's own "
        "container there; this server is 'http://host.docker.internal:PORT', and ollama = 'host' its Ollama",
        id="ollama: no address",
    ),
    pytest.param(
        {"ollama": "http://[::1]:11434"},
        "ollama: expected an address that containers reach, got 'http://[::1]:11434'; that one is Open WebUI's own "
        "container there; this server is 'http://host.docker.internal:PORT', and ollama = 'host' its Ollama",
        id="ollama: the loopback of IPv6",
    ),
    pytest.param(
        {"ollama": "container"},
        "ollama: expected 'host', 'service' or an http(s) URL, got 'container'; e.g. 'http://192.0.2.10:11434'; None "
        "goes without",
        id="ollama: another word",
    ),
    pytest.param(
        {"ollama": True},
        "ollama: expected 'host', 'service' or an http(s) URL, got True; e.g. 'http://192.0.2.10:11434'; None goes "
        "without",
        id="ollama: a switch",
    ),
    pytest.param(
        {"ollama": "host", "open_webui_env": {"OLLAMA_BASE_URL": "http://192.0.2.10:11434"}},
        "open_webui_env/OLLAMA_BASE_URL: expected one place for it, got two; ollama sets it, remove one of them",
        id="ollama: and the variable",
    ),
    pytest.param(
        {"ollama_image": "docker.io/ollama/ollama:latest"},
        "ollama_image: expected an image reference with a fixed tag or digest, got 'docker.io/ollama/ollama:latest'; "
        "write registry/name:version; a tag that moves (latest, main, ...) makes two runs differ",
        id="ollama_image: a tag that moves",
    ),
    pytest.param(
        {"ollama_volume": "open-webui"},
        "ollama_volume: expected a volume of its own, got 'open-webui', which open_webui_volume has as well; one "
        "service would write over the data of the other",
        id="ollama_volume: Open WebUI's",
    ),
    pytest.param(
        {"ollama_gpu": True},
        "ollama_gpu: expected ollama = 'service' beside it, got True for ollama = None; it is for an Ollama of the "
        "stack: set that, or remove this",
        id="ollama_gpu: without the service",
    ),
    pytest.param(
        {"ollama": "host", "ollama_models": ["llama3.2:1b"]},
        "ollama_models: expected ollama = 'service' beside it, got ['llama3.2:1b'] for ollama = 'host'; it is for an "
        "Ollama of the stack: set that, or remove this",
        id="ollama_models: of another's Ollama",
    ),
    pytest.param(
        {"ollama": "service", "ollama_models": ["llama3.2 1b"]},
        "ollama_models/0: expected the name of a model, got 'llama3.2 1b'; e.g. 'llama3.2:1b'; "
        "https://ollama.com/library lists them",
        id="ollama_models: a blank",
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
        {"monitor_interval_s": 4},
        "monitor_interval_s: expected 0, or seconds from 5 to 3600, got 4; 0 switches the monitor off",
        id="monitor_interval_s: too often",
    ),
    pytest.param(
        {"monitor_interval_s": True},
        "monitor_interval_s: expected 0, or seconds from 5 to 3600, got True; 0 switches the monitor off",
        id="monitor_interval_s: True",
    ),
    pytest.param(
        {"alarms": "https://hooks.example.org/marker"},
        "alarms: expected a list of receivers, got a value (hidden); e.g. [{'webhook': 'env:WEBHOOK_URL'}]; "
        "docs/how-to/monitoring.md",
        id="alarms: no list",
    ),
    pytest.param(
        {"alarms": ["https://hooks.example.org/marker"]},
        "alarms/0: expected a dict that is one receiver, got a value (hidden); e.g. {'webhook': "
        "'env:WEBHOOK_URL'}; see docs/how-to/monitoring.md",
        id="alarms: a URL alone",
    ),
    pytest.param(
        {"alarms": [{}]},
        "alarms/0: expected exactly one of 'webhook', 'ntfy', 'email' and 'heartbeat', got a value (hidden); "
        "give each receiver an entry of its own, e.g. {'webhook': 'env:WEBHOOK_URL'}",
        id="alarms: none of the kinds",
    ),
    pytest.param(
        {"alarms": [{"webhook": "https://a.org/", "ntfy": "https://b.org/x"}]},
        "alarms/0: expected exactly one of 'webhook', 'ntfy', 'email' and 'heartbeat', got a value (hidden); "
        "give each receiver an entry of its own, e.g. {'webhook': 'env:WEBHOOK_URL'}",
        id="alarms: two of the kinds",
    ),
    pytest.param(
        {"alarms": [{"slack": "https://a.org/marker"}]},
        "alarms/0: expected exactly one of 'webhook', 'ntfy', 'email' and 'heartbeat', got a value (hidden); "
        "give each receiver an entry of its own, e.g. {'webhook': 'env:WEBHOOK_URL'}",
        id="alarms: unknown of the kinds",
    ),
    pytest.param(
        {"alarms": [{"webhook": "https://a.org/"}, {"ntfy": "https://b.org/x", "tokne": "env:X"}]},
        "alarms/1: expected no other keys than 'ntfy' and 'token', got a value (hidden); remove 'tokne'",
        id="alarms: an unknown key",
    ),
    pytest.param(
        {"alarms": [{"heartbeat": "https://b.org/x", "token": "env:X", "x": 1}]},
        "alarms/0: expected no other keys than 'heartbeat', got a value (hidden); remove 'token' and 'x'",
        id="alarms: keys of another kind",
    ),
    pytest.param(
        {"alarms": [{"webhook": "hooks.example.org/marker"}]},
        "alarms/0: expected a URL of http or https, or 'env:NAME', 'file:PATH' or 'command:COMMAND', in "
        "'webhook', got a value (hidden); who knows such a URL can use it: name a source",
        id="alarms: webhook that is 'hooks.example.org/marker'",
    ),
    pytest.param(
        {"alarms": [{"ntfy": "ftp://ntfy.example.org/marker"}]},
        "alarms/0: expected a URL of http or https, or 'env:NAME', 'file:PATH' or 'command:COMMAND', in 'ntfy', "
        "got a value (hidden); who knows such a URL can use it: name a source",
        id="alarms: ntfy that is 'ftp://ntfy.example.org/marker'",
    ),
    pytest.param(
        {"alarms": [{"heartbeat": "https:///marker"}]},
        "alarms/0: expected a URL of http or https, or 'env:NAME', 'file:PATH' or 'command:COMMAND', in "
        "'heartbeat', got a value (hidden); who knows such a URL can use it: name a source",
        id="alarms: heartbeat that is 'https:///marker'",
    ),
    pytest.param(
        {"alarms": [{"webhook": "https://a.org/mar ker"}]},
        "alarms/0: expected a URL of http or https, or 'env:NAME', 'file:PATH' or 'command:COMMAND', in "
        "'webhook', got a value (hidden); who knows such a URL can use it: name a source",
        id="alarms: webhook that is 'https://a.org/mar ker'",
    ),
    pytest.param(
        {"alarms": [{"webhook": 7}]},
        "alarms/0: expected a URL of http or https, or 'env:NAME', 'file:PATH' or 'command:COMMAND', in "
        "'webhook', got a value (hidden); who knows such a URL can use it: name a source",
        id="alarms: webhook that is 7",
    ),
    pytest.param(
        {"alarms": [{"ntfy": "https://b.org/x", "token": "tk_marker"}]},
        "alarms/0: expected 'env:NAME', 'file:PATH' or 'command:COMMAND' in 'token', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="alarms: a token itself",
    ),
    pytest.param(
        {
            "alarms": [
                {
                    "email": ["a@example.org"],
                    "from": "b@example.org",
                    "smtp": "mail.example.org:587",
                    "user": "chat",
                    "password": "marker",
                }
            ]
        },
        "alarms/0: expected 'env:NAME', 'file:PATH' or 'command:COMMAND' in 'password', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="alarms: a password itself",
    ),
    pytest.param(
        {"alarms": [{"email": ["a@example.org"]}]},
        "alarms/0: expected 'from' and 'smtp' beside 'email', got a value (hidden); see docs/how-to/monitoring.md",
        id="alarms: e-mail without a sender and a server",
    ),
    pytest.param(
        {
            "alarms": [
                {"email": ["a@example.org"], "from": "b@example.org", "smtp": "mail.example.org:587", "user": "chat"}
            ]
        },
        "alarms/0: expected 'user' and 'password' together, or neither, got a value (hidden); leave out both for "
        "a server without a login",
        id="alarms: a user without a password",
    ),
    pytest.param(
        {"alarms": [{"email": "a@example.org", "from": "b@example.org", "smtp": "mail.example.org:587"}]},
        "alarms/0: expected a list of e-mail addresses in 'email', got a value (hidden); e.g. ['ops@example.org']",
        id="alarms: one address that is no list",
    ),
    pytest.param(
        {"alarms": [{"email": ["a@example.org", "ops"], "from": "b@example.org", "smtp": "mail.example.org:587"}]},
        "alarms/0: expected a list of e-mail addresses in 'email', got a value (hidden); e.g. ['ops@example.org']",
        id="alarms: a name for an address",
    ),
    pytest.param(
        {"alarms": [{"email": [], "from": "b@example.org", "smtp": "mail.example.org:587"}]},
        "alarms/0: expected a list of e-mail addresses in 'email', got a value (hidden); e.g. ['ops@example.org']",
        id="alarms: no address",
    ),
    pytest.param(
        {"alarms": [{"email": ["a@example.org"], "from": "chat", "smtp": "mail.example.org:587"}]},
        "alarms/0: expected an e-mail address in 'from', got a value (hidden); e.g. 'chat@example.org'",
        id="alarms: a sender without a host",
    ),
    pytest.param(
        {"alarms": [{"email": ["a@example.org"], "from": "b@example.org", "smtp": "mail.example.org:0"}]},
        "alarms/0: expected HOST or HOST:PORT in 'smtp', got a value (hidden); e.g. 'smtp.example.org:587'",
        id="alarms: smtp that is 'mail.example.org:0'",
    ),
    pytest.param(
        {"alarms": [{"email": ["a@example.org"], "from": "b@example.org", "smtp": "mail.example.org:65536"}]},
        "alarms/0: expected HOST or HOST:PORT in 'smtp', got a value (hidden); e.g. 'smtp.example.org:587'",
        id="alarms: smtp that is 'mail.example.org:65536'",
    ),
    pytest.param(
        {"alarms": [{"email": ["a@example.org"], "from": "b@example.org", "smtp": "smtp://mail.example.org"}]},
        "alarms/0: expected HOST or HOST:PORT in 'smtp', got a value (hidden); e.g. 'smtp.example.org:587'",
        id="alarms: smtp that is 'smtp://mail.example.org'",
    ),
    pytest.param(
        {"alarms": [{"email": ["a@example.org"], "from": "b@example.org", "smtp": "mail example"}]},
        "alarms/0: expected HOST or HOST:PORT in 'smtp', got a value (hidden); e.g. 'smtp.example.org:587'",
        id="alarms: smtp that is 'mail example'",
    ),
    pytest.param(
        {
            "alarms": [
                {"email": ["a@example.org"], "from": "b@example.org", "smtp": "mail.example.org:587", "tls": True}
            ]
        },
        "alarms/0: expected 'starttls', 'tls' or 'none' in 'tls', got a value (hidden); 'starttls' is usual at "
        "port 587, 'tls' at 465",
        id="alarms: tls that is True",
    ),
    pytest.param(
        {"alarm_reminder_h": -1},
        "alarm_reminder_h: expected 0, or hours from 1 to 720, got -1; 0 sends no reminders",
        id="alarm_reminder_h: negative",
    ),
    pytest.param(
        {"alarm_reminder_h": 0.5},
        "alarm_reminder_h: expected 0, or hours from 1 to 720, got 0.5; 0 sends no reminders",
        id="alarm_reminder_h: half an hour",
    ),
    pytest.param(
        {"metrics_textfile_dir": "metrics"},
        "metrics_textfile_dir: expected an absolute path of a folder that is there, of letters, digits and . _ "
        "-, got 'metrics'; the one that node-exporter reads, e.g. '/var/lib/prometheus/node-exporter'; None "
        "writes nothing",
        id="metrics_textfile_dir: 'metrics'",
    ),
    pytest.param(
        {"metrics_textfile_dir": "/var/lib/../x"},
        "metrics_textfile_dir: expected an absolute path of a folder that is there, of letters, digits and . _ "
        "-, got '/var/lib/../x'; the one that node-exporter reads, e.g. '/var/lib/prometheus/node-exporter'; "
        "None writes nothing",
        id="metrics_textfile_dir: '/var/lib/../x'",
    ),
    pytest.param(
        {"metrics_textfile_dir": "/var/lib/x/"},
        "metrics_textfile_dir: expected an absolute path of a folder that is there, of letters, digits and . _ "
        "-, got '/var/lib/x/'; the one that node-exporter reads, e.g. '/var/lib/prometheus/node-exporter'; None "
        "writes nothing",
        id="metrics_textfile_dir: '/var/lib/x/'",
    ),
    pytest.param(
        {"metrics_bind": "localhost:9469"},
        "metrics_bind: expected an IP address of the host with a port, got 'localhost:9469'; e.g. "
        "'127.0.0.1:9469' or '[::1]:9469'; None serves nothing",
        id="metrics_bind: 'localhost:9469'",
    ),
    pytest.param(
        {"metrics_bind": "127.0.0.1"},
        "metrics_bind: expected an IP address of the host with a port, got '127.0.0.1'; e.g. '127.0.0.1:9469' or "
        "'[::1]:9469'; None serves nothing",
        id="metrics_bind: '127.0.0.1'",
    ),
    pytest.param(
        {"metrics_bind": "127.0.0.1:0"},
        "metrics_bind: expected an IP address of the host with a port, got '127.0.0.1:0'; e.g. '127.0.0.1:9469' "
        "or '[::1]:9469'; None serves nothing",
        id="metrics_bind: '127.0.0.1:0'",
    ),
    pytest.param(
        {"metrics_bind": "127.0.0.1:65536"},
        "metrics_bind: expected an IP address of the host with a port, got '127.0.0.1:65536'; e.g. "
        "'127.0.0.1:9469' or '[::1]:9469'; None serves nothing",
        id="metrics_bind: '127.0.0.1:65536'",
    ),
    pytest.param(
        {"metrics_bind": "::1:9469"},
        "metrics_bind: expected an IP address of the host with a port, got '::1:9469'; e.g. '127.0.0.1:9469' or "
        "'[::1]:9469'; None serves nothing",
        id="metrics_bind: '::1:9469'",
    ),
    pytest.param(
        {"metrics_bind": 9469},
        "metrics_bind: expected an IP address of the host with a port, got 9469; e.g. '127.0.0.1:9469' or "
        "'[::1]:9469'; None serves nothing",
        id="metrics_bind: 9469",
    ),
    pytest.param(
        {"monitor_interval_s": 0, "alarms": [{"webhook": "env:X"}]},
        "monitor_interval_s: expected seconds from 5 to 3600 for alarms, got 0; the monitor does that: set both, "
        "or neither",
        id="monitor_interval_s: none, but alarms",
    ),
    pytest.param(
        {"monitor_interval_s": 0, "metrics_bind": "127.0.0.1:9469"},
        "monitor_interval_s: expected seconds from 5 to 3600 for metrics_bind, got 0; the monitor does that: set "
        "both, or neither",
        id="monitor_interval_s: none, but metrics_bind",
    ),
    pytest.param(
        {"monitor_interval_s": 0, "metrics_textfile_dir": "/var/lib/x"},
        "monitor_interval_s: expected seconds from 5 to 3600 for metrics_textfile_dir, got 0; the monitor does "
        "that: set both, or neither",
        id="monitor_interval_s: none, but metrics_textfile_dir",
    ),
    pytest.param(
        {"verify_level": "all"},
        "verify_level: expected 'ping', 'wiring' or 'user', got 'all'; 'wiring' needs no account, 'user' signs in with "
        "one of its own",
        id="verify_level: unknown",
    ),
    pytest.param(
        {"verify_model": ""},
        "verify_model: expected a model's name, got ''; e.g. 'llama3.2:1b', as Open WebUI lists it; None asks no model",
        id="verify_model: empty",
    ),
    pytest.param(
        {"verify_model": ["llama3.2:1b"]},
        "verify_model: expected a model's name, got ['llama3.2:1b']; e.g. 'llama3.2:1b', as Open WebUI lists it; None "
        "asks no model",
        id="verify_model: two names at once",
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
            "the repository's password has a setting of its own",
            id=f"backup_restic_env: {name}",
        )
        for name in ("RESTIC_PASSWORD", "A B")
    ],
    *[
        pytest.param(
            {name: -1},
            f"{name}: expected a number of backup sets from 0 to 10000, got -1; e.g. 14; 0 keeps none for their age",
            id=f"{name}: negative",
        )
        for name in ("backup_keep_daily", "backup_keep_weekly", "backup_keep_monthly")
    ],
    *[
        pytest.param(
            {name: "at five\n"},
            f"{name}: expected a calendar expression of systemd, or an empty string, got 'at five\\n'; e.g. "
            "'*-*-* 03:30'; systemd.time(7) explains it",
            id=f"{name}: two lines",
        )
        for name in ("backup_check_schedule", "drill_schedule")
    ],
    *[
        pytest.param(
            {name: "yes"},
            f"{name}: expected True or False, got a value (hidden); write the word without quotes, after --data as "
            "well",
            id=f"{name}: text",
        )
        for name in ("backup_restic_append_only", "backup_restic_second_append_only")
    ],
    pytest.param(
        {"backup_restic_second_repository": "/srv/it's", "backup_restic_second_password": "env:X"},
        "backup_restic_second_repository: expected a repository of restic in one line, without quotes and without a "
        "password, got a value (hidden); e.g. 'sftp:backup@nas:/srv/restic'; secrets go into backup_restic_env",
        id="backup_restic_second_repository: a quote",
    ),
    pytest.param(
        {"backup_restic_second_password": "marker"},
        "backup_restic_second_password: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a value (hidden); "
        "secrets are never written into an inventory: name where this machine reads it",
        id="backup_restic_second_password: typed in",
    ),
    pytest.param(
        {"backup_restic_second_env": {"AWS_ACCESS_KEY_ID": "marker"}},
        "backup_restic_second_env/AWS_ACCESS_KEY_ID: expected 'env:NAME', 'file:PATH' or 'command:COMMAND', got a "
        "value (hidden); secrets are never written into an inventory: name where this machine reads it",
        id="backup_restic_second_env: typed in",
    ),
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
        "e.g. '20261126T033000Z'; runbooks/backups.py lists them",
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


def test_all_that_is_wrong_together_comes_out_together_and_waits_for_each_alone() -> None:
    wrong: dict[str, Any] = {"topology": "swarm", "database": "sqlite", "open_webui_env": {"UVICORN_WORKERS": "2"}}
    found = [line.partition(":")[0] for line in problems(**wrong)]
    assert found == ["open_webui_env/UVICORN_WORKERS", "database", "open_webui_shared_dir"]
    found = [line.partition(":")[0] for line in problems(**wrong, open_webui_port=0)]
    assert found == ["open_webui_port", "open_webui_env/UVICORN_WORKERS"]
