"""Which saved settings a deploy puts right, what that needs, and the values that Open WebUI is to have saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from tests.defaults import settings
from webui_stack.host import protocol
from webui_stack.render import secrets_requests, survey_requests
from webui_stack.render.environment import open_webui_environment, saved_values
from webui_stack.settings.sources import Supplied

ENV = {"ENABLE_SIGNUP": "False", "DEFAULT_MODELS": "a,b", "DEFAULT_USER_ROLE": "user"}
APIS = [{"url": "http://a:1/v1", "key": "env:A"}, {"url": "http://b:2/v1"}]
ALL: dict[str, Any] = {
    "open_webui_env": ENV,
    "openai_connections": APIS,
    "ollama": "host",
    "open_webui_saved": ["ENABLE_SIGNUP", "DEFAULT_MODELS", "DEFAULT_USER_ROLE", "openai_connections", "ollama"],
}
SUPPLIED = Supplied(None, None, {"OPENAI_API_KEYS": SecretStr("sesame;")})
# `test_validation.py` makes each of them.
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "another name": (
        {"open_webui_saved": ["RAG_EMBEDDING_ENGINE"]},
        "open_webui_saved/0: expected 'DEFAULT_MODELS', 'DEFAULT_USER_ROLE', 'ENABLE_SIGNUP', 'openai_connections' or "
        "'ollama', got 'RAG_EMBEDDING_ENGINE'; admins change all other settings in the Admin Panel",
    ),
    "a dict": (
        {"open_webui_saved": {"ENABLE_SIGNUP": False}},
        "open_webui_saved: expected a list of variables and settings, got {'ENABLE_SIGNUP': False}; e.g. "
        "['ENABLE_SIGNUP', 'openai_connections']",
    ),
    "no value": (
        {"open_webui_saved": ["DEFAULT_MODELS"]},
        "open_webui_env/DEFAULT_MODELS: expected a value beside open_webui_saved = ['DEFAULT_MODELS'], got none; set "
        "it, or remove the name from open_webui_saved",
    ),
    "an empty value": (
        {"open_webui_saved": ["DEFAULT_MODELS"], "open_webui_env": {"DEFAULT_MODELS": ""}},
        "open_webui_env/DEFAULT_MODELS: expected a value beside open_webui_saved = ['DEFAULT_MODELS'], got ''; set it, "
        "or remove the name from open_webui_saved",
    ),
    "no switch": (
        {"open_webui_saved": ["ENABLE_SIGNUP"], "open_webui_env": {"ENABLE_SIGNUP": "no"}},
        "open_webui_env/ENABLE_SIGNUP: expected 'True' or 'False' beside open_webui_saved = ['ENABLE_SIGNUP'], got "
        "'no'; set it, or remove the name from open_webui_saved",
    ),
    "no role": (
        {"open_webui_saved": ["DEFAULT_USER_ROLE"], "open_webui_env": {"DEFAULT_USER_ROLE": "guest"}},
        "open_webui_env/DEFAULT_USER_ROLE: expected 'pending', 'user' or 'admin' beside open_webui_saved = "
        "['DEFAULT_USER_ROLE'], got 'guest'; set it, or remove the name from open_webui_saved",
    ),
    "no connections": (
        {"open_webui_saved": ["openai_connections"]},
        "openai_connections: expected a value beside open_webui_saved = ['openai_connections'], got []; set it, or "
        "remove the name from open_webui_saved",
    ),
    "no Ollama": (
        {"open_webui_saved": ["ollama"]},
        "ollama: expected a value beside open_webui_saved = ['ollama'], got None; set it, or remove the name from "
        "open_webui_saved",
    ),
    "variables win": (
        {"open_webui_saved": ["ollama"], "ollama": "host", "open_webui_persistent_config": False},
        "open_webui_saved: expected [] beside open_webui_persistent_config = False, got ['ollama']; Open WebUI reads "
        "no saved value then: remove one of the two",
    ),
    "a swarm": (
        {
            **{"open_webui_saved": ["ENABLE_SIGNUP"], "open_webui_env": {"ENABLE_SIGNUP": "True"}},
            **{"topology": "swarm", "open_webui_shared_dir": "/mnt/chat"},
        },
        "open_webui_saved: expected [] in a swarm, got ['ENABLE_SIGNUP']; change the values in the Admin Panel there: "
        "remove it",
    ),
    "an older Open WebUI": (
        {
            **{"open_webui_saved": ["ENABLE_SIGNUP"], "open_webui_env": {"ENABLE_SIGNUP": "True"}},
            "open_webui_image": "ghcr.io/open-webui/open-webui:v0.11.9",
        },
        "open_webui_image: expected Open WebUI 0.12 or newer for open_webui_saved, got "
        "ghcr.io/open-webui/open-webui:v0.11.9; older ones save all settings as one: name a newer one",
    ),
    "no passwords": (
        {
            "open_webui_saved": ["ENABLE_SIGNUP"],
            "open_webui_env": {"ENABLE_SIGNUP": "True", "ENABLE_PASSWORD_AUTH": "False"},
        },
        "open_webui_env/ENABLE_PASSWORD_AUTH: expected a way to sign in with a password for open_webui_saved, got "
        "'False'; the stack's own account needs it: remove one of the two",
    ),
    "a proxy that signs people in": (
        {
            "open_webui_saved": ["ENABLE_SIGNUP"],
            "open_webui_env": {"ENABLE_SIGNUP": "True", "WEBUI_AUTH_TRUSTED_EMAIL_HEADER": "X-Email"},
        },
        "open_webui_env/WEBUI_AUTH_TRUSTED_EMAIL_HEADER: expected a way to sign in with a password for "
        "open_webui_saved, got 'X-Email'; the stack's own account needs it: remove one of the two",
    ),
}


@pytest.mark.parametrize("value", ["True", "true", "FALSE"])
def test_a_switch_is_read_as_open_webui_reads_it(value: str) -> None:
    one = settings(open_webui_saved=["ENABLE_SIGNUP"], open_webui_env={"ENABLE_SIGNUP": value})
    assert saved_values(one) == {"ui.enable_signup": value.lower() == "true"}


def test_each_name_has_its_values_and_the_keys_of_connections_are_hidden() -> None:
    found = secrets_requests.saved_values(settings(**ALL), SUPPLIED)
    assert dict(found) == {
        "ui.enable_signup": False,
        "ui.default_models": "a,b",
        "ui.default_user_role": "user",
        "openai.enable": True,
        "openai.api_base_urls": ["http://a:1/v1", "http://b:2/v1"],
        "openai.api_keys": ["sesame", ""],
        "ollama.enable": True,
        "ollama.base_urls": ["http://host.docker.internal:11434"],
    }
    assert "sesame" not in f"{found} {found!r}"


def test_apis_that_are_switched_off_stay_so() -> None:
    one = settings(**{**ALL, "open_webui_env": {**ENV, "ENABLE_OPENAI_API": "False"}})
    assert saved_values(one)["openai.enable"] is False


def test_only_a_stack_with_the_setting_has_a_password_and_asks_about_saved_values() -> None:
    for changes, values, names in ((ALL, 8, {"stack_password"}), ({**ALL, "open_webui_saved": []}, 0, set[str]())):
        one = settings(**changes)
        wished = {secret["name"] for secret in secrets_requests.wish(one, SUPPLIED)["secrets"]}
        assert wished & {"stack_password"} == names
        (line,) = survey_requests.survey_request(one, SUPPLIED)
        assert len(json.loads(json.dumps(protocol.Request.read("survey", line).arguments))["saved"]) == values


def test_the_setting_changes_no_variable_of_open_webui() -> None:
    assert open_webui_environment(settings(**ALL)) == open_webui_environment(
        settings(**{**ALL, "open_webui_saved": []})
    )


def test_the_host_is_asked_to_save_by_the_file_of_the_password_and_not_by_it() -> None:
    found = secrets_requests.save_settings_request(settings(**ALL), SUPPLIED, {"ui.enable_signup": "ab"})
    assert (found["email"], found["password_file"]) == (
        "stack@open-webui-stack.invalid",
        "/opt/open-webui/secrets/stack-password",
    )
    assert found["seen"] == {"ui.enable_signup": "ab"}
    assert "sesame" not in repr(found)
