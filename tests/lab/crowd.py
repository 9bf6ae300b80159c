"""Fifty people's browsers on Open WebUI while something breaks: what of their events arrives, what is lost, how long.

`with Crowd(url) as crowd: crowd.settle(); mark = crowd.now(); <break something>; crowd.wait_recovered(60, mark)`;
then `crowd.result(mark)`. It independently does what the front end does and imports nothing of the project.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
import logging
import random
import secrets
import ssl
import threading
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import socketio
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.lab.precious import EMAIL, PASSWORD
from tests.lab.tally import Event, Link, Pulse, Result, missing, recovery_s, tally

SOCKETIO_PATH = "/ws/socket.io"
# The front end's socket (src/routes/+layout.svelte, 0.12.4): 1 s, doubled up to 5 s, each half as long to half as
# long again; socket.io's client gives an attempt 20 s.
FIRST_DELAY_S, LONGEST_DELAY_S, RANDOM = 1.0, 5.0, 0.5
ATTEMPT_S = 20.0
HEARTBEAT_S = 30.0  # also the front end's: Open WebUI forgets a session after 120 s without one
REQUEST_S = 5.0
LATE_AFTER_S = 1.0  # an event that has not arrived by then is not well, as long as it hasn't
LOST_AFTER_S = 10.0  # nor then: it is lost. 2.5 s were seen on a machine with too much to do.
MOST_CLIENTS, MOST_PER_S, MOST_IN_FLIGHT = 500, 100.0, 100
KIND = "open-webui-stack:crowd"

Dial = Mapping[str, tuple[str, int]]
T = TypeVar("T")
TROUBLE = (aiohttp.ClientError, socketio.exceptions.SocketIOError, OSError, TimeoutError)  # the network's, not ours

_quiet = logging.Logger("socket.io", logging.CRITICAL)  # the client warns about every ordinary close


class CrowdError(Exception):
    """What the crowd could not do, or what it waited for in vain."""


class Dialled(AbstractResolver):
    """Names that are reached at an address and port of their own, as with `curl --connect-to`."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._others = aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        if host not in self._dial:
            return await self._others.resolve(host, port, family)
        address, port = self._dial[host]
        found = await self._others.resolve(address, port, family)
        return [{**entry, "hostname": host} for entry in found]

    async def close(self) -> None:
        await self._others.close()


@dataclass(frozen=True)
class Site:
    """Where Open WebUI is: its public URL, who signed its certificate, and what its name leads to from here."""

    url: str
    ca_file: str | Path = ""
    dial: Dial | None = None

    def browser(self, cookies: bool, connections: int) -> aiohttp.ClientSession:
        """An HTTP client with cookies and connections of its own. To be closed."""
        trust = ssl.create_default_context(cafile=str(self.ca_file)) if self.ca_file else True
        # uvicorn closes a connection 5 s after its last request; one sent just then fails, and is no fault of anybody.
        connector = aiohttp.TCPConnector(
            ssl=trust, resolver=Dialled(self.dial or {}), limit=connections, keepalive_timeout=3
        )
        jar = aiohttp.CookieJar(unsafe=True) if cookies else aiohttp.DummyCookieJar()  # unsafe: also of 127.0.0.1
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        return aiohttp.ClientSession(connector=connector, cookie_jar=jar, timeout=timeout)

    async def ask(self, http: aiohttp.ClientSession, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        """Status and content of an answer: its JSON, or the text that is none. Raises what aiohttp does."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        method = "GET" if body is None else "POST"
        async with http.request(method, self.url + path, json=body, headers=headers) as response:
            text = await response.text()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text


@dataclass(frozen=True)
class Person:
    """Somebody signed in, with a chat of their own."""

    email: str
    token: str
    chat: str


async def gather(site: Site, http: aiohttp.ClientSession, count: int) -> list[Person]:
    """`count` people signed in; accounts are made once, by the admin, who is the first to sign up (Ada)."""

    async def must(path: str, body: Any = None, token: str = "") -> Any:
        status, answer = await site.ask(http, path, body, token)
        if status != 200:
            raise CrowdError(f"{site.url}{path}: expected 200, got {status} {answer}")
        return answer

    signin = "/api/v1/auths/signin"  # 15 times in 3 minutes for each address (backend/open_webui/routers/auths.py)
    if (await must("/api/config")).get("onboarding"):
        ada = await must("/api/v1/auths/signup", {"name": "Ada", "email": EMAIL, "password": PASSWORD})
    else:
        ada = await must(signin, {"email": EMAIL, "password": PASSWORD})
    people = []
    for number in range(1, count + 1):
        login = {"email": f"crowd-{number}@lab.test", "password": PASSWORD}
        account = {**login, "name": f"Crowd {number}", "role": "user"}
        status, answer = await site.ask(http, "/api/v1/auths/add", account, ada["token"])
        if status == 400:  # is there since an earlier crowd
            answer = await must(signin, login)
        elif status != 200:
            raise CrowdError(f"{site.url}: no account for {login['email']}: {status} {answer}")
        chat = await must("/api/v1/chats/new", {"chat": {"title": KIND, "messages": []}}, answer["token"])
        people.append(Person(login["email"], answer["token"], chat["id"]))
    return people


class Crowd:
    """`clients` browsers of `people` people, each event of a person due at all of theirs; `rate` events a second.

    It runs in a thread of its own, with an event loop, and for `limit_s` at most. Events are requests over HTTP
    (POST /api/v1/chats/ID/messages/ID/event, backend/open_webui/routers/chats.py, 0.12.4) without cookies, so a proxy
    may send each to any replica; the browsers keep theirs. `events_url` has them go to a process past the proxy.
    """

    def __init__(
        self,
        url: str,
        ca_file: str | Path = "",
        dial: Dial | None = None,
        people: int = 5,
        clients: int = 50,
        rate: float = 10.0,
        limit_s: float = 900.0,
        events_url: str = "",
    ) -> None:
        if not 1 <= people <= clients <= MOST_CLIENTS:
            raise ValueError(f"clients: expected people ({people}) to {MOST_CLIENTS}, got {clients}")
        if not 0 < rate <= MOST_PER_S:
            raise ValueError(f"rate: expected up to {MOST_PER_S:.0f} events a second, got {rate}")
        self._site = Site(url.rstrip("/"), ca_file, dial)
        self._asked = Site(events_url.rstrip("/"), ca_file, dial) if events_url else self._site
        self._rate, self._limit_s = rate, limit_s
        self._sockets = {person: tuple(range(person, clients, people)) for person in range(people)}
        self._clients = clients
        self._people: list[Person] = []
        self._run = secrets.token_hex(4)
        self._events: list[Event] = []
        self._links: list[Link] = []
        self._pulses: list[Pulse] = []
        self._trouble: dict[int, str] = {}  # what a client that is not connected last met
        self._in_flight: set[asyncio.Task[None]] = set()
        self._since = time.monotonic()
        self._started, self._failure = threading.Event(), ""
        self._thread = threading.Thread(target=self._work, name="crowd", daemon=True)

    # --- The test's side ------------------------------------------------------------------------------

    def __enter__(self) -> Crowd:
        self._thread.start()
        self._started.wait()
        self._alive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(RuntimeError):  # the loop is closed: its time was over
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    @staticmethod
    def now() -> float:
        """The crowd's clock, to mark a moment with."""
        return time.monotonic()

    def settle(self, timeout_s: float = 60.0) -> None:
        """Wait until all clients are connected and an event of every person has reached all of theirs."""
        began = self.now()
        self.wait_recovered(timeout_s, began, calm_s=0.0)
        self._since = self.now()

    def wait_recovered(self, timeout_s: float, since: float, calm_s: float = 3.0) -> float:
        """Seconds from `since` until everything is well, once it has been so for `calm_s`. Raises `CrowdError`.

        A fault that takes longer than `calm_s` to be felt wants a larger one.
        """
        deadline = self.now() + timeout_s
        while True:
            now = self.now()
            recovered = self._ask(self._recovery(since))
            if recovered is not None and now >= since + recovered + calm_s:
                return recovered
            if now >= deadline:
                raise CrowdError(f"not well after {timeout_s:.0f} s: {self._ask(self._complaint(since))}")
            time.sleep(0.25)

    def result(self, since: float | None = None) -> Result:
        """What became of the events sent from `since` (default: since it settled) to now; waits for stragglers."""
        until = self.now()
        begin = self._since if since is None else since
        self._ask(self._arrived(begin, until), 30.0 + LOST_AFTER_S)
        return self._ask(self._tally(begin, until))

    def throughput(self, seconds: float = 10.0, senders: int = 8) -> Result:
        """What becomes of as many events as get accepted: `senders` ask all the time, one request after the other.

        The steady events pause meanwhile. `seconds` of the result are until the last arrival.
        """
        return self._ask(self._flood(seconds, senders), seconds + 3 * (LOST_AFTER_S + REQUEST_S))

    def _alive(self) -> None:
        if self._failure or not self._thread.is_alive():
            raise CrowdError(self._failure or f"the crowd's {self._limit_s:.0f} s are over")

    def _ask(self, work: Coroutine[Any, Any, T], timeout_s: float = 30.0) -> T:
        """Have the crowd's thread do something: only it touches what is counted."""
        try:
            self._alive()
        except CrowdError:
            work.close()
            raise
        asked = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return asked.result(timeout_s)
        except concurrent.futures.CancelledError:
            self._thread.join(timeout_s)  # its time was over while this was asked
            self._alive()
            raise

    # --- The thread's side ----------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:
            self._failure = f"{self._site.url}: {type(error).__name__}: {error}"
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop, self._over, self._steady = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._steady.set()
        self._http = self._site.browser(cookies=False, connections=MOST_IN_FLIGHT)
        browsers = [self._site.browser(cookies=True, connections=0) for _ in range(self._clients)]
        tasks = list[asyncio.Task[None]]()
        try:
            self._people = await gather(self._site, self._http, len(self._sockets))
            self._started.set()
            tasks += [
                asyncio.create_task(self._browse(client, self._people[client % len(self._people)], browser))
                for client, browser in enumerate(browsers)
            ]
            tasks += [asyncio.create_task(self._send_steadily()), asyncio.create_task(self._feel_pulse())]
            ended = asyncio.create_task(self._over.wait())
            done, _ = await asyncio.wait([ended, *tasks], timeout=self._limit_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ended}:
                task.result()  # raises: none of them ends by itself
        finally:
            for task in [*tasks, *self._in_flight]:
                task.cancel()
            await asyncio.gather(*tasks, *self._in_flight, return_exceptions=True)
            for person in self._people:
                with suppress(*TROUBLE):  # a stack that is gone has no chats
                    bearer = {"Authorization": f"Bearer {person.token}"}
                    await self._http.delete(f"{self._site.url}/api/v1/chats/{person.chat}", headers=bearer)
            for browser in (self._http, *browsers):
                await browser.close()

    async def _browse(self, number: int, person: Person, browser: aiohttp.ClientSession) -> None:
        """One browser: the page, the socket, and the socket again whenever it is gone."""
        been_there, delay_s = False, FIRST_DELAY_S
        while True:
            gone, joined = asyncio.Event(), False
            client = self._client(number, browser, gone)
            try:
                if not been_there:
                    async with browser.get(f"{self._site.url}/") as page:  # for the cookie of a proxy
                        page.raise_for_status()
                        await page.read()
                    been_there = True
                await self._join(client, person)
                self._links.append(Link(number, time.monotonic(), True))
                joined, delay_s = True, FIRST_DELAY_S
                self._trouble.pop(number, None)
                await self._stay(client, gone)
            except TROUBLE as error:
                self._trouble[number] = f"{type(error).__name__} {error}".strip()
            finally:
                if joined:
                    self._links.append(Link(number, time.monotonic(), False))
                with suppress(*TROUBLE):
                    async with asyncio.timeout(2):  # a connection to nowhere takes no goodbye
                        await client.disconnect()
            await asyncio.sleep(delay_s * random.uniform(1 - RANDOM, 1 + RANDOM))  # noqa: S311
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    def _client(self, number: int, browser: aiohttp.ClientSession, gone: asyncio.Event) -> socketio.AsyncClient:
        """A new one for each connection: its own reconnecting gives up for good on a timeout (python-socketio 5.18)."""
        parts = urlsplit(self._site.url)
        client = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            http_session=browser,
            websocket_extra_options={"origin": f"{parts.scheme}://{parts.netloc}"},
            logger=_quiet,
            engineio_logger=_quiet,
        )
        client.on("disconnect", lambda *_: gone.set())
        client.on("events", lambda data: self._arrive(number, data))
        return client

    async def _join(self, client: socketio.AsyncClient, person: Person) -> None:
        async with asyncio.timeout(ATTEMPT_S):
            await client.connect(
                self._site.url,
                auth={"token": person.token},
                transports=["websocket"],
                socketio_path=SOCKETIO_PATH,
                wait_timeout=ATTEMPT_S,
            )
            if not await client.call("user-join", {"auth": {"token": person.token}}, timeout=ATTEMPT_S):
                raise ConnectionRefusedError(f"{person.email} may not join")

    async def _stay(self, client: socketio.AsyncClient, gone: asyncio.Event) -> None:
        while not gone.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(gone.wait(), HEARTBEAT_S)
            if not gone.is_set():
                await client.emit("heartbeat", {})

    def _arrive(self, client: int, data: Any) -> None:
        """Take what Open WebUI makes of our event: {"chat_id", "message_id", "data": {"type", "data"}}."""
        at = time.monotonic()
        inner = data.get("data") or {}
        if inner.get("type") == KIND and inner["data"]["run"] == self._run:
            self._events[inner["data"]["number"]].arrivals.setdefault(client, []).append(at)

    async def _send(self) -> None:
        number = len(self._events)
        event = Event(number, number % len(self._people), time.monotonic())
        self._events.append(event)
        if len(self._in_flight) > MOST_IN_FLIGHT:
            event.error = f"{MOST_IN_FLIGHT} requests in flight"
            return
        person = self._people[event.person]
        path = f"/api/v1/chats/{person.chat}/messages/{self._run}-{number}/event"
        body = {"type": KIND, "data": {"run": self._run, "number": number}}
        try:
            status, answer = await self._asked.ask(self._http, path, body, person.token)
        except TROUBLE as error:
            event.error = type(error).__name__
        else:
            event.accepted = status == 200 and answer is True
            event.error = "" if event.accepted else f"{status} {answer}"[:80]

    async def _send_steadily(self) -> None:
        while await self._steady.wait():
            start = time.monotonic()
            for due in itertools.count():
                await asyncio.sleep(max(0.0, start + due / self._rate - time.monotonic()))
                if not self._steady.is_set():
                    break
                task = asyncio.create_task(self._send())
                self._in_flight.add(task)
                task.add_done_callback(self._in_flight.discard)

    async def _feel_pulse(self) -> None:
        while True:
            start = time.monotonic()
            await asyncio.sleep(0.1)
            now = time.monotonic()
            self._pulses.append(Pulse(now, time.thread_time(), now - start - 0.1))

    async def _flood(self, seconds: float, senders: int) -> Result:
        async def ask_on(until: float) -> None:
            while time.monotonic() < until:
                await self._send()

        self._steady.clear()
        try:
            await asyncio.sleep(1.5 / self._rate)
            await self._arrived(time.monotonic() - 1.5 / self._rate - REQUEST_S, time.monotonic())
            start = time.monotonic()
            await asyncio.gather(*(ask_on(start + seconds) for _ in range(senders)))
            sent = time.monotonic()
            await self._arrived(start, sent)
            flood = [event for event in self._events if event.sent_at >= start]
            last = max((times[-1] for event in flood for times in event.arrivals.values()), default=sent)
            result = await self._tally(start, max(sent, last))
        finally:
            self._steady.set()
        return result

    async def _arrived(self, since: float, until: float) -> None:
        """Wait until events sent from `since` to `until` are there, or lost."""
        while True:
            due = [event for event in self._events if since <= event.sent_at < until and not self._settled(event)]
            # Most were lost long ago; of those that were not, none is answered and arrives later than this.
            if all(event.sent_at < time.monotonic() - REQUEST_S - LOST_AFTER_S for event in due):
                return
            await asyncio.sleep(0.05)

    async def _tally(self, since: float, until: float) -> Result:
        return tally(self._events, self._links, self._pulses, self._sockets, since, until)

    async def _recovery(self, since: float) -> float | None:
        """As far as is known: what was sent just now may be on its way."""
        now = time.monotonic()
        known = [
            event
            for event in self._events
            if event.sent_at >= since and (self._settled(event) or event.sent_at < now - LATE_AFTER_S)
        ]
        return recovery_s(known, self._links, self._sockets, since)

    def _settled(self, event: Event) -> bool:
        """Nothing more is due of it: it was refused, or is everywhere."""
        return bool(event.error) or (event.accepted and not missing(event, self._sockets))

    async def _complaint(self, since: float) -> str:
        connected = {link.client: link.up for link in self._links}
        away = [client for client in range(self._clients) if not connected.get(client)]
        why = sorted({self._trouble[client] for client in away if client in self._trouble})
        seen = await self._tally(since, time.monotonic())
        refused = dict(seen.failed)
        return f"{len(away)} of {self._clients} not connected {why}, {seen.lost} deliveries lost, refused {refused}"
