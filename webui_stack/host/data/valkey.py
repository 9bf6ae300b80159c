"""Valkey's data in its volume: a snapshot of now, what is in one, and the log (AOF) that it loads at its start."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import BinaryIO

from .. import halt
from ..clock import Clock
from ..engine import Engine, NewContainer, Output, ProgramFailed, Refused
from ..errors import HostError
from ..files import Files
from .helper import Helper

LOG = "appendonlydir"
SAVE_S = 600.0
"""How long a snapshot may take."""
_PAUSE_S = 0.5
_ANSWER_S = 60
_DATA = "/data"
# Exit codes of a program that Docker did not start.
_NOT_STARTED = (126, 127)
# What Docker says then: nobody was asked ("read init-p: connection reset by peer", runc under load).
_RUNC = "OCI runtime exec failed"
_KEYS_READ = re.compile(r"\] ([0-9]+) keys read$", re.MULTILINE)
# A word for each answer: a container that could not look has none.
LOOK = f"if [ -d {LOG} ]; then echo log; elif [ -f dump.rdb ]; then echo snapshot; else echo none; fi"
OWNER = "stat -c %u:%g dump.rdb"
# The format's version is in each file, and a newer one is refused.
READ = f"""\
for file in dump.rdb {LOG}/*.rdb; do
  [ -f "$file" ] || continue
  valkey-check-rdb "$file" && continue
  [ $? = 1 ] && echo refused
  exit
done
echo read
"""
# The log gets its name when it is whole.
WRITE_LOG = f"""\
ask() {{ valkey-cli -s /tmp/valkey.sock "$@"; }}
rm -rf {LOG}.new
valkey-server --port 0 --unixsocket /tmp/valkey.sock --dir {_DATA} --save "" --appenddirname {LOG}.new >/tmp/log &
n=0
until [ "$(ask ping 2>/dev/null)" = PONG ]; do
  n=$((n + 1)); [ "$n" -lt 300 ] || {{ cat /tmp/log; exit 1; }}
  sleep 1
done
ask config set appendonly yes >/dev/null
while ask info persistence | grep -Eq "^aof_rewrite_(in_progress|scheduled):1"; do sleep 1; done
ask info persistence | grep -q "^aof_last_bgrewrite_status:ok" || {{ cat /tmp/log; exit 1; }}
ask shutdown nosave
wait
mv {LOG}.new {LOG}
"""
SET_LOG_ASIDE = f"[ ! -d {LOG} ] || {{ rm -rf {LOG}.off && mv {LOG} {LOG}.off; }}"


class Snapshots:
    """Snapshots of a running Valkey in `container`, asked as the user `monitor`, whose password is `password`."""

    def __init__(self, engine: Engine, clock: Clock, helper: Helper, container: str, password: str) -> None:
        self._engine, self._clock, self._helper = engine, clock, helper
        self._container, self._password = container, password

    def save(self) -> None:
        """Ensure dump.rdb has the data of now. Fails where that takes longer than `SAVE_S`, or does not succeed.

        While Valkey saves by itself it refuses, and what it has begun is not of now; while it rewrites its log,
        `schedule` has it save after that. `rdb_saves` counts those that were begun (valkey/src/rdb.c,
        rdbSaveBackground, 8.1), so the save has to be over as well, and to have succeeded.
        """
        limit_s = self._clock.monotonic() + SAVE_S
        before = self._wait(self._begun, limit_s)
        status = self._wait(lambda: self._over(before), limit_s)
        if status != "ok":
            raise HostError("Valkey", expected="a snapshot", got="none", do=f"{self._logs}: is its disk full?")

    def copy(self, target: BinaryIO) -> None:
        """Write dump.rdb to `target`."""
        self._engine.exec(self._container, ["cat", f"{_DATA}/dump.rdb"], stdout=target)

    def count(self, folder: str) -> int:
        """The keys in valkey.rdb in the folder of a set. All of it is read: a damaged snapshot is an error."""
        image = self._engine.container(self._container).image_id
        command = ("/set/valkey.rdb",)
        new = NewContainer(
            image, entrypoint=["valkey-check-rdb"], command=command, volumes=[f"{folder}:/set:ro"], network="none"
        )
        done = self._helper.run(new, accept=range(256))
        said = _said(done)
        found = _KEYS_READ.search(said)
        if done.exit_code or not found:
            got = said.rpartition("\n")[2] or "no answer"
            raise HostError("Valkey", expected="a sound snapshot", got=got, do="see whether its disk has errors")
        return int(found[1])

    @property
    def _logs(self) -> str:
        return f"look at 'docker logs {self._container}'"

    def _wait(self, question: Callable[[], str], limit_s: float) -> str:
        while not (answer := question()):
            if self._clock.monotonic() >= limit_s:
                got = f"none within {SAVE_S / 60:.0f} minutes"
                raise HostError("Valkey", expected="a snapshot", got=got, do=self._logs)
            self._clock.sleep(_PAUSE_S)
        return answer

    def _begun(self) -> str:
        """How many saves had begun before this one, which has; "" where it has to be asked for again."""
        before = self._persistence()
        if not before:
            return ""
        said = self._ask("bgsave", "schedule")
        # While it loads its data it saves nothing, and is alive.
        if said is None or "save already in progress" in said or said.startswith("LOADING"):
            return ""
        if not said.startswith("Background saving "):
            raise HostError("Valkey", expected="it to save", got=said or "no answer", do=self._logs)
        return before["rdb_saves"]

    def _over(self, before: str) -> str:
        """How the save went; "" while it is under way."""
        found = self._persistence()
        if not found:
            return ""
        saves = int(found["rdb_saves"])
        if saves < int(before):
            raise HostError("Valkey", expected="it to save", got="a restart of it", do="run this again")
        over = saves > int(before) and found["rdb_bgsave_in_progress"] == "0"
        return found["rdb_last_bgsave_status"] if over else ""

    def _persistence(self) -> dict[str, str]:
        """What Valkey says of its saves; {} where nobody was asked."""
        said = self._ask("info", "persistence")
        if said is None:
            return {}
        found = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
        wanted = ("rdb_saves", "rdb_bgsave_in_progress", "rdb_last_bgsave_status")
        if not all(found.get(name) for name in wanted) or not re.fullmatch("[0-9]+", found["rdb_saves"]):
            got = said.strip().partition("\n")[0] or "no answer"
            raise HostError("Valkey", expected="it to tell of its saves", got=got, do=self._logs)
        return found

    def _ask(self, *question: str) -> str | None:
        """What Valkey answers; None where Docker did not start who asks, so that nobody was asked."""
        # The container's own `timeout` ends what Docker can't end.
        command = ["timeout", str(_ANSWER_S), "valkey-cli", "--user", "monitor", *question]
        # Never an argument: only root can read a process's environment.
        env = {"REDISCLI_AUTH": self._password}
        try:
            done = self._engine.exec(self._container, command, env=env, accept=range(256), timeout_s=_ANSWER_S + 5.0)
        except Refused as error:
            if _RUNC in error.message:
                return None
            raise
        said = _said(done).replace("\r", "")
        return None if done.exit_code in _NOT_STARTED and said.startswith(_RUNC) else said


class ValkeyData:
    """What Valkey has in its `volume`, brought to what it will look for there. `image` is who will read it.

    Every method fails where Docker gives no answer, or the image's programs none that is known: then nobody knows what
    is there, and Valkey must not start, for it could begin empty and overwrite the snapshot.
    """

    def __init__(self, engine: Engine, files: Files, clock: Clock, helper: Helper, image: str, volume: str) -> None:
        self._engine, self._files, self._clock, self._helper = engine, files, clock, helper
        self._image, self._volume = image, volume

    def own(self) -> None:
        """Ensure the volume is there, with Valkey's owner.

        A new one gets the owner of the folder it is first mounted on, and Valkey's entry point can't change it.
        """
        self._run("true")

    def refusal(self) -> str:
        """Why the image can't read what another one has written there, in its own words; "" where it can.

        "" as well where there is nothing. Fails where nobody could look: that is neither.
        """
        lines = _said(self._run(READ, accept=range(256))).splitlines()
        word = lines[-1] if lines else ""
        if word == "read":
            return ""
        rest = [line for line in lines if line != "refused"]
        reason = next((line for line in rest if "Can't" in line), rest[-1] if rest else "")
        if word == "refused":
            return reason or "no reason"
        raise HostError(
            "Valkey", expected="to look at the data in its volume", got=reason or "no answer", do="run this again"
        )

    def keep_snapshot(self, containers: str) -> bool:
        """Ensure Valkey finds a log where it has data. Returns whether one was written from the snapshot.

        With `appendonly`, Valkey loads the log and nothing else: where there is none yet, it would start empty and then
        overwrite the snapshot (valkey/src/server.c, loadDataFromDisk, 8.1). So the log is written first, by a Valkey
        without network that runs as the snapshot's owner. The containers whose names match `containers` are stopped
        for that. After a crash the log is not there, or whole.
        """
        if not self.lacks_log():
            return False
        halt.stop(self._engine, self._clock, containers)
        owner = _said(self._run(OWNER)).strip()
        if not re.fullmatch("[0-9]+:[0-9]+", owner):
            raise HostError("Valkey", expected="the owner of its snapshot", got=owner or "no answer", do="run it again")
        self._run(WRITE_LOG, user=owner)
        return True

    def lacks_log(self) -> bool:
        """Whether there is a snapshot, and no log."""
        if self._shows_log():
            return False
        said = _said(self._run(LOOK, accept=range(256))).strip()
        if said in ("log", "none"):
            return False
        if said != "snapshot":
            raise HostError(
                "Valkey",
                expected="to see in its volume whether it has a snapshot only",
                got=said or "no answer",
                do="it is not started, for it could begin empty and overwrite that; run this again",
            )
        return True

    def set_log_aside(self) -> None:
        """Ensure Valkey finds no log. A log that is no longer written must not be loaded when `appendonly` is on again.

        It is kept beside the data as `appendonlydir.off`.
        """
        self._run(SET_LOG_ASIDE)

    def _shows_log(self) -> bool:
        """Whether the host sees the log. That it is not there only a container can tell.

        Where Docker keeps volumes in folders of the host, this look spares a container, which takes 0.2 s.
        """
        folder = self._engine.volume(self._volume).mountpoint
        if not folder:
            return False
        with suppress(HostError):  # the container is asked then
            found = self._files.stat(f"{folder}/{LOG}")
            return found is not None and found.kind == "folder"
        return False

    def _run(self, commands: str, *, user: str = "", accept: Collection[int] = (0,)) -> Output:
        new = NewContainer(
            self._image,
            entrypoint=["sh"],
            command=["-c", f"cd {_DATA} || exit 2\n{commands}"],
            volumes=[f"{self._volume}:{_DATA}"],
            network="none",
            user=user,
        )
        try:
            return self._helper.run(new, accept=accept)
        except ProgramFailed as error:
            said = (error.output + error.errors).decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise HostError(
                "Valkey",
                expected="its data in the volume to be prepared",
                got=said or f"exit code {error.exit_code}",
                do="it is not started; fix that (a full disk?), and run it again",
            ) from None


def _said(done: Output) -> str:
    return (done.stdout + done.stderr).decode("utf-8", "replace").strip()
