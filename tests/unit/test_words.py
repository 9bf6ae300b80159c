"""Pages, comments, docstrings and messages: one word for one thing, short sentences, subjects with a name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.defaults import ALL_PY, ROOT
from tests.unit import prose
from tests.unit.prose import Paragraph
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
    r"says? of": "says about",
    r"whoever": "anybody who",
    r"gets nobody": "receives no traffic",
    r"there are yet": "exist",
}
_WORDS = re.compile("|".join(rf"(?P<w{number}>\b(?:{word})\b)" for number, word in enumerate(INSTEAD)), re.IGNORECASE)


def misused(text: str) -> list[str]:
    """Each word of the table in a text, with its line and the word to write."""
    instead = list(INSTEAD.values())
    found = [(text.count("\n", 0, word.start()) + 1, word) for word in _WORDS.finditer(text)]
    return [f"line {line}: {word[0]!r}; write {instead[int(str(word.lastgroup)[1:])]}" for line, word in found]


def test_the_words_of_the_glossary_are_used() -> None:
    found = {str(path): misused(prose.prose(path)) for path in (*DOCS, ALL_PY)}
    assert {page: words for page, words in found.items() if words} == {}


def test_a_word_that_is_not_used_is_found() -> None:
    assert misused("Fine.\nTwo processes of Open WebUI begin\nanew.") == [
        "line 2: 'processes of Open WebUI'; write replica",
        "line 3: 'anew'; write again",
    ]


def test_code_is_no_prose(tmp_path: Path) -> None:
    page, source = tmp_path / "a.md", tmp_path / "a.py"
    page.write_text("Run `mend`:\n\n```\nmend it anew\n```\n\nThe end.\n")
    source.write_text('x = "anew"  # begins anew\n')
    assert misused(prose.prose(page)) == []
    assert misused(prose.prose(source)) == ["line 1: 'anew'; write again"]


# --- Sentences, and the same words in the changelog and in code -------------------------------------

CHANGELOG = ROOT / "CHANGELOG.md"


def hard_to_read(found: Iterable[Paragraph]) -> list[str]:
    return [line for one in found for line in prose.hard_to_read(one)]


def test_a_page_has_short_sentences_with_named_subjects() -> None:
    found = {str(path): hard_to_read(prose.paragraphs(path.read_text())) for path in DOCS}
    assert {page: lines for page, lines in found.items() if lines} == {}


def test_settings_comments_are_short_sentences_with_named_subjects() -> None:
    assert hard_to_read(prose.comments(ALL_PY)) == []


def test_the_newest_changes_are_told_in_short_sentences_and_the_glossarys_words() -> None:
    text = prose.newest(CHANGELOG)
    assert hard_to_read(prose.paragraphs(text)) == []
    assert misused(re.sub(r"`[^`\n]*`", "", text)) == []


@pytest.mark.parametrize("folder", sorted({path.parent for path in prose.CODE}), ids=lambda path: path.name)
def test_docstrings_and_messages_are_short_sentences_in_the_glossarys_words(folder: Path) -> None:
    found = {path: list(prose.in_code(path)) for path in prose.CODE if path.parent == folder}
    wrong = {
        str(path.relative_to(ROOT)): [
            *hard_to_read(said),
            *(word for one in said for word in misused(re.sub(r"`[^`]*`", "", one.text))),
        ]
        for path, said in found.items()
    }
    assert {path: lines for path, lines in wrong.items() if lines} == {}


def test_docstrings_and_messages_are_found() -> None:
    errors = ROOT / "webui_stack/host/engine/errors.py"
    assert "run deploy.py" in [one.text for one in prose.in_code(errors)]
    assert any("Ensure nobody else is at work" in one.text for one in prose.in_code(ROOT / "tasks/deployment.py"))


def test_a_sentence_that_is_too_long_is_found() -> None:
    words = " ".join(["word"] * 26)
    assert hard_to_read([Paragraph(3, f"Short. {words}.")]) == [f"line 3: 26 words, 25 at most: {words}."]
    assert hard_to_read([Paragraph(3, f"{words[5:]}: {words[5:]}.")]) == []
    assert prose.length("see `a b c` - or not".replace("`a b c`", "CODE")) == 4


@pytest.mark.parametrize(
    "text",
    [
        "Fine. What was there comes back.",
        "Who was there stays.",
        "Those of others stay.",
        "One that was killed is ended.",
        "It goes on.",
        "Whatever it was.",
    ],
)
def test_a_subject_without_a_name_is_found(text: str) -> None:
    assert len(hard_to_read([Paragraph(1, text)])) == 1


@pytest.mark.parametrize("text", ["The run is short. It ends.", "What is a stack?", "One host is enough.", "Itself."])
def test_a_subject_with_a_name_is_none(text: str) -> None:
    assert hard_to_read([Paragraph(1, text)]) == []


def test_the_first_sentence_of_a_docstring_may_name_what_a_function_returns() -> None:
    assert hard_to_read([Paragraph(1, "What the host said.", is_phrase=True)]) == []
    assert len(hard_to_read([Paragraph(1, "The host. What it said.", is_phrase=True)])) == 1


def test_paragraphs_items_and_cells_are_told_apart() -> None:
    page = "# A\n\nOne\ntwo.\n\n- It is.\n  More.\n1. Next\n\n| a | b |\n|---|---|\n```\nIt is code\n```\n> quoted\n"
    found = [(one.line, one.text) for one in prose.paragraphs(page) if one.text.strip("-|")]
    assert found == [(3, "One two."), (6, "It is. More."), (8, "Next"), (10, "a"), (10, "b"), (15, "quoted")]


def test_only_the_newest_version_of_a_changelog_counts(tmp_path: Path) -> None:
    path = tmp_path / "CHANGELOG.md"
    path.write_text("# C\n\n## 2\n\nNew.\n\n## 1\n\nOld.\n")
    assert [(one.line, one.text) for one in prose.paragraphs(prose.newest(path))] == [(5, "New.")]
