"""Docker's configuration: Docker runs with another daemon.json afterwards, or with the earlier one again."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .. import dockerd, units
from ..clock import Clock
from ..engine import Engine, EngineError, NotFound
from ..errors import HostError
from ..files import Files
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..system import System, require_root

# What the mark says: whether there was a daemon.json before, which is in `daemon.json.before` then.
_HAD, _NONE = "had", "none"
_ANSWER_S = 10.0
# Docker gets a minute to answer; systemd gives up earlier, by its own limits.
_LOOKS, _PAUSE_S = 60, 1.0
_RESTART_S, _STOP_S = 300.0, 60.0
_LOG = "/var/log/docker.log"
_REASON = re.compile(r"failed to|unable to|level=(?:error|fatal)")
_PASSWORD = re.compile(r"//[^/@ ]*@")


@dataclass(frozen=True)
class Request:
    """What the operator's side has planned (`webui_stack.docker_config.Plan`).

    `text` is the new file. `action` is "reload" or "restart". `survives` says that containers run on while Docker
    restarts, `awaits_live_restore` that live-restore has to be in force before that. Where Docker did not start with
    the new file, it starts with `bridge` first, so that such containers run on.
    """

    text: str = field(repr=False)
    bridge: str | None = field(repr=False)
    action: str
    survives: bool
    awaits_live_restore: bool


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure Docker runs with the file; `arguments` are those of `Request`."""
    require_root()
    asked = Request(**arguments)
    system, clock = System(), Clock()
    engine = Engine(dockerd.socket(system, os.environ.get("HOME", "/root")), limit_s=_ANSWER_S)
    with Locks(LINUX, clock, lambda line: emit(Event(line))).work("docker"):
        Configuration(system, engine, Files(), clock, emit).change(asked)


class Configuration:
    """daemon.json, and the Docker that reads it. The caller of `change` holds the work lock."""

    def __init__(
        self, system: System, engine: Engine, files: Files, clock: Clock, emit: Callable[[Event], None]
    ) -> None:
        self._system, self._engine, self._files, self._clock = system, engine, files, clock
        self._emit = emit
        self._path = files.resolved(dockerd.DAEMON_JSON)
        self._new, self._before = f"{self._path}.new", f"{self._path}.before"
        self._restarted = False

    def change(self, asked: Request) -> None:
        """Ensure daemon.json holds the text, and that Docker runs with it if it runs.

        Where Docker does not, the earlier file is back, Docker runs with that one, and this raises `HostError`. It
        raises, and has changed nothing, where dockerd refuses the file. After a crash the next call finds the mark: it
        restarts Docker, whether that runs or not, and still has the file to go back to.
        """
        ran, served = self._pid() > 0, self._started()
        resumes = self._files.exists(dockerd.MARK)
        self._write(self._new, asked.text)
        try:
            self._check()
            if not self._can_go_back():
                self._keep()
        except BaseException:
            self._files.remove(self._new)
            raise
        since_s = self._clock.now()
        try:
            self._files.rename(self._new, self._path)
            if ran or resumes:
                self._apply(asked)
        except HostError as error:
            raise self._put_back(asked, error, since_s, served, starts=ran or resumes) from error
        self._files.remove(self._before)
        self._files.remove(dockerd.MARK)  # last: nobody looks for the rest without it

    # --- The file

    def _write(self, path: str, text: str) -> None:
        """With the mode and the owner that daemon.json has."""
        found = self._files.stat(self._path)
        mode, owner = (found.mode, found.owner) if found else (0o644, None)
        folder = posixpath.dirname(path)
        if not self._files.exists(folder):
            self._files.make_folder(folder, mode=0o755)
        self._files.write(path, text.encode("utf-8", "surrogateescape"), mode=mode, owner=owner)

    def _check(self) -> None:
        """Raise `HostError` for a file that dockerd refuses. Docker before 23.0 has no `--validate`.

        Docker's service has options of its own: with one of them in the file as well, dockerd does not start.
        """
        if not self._system.has("dockerd") or "--validate" not in (self._system.attempt("dockerd", "--help") or ""):
            return
        unit = self._unit()
        options = dockerd.configured(self._system, unit) or dockerd.running(self._system, unit)
        said = self._system.refusal("dockerd", *options, "--validate", "--config-file", self._new)
        if said:
            raise HostError(
                dockerd.DAEMON_JSON,
                expected="a file that dockerd takes",
                got=_hidden(" ".join(said.split())),
                do="change docker_daemon; nothing was changed on the host",
            )

    def _can_go_back(self) -> bool:
        """Whether a change that was cut off has kept the earlier file.

        Where it has put that back already, or was done, the file in place is one that Docker runs with.
        """
        mark = self._files.read_text(dockerd.MARK)
        return mark is not None and (mark.strip() == _NONE or self._files.exists(self._before))

    def _keep(self) -> None:
        """Ensure the earlier file is kept, and that the mark says so: both are on the disk before this returns."""
        content = self._files.read(self._path)
        if content is not None:
            self._write(self._before, content.decode("utf-8", "surrogateescape"))
        self._files.write(dockerd.MARK, f"{_NONE if content is None else _HAD}\n")

    # --- Docker

    def _apply(self, asked: Request) -> None:
        if asked.action == "reload" or asked.survives:
            self._reload()
        # Docker reads its file some time after the signal. Without live-restore, a restart stops the containers.
        if asked.awaits_live_restore and not self._becomes(self._live_restore):
            raise HostError(
                "docker",
                expected="live-restore to be on after a reload",
                got="it off; nothing was restarted",
                do="look at `journalctl -u docker` on the host",
            )
        if asked.action == "restart":
            self._say("docker: restarting")
            self._restarted = True
            self._order("restart", _RESTART_S)
        if not self._becomes(self._answers):
            raise HostError("docker", expected="an answer within a minute", got="none", do="run it again")

    def _put_back(
        self, asked: Request, error: HostError, since_s: float, served: Mapping[str, str], *, starts: bool
    ) -> HostError:
        """The error to raise, once the earlier file is back and Docker runs with it."""
        reason = self._reason(since_s)
        self._say("docker: does not run with the new daemon.json; the earlier one comes back")
        if asked.bridge is not None and self._restarted:
            # Without live-restore, Docker ends the containers that ran on without it.
            self._write(self._path, asked.bridge)
            self._start()
        if (self._files.read_text(dockerd.MARK) or "").strip() == _NONE:
            self._files.remove(self._path)
        elif self._files.exists(self._before):
            self._files.rename(self._before, self._path)
        runs = not starts or self._start()
        if runs:
            self._files.remove(dockerd.MARK)
            self._tell_stopped(served)
        return HostError(
            error.where,
            expected=error.expected,
            got=f"{error.got} ({reason})" if reason else error.got,
            do=f"{dockerd.DAEMON_JSON} is as it was before, and Docker runs: change docker_daemon, and run it again"
            if runs
            else "it does not start with the earlier daemon.json either: look at `journalctl -u docker` on the host",
        )

    def _start(self) -> bool:
        """Whether Docker answers, with the file as it is now; it is started if it does not run."""
        if self._answers():
            self._reload()
        # Whether Docker answers then is what counts. systemd starts nothing that failed too often, until it is told.
        elif self._system.has_systemd():
            for order, limit_s in (("stop", _STOP_S), ("reset-failed", _STOP_S), ("start", _RESTART_S)):
                with suppress(HostError):
                    self._order(order, limit_s)
        else:
            with suppress(HostError):
                self._order("start", _RESTART_S)
        return self._becomes(self._answers)

    def _order(self, order: str, limit_s: float) -> None:
        if not self._system.has_systemd():
            self._system.order("service", "docker", order, limit_s=limit_s)
        elif order == "reset-failed":
            self._system.order("systemctl", order, dockerd.UNIT, "docker.socket", limit_s=limit_s)
        else:
            self._system.order("systemctl", order, dockerd.UNIT, limit_s=limit_s)

    def _reload(self) -> None:
        pid = self._pid()
        if pid:
            self._system.hang_up(pid)

    def _say(self, text: str) -> None:
        self._emit(Event(text))

    def _tell_stopped(self, served: Mapping[str, str]) -> None:
        """Name the containers that a failed start has stopped, though no plan said so, as in a swarm."""
        serves = self._started()
        if stopped := sorted(name for name, since in served.items() if serves.get(name) != since):
            self._say(
                "docker: these containers were stopped by that, and run again where their restart policy says so: "
                + " ".join(stopped)
            )

    # --- Questions

    def _becomes(self, question: Callable[[], bool]) -> bool:
        for look in range(_LOOKS):
            if question():
                return True
            if look == 3:
                self._say("docker: waiting for its answer, a minute at most")
            self._clock.sleep(_PAUSE_S)
        return False

    def _answers(self) -> bool:
        try:
            self._engine.ping()
        except EngineError:  # while it starts, this is what is waited for
            return False
        return True

    def _live_restore(self) -> bool:
        try:
            return self._engine.info().live_restore
        except EngineError:
            return False

    def _started(self) -> dict[str, str]:
        """Each container that runs, and since when; none where Docker does not answer."""
        found = {}
        with suppress(EngineError):
            for one in self._engine.running():
                with suppress(NotFound):  # it has ended meanwhile
                    found[one.name] = self._engine.container(one.name).started_at
        return found

    def _reason(self, since_s: float) -> str:
        """The last lines in which Docker says why it did not start; "" where it says nothing."""
        if self._system.has_systemd():
            command = ("journalctl", "--unit", dockerd.UNIT, "--since", f"@{int(since_s)}", "--output", "cat")
            with suppress(HostError):
                return _reasons(self._system.attempt(*command) or "")
            return ""
        return _reasons("\n".join(self._system.text(_LOG).splitlines()[-50:]))

    def _unit(self) -> Mapping[str, str]:
        return units.look(self._system, [dockerd.UNIT]).get(dockerd.UNIT, {})

    def _pid(self) -> int:
        return dockerd.pid(self._system, self._unit())


def _reasons(text: str) -> str:
    found = [line.strip() for line in text.splitlines() if _REASON.search(line)]
    return _hidden("; ".join(found[-3:]))


def _hidden(text: str) -> str:
    """Without the password in a URL."""
    return _PASSWORD.sub("//***@", text)
