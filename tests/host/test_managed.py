"""The files that a deploy writes: told as they are, and absent where they are not as a deploy leaves them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.defaults import settings
from tests.host.asking import surveyed
from tests.host.fake_system import FakeSystem
from tests.stack_folder import NOTHING, Stack, as_root
from webui_stack.host import managed
from webui_stack.render import project
from webui_stack.settings.sources import Supplied

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE+IBk/2==\nAwEHoUQDQgAE\n-----END EC PRIVATE KEY-----"
PROXIED: dict[str, Any] = {"public_url": "https://chat.example.org"}
MANY: dict[str, Any] = {**PROXIED, "open_webui_replicas": 3}
WITH_KEY = Supplied(None, None, {}, proxy_certificate_key=SecretStr(KEY))


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path / "stack")


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Any]:
    """Settings of a proxy with a certificate of the operator's."""
    chain = tmp_path / "chain.pem"
    chain.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    return {
        **PROXIED,
        "proxy_tls": "files",
        "proxy_certificate": str(chain),
        "proxy_certificate_key": "env:X",
    }


def mounted(stack: Stack, supplied: Supplied = NOTHING, **changes: Any) -> dict[str, int | None]:
    """When the newest of each service's files was written, None where one is not as wanted."""
    found: dict[str, int | None] = surveyed(settings(stack_dir=str(stack.folder), **changes), supplied)["project"][
        "mounted"
    ]
    return found


def put_project(stack: Stack, supplied: Supplied = NOTHING, **changes: Any) -> None:
    """The project on this machine as a deploy leaves it, each file an hour older than the one before."""
    some = settings(stack_dir=str(stack.folder), **changes)
    stack.write(supplied, **changes)
    for number, (name, text) in enumerate(project.files(some).items()):
        path = stack.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        os.utime(path, (0, 1_700_000_000 - 3600 * number))


# --- What services read at their start


@as_root
def test_each_service_with_files_of_its_own_is_known_by_their_newest(stack: Stack, certificate: dict[str, Any]) -> None:
    changes = {**MANY, **certificate}
    put_project(stack, WITH_KEY, **changes)
    users = int((stack.folder / "valkey/users.acl").stat().st_mtime)
    assert list(project.files(settings(**changes)))[3:] == ["proxy/Caddyfile", "proxy/certificate.pem"]
    assert mounted(stack, WITH_KEY, **changes) == {"redis": users, "proxy": 1_700_000_000 - 3 * 3600}


@as_root
@pytest.mark.parametrize("name", ["proxy/Caddyfile", "proxy/certificate.pem"])
@pytest.mark.parametrize("how", ["changed", "closed", "gone"])
def test_a_file_of_the_proxy_that_is_not_as_wanted_is_said_of_the_proxy_alone(
    stack: Stack, certificate: dict[str, Any], name: str, how: str
) -> None:
    put_project(stack, WITH_KEY, **certificate)
    path = stack.folder / name
    if how == "changed":
        path.write_text(path.read_text() + "# by hand\n")
    elif how == "closed":
        path.chmod(0o600)
    else:
        path.unlink()
    found = mounted(stack, WITH_KEY, **certificate)
    assert found.pop("proxy") is None
    assert list(found) == ["redis"]
    assert found["redis"] is not None


@as_root
def test_without_a_proxy_only_valkey_reads_files(stack: Stack) -> None:
    put_project(stack)
    assert list(mounted(stack)) == ["redis"]
    assert mounted(stack, valkey_default_user="all") == {"redis": None}


@as_root
def test_a_password_that_is_renewed_is_one_that_valkey_has_not_read(stack: Stack) -> None:
    put_project(stack)
    assert mounted(stack, Supplied(SecretStr("suppliedPassword0123456789"), None, {})) == {"redis": None}


# --- Files


def test_a_file_as_a_deploy_leaves_it_is_told_with_its_text(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    host.put("/a", "one\ntwo, without an end")
    host.put("/b", "")
    assert managed.contents(host, ["/a", "/b", "/none", "/a/none"]) == {"/a": "one\ntwo, without an end", "/b": ""}


@pytest.mark.parametrize("text", [b"one\r\ntwo\r\n", b"one\ntwo\n\n", b"one\ntwo\n\xff"])
def test_a_text_that_differs_in_what_nobody_sees_is_another_text(tmp_path: Path, text: bytes) -> None:
    host = FakeSystem(tmp_path)
    host.put("/a", text)
    assert managed.contents(host, ["/a"])["/a"].encode("utf-8", "surrogateescape") == text


@pytest.mark.parametrize("how", ["closed", "executable", "a link", "a folder", "a FIFO"])
def test_a_file_of_another_kind_or_mode_counts_as_absent(tmp_path: Path, how: str) -> None:
    """So that it is written again."""
    host = FakeSystem(tmp_path)
    file = host.put("/a", "text")
    if how in ("closed", "executable"):
        file.chmod(0o600 if how == "closed" else 0o755)
    else:
        file.unlink()
        make = {"a link": lambda: file.symlink_to(host.put("/b", "text")), "a folder": file.mkdir}
        make.get(how, lambda: os.mkfifo(file, 0o644))()
    assert managed.contents(host, ["/a"]) == {}
    assert managed.newest_s(host, {"/a": hashlib.sha256(b"text").hexdigest()}) is None


@as_root
def test_a_file_of_another_owner_counts_as_absent(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    os.chown(host.put("/a", "text"), 1000, 0)
    assert managed.contents(host, ["/a"]) == {}


def test_a_hash_is_of_the_very_bytes_and_none_of_no_file(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    host.put("/a", b"\xff\r\n")
    assert managed.sha256(host, "/a") == hashlib.sha256(b"\xff\r\n").hexdigest()
    assert [managed.sha256(host, "/none"), managed.sha256(host, "/a/none")] == ["", ""]
