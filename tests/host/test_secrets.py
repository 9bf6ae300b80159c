"""The stack's secrets are made once, wherever that is cut off and whatever fails; nobody else can read them."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.defaults import settings
from tests.host import faults
from tests.host.asking import arguments, silent
from tests.host.fake_clock import FakeClock
from tests.host.fake_engine import REFUSED, UNAVAILABLE, FakeEngine
from tests.host.fake_files import Crash, FakeKernel, Inode, on_nothing
from tests.host.fake_system import FakeSystem
from tests.host.faults import CRASH_BEFORE, Faults
from tests.stack_folder import DERIVED, FILES, NOTHING, Stack, as_root
from webui_stack.host import dockerd, secrets
from webui_stack.host.engine import Engine, NewContainer, NotFound, Refused, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.locks import Locks
from webui_stack.host.protocol import Event
from webui_stack.host.stack import FOLDER_LABEL
from webui_stack.host.verbs import secrets as verb
from webui_stack.render import secrets_requests
from webui_stack.settings.sources import Supplied

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE+IBk/2==\nAwEHoUQDQgAE\n-----END EC PRIVATE KEY-----"
URL = 'postgresql://chat:p$HOME`id`"#%40\\@db.example.org:5432/chat?sslmode=require'
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PROXIED = {"public_url": "https://chat.example.org"}
SUPPLIED = Supplied(SecretStr("suppliedPassword0123456789"), SecretStr("supplied+/=._~:@%-Key0123456789"), {})
NASTY = {"A": '  $HOME `id` "x" a=b #c \\n \u00fc \u2028 \x0c ', "END": "END", "B": "${valkey_password}"}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path / "stack")


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
        {"open_webui_saved": ["ENABLE_SIGNUP"], "open_webui_env": {"ENABLE_SIGNUP": "True"}},
        Supplied(None, None, {}),
        ["secrets/stack-password"],
        id="an account of the stack",
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
def test_a_look_names_what_is_written_and_nothing_once_it_is(
    stack: Stack, certified: Any, changes: dict[str, Any], supplied: Supplied, more: list[str]
) -> None:
    changes = certified(changes)
    assert stack.write(supplied, **changes) == [".", "secrets", "valkey", *FILES, *more, *DERIVED]
    assert stack.write(supplied, **changes) == []


@as_root
@pytest.mark.parametrize(
    ("changes", "supplied", "more"),
    [kind for kind in KINDS if kind.id in ("postgres", "a proxy with files", "an account of the probe")],
)
def test_each_file_that_was_removed_edited_or_opened_is_found(
    stack: Stack, certified: Any, changes: dict[str, Any], supplied: Supplied, more: list[str]
) -> None:
    """And the very ones that were found are written (`Stack.write`)."""
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
def test_a_character_that_no_secret_has_is_refused(stack: Stack, name: str, text: str) -> None:
    changes: dict[str, Any] = {"database": "postgres", "verify_level": "user"}
    stack.write(**changes)
    (stack.folder / name).write_bytes(f"{text}\n".encode())
    if text == "a+b" and name == "secrets/webui-secret-key":  # as in Base64
        assert stack.write(**changes) == [".env"]
        return
    refused = stack.refusal(**changes)
    assert refused.startswith(f"{stack.folder}/{name}: expected only letters")
    assert "not shown" in refused


@as_root
def test_users_that_a_running_valkey_has_loaded_go_by_its_containers_label(stack: Stack) -> None:
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
    assert stack.write(SUPPLIED, valkey_default_user="all") == DERIVED
    assert made_with not in stack.text(".env")


@as_root
@pytest.mark.parametrize("kind", ["link", "folder", "other"])
def test_what_is_no_file_is_not_taken_for_a_missing_secret(stack: Stack, tmp_path: Path, kind: str) -> None:
    """A link may lead to the secret, on another disk that is not there just now."""
    stack.write()
    path = stack.folder / FILES[0]
    path.unlink()
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    got = {"other": "a device, a socket or a FIFO"}.get(kind, f"a {kind}")
    assert stack.refusal() == f"{path}: expected a file with a secret, got {got}; put the file itself in its place"


@as_root
def test_no_program_is_run_that_could_be_given_a_secret(
    stack: Stack, certified: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    kinds: list[Any] = [kind.values for kind in KINDS]
    for changes, supplied, _ in kinds:
        stack.write(supplied, **certified(changes))


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


def asked(*, adopts: bool = True, supplied: Supplied = NOTHING, **changes: Any) -> secrets.Wish:
    some = settings(stack_dir="/opt/stack", stack_adopt=adopts, **changes)
    return secrets.wish(arguments(some, supplied)["project"]["secrets"])


def look(engine: Engine, *, adopts: bool = True, kept: str = "", files: Files | None = None) -> secrets.State:
    files = files or Files(FakeKernel())
    if kept:
        files.make_folder("/opt/stack")
        files.make_folder("/opt/stack/secrets")
        files.write("/opt/stack/secrets/webui-secret-key", f"{kept}\n")
    return secrets.look(files, engine, asked(adopts=adopts))


def written(engine: Engine, *, installed: bool = True, files: Files | None = None) -> str:
    """The key that is written."""
    files = files or Files(FakeKernel())
    host = FakeSystem(Path("/nowhere"), **({"docker": ""} if installed else {}))
    secrets.write(files, engine, host, asked())
    return (files.read_text("/opt/stack/secrets/webui-secret-key") or "").strip()


def key_in(found: secrets.State) -> str:
    (line,) = [line for line in found.env.splitlines() if line.startswith("WEBUI_SECRET_KEY=")]
    return line.partition("=")[2].strip("'")


def test_a_key_by_hand_is_that_of_the_containers_environment() -> None:
    engine = by_hand({"WEBUI_SECRET_KEY": "9xQ+/abc=="}, b"another")
    found = look(engine)
    assert key_in(found) == "9xQ+/abc=="
    assert "9xQ" not in f"{found} {found.stale}"
    assert written(engine) == "9xQ+/abc=="


@pytest.mark.parametrize("env", [{}, {"WEBUI_SECRET_KEY": ""}], ids=["no variable", "an empty one"])
def test_or_it_is_that_of_its_start_scripts_file(env: dict[str, str]) -> None:
    engine = by_hand(env, b"q2Vt+XJrZXI/L1==\n")
    assert key_in(look(engine)) == written(engine) == "q2Vt+XJrZXI/L1=="


@pytest.mark.parametrize("engine", [by_hand(), FakeEngine()], ids=["a container with neither", "no container"])
def test_where_nobody_has_a_key_one_is_made(engine: FakeEngine) -> None:
    assert key_in(look(engine)) == ""
    assert re.fullmatch("[A-Za-z0-9]{48}", written(engine))


def test_our_own_container_has_no_key_by_hand() -> None:
    env = {"WEBUI_SECRET_KEY": "9xQ+/abc=="}
    ours = by_hand(env, b"q2Vt", folder="/opt/stack")
    assert key_in(look(ours)) == ""
    assert len(written(ours)) == 48
    assert key_in(look(by_hand(env, folder="/srv/somebodys"))) == "9xQ+/abc=="


def test_a_key_by_hand_gives_way_to_the_one_that_is_kept_and_counts_only_where_it_is_adopted() -> None:
    engine = by_hand({"WEBUI_SECRET_KEY": "9xQ+/abc=="})
    assert key_in(look(engine, kept="ours")) == "ours"
    assert key_in(look(engine, adopts=False)) == ""


def test_a_key_by_hand_with_a_character_that_no_secret_has_is_refused_and_not_shown() -> None:
    found = look(by_hand({"WEBUI_SECRET_KEY": "it's"}))
    assert found.refused.startswith("/opt/stack/secrets/webui-secret-key: expected only letters, any of ")
    assert "it's" not in found.refused


class Fails(FakeEngine):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def container(self, name: str) -> Any:  # noqa: ARG002
        raise self.error


SILENT, REFUSING = Unavailable("GET /containers", "none"), Refused("GET /containers", "no", status=500)


@pytest.mark.parametrize("error", [SILENT, REFUSING], ids=["silent", "refuses"])
def test_a_docker_that_does_not_say_leaves_the_key_open_for_a_look(error: Exception) -> None:
    """It may not be installed yet."""
    found = look(Fails(error))
    assert (found.refused, key_in(found)) == ("", "")
    assert "/opt/stack/secrets/webui-secret-key" in found.stale


@pytest.mark.parametrize("kind", [UNAVAILABLE, REFUSED, CRASH_BEFORE])
def test_a_docker_that_does_not_say_is_none_without_a_key_when_one_is_written(kind: str) -> None:
    """Every question to it fails once, and is the last one once. Then the next run still finds the key."""
    whole = by_hand(file=b"q2Vt+XJrZXI/L1==\n")
    whole.faults = Faults()  # what made the container is not counted
    written(whole)
    points = [point for point in whole.faults.points() if point.kind == kind]
    assert len(points) == 2
    for point in points:
        engine, files = by_hand(file=b"q2Vt+XJrZXI/L1==\n"), Files(FakeKernel())
        engine.faults = Faults(point)
        with pytest.raises((HostError, faults.Crash)) as caught:
            written(engine, files=files)
        if isinstance(caught.value, HostError):
            assert caught.value.expected == "Docker to say whether an open-webui made by hand has one"
        assert not files.exists("/opt/stack")
        engine.faults = Faults()
        assert written(engine, files=files) == "q2Vt+XJrZXI/L1=="


def test_the_error_of_a_docker_that_does_not_answer_names_the_key_and_what_to_do() -> None:
    words = (
        "expected Docker to say whether an open-webui made by hand has one, got no answer (none); look at `systemctl"
    )
    with pytest.raises(HostError, match=re.escape(f"webui-secret-key: {words}")):
        written(Fails(SILENT))
    with pytest.raises(HostError, match="got no; fix that"):
        written(Fails(REFUSING), installed=False)


def test_a_container_that_goes_while_it_is_asked_is_not_one_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str, _: str) -> bytes:
        raise NotFound("container", name)

    engine = by_hand()
    monkeypatch.setattr(engine, "read_file", gone)
    with pytest.raises(HostError, match="webui-secret-key: expected Docker to say"):
        written(engine)


def test_a_host_without_docker_has_no_key_by_hand() -> None:
    assert len(written(Fails(SILENT), installed=False)) == 48


# --- Written, wherever that is cut off and whatever fails

OURS = Supplied(SecretStr("suppliedPassword0123456789"), None, {"A": SecretStr("sesame")})
MORE: dict[str, Any] = {"database": "postgres", "verify_level": "user", "open_webui_secret_env": {"A": "env:X"}}
PATHS = [*FILES, "secrets/postgres-password", "secrets/probe-password"]
# The calls between which the disk differs. What only reads leaves the same one before and after.
CHANGES = {"pwrite", "fsync", "fchown", "fchmod", "rename", "unlink", "mkdir"}


@cache
def less() -> secrets.Wish:
    return asked()


@cache
def more() -> secrets.Wish:
    return asked(supplied=OURS, **MORE)


def nothing(_: Files) -> None:
    """A host that has no stack yet."""


def deployed(files: Files) -> None:
    """A stack that lacks Postgres and the probe; its password is about to be another."""
    put(files, less(), "a")


def damaged(files: Files) -> None:
    """A whole stack; a secret is missing, and somebody has opened and edited the rest."""
    put(files, more(), "a")
    files.remove(f"/opt/stack/{FILES[1]}")
    files.write("/opt/stack/valkey/users.acl", "user default on nopass ~* &* +@all\n", mode=0o666)
    files.write("/opt/stack/.env", files.read("/opt/stack/.env") or b"", mode=0o640)
    for folder in ("/opt/stack", "/opt/stack/secrets"):
        files.make_folder(folder, mode=0o755)


WORLDS = [nothing, deployed, damaged]


def put(files: Files, wanted: secrets.Wish, who: str) -> Mapping[str, str]:
    """Written by a process that makes secrets of its own, each another."""
    numbers = itertools.count()
    return secrets.write(
        files, FakeEngine(), FakeSystem(Path("/nowhere")), wanted, lambda: f"{who}{next(numbers)}".ljust(48, "x")
    )


def known(files: Files) -> dict[str, str]:
    """The secrets that are there, by path below the folder."""
    found = {path: files.read_text(f"/opt/stack/{path}") for path in PATHS}
    return {path: text.strip() for path, text in found.items() if text}


def derived(files: Files) -> dict[str, str]:
    """The files that are made of secrets, as they are, by path below the folder."""
    return {path: files.read_text(f"/opt/stack/{path}") or "" for path in DERIVED}


def assert_made_of(secret: Mapping[str, str], path: str, text: str) -> None:
    """A file holds these secrets and no others."""
    if path == ".env":
        assert f"redis://open-webui:{secret[FILES[0]]}@redis" in text
        assert f"WEBUI_SECRET_KEY='{secret[FILES[2]]}'" in text
        assert f"postgresql://open-webui:{secret[PATHS[3]]}@postgres" in text
    else:
        for name in FILES[:2]:
            assert f"#{secrets.sha256(secret[name])} " in text


def readable(kernel: FakeKernel) -> str:
    """All that another user than root can read."""

    def within(inode: Inode) -> Iterator[str]:
        if stat.S_ISDIR(inode.mode) and inode.mode & 0o011:
            for one in inode.entries.values():
                yield from within(one)
        elif stat.S_ISREG(inode.mode) and inode.mode & 0o044:
            yield inode.data.decode()

    return "".join(within(kernel.root))


def assert_whole(files: Files, wanted: secrets.Wish) -> None:
    """All files are there, and agree on every secret."""
    assert secrets.look(files, FakeEngine(), wanted).stale == {}
    found = known(files)
    assert list(found) == PATHS
    for path, text in derived(files).items():
        assert_made_of(found, path, text)
    acl, env = derived(files).values()
    assert f"VALKEY_ACL_SHA256='{secrets.sha256(acl.rstrip())}'" in env
    assert env.endswith("\nA='sesame'\n")
    for folder in ("", "/secrets", "/valkey"):
        assert [name for name in files.listdir(f"/opt/stack{folder}") or [] if name.endswith(".new")] == []


def broken(world: Callable[[Files], None], at: int, error: OSError | None) -> tuple[FakeKernel, dict[str, str], bool]:
    """The host after a run whose call number `at` failed, or was the last; what it knew before; whether it came so far.

    Crashes are counted before and after each call that changes something, failures at each call.
    """
    kernel = FakeKernel()
    files = Files(kernel)
    world(files)
    before = known(files) | derived(files)
    count = itertools.count()

    def point(name: str) -> None:
        when, _, call = name.partition(" ")
        counts = call in CHANGES if error is None else when == "before" and call != "ids"
        if counts and next(count) == at:
            raise error or Crash

    kernel.on_point = point
    ended = False
    with suppress(Crash, HostError):
        put(files, more(), "b")
        ended = True
    kernel.on_point = on_nothing
    return kernel, before, ended


def assert_next_run_finishes(kernel: FakeKernel, before: Mapping[str, str]) -> None:
    files, wanted = Files(kernel), more()
    there = known(files)
    new = {FILES[0]: wanted.secrets[0].supplied}
    for path, text in derived(files).items():
        if text not in ("", before[path]):
            assert_made_of(there, path, text)
    for path in PATHS:
        if value := before.get(path):
            assert there[path] in (value, new.get(path, value)), "a secret that is there is never made again"
    assert all(len(value) in (26, 48) for value in there.values()), "none is half"
    put(files, wanted, "c")
    assert_whole(files, wanted)
    assert known(files) == {**known(files), **there, **new}
    assert not any(value in readable(kernel) for value in known(files).values())


ENDS: Sequence[Callable[[FakeKernel], None]] = [
    FakeKernel.restart,
    lambda kernel: kernel.cut_power(names=False),
    lambda kernel: kernel.cut_power(names=True),
]


@pytest.mark.crash
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("end", ENDS, ids=["killed", "power cut", "power cut, names got there"])
def test_a_run_that_was_cut_off_anywhere_is_finished_by_the_next_with_the_same_secrets(
    world: Callable[[Files], None], end: Callable[[FakeKernel], None]
) -> None:
    for at in itertools.count():
        kernel, before, ended = broken(world, at, None)
        end(kernel)
        if ended:
            assert_whole(Files(kernel), more())
            break
        assert_next_run_finishes(kernel, before)
    assert at > 30


@pytest.mark.crash
@pytest.mark.parametrize("world", WORLDS)
def test_a_run_that_failed_anywhere_is_finished_by_the_next_with_the_same_secrets(
    world: Callable[[Files], None],
) -> None:
    for at in itertools.count():
        kernel, before, ended = broken(world, at, OSError(errno.EIO, "Input/output error"))
        if ended:
            break
        assert_next_run_finishes(kernel, before)
    assert at > 150


@pytest.mark.parametrize("world", WORLDS[:2])
def test_no_secret_is_readable_by_others_at_any_moment(world: Callable[[Files], None]) -> None:
    kernel = FakeKernel()
    files = Files(kernel)
    world(files)
    seen: list[str] = []
    kernel.on_point = lambda _: seen.append(readable(kernel))
    put(files, more(), "b")
    assert len(seen) > 300
    assert not any(value in text for value in [*known(files).values(), "sesame"] for text in seen)


@pytest.mark.parametrize("text", ["", "\n"], ids=ascii)
def test_an_empty_file_is_no_secret(text: str) -> None:
    """None of ours is ever empty; earlier versions could leave one after a power cut."""
    files = Files(FakeKernel())
    put(files, asked(), "a")
    files.write(f"/opt/stack/{FILES[0]}", text)
    put(files, asked(), "b")
    assert known(files)[FILES[0]] == "b0".ljust(48, "x")


# --- The verb


def test_the_work_lock_is_held_while_secrets_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel()
    holders: list[str | None] = []
    clock = FakeClock()

    def holder(name: str) -> None:
        if name == "after mkdir" and Files(kernel).exists("/opt/stack"):
            kernel.on_point = on_nothing
            holders.append(Locks(kernel, clock, lambda _: None).holder("work"))

    kernel.on_point = holder
    for name, one in {"require_root": lambda: None, "LINUX": kernel, "Files": lambda: Files(kernel)}.items():
        monkeypatch.setattr(verb, name, one)
    monkeypatch.setattr(dockerd, "engine", lambda _: FakeEngine())
    events: list[Event] = []
    some = settings(stack_dir="/opt/stack")
    verb.run(secrets_requests.secrets_request(some, NOTHING), events.append)
    (found,) = holders
    assert (found or "").startswith("secrets, process ")
    assert [event.text for event in events] == [
        f"/opt/stack: wrote {', '.join([*FILES, *DERIVED])}",
        "/opt/stack: set mode and owner of ., secrets, valkey",
    ]
    events.clear()
    verb.run(secrets_requests.secrets_request(some, NOTHING), events.append)
    assert events == []
