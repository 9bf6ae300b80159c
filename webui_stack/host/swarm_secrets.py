"""The stack's secrets and configs in a swarm, by names with a hash of their contents, which never change."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from .engine import Engine, EngineError, Named, NotFound, Refused
from .errors import HostError
from .files import Files
from .patience import Patience

LABEL = {"open-webui-stack": "made"}
_FILTER = "open-webui-stack=made"
# Open WebUI's variables, as a file that its replicas read.
ENVIRONMENT = "open-webui-env"
_THERE = 409


class SwarmSecrets:
    """Secrets are made of files in `folder`; those of Open WebUI are the `variables` in its `.env`."""

    def __init__(self, engine: Engine, patience: Patience, files: Files, folder: str, variables: Sequence[str]) -> None:
        self._engine, self._patience, self._files, self._folder = engine, patience, files, folder
        self._variables = re.compile(f"({'|'.join(map(re.escape, variables))})=".encode())

    def secrets(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Ensure the secrets are in the swarm as they are on this host. Returns their hashes.

        `wanted` has the variable of stack.yaml for each name. A secret without a file is left out: an earlier release
        may have none.
        """
        found = {}
        for name, variable in wanted.items():
            content = self._content(name)
            if content is None:
                continue
            found[variable] = _hash(content)
            full = f"open-webui-{name}-{found[variable]}"
            self._ensure(full, content, self._engine.secret, self._engine.create_secret)
        return found

    def configs(self, wanted: Mapping[str, str]) -> None:
        """Ensure the configs are in the swarm. `wanted` has a path below the folder by name.

        A config without a file is left out.
        """
        for name, path in wanted.items():
            content = self._files.read(f"{self._folder}/{path}")
            if content is not None:
                self._ensure(
                    f"open-webui-{name}-{_hash(content)}", content, self._engine.config, self._engine.create_config
                )

    def tidy(self) -> None:
        """Remove secrets and configs of earlier deploys. Docker refuses to remove one that is in use.

        Where Docker gives no answer, the next deploy does this.
        """
        with contextlib.suppress(EngineError):
            self._remove(self._engine.secrets(label=_FILTER), self._engine.remove_secret)
        with contextlib.suppress(EngineError):
            self._remove(self._engine.configs(label=_FILTER), self._engine.remove_config)

    def _ensure(self, name: str, content: bytes, look: Callable[[str], Named], make: Callable[..., str]) -> None:
        try:
            self._patience.ask(lambda: look(name))
        except NotFound:
            self._patience.ask(lambda: _made(make, name, content))

    def _content(self, name: str) -> bytes | None:
        if name != ENVIRONMENT:
            return self._files.read(f"{self._folder}/secrets/{name}")
        lines = (self._files.read(f"{self._folder}/.env") or b"").split(b"\n")
        found = b"".join(line + b"\n" for line in lines if self._variables.match(line))
        if not found:
            raise HostError(
                f"{self._folder}/.env", expected="Open WebUI's secrets in it", got="none", do="run deploy.py again"
            )
        return found

    @staticmethod
    def _remove(held: Iterable[Named], remove: Callable[[str], None]) -> None:
        for one in held:
            with contextlib.suppress(EngineError):
                remove(one.name)


def _made(make: Callable[..., str], name: str, content: bytes) -> None:
    try:
        make(name, content, labels=LABEL)
    except Refused as error:
        if error.status != _THERE:  # the answer to an earlier try was lost
            raise


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
