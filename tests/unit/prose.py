"""What a person reads as sentences: pages, comments, docstrings, messages; and the rules that these follow."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.defaults import ROOT

MOST_WORDS = 25
"""The length of a sentence; a colon or a semicolon ends one, since a reader rests there."""

CODE = [
    path
    for folder in ("webui_stack", "runbooks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "starter" not in path.parts
] + sorted((ROOT / "tasks").glob("*.py"))
"""Python whose docstrings and messages are read; `webui_stack/tasks` is a link, which no glob follows."""


class Paragraph(NamedTuple):
    """A paragraph, an item of a list or a cell of a table, with the line that it begins at."""

    line: int
    text: str
    is_phrase: bool = False
    """Whether its first sentence names something, as a docstring's does: "What the host said."."""
    is_about: bool = False
    """Whether "It" may begin it, since it stands below a name, as a docstring's paragraphs do."""


def prose(path: Path) -> str:
    """What a person reads as sentences: a page without its code, a Python file's comments. Lines keep their numbers."""
    text = path.read_text()
    if path.suffix == ".py":
        lines = [""] * (text.count("\n") + 1)
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                lines[token.start[0] - 1] = token.string
        return "\n".join(lines)
    return re.sub(r"`[^`\n]*`|\]\([^)\n]*\)", "", _without_blocks(text))


def newest(changelog: Path) -> str:
    """The section of a changelog about the newest version; what is above it is left as empty lines."""
    before, heading, rest = changelog.read_text().partition("\n## ")
    return "\n" * before.count("\n") + heading + rest.partition("\n## ")[0]


def paragraphs(text: str) -> Iterator[Paragraph]:
    """The paragraphs of Markdown, less headings and blocks of code."""
    begun, lines = 0, list[str]()
    for number, line in enumerate([*_without_blocks(text).split("\n"), ""], start=1):
        words = line.strip()
        item = re.match(r"(?:>|[-*:]|\d+\.) +(?=\S)", words)
        if lines and (not words or item or words.startswith(("#", "|", "!["))):
            yield Paragraph(begun, " ".join(lines))
            lines = []
        if words.startswith("|"):
            yield from (Paragraph(number, cell.strip()) for cell in words.strip("|").split(" | "))
        elif words and not words.startswith(("#", "![", "---", "> [!")):
            begun = begun if lines else number
            lines.append(words[item.end() :] if item else words)


def comments(path: Path) -> Iterator[Paragraph]:
    """A Python file's comments; lines of one that have no code beside them belong together."""
    text = "\n".join(
        re.sub(r"^#? ?", "", said) if source.lstrip().startswith("#") else f"\n{said.lstrip('# ')}\n"
        for source, said in zip(path.read_text().split("\n"), prose(path).split("\n"), strict=True)
    )
    return paragraphs(re.sub(r"(?m)^---.*$", "", text))


def in_code(path: Path) -> Iterator[Paragraph]:
    """The docstrings of public functions; and what errors say they got, and what to do: `got=` and `do=`."""
    source = path.read_text()
    tree = ast.parse(source)
    for node in _statements(tree):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and (text := ast.get_docstring(node)):
            for number, one in enumerate(paragraphs(text)):
                yield Paragraph(node.lineno, one.text, is_phrase=not number, is_about=True)
    if "do=" in source or "got=" in source:  # to walk through all of a tree takes as long as to make it
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in ("do", "got"):
                for word in ast.walk(node.value):
                    if isinstance(word, ast.Constant) and isinstance(word.value, str):
                        yield Paragraph(word.lineno, word.value, is_phrase=True)


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph, with code as one word."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    plain = re.sub(r"`[^`]*`", "CODE", plain).replace("*", "")
    return [sentence for sentence in re.split(r"(?<=[.!?:;])\s+", plain) if sentence]


def length(sentence: str) -> int:
    """How many words it has; a dash is none."""
    return len([word for word in sentence.split() if re.search(r"\w", word)])


_HEADLESS = re.compile(
    r"(?:What|Who|Whoever|Whatever|Those)\b(?!.*\?$)|One (?:that|who|which|is|was|has|had|may|can|could)\b"
)
_IT = re.compile(r"It\b")


def hard_to_read(one: Paragraph) -> Iterator[str]:
    """Each sentence that is too long, or whose subject has no name.

    "It" has none where a paragraph of a page begins: there is nothing before that it could stand for.
    """
    for number, sentence in enumerate(sentences(one.text)):
        if (count := length(sentence)) > MOST_WORDS:
            yield f"line {one.line}: {count} words, {MOST_WORDS} at most: {sentence}"
        is_name = one.is_phrase and not number
        if not is_name and (_HEADLESS.match(sentence) or (not number and not one.is_about and _IT.match(sentence))):
            yield f"line {one.line}: name the subject: {sentence}"


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    for inner in getattr(node, "body", ()):
        yield inner
        yield from _statements(inner)


def _without_blocks(text: str) -> str:
    """Markdown without its blocks of code, whose lines stay empty."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", lambda block: "\n" * block[0].count("\n"), text)
