"""Which saved hosts there are, and which of them stay; without an engine."""

from __future__ import annotations

from typing import Any

import pytest

from lab import docker, snapshots
from lab.errors import LabError


class Engine:
    """An engine's images and volumes; `calls` are the commands that it was asked to run."""

    def __init__(self, tags: list[str], used: str = "") -> None:
        self.tags = tags  # newest first, as `docker image ls` has them
        self.used = used
        self.volumes = [f"open-webui-lab-snapshot-{tag}" for tag in tags]
        self.calls: list[tuple[str, ...]] = []

    def run(self, *args: str, **_: Any) -> str:
        self.calls.append(args)
        if args[:2] == ("volume", "create"):
            self.volumes.append(args[-1])
        if args[0] == "commit":
            self.tags.insert(0, args[-1].rpartition(":")[2])
        return "\n".join(self.tags) if args[:2] == ("image", "ls") else ""

    def try_run(self, *args: str, **_: Any) -> tuple[int, str, str]:
        name = args[-1].rpartition(":")[2]
        if self.used and self.used in name:
            return 1, "", "in use"
        if args[0] == "image":
            self.tags.remove(name)
        else:
            self.volumes.remove(name)
        return 0, "", ""


def engine_with(monkeypatch: pytest.MonkeyPatch, tags: list[str], used: str = "") -> Engine:
    engine = Engine(tags, used)
    monkeypatch.setattr(docker, "run", engine.run)
    monkeypatch.setattr(docker, "try_run", engine.try_run)
    monkeypatch.setattr(docker, "image_exists", lambda name: name.rpartition(":")[2] in engine.tags)
    monkeypatch.setattr(docker, "volumes", lambda one: [name for name in engine.volumes if one == f"name=^{name}$"])
    mounts = [{"Name": "shared", "Destination": "/srv/shared"}, {"Name": "data", "Destination": "/var/lib/docker"}]
    monkeypatch.setattr(docker, "inspect", lambda *_: [{"Mounts": mounts, "Mountpoint": "/volumes/data/_data"}])
    return engine


def test_the_newest_saved_hosts_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_with(monkeypatch, ["d", "c", "b", "a"])
    snapshots.save("x", "base", "host", "e", [])
    assert engine.tags == ["e", "d", "c", "b"]
    assert sorted(engine.volumes) == [f"open-webui-lab-snapshot-{key}" for key in "bcde"]


def test_a_saved_host_that_is_in_use_stays_until_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_with(monkeypatch, ["d", "c", "b", "a"], used="a")
    snapshots.save("x", "base", "host", "e", [])
    assert engine.tags == ["e", "d", "c", "b", "a"]


def test_the_image_is_made_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that was cut off has no image, and counts as none."""
    engine = engine_with(monkeypatch, [])
    snapshots.save("x", "base", "host", "c", [])
    made = [call[0] for call in engine.calls if call[0] in ("run", "commit")]
    assert made == ["run", "commit"]
    engine.tags.clear()
    assert not snapshots.exists("c")


def test_a_host_that_nobody_saved_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_with(monkeypatch, ["b"])
    assert snapshots.image("b") == "open-webui-lab/snapshot:b"
    with pytest.raises(LabError, match="expected a host saved as c, got none; save one with"):
        snapshots.image("c")


@pytest.mark.parametrize("key", ["A", "a/b", "-a", "a" * 64, "a:b", "٣"])
def test_a_key_that_no_image_can_have_as_its_tag_is_refused(key: str) -> None:
    with pytest.raises(LabError, match="KEY: expected"):
        snapshots.check_key(key)


def test_no_key_is_none() -> None:
    assert snapshots.check_key("") == ""
