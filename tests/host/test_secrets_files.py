"""What is in the files of the stack's secrets, and what of it stays, whatever the settings and people do to them."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.defaults import settings
from tests.stack_folder import DERIVED, FILES, NOTHING, Stack, as_root, fill_folder
from webui_stack.host.alarms import receivers
from webui_stack.host.alarms.webhook import Webhook
from webui_stack.host.files import Files
from webui_stack.host.verbs.secrets import told
from webui_stack.render import project
from webui_stack.settings.sources import Supplied

PROXIED: dict[str, Any] = {"public_url": "https://chat.example.org"}
MANY: dict[str, Any] = {**PROXIED, "open_webui_replicas": 3}
PASSWORD = "suppliedPassword0123456789"
SECRET_KEY = "suppliedSecretKey0123456789abcdef0123"


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path / "stack")


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Any]:
    """Settings of a proxy with a certificate of the operator's."""
    chain = tmp_path / "chain.pem"
    chain.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    return {**PROXIED, "proxy_tls": "files", "proxy_certificate": str(chain), "proxy_certificate_key": "env:X"}


def read_env(text: str) -> dict[str, str]:
    """`.env` as compose reads it (compose-go's dotenv): within single quotes all is literal but `\\'`."""
    found = {}
    rest = text
    while rest:
        if rest.startswith("#"):
            rest = rest.partition("\n")[2]
            continue
        match = re.match(r"([A-Za-z_][A-Za-z0-9_]*)='((?:[^'\\]|\\.)*)'\n", rest, re.DOTALL)
        assert match, f"compose can't read {rest!r}"
        assert match[1] not in found
        found[match[1]] = match[2].replace("\\'", "'")
        rest = rest[match.end() :]
    return found


@as_root
def test_check_of_nothing_names_everything_and_writes_nothing(stack: Stack) -> None:
    assert stack.stale() == [".", "secrets", "valkey", *FILES, *DERIVED]
    assert not stack.folder.exists()


@as_root
def test_write_makes_every_file_with_its_mode(stack: Stack) -> None:
    assert stack.write() == [".", "secrets", "valkey", *FILES, *DERIVED]
    assert {name: mode for name, (mode, *_) in stack.state().items()} == {
        ".": "drwx------",
        ".env": "-rw-------",
        "secrets": "drwx------",
        "secrets/valkey-monitor-password": "-rw-------",
        "secrets/valkey-password": "-rw-------",
        "secrets/webui-secret-key": "-rw-------",
        "valkey": "drwxr-xr-x",
        "valkey/users.acl": "-rw-r--r--",
    }
    passwords = [stack.text(name) for name in FILES]
    assert all(re.fullmatch(r"[A-Za-z0-9]{48}\n", password) for password in passwords)
    assert len(set(passwords)) == 3


RECEIVERS = "secrets/alarms.json"


@as_root
def test_receivers_of_alarms_are_a_file_of_roots_that_goes_with_the_setting(stack: Stack) -> None:
    """No service reads it: what compose and Valkey read stays as it is."""
    stack.write()
    before = stack.state()
    some, others = (
        Supplied(None, None, {}, alarms=({"webhook": f"https://hooks.example.org/{word}"},)) for word in ("a", "b")
    )
    assert stack.write(some) == stack.write(others) == [RECEIVERS]
    assert stack.state()[RECEIVERS][:2] == ("-rw-------", 0)
    assert receivers.read(Files(), str(stack.folder / RECEIVERS)).told == (
        Webhook("webhook-1", "https://hooks.example.org/b"),
    )
    assert stack.stale(others) == []
    assert stack.write() == [RECEIVERS]
    changed = {"secrets"}  # its time, as a file in it came and went
    assert {name: one for name, one in stack.state().items() if name not in changed} == {
        name: one for name, one in before.items() if name not in changed
    }
    assert stack.write(NOTHING) == []


def test_what_was_removed_is_told() -> None:
    written = {"/x/secrets/alarms.json": "presence", "/x/.env": "content"}
    assert list(told("/x", written)) == ["/x: wrote .env", "/x: removed secrets/alarms.json"]


@as_root
def test_second_run_finds_and_changes_nothing(stack: Stack) -> None:
    stack.write()
    before = stack.state()
    assert stack.stale() == []
    assert stack.write() == []
    assert stack.state() == before


@as_root
def test_what_compose_and_valkey_read_follows_from_the_passwords(stack: Stack) -> None:
    stack.write()
    acl = stack.text("valkey/users.acl").splitlines()
    users = {line.split()[1]: line.split() for line in acl}
    assert list(users) == ["default", "open-webui", "monitor"]
    for user, name in (("open-webui", "valkey-password"), ("monitor", "valkey-monitor-password")):
        assert users[user][2:4] == ["on", "#" + hashlib.sha256(stack.secret(name).encode()).hexdigest()]
    assert users["default"][2:] == ["on", "nopass", "resetkeys", "resetchannels", "-@all", "+ping"]
    password = stack.secret("valkey-password")
    assert read_env(stack.text(".env")) == {
        "VALKEY_ACL_SHA256": hashlib.sha256("\n".join(acl).encode()).hexdigest(),
        "WEBUI_SECRET_KEY": stack.secret("webui-secret-key"),
        "REDIS_URL": f"redis://open-webui:{password}@redis:6379/0",
        "WEBSOCKET_REDIS_URL": f"redis://open-webui:{password}@redis:6379/1",
    }


@as_root
def test_a_supplied_password_replaces_and_what_derives_from_it_follows(stack: Stack) -> None:
    stack.write()
    monitor = stack.secret("valkey-monitor-password")
    supplied = Supplied(SecretStr(PASSWORD), SecretStr(SECRET_KEY), {})
    expected = ["secrets/valkey-password", "secrets/webui-secret-key", *DERIVED]
    assert stack.stale(supplied) == expected
    assert stack.write(supplied) == expected
    assert stack.stale(supplied) == []
    assert stack.secret("valkey-password") == PASSWORD
    assert hashlib.sha256(PASSWORD.encode()).hexdigest() in stack.text("valkey/users.acl")
    environment = read_env(stack.text(".env"))
    assert environment["WEBSOCKET_REDIS_URL"] == f"redis://open-webui:{PASSWORD}@redis:6379/1"
    assert environment["WEBUI_SECRET_KEY"] == SECRET_KEY
    assert stack.secret("valkey-monitor-password") == monitor


@as_root
def test_a_supplied_password_stays_when_its_source_goes(stack: Stack) -> None:
    stack.write(Supplied(SecretStr(PASSWORD), None, {}))
    assert stack.stale(NOTHING) == []
    assert stack.secret("valkey-password") == PASSWORD


@as_root
def test_settings_of_users_reach_the_acl_and_its_hash(stack: Stack) -> None:
    stack.write()
    before = read_env(stack.text(".env"))["VALKEY_ACL_SHA256"]
    changes: dict[str, Any] = {"valkey_default_user": "all", "open_webui_key_prefix": "two"}
    assert stack.write(**changes) == DERIVED
    acl = stack.text("valkey/users.acl")
    assert "user default on nopass ~* &* +@all\n" in acl
    assert " ~two:* &socketio &socketio#* &two:* +@all -@admin -@dangerous +info\n" in acl
    assert read_env(stack.text(".env"))["VALKEY_ACL_SHA256"] != before
    assert stack.stale(**changes) == []


@as_root
def test_values_of_the_operator_survive_the_env_file(stack: Stack) -> None:
    values = {
        "A_BLANKS": "  two words  ",
        "B_DOLLARS": "$HOME ${HOME} $(id) `id` $$",
        "C_QUOTES": 'say "hi"',
        "D_HASH": "a #b",
        "E_BACKSLASH": "C:\\temp\\n",
        "F_UNICODE": "Grüße \U0001f600",
        "G_HEREDOC": "END",
        "H_EQUALS": "a=b=c",
        "I_BACKSLASHES": "a\\\\b",
        "a_small_one": "x",
    }
    supplied = Supplied(None, None, {name: SecretStr(value) for name, value in values.items()})
    stack.write(supplied)
    assert stack.stale(supplied) == []
    found = read_env(stack.text(".env"))
    assert {name: found[name] for name in values} == values


@as_root
@pytest.mark.parametrize("name", [".env", "valkey/users.acl"])
def test_a_hand_edited_file_is_put_back(stack: Stack, name: str) -> None:
    stack.write()
    before = stack.text(name)
    (stack.folder / name).write_text(before.replace("on", "off").replace("REDIS", "VALKEY") + "# by hand\n")
    assert stack.write() == [name]
    assert stack.text(name) == before
    assert stack.stale() == []


@as_root
@pytest.mark.parametrize("name", [".", "secrets", "valkey", *FILES, *DERIVED])
def test_a_wrong_mode_or_owner_is_put_back(stack: Stack, name: str) -> None:
    stack.write()
    before = {key: (mode, uid, content) for key, (mode, uid, _, _, content) in stack.state().items()}
    path = stack.folder / name
    for mode, uid in ((0o666, 0), (stat.S_IMODE(path.stat().st_mode), 65534)):
        path.chmod(mode)
        os.chown(path, uid, uid)
        assert stack.stale() == [name]
        assert stack.write() == [name]
        assert {key: (mode, uid, content) for key, (mode, uid, _, _, content) in stack.state().items()} == before


@as_root
@pytest.mark.parametrize(
    "names",
    [["compose.yaml"], [".env"], [".profile", "secrets/mine"], ["lost+found/x", "y"], ["valkey/users.acl"]],
    ids=str,
)
def test_a_folder_of_others_keeps_its_mode_and_owner_and_is_refused(stack: Stack, names: list[str]) -> None:
    fill_folder(stack.folder, *names)
    os.chown(stack.folder, 1000, 1000)
    before = stack.state()
    assert stack.refusal() == (
        f"{stack.folder}: expected an empty folder or one that this project made, got one with other files in "
        "it; set stack_dir to another, or move them away"
    )
    assert stack.state() == before


@as_root
@pytest.mark.parametrize(
    "names", [[], ["lost+found/x"], ["watchdog.sh"], ["secrets/valkey-password", "compose.yaml"]], ids=str
)
def test_an_empty_folder_or_one_of_ours_is_closed(stack: Stack, names: list[str]) -> None:
    fill_folder(stack.folder, *names)
    (stack.folder / "secrets/valkey-password").unlink(missing_ok=True)
    if "secrets/valkey-password" in names:
        (stack.folder / "secrets/valkey-password").write_text("a" * 48 + "\n")
    os.chown(stack.folder, 1000, 1000)
    assert "." in stack.write()
    info = stack.folder.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid) == (0o700, 0)


@as_root
def test_a_closed_folder_of_roots_stays_as_it_is_whatever_is_in_it(stack: Stack) -> None:
    fill_folder(stack.folder, "notes.txt")
    stack.folder.chmod(0o700)
    assert "." not in stack.write()


@as_root
def test_the_answer_tells_a_new_content_from_a_wrong_mode(stack: Stack) -> None:
    """Compose has to be asked again for the first alone."""
    stack.write()
    (stack.folder / "secrets").chmod(0o755)
    (stack.folder / "secrets/valkey-password").chmod(0o644)
    (stack.folder / ".env").write_text("")
    folder = stack.folder
    assert stack.look().stale == {
        f"{folder}/secrets": "mode",
        f"{folder}/secrets/valkey-password": "mode",
        f"{folder}/.env": "content",
    }
    assert stack.write() == ["secrets", "secrets/valkey-password", ".env"]


@as_root
@pytest.mark.parametrize("missing", FILES)
def test_a_missing_secret_alone_is_made_again(stack: Stack, missing: str) -> None:
    stack.write()
    others = {name: stack.text(name) for name in FILES if name != missing}
    (stack.folder / missing).unlink()
    assert missing in stack.stale()
    stack.write()
    assert {name: stack.text(name) for name in others} == others
    assert stack.stale() == []


@as_root
@pytest.mark.parametrize("name", FILES)
def test_a_hand_broken_secret_is_refused_and_not_shown(stack: Stack, name: str) -> None:
    stack.write()
    (stack.folder / name).write_text("it's-broken-by-hand\n")
    before = stack.state()
    supplied = Supplied(None, None, {"OPENAI_API_KEY": SecretStr("sk-new")})
    and_more = ", any of +/=._~:@%- and digits" if name == "secrets/webui-secret-key" else " and digits"
    assert stack.refusal(supplied) == (
        f"{stack.folder}/{name}: expected only letters{and_more}, got something else (not shown); "
        "remove the file to have a new one made"
    )
    assert stack.state() == before


@as_root
def test_a_broken_secret_is_refused_before_another_one_is_replaced(stack: Stack) -> None:
    stack.write()
    (stack.folder / "secrets/webui-secret-key").write_text("broken by hand\n")
    before = stack.state()
    stack.refusal(Supplied(SecretStr(PASSWORD), None, {}))
    assert stack.state() == before


@as_root
def test_what_an_interrupted_run_left_is_no_hindrance(stack: Stack) -> None:
    stack.write()
    before = stack.state()
    for name in (".env.new", "secrets/valkey-password.new"):
        (stack.folder / name).write_text("half a li")
    (stack.folder / ".env").unlink()
    assert stack.write() == [".env"]
    assert stack.text(".env") == before[".env"][4].decode()


# --- The same with a database and a proxy ---------------------------------------------------------------

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE+IBk/2==\nAwEHoUQDQgAE\n-----END EC PRIVATE KEY-----"
EXTERNAL = 'postgresql://chat:p$HOME`id`"#%40@db.example.org:5432/chat?sslmode=require'


@as_root
def test_the_stacks_own_postgres_has_a_password_made_on_the_host_and_two_urls_with_it(stack: Stack) -> None:
    files = [*FILES, "secrets/postgres-password"]
    assert stack.stale(database="postgres") == [".", "secrets", "valkey", *files, *DERIVED]
    assert stack.write(database="postgres") == [".", "secrets", "valkey", *files, *DERIVED]
    assert stack.stale(database="postgres") == []
    password = stack.secret("postgres-password")
    assert re.fullmatch(r"[A-Za-z0-9]{48}", password)
    assert len({stack.text(name) for name in files}) == 4
    assert stack.state()["secrets/postgres-password"][0] == "-rw-r--r--", "Postgres is not root when it reads it"
    assert stack.state()["secrets"][0] == "drwx------"
    environment = read_env(stack.text(".env"))
    url = f"postgresql://open-webui:{password}@postgres:5432/open-webui"
    assert (environment["DATABASE_URL"], environment["PGVECTOR_DB_URL"]) == (url, url)
    assert "POSTGRES_PASSWORD" not in environment, "the database reads it from its file"


@as_root
def test_a_database_that_comes_later_changes_no_secret_there_is(stack: Stack) -> None:
    stack.write()
    before = {name: stack.text(name) for name in FILES}
    assert stack.write(database="postgres") == ["secrets/postgres-password", ".env"]
    assert {name: stack.text(name) for name in FILES} == before
    kept = stack.secret("postgres-password")
    assert stack.write() == [".env"]  # back on SQLite: what opens the database stays, as its volume does
    assert stack.secret("postgres-password") == kept
    assert "DATABASE_URL" not in read_env(stack.text(".env"))


@as_root
def test_a_supplied_password_of_postgres_replaces_and_stays(stack: Stack) -> None:
    stack.write(database="postgres")
    supplied = Supplied(None, None, {}, postgres_password=SecretStr(PASSWORD))
    assert stack.write(supplied, database="postgres") == ["secrets/postgres-password", ".env"]
    assert f":{PASSWORD}@postgres:" in read_env(stack.text(".env"))["DATABASE_URL"]
    assert stack.stale(database="postgres") == []


@as_root
def test_a_database_elsewhere_is_known_by_its_url_alone(stack: Stack) -> None:
    supplied = Supplied(None, None, {}, database_url=SecretStr(EXTERNAL))
    assert stack.write(supplied, database_url="env:X") == [".", "secrets", "valkey", *FILES, *DERIVED]
    assert stack.stale(supplied, database_url="env:X") == []
    environment = read_env(stack.text(".env"))
    assert environment["DATABASE_URL"] == environment["PGVECTOR_DB_URL"] == EXTERNAL
    assert "POSTGRES_PASSWORD" not in environment
    another = Supplied(None, None, {}, database_url=SecretStr(EXTERNAL + "&x=y"))
    assert stack.stale(another, database_url="env:X") == [".env"]


@as_root
def test_a_key_of_several_lines_is_kept_as_it_is_and_known_to_compose_by_its_hash(
    stack: Stack, certificate: dict[str, Any]
) -> None:
    supplied = Supplied(None, None, {}, proxy_certificate_key=SecretStr(KEY))
    assert stack.write(supplied, **certificate) == [".", "secrets", "valkey", *FILES, "secrets/proxy-key", *DERIVED]
    assert stack.stale(supplied, **certificate) == []
    assert stack.text("secrets/proxy-key") == f"{KEY}\n"
    assert stack.state()["secrets/proxy-key"][0] == "-rw-------"
    assert read_env(stack.text(".env"))["PROXY_KEY_SHA256"] == hashlib.sha256(KEY.encode()).hexdigest()
    assert "MHcCAQEE" not in stack.text(".env")
    renewed = Supplied(None, None, {}, proxy_certificate_key=SecretStr(KEY.replace("MHc", "MHd")))
    assert stack.write(renewed, **certificate) == ["secrets/proxy-key", ".env"]
    assert "MHdCAQEE" in stack.text("secrets/proxy-key")


@as_root
def test_compose_finds_every_variable_that_its_file_asks_for(stack: Stack, certificate: dict[str, Any]) -> None:
    """And `.env` has none besides."""
    supplied = Supplied(
        None,
        None,
        {"OPENAI_API_KEY": SecretStr("sk-x")},
        database_url=SecretStr(EXTERNAL),
        proxy_certificate_key=SecretStr(KEY),
    )
    of_all: dict[str, Any] = {**certificate, "open_webui_secret_env": {"OPENAI_API_KEY": "env:X"}}
    for changes in ({}, MANY, {"database": "postgres"}, {"database_url": "env:X"}, of_all, {**MANY, **of_all}):
        some = (
            supplied
            if changes.get("open_webui_secret_env")
            else Supplied(None, None, {}, database_url=supplied.database_url)
        )
        stack.write(some, **changes)
        text = project.files(settings(**changes))["compose.yaml"]
        asked = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+):\?run deploy\.py\}", text))
        assert asked == read_env(stack.text(".env")).keys()
