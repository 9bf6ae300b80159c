"""A person at a browser: their page, what they do there, and what its websocket brought."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, Request, WebSocket

from tests.lab.session import ROOT

SOCKET = "/ws/socket.io/"
PICTURES = ROOT / "reports" / "browser"


# The page's own fetch: Playwright's requests don't know the names that Chromium was told.
ASK = """async ([path, body]) => {
  const posted = {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)};
  const response = await fetch(path, body === null ? {} : posted);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}"""


@dataclass(frozen=True)
class Site:
    """Where people go, what Chromium has to be told to get there, and the host it is on."""

    url: str
    host: Any
    arguments: Sequence[str] = ()


class Person:
    """What someone does on one page, in the words that are on it. `frames` are what its websockets received.

    `errors` are the page's own, and `pending` the requests it still waits for: why a page is not what a test expects.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[str] = []
        self.polls: list[str] = []
        self.errors: list[str] = []
        self.pending: dict[Request, str] = {}
        page.on("websocket", self._listen)
        page.on("requestfinished", self._note_end)
        page.on("requestfailed", self._note_failure)
        page.on("pageerror", lambda error: self.errors.append(f"{time.strftime('%X')} {error}"))
        page.on("request", self._note_request)
        # an admin gets the release notes, some time after the page is there
        page.add_locator_handler(page.get_by_role("button", name="Okay, Let's Go!"), lambda button: button.click())

    def sign_up_first(self, name: str, email: str, password: str) -> None:
        """Make the account that nobody made before, from the page a new stack greets people with."""
        self.page.goto("/")
        self.page.get_by_role("button", name="Get started").click()
        self.page.get_by_label("Name").fill(name)
        self._credentials(email, password)
        self.page.get_by_role("button", name="Create Admin Account").click()
        self.page.locator("#chat-input").wait_for()

    def sign_up(self, name: str, email: str, password: str) -> None:
        """Make an account where sign-up is open."""
        self.page.goto("/auth")
        self.page.get_by_role("button", name="Sign up").click()
        self.page.get_by_label("Name").fill(name)
        self._credentials(email, password)
        self.page.get_by_role("button", name="Create Account").click()
        self.page.locator("#chat-input").wait_for()

    def sign_in(self, email: str, password: str) -> None:
        self.page.goto("/auth")
        self._credentials(email, password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.locator("#chat-input").wait_for()

    def sign_out(self) -> None:
        """By the menu of their account."""
        self.page.get_by_role("button", name="User menu").click()
        self.page.get_by_text("Sign Out", exact=True).click()
        self.page.wait_for_url("**/auth**")

    def ask(self, path: str, body: Any = None) -> Any:
        """What Open WebUI's API answers this browser: GET, or POST where there is a body."""
        if self.page.url == "about:blank":
            self.page.goto("/health")  # a page of the site that asks for nothing else
        return self.page.evaluate(ASK, [path, body])

    def open_channel(self, channel: str) -> None:
        """Be in a channel nobody has written in, and know from then on whether the page was loaded again."""
        self.page.goto(f"/channels/{channel}")
        self.page.get_by_text("This is the very beginning").wait_for()
        self.page.evaluate("window.loadedOnce = true")

    def sees(self, text: str) -> None:
        """Wait until the text is on the page that was loaded once."""
        self.page.get_by_text(text).first.wait_for()
        assert self.page.evaluate("window.loadedOnce"), "the page was loaded again"

    def shows(self, text: str) -> bool:
        """Whether the text is on the page now."""
        return self.page.get_by_text(text).count() > 0

    def start_chat(self, model: str, question: str) -> None:
        self.page.goto("/")
        self.page.get_by_role("button", name="Selected model").click()
        self.page.get_by_role("option", name=model).click()
        self.write(question)

    def write(self, text: str) -> None:
        """Type a message, to a model or into a channel, and send it."""
        self.page.locator("#chat-input").click()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def stop(self) -> None:
        self.page.get_by_role("button", name="Stop", exact=True).click()

    def answer(self) -> str:
        """What the page shows of the newest answer; "" before there is one."""
        answers = self.page.locator("#response-content-container").all_inner_texts()
        return answers[-1].strip() if answers else ""

    def watch_answer(self, until: Callable[[str], bool], seconds: float = 60) -> list[str]:
        """Every text the newest answer was seen with, in order, until one is as wanted."""
        seen = [""]
        deadline = time.monotonic() + seconds
        while not until(seen[-1]):
            assert time.monotonic() < deadline, f"not within {seconds} s, last seen: {seen[-1]!r}"
            self.page.wait_for_timeout(50)
            if (text := self.answer()) != seen[-1]:
                seen.append(text)
        return seen[1:]

    @property
    def connections(self) -> int:
        """How often Open WebUI has confirmed a websocket of this page's (Socket.IO's `40`)."""
        return sum(frame.startswith("40{") for frame in self.frames)

    @property
    def chat(self) -> str:
        """The id of the chat on the page."""
        self.page.wait_for_url("**/c/*")
        return self.page.url.rsplit("/", 1)[1]

    def picture(self, name: str) -> None:
        """Keep what the page looks like now."""
        self.page.screenshot(path=PICTURES / f"{name}.png")

    def tell(self) -> str:
        """What the page has come to: its text, its errors, what it waits for."""
        text = self.page.locator("body").inner_text(timeout=5000)
        pending = [f"waits since {since} for {request.url}" for request, since in self.pending.items()]
        return "\n".join([self.page.url, text[:1000], *self.errors[-20:], *pending])

    def _credentials(self, email: str, password: str) -> None:
        self.page.get_by_label("Email").fill(email)
        self.page.locator("#password").fill(password)

    def _listen(self, socket: WebSocket) -> None:
        if SOCKET in socket.url:
            socket.on("framereceived", lambda frame: self.frames.append(str(frame)))

    def _note_request(self, request: Request) -> None:
        self.pending[request] = time.strftime("%X")
        if SOCKET in request.url and "transport=polling" in request.url:
            self.polls.append(request.url)

    def _note_end(self, request: Request) -> None:
        self.pending.pop(request, None)

    def _note_failure(self, request: Request) -> None:
        self._note_end(request)
        self.errors.append(f"{time.strftime('%X')} {request.url}: {request.failure}")


def pieces(frames: list[str]) -> list[str]:
    """The pieces of answers among the frames, as Open WebUI 0.12 sends them."""
    events = [json.loads(frame[2:])[1]["data"] for frame in frames if frame.startswith('42["events",')]
    completions = [event["data"] for event in events if event.get("type") == "response:completion"]
    return [one["delta"] for one in completions if one.get("type") == "response.output_text.delta"]


def assert_streamed(frames: list[str], answer: str) -> None:
    """The websocket brought the whole answer, in pieces."""
    brought = pieces(frames)
    assert len(brought) >= 3
    assert "".join(brought).strip() == answer
