"""The docs and the settings' comments use one word for one thing: a table of words, and of what to write instead."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.defaults import ALL_PY
from tests.unit.test_docs import DOCS

# What is not written, as a pattern, and what is written instead.
INSTEAD = {
    r"process(es)? of Open WebUI|Open WebUI process(es)?|several processes": "replica",
    r"entrances?": "endpoint",
    r"the lead(?:'s)?": "data node",
    r"anew": "again",
    r"drops? out|dropped out": "is skipped",
    r"mends?|mended": "fix, repair",
    r"people come": "new sessions arrive",
    r"good for nothing": "revoked",
    r"of before": "earlier",
    r"goes without|go without": "leaves out",
    r"nothing of the delivery|the delivery": "transferred files",
    r"class room": "classroom",
}
_WORDS = re.compile("|".join(rf"(?P<w{number}>\b(?:{word})\b)" for number, word in enumerate(INSTEAD)), re.IGNORECASE)


def prose(path: Path) -> str:
    """What a person reads as sentences: a page without its code, a Python file's comments. Lines keep their numbers."""
    text = path.read_text()
    if path.suffix == ".py":
        lines = [""] * (text.count("\n") + 1)
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                lines[token.start[0] - 1] = token.string
        return "\n".join(lines)
    blank = re.sub(r"(?ms)^ *```.*?^ *```$", lambda block: "\n" * block[0].count("\n"), text)
    return re.sub(r"`[^`\n]*`|\]\([^)\n]*\)", "", blank)


def misused(text: str) -> list[str]:
    """Each word of the table in a text, with its line and the word to write."""
    instead = list(INSTEAD.values())
    found = [(text.count("\n", 0, word.start()) + 1, word) for word in _WORDS.finditer(text)]
    return [f"line {line}: {word[0]!r}; write {instead[int(str(word.lastgroup)[1:])]}" for line, word in found]


@pytest.mark.parametrize("path", [*DOCS, ALL_PY], ids=lambda path: "/".join(path.parts[-2:]))
def test_the_words_of_the_glossary_are_used(path: Path) -> None:
    assert misused(prose(path)) == []


def test_a_word_that_is_not_used_is_found() -> None:
    assert misused("Fine.\nTwo processes of Open WebUI begin\nanew.") == [
        "line 2: 'processes of Open WebUI'; write replica",
        "line 3: 'anew'; write again",
    ]


def test_code_is_no_prose(tmp_path: Path) -> None:
    page, source = tmp_path / "a.md", tmp_path / "a.py"
    page.write_text("Run `mend`:\n\n```\nmend it anew\n```\n\nThe end.\n")
    source.write_text('x = "anew"  # begins anew\n')
    assert misused(prose(page)) == []
    assert misused(prose(source)) == ["line 1: 'anew'; write again"]
