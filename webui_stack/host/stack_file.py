"""What stack.yaml in a stack's folder says, as far as a deploy to a swarm needs to know it, and its overlay."""

from __future__ import annotations

import re

from . import digits
from .errors import HostError
from .files import Files
from .stack import OVERLAY

NAME = "stack.yaml"
_SERVICES = re.compile(r"(?ms)^services:\n(.*?)(?=^[a-z]+:$|\Z)")
_SERVICE = re.compile(r"(?m)^  ([a-z-]+):$")
_OF_OVERLAY = re.compile(r"(?m)^x-overlay-services: \[(.*)\]$")
_REPLICAS = re.compile(r'(?m)^ *open-webui-stack\.replicas: "(.*)"$')


class StackFile:
    """The file as it is now: of a release that comes back it may be another than the settings'."""

    def __init__(self, files: Files, folder: str) -> None:
        self._files, self.folder = files, folder
        self.path = f"{folder}/{NAME}"

    def paths(self) -> list[str]:
        """The files that the swarm is given, in the order in which it merges them."""
        overlay = f"{self.folder}/{OVERLAY}"
        return [self.path, *([overlay] if self._files.exists(overlay) else [])]

    def services(self) -> list[str]:
        """The services that have to run: one at least. Docker's own list may lack one, and nobody would wait for it."""
        section = _SERVICES.search(self._text())
        found = _SERVICE.findall(section[1]) if section else []
        if not found:
            raise HostError(NAME, expected="services in it", got="none", do="run deploy.py again")
        return [*found, *self.of_overlay()]

    def of_overlay(self) -> list[str]:
        """The services that only the overlay has: this program reads no YAML, so stack.yaml names them."""
        found = _OF_OVERLAY.search(self._text())
        return re.findall('"([^"]+)"', found[1]) if found else []

    def replicas(self) -> int:
        """How many replicas Open WebUI is to have once all is deployed."""
        found = _REPLICAS.search(self._text())
        number = digits.whole(found[1]) if found else None
        if number is None:
            raise HostError(NAME, expected="the number of Open WebUI's replicas", got="none", do="run deploy.py again")
        return number

    def _text(self) -> str:
        return self._files.read_text(self.path) or ""
