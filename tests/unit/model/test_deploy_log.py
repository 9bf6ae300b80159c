"""A line of the log of deploys says what a person wants to know, and one that can't be read is no record."""

from __future__ import annotations

import json

import pytest

from webui_stack.model import deploy_log

RECORD = deploy_log.Record(
    "2026-11-25T18:03:04Z", "root@desk", "c0b41bea6307", "changed", 7.5, ["Stack | Pull the images"]
)


def test_a_record_comes_back_as_it_was_written() -> None:
    line = deploy_log.line(RECORD)
    assert "\n" not in line
    assert deploy_log.parse(line) == RECORD
    assert json.loads(line)["operations"] == ["Stack | Pull the images"]


def test_a_record_in_words() -> None:
    assert RECORD.words == "changed 2026-11-25 18:03 by root@desk"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": "x"}', '{"at":1,"by":2,"settings":3,"result":4,"more":5}'])
def test_what_is_no_record_is_none(text: str) -> None:
    assert deploy_log.parse(text) is None
