"""E-mail by SMTP, with STARTTLS, with TLS from the start, or with neither; certificates are verified."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from typing import Literal

from ..errors import HostError
from .connection import LIMIT_S, RefusedError, tls, why
from .message import Message

Tls = Literal["starttls", "tls", "none"]
_ENHANCED = re.compile(rb"[245]\.[0-9]{1,3}\.[0-9]{1,3}")  # RFC 3463


@dataclass(frozen=True)
class Email:
    """Addresses that get mail through an SMTP server. `user` is "" where the server wants no login."""

    name: str
    to: Sequence[str] = field(repr=False)
    sender: str = field(repr=False)
    host: str = field(repr=False)
    port: int = field(repr=False)
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    tls: Tls = "starttls"
    limit_s: float = LIMIT_S

    def send(self, message: Message) -> None:
        """Send a message as one mail. Each wait has a limit of `limit_s` seconds.

        Raises `HostError`, and `RefusedError` where the server refuses the mail for good or some of its addresses:
        the others have it then.
        """
        try:
            refused = self._sent(message)
        except smtplib.SMTPAuthenticationError as error:
            raise self._error(f"no login: {_said(error)}", "check user and password") from None
        except smtplib.SMTPNotSupportedError:
            do = 'set "tls" as the server has it: "starttls", "tls" or "none"'
            raise self._error("a server without STARTTLS, login or UTF-8 in addresses", do) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = ", ".join(sorted({str(code) for code, _ in error.recipients.values()}))
            raise self._error(f"each address refused: {codes}", "check the addresses") from None
        except smtplib.SMTPDataError as error:
            kind = RefusedError if error.smtp_code >= 500 else HostError
            raise self._error(f"the mail refused: {_said(error)}", "see the server's log", kind) from None
        except smtplib.SMTPResponseException as error:
            raise self._error(f"a refusal: {_said(error)}", "see the server's log") from None
        except (OSError, ValueError) as error:
            raise self._error(_lost(error), 'check "smtp" and "tls", and see whether the host reaches it') from None
        if refused:
            raise self._error(f"{refused} of {len(self.to)} addresses refused", "check the addresses", RefusedError)

    def _sent(self, message: Message) -> int:
        """Send the mail. Returns how many addresses the server refused while it took others."""
        mail = self._mail(message)
        # smtplib would ask DNS for this host's name, which has no limit.
        local = _plain(message.host)
        server = (
            smtplib.SMTP_SSL(self.host, self.port, local, timeout=self.limit_s, context=tls())
            if self.tls == "tls"
            else smtplib.SMTP(self.host, self.port, local, timeout=self.limit_s)
        )
        try:
            if self.tls == "starttls":
                server.starttls(context=tls())
            if self.user:
                server.login(self.user, self.password)
            refused = server.send_message(mail, self.sender, list(self.to))
            with suppress(OSError):  # the server has the mail, whatever it says now
                server.quit()
        finally:
            server.close()
        return len(refused)

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(SMTP)
        mail["From"], mail["To"], mail["Subject"] = self.sender, ", ".join(self.to), message.title
        mail["Date"] = formatdate(message.at_s)
        # One id for each message, so that a mail program shows a repetition once.
        mail["Message-ID"] = f"<{_plain(message.id)}@{parseaddr(self.sender)[1].rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # nobody's absence answers it (RFC 3834)
        mail.set_content(message.text)
        return mail

    def _error(self, got: str, do: str, kind: type[HostError] = HostError) -> HostError:
        return kind(self.name, expected="to take a message", got=got, do=do)


def _plain(text: str) -> str:
    """A text as a part of a name on the Internet."""
    return re.sub("[^A-Za-z0-9.-]", "-", text)


def _lost(error: Exception) -> str:
    """Why there is no answer. smtplib has an error of its own for a connection that ended or was silent too long."""
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return why(error.__context__) if isinstance(error.__context__, OSError) else "a connection that was closed"
    return why(error)


def _said(error: smtplib.SMTPResponseException) -> str:
    """The codes of an answer. Its text is the server's own, and may repeat what it was sent."""
    said = error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()
    enhanced = _ENHANCED.match(said)
    return f"{error.smtp_code}{f' {enhanced[0].decode()}' if enhanced else ''}"
