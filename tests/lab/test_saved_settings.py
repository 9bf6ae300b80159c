"""Settings that an admin saved in Open WebUI: seen in the dry run, put right by a deploy, and all others untouched."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.browser.models import LONG, SHORT
from tests.lab.precious import Precious
from tests.lab.replicas import PROCESSES, Stack
from tests.lab.session import FRESH, Lab, changed, containers, report_in

pytestmark = pytest.mark.lab

SAVE = "Saved settings | Save Open WebUI's settings"
ACCOUNT = "stack@open-webui-stack.invalid"
KEY = "sesame-of-the-lab"
NAMES = ["DEFAULT_MODELS", "DEFAULT_USER_ROLE", "ENABLE_SIGNUP", "openai_connections"]
OF_ADA = "http://of-ada.example.org/v1"
EXPORT = "/api/v1/configs/export"


class Saved:
    """A host whose admin has saved other values than its settings name."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.ada = lab, Precious(lab)
        self.url = lab.inventory["models"]["url"]
        self.data = {
            "open_webui_env": {
                **{"ENABLE_OLLAMA_API": "False", "ENABLE_CHANNELS": "True"},
                **{"DEFAULT_MODELS": SHORT, "DEFAULT_USER_ROLE": "user", "ENABLE_SIGNUP": "True"},
            },
            "openai_connections": [{"url": self.url, "key": "env:LLM_KEY"}],
            "open_webui_saved": NAMES,
        }
        self.wanted = {
            **{"ui.default_models": SHORT, "ui.default_user_role": "user", "ui.enable_signup": True},
            **{"openai.enable": True, "openai.api_base_urls": [self.url], "openai.api_keys": [KEY]},
            "openai.api_configs": {"0": {"tags": [{"name": "of Ada"}]}},
        }
        models = self.ada.ask("/api/v1/configs/models")
        self.ada.ask("/api/v1/configs/models", {**models, "DEFAULT_MODELS": LONG})
        self.ada.ask("/api/v1/configs/banners", {"banners": [banner("of Ada")]})
        connections = {
            "ENABLE_OPENAI_API": True,
            "OPENAI_API_BASE_URLS": [OF_ADA, self.url],
            "OPENAI_API_KEYS": ["sesame-of-ada", ""],
            "OPENAI_API_CONFIGS": {"0": {"enable": False}, "1": {"tags": [{"name": "of Ada"}]}},
        }
        self.ada.ask("/openai/config/update", connections)
        self.switch_sign_up(to=False)

    def switch_sign_up(self, *, to: bool) -> None:
        """As the panel does: its form has all of its settings."""
        form = self.ada.ask("/api/v1/auths/admin/config")
        self.ada.ask("/api/v1/auths/admin/config", {**form, "ENABLE_SIGNUP": to})

    def saved(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ada.ask(EXPORT)
        return found

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        data = json.dumps({FRESH: self.data})
        result = self.lab.run(*arguments, TEST_HOST_DATA=data, LLM_KEY=KEY)
        print(result.stdout)
        assert "sesame" not in result.stdout
        return result

    def deploy(self) -> list[str]:
        result = self.run("-y", "deploy.py", "--json")
        assert result.returncode == 0
        return changed(report_in(result.stdout))

    def stack_account(self) -> dict[str, Any] | None:
        people = self.ada.ask("/api/v1/users/")["users"]
        return next((one for one in people if one["email"] == ACCOUNT), None)


def banner(text: str) -> dict[str, Any]:
    return {"id": "1", "type": "info", "title": "", "content": text, "dismissible": True, "timestamp": 0}


@pytest.fixture(scope="module")
def site(lab: Lab, deployed: dict[str, Any]) -> Saved:
    return Saved(lab)


class TestSavedSettings:
    """In their order: each goes on from the host that the one before left."""

    def test_a_dry_run_shows_each_value_that_differs_and_changes_none(self, site: Saved) -> None:
        before = site.saved()
        result = self.dry(site)
        for line in (
            "ui.enable_signup: saved: false, wanted: true",
            f'ui.default_models: saved: "{LONG}", wanted: "{SHORT}"',
            f'openai.api_base_urls: saved: ["{OF_ADA}", "{site.url}"], wanted: ["{site.url}"]',
            "openai.api_keys: saved: (hidden), wanted: (hidden)",
        ):
            assert line in result
        assert site.saved() == before
        assert site.stack_account() is None

    def test_a_deploy_saves_those_and_no_others_with_an_account_of_its_own(self, site: Saved) -> None:
        before = site.saved()
        assert SAVE in site.deploy()
        after = site.saved()
        assert {key: after[key] for key in site.wanted} == site.wanted
        assert {key for key in before if before[key] != after[key]} <= site.wanted.keys()
        assert after["ui.banners"][0]["content"] == "of Ada"
        account = site.stack_account()
        assert account is not None
        assert account["role"] == "admin"
        password = site.ada.host.file("/opt/open-webui/secrets/stack-password")
        assert (password.mode, password.user) == (0o600, "root")
        config = site.ada.ask("/api/config")
        assert (config["default_models"], config["features"]["enable_signup"]) == (SHORT, True)
        assert SHORT in [one["id"] for one in site.ada.ask("/api/models")["data"]]

    def test_a_second_run_changes_nothing(self, site: Saved) -> None:
        before = site.saved()
        assert site.deploy() == []
        assert site.saved() == before

    def test_a_value_that_an_admin_saved_since_is_drift_and_put_back_without_a_restart(self, site: Saved) -> None:
        before, running = site.saved(), containers(site.ada.host)
        site.switch_sign_up(to=False)
        assert site.saved() == {**before, "ui.enable_signup": False}
        assert "ui.enable_signup: saved: false, wanted: true" in site.run("-y", "runbooks/status.py").stdout
        assert site.deploy() == [SAVE]
        assert site.saved() == before
        assert containers(site.ada.host) == running

    def test_an_account_that_an_admin_took_the_rights_from_saves_nothing(self, site: Saved) -> None:
        account = site.stack_account()
        assert account is not None
        form = {key: account[key] for key in ("name", "email", "profile_image_url")}
        site.switch_sign_up(to=False)
        before = site.saved()
        site.ada.ask(f"/api/v1/users/{account['id']}/update", {**form, "role": "user"})
        result = site.run("-y", "deploy.py")
        assert result.returncode == 1
        assert f"the account {ACCOUNT}: expected an admin, got the role 'user'; make it an admin" in result.stdout
        assert site.saved() == before
        site.ada.ask(f"/api/v1/users/{account['id']}/update", {**form, "role": "admin"})
        assert site.deploy() == [SAVE]

    def dry(self, site: Saved) -> str:
        result = site.run("deploy.py", "--dry")
        assert result.returncode == 0
        return result.stdout


@pytest.mark.long
def test_both_replicas_on_postgres_follow_without_a_restart(stack: Stack) -> None:
    env = {"ENABLE_OLLAMA_API": "False", "DEFAULT_MODELS": SHORT, "DEFAULT_USER_ROLE": "user"}
    data = {"open_webui_env": env, "open_webui_saved": ["DEFAULT_MODELS", "DEFAULT_USER_ROLE"]}
    token = stack.door.sign_in()
    stack.deploy(**data)
    visitor, path = stack.door.visitor(), "/api/v1/configs/models"
    form = visitor.must("GET", path, token=token)
    visitor.must("POST", path, {**form, "DEFAULT_MODELS": LONG}, token)
    running = containers(stack.host)
    assert changed(stack.deploy(**data)) == [SAVE]
    for process in PROCESSES:
        status, body = stack.ask(process, path, token)
        assert (status, json.loads(body)["DEFAULT_MODELS"]) == (200, SHORT)
    assert changed(stack.deploy(**data)) == []
    assert containers(stack.host) == running
