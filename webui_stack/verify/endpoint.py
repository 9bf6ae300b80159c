"""The way people come in, as this machine can go it: to the port of Open WebUI, or through the proxy in front of it."""

from __future__ import annotations

import ipaddress
import shlex
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyinfra.api import Host

from webui_stack.model import compose
from webui_stack.settings import origin
from webui_stack.settings.model import Settings
from webui_stack.transport import remote, tunnel
from webui_stack.verify import certificate
from webui_stack.verify.websocket import ProbeError, Way

# Where Caddy keeps the certificate of its own CA (https://caddyserver.com/docs/automatic-https#local-https, 2.6).
_INTERNAL_CA = "/data/caddy/pki/authorities/local/root.crt"


def of(host: Host, settings: Settings, proxy: str, timeout_s: float) -> Way:
    """The URL people would use, and how to dial it from this machine.

    `proxy` is the container that Caddy runs in. Its certificate is checked as a browser would check it: against the
    roots this machine knows, and those that the settings bring.
    """
    return _to_proxy(host, settings, proxy, timeout_s) if settings.public_url else _to_port(host, settings, timeout_s)


def _to_port(host: Host, settings: Settings, timeout_s: float) -> Way:
    if settings.verify_url:
        url = settings.verify_url.rstrip("/")
        parts = urlsplit(url)
        assert parts.hostname is not None
        encrypted = None
        if parts.scheme == "https":
            direct = partial(tunnel.direct, parts.hostname, parts.port or 443, timeout_s)
            encrypted = _encrypted(direct, lambda: _trust(settings), parts.hostname)
        return Way(url, encrypted, settings.external_url or origin.sent(url))
    address, dial, detour = _published(host, settings.open_webui_bind, settings.open_webui_port, timeout_s)
    through_ssh = dial if detour or ipaddress.ip_address(settings.open_webui_bind).is_loopback else None
    url = f"http://{compose.published(address)}:{settings.open_webui_port}"
    return Way(url, through_ssh, settings.external_url or origin.sent(url), detour)


def _to_proxy(host: Host, settings: Settings, proxy: str, timeout_s: float) -> Way:
    """By the proxy's own name, whatever name service says of it: that may not know it yet, or mean another machine."""
    detour = ""
    if settings.verify_url:
        parts = urlsplit(settings.verify_url)
        assert parts.hostname is not None
        dial: Callable[[], Any] = partial(tunnel.direct, parts.hostname, parts.port or settings.proxy_port, timeout_s)
    else:
        _, dial, detour = _published(host, settings.proxy_addresses[0], settings.proxy_port, timeout_s)
    encrypted = _encrypted(dial, lambda: _trust_in_proxy(host, settings, proxy), settings.proxy_name)
    return Way(settings.external_url, encrypted, settings.external_url, detour)


def _encrypted(dial: Callable[[], Any], trust: Callable[[], ssl.SSLContext], name: str) -> Callable[[], ssl.SSLSocket]:
    def encrypted() -> ssl.SSLSocket:
        context = trust()
        connection = tunnel.as_socket(dial())
        try:
            return context.wrap_socket(connection, server_hostname=name)
        except OSError:
            connection.close()
            raise

    return encrypted


def certificate_of(way: Way) -> Mapping[str, Any] | None:
    """The certificate that is served there, as `ssl.SSLSocket.getpeercert` shows it; None without TLS.

    Raises `ssl.SSLCertVerificationError` when a client refuses it, `OSError` when nothing answers, `ProbeError`.
    """
    if way.dial is None or urlsplit(way.url).scheme != "https":
        return None
    with way.dial() as connection:
        shown: Mapping[str, Any] = connection.getpeercert()
        return shown


def _published(host: Host, bind: str, port: int, timeout_s: float) -> tuple[str, Callable[[], Any], str]:
    """The address a port is reached by, how, and why not as people do.

    This machine goes as pyinfra does where only ~/.ssh/config knows the host's name, or SSH goes by a jump host.
    Otherwise a port that can't be reached stays so: a firewall may be in the way of people, too.
    """
    address = ipaddress.ip_address(bind)
    if address.is_loopback:
        return bind, partial(tunnel.dial, host, bind, port, timeout_s), ""
    shown = inside = bind
    detour = ""
    if address.is_unspecified:
        inside = "127.0.0.1" if address.version == 4 else "::1"
        shown = host.data.get("ssh_hostname") or host.name
        shown = "127.0.0.1" if shown.startswith("@local") else shown
        if unknown := _unknown(shown):
            peer = tunnel.peer(host)
            shown, detour = peer or shown, "" if peer else unknown
    if not detour and tunnel.goes_by_another_host(host):
        try:
            tunnel.direct(shown, port, timeout_s).close()
        except tunnel.TunnelError as error:
            detour = f"{error}, and SSH goes there by another host"
    if detour:
        return shown, partial(tunnel.dial, host, inside, port, timeout_s), detour
    return shown, partial(tunnel.direct, shown, port, timeout_s), ""


def _unknown(name: str) -> str:
    """Why this machine finds no address for a name; "" where it does."""
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        return f"{name}: {error.strerror or error}"
    return ""


def _trust(settings: Settings) -> ssl.SSLContext:
    """This machine's authorities and the operator's own; as in browsers, only a root ends a chain.

    A chain that ends at an intermediate certificate, or at the server's own, is trusted by Python 3.13's defaults
    (VERIFY_X509_PARTIAL_CHAIN). A client that lacks the intermediate certificate is then refused, unseen.
    """
    context = ssl.create_default_context()
    context.verify_flags &= ~(ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT)
    if settings.verify_ca and not _add_roots(context, settings.verify_ca):
        raise ProbeError(
            f"verify_ca: expected a root certificate, got none in {settings.verify_ca}; intermediate ones are the "
            "server's to send"
        )
    for path in settings.trusted_ca:
        _add_roots(context, path)
    return context


def _trust_in_proxy(host: Host, settings: Settings, proxy: str) -> ssl.SSLContext:
    context = _trust(settings)
    if settings.proxy_tls == "files":
        assert settings.proxy_certificate is not None
        _add_roots(context, settings.proxy_certificate)  # a root that is in there is the operator's own word
    elif settings.proxy_tls == "internal":
        try:
            lines = remote.run(host, shlex.join(["docker", "exec", proxy, "cat", _INTERNAL_CA]))
        except remote.RemoteError as error:
            raise ProbeError(f"the proxy's own CA can't be read: {error}") from None
        context.load_verify_locations(cadata="\n".join(lines))
    return context


def _add_roots(context: ssl.SSLContext, path: str) -> bool:
    """Ensure the roots in a file are trusted; whether it has any. Its other certificates fill no gap in a chain."""
    try:
        found = certificate.roots(Path(path).expanduser().read_bytes())
    except (OSError, ValueError) as error:
        raise ProbeError(f"{path}: expected certificates in PEM, got {error}") from None
    if found:
        context.load_verify_locations(cadata="".join(found))
    return bool(found)
