"""The throw-away stack of a drill: containers, volumes and a network of its own beside the live stack.

Its network leads nowhere, and it publishes no port. All that it has goes by these names, and has the label as well.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from .clock import Clock
from .data.helper import Helper, remove
from .engine import Engine, NewContainer, NotFound, Refused
from .errors import HostError

OPEN_WEBUI, POSTGRES, VALKEY = "open-webui-drill", "open-webui-postgres-drill", "redis-valkey-drill"
"""Its containers."""
HELPER = "open-webui-stack-drill"
"""The container of a program that works on its data."""
OPEN_WEBUI_DATA, POSTGRES_DATA, VALKEY_DATA = "open-webui-drill", "open-webui-postgres-drill", "redis-data-drill"
"""Its volumes."""
CONTAINERS = (OPEN_WEBUI, POSTGRES, VALKEY, HELPER)
VOLUMES = (OPEN_WEBUI_DATA, POSTGRES_DATA, VALKEY_DATA)
NETWORK = "openwebui-network-drill"
LABEL = "open-webui-stack.drill"
_LABELS = {LABEL: "yes"}
# Where memory runs out, the kernel ends these processes first, and none of the live stack's.
_OOM_SCORE_ADJ = 1000


class ThrowAway:
    """The throw-away stack of this host. The caller holds the lock on the data: there is one such stack at a time."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self.helper = Helper(engine, clock, HELPER)

    def clear_away(self) -> None:
        """Ensure nothing of a drill is there. Nothing happens where that is so.

        Fails where Docker does not say so; and, once all the rest is gone, where it refuses to remove something.
        """
        refused: list[str] = []
        # First: that of a drill that was killed may be at work on a volume.
        self._remove(f"container {HELPER}", self.helper.end, refused)
        for name in (OPEN_WEBUI, POSTGRES, VALKEY):
            self._remove(f"container {name}", partial(remove, self._engine, self._clock, name), refused)
        for name in VOLUMES:
            self._remove(f"volume {name}", partial(self._engine.remove_volume, name), refused)
        self._remove(f"network {NETWORK}", lambda: self._engine.remove_network(NETWORK), refused)
        if refused:
            do = "fix that, and run runbooks/drill.py"
            raise HostError("drill", expected="nothing left of a drill", got="; ".join(refused), do=do)

    def make_network(self) -> None:
        self._engine.create_network(NETWORK, internal=True, labels=_LABELS)

    def make_volume(self, name: str) -> None:
        self._engine.create_volume(name, labels=_LABELS)

    def run(self, name: str, alias: str, new: NewContainer) -> None:
        """Start a container that the others reach as `alias`.

        It has no more rights than in templates/compose.yaml.j2: what needs more has to fail here.
        """
        mine = replace(
            new,
            labels=_LABELS,
            network=NETWORK,
            aliases=[alias],
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            oom_score_adj=_OOM_SCORE_ADJ,
        )
        self._engine.create(name, mine)
        self._engine.start(name)

    @staticmethod
    def _remove(what: str, order: Callable[[], None], refused: list[str]) -> None:
        try:
            with suppress(NotFound):
                order()
        except Refused as error:
            refused.append(f"{what} ({error.message})")
