"""Which tags a registry has of an image, asked without an account (OCI distribution specification 1.1).

A registry that wants a token names the service that gives one to anybody (distribution/spec/auth/token). This machine
asks, by the standard library, with the proxy that its environment names. No redirect is followed.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

LIMIT_S = 5.0
"""How long an answer may take, in seconds. A registry that nobody reaches must not hold up a look at hosts."""
_PAGE, _PAGES = 1000, 50
_MOST_BYTES = 8_000_000
# Docker Hub is called one way and reached another way.
_REACHED = {"docker.io": "registry-1.docker.io"}


class RegistryError(Exception):
    """Why a registry has told no tags, in words for people."""


class Registries:
    """Questions to registries, side by side, each asked once. None takes longer than `limit_s`."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._answers: dict[tuple[str, str], Sequence[str] | str] = {}
        self._asked: dict[tuple[str, str], tuple[threading.Thread, float]] = {}

    def ask(self, registry: str, repository: str) -> None:
        """Begin to ask, where nobody has; returns at once."""
        place = (registry, repository)
        if place not in self._asked:
            # A daemon: the run may end before an answer comes.
            thread = threading.Thread(target=self._work, args=(place,), daemon=True)
            self._asked[place] = thread, time.monotonic() + self._limit_s
            thread.start()

    def answer(self, registry: str, repository: str) -> Sequence[str] | str | None:
        """The tags, or why they are not known; None where nobody has asked. Waits as long as the question's limit."""
        place = (registry, repository)
        if place not in self._asked:
            return None
        thread, until_s = self._asked[place]
        thread.join(max(0.0, until_s - time.monotonic()))
        return self._answers.get(place, "no answer in time")

    def _work(self, place: tuple[str, str]) -> None:
        try:
            self._answers[place] = tags(*place, limit_s=self._limit_s)
        except RegistryError as error:
            self._answers[place] = str(error)
        except Exception as fault:  # a look at hosts goes on, whatever a registry says
            self._answers[place] = f"an answer of another form ({type(fault).__name__})"


def tags(registry: str, repository: str, limit_s: float = LIMIT_S) -> list[str]:
    """All tags of a repository. Raises `RegistryError`; each wait has a limit of `limit_s` seconds."""
    url = f"{_origin(registry)}/v2/{repository}/tags/list?n={_PAGE}"
    token, found = "", list[str]()
    for _ in range(_PAGES):
        status, headers, content = _get(url, token, limit_s)
        if status == 401 and not token:
            token = _token(headers.get("WWW-Authenticate", ""), repository, url, limit_s)
            continue
        if status != 200:
            raise RegistryError(f"HTTP {status}")
        found += _listed(content)
        more = re.match(r'\s*<([^>]+)>\s*;\s*rel="?next"?', headers.get("Link", ""))
        if not more:
            return found
        there = urljoin(url, more[1])
        if urlsplit(there)[:2] != urlsplit(url)[:2]:
            raise RegistryError("a list that goes on elsewhere")
        url = there
    raise RegistryError("a list without an end")


def _origin(registry: str) -> str:
    """Like Docker, by HTTP on this machine alone."""
    name = registry.rpartition(":")[0] or registry
    scheme = "http" if name == "localhost" or name.startswith("127.") else "https"
    return f"{scheme}://{_REACHED.get(registry, registry)}"


def _token(challenge: str, repository: str, asked: str, limit_s: float) -> str:
    """A token for anybody to read the repository. It is asked for as safely as the registry was."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', challenge)) if challenge.lower().startswith("bearer ") else {}
    realm = given.get("realm", "")
    if not realm.startswith("https://") and not (realm.startswith("http://") and asked.startswith("http://")):
        raise RegistryError("a login is wanted")
    question = {"service": given.get("service", ""), "scope": f"repository:{repository}:pull"}
    status, _, content = _get(f"{realm}{'&' if '?' in realm else '?'}{urlencode(question)}", "", limit_s)
    if status != 200:
        raise RegistryError(f"no token (HTTP {status})")
    answer = _object(content)
    token = answer.get("token") or answer.get("access_token")
    if not isinstance(token, str) or not re.fullmatch("[!-~]+", token):
        raise RegistryError("no token")
    return token


def _listed(content: bytes) -> list[str]:
    found = _object(content).get("tags")
    if found is None:  # a repository without tags
        return []
    if not isinstance(found, list) or not all(isinstance(tag, str) for tag in found):
        raise RegistryError("an answer of another form")
    return found


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RegistryError("an answer of another form")
    return found


class _Unredirected(urllib.request.HTTPRedirectHandler):
    """A token gets to the registry alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Unredirected)


def _get(url: str, token: str, limit_s: float) -> tuple[int, Message, bytes]:
    headers = {"Accept": "application/json", "User-Agent": "open-webui-stack"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        # Only http and https: `_origin` and `_token` see to that.
        with _OPENER.open(urllib.request.Request(url, headers=headers), timeout=limit_s) as answer:  # noqa: S310
            content: bytes = answer.read(_MOST_BYTES + 1)
            status, told = answer.status, answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, b""
    except urllib.error.URLError as error:
        raise RegistryError(_why(error.reason)) from None
    except (OSError, HTTPException, ValueError) as error:
        raise RegistryError(_why(error)) from None
    if len(content) > _MOST_BYTES:
        raise RegistryError("a list without an end")
    return status, told, content


def _why(error: object) -> str:
    if isinstance(error, socket.gaierror):
        return "no address for its name"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "a certificate that this machine does not trust"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"an error of the kind {type(error).__name__}"
