"""The settings of a host as its inventory has them: each by its own name, or all under one key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyinfra.api import Host

KEY = "open_webui_stack"
"""Of a dictionary of settings, for all hosts, a group or a host: `open_webui_stack = {"open_webui_port": 3001}`."""


class InventoryDataError(ValueError):
    """`open_webui_stack` is not a dictionary."""


def of_host(host: Host) -> dict[str, Any]:
    """What the inventory says about a host, without defaults.

    pyinfra takes a dictionary whole from the innermost place that has it (`pyinfra/api/host.py`, 3.10). Where any
    place has `open_webui_stack`, its keys are merged instead: all hosts, groups in the inventory's order, the host,
    `--data`. Other names are then somebody else's, but for settings on the command line. Raises `InventoryDataError`.
    """
    everything: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
    if KEY not in everything:
        return everything
    merged: dict[str, Any] = {}
    for place, data in _places(host):
        given = data.get(KEY, {})
        if not isinstance(given, Mapping):
            raise InventoryDataError(
                f"{KEY}: expected a dictionary of settings, got {type(given).__name__} ({place}); "
                f'write {KEY} = {{"open_webui_port": 3001}}'
            )
        merged.update(given)
    told = dict(host.inventory.override_data)
    told.pop(KEY, None)
    return {**merged, **told}


def _places(host: Host) -> list[tuple[str, Mapping[str, Any]]]:
    """The places that may have data of the host, the innermost last."""
    inventory = host.inventory
    groups = [(f"group {name}", inventory.group_data.get(name, {})) for name in host.groups]
    return [
        ("all hosts", inventory.data),
        *groups,
        (f"host {host.name}", inventory.host_data.get(host.name, {})),
        ("--data", inventory.override_data),
    ]
