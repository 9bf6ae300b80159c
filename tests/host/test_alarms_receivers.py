"""Receivers get what their services expect, from real servers' point of view; and no error holds a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.host import http_receiver, smtp_server
from tests.host.certified import Certified, certified
from tests.host.fake_clock import START_S
from tests.host.fake_files import FakeKernel
from tests.host.http_receiver import HttpReceiver
from tests.host.smtp_server import PASSWORD, USER, SmtpServer
from webui_stack.host.alarms import receivers
from webui_stack.host.alarms.connection import RefusedError
from webui_stack.host.alarms.email_ import Email
from webui_stack.host.alarms.heartbeat import Heartbeat
from webui_stack.host.alarms.message import Item, Message
from webui_stack.host.alarms.ntfy import Ntfy
from webui_stack.host.alarms.receivers import Receiver
from webui_stack.host.alarms.webhook import Webhook
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files, Owner

SECRET = "s3cr3t-t0ken"
BROKEN = Message(
    "problem",
    "host1",
    START_S,
    (Item("valkey_pong", "broken", "no PONG\nfor 5 s", START_S - 60, "run runbooks/doctor.py"),),
)
TEXT = """\
valkey_pong is broken: no PONG for 5 s
Since: 2026-11-29 02:59:00 UTC
Next step: run runbooks/doctor.py

Host: host1
Time: 2026-11-29 03:00:00 UTC
"""


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with http_receiver.serving(HttpReceiver()) as server:
        yield server


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certified(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trust(trusted: Certified, monkeypatch: pytest.MonkeyPatch) -> Certified:
    """This process trusts the certificate's authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.authority))
    return trusted


def refused(receiver: Receiver | Heartbeat, message: Message = BROKEN) -> HostError:
    """The error of a receiver that could not be told. Nothing of it holds a secret."""
    with pytest.raises(HostError) as caught:
        receiver.beat() if isinstance(receiver, Heartbeat) else receiver.send(message)
    error = caught.value
    for text in (str(error), repr(error), repr(receiver), repr(error.__cause__)):
        for secret in (SECRET, PASSWORD, "127.0.0.1"):
            assert secret not in text
    assert error.__context__ is None or error.__suppress_context__, "a traceback would show the library's words"
    return error


# --- Webhook, ntfy, heartbeat


def test_a_webhook_gets_json_with_documented_keys(http: HttpReceiver) -> None:
    Webhook("webhook-1", f"{http.url}/hook/{SECRET}?a=b").send(BROKEN)
    (got,) = http.got
    assert (got.method, got.path) == ("POST", f"/hook/{SECRET}?a=b")
    assert got.headers["Content-Type"] == "application/json"
    assert json.loads(got.body) == {
        "format": 1,
        "id": "host1-20261129T030000Z-problem",
        "kind": "problem",
        "host": "host1",
        "at": "2026-11-29T03:00:00Z",
        "title": "host1: valkey_pong is broken: no PONG for 5 s",
        "text": TEXT,
        "items": [
            {
                "name": "valkey_pong",
                "state": "broken",
                "since": "2026-11-29T02:59:00Z",
                "seen": "no PONG for 5 s",
                "next_step": "run runbooks/doctor.py",
                "repaired": "",
            }
        ],
    }


def test_a_webhooks_user_and_password_are_a_header(http: HttpReceiver) -> None:
    url = http.url.replace("//", f"//me:{SECRET}%21@")
    Webhook("webhook-1", url).send(BROKEN)
    assert http.got[0].headers["Authorization"] == "Basic bWU6czNjcjN0LXQwa2VuIQ=="
    assert http.got[0].path == "/"


def test_ntfy_gets_the_text_and_the_rest_by_headers(http: HttpReceiver) -> None:
    Ntfy("ntfy-1", f"{http.url}/topic", SECRET).send(BROKEN)
    (got,) = http.got
    assert (got.method, got.path, got.body.decode()) == ("POST", "/topic", TEXT)
    wanted = {
        "Title": "host1: valkey_pong is broken: no PONG for 5 s",
        "Priority": "4",
        "Tags": "rotating_light",
        "Authorization": f"Bearer {SECRET}",
    }
    assert wanted.items() <= got.headers.items()


def test_ntfy_without_a_token_sends_none_and_gets_long_texts_cut(http: HttpReceiver) -> None:
    items = tuple(Item(f"container_{number}", "broken", "Größe " * 80, START_S) for number in range(40))
    Ntfy("ntfy-1", http.url).send(Message("problem", "höst", START_S, items))
    (got,) = http.got
    assert "Authorization" not in got.headers
    assert len(got.body) <= 4096
    assert got.body.decode().endswith("\n...")
    assert got.headers["Title"].startswith("=?UTF-8?B?aMO2c3Q6")


def test_a_heartbeat_is_a_get(http: HttpReceiver) -> None:
    Heartbeat("heartbeat-1", f"{http.url}/ping/{SECRET}").beat()
    assert [(got.method, got.path, got.body) for got in http.got] == [("GET", f"/ping/{SECRET}", b"")]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, RefusedError, "got HTTP 400 Bad Request"),
        (413, RefusedError, "got HTTP 413 "),
        (401, HostError, "got HTTP 401 Unauthorized; check its URL and its token"),
        (404, HostError, "got HTTP 404 Not Found"),
        (503, HostError, "got HTTP 503 Service Unavailable"),
        (299, None, ""),
    ],
)
def test_a_status_is_told_and_only_a_wrong_message_is_refused_for_good(
    http: HttpReceiver, status: int, kind: type[HostError] | None, words: str
) -> None:
    http.status = status
    receiver = Ntfy("ntfy-1", f"{http.url}/{SECRET}", SECRET)
    if kind is None:
        receiver.send(BROKEN)
        return
    error = refused(receiver)
    assert type(error) is kind
    assert str(error).startswith("ntfy-1: expected to take a message, ")
    assert words in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(http: HttpReceiver, status: int) -> None:
    with http_receiver.serving(HttpReceiver()) as other:
        http.status, http.headers = status, {"Location": f"{other.url}/{SECRET}"}
        for receiver in (Ntfy("ntfy-1", http.url, SECRET), Heartbeat("heartbeat-1", http.url)):
            assert "give the URL that it leads to" in str(refused(receiver))
        assert other.got == []


def test_https_is_verified(trusted: Certified, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver.serving(HttpReceiver(tls=trusted.context)) as server:
        receiver = Webhook("webhook-1", f"{server.url}/{SECRET}")
        assert "got a certificate that is not valid (self" in str(refused(receiver))
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted.authority))
        receiver.send(BROKEN)
        by_name = Webhook("webhook-1", receiver.url.replace("127.0.0.1", "localhost"))
        assert "got a certificate that is not valid (Hostname mismatch)" in str(refused(by_name))
        assert len(server.got) == 1


def test_no_answer_is_told(http: HttpReceiver) -> None:
    http.wait_s = 5
    assert "got no answer in" in str(refused(Webhook("webhook-1", http.url, limit_s=0.1)))
    assert "got no TLS (" in str(refused(Webhook("webhook-1", http.url.replace("http:", "https:"))))
    assert "got connection refused" in str(refused(Webhook("webhook-1", f"http://127.0.0.1:1/{SECRET}")))
    assert "got no address for its name" in str(refused(Webhook("webhook-1", f"http://{SECRET}.invalid/")))
    assert "got an error of the kind" in str(refused(Webhook("webhook-1", f"http://{SECRET * 9}.x/")))


def test_a_token_that_is_no_header_is_in_no_error(http: HttpReceiver) -> None:
    for token in (f"{SECRET}\nX: y", f"{SECRET}\u20ac"):
        assert "got an error of the kind" in str(refused(Ntfy("ntfy-1", http.url, token)))
    assert http.got == []


# --- E-mail


def mailer(server: SmtpServer, **options: Any) -> Email:
    given = {"user": USER, "password": PASSWORD, **options}
    return Email("email-1", ("a@example.org", "b@example.org"), "x@example.org", "127.0.0.1", server.port, **given)


def test_a_mail_goes_by_starttls_with_a_login(trust: Certified) -> None:
    with smtp_server.serving(SmtpServer(starttls=trust.context)) as server:
        mailer(server).send(BROKEN)
    (mail,) = server.mails
    assert (mail.encrypted, mail.user) == (True, USER)
    assert mail.to == ["a@example.org", "b@example.org"]
    assert {name: mail.message[name] for name in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted")} == {
        "From": "x@example.org",
        "To": "a@example.org, b@example.org",
        "Subject": "host1: valkey_pong is broken: no PONG for 5 s",
        "Date": "Sun, 29 Nov 2026 03:00:00 -0000",
        "Message-ID": "<host1-20261129T030000Z-problem@example.org>",
        "Auto-Submitted": "auto-generated",
    }
    assert mail.message.get_content().replace("\r\n", "\n") == TEXT
    assert server.commands.index("STARTTLS") < server.commands.index("AUTH")


def test_a_mail_goes_by_tls_from_the_start(trust: Certified) -> None:
    with smtp_server.serving(SmtpServer(tls=trust.context)) as server:
        mailer(server, tls="tls").send(BROKEN)
    assert [(mail.encrypted, mail.user) for mail in server.mails] == [(True, USER)]


def test_a_mail_goes_without_tls_where_that_is_wanted() -> None:
    with smtp_server.serving(SmtpServer()) as server:
        mailer(server, tls="none", user="", password="").send(BROKEN)
    assert [(mail.encrypted, mail.user) for mail in server.mails] == [(False, "")]


def test_other_letters_than_asciis_get_there(trust: Certified) -> None:
    items = (Item("disk_backups", "broken", "Größe: 95 %", START_S),)
    with smtp_server.serving(SmtpServer(starttls=trust.context)) as server:
        mailer(server).send(Message("problem", "höst_1", START_S, items))
    (mail,) = server.mails
    assert mail.message["Subject"] == "höst_1: disk_backups is broken: Größe: 95 %"
    assert "Größe: 95 %" in mail.message.get_content()


def test_no_password_is_sent_before_tls_is_verified(trusted: Certified) -> None:
    with smtp_server.serving(SmtpServer(starttls=trusted.context)) as server:
        assert "got a certificate that is not valid" in str(refused(mailer(server)))
    with smtp_server.serving(SmtpServer()) as plain:
        assert "got a server without STARTTLS" in str(refused(mailer(plain)))
    assert {"AUTH", "MAIL"} & {*server.commands, *plain.commands} == set()


@pytest.mark.parametrize(
    ("answers", "kind", "words"),
    [
        ({"connect": "554 5.7.1 not you"}, HostError, "got a refusal: 554 5.7.1"),
        ({"AUTH": f"535 5.7.8 {PASSWORD}"}, HostError, "got no login: 535 5.7.8; check user and password"),
        ({"MAIL": f"550 {SECRET}"}, HostError, "got a refusal: 550"),
        ({"RCPT": "450 4.2.0 later"}, HostError, "got each address refused: 450"),
        ({"data end": "451 4.3.0 later"}, HostError, "got the mail refused: 451 4.3.0"),
        ({"data end": "554 5.6.0 spam"}, RefusedError, "got the mail refused: 554 5.6.0"),
    ],
)
def test_a_servers_refusal_is_told_by_its_codes(
    trust: Certified, answers: dict[str, str], kind: type[HostError], words: str
) -> None:
    with smtp_server.serving(SmtpServer(starttls=trust.context, answers=answers)) as server:
        error = refused(mailer(server))
    assert type(error) is kind
    assert words in str(error)


def test_a_mail_that_some_get_is_not_sent_again(trust: Certified) -> None:
    with smtp_server.serving(SmtpServer(starttls=trust.context)) as server:
        to = ("a@example.org", "nobody@example.org")
        error = refused(Email("email-1", to, "x@example.org", "127.0.0.1", server.port, USER, PASSWORD))
    assert isinstance(error, RefusedError)
    assert "got 1 of 2 addresses refused" in str(error)
    assert [mail.to for mail in server.mails] == [["a@example.org"]]


def test_a_server_that_has_the_mail_may_say_what_it_likes(trust: Certified) -> None:
    with smtp_server.serving(SmtpServer(starttls=trust.context, answers={"QUIT": "500 what"})) as server:
        mailer(server).send(BROKEN)
    assert len(server.mails) == 1


def test_a_silent_mail_server_is_told(http: HttpReceiver) -> None:
    mute = SmtpServer(port=http.port)  # it waits for a request, as a client of SMTP waits for a greeting
    assert "got no answer in" in str(refused(mailer(mute, limit_s=0.1)))
    http.port, mute.port = 1, 1
    assert "got connection refused" in str(refused(mailer(mute)))


# --- The file

PATH = "/opt/receivers.json"
ALL = [
    {"webhook": "https://hooks.example.org/x"},
    {"ntfy": "https://ntfy.sh/topic", "token": SECRET},
    {"email": ["a@b"], "from": "x@y", "smtp": "smtp.example.org:2525", "user": "x", "password": SECRET, "tls": "tls"},
    {"heartbeat": "https://hc-ping.com/x"},
    {"email": ["a@b", "c@d"], "from": "x@y", "smtp": "[::1]"},
    {"webhook": "http://10.0.0.1:8080"},
]


def put(text: str, mode: int = 0o600, owner: Owner | None = None) -> Files:
    files = Files(FakeKernel())
    files.write(PATH, text, mode=mode, owner=owner)
    return files


def test_the_file_names_all_receivers_in_their_order() -> None:
    found = receivers.read(put(json.dumps({"format": 1, "alarms": ALL})), PATH)
    assert found.told == (
        Webhook("webhook-1", "https://hooks.example.org/x"),
        Ntfy("ntfy-1", "https://ntfy.sh/topic", SECRET),
        Email("email-1", ("a@b",), "x@y", "smtp.example.org", 2525, "x", SECRET, "tls"),
        Email("email-2", ("a@b", "c@d"), "x@y", "::1", 587),
        Webhook("webhook-2", "http://10.0.0.1:8080"),
    )
    assert found.heartbeats == (Heartbeat("heartbeat-1", "https://hc-ping.com/x"),)
    assert SECRET not in repr(found)
    assert "example.org" not in repr(found)


@pytest.mark.parametrize(
    "one",
    [
        SECRET,
        {"telegram": SECRET},
        {"webhook": SECRET},
        {"webhook": f"ftp://{SECRET}"},
        {"webhook": f"https://{SECRET}:port/"},
        {"webhook": f"https://{SECRET}/a b"},
        {"webhook": f"https://x/{SECRET}\n"},
        {"webhook": f"https://{SECRET}/", "ntfy": "https://x/"},
        {"webhook": f"https://{SECRET}/", "token": SECRET},
        {"ntfy": "https://x/", "token": f"{SECRET}\n"},
        {"ntfy": "https://x/", "token": [SECRET]},
        {"email": SECRET, "from": "x@y", "smtp": "z"},
        {"email": [], "from": "x@y", "smtp": "z"},
        {"email": [SECRET], "from": "x@y", "smtp": "z"},
        {"email": ["a@b"], "from": "", "smtp": SECRET},
        {"email": ["a@b"], "from": "x@y", "smtp": ""},
        {"email": ["a@b"], "from": "x@y", "smtp": f"{SECRET}:0"},
        {"email": ["a@b"], "from": "x@y", "smtp": f"{SECRET}:x"},
        {"email": ["a@b"], "from": "x@y", "smtp": "z", "tls": SECRET},
    ],
)
def test_a_receiver_that_is_wrong_is_refused_without_its_contents(one: Any) -> None:
    with pytest.raises(HostError) as caught:
        receivers.read(put(json.dumps({"format": 1, "alarms": [one]})), PATH)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["", f'["{SECRET}"', f'["{SECRET}"]', '{"format": 1}', '{"format": 2, "alarms": []}'])
def test_a_file_that_is_wrong_is_refused_without_its_contents(text: str) -> None:
    with pytest.raises(HostError, match=r"^/opt/receivers.json: expected ") as caught:
        receivers.read(put(text), PATH)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_file_that_others_can_read_is_refused() -> None:
    text = json.dumps({"format": 1, "alarms": []})
    for files in (put(text, 0o640), put(text, owner=Owner(1000, 1000))):
        with pytest.raises(HostError, match=r"expected a file that only root can read, got mode 06"):
            receivers.read(files, PATH)
    with pytest.raises(HostError, match=r"got no file"):
        receivers.read(Files(FakeKernel()), PATH)
