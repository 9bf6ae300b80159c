"""What must never be lost: a user, a chat and a key, put there as people do and looked up by another way in."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

import websocket

from tests.lab.session import FRESH, Lab

EMAIL, PASSWORD = "ada@lab.test", "Lovelace-1815"
LEASE = "/run/open-webui-stack/lease"
# For root's shell on the host, so that the password is no argument of a process of this machine.
AS_OPEN_WEBUI = 'docker exec -i -e REDISCLI_AUTH="$(cat /opt/open-webui/secrets/valkey-password)" redis-valkey'
VALKEY_CLI = f"{AS_OPEN_WEBUI} valkey-cli --user open-webui"


COUNT = """
import sqlite3
database = sqlite3.connect("/app/backend/data/webui.db")
print(*(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("user", "chat", "file")))
print(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])
"""


def count_rows(host: Any) -> tuple[str, str]:
    """Users, chats and files in Open WebUI's database, and the schema it has."""
    rows, schema = host.check_output("docker exec open-webui python3 -c %s", COUNT).splitlines()
    return rows, schema


# For what is over soon again. A look by ssh takes about 0.1 s of a core, so a wait looks no more often than it has to.
OFTEN_S = 0.1
# How long Open WebUI may take until it serves: a start takes 8 s of a core, and six hosts may start theirs at once.
START_S = 240


def within(seconds: float, what: str, check: Any, every_s: float = 1) -> float:
    """Seconds until `check()` was true; the test fails when it is not in time."""
    start = time.monotonic()
    while not check():
        assert time.monotonic() - start < seconds, f"not within {seconds} s: {what}"
        time.sleep(every_s)
    return time.monotonic() - start


@contextmanager
def socketio(base: str, token: str = "") -> Iterator[websocket.WebSocket]:
    """A Socket.IO connection by hand: Engine.IO's open packet, connect to the default namespace, its confirmation."""
    socket = websocket.create_connection(
        base.replace("http", "ws", 1) + "/ws/socket.io/?EIO=4&transport=websocket", timeout=30
    )
    try:
        assert str(socket.recv()).startswith("0{")
        socket.send("40" + (json.dumps({"token": token}) if token else ""))
        assert str(socket.recv()).startswith('40{"sid"')
        yield socket
    finally:
        socket.close()


class Precious:
    """What people have put into the stack of one host: a user with a chat, and a key in Valkey."""

    token = ""

    def __init__(self, lab: Lab, name: str = FRESH, valkey_cli: str = VALKEY_CLI) -> None:
        self.host = lab.host(name)
        self.base = f"http://127.0.0.1:{lab.port(name)}"
        self.valkey_cli = valkey_cli
        self.marker = f"kept-{time.time_ns()}"
        try:
            self.ask("/api/v1/auths/signup", {"name": "Ada", "email": EMAIL, "password": PASSWORD})
        except urllib.error.HTTPError as error:
            if error.code != 403:  # closed since she signed up, in another test of this session
                raise
        self.sign_in()
        self.chat = self.ask("/api/v1/chats/new", {"chat": {"title": self.marker, "messages": []}})["id"]
        assert self.valkey("SET", "open-webui:marker", self.marker) == "OK"

    def sign_in(self) -> None:
        """Once, and again after the secret key changed; Open WebUI answers 429 to a user who does it too often."""
        self.token = ""
        self.token = str(self.ask("/api/v1/auths/signin", {"email": EMAIL, "password": PASSWORD})["token"])

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The API's answer to Ada; that her login is still good proves that the database knows her."""
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers = {"Content-Type": "application/json"} | bearer
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def valkey(self, *command: str) -> str:
        """What Valkey answers; the password is read and used on the host only."""
        return str(self.host.check_output(f"{self.valkey_cli} {' '.join(command)}"))

    def upload(self, name: str, content: bytes) -> str:
        """Upload a file as the front end does; its id."""
        boundary = "lab-boundary"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        request = urllib.request.Request(
            f"{self.base}/api/v1/files/?process=false",
            head + content + f"\r\n--{boundary}--\r\n".encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(json.load(response)["id"])

    def download(self, file: str) -> bytes:
        request = urllib.request.Request(
            f"{self.base}/api/v1/files/{file}/content", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())

    def delete(self, chat: str) -> None:
        bearer = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.base}/api/v1/chats/{chat}", headers=bearer, method="DELETE")
        urllib.request.urlopen(request, timeout=10).close()

    def on(self, lab: Lab, name: str) -> Precious:
        """The same, looked for on another host, with the login made here."""
        there = Precious.__new__(Precious)
        there.__dict__ |= {**self.__dict__, "host": lab.host(name), "base": f"http://127.0.0.1:{lab.port(name)}"}
        return there

    def assert_kept(self) -> None:
        """Open WebUI answers, listens on Valkey, knows its user and chat; Valkey has its key; nothing is locked."""
        assert self.ask("/health") == {"status": True}
        assert self.ask(f"/api/v1/chats/{self.chat}")["title"] == self.marker
        assert self.valkey("GET", "open-webui:marker") == self.marker
        with socketio(self.base, self.token) as socket:  # first: 0.11 listens from its first client on
            assert socket.connected
            within(20, "it listens", lambda: int(self.valkey("PUBSUB", "NUMSUB", "socketio").split()[1]) >= 1)
        assert not self.host.file(LEASE).exists


class Watched:
    """Asks for somebody's chat again and again: how often in vain, how long that lasted, the longest answer."""

    def __init__(self, precious: Precious) -> None:
        self.precious, self.asked, self.failed, self.longest_s, self.away_s = precious, 0, 0, 0.0, 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        answered = time.monotonic()
        while not self._over.is_set():
            start = time.monotonic()
            try:
                self.precious.ask(f"/api/v1/chats/{self.precious.chat}")
            except (OSError, HTTPException):
                self.failed += 1
            else:
                if self.failed:
                    self.away_s = max(self.away_s, time.monotonic() - answered)
                answered = time.monotonic()
            self.asked += 1
            self.longest_s = max(self.longest_s, time.monotonic() - start)
            time.sleep(0.1)  # a request takes 10 ms of a core: more would slow down what is watched

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
