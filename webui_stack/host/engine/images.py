"""Images: what is on the host, and what a registry has."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping

from ..records import dataclass, field
from . import objects
from .errors import Asked, NotFound, Refused
from .objects import Image
from .transport import Call, Transport, named, understood

# A registry may be slow to begin; an image of gigabytes over a slow line takes hours.
PULL_S = 6 * 3600.0
REGISTRY_S = 120.0


@dataclass(frozen=True)
class Login:
    """Who asks a registry."""

    user: str
    password: str = field(repr=False)


class Images:
    """Calls on images. A `reference` is a name with tag or digest, or an id."""

    _transport: Transport

    def image(self, reference: str) -> Image:
        """The image on this host. NotFound says nothing of registries."""
        call = _call("GET", reference, "/json")
        data = self._transport.json(call)
        with understood(call):
            return objects.image(data)

    def tag(self, reference: str, new: str) -> None:
        """Ensure `new` names that image here, whatever it named before."""
        name, tag = split(new)
        call = _call("POST", reference, "/tag")
        self._transport.json(Call(call.method, call.path, {"repo": name, "tag": tag}, asked=call.asked))

    def remove_image(self, reference: str) -> None:
        """Remove a tag, and the image with its last one. Refused (409) where a container uses it."""
        self._transport.json(_call("DELETE", reference, timeout_s=REGISTRY_S))

    def pull(
        self,
        reference: str,
        *,
        login: Login | None = None,
        progress: Callable[[int, int], None] | None = None,
        timeout_s: float = PULL_S,
    ) -> None:
        """Ensure the image is as its registry has it. Docker itself has no credentials: `login` has them, or the CLI.

        `progress` gets bytes that are here and bytes in all, as far as Docker knows of them by then. Each error of the
        registry is Refused; "not found" may be a matter of rights there.
        """
        name, tag = split(reference)
        query = {"fromImage": f"{name}@{tag}" if tag.startswith("sha256:") else f"{name}:{tag}"}
        call = Call("POST", "/images/create", query, headers=_headers(login), timeout_s=timeout_s)
        layers = Layers()
        with self._transport.open(call) as answer:
            for line in answer.lines():
                with understood(call):
                    error = _error(line)
                    changed = layers.read(line)
                # It comes within an answer of status 200, which has begun by then.
                if error:
                    raise Refused(
                        f"a pull of {reference}", error, do="see that the registry has it, and run this again"
                    )
                if changed and progress:
                    progress(layers.here_bytes, layers.all_bytes)

    def registry_digest(self, reference: str, *, login: Login | None = None) -> str:
        """The digest that the registry has for a tag now."""
        path = f"/distribution/{named(reference)}/json"
        call = Call("GET", path, headers=_headers(login), timeout_s=REGISTRY_S)
        data = self._transport.json(call)
        with understood(call):
            return str(data["Descriptor"]["digest"])

    def has_image(self, reference: str) -> bool:
        """Whether it is on this host; raises where Docker does not say."""
        try:
            self.image(reference)
        except NotFound:
            return False
        return True


class Layers:
    """How much of an image's layers is here, by the lines of a pull."""

    def __init__(self) -> None:
        self._here: dict[str, int] = {}
        self._all: dict[str, int] = {}

    @property
    def here_bytes(self) -> int:
        return sum(self._here.values())

    @property
    def all_bytes(self) -> int:
        return sum(self._all.values())

    def read(self, line: objects.Json) -> bool:
        """Take in one line. Returns whether it changed the numbers."""
        layer, status, detail = line.get("id", ""), line.get("status", ""), line.get("progressDetail") or {}
        before = self.here_bytes, self.all_bytes
        # While a layer is unpacked its numbers begin anew: those are of another work.
        if status == "Downloading" and detail.get("total"):
            self._here[layer], self._all[layer] = detail["current"], detail["total"]
        elif status in ("Download complete", "Pull complete") and layer in self._all:
            self._here[layer] = self._all[layer]
        return (self.here_bytes, self.all_bytes) != before


def split(reference: str) -> tuple[str, str]:
    """Name and tag, or name and digest. Without both the tag is "latest", as everywhere in Docker."""
    name, at, digest = reference.partition("@")
    head, colon, tag = name.rpartition(":")
    if colon and "/" not in tag:  # not the port of a registry
        name = head
    else:
        tag = "latest"
    return (name, digest) if at else (name, tag)


def _headers(login: Login | None) -> Mapping[str, str]:
    """Docker passes this on to the registry of the image, and keeps none of it (Engine API, "Authentication")."""
    if login is None:
        return {}
    text = json.dumps({"username": login.user, "password": login.password})
    return {"X-Registry-Auth": base64.urlsafe_b64encode(text.encode()).decode()}


def _error(line: objects.Json) -> str:
    """The error in a line of progress; the first form is of API 1.48 and later, and of all before as well."""
    return str((line.get("errorDetail") or {}).get("message") or line.get("error") or "")


def _call(method: str, reference: str, what: str = "", *, timeout_s: float = 60.0) -> Call:
    path = f"/images/{named(reference)}{what}"
    return Call(method, path, asked=Asked("image", reference), timeout_s=timeout_s)
