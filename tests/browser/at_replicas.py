"""The replica that somebody's browser is at."""

from __future__ import annotations

import time

from tests.browser.person import Person
from tests.lab.door import STICKY
from tests.lab.replicas import PROCESSES, Stack


def mark_of(person: Person) -> str:
    """The cookie by which the proxy knows their replica again."""
    (value,) = (one["value"] for one in person.page.context.cookies() if one["name"] == STICKY)
    return value


def process_of(person: Person, stack: Stack) -> str:
    """The container that answers them: the one that has their request in its log."""
    mark = f"mark-{time.time_ns()}"
    person.ask(f"/api/config?{mark}")
    found = [name for name in PROCESSES if mark in stack.host.check_output("docker logs --since 1m %s 2>&1", name)]
    assert len(found) == 1, found
    return found[0]


def move(person: Person, mark: str) -> None:
    """Let the proxy keep their browser at the replica of that mark from now on."""
    context = person.page.context
    (cookie,) = (one for one in context.cookies() if one["name"] == STICKY)
    domain, path, secure = cookie["domain"], cookie["path"], cookie["secure"]
    context.add_cookies([{"name": STICKY, "value": mark, "domain": domain, "path": path, "secure": secure}])
