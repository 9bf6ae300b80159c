"""The client's methods on a Docker in memory, each a call that can fail or be the last thing the program did."""

# ruff: noqa: ARG002 - the parameters are those of the real client

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import BinaryIO

from tests.host.fake_docker import Docker, Held, Process, full, labelled
from tests.host.fake_swarm import FakeSwarm, of_service
from tests.host.faults import Faults
from webui_stack.host.client_config import registry_of
from webui_stack.host.engine import (
    Container,
    Engine,
    EngineError,
    Event,
    Image,
    Info,
    Listed,
    Named,
    Network,
    NewContainer,
    Node,
    NotFound,
    Output,
    ProgramFailed,
    Refused,
    Service,
    Task,
    Unavailable,
    Version,
    Volume,
)
from webui_stack.host.engine.images import Login, split

UNAVAILABLE, REFUSED, FAILED = "unavailable", "refused", "program failed"
# The name that Docker gives to a volume without one.
_NAMELESS = re.compile(r"[0-9a-f]{64}")
_Errors = Mapping[str, Callable[[], Exception]]


class FakeEngine(Engine):
    """One process's way to `docker` and `swarm`, which outlive it.

    Every call can give Unavailable and Refused; a program in a container can fail. NotFound is only ever given where it
    is true: Docker does not say so of what is there.
    """

    def __init__(
        self, docker: Docker | None = None, swarm: FakeSwarm | None = None, faults: Faults | None = None
    ) -> None:
        self.docker = docker or Docker()
        self.swarm = swarm or FakeSwarm(self.docker)
        self.faults = faults or Faults()

    # --- The engine itself

    def ping(self) -> str:
        with self._call("ping"):
            return "1.47"

    def version(self) -> Version:
        with self._call("version"):
            return Version("27.5.1", "1.47", "1.24")

    def info(self) -> Info:
        with self._call("info"):
            return Info(
                id="E1",
                hostname="host",
                version="27.5.1",
                root="/var/lib/docker",
                live_restore=self.docker.live_restore,
                log_driver="json-file",
                storage_driver="overlay2",
                containers_running=sum(one.runs for one in self.docker.held.values()),
                containers=len(self.docker.held),
                member=self.swarm.member,
            )

    def firewall_backend(self) -> str:
        with self._call("firewall_backend"):
            return self.docker.firewall_backend

    def events(
        self, *, since_s: float, until_s: float, kind: str | None = None, label: str | None = None
    ) -> Iterator[Event]:
        with self._call("events"):
            seen = [one for one in self.docker.events if since_s <= one.time_s <= until_s and kind in (None, one.kind)]
        yield from (one for one in seen if label is None or labelled(one.attributes, label))

    # --- Containers

    def containers(
        self,
        *,
        label: str | None = None,
        network: str | None = None,
        volume: str | None = None,
        image: str | None = None,
    ) -> tuple[Container, ...]:
        with self._call("containers"):
            wanted = image
            if image:
                with contextlib.suppress(NotFound):
                    wanted = self.docker.find_image(image).id
            return tuple(
                self.docker.shown(one)
                for one in self.docker.held.values()
                if (label is None or labelled(one.new.labels, label))
                and (network is None or network in one.networks)
                and (volume is None or volume in one.volumes)
                and (wanted is None or one.image_id == wanted)
            )

    def running(self) -> tuple[Listed, ...]:
        with self._call("running"):
            shown = (self.docker.shown(one) for one in self.docker.held.values() if one.runs)
            return tuple(Listed(one.name, one.labels, one.ports) for one in shown)

    def listed(self) -> tuple[Listed, ...]:
        with self._call("listed"):
            shown = (self.docker.shown(one) for one in reversed(self.docker.held.values()))
            return tuple(Listed(one.name, one.labels, one.ports) for one in shown)

    def container(self, name: str) -> Container:
        with self._call(f"container {name}"):
            return self.docker.shown(self.docker.named(name))

    def create(self, name: str, new: NewContainer) -> str:
        with self._call(f"create {name}", changes=True):
            return self.docker.make(name, new).id

    def start(self, name: str) -> None:
        with self._call(f"start {name}", changes=True):
            self.docker.start(self.docker.named(name))

    def stop(self, name: str, *, timeout_s: int | None = None) -> None:
        with self._call(f"stop {name}", changes=True):
            one = self.docker.named(name)
            if one.runs:
                self.docker.stop(one, graceful=True)

    def kill(self, name: str, *, signal: str = "KILL") -> None:
        with self._call(f"kill {name}", changes=True):
            self.docker.stop(self._running(name), graceful=signal != "KILL")

    def restart(self, name: str, *, timeout_s: int | None = None) -> None:
        with self._call(f"restart {name}", changes=True):
            one = self.docker.named(name)
            if one.runs:
                self.docker.stop(one, graceful=True)
            self.docker.start(one)

    def pause(self, name: str) -> None:
        with self._call(f"pause {name}", changes=True):
            one = self._running(name)
            if one.status != "running":
                raise Refused("pause", f"container {one.id} is already paused", status=409)
            one.status = "paused"

    def unpause(self, name: str) -> None:
        with self._call(f"unpause {name}", changes=True):
            one = self.docker.named(name)
            if one.status != "paused":
                raise Refused("unpause", f"Container {one.id} is not paused", status=500)
            one.status, one.unchecked = "running", True

    def rename(self, name: str, to: str) -> None:
        with self._call(f"rename {name}", changes=True):
            one = self.docker.named(name)
            if one.name == to:
                words = "Renaming a container with the same name as its current name"
                raise Refused("rename", words, status=400)
            self.docker.free(to)
            one.name = to

    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        with self._call(f"remove {name}", changes=True):
            one = self.docker.named(name)
            if one.runs and not force:
                raise Refused("remove", f"container is {one.status}: stop the container before removing", status=409)
            self.docker.drop(one)
            for volume in filter(_NAMELESS.fullmatch, one.volumes if volumes else ()):
                del self.docker.volumes[volume], self.docker.contents[volume]

    def set_restart_policy(self, name: str, policy: str, *, retries: int = 0) -> None:
        with self._call(f"set_restart_policy {name}", changes=True):
            one = self.docker.named(name)
            one.restart_policy, one.restart_retries = policy, retries

    def wait(self, name: str, *, timeout_s: float = 0) -> int:
        with self._call(f"wait {name}"):
            one = self.docker.named(name)
            if one.ending is not None:
                self.docker.finish(one)
            if one.runs:  # nothing else happens meanwhile
                raise Unavailable(f"wait {name}", "none in time")
            return one.exit_code

    def logs(self, name: str, *, tail: int | None = None) -> bytes:
        with self._call(f"logs {name}"):
            return _tail(self.docker.named(name).logs, tail)

    def exec(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: str = "",
        stdin: bytes | BinaryIO | None = None,
        stdout: BinaryIO | None = None,
        accept: Collection[int] = (0,),
        timeout_s: float = 0,
    ) -> Output:
        given = _read(stdin)

        def run(content: bytes) -> Output:
            one = self._running(name)
            if one.status != "running":
                words = f"Container {one.id} is {one.status}"
                raise Refused("exec", words, status=409)
            values = {**self.docker.env_of(one), **one.new.env, **(env or {})}
            return self.docker.run(Process(self.docker, one, tuple(command), values, content))

        def half() -> None:
            with contextlib.suppress(EngineError):
                run(given[: len(given) // 2])

        errors = _failing(command[0], name, accept)
        call = self._call(f"exec {name}: {command[0]}", changes=True, errors=errors, within=half if given else None)
        with call:
            output = run(given)
        return _left(name, command, output, stdout, accept)

    def run(
        self,
        name: str,
        new: NewContainer,
        *,
        stdin: bytes | BinaryIO | None = None,
        stdout: BinaryIO | None = None,
        accept: Collection[int] = (0,),
        timeout_s: float = 0,
    ) -> Output:
        """In the steps of the real one. Killed after the start, its program goes on, with half of the input at most."""
        given = _read(stdin)
        command = [*new.entrypoint, *new.command] or [new.image]
        with self._call(f"run {name}: create", changes=True):
            made = self.docker.make(name, new, auto_remove=True)
        try:
            with self._call(f"run {name}: start", changes=True):
                made.stdin = given[: len(given) // 2]
                self.docker.start(made)
            with self._call(f"run {name}: wait", changes=True, errors=_failing(command[0], name, accept)):
                made.stdin = given
                output = self.docker.finish(made)
        except Exception:
            with contextlib.suppress(EngineError):
                self.remove(made.id, force=True)
            raise
        return _left(name, command, output, stdout, accept)

    def read_file(self, name: str, path: str) -> bytes:
        with self._call(f"read_file {name}"):
            files, at, _ = Process(self.docker, self.docker.named(name)).place(path)
            if at not in files:
                raise NotFound("file", f"{name}:{path}")
            return files[at]

    # --- Images

    def image(self, reference: str) -> Image:
        with self._call(f"image {reference}"):
            return self.docker.find_image(reference)

    def has_image(self, reference: str) -> bool:
        try:
            return bool(self.image(reference))
        except NotFound:
            return False

    def tag(self, reference: str, new: str) -> None:
        with self._call(f"tag {new}", changes=True):
            self.docker.tag(self.docker.find_image(reference).id, new)

    def remove_image(self, reference: str) -> None:
        with self._call(f"remove_image {reference}", changes=True):
            image = self.docker.find_image(reference)
            by_id = reference == image.id
            last = by_id or len(image.tags) <= 1
            if last and any(one.image_id == image.id for one in self.docker.held.values()):
                raise Refused("remove_image", f"conflict: unable to remove {reference}: in use", status=409)
            if by_id and len({split(tag)[0] for tag in image.tags}) > 1:
                raise Refused("remove_image", f"conflict: unable to delete {reference} (must be forced)", status=409)
            if last:
                del self.docker.images[image.id]
            else:
                tags = tuple(tag for tag in image.tags if tag != full(reference))
                self.docker.images[image.id] = replace(image, tags=tags)

    def pull(
        self,
        reference: str,
        *,
        login: Login | None = None,
        progress: Callable[[int, int], None] | None = None,
        timeout_s: float = 0,
    ) -> None:
        with self._call(f"pull {reference}", changes=True):
            image = self._in_registry(reference, login)
            if progress:
                progress(50, 100)
                progress(100, 100)
            there = self.docker.images.setdefault(image.id, image)
            served = f"{split(reference)[0]}@{image.id}"
            if served not in there.digests:
                self.docker.images[image.id] = replace(there, digests=(*there.digests, served))
            if "@" not in reference:
                self.docker.tag(image.id, reference)

    def registry_digest(self, reference: str, *, login: Login | None = None) -> str:
        with self._call(f"registry_digest {reference}"):
            return self._in_registry(reference, login).id

    # --- Volumes and networks

    def volumes(self, *, label: str | None = None) -> tuple[Volume, ...]:
        with self._call("volumes"):
            return tuple(one for one in self.docker.volumes.values() if label is None or labelled(one.labels, label))

    def volume(self, name: str) -> Volume:
        with self._call(f"volume {name}"):
            return self._volume(name)

    def create_volume(self, name: str, *, labels: Mapping[str, str] | None = None) -> None:
        with self._call(f"create_volume {name}", changes=True):
            self.docker.ensure_volume(name, labels or {})

    def remove_volume(self, name: str) -> None:
        with self._call(f"remove_volume {name}", changes=True):
            self._volume(name)
            users = [one.id for one in self.docker.held.values() if name in one.volumes]
            if users:
                raise Refused("remove_volume", f"remove {name}: volume is in use - {users}", status=409)
            del self.docker.volumes[name], self.docker.contents[name]

    def networks(self, *, label: str | None = None) -> tuple[Network, ...]:
        with self._call("networks"):
            return tuple(one for one in self.docker.networks.values() if label is None or labelled(one.labels, label))

    def network(self, name: str) -> Network:
        with self._call(f"network {name}"):
            return replace(
                self._network(name), containers={one.id: (one.name, "10.0.0.2/24") for one in self._in(name)}
            )

    def create_network(
        self, name: str, *, internal: bool = False, subnet: str = "", labels: Mapping[str, str] | None = None
    ) -> None:
        with self._call(f"create_network {name}", changes=True):
            if name in self.docker.networks:
                raise Refused("create_network", f"network with name {name} already exists", status=409)
            subnets = (subnet or "172.18.0.0/16",)
            made = Network(self.docker.number(), name, "bridge", "local", internal, subnets, dict(labels or {}))
            self.docker.networks[name] = made

    def remove_network(self, name: str) -> None:
        with self._call(f"remove_network {name}", changes=True):
            self._network(name)
            if self._in(name):
                raise Refused("remove_network", f"network {name} has active endpoints", status=403)
            del self.docker.networks[name]

    # --- The swarm

    def nodes(self, *, label: str | None = None) -> tuple[Node, ...]:
        with self._managers("nodes"):
            return tuple(one for one in self.swarm.nodes if label is None or labelled(one.labels, label))

    def node(self, name: str) -> Node:
        with self._managers(f"node {name}"):
            return self.swarm.node(name)

    def services(self, *, label: str | None = None) -> tuple[Service, ...]:
        with self._managers("services"):
            return tuple(one for one in self.swarm.services.values() if label is None or labelled(one.labels, label))

    def service(self, name: str) -> Service:
        with self._managers(f"service {name}"):
            return self.swarm.service(name)

    def service_update(self, service: Service, *, replicas: int | None = None, force: bool = False) -> None:
        with self._managers(f"service_update {service.name}", changes=True):
            self.swarm.service(service.id)
            self.swarm.update(service, replicas=replicas, force=force)

    def service_logs(self, name: str, *, tail: int, timeout_s: float = 0) -> bytes:
        with self._managers(f"service_logs {name}"):
            found = self.swarm.service(name)
            mine = [one for one in self.docker.held.values() if of_service(one, found.name)]
            return b"".join(_tail(one.logs, tail) for one in mine)

    def tasks(self, service: str) -> tuple[Task, ...]:
        with self._managers(f"tasks {service}"):
            found = self.swarm.service(service)
            return tuple(self.swarm.seen(one) for one in self.swarm.tasks if one.service_id == found.id)

    def secret(self, name: str) -> Named:
        with self._managers(f"secret {name}"):
            return self.swarm.find("secret", self.swarm.secrets, name)

    def secrets(self, *, label: str | None = None) -> tuple[Named, ...]:
        with self._managers("secrets"):
            return tuple(one for one in self.swarm.secrets.values() if label is None or labelled(one.labels, label))

    def create_secret(self, name: str, content: bytes, *, labels: Mapping[str, str] | None = None) -> str:
        with self._managers(f"create_secret {name}", changes=True):
            return self.swarm.make("secret", self.swarm.secrets, name, content, labels or {})

    def remove_secret(self, name: str) -> None:
        with self._managers(f"remove_secret {name}", changes=True):
            self.swarm.remove("secret", self.swarm.secrets, name)

    def config(self, name: str) -> Named:
        with self._managers(f"config {name}"):
            return self.swarm.find("config", self.swarm.configs, name)

    def configs(self, *, label: str | None = None) -> tuple[Named, ...]:
        with self._managers("configs"):
            return tuple(one for one in self.swarm.configs.values() if label is None or labelled(one.labels, label))

    def create_config(self, name: str, content: bytes, *, labels: Mapping[str, str] | None = None) -> str:
        with self._managers(f"create_config {name}", changes=True):
            return self.swarm.make("config", self.swarm.configs, name, content, labels or {})

    def remove_config(self, name: str) -> None:
        with self._managers(f"remove_config {name}", changes=True):
            self.swarm.remove("config", self.swarm.configs, name)

    # --- How each call is made

    @contextlib.contextmanager
    def _call(
        self,
        name: str,
        *,
        changes: bool = False,
        errors: _Errors | None = None,
        within: Callable[[], None] | None = None,
    ) -> Iterator[None]:
        possible: dict[str, Callable[[], Exception]] = {
            UNAVAILABLE: lambda: Unavailable(name, "none in time"),
            REFUSED: lambda: Refused(name, "input/output error", status=500),
            **(errors or {}),
        }
        with self.faults.call(f"docker: {name}", changes=changes, errors=possible, lost=UNAVAILABLE, within=within):
            if self.docker.down:
                raise Unavailable(name, "nobody at /var/run/docker.sock: Docker does not run")
            self.docker.time_passes()
            yield

    @contextlib.contextmanager
    def _managers(self, name: str, *, changes: bool = False) -> Iterator[None]:
        with self._call(name, changes=changes):
            if not self.swarm.member.manages:
                raise Refused(name, "This node is not a swarm manager.", status=503)
            if not self.swarm.leader:
                raise Unavailable(name, "rpc error: code = Unknown desc = The swarm does not have a leader.")
            yield

    def _running(self, name: str) -> Held:
        one = self.docker.named(name)
        if not one.runs:
            raise Refused(name, f"container {one.id} is not running", status=409)
        return one

    def _in(self, network: str) -> list[Held]:
        return [one for one in self.docker.held.values() if one.runs and network in one.networks]

    def _volume(self, name: str) -> Volume:
        if name not in self.docker.volumes:
            raise NotFound("volume", name)
        return self.docker.volumes[name]

    def _network(self, name: str) -> Network:
        if name not in self.docker.networks:
            raise NotFound("network", name)
        return self.docker.networks[name]

    def _in_registry(self, reference: str, login: Login | None) -> Image:
        wanted = self.docker.private.get(registry_of(reference))
        if wanted and (login is None or (login.user, login.password) != wanted):
            said = f"Head https://{registry_of(reference)}/v2/: denied: {'denied' if login else 'no login'}"
            raise Refused(f"a pull of {reference}", said, status=500)
        image = self.docker.registry.get(full(reference))
        if image is None:
            raise Refused(f"a pull of {reference}", f"manifest for {reference} not found: manifest unknown", status=404)
        return image


def _failing(program: str, name: str, accept: Collection[int]) -> _Errors:
    """A program that may not fail can."""
    return {} if 1 in accept else {FAILED: lambda: ProgramFailed(program, name, 1, b"", b"No space left on device")}


def _read(stdin: bytes | BinaryIO | None) -> bytes:
    return stdin if isinstance(stdin, bytes) else stdin.read() if stdin else b""


def _left(
    name: str, command: Sequence[str], output: Output, stdout: BinaryIO | None, accept: Collection[int]
) -> Output:
    if stdout:
        stdout.write(output.stdout)
        output = Output(output.exit_code, b"", output.stderr)
    if output.exit_code not in accept:
        raise ProgramFailed(command[0], name, output.exit_code, output.stdout, output.stderr)
    return output


def _tail(logs: bytes, tail: int | None) -> bytes:
    lines = logs.splitlines(keepends=True)
    return b"".join(lines if tail is None else lines[max(len(lines) - tail, 0) :])
