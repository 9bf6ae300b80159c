"""Compose on a Docker in memory: as far as it acts on containers. It reads the compose.yaml that is in the folder.

Where an overlay is beside it, what that says of a service is added to it, as compose does (tests/lab/test_overlay.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.host.fake_docker import Docker, Held
from tests.host.fake_engine import REFUSED, UNAVAILABLE
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.faults import Faults
from webui_stack.host.compose import Compose, variables
from webui_stack.host.engine import EngineError, NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.stack import FOLDER_LABEL, OVERLAY
from webui_stack.host.system import System

VERSION = "2.26.1"
_SERVICE_LABEL, _HASH_LABEL = "com.docker.compose.service", "com.docker.compose.config-hash"
_FILES_LABEL = "com.docker.compose.project.config_files"


@dataclass(frozen=True)
class Service:
    name: str
    image: str
    container: str
    text: str

    @property
    def volumes(self) -> list[str]:
        """As "redis-data:/data": the names of volumes are their own."""
        return re.findall(r"(?m)^      - ([a-z-]+:/.*)$", self.text)

    @property
    def env(self) -> dict[str, str]:
        return dict(re.findall(r"(?m)^      ([A-Z_]+): (.*)$", self.text))

    @property
    def labels(self) -> dict[str, str]:
        return dict(re.findall(r"(?m)^      (open-webui-stack\.[a-z-]+): (.*)$", self.text))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def definition(*services: tuple[str, str, str], more: str = "") -> str:
    """The text of a compose.yaml, with services by name, image and container, as far as the host's program reads it."""
    parts = [
        f"  {name}:\n    image: {image}\n    container_name: {container}\n{more}" for name, image, container in services
    ]
    return "services:\n" + "\n".join(parts)


class FakeCompose(Compose):
    """Each call counts as one of `faults`. What `changes` holds are the calls that were made to change something."""

    def __init__(self, docker: Docker, kernel: FakeKernel, faults: Faults, folder: str) -> None:
        super().__init__(System(), FakeFiles(kernel), folder, wait_s=120)
        self._docker, self._kernel, self._faults = docker, kernel, faults
        self.changes: list[str] = []

    def services(self) -> list[str]:
        with self._call("services"):
            return [one.name for one in self._read()]

    def hashes(self) -> dict[str, str]:
        with self._call("hashes"):
            return {one.name: one.sha256 for one in self._read()}

    def version(self) -> str:
        with self._call("version"):
            return VERSION

    def up(self, *services: str) -> None:
        with self._call(f"up {' '.join(services)}".strip(), changes=True):
            for one in self._read():
                if not services or one.name in services:
                    self._up(one)

    def restart(self, service: str, *, alone: bool = False) -> None:
        with self._call(f"restart {service}{' alone' if alone else ''}", changes=True):
            one = self._docker.named(self._service(service).container)
            if one.runs:
                self._docker.stop(one, graceful=True)
            self._docker.start(one)

    def remove(self, service: str) -> None:
        with self._call(f"remove {service}", changes=True):
            for one in list(self._docker.held.values()):
                labels = one.new.labels
                if (labels.get(FOLDER_LABEL), labels.get(_SERVICE_LABEL)) == (self.folder, service):
                    if one.runs:
                        self._docker.stop(one, graceful=True)
                    self._docker.drop(one)

    # --- Below

    def _call(self, name: str, *, changes: bool = False) -> AbstractContextManager[None]:
        if changes:
            self.changes.append(name)
        errors: dict[str, Callable[[], Exception]] = {UNAVAILABLE: _failed(name), REFUSED: _failed(name)}
        return self._faults.call(f"compose: {name}", changes=changes, errors=errors, lost=UNAVAILABLE)

    def _read(self) -> list[Service]:
        blocks: dict[str, str] = {}
        for file in self._file_names():
            for block in re.split(r"(?m)^  (?=\S)", self._text(file))[1:]:
                name, _, rest = block.partition(":")
                blocks[name] = blocks[name] + rest if name in blocks else block
        found = []
        for name, block in blocks.items():
            image, container = (re.search(rf"{key}: (\S+)", block) for key in ("image", "container_name"))
            assert image
            found.append(Service(name, image[1], container[1] if container else f"open-webui-{name}-1", block))
        return found

    def _file_names(self) -> list[str]:
        files = [f"{self.folder}/compose.yaml", f"{self.folder}/{OVERLAY}"]
        return files if FakeFiles(self._kernel).exists(files[1]) else files[:1]

    def _text(self, path: str) -> str:
        """A file with the variables of `.env` in their places."""
        text = self._kernel.find(path).data.decode()
        if "${" not in text:
            return text
        values = variables(self._kernel.find(f"{self.folder}/.env").data.decode())
        return re.sub(r"\$\{(\w+)\}", lambda place: values[place[1]], text)

    def _service(self, name: str) -> Service:
        return next(one for one in self._read() if one.name == name)

    def _up(self, one: Service) -> None:
        """As compose does: what is as the file says, and of the image that the tag means now, stays."""
        image = self._docker.find_image(one.image)
        there = [held for held in self._docker.held.values() if held.name == one.container]
        for held in there:
            if held.new.labels.get(FOLDER_LABEL) != self.folder:
                raise _failed(f"up {one.name}")()  # the name is taken
            if (held.new.labels.get(_HASH_LABEL), held.image_id) != (one.sha256, image.id):
                if held.runs:
                    self._docker.stop(held, graceful=True)
                self._docker.drop(held)
        there = [held for held in there if held.id in self._docker.held]
        if not there:
            labels = {FOLDER_LABEL: self.folder, _SERVICE_LABEL: one.name, _HASH_LABEL: one.sha256, **one.labels}
            labels[_FILES_LABEL] = ",".join(self._file_names())
            new = NewContainer(
                one.image, env=one.env, labels=labels, volumes=one.volumes, restart_policy="unless-stopped"
            )
            there = [self._docker.make(one.container, new)]
        (held,) = there
        self._start(held)

    def _start(self, held: Held) -> None:
        try:
            self._docker.start(held)
        except EngineError:
            raise _failed(f"up {held.name}")() from None
        if self._docker.shown(held).health not in ("healthy", ""):
            raise _failed(f"up {held.name}")()


def _failed(name: str) -> Callable[[], HostError]:
    command = f"`docker compose {name}` to succeed"
    return lambda: HostError("compose", expected=command, got="exit status 1", do="fix that, and run this again")
