"""The lab's models, asked past Open WebUI: what they say when nobody stops them, and whom somebody did stop."""

from __future__ import annotations

import json
from typing import Any

from tests.browser.person import Person, assert_streamed
from tests.lab.session import Lab

SHORT, LONG = "lab-short", "lab-long"
QUESTION = "How does an answer get from the model to this page?"


class Models:
    """The lab's models, as a host reaches them."""

    def __init__(self, lab: Lab, host: Any) -> None:
        self.host = host
        self.url = lab.inventory["models"]["url"]

    def answer(self, model: str) -> str:
        """All that the model has to say."""
        question = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
        output = self.host.check_output(f"curl -sf {self.url}/chat/completions -d %s", json.dumps(question))
        return str(json.loads(output)["choices"][0]["message"]["content"])

    def cancelled(self, model: str) -> int:
        """How many of its answers nobody wanted to the end."""
        counts = json.loads(self.host.check_output(f"curl -sf {self.url.removesuffix('/v1')}/cancelled"))
        return int(counts.get(model, 0))


def assert_grows(person: Person, models: Models) -> None:
    """Somebody's question is answered before their eyes, over the websocket."""
    answer = models.answer(SHORT)
    brought_before = len(person.frames)
    person.start_chat(SHORT, QUESTION)
    seen = person.watch_answer(lambda text: text == answer)
    partial = [text for text in seen if text != answer]
    assert len(set(partial)) >= 3
    assert all(answer.startswith(text) for text in partial)
    assert_streamed(person.frames[brought_before:], answer)
    assert person.polls == []
