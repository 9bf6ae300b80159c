"""The locked images of this host: which are here, and how the others come."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import client_config
from .clock import Clock
from .engine import Engine, Image, NotFound, Refused, Unavailable
from .engine.images import PULL_S, Login
from .errors import HostError
from .progress import Progress
from .protocol import Event
from .system import System

_AGAIN = "nothing was stopped: fix that, and run this again"
_CHANGED = (
    "nothing was stopped: find out who changed it, and let the registry have the locked one again, or remove the lock "
    "file, deploy, and run runbooks/lock.py"
)


# How Docker and registries say it (moby, distribution/errors.go; distribution, registry/api/errcode).
_NOT_LET_IN = re.compile(
    r"\b(?:denied|unauthorized|authentication required|no basic auth credentials)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Locked:
    """A locked image: its reference, and what it is known by (`webui_stack.model.lock.Wanted`).

    `name` is its repository and digest, as a registry serves it. `ids` are those it may have here.
    """

    reference: str
    name: str
    ids: Sequence[str]

    @property
    def digest(self) -> str:
        return self.name.partition("@")[2]


def locked(wanted: Iterable[Mapping[str, Any]]) -> list[Locked]:
    """The images of a request."""
    return [Locked(**one) for one in wanted]


def held(engine: Engine, wanted: Iterable[Locked]) -> dict[str, dict[str, str]]:
    """By reference: the id that it means here, and the one of the locked image, "" for none."""
    return {
        one.reference: {"tagged": _id(find(engine, [one.reference])), "locked": _id(_found(engine, one))}
        for one in wanted
    }


def find(engine: Engine, names: Iterable[str]) -> Image | None:
    """The first of these that Docker has; None only where it says that it has none of them."""
    for name in names:
        try:
            return engine.image(name)
        except NotFound:
            continue
    return None


class Registry:
    """Where the images of a host come from.

    Docker's own API has no credentials. An image of a registry in `logins` is pulled with its login. Others that need
    some come by docker's command, with those of root. That one tells no progress.
    """

    def __init__(
        self,
        system: System,
        engine: Engine,
        config: Mapping[str, Any],
        clock: Clock,
        emit: Callable[[Event], None],
        logins: Mapping[str, Login] | None = None,
    ) -> None:
        """`config` is that of docker's command (`client_config.read`)."""
        self._system, self._engine, self._config, self._clock = system, engine, config, clock
        self._emit, self._logins = emit, logins or {}

    def bring(self, wanted: Sequence[Locked]) -> None:
        """Ensure each reference means its locked image.

        An image that is here is not pulled. No reference changes before all images are here. Raises `HostError` where a
        registry does not give the locked one, with what it has instead.
        """
        ids = [_id(_found(self._engine, one)) or self._pulled(one) for one in wanted]
        for one, id_ in zip(wanted, ids):  # noqa: B905 Python 3.9 has no `strict`
            # A reference with a digest means one image already; Docker takes no tag with a digest.
            if "@" not in one.reference:
                self._engine.tag(id_, one.reference)

    def ensure(self, reference: str) -> None:
        """Ensure the reference means an image. Nothing is pulled where it means one already."""
        if find(self._engine, [reference]) is None:
            try:
                self._pull(reference, f"pulling {reference}")
            except Unavailable:
                raise
            except HostError as error:
                raise self._of_login(reference, error.got) or error from error

    # --- Below

    def _pull(self, name: str, text: str) -> None:
        self._emit(Event(text))
        login = client_config.of_registry(self._logins, name)
        if not login and client_config.has_credentials(self._config, name):
            self._system.order("docker", "pull", "--quiet", name, limit_s=PULL_S)
        else:
            self._engine.pull(name, login=login, progress=Progress(text, self._emit, self._clock).at)

    def _of_login(self, name: str, said: str) -> HostError | None:
        """The error to raise where a registry lets nobody in; None for another reason to refuse."""
        if not _NOT_LET_IN.search(said):
            return None
        registry = client_config.registry_of(name)
        login = client_config.of_registry(self._logins, name)
        if login:
            expected, do = f"the login of {login.user} to pull {name}", "see registry_login: user, password and rights"
        else:
            expected, do = f"to pull {name} without a login", f"set registry_login for {registry}, or check the name"
        return HostError(registry, expected=expected, got=said, do=f"nothing was stopped: {do}; then run this again")

    def _pulled(self, one: Locked) -> str:
        """The id of the image, once it is here."""
        try:
            self._pull(one.name, f"pulling {one.reference}")
        except Unavailable:  # Docker itself gave no answer, so it is not asked what the registry has
            raise
        except HostError as error:
            raise self._refusal(one, error) from error
        image = find(self._engine, [one.name])
        if image is None or one.digest not in {digest.partition("@")[2] for digest in image.digests}:
            got = ", ".join(image.digests) or "an image without a digest" if image else "none"
            raise HostError(one.reference, expected=f"the pull to bring the locked {one.digest}", got=got, do=_AGAIN)
        return image.id

    def _refusal(self, one: Locked, error: HostError) -> HostError:
        """The error to raise for a pull that failed: what the registry has, or why nobody can say."""
        if found := self._of_login(one.reference, error.got):
            return found
        do = _AGAIN
        try:
            login = client_config.of_registry(self._logins, one.reference)
            got = self._engine.registry_digest(one.reference, login=login)
            do = _CHANGED
        except Refused as answer:
            got = f"no digest from it ({answer.message})"
            if answer.status == 404:
                got, do = f"nothing ({answer.message})", _CHANGED
        except Unavailable as answer:
            got = f"no digest from it ({answer.got})"
        if got == one.digest:
            return HostError(one.reference, expected=f"a pull of the locked {got}", got=error.got, do=_AGAIN)
        self._emit(Event(f"{one.reference}: {error.got}"))
        return HostError(one.reference, expected=f"the registry to have the locked {one.digest}", got=got, do=do)


def _found(engine: Engine, one: Locked) -> Image | None:
    return find(engine, [one.name, *one.ids])


def _id(image: Image | None) -> str:
    return image.id if image else ""
