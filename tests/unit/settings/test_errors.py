"""Names that are no settings are explained, and no error shows a secret."""

from __future__ import annotations

from typing import Any

import pytest

from tests.defaults import settings
from tests.unit.settings.given import problems
from webui_stack.settings.errors import EVERYDAY_WORDS, SettingsError
from webui_stack.settings.model import Settings


@pytest.mark.parametrize(
    "value",
    ["OPENAI_API_KEY=sk-marker", ["OPENAI_API_KEY=sk-marker"], [{"OPENAI_API_KEY": "sk-marker"}]],
    ids=["text", "list of assignments", "list of dicts"],
)
def test_no_error_shows_an_environment_of_the_wrong_type(value: Any) -> None:
    assert problems(open_webui_env=value) == [
        "open_webui_env: expected a dict of variable to text, got a value (hidden); e.g. {'ENABLE_SIGNUP': 'False'}"
    ]


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
    ("key", "meant"),
    [
        ("port", "open_webui_port or proxy_http_port"),
        ("domain", "public_url"),
        ("email", "proxy_acme_email"),
        ("image", "open_webui_image or valkey_image"),
        ("replicas", "open_webui_replicas"),
        ("volume", "open_webui_volume or valkey_volume"),
        ("tls", "public_url or proxy_tls"),
        ("acme_ca", "proxy_acme_directory"),
        ("security_headers", "proxy_headers"),
        ("client_max_body_size", "proxy_max_body_mb"),
        ("forwarded_allow_ips", "trusted_proxies"),
    ],
)
def test_an_everyday_word_for_a_setting_is_not_passed_over(key: str, meant: str) -> None:
    assert problems(**{key: "x"}) == [
        f"{key}: expected a setting of this project, got an unknown name; did you mean {meant}?"
    ]


def test_every_everyday_word_leads_to_settings_there_are() -> None:
    assert {name for names in EVERYDAY_WORDS.values() for name in names} <= set(Settings.model_fields)
    assert not set(EVERYDAY_WORDS) & set(Settings.model_fields)


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
