"""One HTTP request to a receiver.

By http.client, which follows no redirect, asks no proxy, and knows no other schemes: a message, and a token with it,
gets to the host of the URL alone.
"""

from __future__ import annotations

import base64
import http.client
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from ..errors import HostError
from .connection import LIMIT_S, RefusedError, tls, why

# The answer to a request that is wrong in itself, as is one of too many bytes.
_REFUSED = (400, 413, 422)
_URL = re.compile("https?://[!-~]+")


def is_url(text: str) -> bool:
    """Whether a text is a URL that a request can be sent to."""
    try:
        parts = urlsplit(text)
        return bool(_URL.fullmatch(text) and parts.hostname and parts.port != 0)
    except ValueError:  # a port that is no number
        return False


def send(name: str, method: str, url: str, headers: Mapping[str, str], body: bytes, limit_s: float = LIMIT_S) -> None:
    """Send a request, and see that its answer has a status of 200 to 299. Each wait has a limit of `limit_s` seconds.

    `name` is the receiver's, for errors. Raises `HostError`, and `RefusedError` where the request itself is wrong.
    """
    try:
        status = _status(method, url, headers, body, limit_s)
    except (OSError, http.client.HTTPException, ValueError) as error:
        do = "see whether the host reaches it"
        raise HostError(name, expected="to take a message", got=why(error), do=do) from None
    if 200 <= status < 300:
        return
    got = f"HTTP {status} {http.client.responses.get(status, '')}".strip()
    if 300 <= status < 400:
        raise HostError(name, expected="an answer without a redirect", got=got, do="give the URL that it leads to")
    kind = RefusedError if status in _REFUSED else HostError
    raise kind(name, expected="to take a message", got=got, do="check its URL and its token")


def _status(method: str, url: str, headers: Mapping[str, str], body: bytes, limit_s: float) -> int:
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    own = {"User-Agent": "open-webui-stack", "Connection": "close"}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        own["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    host, port = parts.hostname or "", parts.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=limit_s, context=tls())
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=limit_s)
    )
    try:
        connection.request(method, target, body or None, {**own, **headers})
        return connection.getresponse().status
    finally:
        connection.close()
