"""This machine as a host, for what runs commands: pyinfra's `@local`."""

from __future__ import annotations

from typing import Any

from pyinfra import api
from pyinfra.api import Host

from tests import connectors


def local_host() -> Host:
    """This machine, connected."""
    pyinfra: Any = api
    connectors.keep()
    state = pyinfra.State(pyinfra.Inventory((["@local"], {})), pyinfra.Config())
    found: Host = state.inventory.get_host("@local")
    found.connect()
    return found
