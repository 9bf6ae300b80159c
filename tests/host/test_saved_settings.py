"""Saved settings become as wanted, and no other one changes; no secret is told, and nobody's change is lost."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import ROOT
from tests.host.fake_docker import Exit, Process, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.open_webui_server import OpenWebUi
from webui_stack.host import open_webui, saved_settings
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.verbs import saved_settings as verb

PROGRAM = (ROOT / "webui_stack/host/saved_settings.py").read_text()
EMAIL, PASSWORD = "stack@open-webui-stack.invalid", "sesame-of-the-stack"
ADMIN = "ada@example.org"
SAVED: dict[str, Any] = {
    "ui.enable_signup": True,
    "ui.default_models": None,
    "ui.banners": [{"content": "of an admin"}],
    "folders.max_file_count": 100,
    "rag.relevance_threshold": 0.5,
    "openai.enable": True,
    "openai.api_base_urls": ["http://old:1/v1", "http://kept:2/v1/"],
    "openai.api_keys": ["sesame-old", "sesame-kept"],
    "openai.api_configs": {"0": {"tags": ["old"]}, "1": {"tags": ["kept"], "headers": {"x": "sesame-header"}}},
}
WANTED: dict[str, Any] = {
    "ui.enable_signup": False,
    "ui.default_models": "llama3.2:1b",
    "openai.enable": True,
    "openai.api_base_urls": ["http://kept:2/v1", "http://new:3/v1"],
    "openai.api_keys": ["sesame-kept", "sesame-new"],
}
CHANGED = {
    "ui.enable_signup",
    "ui.default_models",
    "openai.api_base_urls",
    "openai.api_keys",
    "openai.api_configs",
}
IMPORT, EXPORT = "/api/v1/configs/import", "/api/v1/configs/export"
SIGN_IN, SIGN_OUT = "/api/v1/auths/signin", "/api/v1/auths/signout"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[OpenWebUi]:
    """An Open WebUI where an admin has signed up, and saved settings."""
    found = OpenWebUi(tmp_path, SAVED)
    found.sign_up(ADMIN)
    yield found
    found.end()


def printed(app: OpenWebUi, wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the program prints, as Open WebUI's own Python runs it."""
    request = {"address": app.address, "wanted": wanted, "email": "", **more}
    environment = {
        "PYTHONPATH": str(app.folder),
        "DATA_DIR": str(app.folder),
        "WEBUI_SECRET_KEY": "sesame-key",
        "http_proxy": "http://127.0.0.1:1",  # nobody listens there
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(request),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "sesame" not in done.stdout
    assert done.stderr == ""
    answer: dict[str, Any] = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    return answer


def marks(app: OpenWebUi, wanted: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: one["seen"] for one in printed(app, wanted)["differences"]}


def save(app: OpenWebUi, wanted: dict[str, Any], seen: dict[str, str] | None = None) -> dict[str, Any]:
    marked = marks(app, wanted) if seen is None else seen
    return printed(app, wanted, email=EMAIL, password=PASSWORD, seen=marked)


# --- A look


def test_a_look_tells_each_difference_without_secrets_and_asks_nobody(app: OpenWebUi) -> None:
    before = (app.folder / "webui.db").read_bytes()
    found = {one["key"]: (one["saved"], one["wanted"]) for one in printed(app, WANTED)["differences"]}
    assert found == {
        "ui.enable_signup": ("true", "false"),
        "ui.default_models": ("null", '"llama3.2:1b"'),
        "openai.api_base_urls": ('["http://old:1/v1", "http://kept:2/v1/"]', '["http://kept:2/v1", "http://new:3/v1"]'),
        "openai.api_keys": ("(hidden)", "(hidden)"),
        "openai.api_configs": ("(hidden)", "(hidden)"),
    }
    assert app.asked == []
    assert (app.folder / "webui.db").read_bytes() == before


def test_a_key_that_was_never_saved_differs(app: OpenWebUi) -> None:
    (one,) = printed(app, {"ui.default_user_role": "user"})["differences"]
    assert (one["saved"], one["wanted"]) == ("nothing", '"user"')


def test_marks_tell_saved_values_apart_and_need_the_key(app: OpenWebUi) -> None:
    first = marks(app, WANTED)
    app.put({"openai.api_keys": ["sesame-old", "sesame-other"]})
    second = marks(app, WANTED)
    assert first.keys() == second.keys()
    assert {key for key in first if first[key] != second[key]} == {"openai.api_keys"}
    one, other = (saved_settings.differences({"k": 1}, {"k": 2}, secret)[0]["seen"] for secret in ("a", "b"))
    assert one != other


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (["http://user:sesame/@x@llm:1/v1"], '["http://llm:1/v1"]'),
        (["http://llm/v1?key=sesame", "http://b/v1"], '["http://llm/v1?(hidden)", "http://b/v1"]'),
        ("\x1b[2J\n", '"\\u001b[2J\\n"'),
        (None, "null"),
    ],
)
def test_an_address_is_shown_without_its_credentials(value: object, shown: str) -> None:
    assert saved_settings.shown("openai.api_base_urls", value) == shown


def test_a_slash_at_the_end_of_an_address_makes_no_difference(app: OpenWebUi) -> None:
    assert printed(app, {"openai.api_base_urls": ["http://old:1/v1/", "http://kept:2/v1"]})["differences"] == []


@pytest.mark.parametrize("url", ["postgresql://user:sesame@127.0.0.1:1/x", "mysql://user:sesame@db/x"])
def test_a_database_that_does_not_answer_is_trouble_and_not_one_without_differences(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"wanted": WANTED, "email": ""})))
    saved_settings.main()
    said = capsys.readouterr().out
    assert "sesame" not in said
    assert len(json.loads(said)["trouble"]) == 4


# --- A change


def test_what_differs_is_saved_and_no_other_setting_is(app: OpenWebUi) -> None:
    answer = save(app, WANTED)
    assert answer["trouble"] is None
    assert {one["key"] for one in answer["differences"]} == CHANGED
    after = app.saved()
    assert {key: after[key] for key in WANTED} == WANTED
    assert after["ui.banners"] == SAVED["ui.banners"]
    assert app.accounts() == {ADMIN: ("hash of x", "admin"), EMAIL: (f"hash of {PASSWORD}", "admin")}
    assert app.tokens == set()


def test_notes_of_a_connection_stay_with_its_address(app: OpenWebUi) -> None:
    save(app, WANTED)
    assert app.saved()["openai.api_configs"] == {"0": SAVED["openai.api_configs"]["1"]}


def test_a_second_run_asks_nothing_and_changes_nothing(app: OpenWebUi) -> None:
    save(app, WANTED)
    app.asked.clear()
    before = (app.folder / "webui.db").read_bytes()
    assert save(app, WANTED) == {"differences": [], "trouble": None}
    assert app.asked == []
    assert (app.folder / "webui.db").read_bytes() == before


def test_only_keys_that_differ_are_sent(app: OpenWebUi) -> None:
    (one,) = save(app, {"ui.enable_signup": False, "openai.enable": True})["differences"]
    assert one["key"] == "ui.enable_signup"
    assert app.imported == [{"ui.enable_signup": False}]
    assert {**app.saved(), "ui.enable_signup": True} == SAVED


def test_an_account_with_another_password_gets_the_hosts_and_no_other_role(app: OpenWebUi) -> None:
    app.sign_up(EMAIL, known="older")
    assert save(app, WANTED)["trouble"] is None
    assert app.accounts()[EMAIL] == (f"hash of {PASSWORD}", "admin")


def test_the_stacks_account_is_never_the_first(tmp_path: Path) -> None:
    app = OpenWebUi(tmp_path, SAVED)
    trouble = save(app, WANTED)["trouble"]
    app.end()
    assert trouble[2:] == ["no account at all", "sign up in a browser, then deploy again"]
    assert (app.accounts(), app.saved()) == ({}, SAVED)


def test_an_account_that_is_no_admin_any_more_is_left_so(app: OpenWebUi) -> None:
    app.sign_up(EMAIL, known=PASSWORD, role="user")
    assert save(app, WANTED)["trouble"][1:3] == ["an admin", "the role 'user'"]
    assert app.saved() == SAVED
    assert app.accounts()[EMAIL][1] == "user"
    assert app.tokens == set()


def test_a_value_that_changed_since_it_was_seen_is_not_overwritten(app: OpenWebUi) -> None:
    seen = marks(app, WANTED)
    app.put({"ui.default_models": "of-ada"})
    trouble = save(app, WANTED, seen)["trouble"]
    assert (trouble[0], trouble[2]) == ("ui.default_models", "another change of it meanwhile")
    assert app.saved() == {**SAVED, "ui.default_models": "of-ada"}
    assert app.asked == []


def test_a_value_that_became_the_wanted_one_is_nobodys_trouble(app: OpenWebUi) -> None:
    seen = marks(app, WANTED)
    app.put({"ui.default_models": "llama3.2:1b"})
    answer = save(app, WANTED, seen)
    assert answer["trouble"] is None
    assert {one["key"] for one in answer["differences"]} == CHANGED - {"ui.default_models"}


@pytest.mark.parametrize("key", ["ui.default_models", "openai.api_configs", "openai.enable"])
def test_a_change_while_it_signs_in_is_not_overwritten(app: OpenWebUi, key: str) -> None:
    app.meanwhile = lambda: app.put({key: {"of": "ada"}})
    trouble = save(app, WANTED)["trouble"]
    assert (trouble[0], trouble[2]) == (key, "another change of it meanwhile")
    assert app.saved() == {**SAVED, key: {"of": "ada"}}
    assert f"POST {IMPORT}" not in app.asked
    assert app.tokens == set()


def test_another_setting_that_an_admin_saves_meanwhile_is_kept(app: OpenWebUi) -> None:
    app.meanwhile = lambda: app.put({"ui.banners": []})
    assert save(app, WANTED)["trouble"] is None
    assert app.saved()["ui.banners"] == []


def test_an_open_webui_that_keeps_one_tree_is_not_written_to(app: OpenWebUi) -> None:
    app.is_older = True
    trouble = save(app, WANTED)["trouble"]
    assert (trouble[0], trouble[2]) == ("its export", "another form")
    assert app.saved() == SAVED
    assert f"POST {IMPORT}" not in app.asked


@pytest.mark.parametrize("status", [400, 403, 429, 500])
@pytest.mark.parametrize("path", [SIGN_IN, EXPORT, IMPORT])
def test_a_request_that_fails_is_trouble_with_its_status_and_nothing_is_saved(
    app: OpenWebUi, path: str, status: int
) -> None:
    app.statuses = {path: status}
    answer = save(app, WANTED)
    assert f"HTTP {status}" in answer["trouble"][2]
    assert app.saved() == SAVED
    assert app.tokens == set()


def test_a_sign_out_that_fails_is_no_trouble(app: OpenWebUi) -> None:
    app.statuses = {SIGN_OUT: 500}
    assert save(app, WANTED)["trouble"] is None


def test_a_value_that_is_not_saved_as_told_is_trouble(app: OpenWebUi) -> None:
    app.spoils = frozenset({"ui.default_models"})
    assert save(app, WANTED)["trouble"][:3] == ["ui.default_models", '"llama3.2:1b"', '"spoilt"']


def test_an_open_webui_that_is_not_there_is_trouble(app: OpenWebUi) -> None:
    seen = marks(app, WANTED)
    app.end()
    assert save(app, WANTED, seen)["trouble"][2] == "URLError"


# --- From the host


class World:
    """A host with Open WebUI in a container; `answer` is what the program prints there."""

    def __init__(self, *, start: bool = True) -> None:
        self.engine, self.files = FakeEngine(), FakeFiles(FakeKernel())
        self.ran: list[Process] = []
        self.told: list[str] = []
        self.answer: bytes | None = b'{"differences": [], "trouble": null}'
        self.engine.docker.put_image("image:1", Program(commands={"python3": self.run}))
        self.engine.docker.put_container("open-webui", NewContainer("image:1"), start=start)
        self.files.make_folder("/opt", mode=0o755)
        self.files.write("/opt/stack-password", f"{PASSWORD}\n".encode(), mode=0o600)

    def run(self, process: Process) -> bytes:
        self.ran.append(process)
        if self.answer is None:
            raise Exit(1)
        return b"a line of a log\n" + self.answer + b"\n"

    def look(self) -> dict[str, Any] | None:
        return open_webui.differing(self.engine, "open-webui", WANTED)

    def save(self, container: str = "open-webui", file: str = "/opt/stack-password") -> list[str]:
        asked = verb.Request(container, EMAIL, file, WANTED, {"ui.enable_signup": "ab"})
        return verb.saved(asked, self.engine, self.files, lambda event: self.told.append(event.text))


DIFFERENCE = {"key": "ui.enable_signup", "saved": "true", "wanted": "false", "seen": "ab"}


def test_secrets_travel_by_stdin_alone() -> None:
    world = World()
    world.save()
    world.look()
    assert "sesame" not in str([process.command for process in world.ran])
    assert PASSWORD in world.ran[0].stdin.decode()
    assert json.loads(world.ran[1].stdin)["email"] == ""


def test_a_look_at_no_open_webui_is_none_and_one_that_fails_says_why() -> None:
    assert open_webui.differing(FakeEngine(), "open-webui", WANTED) is None
    assert World(start=False).look() is None
    world = World()
    assert world.look() == {"failed": "", "differences": []}
    world.answer = json.dumps({"differences": [DIFFERENCE], "trouble": None}).encode()
    assert world.look() == {"failed": "", "differences": [DIFFERENCE]}
    world.answer = b'{"differences": [], "trouble": ["its saved settings", "an answer", "OperationalError", "look"]}'
    failed = "open-webui: its saved settings: expected an answer, got OperationalError; look"
    assert world.look() == {"failed": failed, "differences": []}
    world.answer = b"[]"
    assert (world.look() or {})["failed"].startswith("python3 in open-webui: expected a JSON object")
    world.answer = None
    assert "got exit code 1" in (world.look() or {})["failed"]


def test_the_verb_tells_what_it_saved() -> None:
    world = World()
    world.answer = json.dumps({"differences": [DIFFERENCE], "trouble": None}).encode()
    assert world.save() == ["ui.enable_signup"]
    assert world.told == ["open-webui: saved ui.enable_signup"]


def test_the_verb_says_what_to_do_where_it_can_not_save() -> None:
    with pytest.raises(HostError, match="expected Open WebUI to run, got no container of it; run deploy"):
        World().save(container="another")
    with pytest.raises(HostError, match="expected Open WebUI to run, got a container that is created"):
        World(start=False).save()
    with pytest.raises(HostError, match="expected the password of the stack's account, got none"):
        World().save(file="/opt/other")
    world = World()
    world.answer = b'{"differences": [], "trouble": ["the account x", "an admin", "the role", "make it one"]}'
    with pytest.raises(HostError, match="open-webui: the account x: expected an admin, got the role; make it one"):
        world.save()
