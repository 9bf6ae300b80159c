"""The proof that a deployed stack works, from Valkey's own mouth and through the published port.

No log line and no `/health` alone: both are fine while websockets are dead (open-webui#26425).
"""

from __future__ import annotations

import ipaddress
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import redis
from pyinfra import logger
from pyinfra.api import Host

from webui_stack import compose, facts, remote, tunnel, valkey, websocket
from webui_stack.check import Check
from webui_stack.settings import Settings

# One attempt at one check; far above a healthy answer, far below the deadline.
_ATTEMPT_S = 5.0
_PAUSE_S = 1.0
# States a container does not leave by itself while we wait.
_SETTLED = {"missing", "exited", "dead", "created", "paused"}
_PROCESSES = 1


@dataclass
class _Probe:
    """One host's proof in progress; collects what the closing line tells."""

    host: Host
    settings: Settings
    observed: compose.Observed = field(default_factory=compose.Observed)
    told: dict[str, str] = field(default_factory=dict)

    def checks(self) -> Iterator[Check]:
        self.observed = self.host.get_fact(
            facts.Project,
            images=[self.settings.valkey_image, self.settings.open_webui_image],
            ping=True,
        )
        yield from self._containers()
        yield from self._valkey()
        yield from self._open_webui()

    def _containers(self) -> Iterator[Check]:
        for service, name in compose.CONTAINERS.items():
            container = self.observed.containers.get(name)
            status = container.status if container else "missing"
            health = container.health if container else "none"
            seen = f"{name} is {status}, health {health}"
            if container and status == "exited":
                seen += f", exit code {container.exit_code}"
            if container and health == "unhealthy" and container.health_log:
                seen += f", its check said {container.health_log[-200:]!r}"
            yield Check(
                f"container {service}",
                status == "running" and health == "healthy",
                seen,
                f"look at `docker logs --tail 50 {name}` on the host; `pyinfra INVENTORY deploy.py` starts it again",
                settled=status in _SETTLED,
            )

    def _valkey(self) -> Iterator[Check]:
        yield Check(
            "ping by docker exec",
            self.observed.ping == "PONG",
            f"valkey-cli ping answered {self.observed.ping or 'nothing'}",
            "Valkey does not answer inside its own container; look at `docker logs redis-valkey`",
        )
        container = self.observed.containers.get(compose.CONTAINERS["redis"])
        address = container.addresses.get(compose.NETWORK, "") if container else ""
        if not address:
            yield Check(
                "ping through SSH",
                False,
                f"redis-valkey has no address in {compose.NETWORK}",
                "start it first",
            )
            return
        passwords = self._passwords()
        dial = partial(tunnel.dial, self.host, address, valkey.PORT, _ATTEMPT_S)
        try:
            with valkey.connect(dial, "open-webui", passwords["valkey-password"], _ATTEMPT_S) as client:
                elapsed_ms = valkey.ping_ms(client)
            self.told["PONG"] = f"{elapsed_ms:.0f} ms"
            yield Check("ping through SSH", True, f"PONG in {elapsed_ms:.1f} ms as user open-webui")
        except redis.RedisError as error:
            yield Check("ping through SSH", False, str(error), _valkey_hint(error))
            return
        try:
            with valkey.connect(dial, "monitor", passwords["valkey-monitor-password"], _ATTEMPT_S) as client:
                self.told["Valkey"] = valkey.version(client)
                different = valkey.differences(client, valkey.wanted_configuration(self.settings))
                yield Check(
                    "settings in force",
                    not different,
                    "; ".join(different) or "as in valkey.conf",
                    "somebody ran CONFIG SET, or valkey.conf was edited; `docker restart redis-valkey` reads it again",
                )
                subscribers = valkey.subscribers(client)
                self.told["subscribers"] = str(subscribers)
                yield Check(
                    "subscribers",
                    subscribers >= _PROCESSES,
                    f"{subscribers} connections listen on {valkey.CHANNEL}, {_PROCESSES} Open WebUI process",
                    "Open WebUI is not connected to this Valkey: look for `redis` in `docker logs open-webui`",
                )
        except redis.RedisError as error:
            yield Check("settings in force", False, str(error), _valkey_hint(error))

    def _open_webui(self) -> Iterator[Check]:
        url, dial = self._way_in()
        self.told["address"] = url
        hint = (
            "look at `docker logs open-webui`"
            if dial
            else "can this machine reach that address and port? A firewall is a reason; verify_url sets another way"
        )
        try:
            health = websocket.get_json(url, "/health", _ATTEMPT_S, dial)
            yield Check("health", health.get("status") is True, f"/health answered {health}", hint)
            config = websocket.get_json(url, "/api/config", _ATTEMPT_S, dial)
            self.told["Open WebUI"] = str(config.get("version", "?"))
            on = config.get("features", {}).get("enable_websocket")
            yield Check(
                "websocket switched on",
                on is True,
                f"/api/config says enable_websocket {on}, version {config.get('version')}",
                "ENABLE_WEBSOCKET_SUPPORT did not reach the container; run deploy.py again",
            )
        except websocket.ProbeError as error:
            yield Check("health", False, str(error), hint)
        try:
            elapsed_ms = websocket.handshake_ms(url, _ATTEMPT_S, dial)
            self.told["websocket"] = f"{elapsed_ms:.0f} ms"
            yield Check("websocket handshake", True, f"connected in {elapsed_ms:.0f} ms")
        except (websocket.ProbeError, OSError) as error:
            yield Check(
                "websocket handshake",
                False,
                str(error),
                "a proxy in between must pass the Upgrade header; open_webui_cors_origins must list its public URL",
            )

    def _way_in(self) -> tuple[str, Callable[[], Any] | None]:
        """The URL people on this machine would use, and how to dial it when only the host can."""
        settings = self.settings
        if settings.verify_url:
            return settings.verify_url.rstrip("/"), None
        bind = ipaddress.ip_address(settings.open_webui_bind)
        shown = compose.published(settings.open_webui_bind)
        if bind.is_loopback:
            dial = partial(tunnel.dial, self.host, settings.open_webui_bind, settings.open_webui_port, _ATTEMPT_S)
            return f"http://{shown}:{settings.open_webui_port}", dial
        if bind.is_unspecified:
            shown = self.host.data.get("ssh_hostname") or self.host.name
            shown = "127.0.0.1" if shown.startswith("@local") else shown
        return f"http://{shown}:{settings.open_webui_port}", None

    def _passwords(self) -> dict[str, str]:
        """Read the host's two Valkey passwords. Not a fact: pyinfra prints facts' output with -vvv."""
        names = ["valkey-password", "valkey-monitor-password"]
        folder = shlex.quote(f"{self.settings.stack_dir}/secrets")
        try:
            lines = remote.run(self.host, f"cd {folder} && cat {' '.join(names)}")
        except remote.RemoteError:
            lines = ["", ""]  # the login below fails and says what to do
        return dict(zip(names, lines, strict=True))


def _valkey_hint(error: redis.RedisError) -> str:
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError):
        return "users.acl and secrets/ disagree; run deploy.py again"
    return "look at `docker logs redis-valkey`"


def run(host: Host, settings: Settings) -> list[str]:
    """Ensure the stack on this host works, within `verify_timeout_s`; the failing checks, or none.

    Polls, because a container that runs is not yet one that serves, and gives up early when a container
    has stopped for good. Logs one closing line for a host that passes, and every check for one that
    does not.
    """
    deadline = time.monotonic() + settings.verify_timeout_s
    probe = _Probe(host, settings)
    while True:
        checks = list(probe.checks())
        failed = [check for check in checks if not check.ok]
        if not failed or any(check.settled for check in failed) or time.monotonic() >= deadline:
            break
        time.sleep(_PAUSE_S)
    if not failed:
        told = probe.told
        host.log(
            f"{told['address']}  Open WebUI {told['Open WebUI']}, Valkey {told['Valkey']}, PONG in {told['PONG']}, "
            f"{told['subscribers']} subscriber{'' if told['subscribers'] == '1' else 's'}, "
            f"websocket in {told['websocket']}",
            log_func=logger.info,
        )
        return []
    for check in checks:
        if check.ok:
            host.log(f"ok      {check}")
    return [f"failed  {check}" for check in failed]
