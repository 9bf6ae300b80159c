"""Ollama in the stack: which models it has, and models that it fetches. Its API is not published, so the host asks.

Source: https://docs.ollama.com/api (0.35).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import stack
from .clock import Clock
from .engine import Container, Engine, NotFound
from .errors import HostError

if TYPE_CHECKING:
    from http.client import HTTPResponse

PORT = 11434
# A list of models is short. While Ollama compares a model of gigabytes with its checksum, it is silent.
_ANSWER_S, _SILENT_S = 30.0, 900.0
# A model of a hundred gigabytes over a slow line.
PULL_S = 12 * 3600.0
# A line of its answers, and its list.
_LINE_BYTES, _LIST_BYTES = 1 << 20, 1 << 24
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Ollama:
    """An Ollama at an address of this host. Every method raises `HostError` where it does not answer as expected."""

    def __init__(self, address: str, clock: Clock, port: int = PORT) -> None:
        self.address, self._clock, self._port = address, clock, port

    def models(self) -> list[str]:
        """The names of the models that it has, with their tags."""
        answer = self._ask("GET", "/api/tags", None, _ANSWER_S)
        with _or_else("no list of models"):
            text = answer.read(_LIST_BYTES)
            return sorted(str(one["name"]) for one in json.loads(text)["models"])

    def pull(self, model: str, progress: Callable[[int, int], None]) -> None:
        """Ensure it has the model as its registry has it now. Parts that were fetched before are kept.

        `progress` gets bytes that are here and bytes in all, as far as Ollama knows of them by then.
        """
        ends_s = self._clock.monotonic() + PULL_S
        body = json.dumps({"model": model, "stream": True})
        done = False
        here: dict[str, int] = {}
        wanted: dict[str, int] = {}
        for line in self._lines(self._ask("POST", "/api/pull", body, _SILENT_S)):
            if "error" in line:
                raise HostError(
                    f"ollama_models: {model}",
                    expected="Ollama to pull it",
                    got=_shown(line["error"]),
                    do="see that the name is right, and that the server reaches the registry; then run this again",
                )
            if self._clock.monotonic() > ends_s:
                raise _silent(f"no end of the pull of {model} in {PULL_S / 3600:.0f} h")
            total, completed = line.get("total"), line.get("completed", 0)
            if isinstance(total, int) and isinstance(completed, int) and total > 0:
                layer = str(line.get("digest"))
                wanted[layer], here[layer] = total, completed
                progress(sum(here.values()), sum(wanted.values()))
            done = line.get("status") == "success"
        if not done:
            raise _silent(f"an end of its answer in the pull of {model}")

    def _ask(self, method: str, path: str, body: str | None, limit_s: float) -> HTTPResponse:
        from http.client import HTTPConnection  # takes 40 ms at each start of this program, and few need it

        # It heeds no variable of a proxy.
        connection = HTTPConnection(self.address, self._port, timeout=limit_s)
        with _or_else("no answer"):
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            if answer.status != 200:
                raise _silent(f"HTTP {answer.status} ({_error(answer.read(_LINE_BYTES))})")
        return answer

    def _lines(self, answer: HTTPResponse) -> Iterator[dict[str, Any]]:
        """The answer's lines, as they come."""
        while True:
            with _or_else("a broken answer"):
                line = answer.readline(_LINE_BYTES)
                if not line:
                    return
                found = json.loads(line)
                if not isinstance(found, dict):
                    raise ValueError("no object")
            yield found


@dataclass(frozen=True)
class Place:
    """Where Ollama is: its container's name, in a swarm its service's, and the stack's network.

    `gateway` is the bridge by which a swarm's host reaches its containers, "" without a swarm.
    """

    container: str
    network: str
    gateway: str = ""


def find(engine: Engine, place: Place, clock: Clock) -> Ollama | None:
    """The Ollama that runs here, None without one."""
    one = _container(engine, place)
    at = _address(engine, one, place) if one else ""
    return Ollama(at, clock) if at else None


def tagged(model: str) -> str:
    """The name as Ollama lists it: with a tag, "latest" where it has none."""
    head, colon, tag = model.rpartition(":")
    return model if colon and "/" not in tag and head else f"{model}:latest"


@contextmanager
def _or_else(got: str) -> Iterator[None]:
    """An answer that does not come, or has another form, is an error that says `got`."""
    from http.client import HTTPException

    try:
        yield
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        raise _silent(f"{got} ({type(error).__name__})") from error


def _error(text: bytes) -> str:
    try:
        return _shown(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return _shown(text.decode("utf-8", "replace").strip()) or "no text"


def _shown(text: object) -> str:
    return _CONTROL.sub(" ", str(text))[:300]


def _silent(got: str) -> HostError:
    return HostError(
        "ollama", expected="an answer of the stack's Ollama", got=got, do="see `docker logs` of it, and run this again"
    )


def _container(engine: Engine, place: Place) -> Container | None:
    if not place.gateway:
        try:
            found = engine.container(place.container)
        except NotFound:
            return None
        return found if found.running else None
    there = engine.containers(label=f"{stack.SERVICE_LABEL}={place.container}")
    return next((one for one in there if one.running), None)


def _address(engine: Engine, one: Container, place: Place) -> str:
    """Where this host reaches the container; an overlay's addresses are for containers only."""
    if place.gateway:
        return stack.gateways(engine, place.gateway).get(one.id, "")
    return one.networks[place.network].address if place.network in one.networks else ""
