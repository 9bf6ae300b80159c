"""pyinfra's connectors, looked up once in a process."""

from __future__ import annotations

import functools
import importlib


def keep() -> None:
    """Ensure this process has read the entry points of all installed packages; pyinfra 3.10 does it six times a run."""
    connectors = importlib.import_module("pyinfra.api.connectors")
    if hasattr(connectors.entry_points, "cache_info"):
        return
    for name in ("entry_points", "_load_connector"):
        setattr(connectors, name, functools.cache(getattr(connectors, name)))
    connectors.get_all_connectors()
