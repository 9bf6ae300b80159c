"""Settings that several tests give, and the problems of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.defaults import settings
from webui_stack.settings.errors import SettingsError

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def problems(**changes: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings(**changes)
    return caught.value.problems


MANY: dict[str, Any] = {"open_webui_replicas": 3, "public_url": "https://chat.example.org"}

SWARM: dict[str, Any] = {"topology": "swarm", "open_webui_shared_dir": "/mnt/chat"}
