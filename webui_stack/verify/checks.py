"""The checks of a deployed stack: what Valkey itself reports, and what arrives through the published port.

No log line and no `/health` alone: both are fine while websockets are dead (open-webui#26425).
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import NamedTuple

import gevent
import redis
from pyinfra.api import Host

from webui_stack.model import compose
from webui_stack.model.check import Check
from webui_stack.model.survey import Survey
from webui_stack.ops.host_state import Observation
from webui_stack.render import project
from webui_stack.settings.model import Settings
from webui_stack.transport import remote, tunnel
from webui_stack.verify import account, answer, certificate, endpoint, event, hints, valkey, valkey_login, websocket
from webui_stack.verify.valkey_login import Login
from webui_stack.verify.websocket import ProbeError, Session, Way

# One attempt at one check; far above a healthy answer, far below the deadline.
_ATTEMPT_S = 5.0
# So old a result of Docker's health check is no answer any more. By default that runs every ten seconds.
_HEALTH_AGE_S = 15
# States a container does not leave by itself while we wait.
_SETTLED = {"missing", "exited", "dead", "created", "paused"}


class _Process(NamedTuple):
    """A process of Open WebUI: the host it is on, its container there, and the address that host reaches it by."""

    host: Host
    container: str
    address: str


@dataclass
class Probe:
    """One host's proof in progress; collects what the closing line tells.

    `data_node` is the host that Valkey is on, `everywhere` are all hosts of the stack: with compose both are this one.
    """

    host: Host
    settings: Settings
    data_node: Observation
    everywhere: Sequence[Observation]
    survey: Survey = field(default_factory=Survey)
    observed: compose.Observed = field(default_factory=compose.Observed)
    told: dict[str, str] = field(default_factory=dict)
    flushed: str | None = None
    token: str = field(default="", repr=False)
    answered: list[Check] = field(default_factory=list)

    def checks(self, survey: Survey) -> list[Check]:
        """One attempt at all checks. The checks of a group follow each other, the groups go on side by side."""
        self.survey, self.observed, self.flushed = survey, survey.services, None
        groups: list[Callable[[], Iterator[Check]]] = []
        if self.settings.runs("data"):
            groups += [self._ping, self._valkey, self._monitored]
        if self.settings.verify_level != "ping":
            groups.append(self._reachable)
            groups.append(self._open_webui if self.settings.runs("proxy") else self._events_to_all)
        found = [*self._containers(), *_side_by_side(groups)]
        if self.settings.verify_level == "user" and self.settings.runs("data"):
            found += self._user()
        return found

    def _containers(self) -> Iterator[Check]:
        named = compose.containers_of(self.settings.images)
        if self.settings.topology == "swarm":  # which of them are on this host is the swarm's choice
            named = {container.service: name for name, container in self.observed.containers.items()}
        for service, name in named.items():
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

    def _ping(self) -> Iterator[Check]:
        """The tutorial's own check. Docker makes it as the container's health check, so a recent result is as good as
        one of ours, and costs nothing; without a good and recent one, Valkey is asked."""
        container = self.observed.of("redis")
        age_s = compose.health_age_s(container, self.survey.machine.epoch_s) if container else math.inf
        # The health check also passes with MISCONF and BUSY, which are alive and not well.
        passed = container and age_s <= _HEALTH_AGE_S and container.health_log == "PONG"
        answer = "PONG" if passed else self._ping_by_exec()
        yield Check(
            "ping in its container",
            answer == "PONG",
            f"valkey-cli ping answered {answer or 'nothing'}",
            valkey.next_step(answer),
        )

    def _ping_by_exec(self) -> str:
        try:
            container = self.observed.of("redis")
            name = container.name if container else compose.container_of("redis")
            return " ".join(remote.run(self.host, f"docker exec {name} valkey-cli -p 6379 ping"))
        except remote.RemoteError as error:
            return str(error)

    def _valkey(self) -> Iterator[Check]:
        try:
            with self._client(valkey.USER) as client:
                elapsed_ms = valkey.ping_ms(client)
            self.told["PONG"] = f"{elapsed_ms:.0f} ms"
            seen = f"PONG in {elapsed_ms:.1f} ms as user {valkey.USER}"
            yield Check("ping through SSH", True, seen, elapsed_ms=elapsed_ms)
        except redis.RedisError as error:
            yield Check("ping through SSH", False, str(error), valkey_login.next_step(error))

    def _monitored(self) -> Iterator[Check]:
        """What Valkey says of itself: its settings, and who listens."""
        try:
            with self._client(valkey.MONITOR) as monitor:
                self.told["Valkey"] = valkey.version(monitor)
                different = valkey.differences(monitor, valkey.wanted_configuration(self.settings))
                yield Check(
                    "settings in force",
                    not different,
                    "; ".join(different) or "as in valkey.conf",
                    "somebody ran CONFIG SET, or valkey.conf was edited; `docker restart redis-valkey` reads it again",
                )
                if self.settings.verify_level != "ping":
                    yield self._subscribers(monitor)
        except redis.RedisError as error:
            yield Check("settings in force", False, f"not known: {error}", valkey_login.next_step(error))

    def _subscribers(self, monitor: redis.Redis) -> Check:
        """One for each process. A swarm is known to have so many and no more: one too many is of one that is lost."""
        in_swarm = self.settings.topology == "swarm"
        wanted = self.settings.open_webui_replicas
        processes = wanted if in_swarm else max(wanted, len(self._processes))
        subscribers = valkey.subscribers(monitor)
        enough = subscribers == processes if in_swarm else subscribers >= processes
        why = ""
        if subscribers > processes:
            why = "those of a host that was lost end within half a minute: run it again; or what else listens there?"
        elif not enough:
            why = self._why_cut_off() or hints.of_silence(
                self.host, [one.container for one in self._processes], monitor
            )
        self.told["subscribers"] = str(subscribers)
        return Check(
            "subscribers",
            enough,
            f"{subscribers} connections listen on {valkey.CHANNEL}, "
            f"{processes} replica{'s' if processes > 1 else ''} of Open WebUI",
            why or "Open WebUI is not connected to this Valkey: look for `redis` in `docker logs open-webui`",
        )

    def _reachable(self) -> Iterator[Check]:
        """That the host reaches each process it has to have; what has no address can't be tested, nor used."""
        reached = self.observed.processes
        if self.settings.topology == "swarm":  # how many of them are on this host is its choice
            of_it = [one for one in self.observed.containers.values() if compose.is_process(one.service)]
            wanted = [one.name for one in of_it if one.status == "running"]
        else:
            wanted = [compose.container_of(service) for service in self.settings.open_webui_services]
        missing = [_short(name) for name in wanted if name not in reached]
        if wanted:
            yield Check(
                "replicas",
                not missing,
                f"{len(wanted) - len(missing)} of {len(wanted)} replicas have an address in "
                f"{compose.NETWORK}" + (f", not {', '.join(missing)}" if missing else ""),
                "it does not run, or was taken off the network; `pyinfra INVENTORY deploy.py` attaches it again",
            )

    def _open_webui(self) -> Iterator[Check]:
        way = self._way_in
        self.told["address"] = way.url
        for check in self._certificate(way):
            yield check
            if check.is_fault and not check.settled:
                return  # whatever follows would fail for the same reason, and name another
        hint = (
            "look at `docker logs open-webui`"
            if way.dial
            else "can this machine reach that address and port? A firewall is a reason; verify_url sets another way"
        )
        try:
            health = websocket.ask(way, "GET", "/health", _ATTEMPT_S)
            yield Check("health", health.get("status") is True, f"/health answered {health}", hint)
            if way.detour:
                yield Check(
                    "way in",
                    False,
                    f"this machine can't reach it as people do ({way.detour}); it was reached through SSH",
                    "set verify_url to an address of it that this machine reaches",
                    advice=True,
                )
            yield from self._ready(way)
            config = websocket.ask(way, "GET", "/api/config", _ATTEMPT_S)
            self.told["Open WebUI"] = str(config.get("version", "?"))
            on = config.get("features", {}).get("enable_websocket")
            yield Check(
                "websocket switched on",
                on is True,
                f"/api/config says enable_websocket {on}, version {config.get('version')}",
                "ENABLE_WEBSOCKET_SUPPORT did not reach the container; run deploy.py again",
            )
            if config.get("onboarding") and self.settings.is_open_to_others:
                yield Check(
                    "first admin",
                    False,
                    f"nobody has signed up yet, and others can reach {way.url}",
                    "the first to sign up is the admin: do it now",
                    advice=True,
                )
        except ProbeError as error:
            yield Check("health", False, str(error), self._why_cut_off() or hint)
            return
        try:
            with websocket.connected(way, _ATTEMPT_S) as session:
                elapsed_ms = session.handshake_ms
                self.told["websocket"] = f"{elapsed_ms:.0f} ms"
                yield Check("websocket handshake", True, f"connected in {elapsed_ms:.0f} ms", elapsed_ms=elapsed_ms)
                yield from self._origins(way)
                yield from self._held(session)
                if self.settings.topology == "compose" and len(self._processes) == 1:
                    yield from self._events(session)
                    return
        except ProbeError as error:
            # Open WebUI lets nobody in either while it can't listen on Valkey.
            given = hints.variables(self.host, self._processes[0].container) if self._processes else {}
            hint = "a proxy in between must pass the Upgrade header; `docker logs open-webui` may say more"
            yield Check("websocket handshake", False, str(error), self._why_refused(given, way) or hint)
            return
        yield from self._events_to_all()

    def _certificate(self, way: Way) -> Iterator[Check]:
        """That clients which know roots only trust what is served there, and for how long still."""
        renewal = "renew it in the proxy that serves it"
        if self.settings.public_url:
            renewal = (
                "renew the file in proxy_certificate and deploy"
                if self.settings.proxy_tls == "files"
                else "Caddy renews it at a third of its lifetime: `docker logs open-webui-proxy` tells why it did not"
            )
        try:
            shown = endpoint.certificate_of(way)
        except ssl.SSLCertVerificationError as error:
            yield certificate.refused(error, renewal)
        except ProbeError as error:
            yield Check(certificate.NAME, False, str(error), "see proxy_certificate and verify_ca")
        except OSError as error:
            found_none = certificate.missing(error) if isinstance(error, ssl.SSLError) else None
            if found_none and self.settings.public_url:
                yield found_none
            return  # nobody answers: the next check tells
        else:
            if shown:
                found = certificate.check(shown, time.time(), renewal)
                self.told["certificate"] = found.seen.partition(" more ")[0]
                self.told["certificate ends"] = certificate.ends(shown)
                yield found

    def _ready(self, way: Way, which: str = "") -> Iterator[Check]:
        """What Open WebUI says of its own database and Redis, where its version says so."""
        why = websocket.ready(way, _ATTEMPT_S)
        if why is not None:
            hint = "its database or Valkey does not answer it: look at its `docker logs`"
            hint = (why and self._why_cut_off()) or hint
            yield Check(f"ready{which}", not why, why or "/ready: start-up, database and Redis", hint)

    def _origins(self, way: Way) -> Iterator[Check]:
        """That a websocket opens for a page of each further origin that the settings list."""
        for origin in self.settings.cors_allow_origin.split(";"):
            if origin in ("*", way.origin):
                continue
            name = f"websocket from {origin}"
            try:
                with websocket.connected(replace(way, origin=origin), _ATTEMPT_S) as session:
                    yield Check(name, True, f"connected in {session.handshake_ms:.0f} ms")
            except ProbeError as error:
                given = hints.variables(self.host, self._processes[0].container) if self._processes else {}
                hint = "a proxy in between must keep Origin as it is; else see open_webui_cors_origins"
                yield Check(name, False, str(error), hints.of_refusal(given, origin) or hint)

    def _held(self, session: Session) -> Iterator[Check]:
        """That nothing in between ends a quiet websocket. Events that follow show that it was not just forgotten."""
        hold_s = self.settings.verify_hold_s
        if hold_s:
            open_s = session.hold(hold_s)
            yield Check(
                "websocket held",
                open_s >= hold_s,
                f"open for {open_s:.0f} s" if open_s >= hold_s else f"ended after {open_s:.0f} s without a word",
                "Open WebUI is silent for 25 s at a time: what is in between has to wait longer "
                "(proxy_read_timeout in nginx, timeout tunnel in HAProxy)",
                settled=True,
            )

    def _why_refused(self, given: dict[str, str], way: Way) -> str:
        return self._why_cut_off() or hints.of_refusal(given, way.origin) or self._why_silent()

    def _why_cut_off(self) -> str:
        """Why packets do not get through at all; asked once for each attempt."""
        if self.flushed is None:
            self.flushed = hints.of_firewall(self.host)
        return self.flushed

    def _events_to_all(self) -> Iterator[Check]:
        """That events arrive at a websocket of each process on this host, past whatever spreads people over them."""
        for process in self._processes:
            try:
                way, which = self._way_to(process), f" to {_short(process.container)}"
                yield from self._ready(way, f" at {_short(process.container)}")
                with websocket.connected(way, _ATTEMPT_S) as session:
                    yield from self._events(session, which)
            except ProbeError as error:
                name = f"websocket to {_short(process.container)}"
                hint = f"look at `docker logs {process.container}`"
                yield Check(name, False, str(error), self._why_silent() or hint)

    def _events(self, session: Session, which: str = "") -> Iterator[Check]:
        """That what is published in Valkey arrives at the websocket, a small event and a large one."""
        large_kb = self.settings.verify_event_kb
        name = ""
        try:
            with self._client(valkey.USER) as client:
                for what, kilobytes in (("event", 0), (f"event of {large_kb} KB", large_kb)):
                    name = f"{what} through Valkey{which}"
                    elapsed_ms = event.through_valkey_ms(session, client, kilobytes, _ATTEMPT_S)
                    self.told.setdefault("event", f"{elapsed_ms:.0f} ms")
                    yield Check(name, True, f"arrived in {elapsed_ms:.0f} ms", elapsed_ms=elapsed_ms)
        except (ProbeError, redis.RedisError) as error:
            yield Check(name, False, str(error), self._why_silent() or "look at `docker logs open-webui`")

    def _user(self) -> Iterator[Check]:
        """That what a user's request causes arrives at their websocket, at another process if there is one.

        So do the tokens of a model's answer, which is asked for even where that event was lost: it tells more.
        """
        all_of_them = self._all_processes
        several = len(all_of_them) > 1
        listening = self._way_to(all_of_them[0]) if several else self._way_in
        asking = self._way_to(all_of_them[-1]) if several else self._way_in
        first, last = (_short(all_of_them[end].container) for end in (0, -1)) if several else ("", "")
        name = f"event from {last} to {first}" if several else "event of a user's request"
        try:
            self.token = self.token or self._sign_in(asking)
        except ProbeError as error:
            yield self._lost(name, error)
            return
        try:
            with websocket.connected(listening, _ATTEMPT_S, self.token) as session:
                session.call("user-join", {"auth": {"token": self.token}}, _ATTEMPT_S)
                yield self._request(name, session, asking)
                yield from self._answer(session, asking)
        except ProbeError as error:
            yield self._lost(name, error)
            if self.settings.verify_model:
                deaf = answer.Answer(fault=answer.Fault.UNHEARD, seen=str(error))
                yield from deaf.checks(self.settings.verify_model, self._why_silent())

    def _request(self, name: str, session: Session, asking: Way) -> Check:
        try:
            elapsed_ms = event.by_request_ms(session, asking, self.token, _ATTEMPT_S)
        except ProbeError as error:
            return self._lost(name, error)
        self.told["event"] = f"{elapsed_ms:.0f} ms"
        return Check(name, True, f"arrived in {elapsed_ms:.0f} ms", elapsed_ms=elapsed_ms)

    def _lost(self, name: str, error: ProbeError) -> Check:
        return Check(name, False, str(error), self._why_silent() or "look at `docker logs open-webui`")

    def _answer(self, session: Session, asking: Way) -> Iterator[Check]:
        """That a model's answer arrives at the websocket. A model that gave a whole one is not asked again."""
        model = self.settings.verify_model
        if model and not self.answered:
            try:
                found = answer.ask(session, asking, self.token, model, self.settings.verify_timeout_s, _ATTEMPT_S)
            except ProbeError as error:
                yield Check(f"first token of {model}", False, str(error), "look at `docker logs open-webui`")
                return
            told = list(found.checks(model, self._why_silent() if found.fault is answer.Fault.UNHEARD else ""))
            if found.fault:
                yield from told
                return
            self.answered = told
            self.told["first token"], self.told["last token"] = (f"{one.elapsed_ms:.0f} ms" for one in told)
        yield from self.answered

    def _sign_in(self, way: Way) -> str:
        """With a process that can make the account, wherever it is; the password is where the secrets are."""
        process = self._all_processes[0] if self._all_processes else None
        there = (process.host, process.container) if process else (self.host, compose.container_of("open-webui"))
        return account.sign_in(self.host, there, way, self.settings.stack_dir, _ATTEMPT_S)

    def close(self) -> None:
        """Ensure the probe's login, if there was one, is revoked."""
        if self.token:
            account.sign_out(self._way_in, self.token, _ATTEMPT_S)

    @cached_property
    def _way_in(self) -> Way:
        proxy = self.observed.of("proxy")
        name = proxy.name if proxy else compose.container_of("proxy")
        return endpoint.of(self.host, self.settings, name, _ATTEMPT_S)

    def _way_to(self, process: _Process) -> Way:
        """The way to one process, past the published port."""
        dial = partial(tunnel.dial, process.host, process.address, project.OPEN_WEBUI_PORT, _ATTEMPT_S)
        url = f"http://{process.address}:{project.OPEN_WEBUI_PORT}"
        return Way(url, dial, self.settings.external_url or self._way_in.origin)

    def _client(self, user: str) -> AbstractContextManager[redis.Redis]:
        observed = self.observed if self.data_node.host is self.host else self.data_node.survey().services
        return self._login.client(observed, user, _ATTEMPT_S)

    @cached_property
    def _login(self) -> Login:
        return Login(self.data_node.host, self.settings.stack_dir)

    @property
    def _processes(self) -> list[_Process]:
        """Open WebUI's processes that run on this host."""
        return [_Process(self.host, name, address) for name, address in self.observed.processes.items()]

    @property
    def _all_processes(self) -> list[_Process]:
        """Those of this host, then those of the others."""
        others = [other for other in self.everywhere if other.host is not self.host]
        return self._processes + [
            _Process(other.host, name, address)
            for other in others
            for name, address in other.survey().services.processes.items()
        ]

    def _why_silent(self) -> str:
        if cut_off := self._why_cut_off():
            return cut_off
        try:
            with self._client(valkey.MONITOR) as monitor:
                return hints.of_silence(self.host, [one.container for one in self._processes], monitor)
        except redis.RedisError:
            return ""


def _side_by_side(groups: Iterable[Callable[[], Iterable[Check]]]) -> list[Check]:
    """The checks of all groups, in the order of the groups: each waits for the network most of its time."""
    running = [gevent.spawn(list, group()) for group in groups]
    return [check for greenlet in running for check in greenlet.get()]


def _short(container: str) -> str:
    """A container's name as people know it: a task's without the stack before it and the id behind it."""
    return ".".join(container.removeprefix(f"{compose.STACK}_").split(".")[:2])
