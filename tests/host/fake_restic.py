"""A restic and its repositories in memory. Its calls, and those of the files, are counted together (`points.py`)."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.host.fake_clock import FakeClock
from tests.host.fake_engine import REFUSED, UNAVAILABLE
from tests.host.fake_files import FakeFiles, FakeKernel, on_nothing
from tests.host.fake_system import Asked, FakeSystem
from tests.host.points import Points
from webui_stack.host.protocol import Event
from webui_stack.host.system import Ended

PASSWORD = "it's a $marker"
ENVIRONMENT = {"RESTIC_PASSWORD": PASSWORD, "AWS_DEFAULT_REGION": "eu-1"}
HERE = os.uname().nodename
ADDRESS, SECOND = "sftp:backup@nas:/srv/restic", "s3:https://s3.example.org/chat"
# As restic 0.14 and 0.18 print them.
NONE = (
    "Fatal: unable to open config file: stat /srv/restic/config: no such file or directory\n"
    "Is there a repository at the following location?\n/srv/restic\n"
)
LOCKED = "unable to create lock in backend: repository is already locked exclusively by PID 7 on other by root\n"


class _LostError(Exception):
    """The storage did not answer."""


class World(FakeSystem):
    """A host with a folder of sets, and repositories by their addresses: None where there is none yet."""

    def __init__(self) -> None:
        super().__init__(Path("/"))
        self.kernel, self.clock = FakeKernel(), FakeClock()
        self.files, self.points = FakeFiles(self.kernel), Points(self.kernel)
        self.said: list[Event] = []
        self.stores: dict[str, list[dict[str, Any]] | None] = {}
        self.content: dict[str, dict[str, bytes]] = {}  # of each snapshot, by its id
        self.locked = 0  # so many calls find it in others' use
        self.failing: dict[str, Ended] = {}  # by the command, or the last word of one
        self.down: set[str] = set()  # addresses that give no answer

    def boot(self) -> None:
        """Nothing of restic runs by itself."""

    @property
    def repository(self) -> list[dict[str, Any]] | None:
        """The first one."""
        return self.stores.get(ADDRESS)

    @repository.setter
    def repository(self, snapshots: list[dict[str, Any]] | None) -> None:
        self.stores[ADDRESS] = snapshots

    @property
    def told(self) -> list[str]:
        return [event.text for event in self.said]

    def commands(self, word: str = "") -> list[tuple[str, ...]]:
        return [one.command for one in self.asked if not word or one.command[1] == word]

    def put_set(self, folder: str, name: str, made_s: float = 1_800_000_000.0, host: str = HERE) -> None:
        self.kernel.now_s = made_s
        self.files.make_folder(f"{folder}/{name}")
        for part, content in contents(name, host).items():
            self.files.write(f"{folder}/{name}/{part}", content)

    def put_snapshot(
        self,
        host: str,
        name: str,
        time: str = "2026-11-26T03:30:00Z",
        *,
        tags: Sequence[str] = (),
        address: str = ADDRESS,
    ) -> str:
        there = self.stores.get(address) or []
        self.stores[address] = there
        id_ = f"{len(self.content):064x}"
        self.content[id_] = contents(name)
        found = {"hostname": host, "tags": list(tags or ["open-webui-stack", name])}
        there.append({"time": time, **found, "id": id_, "short_id": id_[:8]})
        there.sort(key=lambda one: str(one["time"]))
        return id_

    def _carry_out(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        limit_s: float,
        descriptors: Sequence[int],
        tell: Callable[[str], object] | None,
    ) -> Ended:
        del descriptors
        assert command[0] == "restic"
        assert limit_s >= 3600 or command[1] == "snapshots", "a copy takes hours over a slow line"
        self.asked.append(Asked(tuple(command), "", dict(environment), limit_s))
        word = command[1]

        def lost() -> Exception:
            return _LostError()

        errors = {UNAVAILABLE: lost, REFUSED: lost}
        changes = word in ("init", "backup", "forget", "restore")
        try:
            with self.points.call(f"restic: {word}", changes=changes, errors=errors, lost=UNAVAILABLE):
                before, self.kernel.on_point = self.kernel.on_point, on_nothing
                try:
                    ended = self._restic(word, command[2:], environment)
                finally:
                    self.kernel.on_point = before
        except _LostError:
            return Ended(1, "", "Fatal: connection reset by peer\n")
        for line in ended.output.splitlines() if tell else ():
            assert tell
            tell(line)
        return ended

    def _restic(self, word: str, rest: Sequence[str], environment: Mapping[str, str]) -> Ended:
        address = environment["RESTIC_REPOSITORY"]
        there = self.stores.get(address)
        for known in (word, rest[-1].rpartition("/")[2] if rest else ""):
            if known in self.failing:
                return self.failing[known]
        if address in self.down:
            return Ended(1, "", "Fatal: dial tcp: i/o timeout\n")
        if word == "init":
            if there is not None:
                return Ended(1, "", "Fatal: create repository failed: config file already exists\n")
            self.stores[address] = []
            return Ended(0, "", "")
        if there is None:
            return Ended(1, "", NONE)
        if environment["RESTIC_PASSWORD"] != PASSWORD:
            return Ended(1, "", "Fatal: wrong password or no key found\n")
        if self.locked and "--no-lock" not in rest:
            self.locked -= 1
            return Ended(1, "", LOCKED)
        assert environment["TZ"] == "UTC"
        if word == "backup":
            return self._backup(list(rest), address)
        return getattr(self, f"_{word}")(list(rest), there)  # type: ignore[no-any-return]

    def _cat(self, _: list[str], __: list[dict[str, Any]]) -> Ended:
        return Ended(0, "{}", "")

    def _unlock(self, _: list[str], __: list[dict[str, Any]]) -> Ended:
        return Ended(0, "", "")

    def _check(self, rest: list[str], _: list[dict[str, Any]]) -> Ended:
        assert rest == ["--quiet"]
        return Ended(0, "", "")

    def _backup(self, rest: list[str], address: str) -> Ended:
        path = rest[-1]
        name = path.rpartition("/")[2]
        assert rest[rest.index("--tag") :] == ["--tag", "open-webui-stack", "--tag", name, path]
        assert self.files.exists(f"{path}/manifest.json")
        time = f"{rest[rest.index('--time') + 1].replace(' ', 'T')}Z"
        self.put_snapshot(rest[rest.index("--host") + 1], name, time, address=address)
        status = {"message_type": "status", "percent_done": 0.5, "total_bytes": 400, "bytes_done": 100}
        self.clock.passed_s += 6
        return Ended(0, f"{json.dumps(status)}\n{json.dumps({'message_type': 'summary'})}\n", "")

    def _forget(self, rest: list[str], there: list[dict[str, Any]]) -> Ended:
        assert rest[:2] == ["--quiet", "--prune"]
        assert rest[2:], "without an id restic takes all snapshots"
        for one in [one for one in there if one["id"] in rest[2:]]:
            there.remove(one)
        return Ended(0, "", "")

    def _snapshots(self, rest: list[str], there: list[dict[str, Any]]) -> Ended:
        assert rest[-2:] == ["--tag", "open-webui-stack"]
        return Ended(0, json.dumps([one for one in there if "open-webui-stack" in one["tags"]]), "")

    def _restore(self, rest: list[str], _: list[dict[str, Any]]) -> Ended:
        """Like restic's, it writes nothing to the disk for good."""
        folder, id_ = rest[rest.index("--target") + 1], rest[-1]
        name = json.loads(self.content[id_]["manifest.json"])["name"]
        for each in ("srv", "sets", name):
            folder = f"{folder}/{each}"
            self.kernel.add(folder, stat.S_IFDIR | 0o700)
        for part, content in self.content[id_].items():
            self.kernel.add(f"{folder}/{part}", stat.S_IFREG | 0o600).data = content
        return Ended(0, "restoring <Snapshot> to it\n", "")


def contents(name: str, host: str = HERE) -> dict[str, bytes]:
    """The files of a set that the host made."""
    parts = {"valkey.rdb": f"keys of {name}".encode(), "images": b"valkey x\n"}
    manifest = {"name": name, "host": host, "parts": {part: {"size": len(data)} for part, data in parts.items()}}
    return {**parts, "manifest.json": json.dumps(manifest).encode()}
