"""How the stack's containers reach others: the CAs that they trust besides their own, and the HTTP proxy between."""

from __future__ import annotations

import re
from pathlib import Path

from webui_stack.model import compose
from webui_stack.settings.model import Settings
from webui_stack.settings.types import HOST_OF_CONTAINERS

# Where a container that starts puts its system's CAs and ours together. In a container that is read-only, /tmp is a
# tmpfs of its own.
_BUNDLE = "/tmp/trusted-ca.pem"  # noqa: S108
# Of Debian and Alpine, on which all images of the stack are built.
_SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----")


def authorities(settings: Settings) -> str:
    """The certificates of `trusted_ca` in PEM, without what else is in the files; "" without any."""
    texts = [Path(path).expanduser().read_text(encoding="ascii") for path in settings.trusted_ca]
    found = [one for text in texts for one in _PEM.findall(text.replace("\r\n", "\n"))]
    return "\n".join(dict.fromkeys(found))


def before_start(settings: Settings) -> str:
    """What a container's shell does before its program starts; "" for nothing.

    A file that is mounted would need a bundle made elsewhere: clients that are told of a file read no other one
    (requests; httpx 0.28), and each image has newer system CAs than the one before.
    """
    if not settings.trusted_ca:
        return ""
    return f"{{ cat {_SYSTEM}; printf '%s\\n' \"$TRUSTED_CA\"; }} >{_BUNDLE}; "


def trust(settings: Settings) -> dict[str, str]:
    """The variables of each container by which its program trusts the CAs (OpenSSL, Go)."""
    if not settings.trusted_ca:
        return {}
    return {"TRUSTED_CA": authorities(settings), "SSL_CERT_FILE": _BUNDLE}


def open_webui_trust(settings: Settings) -> dict[str, str]:
    """The same for Open WebUI: its clients are requests, httpx, aiohttp and botocore (0.12.4).

    Only for containers that begin with `before_start`: clients fail on a bundle that is not there.
    """
    if not settings.trusted_ca:
        return {}
    variables = ["REQUESTS_CA_BUNDLE", "AIOHTTP_CLIENT_SSL_CERT_FILE", "AWS_CA_BUNDLE"]
    if settings.otel:
        variables.append("OTEL_EXPORTER_OTLP_CERTIFICATE")  # gRPC has CAs of its own
    return trust(settings) | dict.fromkeys(variables, _BUNDLE)


def open_webui_proxy(settings: Settings) -> dict[str, str]:
    """Open WebUI's variables of an HTTP proxy, in the case of each letter that some client reads."""
    asked = settings.outbound_proxy
    if not asked:
        return {}
    found = {"no_proxy": _no_proxy(settings)}
    found |= {f"{scheme}_proxy": url for scheme, url in (("http", asked.http), ("https", asked.https)) if url}
    return found | {name.upper(): value for name, value in found.items()}


def https_proxy(settings: Settings) -> dict[str, str]:
    """The variables of the other containers, whose programs are Go's, and ask others by HTTPS alone.

    Not HTTP_PROXY: Caddy would ask Open WebUI through it (a swarm's replicas by addresses that no list names), and
    Ollama's own client the server beside it. Not in lower case: busybox's wget, which is Caddy's healthcheck, reads
    http_proxy and heeds no list.
    """
    asked = settings.outbound_proxy
    if not asked or not asked.https:
        return {}
    return {"HTTPS_PROXY": asked.https, "NO_PROXY": _no_proxy(settings)}


def _no_proxy(settings: Settings) -> str:
    """Who is asked directly: the container itself, as by its healthcheck, the stack, and the operator's list."""
    services = compose.containers_of(settings.images)
    subnet = [settings.network_subnet] if settings.network_subnet else []
    own = ["localhost", "127.0.0.1", "::1", *services, *services.values(), HOST_OF_CONTAINERS, *subnet]
    more = settings.outbound_proxy.no_proxy if settings.outbound_proxy else []
    return ",".join(dict.fromkeys([*own, *more]))
