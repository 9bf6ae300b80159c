"""The way people come in, as this machine can go it: to the port of Open WebUI, or through the proxy in front of it."""

from __future__ import annotations

import ipaddress
import shlex
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyinfra.api import Host

from webui_stack import compose, remote, tunnel
from webui_stack.settings import Settings
from webui_stack.websocket import ProbeError, Way

# Where Caddy keeps the certificate of its own CA (https://caddyserver.com/docs/automatic-https#local-https, 2.6).
_INTERNAL_CA = "/data/caddy/pki/authorities/local/root.crt"


def of(host: Host, settings: Settings, proxy: str, timeout_s: float) -> Way:
    """The URL people would use, and how to dial it from this machine.

    `proxy` is the container that Caddy runs in. Its certificate is checked as a browser would check it: against this
    machine's authorities, and against the one that the settings bring.
    """
    return _to_proxy(host, settings, proxy, timeout_s) if settings.public_url else _to_port(host, settings, timeout_s)


def _to_port(host: Host, settings: Settings, timeout_s: float) -> Way:
    if settings.verify_url:
        url = settings.verify_url.rstrip("/")
        return Way(url, origin=settings.external_url or url)
    address, dial = _published(host, settings.open_webui_bind, settings.open_webui_port, timeout_s)
    through_ssh = dial if ipaddress.ip_address(settings.open_webui_bind).is_loopback else None
    url = f"http://{compose.published(address)}:{settings.open_webui_port}"
    return Way(url, through_ssh, settings.external_url or url)


def _to_proxy(host: Host, settings: Settings, proxy: str, timeout_s: float) -> Way:
    """By the proxy's own name, whatever name service says of it: that may not know it yet, or mean another machine."""
    if settings.verify_url:
        parts = urlsplit(settings.verify_url)
        assert parts.hostname is not None
        dial: Callable[[], Any] = partial(tunnel.direct, parts.hostname, parts.port or settings.proxy_port, timeout_s)
    else:
        _, dial = _published(host, settings.proxy_bind, settings.proxy_port, timeout_s)

    def encrypted() -> ssl.SSLSocket:
        context = _trust(host, settings, proxy)
        connection = tunnel.as_socket(dial())
        try:
            return context.wrap_socket(connection, server_hostname=settings.proxy_name)
        except OSError:
            connection.close()
            raise

    return Way(settings.external_url, encrypted, settings.external_url)


def _published(host: Host, bind: str, port: int, timeout_s: float) -> tuple[str, Callable[[], Any]]:
    """The address a port is reached by, and how: through the SSH connection when only the host itself can."""
    address = ipaddress.ip_address(bind)
    if address.is_loopback:
        return bind, partial(tunnel.dial, host, bind, port, timeout_s)
    shown = bind
    if address.is_unspecified:
        shown = host.data.get("ssh_hostname") or host.name
        shown = "127.0.0.1" if shown.startswith("@local") else shown
    return shown, partial(tunnel.direct, shown, port, timeout_s)


def _trust(host: Host, settings: Settings, proxy: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if settings.proxy_tls == "files":
        assert settings.proxy_certificate is not None
        context.load_verify_locations(cafile=Path(settings.proxy_certificate).expanduser())
        # The operator's own word: what is in that file needs nobody else's.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    elif settings.proxy_tls == "internal":
        try:
            lines = remote.run(host, shlex.join(["docker", "exec", proxy, "cat", _INTERNAL_CA]))
        except remote.RemoteError as error:
            raise ProbeError(f"the proxy's own CA can't be read: {error}") from None
        context.load_verify_locations(cadata="\n".join(lines))
    return context
