"""The stack's front door over HTTPS, gone through as a browser does: by its name, with its certificate checked."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import urllib.error
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from tests.lab.crowd import Crowd
from tests.lab.precious import EMAIL, PASSWORD
from tests.lab.session import Lab

STICKY = "open-webui-process"


class _Dialled(http.client.HTTPSConnection):
    """A connection to the name that goes to an address and port of ours."""

    dialled: tuple[str, int]

    def connect(self) -> None:
        plain = socket.create_connection(self.dialled, self.timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Visitor:
    """One browser's worth of cookies at the door of a host."""

    name: str
    port: int
    ca_file: str
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> Answer:
        connection = _Dialled(self.name, timeout=30, context=ssl.create_default_context(cafile=self.ca_file))
        connection.dialled = ("127.0.0.1", self.port)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(data, bytes) and not isinstance(body, bytes):
            given["Content-Type"] = "application/json"
        if token:
            given["Authorization"] = f"Bearer {token}"
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, path, data, given)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie", []):
            self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        return answer

    def must(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        answer = self.ask(method, path, body, token)
        if answer.status != 200:
            raise urllib.error.HTTPError(path, answer.status, answer.body.decode()[:200], answer.headers, None)
        return answer.json

    def upload(self, content: bytes, token: str) -> str:
        """Upload a file as the front end does; its id."""
        boundary = "uploaded-by-a-test"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x.bin"\r\n'
        kind = "Content-Type: application/octet-stream\r\n\r\n"
        body = (head + kind).encode() + content + f"\r\n--{boundary}--\r\n".encode()
        form = f"multipart/form-data; boundary={boundary}"
        answer = self.ask("POST", "/api/v1/files/?process=false", body, token, Content_Type=form)
        assert answer.status == 200, answer.body
        return str(answer.json["id"])

    def download(self, file: str, token: str) -> bytes:
        return self.ask("GET", f"/api/v1/files/{file}/content", None, token).body

    @property
    def process(self) -> str:
        """The proxy's mark of the process that this browser stays with."""
        return self.cookies.get(STICKY, "")


@dataclass(frozen=True)
class Door:
    """A host's port 443, as this machine reaches it."""

    name: str
    port: int
    ca_file: str

    @property
    def url(self) -> str:
        return f"https://{self.name}"

    def visitor(self) -> Visitor:
        return Visitor(self.name, self.port, self.ca_file)

    def sign_in(self) -> str:
        """Ada's token; she signs up first where nobody has."""
        visitor = self.visitor()
        people = {"name": "Ada", "email": EMAIL, "password": PASSWORD}
        if visitor.must("GET", "/api/config").get("onboarding"):
            return str(visitor.must("POST", "/api/v1/auths/signup", people)["token"])
        return str(visitor.must("POST", "/api/v1/auths/signin", people)["token"])

    def crowd(self, clients: int = 50, rate: float = 10) -> Crowd:
        return Crowd(self.url, self.ca_file, {self.name: ("127.0.0.1", self.port)}, clients=clients, rate=rate)


def door_of(lab: Lab, name: str) -> Door:
    return Door(lab.inventory["tls"]["name"], int(lab.entry(name)["https_port"]), lab.inventory["tls"]["ca_file"])


def proxied(lab: Lab, name: str) -> dict[str, Any]:
    """Settings of a host whose Open WebUI is behind the proxy, with the lab's certificate."""
    tls = lab.inventory["tls"]
    return {
        "public_url": f"https://{tls['name']}",
        "proxy_tls": "files",
        "proxy_certificate": tls["certificate_file"],
        "verify_ca": tls["ca_file"],
        "proxy_certificate_key": f"file:{tls['key_file']}",
        "verify_url": f"https://127.0.0.1:{door_of(lab, name).port}",
    }
