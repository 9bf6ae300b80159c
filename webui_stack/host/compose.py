"""Docker Compose on this host: its version, its changes, and what it says of a project that is wanted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence

from .errors import HostError
from .files import Files
from .records import dataclass, field
from .stack import OVERLAY
from .system import System, which

# Where the docker command looks for plug-ins (docker/cli, cli-plugins/manager).
_PLUGINS = ("/usr/local/lib/docker", "/usr/local/libexec/docker", "/usr/lib/docker", "/usr/libexec/docker")
# What compose takes beside its wait: it stops containers, which may take a minute each, and makes others.
_CHANGE_S = 600.0
# A question reads files, and asks nothing of Docker.
_ANSWER_S = 60.0
# A shorter value is in too many words to be taken out of them.
_HIDDEN_LENGTH = 8


class Compose:
    """`docker compose` for the project in a folder, by its `compose.yaml`, overlay and `.env` as they are there.

    `wait_s` is how long services may take until they are healthy. Compose inherits `descriptors`, those of the locks:
    they are held until it ends, though this program was killed. `tell` gets each line that a change printed, without
    secrets. Every method raises `HostError` where compose fails or does not end in time.
    """

    def __init__(
        self,
        system: System,
        files: Files,
        folder: str,
        *,
        wait_s: int,
        descriptors: Sequence[int] = (),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder, self.wait_s = folder, wait_s
        self._system, self._files, self._descriptors, self._tell = system, files, descriptors, tell

    def up(self, *services: str) -> None:
        """Ensure the services, all by default, are as the file says and healthy. No image is pulled."""
        wait = ("--wait", "--wait-timeout", str(self.wait_s))
        self._change("up", "--detach", *wait, "--pull", "never", *services, limit_s=self.wait_s + _CHANGE_S)

    def restart(self, service: str, *, alone: bool = False) -> None:
        """Stop and start a service's container; `alone` leaves those that depend on it."""
        self._change("restart", *(["--no-deps"] if alone else []), service, limit_s=_CHANGE_S)

    def remove(self, service: str) -> None:
        """Ensure a service has no container. Its volumes stay."""
        self._change("rm", "--stop", "--force", service, limit_s=_CHANGE_S)

    def services(self) -> list[str]:
        """The services that the file has: one at least."""
        found = self._ask("config", "--services").split()
        if not found:
            raise HostError(
                f"{self.folder}/compose.yaml", expected="services in it", got="none", do="run deploy.py again"
            )
        return found

    def hashes(self) -> dict[str, str]:
        """Compose's hash of each service: a container with another one is not as the file says."""
        lines = [line.split() for line in self._ask("config", "--hash", "*").splitlines() if line]
        if not lines or any(len(words) != 2 for words in lines):
            raise HostError("compose", expected="a hash of each service", got="something else", do="run this again")
        return dict(lines)

    def version(self) -> str:
        """Compose's version, such as "2.26.1"."""
        found = version(self._system)
        if not found:
            raise HostError(
                "compose", expected="its version", got="none", do="run `docker compose version` on the host"
            )
        return found

    # --- Below

    def _change(self, *arguments: str, limit_s: float) -> None:
        self._run(arguments, limit_s, self._tell)

    def _ask(self, *arguments: str) -> str:
        return self._run(arguments, _ANSWER_S, lambda _: None)

    def _run(self, arguments: Sequence[str], limit_s: float, tell: Callable[[str], None]) -> str:
        # The file is named, so that nobody's override file beside it is read. Of the environment, what compose finds
        # in it would win over `.env` (seen with 2.26).
        command = ["docker", "compose", "--project-directory", self.folder, "--file", f"{self.folder}/compose.yaml"]
        if self._files.exists(f"{self.folder}/{OVERLAY}"):
            command += ["--file", f"{self.folder}/{OVERLAY}"]
        ended = self._system.carry_out(
            *command, *arguments, environment=_own(), limit_s=limit_s, descriptors=self._descriptors
        )
        lines = self._without_secrets(ended.errors + ended.output).splitlines() if ended.status or ended.errors else []
        for line in lines:
            tell(line)
        if ended.status:
            last = "".join(f": {line}" for line in [one.strip() for one in lines if one.strip()][-1:])
            expected = f"`docker compose {arguments[0]}` to succeed"
            got = f"exit status {ended.status}{last}"
            raise HostError("compose", expected=expected, got=got, do="see the lines above, and run this again")
        return ended.output

    def _without_secrets(self, text: str) -> str:
        """Of a broken `.env` compose quotes what it does not understand (godotenv: "near ...")."""
        for value in sorted(self._secrets(), key=len, reverse=True):
            if len(value) >= _HIDDEN_LENGTH:
                text = text.replace(value, "***")
        return text

    def _secrets(self) -> set[str]:
        found = set(_env_values(self._files.read(f"{self.folder}/.env")))
        for name in self._files.listdir(f"{self.folder}/secrets") or []:
            text = self._files.read(f"{self.folder}/secrets/{name}") or b""
            found.update(line.strip() for line in text.decode("utf-8", "replace").splitlines())
        return found


def _env_values(text: bytes | None) -> list[str]:
    lines = (text or b"").decode("utf-8", "replace").split("\n")
    return [line.partition("=")[2].strip("'\" \r") for line in lines if not line.startswith("#")]


def _own() -> dict[str, str]:
    """What of this program's environment compose gets."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


@dataclass(frozen=True)
class Known:
    """What compose said when the last deploy was good, and of which inputs: it takes compose long to say it."""

    version: str = ""
    key: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)


def known(system: System, good: str) -> Known:
    """What was remembered, as long as docker and compose are the same programs; else nothing.

    Nothing of a damaged file, either: then compose is asked again.
    """
    lines = [line.partition(" ")[::2] for line in system.text(f"{good}/known").splitlines()]
    words = dict(lines)
    hashes = [value.split() for name, value in lines if name == "hash"]
    if words.get("programs", "-") != programs() or any(len(words) != 2 for words in hashes):
        return Known()
    return Known(words.get("compose", ""), words.get("key", ""), dict(hashes))


def programs() -> str:
    """Which docker and compose there are, told by their files, as earlier versions noted it."""
    home = os.environ.get("HOME", "/root")
    paths = [f"{place}/cli-plugins/docker-compose" for place in (f"{home}/.docker", *_PLUGINS)]
    lines = []
    docker = which("docker")
    for path in ([docker] if docker else []) + paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        lines.append(f"{path} {found.st_size} {int(found.st_mtime)}\n")
    return f"{hashlib.sha256(''.join(lines).encode()).hexdigest()}  -"


def remembered(compose: Compose, file: bytes, env: bytes) -> str:
    """What is remembered of a project that is good, for `known`.

    `file` is its `compose.yaml` with its overlay behind it, `env` its `.env`.
    """
    hashes = "".join(f"hash {service} {sha256}\n" for service, sha256 in compose.hashes().items())
    inputs = hashlib.sha256(file + env).hexdigest()
    return f"programs {programs()}\ncompose {compose.version()}\nkey {inputs}  -\n{hashes}"


def key(file: str, env: str) -> str:
    """What tells a compose file, its overlay behind it, with its environment from any other."""
    text = f"{file}{env}\n"
    return f"{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()}  -"


def image_of(definition: str, container: str) -> str:
    """The image that a compose.yaml of ours names for a container; "" where it has none of that name."""
    image = ""
    for line in definition.splitlines():
        name, _, value = line.strip().partition(": ")
        if name == "image":
            image = value.strip("\"'")
        elif name == "container_name" and value == container:
            return image
    return ""


def version(system: System) -> str:
    """Compose's version, "" where docker has no such plug-in."""
    return (system.attempt("docker", "compose", "version", "--short") or "").strip().lstrip("v")


def hashes(system: System, folder: str, file: str, env: str, overlay: str = "") -> dict[str, str]:
    """What compose says about each service of a file and an overlay that are not on the host yet, with these variables.

    They are given in the environment, which wins over `.env`, and which only root can see, unlike arguments. None of
    a file that compose refuses, as one from before the deploy may do.
    """
    command = ["docker", "compose", "--project-directory", folder, "--file", "-"]
    with os.fdopen(os.memfd_create("overlay"), "wb") as second:  # stdin has the first one
        if overlay:
            second.write(overlay.encode("utf-8", "surrogateescape"))
            second.flush()
            command += ["--file", f"/proc/{os.getpid()}/fd/{second.fileno()}"]
        said = system.attempt(
            *command, *("config", "--hash", "*"), stdin=file, environment={**_own(), **variables(env)}
        )
    return dict(line.split() for line in (said or "").splitlines())


def variables(env: str) -> dict[str, str]:
    """The variables of an environment file of ours: each value is in single quotes."""
    # Not `splitlines`, which also ends a line at what a value may hold, such as U+2028.
    lines = (line.partition("=") for line in env.split("\n") if line and not line.startswith("#"))
    return {name: value[1:-1] for name, _, value in lines}
