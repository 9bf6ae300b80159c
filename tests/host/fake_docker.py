"""A Docker in memory: what it holds, and what it does by itself. It survives every crash of the program under test.

What containers do is told by tests: a `Program` for each image, whose functions may read and write the container's
volumes. fake_engine.py is the way to it that a program under test has; contract.py has the cases that hold for this and
for a real engine. Sources: moby, daemon/ (start.go, stop.go, kill.go, delete.go, daemon.go: restore).
"""

from __future__ import annotations

import contextlib
import copy
import functools
import types
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from webui_stack.host.engine import (
    Container,
    Endpoint,
    Event,
    Image,
    Mount,
    Network,
    NewContainer,
    NotFound,
    Output,
    Refused,
    Volume,
)
from webui_stack.host.engine.images import split

NEVER = "0001-01-01T00:00:00Z"
# After so many further calls to the engine, a program whose caller was killed has come to its end by itself.
CALLS_TO_END = 3


class Exit(Exception):  # noqa: N818
    """A program ends with this code. From `Program.main`, the container's first process ends at its start."""

    def __init__(self, code: int, errors: bytes = b"", output: bytes = b"") -> None:
        super().__init__(code)
        self.code, self.errors, self.output = code, errors, output


class CannotStart(Exception):  # noqa: N818
    """From `Program.main`: Docker can't start the container, as when its address is not there yet."""


def _nothing(_: Process) -> None:
    """Runs on."""


@dataclass(frozen=True)
class Program:
    """What containers of an image do.

    `main` is called at each start and may raise Exit or CannotStart; `stop` when it is asked to stop, not when it is
    killed. `health` is None for an image without a health check. `commands` are programs by their first word, for
    `exec`, `run`, and as the first process of a container: each returns what it writes, and may raise Exit.
    """

    main: Callable[[Process], None] = _nothing
    stop: Callable[[Process], None] = _nothing
    health: Callable[[Process], str] | None = None
    commands: Mapping[str, Callable[[Process], bytes]] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        """As any copy, in a part of the time: its functions may be methods of what is copied."""
        commands = {name: _copied(function, memo) for name, function in self.commands.items()}
        main, stop, health = (_copied(one, memo) for one in (self.main, self.stop, self.health))
        return Program(main, stop, health, commands)


def _copied(function: Any, memo: dict[int, Any]) -> Any:
    if isinstance(function, functools.partial):
        return functools.partial(_copied(function.func, memo), *function.args, **function.keywords)
    if isinstance(function, types.MethodType):
        return types.MethodType(function.__func__, copy.deepcopy(function.__self__, memo))
    return copy.deepcopy(function, memo)


@dataclass
class Held:
    """A container as Docker holds it; `files` are those outside of its mounts.

    `ending` is how many calls are left until a program that nobody waits for ends by itself, None for one that runs on.
    `unchecked` is whether its health was not asked for since it was paused.
    """

    id: str
    name: str
    new: NewContainer
    image_id: str
    created_at: str
    auto_remove: bool = False
    status: str = "created"
    exit_code: int = 0
    error: str = ""
    started_at: str = NEVER
    finished_at: str = NEVER
    restart_policy: str = "no"
    restart_retries: int = 0
    restarts: int = 0
    stopped_by_hand: bool = False
    logs: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)
    stdin: bytes = b""
    ending: int | None = None
    unchecked: bool = False

    def __deepcopy__(self, _: object) -> Held:
        """As any copy; the definition is a value."""
        return replace(self, files=dict(self.files))

    @property
    def runs(self) -> bool:
        return self.status in ("running", "paused", "restarting")

    @property
    def argv(self) -> tuple[str, ...]:
        return (*self.new.entrypoint, *self.new.command)

    @property
    def networks(self) -> tuple[str, ...]:
        shared = self.new.network.startswith(("container:", "none", "host"))
        return () if shared else (self.new.network,)

    @property
    def binds(self) -> tuple[tuple[str, str, bool], ...]:
        """What is mounted: a volume or a folder, where, and whether it can be written."""
        parts = [bind.split(":") for bind in self.new.volumes]
        return tuple((source, target, "ro" not in options) for source, target, *options in parts)

    @property
    def volumes(self) -> tuple[str, ...]:
        return tuple(source for source, _, _ in self.binds if not source.startswith("/"))


@dataclass(frozen=True)
class Process:
    """A program in a container, and what it sees."""

    docker: Docker
    container: Held
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""

    def place(self, path: str) -> tuple[MutableMapping[str, bytes], str, bool]:
        """The files among which `path` is, its name there, and whether it can be written."""
        mounted = [one for one in self.container.binds if f"{path}/".startswith(f"{one[1]}/")]
        if not mounted:
            new = self.container.new
            in_memory = any(f"{path}/".startswith(f"{one.partition(':')[0]}/") for one in new.tmpfs)
            return self.container.files, path, in_memory or not new.read_only
        source, target, writable = max(mounted, key=lambda one: len(one[1]))
        files = self.docker.folder(source) if source.startswith("/") else self.docker.contents[source]
        return files, path[len(target) :].lstrip("/"), writable

    def files(self, folder: str) -> MutableMapping[str, bytes]:
        """What is mounted at `folder`, by name."""
        return self.place(folder)[0]

    def read(self, path: str) -> bytes:
        files, name, _ = self.place(path)
        if name not in files:
            raise Exit(1, f"{path}: No such file or directory\n".encode())
        return files[name]

    def write(self, path: str, content: bytes) -> None:
        files, name, writable = self.place(path)
        if not writable:
            raise Exit(1, f"{path}: Read-only file system\n".encode())
        files[name] = content


class Ticks:
    """Counts from `first`, at each call; a copy counts on by itself."""

    def __init__(self, first: int) -> None:
        self._next = first

    def __call__(self) -> float:
        self._next += 1
        return float(self._next - 1)


# What a Docker keeps in lists and dictionaries of values.
_OF_VALUES = {"events", "images", "networks", "private", "registry", "volumes"}


class Docker:
    """One host's Docker. `put_` methods are other people's doing, and are never counted as calls."""

    def __init__(self, *, clock: Callable[[], float] | None = None) -> None:
        self.down = False  # no call gets an answer
        self.live_restore = False
        self.firewall_backend = "iptables"
        self.held: dict[str, Held] = {}  # by id
        self.images: dict[str, Image] = {}  # by id
        self.private: dict[str, tuple[str, str]] = {}  # who may pull from a registry: user and password by its name
        self.registry: dict[str, Image] = {}  # by reference and by digest, which is the id here, for pulls
        self.programs: dict[str, Program] = {}  # by image id
        self.volumes: dict[str, Volume] = {}
        self.contents: dict[str, MutableMapping[str, bytes]] = {}  # files by volume
        self.networks: dict[str, Network] = {}
        self.folder: Callable[[str], MutableMapping[str, bytes]] = lambda _: {}  # a folder of the host, for bind mounts
        self.events: list[Event] = []
        self.now_s = clock or Ticks(1_800_000_000)
        self._numbers = Ticks(1)

    def __deepcopy__(self, memo: dict[int, Any]) -> Docker:
        """As any copy, in a part of the time: values, such as events, are never changed in place."""
        made = Docker.__new__(Docker)
        memo[id(self)] = made
        for name, one in vars(self).items():
            vars(made)[name] = copy.copy(one) if name in _OF_VALUES else copy.deepcopy(one, memo)
        return made

    # --- Other people's doing

    def put_image(
        self,
        reference: str,
        program: Program | None = None,
        *,
        env: Mapping[str, str] | None = None,
        local: bool = True,
    ) -> str:
        """A new image of this name, here or only in its registry. Returns its id; the name moves here."""
        id_ = f"sha256:{self.number()}"
        image = Image(id_, env=dict(env or {}), created_at=self.time(), architecture="amd64")
        self.programs[id_] = program or Program()
        if local:
            self.images[id_] = image
            self.tag(id_, reference)
        else:
            self.registry[full(reference)] = image
            self.registry[f"{split(reference)[0]}@{id_}"] = image
        return id_

    def put_container(self, name: str, new: NewContainer, *, start: bool = True) -> Held:
        made = self.make(name, new)
        if start:
            self.start(made)
        return made

    def put_volume(self, name: str, files: Mapping[str, bytes] | None = None, **labels: str) -> None:
        self.ensure_volume(name, labels)
        self.contents[name].update(files or {})

    def power_cut(self) -> None:
        """Everything that runs ends at once, and what has a restart policy starts again, as Docker does at boot.

        Containers of `run` are removed. One that somebody stopped stays stopped, unless its policy is "always".
        """
        self._end_all(graceful=False)
        self.boot()

    def restart_docker(self) -> None:
        """As `systemctl restart docker`: with live-restore, containers run on."""
        if not self.live_restore:
            self._end_all(graceful=True)
            self.boot()

    def boot(self) -> None:
        for one in list(self.held.values()):
            if one.auto_remove:
                self.drop(one)
            elif one.started_at != NEVER and not one.runs and self._restarts(one, at_boot=True):
                with contextlib.suppress(Refused):  # it says so in its state
                    self.start(one)

    # --- What its calls do

    def number(self) -> str:
        return f"{int(self._numbers()):012x}"

    def time(self) -> str:
        return _written(self.now_s())

    def named(self, name: str) -> Held:
        for one in self.held.values():
            if name in (one.name, one.id):
                return one
        raise NotFound("container", name)

    def free(self, name: str) -> None:
        taken = [one for one in self.held.values() if one.name == name]
        if taken:
            words = f'Conflict. The container name "/{name}" is already in use by container "{taken[0].id}".'
            raise Refused(f"a container {name}", words, status=409)

    def make(self, name: str, new: NewContainer, *, auto_remove: bool = False) -> Held:
        self.free(name)
        try:
            image = self.find_image(new.image)
        except NotFound as error:
            raise Refused(f"a container {name}", f"No such image: {new.image}", status=404) from error
        made = Held(self.number(), name, new, image.id, self.time(), auto_remove, restart_policy=new.restart_policy)
        for volume in made.volumes:
            self.ensure_volume(volume, {})  # as Docker does, with nothing in it
        self.held[made.id] = made
        self.tell("create", made)
        return made

    def start(self, one: Held) -> None:
        """Raises Refused where Docker can't start it, or where it is paused."""
        if one.status == "paused":
            raise Refused(f"a start of {one.name}", "cannot start a paused container, try unpause instead", status=409)
        if one.runs:
            return
        before = one.started_at
        try:
            for network in one.networks:
                if network not in self.networks and network != "bridge":
                    raise Refused(f"a start of {one.name}", f"network {network} not found", status=404)
            one.status, one.started_at, one.exit_code, one.error = "running", self.time(), 0, ""
            one.stopped_by_hand = False
            self.tell("start", one)
            if self._program_of(one.argv, one) is None:
                self._main(one)
            else:
                one.ending = CALLS_TO_END
        except (CannotStart, Refused) as error:
            # One that never ran is "created" yet (moby: daemon/start.go, daemon/container/state.go).
            one.started_at, one.exit_code, one.error = before, 128, str(error)
            one.status = "created" if before == NEVER else "exited"
            if one.auto_remove:
                self.drop(one)
            if isinstance(error, Refused):
                raise
            raise Refused(f"a start of {one.name}", str(error), status=500) from error

    def _main(self, one: Held) -> None:
        try:
            self.programs[one.image_id].main(Process(self, one, one.argv, dict(one.new.env)))
        except Exit as ended:
            one.logs += ended.errors
            one.exit_code = ended.code
            self.ended(one, ended.code)
            if self._restarts(one):
                one.status, one.restarts = "restarting", one.restarts + 1

    def stop(self, one: Held, *, graceful: bool) -> None:
        """End its process, by hand: no restart policy but "always", at boot, starts it again."""
        if one.ending is not None and one.status == "running" and graceful:
            self.finish(one)  # a short program ends before it would be killed
            return
        if graceful and one.status in ("running", "paused"):
            self.programs[one.image_id].stop(Process(self, one, one.argv, dict(one.new.env)))
        one.ending, one.stopped_by_hand = None, True
        self.ended(one, 0 if graceful else 137)

    def ended(self, one: Held, code: int) -> None:
        one.status, one.exit_code, one.finished_at = "exited", code, self.time()
        self.tell("die", one)
        if one.auto_remove:
            self.drop(one)

    def drop(self, one: Held) -> None:
        one.ending = None  # what it has not done yet, it never does
        del self.held[one.id]
        self.tell("destroy", one)

    def finish(self, one: Held) -> Output:
        """Let a program that ends by itself come to its end."""
        one.ending = None
        output = self.run(Process(self, one, one.argv, dict(one.new.env), one.stdin))
        one.logs += output.stdout + output.stderr
        self.ended(one, output.exit_code)
        return output

    def time_passes(self) -> None:
        """Between two calls: programs whose caller was killed go on to their end."""
        for one in list(self.held.values()):
            if one.ending is not None and one.status == "running":
                one.ending -= 1
                if one.ending <= 0:
                    self.finish(one)

    def run(self, process: Process) -> Output:
        program = self._program_of(process.command, process.container)
        if program is None:
            words = f'OCI runtime exec failed: exec: "{process.command[0]}": executable file not found in $PATH\r\n'
            return Output(127, words.encode(), b"")
        try:
            return Output(0, program(process), b"")
        except Exit as ended:
            return Output(ended.code, ended.output, ended.errors)

    def _program_of(self, argv: tuple[str, ...], one: Held) -> Callable[[Process], bytes] | None:
        return self.programs[one.image_id].commands.get(argv[0]) if argv else None

    def _restarts(self, one: Held, *, at_boot: bool = False) -> bool:
        if one.restart_policy == "always":
            return at_boot or not one.stopped_by_hand
        if one.restart_policy == "unless-stopped":
            return not one.stopped_by_hand
        failed = one.restart_policy == "on-failure" and one.exit_code != 0 and not one.stopped_by_hand
        return failed and (not one.restart_retries or one.restarts < one.restart_retries)

    def _end_all(self, *, graceful: bool) -> None:
        for one in list(self.held.values()):
            if one.runs:
                by_hand = one.stopped_by_hand
                self.stop(one, graceful=graceful)
                one.stopped_by_hand = by_hand

    # --- Images, volumes, networks

    def find_image(self, reference: str) -> Image:
        for image in self.images.values():
            if reference == image.id or full(reference) in (*image.tags, *image.digests):
                return image
        raise NotFound("image", reference)

    def tag(self, id_: str, reference: str) -> None:
        tag = full(reference)
        for other in self.images.values():
            if tag in other.tags:
                self.images[other.id] = replace(other, tags=tuple(one for one in other.tags if one != tag))
        image = self.images[id_]
        self.images[id_] = replace(image, tags=(*image.tags, tag))

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        if name not in self.volumes:
            mountpoint = f"/var/lib/docker/volumes/{name}/_data"
            self.volumes[name] = Volume(name, mountpoint=mountpoint, labels=dict(labels), created_at=self.time())
            self.contents[name] = {}

    def shown(self, one: Held) -> Container:
        """As an inspection shows it."""
        program = self.programs[one.image_id]
        health = ""
        if program.health and one.started_at == NEVER:
            health = "starting"
        elif program.health:
            # What is paused or stopped counts as unhealthy until its next check (moby: daemon/container/health.go).
            checked = one.status == "running" and not one.unchecked
            one.unchecked = False
            health = program.health(Process(self, one, one.argv, dict(one.new.env))) if checked else "unhealthy"
        endpoints = {
            name: Endpoint(self.networks[name].id, "10.0.0.2" if one.runs else "", tuple(one.new.aliases))
            for name in one.networks
            if name in self.networks
        }
        mounts = tuple(
            Mount("bind", target, source=source, writable=writable)
            if source.startswith("/")
            else Mount("volume", target, source, self.volumes[source].mountpoint, writable)
            for source, target, writable in one.binds
        )
        return Container(
            *(one.id, one.name, one.new.image, one.image_id, one.status, health),
            exit_code=one.exit_code,
            error=one.error,
            created_at=one.created_at,
            started_at=one.started_at,
            finished_at=one.finished_at,
            restarts=one.restarts,
            restart_policy=one.restart_policy,
            restart_retries=one.restart_retries,
            labels=dict(one.new.labels),
            env={**self.env_of(one), **one.new.env},
            mounts=mounts,
            networks=endpoints,
            network_mode=one.new.network,
            log_driver="json-file",
        )

    def env_of(self, one: Held) -> Mapping[str, str]:
        image = self.images.get(one.image_id)
        return image.env if image else {}

    def tell(self, action: str, one: Held) -> None:
        attributes = {"name": one.name, "image": one.new.image, **one.new.labels}
        self.events.append(Event("container", action, one.id, one.name, attributes, self.now_s()))


@functools.lru_cache(maxsize=10_000)
def _written(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def full(reference: str) -> str:
    """A reference with its tag, or with its digest alone, as Docker notes it."""
    if reference.startswith("sha256:"):
        return reference
    return ("@" if "@" in reference else ":").join(split(reference))


def labelled(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether Docker's filter by a label matches: NAME or NAME=VALUE."""
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
