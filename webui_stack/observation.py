"""What is known of a host in this run: one survey, and a new one once something was changed since.

pyinfra has no fact cache (3.10): each `get_fact` is a remote command, and a round trip or three.
"""

from __future__ import annotations

import time

from gevent.lock import RLock
from pyinfra.api import Host

from webui_stack import facts, tunnel
from webui_stack.secrets import HiddenLines
from webui_stack.survey import Survey

# Older, and the host may have moved on by itself, or while somebody read the plan.
_FRESH_S = 30.0


class Observation:
    """A host's survey, made when it is first asked for.

    `host` is pyinfra's own object, good in any greenlet; `pyinfra.host` is good in those that pyinfra starts.
    """

    def __init__(self, host: Host, script: HiddenLines) -> None:
        self.host = host
        self._script = script
        self._survey: Survey | None = None
        self._changes = 0
        self._at = 0.0
        # Hosts of a swarm ask for each other's.
        self._turn = RLock()
        self.made_at_s = 0.0
        """When it was made, in seconds since the epoch, by this machine's clock."""

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
            self._survey = self.host.get_fact(facts.Survey, _stdin=self._script)
            return self._survey

    def _count(self) -> int:
        """How many of the host's operations have run commands so far."""
        return sum(data.operation_meta.executed for data in self.host.state.ops[self.host].values())
