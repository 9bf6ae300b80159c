"""Writes docs/reference/settings.md from inventories/group_data/all.py and the settings' own rules.

`.venv/bin/python docs/generate.py` writes the file. A test compares it with `page()`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from webui_stack.settings.errors import rule_of  # noqa: E402 the script runs from any folder
from webui_stack.settings.model import Settings  # noqa: E402 the script runs from any folder

SOURCE = ROOT / "inventories" / "group_data" / "all.py"
TARGET = ROOT / "docs" / "reference" / "settings.md"
_SECTION = re.compile(r"# --- (?P<title>.+?) -+$")
_ASSIGNMENT = re.compile(r"(?P<name>[a-z_0-9]+) = (?P<rest>.*)$")
_INTRODUCTION = """\
# Settings

<!-- Written by docs/generate.py from inventories/group_data/all.py. Change that file, then run the script. -->

Each setting has a default, so you set only what differs. [How to write settings](configuration.md) says where, and
which value wins. The defaults are in `inventories/group_data/all.py`.
"""


@dataclass(frozen=True)
class Setting:
    """One setting as all.py writes it: its name, its default in Python, and its comments."""

    name: str
    default: str
    comment: str


def sections(text: str) -> Iterator[tuple[str, list[Setting]]]:
    """Each heading of all.py with the settings below it. Raises `ValueError` for a line that it can't read."""
    title, found, above = "", [], list[str]()
    lines = iter(text.splitlines())
    for line in lines:
        if heading := _SECTION.match(line):
            if title:
                yield title, found
            title, found, above = heading["title"], [], []
        elif not line.strip():
            above = []
        elif line.startswith("#"):
            above.append(line.removeprefix("#").strip())
        elif assignment := _ASSIGNMENT.match(line):
            default, comment = _split(assignment["rest"])
            if default[-1] in "{[(":
                more = ""
                while not more.startswith(("}", "]", ")")):
                    more = next(lines)
                    default += f"\n{more}"
            found.append(Setting(assignment["name"], default, _comment([*above, comment])))
            above = []
        else:
            raise ValueError(f"{SOURCE.name}: expected a setting or a comment, got {line!r}")
    yield title, found


def _split(rest: str) -> tuple[str, str]:
    """A default and the comment behind it. No default has ` # ` in it: `test_docs.py` compares all of them."""
    default, _, comment = rest.partition("  # ")
    return default.strip(), comment.strip()


def _comment(lines: list[str]) -> str:
    """The comments about one setting as sentences, without notes for programs (renovate, noqa)."""
    *above, inline = [re.sub(r"^noqa: \w+ ?", "", line) for line in lines if not line.startswith("renovate:")]
    sentences = [text for text in (" ".join(above), inline) if text]
    return " ".join(text[0].upper() + text[1:] + ("" if text.endswith(".") else ".") for text in sentences)


def page() -> str:
    """The whole page. Raises `ValueError` where all.py and the model have different settings."""
    parts = [_INTRODUCTION]
    names = []
    for title, found in sections(SOURCE.read_text()):
        title, colon, note = title.partition(": ")
        parts.append(f"## {re.sub(r' [(].*[)]$', '', title)}\n")
        if colon:
            parts.append(f"{note[:1].upper()}{note[1:]}.\n")
        for setting in found:
            names.append(setting.name)
            parts.append(_entry(setting))
    if set(names) != set(Settings.model_fields):
        raise ValueError(f"all.py and the model differ in {sorted(set(names) ^ set(Settings.model_fields))}")
    return "\n".join(parts)


def _entry(setting: Setting) -> str:
    rule = rule_of(setting.name)
    if "\n" in setting.default:
        default = f"Default:\n\n```python\n{setting.default}\n```\n\n"
    else:
        default = f"Default: `{setting.default}`\n\n"
    accepts = f"Accepts: {_marked(rule.expected)}.\n"
    return f"### `{setting.name}`\n\n{_marked(setting.comment)}\n\n{default}{accepts}"


# A value within a sentence: a list, a dict, a text.
_VALUE = re.compile(r"""\[\{[^]]*\]|\["[^]]*\]|\{["'][^}]*\}|\[\]|\{\}|"[^"]*"|(?<!\w)'[^']*'(?!\w)|`[^`]*`""")


def _marked(sentence: str) -> str:
    """A sentence with its values as code, and its pages as links from docs/reference/."""
    coded = _VALUE.sub(lambda value: value[0] if value[0].startswith("`") else f"`{value[0]}`", sentence)
    return re.sub(r"docs/([\w/-]+\.md)", r"[\1](../\1)", coded)


if __name__ == "__main__":
    TARGET.write_text(page())
