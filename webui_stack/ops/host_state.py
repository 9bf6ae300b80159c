"""What is known of a host in this run: one survey, and a new one once something was changed since.

pyinfra has no fact cache (3.10): each `get_fact` is a remote command, and a round trip or three.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import replace

from gevent.lock import RLock
from pyinfra import logger
from pyinfra.api import Host

from webui_stack.model import docker_config
from webui_stack.model.survey import Survey
from webui_stack.ops import facts
from webui_stack.settings.sources import HiddenLines
from webui_stack.transport import program, remote, tunnel

# Older, and the host may have moved on by itself, or while somebody read the plan.
_FRESH_S = 30.0


class Observation:
    """A host's survey, made when it is first asked for.

    `host` is pyinfra's own object, good in any greenlet; `pyinfra.host` is good in those that pyinfra starts.
    """

    def __init__(self, host: Host, request: HiddenLines, daemon_json: str) -> None:
        self.host = host
        self._request = request
        # Texts of daemon.json by their SHA-256, to begin with the one that this project writes.
        self._daemon_jsons = {docker_config.sha256(daemon_json): daemon_json}
        self._survey: Survey | None = None
        self._changes = 0
        self._at = 0.0
        # Hosts of a swarm ask for each other's.
        self._turn = RLock()
        self.made_at_s = 0.0
        """When it was made, in seconds since the epoch, by this machine's clock."""
        self.bring_python: Callable[[Host], bool] | None = None
        """Brings Python to a host without one; False where that is left to the plan. A deploy sets it."""
        self.refused = ""
        """Why the program can't run on the host, as it was told; "" where it can."""
        self.lacks_python = False
        """Whether the host's Python is yet to come: nothing is known of it."""

    def survey(self) -> Survey:
        """The survey there is, unless an operation of this run changed something since, or 30 s have passed."""
        with self._turn:
            if self._survey is None or self._changes != self._count() or time.monotonic() - self._at > _FRESH_S:
                return self.renew()
            return self._survey

    @property
    def last(self) -> Survey | None:
        """The survey there is, however old."""
        return self._survey

    def renew(self) -> Survey:
        """A new survey, of now."""
        with self._turn:
            tunnel.send_at_once(self.host)
            self._changes, self._at, self.made_at_s = self._count(), time.monotonic(), time.time()
            self._survey = self._with_daemon_json(self._ask())
            return self._survey

    def _ask(self) -> Survey:
        """The program's answer.

        A host on which it can't run has failed. One whose Python is yet to come is as a bare one: `lacks_python`.
        """
        try:
            found = facts.ask_program(self.host, facts.Survey, self._has_brought_python, _stdin=self._request)
        except remote.RemoteError as error:
            if isinstance(error, program.NoPythonError) and self.lacks_python:
                return Survey()
            self.refused = facts.why(self.host, error)
            facts.fail(self.host, self.refused)
            return facts.Survey.unanswered
        return found

    def _has_brought_python(self, host: Host) -> bool:
        self.lacks_python = False
        if self.bring_python is None:
            return False
        brought = self.bring_python(host)
        self.lacks_python = not brought
        return brought

    def _with_daemon_json(self, found: Survey) -> Survey:
        """The survey with the text of daemon.json, which stays unknown where it could not be read.

        It may hold a secret, and pyinfra can show what a fact prints: so it is fetched apart, where it is not our own.
        """
        wanted = found.docker.sha256
        if wanted and wanted not in self._daemon_jsons:
            try:
                for line in remote.run(self.host, docker_config.READ):
                    self._remember(line)
            except Exception:
                logger.debug("daemon.json could not be read", exc_info=True)
        return replace(found, docker=replace(found.docker, text=self._daemon_jsons.get(wanted)))

    def _remember(self, line: str) -> None:
        try:
            text = base64.b64decode(line.strip(), validate=True).decode("utf-8", "surrogateescape")
        except binascii.Error:
            return  # the host's shell may print lines of its own
        self._daemon_jsons[docker_config.sha256(text)] = text

    def _count(self) -> int:
        """How many of the host's operations have run commands so far."""
        return sum(data.operation_meta.executed for data in self.host.state.ops[self.host].values())
