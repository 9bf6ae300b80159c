"""Facts: observe a host in one remote command each. Parsing is in the pure modules."""

from __future__ import annotations

import json
import shlex
from typing import Any

from pyinfra.api import FactBase, FactProcessError
from typing_extensions import override

from webui_stack import adoption, compose, engine, lock, machine, symptoms

# A script on stdin; nothing the host exports (REDIS_URL, COMPOSE_FILE) gets into it.
_CLEAN_SHELL = 'env -i PATH="$PATH" HOME="${HOME:-/root}" sh -s'


class Machine(FactBase[machine.Machine]):
    """Operating system, architecture, privileges, free memory and disk, clock."""

    command = staticmethod(lambda: machine.COMMAND)

    @override
    def process(self, output: list[str]) -> machine.Machine:
        return machine.parse(output)

    @staticmethod
    @override
    def default() -> machine.Machine:
        return machine.parse([])


class Engine(FactBase[engine.Engine]):
    """Docker and Compose versions, engine processes, installed packages, daemon.json."""

    command = staticmethod(lambda: engine.COMMAND)

    @override
    def process(self, output: list[str]) -> engine.Engine:
        return engine.parse(output)

    @staticmethod
    @override
    def default() -> engine.Engine:
        return engine.Engine()


class DockerNetwork(FactBase[dict[str, Any] | None]):
    """`docker network inspect` of one network, or None where there is no such network or no engine."""

    def command(self, network: str) -> str:
        return f"docker network inspect {shlex.quote(network)} 2>/dev/null || true"

    @override
    def process(self, output: list[str]) -> dict[str, Any] | None:
        try:
            found = json.loads("\n".join(output))
        except json.JSONDecodeError as error:
            raise FactProcessError(f"docker network inspect: expected JSON, got {error}") from None
        return found[0] if found else None


class _Observation(FactBase[compose.Observed]):
    """Output for `compose.parse`, whichever command it comes from."""

    @override
    def process(self, output: list[str]) -> compose.Observed:
        return compose.parse(output)

    @staticmethod
    @override
    def default() -> compose.Observed:
        return compose.Observed()


class Project(_Observation):
    """What of the stack is there: containers, images, network; see `compose.parse`."""

    def command(self, images: list[str], probe: bool = False) -> str:
        return compose.observe_command(images, probe=probe)


class Services(_Observation):
    """The same with the hash of each service as it is wanted, from `templates.observe_script` on stdin (`_stdin=`)."""

    command = staticmethod(lambda: f"{_CLEAN_SHELL} observe")


class Running(FactBase[lock.Running]):
    """What the stack's containers were made of, and the versions of Docker's packages."""

    command = staticmethod(lambda: lock.OBSERVE)

    @override
    def process(self, output: list[str]) -> lock.Running:
        return lock.parse_running(output)

    @staticmethod
    @override
    def default() -> lock.Running:
        return lock.Running()


class HeldImages(FactBase[dict[str, lock.Held]]):
    """Which of the locked images the host has, and what their references mean there."""

    def command(self, images: list[lock.Wanted]) -> str:
        return lock.look_command(images)

    @override
    def process(self, output: list[str]) -> dict[str, lock.Held]:
        return lock.parse_held(output)

    @staticmethod
    @override
    def default() -> dict[str, lock.Held]:
        return {}


class HandMade(FactBase[adoption.HandMade]):
    """What somebody gave a container open-webui of their own: variables (names only), ports; and its version."""

    command = staticmethod(lambda: adoption.COMMAND)

    @override
    def process(self, output: list[str]) -> adoption.HandMade:
        return adoption.parse(output)

    @staticmethod
    @override
    def default() -> adoption.HandMade:
        return adoption.parse([])


class Symptoms(FactBase[symptoms.Observed]):
    """What doctor looks at, from `templates.doctor_script` on stdin (`_stdin=`)."""

    command = staticmethod(lambda: f"{_CLEAN_SHELL} doctor")

    @override
    def process(self, output: list[str]) -> symptoms.Observed:
        return symptoms.parse(output)

    @staticmethod
    @override
    def default() -> symptoms.Observed:
        return symptoms.Observed()


class Files(FactBase[dict[str, str]]):
    """Contents of regular files that are root's and 0644, by path; any other file counts as absent.

    A file of another mode or owner is thereby one that has to be written again.
    """

    def command(self, paths: list[str]) -> str:
        return (
            "\n".join(
                f"if [ \"$(stat -c '%F %a %u %g' {path} 2>/dev/null)\" = 'regular file 644 0 0' ]; "
                f"then echo {shlex.quote('file ' + raw)}; sed 's/^/|/' {path}; fi"
                for raw in paths
                for path in [shlex.quote(raw)]
            )
            + "\ntrue"
        )

    @override
    def process(self, output: list[str]) -> dict[str, str]:
        contents: dict[str, str] = {}
        path = ""
        for line in output:
            if line.startswith("file "):
                path = line.removeprefix("file ")
                contents[path] = ""
            else:
                contents[path] += line.removeprefix("|") + "\n"
        return contents

    @staticmethod
    @override
    def default() -> dict[str, str]:
        return {}


class StaleSecrets(FactBase[list[str]]):
    """What the secrets script would do: `content PATH` or `mode PATH` a line, or `refused WHY`.

    The script comes on stdin (`_stdin=`), so it is never shown.
    """

    command = staticmethod(lambda: f"{_CLEAN_SHELL} check")

    @override
    def process(self, output: list[str]) -> list[str]:
        return output

    @staticmethod
    @override
    def default() -> list[str]:
        return []
