"""A small SMTP server on 127.0.0.1 (RFC 5321), with STARTTLS and AUTH PLAIN where a test wants them."""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

USER, PASSWORD = "monitor", "pass-word"


@dataclass
class Mail:
    """A mail as the server took it."""

    sender: str
    to: list[str]
    encrypted: bool
    user: str
    message: EmailMessage


@dataclass
class SmtpServer:
    """What it offers, how it answers, and what it has got. `answers` are by command, instead of its own."""

    starttls: ssl.SSLContext | None = None
    tls: ssl.SSLContext | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@contextmanager
def serving(server: SmtpServer) -> Iterator[SmtpServer]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                _Session(server, self.request).run()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        server.port = listening.server_address[1]
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        listening.shutdown()


class _Session:
    def __init__(self, server: SmtpServer, connection: ssl.SSLSocket) -> None:
        self._server = server
        self._user = self._sender = ""
        self._to: list[str] = []
        self._encrypted = False
        self._use(server.tls.wrap_socket(connection, server_side=True) if server.tls else connection, server.tls)

    def _use(self, connection: ssl.SSLSocket, context: ssl.SSLContext | None) -> None:
        self._connection, self._lines, self._encrypted = connection, connection.makefile("rb"), context is not None

    def _say(self, *lines: str) -> None:
        self._connection.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def run(self) -> None:
        self._say(self._server.answers.get("connect", "220 ready"))
        while raw := self._lines.readline():
            line = raw.decode().strip()
            command = line.partition(" ")[0].upper()
            self._server.commands.append(command)
            if command in self._server.answers:
                self._say(self._server.answers[command])
            elif command == "EHLO":
                offered = ["STARTTLS"] if self._server.starttls and not self._encrypted else []
                self._say("250-here", *(f"250-{one}" for one in offered), "250 AUTH PLAIN")
            elif command == "STARTTLS" and self._server.starttls:
                self._say("220 go ahead")
                self._use(self._server.starttls.wrap_socket(self._connection, server_side=True), self._server.starttls)
            elif command == "AUTH":
                given = base64.b64decode(line.split()[2]).decode().split("\0")
                good = given[1:] == [USER, PASSWORD]
                self._user = USER if good else ""
                # As a server might that nobody should trust with a log.
                self._say("235 2.7.0 good" if good else f"535 5.7.8 no such login: {given[1]} {given[2]}")
            elif command == "MAIL":
                self._sender, self._to = line, []
                self._say("250 fine")
            elif command == "RCPT":
                refused = "nobody@" in line
                self._to += [] if refused else [line[9:-1]]
                self._say("550 5.1.1 unknown" if refused else "250 fine")
            elif command == "DATA":
                self._say("354 go ahead")
                data = b"".join(iter(self._lines.readline, b".\r\n"))
                if "data end" in self._server.answers:
                    self._say(self._server.answers["data end"])
                    continue
                message = message_from_bytes(data, policy=default)
                self._server.mails.append(Mail(self._sender, self._to, self._encrypted, self._user, message))
                self._say("250 got it")
            elif command == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("502 what")
