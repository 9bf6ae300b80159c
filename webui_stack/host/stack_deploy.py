"""`docker stack deploy`, with what stack.yaml leaves open: images by their ids, secrets and files by their hashes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from .clock import Clock
from .engine import Engine, Unavailable
from .errors import HostError
from .patience import Patience
from .stack_file import StackFile
from .system import System

_LIMIT_S = 300.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# To ask again does not help then.
_MISSING = re.compile(r"o such (service|image): |from daemon: .* not found|could not be found")


class StackDeploy:
    """Deploys the stack called `stack`. Nodes with `web_label` take replicas of Open WebUI.

    The program inherits `descriptors`: locks that it holds as well.
    """

    def __init__(
        self,
        system: System,
        engine: Engine,
        clock: Clock,
        patience: Patience,
        file: StackFile,
        stack: str,
        web_label: str,
        descriptors: Sequence[int] = (),
    ) -> None:
        self._system, self._engine, self._clock, self._patience = system, engine, clock, patience
        self._file, self._stack, self._web_label, self._descriptors = file, stack, web_label, descriptors

    def deploy(self, given: Mapping[str, str], replicas: int) -> float:
        """Ensure the swarm is told of the stack, with so many `replicas` of Open WebUI; services not in it are removed.

        `given` are the variables of stack.yaml. Returns when it was told, in seconds since 1970, before anything runs.
        """
        wanted = self._file.replicas()
        nodes = self._patience.ask(lambda: self._engine.nodes(label=f"{self._web_label}=true"))
        able = sum(node.able for node in nodes)
        # Where every node has a replica already, the next one makes room first: two might end up on one node.
        order = "start-first" if wanted == 1 or able > wanted else "stop-first"
        since_s = float(int(self._clock.now()))
        environment = {
            # Nothing else: a variable of this process must not get into the stack.
            "PATH": os.environ.get("PATH", _PATH),
            "HOME": os.environ.get("HOME", "/root"),
            **given,
            "OPEN_WEBUI_REPLICAS": str(replicas),
            "OPEN_WEBUI_ORDER": order,
        }
        self._patience.ask(lambda: self._run(environment))
        return since_s

    def _run(self, environment: Mapping[str, str]) -> None:
        command = ["docker", "stack", "deploy"]
        for path in self._file.paths():
            command += ["--compose-file", path]
        command.append("--prune")
        # Images have ids, so no registry is asked; what becomes of the services is looked at by this program.
        command += ["--resolve-image", "never", "--detach=true", self._stack]
        ended = self._system.carry_out(
            *command, environment=environment, limit_s=_LIMIT_S, descriptors=self._descriptors
        )
        if not ended.status:
            return
        said = " ".join((ended.errors or ended.output).split()) or f"exit status {ended.status}"
        if _MISSING.search(said):
            raise HostError("docker", expected="to deploy the stack", got=said, do="fix that, and run this again")
        raise Unavailable("docker stack deploy", said)
