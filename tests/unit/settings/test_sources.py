"""The operator's secrets: where they are read, what is refused, and that no error shows one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.defaults import settings
from webui_stack.settings.sources import SecretError, Supplied, read_source, restic_environments, supply

PASSWORD = "marker0123456789ABCDEF"
SECRET_KEY = "markerKEY0123456789abcdef0123456789"
PEM_KEY = "-----BEGIN {}PRIVATE KEY-----\nmarker+/AwEHoUQDQgAE==\nMHcCAQEE\n-----END {}PRIVATE KEY-----"


def problems(read: Callable[[str], str] = read_source, **changes: Any) -> list[str]:
    with pytest.raises(SecretError) as caught:
        supply(settings(**changes), read)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_without_sources_the_host_makes_them() -> None:
    assert supply(settings(), read_source) == Supplied(None, None, {})


def test_each_kind_of_source_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK_PASSWORD", PASSWORD)
    file = tmp_path / "secret key"
    file.write_text(f"{SECRET_KEY}\n")
    supplied = supply(
        settings(
            valkey_password="env:STACK_PASSWORD",
            open_webui_secret_key=f"file:{file}",
            open_webui_secret_env={"OPENAI_API_KEY": "command:printf 'sk-%s\\n' 'a b$c\"d#e\\f'"},
        ),
        read_source,
    )
    assert supplied.valkey_password == SecretStr(PASSWORD)
    assert supplied.open_webui_secret_key == SecretStr(SECRET_KEY)
    assert supplied.environment == {"OPENAI_API_KEY": SecretStr('sk-a b$c"d#e\\f')}


URL = "https://hooks.example.org/marker/0123?token=marker"


def test_receivers_of_alarms_get_what_their_sources_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", URL)
    monkeypatch.setenv("TOKEN", "tk_marker")
    mail = {"email": ["a@example.org"], "from": "b@example.org", "smtp": "mail.example.org:587", "user": "chat"}
    wanted = settings(
        alarms=[
            {"webhook": "env:HOOK"},
            {"webhook": "https://hooks.example.org/open"},
            {"ntfy": "https://ntfy.example.org/chat", "token": "env:TOKEN"},
            {**mail, "password": "command:printf 'pass word'"},
            {"heartbeat": "env:HOOK"},
        ]
    )
    supplied = supply(wanted, read_source)
    assert list(supplied.alarms) == [
        {"webhook": URL},
        {"webhook": "https://hooks.example.org/open"},
        {"ntfy": "https://ntfy.example.org/chat", "token": "tk_marker"},
        {**mail, "password": "pass word"},
        {"heartbeat": URL},
    ]
    assert "marker" not in repr(supplied)
    assert "pass word" not in repr(supplied)


@pytest.mark.parametrize(
    ("receiver", "line"),
    [
        pytest.param({"webhook": "env:NO_SUCH_NAME"}, "alarms/1/webhook: expected to read env:NO_SUCH_NAME, got no "
                     "environment variable NO_SUCH_NAME; check the source", id="no source"),
        pytest.param({"webhook": "env:WORDS"}, "alarms/1/webhook: expected a URL of http or https, got a value "
                     "(hidden) that is not; change it at its source", id="no URL"),
        pytest.param({"ntfy": "https://ntfy.example.org/x", "token": "env:LINES"}, "alarms/1/token: expected one line "
                     "of ASCII, got a value (hidden) that is not; change it at its source", id="lines in a token"),
    ],
)  # fmt: skip
def test_what_a_receivers_source_holds_is_checked_and_not_shown(
    receiver: dict[str, Any], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORDS", "marker and more")
    monkeypatch.setenv("LINES", "marker\nX: y")
    assert problems(alarms=[{"webhook": "https://hooks.example.org/"}, receiver]) == [line]


def test_keys_of_apis_are_in_their_order_and_an_api_without_one_has_an_empty_one() -> None:
    urls = [f"https://{name}.example.org/v1" for name in "abc"]
    apis = [{"url": urls[0], "key": "env:A"}, {"url": urls[1]}, {"url": urls[2], "key": "env:C"}]
    supplied = supply(settings(openai_connections=apis), {"env:A": "sk-a", "env:C": "sk-c"}.__getitem__)
    assert supplied.environment == {"OPENAI_API_KEYS": SecretStr("sk-a;;sk-c")}


@pytest.mark.parametrize("key", ["sk-marker;sk-b", "sk marker", "sk-marker'", "sk-marker\\", ""])
def test_a_key_that_would_be_read_as_another_is_refused_and_not_shown(key: str) -> None:
    apis = [{"url": "https://a.example.org/v1"}, {"url": "https://b.example.org/v1", "key": "env:B"}]
    assert problems(lambda _: key, openai_connections=apis) == [
        "openai_connections/1/key: expected a key with no space, semicolon, single quote or backslash, got a value "
        "(hidden) that is not; change it at its source"
    ]


def test_passwords_of_registries_are_read_by_registry() -> None:
    logins = {name: {"user": "ci", "password": f"env:{name}"} for name in ("ghcr.io", "docker.io")}
    supplied = supply(settings(registry_login=logins), {"env:ghcr.io": "a b", "env:docker.io": "x"}.__getitem__)
    assert supplied.registry_passwords == {"ghcr.io": SecretStr("a b"), "docker.io": SecretStr("x")}
    assert problems(lambda _: "marker\nx", registry_login=logins) == [
        f"registry_login/{name}/password: expected one line of text, got a value (hidden) that is not; change it "
        "at its source"
        for name in logins
    ]


def test_a_file_may_be_in_the_operators_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "password").write_bytes(b"windows\r\n")
    assert read_source("file:~/password") == "windows"


def test_a_variable_that_is_not_text_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python keeps bytes that are not UTF-8 as lone surrogates, which nothing can write again."""
    monkeypatch.setenv("BYTES", os.fsdecode(b"hidden\xff\xfeSECRET"))
    assert problems(open_webui_secret_env={"OPENAI_API_KEY": "env:BYTES"}) == [
        "open_webui_secret_env/OPENAI_API_KEY: expected to read env:BYTES, got a variable that is not text; check the "
        "source"
    ]
    monkeypatch.setenv("BYTES", "gr\u00fc\u00dfe")
    supplied = supply(settings(open_webui_secret_env={"OPENAI_API_KEY": "env:BYTES"}), read_source)
    assert supplied.environment["OPENAI_API_KEY"].get_secret_value() == "gr\u00fc\u00dfe"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param("env:NO_SUCH_NAME", "no environment variable NO_SUCH_NAME", id="env"),
        pytest.param("file:/nonexistent", "[Errno 2] No such file or directory: '/nonexistent'", id="file"),
        pytest.param("file:/bin/sh", "a file that is not text", id="binary file"),
        pytest.param("command:exit 3", "exit status 3", id="command that fails"),
        pytest.param("command:no-such-command-here", "exit status 127", id="command that is not there"),
        pytest.param("command:printf '\\377\\376'", "output that is not text", id="command with binary output"),
    ],
)
def test_a_source_that_can_not_be_read_says_why(source: str, reason: str) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 the text is compared below
        read_source(source)
    assert str(caught.value) == reason


def test_a_command_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui_stack.settings.sources._COMMAND_TIMEOUT_S", 0.2)
    with pytest.raises(OSError, match=r"^no answer within 0\.2 s$"):
        read_source("command:exec sleep 5")


@pytest.mark.parametrize(
    ("setting", "source", "line"),
    [
        pytest.param(
            "valkey_password",
            "env:NO_SUCH_NAME",
            "valkey_password: expected to read env:NO_SUCH_NAME, got no environment variable NO_SUCH_NAME; "
            "check the source",
            id="env",
        ),
        pytest.param(
            "open_webui_secret_key",
            "file:/nonexistent",
            "open_webui_secret_key: expected to read file:/nonexistent, got [Errno 2] No such file or directory: "
            "'/nonexistent'; check the source",
            id="file",
        ),
        pytest.param(
            "valkey_password",
            "command:false --token marker",
            "valkey_password: expected to read command:false ..., got exit status 1; check the source",
            id="command, arguments hidden",
        ),
    ],
)
def test_what_can_not_be_read_gets_this_line(setting: str, source: str, line: str) -> None:
    changes: dict[str, Any] = {setting: source}
    assert problems(**changes) == [line]


def test_a_file_in_the_home_of_nobody_is_a_problem_and_no_crash() -> None:
    (line,) = problems(valkey_password="file:~no-such-user/password")
    assert line.startswith("valkey_password: expected to read file:~no-such-user/password, got ")
    assert line.endswith("; check the source")


ALPHABET = "got a value (hidden) that is not; change it at its source"


@pytest.mark.parametrize(
    ("changes", "value", "line"),
    [
        pytest.param(
            {"valkey_password": "env:X"},
            "marker",
            f"valkey_password: expected 16 to 256 of [A-Za-z0-9], {ALPHABET}",
            id="short password",
        ),
        pytest.param(
            {"valkey_password": "env:X"},
            "marker-with-other-characters",
            f"valkey_password: expected 16 to 256 of [A-Za-z0-9], {ALPHABET}",
            id="password with hyphens",
        ),
        pytest.param(
            {"valkey_password": "env:X"},
            "märker0123456789ABCDEF",
            f"valkey_password: expected 16 to 256 of [A-Za-z0-9], {ALPHABET}",
            id="password with an umlaut",
        ),
        pytest.param(
            {"valkey_password": "env:X"},
            "marker" * 50,
            f"valkey_password: expected 16 to 256 of [A-Za-z0-9], {ALPHABET}",
            id="long password",
        ),
        pytest.param(
            {"valkey_password": "env:X"},
            "",
            f"valkey_password: expected 16 to 256 of [A-Za-z0-9], {ALPHABET}",
            id="empty password",
        ),
        pytest.param(
            {"open_webui_secret_key": "env:X"},
            "marker+15+chars",
            f"open_webui_secret_key: expected 16 to 256 of [A-Za-z0-9+/=._~:@%-], {ALPHABET}",
            id="short secret key",
        ),
        pytest.param(
            {"open_webui_secret_env": {"OPENAI_API_KEY": "env:X"}},
            "marker\nmarker",
            f"open_webui_secret_env/OPENAI_API_KEY: expected a line with no single quote or last backslash, {ALPHABET}",
            id="two lines",
        ),
        pytest.param(
            {"open_webui_secret_env": {"OPENAI_API_KEY": "env:X"}},
            "it's marker",
            f"open_webui_secret_env/OPENAI_API_KEY: expected a line with no single quote or last backslash, {ALPHABET}",
            id="single quote",
        ),
        pytest.param(
            {"open_webui_secret_env": {"OPENAI_API_KEY": "env:X"}},
            "",
            f"open_webui_secret_env/OPENAI_API_KEY: expected a line with no single quote or last backslash, {ALPHABET}",
            id="empty variable",
        ),
    ],
)
def test_unusable_value_is_refused_and_not_shown(changes: dict[str, object], value: str, line: str) -> None:
    assert problems(lambda _: value, **changes) == [line]


@pytest.mark.parametrize(
    "value",
    ["q2VtYXJrZXI+L1==", "0b6f5e7c-3f1e-4a59-9c37-2f3d5be1f0aa", "3fZ9mbkH8tYv+Qw/0rX5pL2cN7sD1gJ4uE6aB8iK9oM="],
)
def test_a_key_that_a_stack_may_have_already_can_be_kept(value: str) -> None:
    """Open WebUI's own, a UUID, `openssl rand -base64 32`."""
    supplied = supply(settings(open_webui_secret_key="env:X"), lambda _: value)
    assert supplied.open_webui_secret_key == SecretStr(value)


A_URL = f"database_url: expected postgresql://USER:PASSWORD@HOST/NAME, {ALPHABET}"
A_KEY = f"proxy_certificate_key: expected a private key in PEM, not encrypted, {ALPHABET}"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("postgres_password", PASSWORD),
        ("database_url", "postgresql://chat:marker@db.example.org:5432/chat?sslmode=require"),
        ("database_url", "postgres://chat:marker%40$x`y`@[2001:db8::1]/chat"),
        *[("proxy_certificate_key", PEM_KEY.format(kind, kind)) for kind in ("", "EC ", "RSA ")],
        ("proxy_certificate_key", PEM_KEY.format("EC ", "EC ").replace("marker", "# from the CA\nmarker")),
    ],
)
def test_what_opens_the_database_and_the_proxys_key_are_taken_as_they_are(setting: str, value: str) -> None:
    sources: dict[str, Any] = {setting: "env:X"}
    supplied = supply(settings(**sources), lambda _: value)
    assert getattr(supplied, setting) == SecretStr(value)
    assert "marker" not in f"{supplied!r}"


def test_a_key_in_a_file_is_read_with_all_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "chat.key"
    file.write_text(PEM_KEY.format("", "") + "\n")
    supplied = supply(settings(proxy_certificate_key=f"file:{file}"), read_source)
    assert supplied.proxy_certificate_key == SecretStr(PEM_KEY.format("", ""))


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        pytest.param(
            "postgres_password",
            "marker@with:all/that?urls=have",
            f"postgres_password: expected 16 to 256 of [A-Za-z0-9], {ALPHABET}",
            id="a password that a URL would read otherwise",
        ),
        pytest.param("database_url", "mysql://chat:marker@db.example.org/chat", A_URL, id="another database"),
        pytest.param("database_url", "sqlite:////app/backend/data/marker.db", A_URL, id="a file"),
        pytest.param("database_url", "postgresql://chat:it's-marker@db/chat", A_URL, id="a URL with a single quote"),
        pytest.param("database_url", "postgresql://chat:marker\\@db/chat", A_URL, id="a URL with a backslash"),
        pytest.param("database_url", "postgresql://chat:marker@db/chat\nX=1", A_URL, id="a URL of two lines"),
        pytest.param("database_url", "", A_URL, id="no URL"),
        pytest.param("proxy_certificate_key", "marker", A_KEY, id="no PEM"),
        pytest.param("proxy_certificate_key", PEM_KEY.format("ENCRYPTED ", "ENCRYPTED "), A_KEY, id="an encrypted key"),
        pytest.param(
            "proxy_certificate_key",
            PEM_KEY.format("RSA ", "RSA ").replace("\nmarker", "\nProc-Type: 4,ENCRYPTED\n\nmarker"),
            A_KEY,
            id="an encrypted key of OpenSSL's older format",
        ),
        pytest.param(
            "proxy_certificate_key", PEM_KEY.format("", "").partition("\n-----END")[0], A_KEY, id="half a key"
        ),
        pytest.param(
            "proxy_certificate_key", PEM_KEY.format("", "").replace("PRIVATE KEY", "CERTIFICATE"), A_KEY, id="the chain"
        ),
    ],
)
def test_what_opens_no_database_and_no_certificate_is_refused_and_not_shown(
    setting: str, value: str, line: str
) -> None:
    assert problems(lambda _: value, **{setting: "env:X"}) == [line]


def test_a_value_compose_would_misread_is_refused() -> None:
    """In `.env`, compose takes `\\'` for a quote even inside single quotes (2.26.1: unterminated quoted value)."""
    found = problems(lambda _: "marker\\", open_webui_secret_env={"OPENAI_API_KEY": "env:X"})
    assert len(found) == 1
    assert found[0].startswith("open_webui_secret_env/OPENAI_API_KEY: expected ")
    assert "marker" not in found[0]


def test_all_problems_come_out_at_once() -> None:
    found = problems(
        valkey_password="env:NO_SUCH_NAME",
        open_webui_secret_key="command:printf marker",
        open_webui_secret_env={"A_TOKEN": "file:/nonexistent", "B_TOKEN": "command:exit 4"},
        postgres_password="command:printf marker",
        database_url="env:NO_SUCH_NAME",
        proxy_certificate_key="file:/nonexistent",
    )
    assert [line.partition(":")[0] for line in found] == [
        "valkey_password",
        "open_webui_secret_key",
        "open_webui_secret_env/A_TOKEN",
        "open_webui_secret_env/B_TOKEN",
        "postgres_password",
        "database_url",
        "proxy_certificate_key",
    ]
    assert "marker" not in "\n".join(found)


def test_a_supplied_secret_hides_itself() -> None:
    supplied = supply(
        settings(
            valkey_password="env:A", open_webui_secret_key="env:B", open_webui_secret_env={"OPENAI_API_KEY": "env:C"}
        ),
        lambda _: SECRET_KEY,
    )
    assert "marker" not in f"{supplied!r} {supplied}"
    assert supplied.environment["OPENAI_API_KEY"].get_secret_value() == SECRET_KEY


# --- What only backups ask for ----------------------------------------------------------------------

RESTIC: dict[str, Any] = {
    "backup_restic_repository": "/srv/restic",
    "backup_restic_password": "env:A",
    "backup_restic_env": {"AWS_ACCESS_KEY_ID": "env:B"},
}


def test_a_deploy_does_not_read_what_opens_the_repository() -> None:
    def read(source: str) -> str:
        raise AssertionError(source)

    assert supply(settings(**RESTIC), read) == Supplied(None, None, {})


def test_what_opens_the_repository_is_an_environment() -> None:
    (found,) = restic_environments(settings(**RESTIC), {"env:A": "it's a $marker", "env:B": "marker"}.__getitem__)
    assert {name: value.get_secret_value() for name, value in found.items()} == {
        "RESTIC_PASSWORD": "it's a $marker",
        "AWS_ACCESS_KEY_ID": "marker",
    }
    assert "marker" not in f"{found}"


def test_each_repository_has_an_environment_of_its_own() -> None:
    second = {
        "backup_restic_second_repository": "/mnt/nas",
        "backup_restic_second_password": "env:C",
        "backup_restic_second_env": {"AWS_ACCESS_KEY_ID": "env:D"},
    }
    both = restic_environments(settings(**RESTIC, **second), lambda source: source)
    assert [{name: value.get_secret_value() for name, value in one.items()} for one in both] == [
        {"RESTIC_PASSWORD": "env:A", "AWS_ACCESS_KEY_ID": "env:B"},
        {"RESTIC_PASSWORD": "env:C", "AWS_ACCESS_KEY_ID": "env:D"},
    ]


def test_what_can_not_open_the_repository_is_refused_and_not_shown() -> None:
    with pytest.raises(SecretError) as caught:
        restic_environments(settings(**RESTIC), {"env:A": "", "env:B": "marker\nmarker"}.__getitem__)
    assert caught.value.problems == [
        f"backup_restic_password: expected one line of text, {ALPHABET}",
        f"backup_restic_env/AWS_ACCESS_KEY_ID: expected one line of text, {ALPHABET}",
    ]
