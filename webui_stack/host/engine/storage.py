"""Volumes and networks of one host."""

from __future__ import annotations

from collections.abc import Mapping

from . import objects
from .errors import Asked
from .objects import Network, Volume
from .transport import Call, Transport, filters, named, understood

# A driver may have to unmount, or to ask other hosts.
CHANGE_S = 120.0


class Storage:
    """Calls on volumes and networks."""

    _transport: Transport

    def volumes(self, *, label: str | None = None) -> tuple[Volume, ...]:
        """The volumes there are. The volumes of a plug-in that gives no answer are missing: to know of one, ask
        `volume`."""
        call = Call("GET", "/volumes", {"filters": filters(label=label)})
        data = self._transport.json(call)
        with understood(call):
            return tuple(objects.volume(one) for one in data["Volumes"] or ())

    def volume(self, name: str) -> Volume:
        call = Call("GET", f"/volumes/{named(name)}", asked=Asked("volume", name))
        data = self._transport.json(call)
        with understood(call):
            return objects.volume(data)

    def create_volume(self, name: str, *, labels: Mapping[str, str] | None = None) -> None:
        """Ensure a volume of that name. An existing volume stays as it is, with its labels."""
        body = {"Name": name, "Labels": dict(labels or {})}
        self._transport.json(Call("POST", "/volumes/create", body=body, timeout_s=CHANGE_S))

    def remove_volume(self, name: str) -> None:
        """Remove it with its contents. Refused (409) where a container uses it, also one that does not run."""
        self._transport.json(
            Call("DELETE", f"/volumes/{named(name)}", asked=Asked("volume", name), timeout_s=CHANGE_S),
        )

    def networks(self, *, label: str | None = None) -> tuple[Network, ...]:
        """The networks there are, without the containers in them: `network` tells those."""
        call = Call("GET", "/networks", {"filters": filters(label=label)})
        data = self._transport.json(call)
        with understood(call):
            return tuple(objects.network(one) for one in data)

    def network(self, name: str) -> Network:
        call = Call("GET", f"/networks/{named(name)}", asked=Asked("network", name))
        data = self._transport.json(call)
        with understood(call):
            return objects.network(data)

    def create_network(
        self, name: str, *, internal: bool = False, subnet: str = "", labels: Mapping[str, str] | None = None
    ) -> None:
        """Make a bridge of that name; `internal` leads nowhere else. Refused (409) where there is one of that name."""
        body: dict[str, object] = {
            "Name": name,
            "Driver": "bridge",
            "Internal": internal,
            "Labels": dict(labels or {}),
            "CheckDuplicate": True,  # below API 1.44 there may be two of one name else
        }
        if subnet:
            body["IPAM"] = {"Config": [{"Subnet": subnet}]}
        self._transport.json(Call("POST", "/networks/create", body=body, timeout_s=CHANGE_S))

    def remove_network(self, name: str) -> None:
        """Refused (403) while a container runs in it."""
        self._transport.json(
            Call("DELETE", f"/networks/{named(name)}", asked=Asked("network", name), timeout_s=CHANGE_S),
        )
