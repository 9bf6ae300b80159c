"""Run one verb: `python3 -I -S FOLDER VERB` with a request on stdin. Exit status 0 whenever an answer was written.

FOLDER is the one that the operator's side sent (`webui_stack.transport.program`). A verb that changes the host runs in
a process of its own (`worker.py`), whose answer this one passes on.

`FOLDER VERB plain` is for units and scripts of the host: the verb runs in this very process, which ends with them, and
keeps the locks that it was started with. Its error is on stderr, with an exit status of 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from types import TracebackType

from . import protocol
from .errors import HostError
from .protocol import Out
from .typed import Any
from .verbs import DETACHED, VERBS

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
"""The variables that this program and its commands have, and their values where the host gives none."""

Emit = Callable[[protocol.Event], None]
Verb = Callable[[Mapping[str, Any], Emit], Any]


def answer(request: protocol.Request, out: Out, verbs: Mapping[str, Verb], errors: Out | None = None) -> bool:
    """Run the request's verb, and write its events and its one result or error to `out`; an error to `errors`, if any.

    Returns whether it ended well.
    """

    def say(line: protocol.Answer) -> None:
        to = errors if errors and isinstance(line, protocol.Failure) else out
        print(protocol.written(request.token, line), file=to, flush=True)

    verb = verbs.get(request.verb)
    try:
        if verb is None:
            known = ", ".join(sorted(verbs))
            raise HostError("verb", expected=f"one of {known}", got=request.verb, do="deploy again")
        result = verb(request.arguments, say)
    except HostError as error:
        say(protocol.Failure.of(error))
        return False
    except Exception as error:
        # A fault of this program. The last lines of the traceback say where; the arguments may be secrets.
        got = f"{type(error).__name__} in {', '.join(_places(error.__traceback__)[-3:])}"
        say(protocol.Failure(f"verb {request.verb}", "no fault of the program", got, "please report it"))
        return False
    if result is not None or request.token != protocol.PLAIN:  # a journal needs no line that says nothing
        say(protocol.Result(result))
    return True


def _places(traceback: TracebackType | None) -> list[str]:
    """The functions and lines of a traceback. Python's module of that name takes 10 ms to load."""
    places = []
    while traceback is not None:
        places.append(f"{traceback.tb_frame.f_code.co_name} ({traceback.tb_lineno})")
        traceback = traceback.tb_next
    return places


def detach(request: protocol.Request, out: Out) -> None:
    """Run the request's verb in a process of its own; say what it says, and what became of others before it."""
    from . import worker  # here, because a verb that only looks has no use for it

    try:
        for event in worker.unfollowed():
            print(protocol.written(request.token, event), file=out, flush=True)
        worker.follow(worker.start(request), out)
    except HostError as error:
        print(protocol.written(request.token, protocol.Failure.of(error)), file=out, flush=True)


def main() -> None:
    """Answer the request on stdin. A request that can't be read is told on stderr, with status 2."""
    words = sys.argv[1:]
    is_worker = words[:1] == [protocol.WORKER] and len(words) == 3
    is_plain = words[1:] == [protocol.PLAIN]
    if len(words) != 1 and not is_plain and not is_worker:
        print(f"expected one verb of {', '.join(sorted(VERBS))}", file=sys.stderr)
        raise SystemExit(2)
    # Nothing that the host exports (REDIS_URL, COMPOSE_FILE, DOCKER_HOST) gets into what docker's commands do.
    kept = {name: os.environ.get(name, default) for name, default in _ENVIRONMENT.items()}
    os.environ.clear()
    os.environ.update(kept)
    try:
        if is_worker:
            from pathlib import Path

            from . import worker

            request, out = worker.work(words[1], Path(words[2]), sys.stdin.readline())
            answer(request, out, VERBS)
            return
        request = protocol.Request.read(words[0], sys.stdin.readline())
    except protocol.ProtocolError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    if is_plain:
        # A script or a unit has asked, which lives on by itself. It waits for the verb, and heeds its status.
        raise SystemExit(0 if answer(request, sys.stdout, VERBS, sys.stderr) else 1)
    if request.verb in DETACHED:
        detach(request, sys.stdout)
    else:
        answer(request, sys.stdout, VERBS)


if __name__ == "__main__":
    main()
