"""A set that the operator's machine sends has its name once every part is here as its manifest says."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.fake_system import FakeSystem
from tests.host.points import every_crash, every_failure
from webui_stack.host.arrivals import Arrivals
from webui_stack.host.errors import HostError
from webui_stack.host.system import Ended

SETS, NAME, OLD = "/var/backups/open-webui", "20261126T033000Z", "20261125T033000Z"
SENT = "/var/transfer/part"
PARTS = {"open-webui.tar": b"chats" * 2000, "images": b"valkey x\n"}
MANIFEST = json.dumps({"name": NAME, "parts": {part: {"size": len(data)} for part, data in PARTS.items()}}).encode()
RECIPIENT, IDENTITY = "age1" + "q" * 58, "# created: today\nAGE-SECRET-KEY-1MARKER"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class World(FakeSystem):
    """A host with one set, whose age turns a file round."""

    def __init__(self) -> None:
        super().__init__(Path("/"))
        self.kernel, self.clock, self.said = FakeKernel(), FakeClock(), list[str]()
        self.files = FakeFiles(self.kernel)
        for folder, name, content in (
            (f"{SETS}/{OLD}", "manifest.json", b"{}"),
            (f"{SETS}/.{OLD}.part", "images", b"of a run that was killed"),
            (f"{SETS}/.others.part", "x", b"of others"),
        ):
            self.files.make_folder(folder)
            self.files.write(f"{folder}/{name}", content)
        self.files.make_folder(SENT.rpartition("/")[0])
        self.errors = ""

    def boot(self) -> None:
        """The run is over, and what it had sent is gone."""
        self.files.make_folder(SENT.rpartition("/")[0])

    @property
    def arrivals(self) -> Arrivals:
        return Arrivals(self, self.files, self.clock, lambda event: self.said.append(event.text), SETS)

    def _pour(self, command: Sequence[str], stdin: bytes, into: Callable[[bytes], object], limit_s: float) -> Ended:
        assert tuple(command) == ("age", "--decrypt", "--identity", "-", SENT)
        assert stdin == f"{IDENTITY}\n".encode()
        assert limit_s >= 3600, "a set may be large"
        content = self.files.read(SENT) or b""
        for start in range(0, len(content), 4000):
            into(content[::-1][start : start + 4000])
        return Ended(1, "", self.errors) if self.errors else Ended(0, "", "")

    def send(self, *, encrypted: bool = True) -> None:
        """As the operator's side does (`webui_stack.artifacts.offsite`)."""
        arrivals = self.arrivals
        if arrivals.is_there(NAME, sha256(MANIFEST)):
            return
        arrivals.begin(NAME)
        for part, data in {"manifest.json": MANIFEST, **PARTS}.items():
            if encrypted and part != "manifest.json":
                self.files.write(SENT, data[::-1])
                arrivals.decrypt(NAME, part, sha256(data), SENT, RECIPIENT, IDENTITY)
            else:
                self.files.write(SENT, data)
                arrivals.place(NAME, part, sha256(data), SENT)
        arrivals.end(NAME)

    @property
    def is_whole(self) -> bool:
        wanted = {"manifest.json": MANIFEST, **PARTS}
        there = self.files.listdir(f"{SETS}/{NAME}") or []
        return {name: self.files.read(f"{SETS}/{NAME}/{name}") for name in there} == wanted

    @property
    def there(self) -> list[str]:
        return self.files.listdir(SETS) or []


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_set_arrives_plain_and_for_root_alone(encrypted: bool) -> None:
    world = World()
    world.send(encrypted=encrypted)
    assert world.is_whole
    assert world.there == [".others.part", OLD, NAME]
    for name in PARTS:
        found = world.files.stat(f"{SETS}/{NAME}/{name}")
        assert found
        assert found.mode == 0o600
    world.send()
    assert world.is_whole


def test_another_set_of_that_name_stays() -> None:
    world = World()
    world.files.make_folder(f"{SETS}/{NAME}")
    with pytest.raises(HostError, match=rf"^{SETS}/{NAME}: expected no other set of that name, got one; move it away"):
        world.send()
    assert world.there == [f".{OLD}.part", ".others.part", OLD, NAME]


def test_another_identity_is_told_with_the_recipient_and_without_the_identity() -> None:
    world = World()
    world.errors = "age: error: no identity matched AGE-SECRET-KEY-1MARKER\nage: report it\n"
    with pytest.raises(HostError) as caught:
        world.send()
    assert str(caught.value) == (
        "open-webui.tar.age: expected restore_age_identity to decrypt it, got age: error: no identity matched "
        f"(hidden); it is encrypted to {RECIPIENT}; nothing was changed"
    )
    assert "MARKER" not in f"{world.asked}{world.said}"
    world.arrivals.drop(NAME)
    assert world.there == [".others.part", OLD]


def test_a_part_that_is_another_one_does_not_arrive() -> None:
    world = World()
    world.arrivals.begin(NAME)
    world.files.write(SENT, b"another")
    with pytest.raises(HostError, match=rf"^images: expected SHA-256 {sha256(b'x')} on the host, got"):
        world.arrivals.place(NAME, "images", sha256(b"x"), SENT)
    with pytest.raises(HostError, match=rf"^images.age: expected SHA-256 {sha256(b'x')} of what was encrypted, got"):
        world.arrivals.decrypt(NAME, "images", sha256(b"x"), SENT, RECIPIENT, IDENTITY)


@pytest.mark.parametrize("change", ["one is missing", "one is cut off", "one is too many", "no manifest"])
def test_a_set_without_all_its_parts_gets_no_name(change: str) -> None:
    world = World()
    folder = world.arrivals.begin(NAME)
    for part, data in {"manifest.json": MANIFEST, **PARTS}.items():
        world.files.write(f"{folder}/{part}", data)
    if change == "one is cut off":
        world.files.write(f"{folder}/images", PARTS["images"][:-1])
    elif change == "one is too many":
        world.files.write(f"{folder}/x", "")
    else:
        world.files.remove(f"{folder}/{'images' if change == 'one is missing' else 'manifest.json'}")
    with pytest.raises(HostError, match=rf"^{NAME}: expected all parts that its manifest lists, got others"):
        world.arrivals.end(NAME)
    assert NAME not in world.there


def test_a_link_in_a_parts_place_is_not_followed() -> None:
    world = World()
    world.kernel.add("/etc/shadow", stat.S_IFREG | 0o600).data = b"root"
    folder = world.arrivals.begin(NAME)
    world.kernel.add(f"{folder}/images", stat.S_IFLNK | 0o777, "/etc/shadow")
    world.files.write(SENT, b"x")
    world.arrivals.place(NAME, "images", sha256(b"x"), SENT)
    assert world.files.read("/etc/shadow") == b"root"
    assert world.files.read(f"{folder}/images") == b"x"


@pytest.mark.crash
def test_a_set_that_arrives_has_its_name_only_when_it_is_whole() -> None:
    ends = [*every_crash(World(), World.send)]
    ends += [(at, world) for at, world, _ in every_failure(World(), World.send)]
    for at, world in ends:
        assert world.files.read(f"{SETS}/{OLD}/manifest.json") == b"{}", at
        assert world.files.read(f"{SETS}/.others.part/x") == b"of others", at
        assert NAME not in world.there or world.is_whole, at
        world.send()
        assert world.is_whole, at
        world.arrivals.begin("20261127T033000Z")
        assert world.there == [".20261127T033000Z.part", ".others.part", OLD, NAME], at
