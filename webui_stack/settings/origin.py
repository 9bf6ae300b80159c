"""The one spelling of a web origin that browsers send. Pure.

Open WebUI compares the `Origin` of a websocket as text (python-engineio 4.13), and browsers write it as the WHATWG URL
standard says: lower case, no default port, international names in ASCII, IPv6 addresses at their shortest.
"""

from __future__ import annotations

import re

from pydantic_core import Url

# A parser of URLs forgives blanks, tabs, backslashes and escapes; an operator did not mean them.
_WRITTEN = re.compile(r"https?://[^\x00-\x20\x7f/\\?#@%]+/?", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:]+\]")


# A host name, or an IPv4 address.
HOST_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"


def canonical(url: str) -> str:
    """The origin of `url`, a scheme, a host and maybe a port, as browsers send it (https://url.spec.whatwg.org).

    Raises `ValueError` for anything else: another scheme, a user, a path, a host that no browser would look up.
    """
    if not _WRITTEN.fullmatch(url):
        raise ValueError("no web origin")
    parsed = Url(url)  # by the standard: it is Rust's `url`
    if not _HOST.fullmatch(parsed.host or "") or parsed.port == 0:
        raise ValueError("no host of the web")
    return str(parsed).removesuffix("/")


def sent(url: str) -> str:
    """The same where `url` is an origin, and `url` as it is where it is none."""
    try:
        return canonical(url)
    except ValueError:
        return url
