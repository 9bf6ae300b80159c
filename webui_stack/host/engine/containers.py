"""Containers: what is there, and what can be done with them. Also programs that run in them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Mapping, Sequence

from ..typed import BinaryIO
from . import objects
from .errors import Asked, NotFound, ProgramFailed, Refused, Unavailable
from .frames import STDOUT
from .objects import Container, Listed, NewContainer, Output
from .transport import ANSWER_S, Answer, Call, Transport, filters, named, understood

# Docker waits for volumes, for the network, for containerd; a large container takes long to remove.
CHANGE_S = 300.0
# A container may have a time of its own to stop (Postgres: 60 s), which Docker does not tell before.
STOP_S = 600.0
# Far above what any step takes, so that a hanging program does not hold a lock for ever.
PROGRAM_S = 12 * 3600.0


class Containers:
    """Calls on containers. Each `name` is a name or an id."""

    _transport: Transport

    def containers(
        self,
        *,
        label: str | None = None,
        network: str | None = None,
        volume: str | None = None,
        image: str | None = None,
    ) -> tuple[Container, ...]:
        """All containers, or those that match every filter; in any state. A container that is removed meanwhile is left
        out.

        `label` is NAME or NAME=VALUE; `image` matches containers of images made from that one as well.
        """
        wanted = filters(label=label, network=network, volume=volume, ancestor=image)
        call = Call("GET", "/containers/json", {"all": True, "filters": wanted})
        listed = self._transport.json(call)
        with understood(call):
            ids = [one["Id"] for one in listed]
        found = []
        for id_ in ids:
            with contextlib.suppress(NotFound):
                found.append(self.container(id_))
        return tuple(found)

    def running(self) -> tuple[Listed, ...]:
        """All containers that run, the newest first."""
        return self._listed(Call("GET", "/containers/json"))

    def listed(self) -> tuple[Listed, ...]:
        """All containers in any state, the newest first."""
        return self._listed(Call("GET", "/containers/json", {"all": True}))

    def _listed(self, call: Call) -> tuple[Listed, ...]:
        data = self._transport.json(call)
        with understood(call):
            return tuple(objects.listed(one) for one in data if one.get("Names"))  # one that is removed has none

    def container(self, name: str) -> Container:
        call = _call("GET", name, "/json")
        data = self._transport.json(call)
        with understood(call):
            return objects.container(data)

    def create(self, name: str, new: NewContainer) -> str:
        """Make a container, and start nothing. Returns its id. Refused (409) where the name is taken."""
        return self._create(name, new, stdin=False, auto_remove=False)

    def start(self, name: str) -> None:
        """Ensure it runs; nothing happens where it does. Refused where it is paused."""
        self._change(name, "start")

    def stop(self, name: str, *, timeout_s: int | None = None) -> None:
        """Ensure it does not run; killed after `timeout_s`, by default after its own time to stop.

        By a restart policy it does not start again, but for "always", which starts it when Docker starts.
        """
        limit_s = STOP_S if timeout_s is None else timeout_s + ANSWER_S
        self._change(name, "stop", {"t": timeout_s}, timeout_s=limit_s)

    def kill(self, name: str, *, signal: str = "KILL") -> None:
        """Send a signal to its first process. Refused (409) where it does not run."""
        self._change(name, "kill", {"signal": signal})

    def restart(self, name: str, *, timeout_s: int | None = None) -> None:
        """Stop it as `stop` does, and start it; only start it where it does not run."""
        limit_s = STOP_S if timeout_s is None else timeout_s + CHANGE_S
        self._change(name, "restart", {"t": timeout_s}, timeout_s=limit_s)

    def pause(self, name: str) -> None:
        self._change(name, "pause")

    def unpause(self, name: str) -> None:
        """Let it run on. Refused where it is not paused."""
        self._change(name, "unpause")

    def rename(self, name: str, to: str) -> None:
        """Refused where it has that name already (400), or another container has (409)."""
        self._change(name, "rename", {"name": to})

    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it. Refused (409) where it runs, unless `force` kills it first.

        With `volumes` those that have no name are removed as well.
        """
        self._transport.json(_call("DELETE", name, query={"force": force, "v": volumes}, timeout_s=CHANGE_S))

    def set_restart_policy(self, name: str, policy: str, *, retries: int = 0) -> None:
        """Ensure a restart policy, in force at once: no, on-failure, unless-stopped, always."""
        policy_ = {"Name": policy, "MaximumRetryCount": retries}
        self._transport.json(_call("POST", name, "/update", body={"RestartPolicy": policy_}))

    def wait(self, name: str, *, timeout_s: float = PROGRAM_S) -> int:
        """Its exit code, once it does not run."""
        return self._exit_code(self._transport.open(_call("POST", name, "/wait", timeout_s=timeout_s)))

    def logs(self, name: str, *, tail: int | None = None) -> bytes:
        """The last lines it wrote, stdout and stderr as they came; all without `tail`.

        Refused where its log driver keeps none to read.
        """
        tty = self.container(name).tty
        query = {"stdout": True, "stderr": True, "tail": "all" if tail is None else tail}
        with self._transport.open(_call("GET", name, "/logs", query)) as answer:
            if tty:  # then there is one stream, without frames
                return b"".join(answer.pieces())
            return b"".join(payload for _, payload in answer.streams())

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
        timeout_s: float = PROGRAM_S,
    ) -> Output:
        """Run a program in a running container and wait for it. Secrets go in `env` or `stdin`, never in `command`.

        Its output goes to `stdout`, if that is given. Raises ProgramFailed for an exit code not in `accept`. Docker
        can't end such a program: after `timeout_s` it may run on.
        """
        call = _call(
            *("POST", name, "/exec"),
            body={
                "Cmd": list(command),
                "Env": [f"{variable}={value}" for variable, value in (env or {}).items()],
                "User": user,
                "AttachStdin": stdin is not None,
                "AttachStdout": True,
                "AttachStderr": True,
            },
        )
        made = self._transport.json(call)
        with understood(call):
            id_ = str(made["Id"])
        # Not NotFound: somebody who asks for a container must not read "no such exec instance" as its absence.
        start = Call("POST", f"/exec/{id_}/start", body={"Detach": False, "Tty": False}, timeout_s=timeout_s)
        with self._transport.open(start) as answer:
            written, errors = _converse(answer, stdin, stdout)
        look = Call("GET", f"/exec/{id_}/json")
        state = self._transport.json(look)
        with understood(look):
            running, code = state["Running"], state["ExitCode"]
        if running or code is None:  # the stream ended before the program did
            raise Unavailable(str(start), "an end of its output while it runs")
        return _accepted(name, command, Output(code, written, errors), accept)

    def run(
        self,
        name: str,
        new: NewContainer,
        *,
        stdin: bytes | BinaryIO | None = None,
        stdout: BinaryIO | None = None,
        accept: Collection[int] = (0,),
        timeout_s: float = PROGRAM_S,
    ) -> Output:
        """Run a program in a container of its own, which Docker removes when it ends, also if this program is killed.

        Raises as `exec` does. After `timeout_s`, or another failure here, the container is killed and removed. After a
        crash, it can be found by its name. Refused (409) while a container of that name is there.
        """
        id_ = self._create(name, new, stdin=stdin is not None, auto_remove=True)
        try:
            output = self._run(id_, stdin, stdout, timeout_s)
        except BaseException:
            # Whatever Docker says here, the first error is the one to tell.
            with contextlib.suppress(NotFound, Unavailable, Refused):
                self.remove(id_, force=True, volumes=True)
            raise
        return _accepted(name, new.command or new.entrypoint or [new.image], output, accept)

    def read_file(self, name: str, path: str) -> bytes:
        """A regular file of a container, running or not. NotFound of kind "file" where it has none of that name."""
        import tarfile  # costs as much at each start as a dozen calls, and is needed once in a host's life

        call = _call("GET", name, "/archive", {"path": path})
        try:
            answer = self._transport.open(call)
        except Refused as error:
            if error.status == 404 and "could not find the file" in error.message.lower():
                raise NotFound("file", f"{name}:{path}") from error
            raise
        with answer, understood(call):
            packed = io.BytesIO(b"".join(answer.pieces()))
            try:
                with tarfile.open(fileobj=packed) as archive:
                    content = archive.extractfile(archive.getmembers()[0])
            except tarfile.TarError as error:
                raise Unavailable(str(call), f"no tar archive: {error}") from error
            if content is None:
                raise Refused(str(call), f"{path} is no regular file")
            return content.read()

    def _change(
        self, name: str, what: str, query: Mapping[str, str | int | None] | None = None, *, timeout_s: float = CHANGE_S
    ) -> None:
        self._transport.json(_call("POST", name, f"/{what}", query, timeout_s=timeout_s))

    def _create(self, name: str, new: NewContainer, *, stdin: bool, auto_remove: bool) -> str:
        # What is missing is an image, a network or a volume: that says nothing of the container.
        body = _body(new, stdin=stdin, auto_remove=auto_remove)
        call = Call("POST", "/containers/create", {"name": name}, body=body, timeout_s=CHANGE_S)
        made = self._transport.json(call)
        with understood(call):
            return str(made["Id"])

    def _run(self, id_: str, stdin: bytes | BinaryIO | None, stdout: BinaryIO | None, timeout_s: float) -> Output:
        """As the CLI does it: attached, and waiting, before it starts, so that nothing it says or does is missed."""
        streams = {"stream": True, "stdin": stdin is not None, "stdout": True, "stderr": True}
        with self._transport.open(_call("POST", id_, "/attach", streams, timeout_s=timeout_s)) as answer:
            end = self._transport.open(_call("POST", id_, "/wait", {"condition": "removed"}, timeout_s=timeout_s))
            with end:
                self.start(id_)
                written, errors = _converse(answer, stdin, stdout)
                return Output(self._exit_code(end), written, errors)

    @staticmethod
    def _exit_code(answer: Answer) -> int:
        with answer, understood(answer.call):
            data = answer.whole()
            if data.get("Error"):
                raise Refused(answer.call, data["Error"]["Message"])
            return int(data["StatusCode"])


def _call(
    method: str,
    name: str,
    what: str = "",
    query: Mapping[str, str | int | bool | None] | None = None,
    *,
    body: object = None,
    timeout_s: float = ANSWER_S,
) -> Call:
    path = f"/containers/{named(name)}{what}"
    return Call(method, path, query or {}, body=body, asked=Asked("container", name), timeout_s=timeout_s)


def _body(new: NewContainer, *, stdin: bool, auto_remove: bool) -> objects.Json:
    """`new` as the API's body of a container to create."""
    host = {
        "Binds": list(new.volumes),
        "NetworkMode": new.network,
        "CapAdd": list(new.cap_add),
        "CapDrop": list(new.cap_drop),
        "SecurityOpt": list(new.security_opt),
        "ReadonlyRootfs": new.read_only,
        "Tmpfs": dict.fromkeys(new.tmpfs, ""),
        "OomScoreAdj": new.oom_score_adj,
        "RestartPolicy": {"Name": new.restart_policy},
        "AutoRemove": auto_remove,
    }
    if new.shm_bytes:
        host["ShmSize"] = new.shm_bytes
    body: dict[str, object] = {
        "Image": new.image,
        "Env": [f"{name}={value}" for name, value in new.env.items()],
        "Labels": dict(new.labels),
        "User": new.user,
        "HostConfig": host,
        **{"AttachStdin": stdin, "OpenStdin": stdin, "StdinOnce": stdin, "AttachStdout": True, "AttachStderr": True},
    }
    if new.command:
        body["Cmd"] = list(new.command)
    if new.entrypoint:
        body["Entrypoint"] = list(new.entrypoint)
    if new.aliases:
        body["NetworkingConfig"] = {"EndpointsConfig": {new.network: {"Aliases": list(new.aliases)}}}
    return body


def _converse(answer: Answer, stdin: bytes | BinaryIO | None, stdout: BinaryIO | None) -> tuple[bytes, bytes]:
    """What a program writes to its stdout and stderr, while it is given `stdin`."""
    kept, errors = io.BytesIO(), io.BytesIO()
    out = stdout or kept
    with contextlib.ExitStack() as stack:
        if stdin is not None:
            stack.enter_context(answer.fed(stdin))
        for stream, payload in answer.streams():
            (out if stream == STDOUT else errors).write(payload)
    return kept.getvalue(), errors.getvalue()


def _accepted(name: str, command: Sequence[str], output: Output, accept: Collection[int]) -> Output:
    if output.exit_code not in accept:
        raise ProgramFailed(command[0], name, output.exit_code, output.stdout, output.stderr)
    return output
