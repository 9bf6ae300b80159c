"""The program looks at secrets by the rules by which the shell writes them, and shows none."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.defaults import settings
from tests.host.asking import arguments, silent
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeKernel
from tests.stack_folder import DERIVED, FILES, SHELLS, Stack, as_root
from webui_stack.host import secrets
from webui_stack.host.engine import Engine, NewContainer, Refused, Unavailable
from webui_stack.host.files import Files
from webui_stack.host.stack import FOLDER_LABEL
from webui_stack.secrets import Supplied

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE+IBk/2==\nAwEHoUQDQgAE\n-----END EC PRIVATE KEY-----"
URL = 'postgresql://chat:p$HOME`id`"#%40\\@db.example.org:5432/chat?sslmode=require'
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PROXIED = {"public_url": "https://chat.example.org"}
SUPPLIED = Supplied(SecretStr("suppliedPassword0123456789"), SecretStr("supplied+/=._~:@%-Key0123456789"), {})
NASTY = {"A": '  $HOME `id` "x" a=b #c \\n \u00fc \u2028 \x0c ', "END": "END", "B": "${valkey_password}"}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """On a machine whose Docker has no containers."""
    stub = tmp_path / "bin/docker"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\n[ "$1" = ps ]\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    return Stack(tmp_path / "stack", next(iter(SHELLS.values())))


def of_environment(**values: str) -> Supplied:
    return Supplied(None, None, {name: SecretStr(value) for name, value in values.items()})


# Settings, what is supplied, and the files besides those there always are.
KINDS = [
    pytest.param({}, Supplied(None, None, {}), [], id="the defaults"),
    pytest.param({}, SUPPLIED, [], id="supplied ones"),
    pytest.param({"database": "postgres"}, Supplied(None, None, {}), ["secrets/postgres-password"], id="postgres"),
    pytest.param(
        {"database_url": "env:X"},
        Supplied(None, None, {}, database_url=SecretStr(URL)),
        [],
        id="a database elsewhere",
    ),
    pytest.param(
        {**PROXIED, "proxy_tls": "files", "proxy_certificate_key": "env:X"},
        Supplied(None, None, {}, proxy_certificate_key=SecretStr(KEY)),
        ["secrets/proxy-key"],
        id="a proxy with files",
    ),
    pytest.param(
        {"verify_level": "user"}, Supplied(None, None, {}), ["secrets/probe-password"], id="an account of the probe"
    ),
    pytest.param(
        {"open_webui_secret_env": dict.fromkeys(NASTY, "env:X")},
        of_environment(**NASTY),
        [],
        id="variables of the operator's",
    ),
    pytest.param({"stack_adopt": True}, Supplied(None, None, {}), [], id="adopted"),
    pytest.param(
        {
            "topology": "swarm",
            "swarm_runs": ["data"],
            "open_webui_shared_dir": "/mnt/chat",
            "valkey_default_user": "all",
        },
        Supplied(None, None, {}),
        ["secrets/postgres-password"],
        id="a swarm",
    ),
]


@pytest.fixture
def certified(tmp_path: Path) -> Any:
    """Settings with the certificate that some of them need."""

    def whole(changes: dict[str, Any]) -> dict[str, Any]:
        if changes.get("proxy_tls") != "files":
            return changes
        (tmp_path / "chain.pem").write_text(PEM)
        return {**changes, "proxy_certificate": str(tmp_path / "chain.pem")}

    return whole


@as_root
@pytest.mark.parametrize(("changes", "supplied", "more"), KINDS)
def test_after_the_shell_has_written_nothing_is_stale(
    stack: Stack, certified: Any, changes: dict[str, Any], supplied: Supplied, more: list[str]
) -> None:
    changes = certified(changes)
    # Where the program looks, it knows of no key that is yet to be made; `Stack.write` holds the paths together.
    assert stack.write(supplied, **changes) == [".", "secrets", "valkey", *FILES, *more, *DERIVED]
    state = stack.look(supplied, **changes)
    assert (state.stale, state.refused) == ({}, "")
    assert f"{state.env}\n" == stack.text(".env")
    assert f"{state.acl}\n" == stack.text("valkey/users.acl")


@as_root
@pytest.mark.parametrize(
    ("changes", "supplied", "more"),
    [kind for kind in KINDS if kind.id in ("postgres", "a proxy with files", "an account of the probe")],
)
def test_each_file_that_was_removed_edited_or_opened_is_found(
    stack: Stack, certified: Any, changes: dict[str, Any], supplied: Supplied, more: list[str]
) -> None:
    """And the shell writes the very ones that were found (`Stack.write`)."""
    changes = certified(changes)
    stack.write(supplied, **changes)
    for name in [*FILES, *more, *DERIVED]:
        path = stack.folder / name
        path.chmod(0o666)
        assert stack.look(supplied, **changes).stale == {str(path): "mode"}
        assert stack.write(supplied, **changes) == [name]
        path.unlink()
        assert stack.look(supplied, **changes).stale[str(path)] == "content"
        assert name in stack.write(supplied, **changes)
        path.write_text("")
        assert stack.look(supplied, **changes).stale[str(path)] == "content"
        assert name in stack.write(supplied, **changes)
        assert stack.stale(supplied, **changes) == []


@as_root
@pytest.mark.parametrize("name", [*DERIVED, "secrets/proxy-key"])
@pytest.mark.parametrize("more", ["\n", "# by hand\n", "x"], ids=ascii)
def test_an_edit_of_a_file_that_is_made_of_others_is_found(stack: Stack, certified: Any, name: str, more: str) -> None:
    changes = certified({**PROXIED, "proxy_tls": "files", "proxy_certificate_key": "env:X"})
    supplied = Supplied(None, None, {}, proxy_certificate_key=SecretStr(KEY))
    stack.write(supplied, **changes)
    before = stack.text(name)
    (stack.folder / name).write_text(before + more)
    assert stack.write(supplied, **changes) == [name]
    assert stack.text(name) == before


@as_root
@pytest.mark.parametrize("folder", [".", "secrets", "valkey"])
def test_a_folder_that_was_opened_is_found(stack: Stack, folder: str) -> None:
    stack.write()
    (stack.folder / folder).chmod(0o777)
    assert stack.stale() == [folder]
    assert stack.write() == [folder]
    if folder != ".":
        shutil.rmtree(stack.folder / folder)
        assert stack.write()[0] == folder


@as_root
@pytest.mark.parametrize("name", [*FILES, "secrets/postgres-password", "secrets/probe-password"])
@pytest.mark.parametrize("text", ["it's", "a b", "\u00fc", "a\nb", "a+b", "a\r"], ids=ascii)
def test_a_character_that_no_secret_has_is_refused_by_both(stack: Stack, name: str, text: str) -> None:
    changes: dict[str, Any] = {"database": "postgres", "verify_level": "user"}
    stack.write(**changes)
    (stack.folder / name).write_bytes(f"{text}\n".encode())
    if text == "a+b" and name == "secrets/webui-secret-key":  # as in Base64
        assert stack.write(**changes) == [".env"]
        return
    refused = stack.look(**changes).refused
    assert refused.startswith(f"{stack.folder}/{name}: expected only letters")
    assert "not shown" in refused
    done = stack.run(**changes)
    assert (done.returncode, done.stdout) == (1, f"refused {refused}\n")


@as_root
def test_users_that_a_running_valkey_has_loaded_keep_their_label_for_both(stack: Stack) -> None:
    stack.write()
    made_with = hashlib.sha256(stack.text("valkey/users.acl").rstrip("\n").encode()).hexdigest()
    stack.write(SUPPLIED)
    loaded = hashlib.sha256(stack.text("valkey/users.acl").rstrip("\n").encode()).hexdigest()
    (stack.folder / "valkey/acl-label").write_text(f"{loaded} {made_with}\n")
    assert stack.write(SUPPLIED) == [".env"]
    assert f"VALKEY_ACL_SHA256='{made_with}'" in stack.look(SUPPLIED).env
    assert stack.stale(SUPPLIED) == []
    (stack.folder / "valkey/acl-label").write_text(f"{made_with} {loaded}\n")  # of other users: no label of these
    assert stack.write(SUPPLIED) == [".env"]


def test_a_secret_that_is_still_to_be_made_makes_its_files_stale_and_nothing_is_written() -> None:
    kernel = FakeKernel()
    found = look(silent(), files=Files(kernel))
    assert list(found.stale) == [f"/opt/stack{path}" for path in ("", "/secrets", "/valkey")] + [
        f"/opt/stack/{name}" for name in [*FILES, *DERIVED]
    ]
    assert Files(kernel).stat("/opt/stack") is None


@pytest.mark.parametrize("changes", [{}, {"verify_level": "user"}], ids=str)
def test_neither_a_wish_nor_what_was_found_shows_a_secret_when_printed(changes: dict[str, Any]) -> None:
    supplied = Supplied(SecretStr("sesame0123456789ab"), None, {"A": SecretStr("sesame-too")})
    some = settings(stack_dir="/opt/stack", open_webui_secret_env={"A": "env:X"}, **changes)
    wanted = secrets.wish(arguments(some, supplied)["project"]["secrets"])
    assert "sesame" in wanted.secrets[0].supplied
    found = secrets.look(Files(FakeKernel()), silent(), wanted)
    assert "sesame" in found.env
    assert "sesame" not in f"{wanted} {wanted!r} {found} {found!r}"


# --- A key that somebody gave Open WebUI by hand


def by_hand(env: dict[str, str] | None = None, file: bytes = b"", **labels: str) -> FakeEngine:
    engine = FakeEngine()
    engine.docker.put_image("open-webui:1")
    new = NewContainer("open-webui:1", env=env or {}, labels={FOLDER_LABEL: labels["folder"]} if labels else {})
    made = engine.docker.put_container("open-webui", new)
    if file:
        made.files["/app/backend/.webui_secret_key"] = file
    return engine


def look(engine: Engine, *, adopts: bool = True, kept: str = "", files: Files | None = None) -> secrets.State:
    files = files or Files(FakeKernel())
    if kept:
        files.make_folder("/opt/stack")
        files.make_folder("/opt/stack/secrets")
        files.write("/opt/stack/secrets/webui-secret-key", f"{kept}\n")
    some = settings(stack_dir="/opt/stack", stack_adopt=adopts)
    return secrets.look(files, engine, secrets.wish(arguments(some)["project"]["secrets"]))


def key_in(found: secrets.State) -> str:
    (line,) = [line for line in found.env.splitlines() if line.startswith("WEBUI_SECRET_KEY=")]
    return line.partition("=")[2].strip("'")


def test_a_key_by_hand_is_that_of_the_containers_environment() -> None:
    found = look(by_hand({"WEBUI_SECRET_KEY": "9xQ+/abc=="}, b"another"))
    assert key_in(found) == "9xQ+/abc=="
    assert "9xQ" not in f"{found} {found.stale}"


@pytest.mark.parametrize("env", [{}, {"WEBUI_SECRET_KEY": ""}], ids=["no variable", "an empty one"])
def test_or_it_is_that_of_its_start_scripts_file(env: dict[str, str]) -> None:
    assert key_in(look(by_hand(env, b"q2Vt+XJrZXI/L1==\n"))) == "q2Vt+XJrZXI/L1=="


def test_a_container_with_neither_has_none() -> None:
    assert key_in(look(by_hand())) == ""


def test_our_own_container_has_no_key_by_hand() -> None:
    env = {"WEBUI_SECRET_KEY": "9xQ+/abc=="}
    assert key_in(look(by_hand(env, b"q2Vt", folder="/opt/stack"))) == ""
    assert key_in(look(by_hand(env, folder="/srv/somebodys"))) == "9xQ+/abc=="


def test_a_key_by_hand_gives_way_to_the_one_that_is_kept_and_counts_only_where_it_is_adopted() -> None:
    engine = by_hand({"WEBUI_SECRET_KEY": "9xQ+/abc=="})
    assert key_in(look(engine, kept="ours")) == "ours"
    assert key_in(look(engine, adopts=False)) == ""


def test_a_key_by_hand_with_a_character_that_no_secret_has_is_refused_and_not_shown() -> None:
    found = look(by_hand({"WEBUI_SECRET_KEY": "it's"}))
    assert found.refused.startswith("/opt/stack/secrets/webui-secret-key: expected only letters, any of ")
    assert "it's" not in found.refused


@pytest.mark.parametrize("error", [Unavailable("x", "none"), Refused("x", "no", status=500)], ids=["silent", "refuses"])
def test_a_docker_that_does_not_say_leaves_the_key_open(error: Exception) -> None:
    """It may not be installed yet. The shell, which writes the key, fails then."""

    class Fails(FakeEngine):
        def container(self, name: str) -> Any:  # noqa: ARG002
            raise error

    found = look(Fails())
    assert (found.refused, key_in(found)) == ("", "")
    assert "/opt/stack/secrets/webui-secret-key" in found.stale
