"""A Valkey of the Docker in memory: its volume outlives every crash, and so does a save that was begun."""

from __future__ import annotations

import hashlib
import re
from collections.abc import MutableMapping

from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Exit, Held, Process, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles
from tests.host.faults import Fault, Faults
from webui_stack.host.data import valkey
from webui_stack.host.data.helper import Helper
from webui_stack.host.data.valkey import Snapshots, ValkeyData
from webui_stack.host.engine import NewContainer

IMAGE, CONTAINER, VOLUME, SETS = "valkey:8", "redis-valkey", "redis-data", "/var/backups/open-webui"
PASSWORD = "sesame"


class World:
    """A Docker with a Valkey, and what is in its volume."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.docker, self.clock, self.host = Docker(), FakeClock(), FakeFiles()
        commands = {"timeout": self._cli, "cat": _cat, "valkey-check-rdb": self._check_rdb, "sh": self._shell}
        self.docker.put_image(IMAGE, Program(main=self._main, commands=commands))
        self.docker.put_volume(VOLUME, {"dump.rdb": b"old keys"} if files is None else files)
        self.docker.put_container(CONTAINER, NewContainer(IMAGE, volumes=[f"{VOLUME}:/data"]))
        self.mounted: dict[str, bytes] = {}
        self.docker.folder = lambda source: self.mounted if source == SETS else {}
        self.saves, self.under_way, self.status = 0, 0, "ok"
        self.rewrites = False  # its log, so that a save comes after that
        self.scheduled = 0
        self.answers: list[str | bytes] = []  # to the next BGSAVE, before it is done
        self.asked: list[tuple[str, ...]] = []
        self.started_empty = False
        self.unreadable = b""
        self.clock.on_sleep = self._goes_on

    @property
    def files(self) -> MutableMapping[str, bytes]:
        return self.docker.contents[VOLUME]

    def engine(self, fault: Fault | None = None) -> FakeEngine:
        return FakeEngine(self.docker, faults=Faults(fault))

    def snapshots(self, engine: FakeEngine) -> Snapshots:
        return Snapshots(engine, self.clock, Helper(engine, self.clock), CONTAINER, PASSWORD)

    def data(self, engine: FakeEngine) -> ValkeyData:
        return ValkeyData(engine, self.host, self.clock, Helper(engine, self.clock), IMAGE, VOLUME)

    # --- Valkey

    def _main(self, process: Process) -> None:
        """With `appendonly`, it loads the log and nothing else."""
        there = process.files("/data")
        if not any(name.startswith("appendonlydir/") for name in there):
            self.started_empty = bool(there)

    def _goes_on(self) -> None:
        if self.scheduled:
            self.scheduled -= 1
            if not self.scheduled:
                self.saves, self.under_way = self.saves + 1, 4
        if self.under_way:
            self.under_way -= 1
            if not self.under_way and self.status == "ok":
                self.files["dump.rdb"] = b"keys of now"

    def _cli(self, process: Process) -> bytes:
        assert process.command[:5] == ("timeout", "60", "valkey-cli", "--user", "monitor")
        assert process.env["REDISCLI_AUTH"] == PASSWORD
        question = process.command[5:]
        self.asked.append(question)
        if question == ("info", "persistence"):
            text = "# Persistence\nloading:0\nrdb_saves:{}\nrdb_bgsave_in_progress:{}\nrdb_last_bgsave_status:{}\n"
            return text.format(self.saves, int(self.under_way > 0), self.status).replace("\n", "\r\n").encode()
        assert question == ("bgsave", "schedule")
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, bytes):
                raise Exit(126, answer)
            return f"{answer}\r\n".encode()
        if self.under_way:
            return b"ERR Background save already in progress\r\n"
        if self.rewrites:
            self.scheduled = 5
            return b"Background saving scheduled\r\n"
        self.saves += 1
        self.under_way = 3
        return b"Background saving started\r\n"

    def _check_rdb(self, process: Process) -> bytes:
        if process.read(process.command[1]).startswith(b"bad"):
            raise Exit(1, b"[offset 0] Checking\n--- RDB ERROR DETECTED ---\n[offset 9] RDB CRC error\n")
        return b"[offset 26] \\o/ RDB looks OK! \\o/\n[info] 12 keys read\n[info] 3 expires\n"

    def _shell(self, process: Process) -> bytes:
        if self.unreadable and process.command[2].endswith(valkey.READ):
            return self.unreadable
        return shell(process)


def shell(process: Process) -> bytes:
    """What the image's shell does in the volume."""
    head = "cd /data || exit 2\n"
    text = process.command[2]
    assert process.command[1] == "-c"
    assert text.startswith(head)
    there = process.files("/data")
    log = any(name.startswith("appendonlydir/") for name in there)
    action = text[len(head) :]
    if action == valkey.LOOK:
        return b"log\n" if log else b"snapshot\n" if "dump.rdb" in there else b"none\n"
    if action == valkey.OWNER:
        return b"999:999\n"
    if action == valkey.READ:
        return b"[info] 1 keys read\nread\n"
    if action == valkey.WRITE_LOG:
        assert process.container.new.user == "999:999"
        there["appendonlydir/1.base.rdb"] = there["dump.rdb"]
    elif action == valkey.SET_LOG_ASIDE:
        for name in [name for name in there if name.startswith("appendonlydir/")]:
            there[name.replace("appendonlydir", "appendonlydir.off")] = there.pop(name)
    else:
        assert action == "true"
    return b""


# --- Its users, which it reads at its start, and by ACL LOAD

_LOADED, _FILE = "loaded", "/run/users.acl"
_USER = re.compile(r"user [a-z-]+ on( (nopass|#[0-9a-f]{64}))+( [~&+-]?[^ #]+)*")


def read_users(process: Process, text: str) -> None:
    """At its start it knows the users of the file in the stack's folder (valkey-start.sh.j2)."""
    for name in (_FILE, _LOADED):
        process.container.files[name] = text.encode()


def passwords(valkey: Held, user: str) -> list[str]:
    """The SHA-256 of each password by which Valkey takes somebody for this user."""
    for line in valkey.files.get(_LOADED, b"").decode().splitlines():
        if line.startswith(f"user {user} "):
            return [word[1:] for word in line.split() if word.startswith("#")]
    return []


def knows(valkey: Held, user: str, password: str) -> bool:
    return hashlib.sha256(password.encode()).hexdigest() in passwords(valkey, user)


def write_users(process: Process) -> bytes:
    """The shell that puts what it is given where Valkey reads its users."""
    assert process.command[2] == f"cat >{_FILE}"
    process.write(_FILE, process.stdin)
    return b""


def load_users(process: Process) -> bytes:
    """ACL LOAD by valkey-cli as `monitor`. A wrong file leaves the users as they were (valkey/src/acl.c, 8.1)."""
    assert process.command == ("timeout", "60", "valkey-cli", "--user", "monitor", "acl", "load")
    if not knows(process.container, "monitor", process.env["REDISCLI_AUTH"]):
        errors = b"AUTH failed: WRONGPASS invalid username-password pair or user is disabled.\n"
        raise Exit(1, errors, b"NOPERM User default has no permissions to run the 'acl|load' command\n\n")
    lines = process.container.files[_FILE].decode().splitlines()
    for number, line in enumerate(lines, start=1):
        if not _USER.fullmatch(line):
            said = f"ERR {_FILE}:{number}: Syntax error. WARNING: ACL errors detected, no change to the previously "
            return f"{said}active ACL rules was performed\n\n".encode()
    process.container.files[_LOADED] = process.container.files[_FILE]
    return b"OK\n"


def _cat(process: Process) -> bytes:
    return process.read(process.command[1])
