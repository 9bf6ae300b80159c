"""Docker's configuration: Docker runs with another daemon.json afterwards, or with the earlier one again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .. import dockerd, units
from ..clock import Clock
from ..daemon_json import DaemonJson
from ..engine import Engine, EngineError, NotFound
from ..errors import HostError
from ..files import Files
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..recovery import Recovery
from ..system import System, require_root

_ANSWER_S = 10.0
# Docker gets a minute to answer; systemd gives up earlier, by its own limits.
_LOOKS, _PAUSE_S = 60, 1.0
_RESTART_S, _STOP_S = 300.0, 60.0
_LOG = "/var/log/docker.log"
_REASON = re.compile(r"failed to|unable to|level=(?:error|fatal)")
_PASSWORD = re.compile(r"//[^/@ ]*@")


@dataclass(frozen=True)
class Request:
    """What the operator's side has planned (`webui_stack.model.docker_config.Plan`).

    `text` is the new file. `action` is "reload" or "restart". `survives` says that containers run on while Docker
    restarts, `awaits_live_restore` that live-restore has to be in force before that.
    """

    text: str = field(repr=False)
    action: str
    survives: bool
    awaits_live_restore: bool


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure Docker runs with the file; `arguments` are those of `Request`."""
    require_root()
    asked = Request(**arguments)
    system, clock = System(), Clock()
    engine = dockerd.engine(system, limit_s=_ANSWER_S)
    with Locks(LINUX, clock, lambda line: emit(Event(line))).work("docker"):
        Configuration(system, engine, Files(), clock, emit).change(asked)


def recover(system: System, files: Files, emit: Callable[[Event], None]) -> None:
    """Ensure a change that was cut off is undone: the earlier daemon.json is back, and Docker is told to run with it.

    Whether the new file was a good one, nobody knows. At boot Docker's own start waits for this (`recovery.py`), so
    this does not wait for Docker. Raises `HostError`; the mark stays then.
    """
    file = DaemonJson(files)
    file.put_back()
    emit(Event(f"docker: a change was cut off; {dockerd.DAEMON_JSON} is as it was before"))
    found = dockerd.pid(system, units.look(system, [dockerd.UNIT]).get(dockerd.UNIT, {}))
    if found:
        system.hang_up(found)
    elif system.has_systemd():
        with suppress(HostError):  # at boot there is nothing to reset
            system.order("systemctl", "reset-failed", dockerd.UNIT, "docker.socket", limit_s=_STOP_S)
        # Docker ran when the change began. At boot this adds nothing to the start that waits already.
        system.order("systemctl", "--no-block", "start", dockerd.UNIT, limit_s=_STOP_S)
    file.forget()


class Configuration:
    """daemon.json, and the Docker that reads it. The caller of `change` holds the work lock."""

    def __init__(
        self, system: System, engine: Engine, files: Files, clock: Clock, emit: Callable[[Event], None]
    ) -> None:
        self._system, self._engine, self._clock, self._emit = system, engine, clock, emit
        self._file, self._recovery = DaemonJson(files), Recovery(system, files)

    def change(self, asked: Request) -> None:
        """Ensure daemon.json holds the text, and that Docker runs with it if it runs.

        Where Docker does not, the earlier file is back, Docker runs with that one, and this raises `HostError`. It
        raises, and has changed nothing, where dockerd refuses the file. After a crash the next call finds the mark: it
        restarts Docker, whether that runs or not, and still has the file to go back to. A boot that comes first goes
        back by itself (`recover`).
        """
        ran, served = self._pid() > 0, self._started()
        resumes = self._file.is_changing
        self._file.prepare(asked.text)
        try:
            self._check()
            if (ran or resumes) and not self._recovery.arm():
                self._say("docker: this host has no systemd; if it goes down now, only the next run goes back")
            self._file.keep()
        except BaseException:
            with suppress(HostError):
                self._file.abandon()
                if not resumes:
                    self._recovery.disarm()
            raise
        since_s = self._clock.now()
        try:
            self._file.replace()
            if ran or resumes:
                self._apply(asked)
        except HostError as error:
            # After a crash nobody knows what runs on without Docker.
            bridged = asked.text if asked.survives or resumes else ""
            raise self._put_back(bridged, error, since_s, served, starts=ran or resumes) from error
        self._file.forget()
        self._recovery.disarm()

    def _check(self) -> None:
        """Raise `HostError` for a file that dockerd refuses. Docker before 23.0 has no `--validate`.

        Docker's service has options of its own: with one of them in the file as well, dockerd does not start.
        """
        if not self._system.has("dockerd") or "--validate" not in (self._system.attempt("dockerd", "--help") or ""):
            return
        unit = self._unit()
        options = dockerd.configured(self._system, unit) or dockerd.running(self._system, unit)
        said = self._system.refusal("dockerd", *options, "--validate", "--config-file", self._file.new)
        if said:
            raise HostError(
                dockerd.DAEMON_JSON,
                expected="a file that dockerd takes",
                got=_hidden(" ".join(said.split())),
                do="change docker_daemon; nothing was changed on the host",
            )

    # --- Docker

    def _apply(self, asked: Request) -> None:
        if asked.action == "reload" or asked.survives:
            self._reload()
        # Docker reads its file some time after the signal. Without live-restore, a restart stops the containers.
        # One that is dead, as after a crash, has stopped them already, or left them running.
        if asked.awaits_live_restore and self._pid() and not self._becomes(self._live_restore):
            raise HostError(
                "docker",
                expected="live-restore to be on after a reload",
                got="it off; nothing was restarted",
                do="look at `journalctl -u docker` on the host",
            )
        if asked.action == "restart":
            self._say("docker: restarting")
            self._order("restart", _RESTART_S)
        if not self._becomes(self._answers):
            raise HostError("docker", expected="an answer within a minute", got="none", do="run it again")

    def _put_back(
        self, bridged: str, error: HostError, since_s: float, served: Mapping[str, str], *, starts: bool
    ) -> HostError:
        """The error to raise, once the earlier file is back and Docker runs with it.

        Where Docker has to start, it starts with the `DaemonJson.bridge` to the text `bridged` first.
        """
        reason = self._reason(since_s)
        self._say("docker: does not run with the new daemon.json; the earlier one comes back")
        answers = not starts or self._comes() or self._crosses(bridged, served)
        try:
            self._file.put_back()
        except HostError:  # Docker is dead without it, so that once more is worth it
            self._clock.sleep(_PAUSE_S)
            self._file.put_back()
        runs = not starts or (self._takes_again() if answers else self._starts())
        if runs:
            self._file.forget()
            with suppress(HostError):  # the next boot removes it
                self._recovery.disarm()
            self._tell_stopped(served)
        return HostError(
            error.where,
            expected=error.expected,
            got=f"{error.got} ({reason})" if reason else error.got,
            do=f"{dockerd.DAEMON_JSON} is as it was before, and Docker runs: change docker_daemon, and run it again"
            if runs
            else "it does not start with the earlier daemon.json either: look at `journalctl -u docker` on the host",
        )

    def _crosses(self, bridged: str, served: Mapping[str, str]) -> bool:
        """Whether Docker runs with live-restore beside the earlier file's keys; not where that file has it itself.

        Where this can't be written, Docker that runs is worth more than containers that run on.
        """
        try:
            bridge = self._file.bridge(bridged)
            if bridge is None:
                return False
            self._file.put(bridge)
        except HostError as error:
            self._say(
                f"docker: could not be started with live-restore first, so that containers run on ({error.where}: "
                f"{error.got}); it starts with the earlier file, which stops "
                + (" ".join(sorted(served)) or "those that run")
            )
            return False
        return self._starts()

    def _comes(self) -> bool:
        """Whether Docker answers. One that runs has a minute for that: it may be slow, and a stop ends containers."""
        return self._becomes(self._answers, unless=self._is_dead)

    def _takes_again(self) -> bool:
        """Whether a Docker that runs answers, once it was told to read the file again."""
        with suppress(HostError):
            self._reload()
        return self._becomes(self._answers)

    def _starts(self) -> bool:
        """Whether Docker answers, started anew with the file as it is now."""
        # Whether Docker answers then is what counts. systemd starts nothing that failed too often, until it is told.
        orders = [("start", _RESTART_S)]
        if self._system.has_systemd():
            orders = [("stop", _STOP_S), ("reset-failed", _STOP_S), *orders]
        for order, limit_s in orders:
            with suppress(HostError):
                self._order(order, limit_s)
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

    def _becomes(self, question: Callable[[], bool], *, unless: Callable[[], bool] = lambda: False) -> bool:
        for look in range(_LOOKS):
            if question():
                return True
            if unless():
                return False
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

    def _is_dead(self) -> bool:
        """Whether no process of Docker's is there; not where nobody knows."""
        with suppress(HostError):
            return not self._pid()
        return False

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
