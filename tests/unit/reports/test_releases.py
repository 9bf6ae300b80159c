"""The newest release known of each pinned image; where nobody could ask, the page says so, and never "the newest"."""

from __future__ import annotations

import json

import pytest

from tests.unit.reports.some_hosts import GOOD, NOW
from webui_stack.reports import releases, status, status_page
from webui_stack.reports.releases import Release, Row
from webui_stack.reports.status import Status

PINNED = "docker.io/valkey/valkey:8.0.12-alpine"


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["8.0.12-alpine"], "this one"),
        (["8.0.12-alpine", "8.0.14-alpine"], "8.0.14-alpine"),
        (["8.0.12-alpine", "8.0.14-alpine", "9.0.1-alpine"], "9.0.1-alpine, in its line 8.0.14-alpine"),
        (["8.0.12-alpine", "9.0.1-alpine"], "9.0.1-alpine, in its line this one"),
        (["9.0.1-alpine"], "9.0.1-alpine"),
        (["9.0.1", "latest"], "its registry has no tag of this form"),
        ([], "its registry has no tag of this form"),
        ("no answer in time", "not asked: no answer in time"),
    ],
)
def test_a_release_is_told_in_words(tags: list[str] | str, words: str) -> None:
    found = Release(PINNED).told(tags)
    assert found.words == words
    assert found.is_newest is (words == "this one")


def test_what_nobody_has_asked_is_not_asked() -> None:
    assert Release(PINNED).words == "not asked"
    assert not Release(PINNED).is_newest


def host(**images: str) -> Status:
    told = {name: Release(image).told(["1.2.3", "1.2.4"]) for name, image in images.items()}
    return Status(**{**GOOD.__dict__, "releases": told})


def test_each_image_is_a_row_with_the_hosts_that_want_it() -> None:
    hosts = [host(redis="a.b/x:1.2.3", web="a.b/y:1.2.4", web2="a.b/y:1.2.4"), host(redis="a.b/x:1.2.3"), Status()]
    assert releases.rows(one.releases for one in hosts) == [
        Row("a.b/x:1.2.3", "2 hosts", "1.2.4", False),
        Row("a.b/y:1.2.4", "1 host", "this one", True),
    ]


def test_the_page_and_the_json_have_them() -> None:
    hosts = {"chat": host(redis="a.b/x:1.2.3")}
    page = status_page.html(hosts, NOW)
    assert "<b>1.2.4</b>" in page
    assert "newest known" in page
    assert "newest known" not in status_page.html({"chat": GOOD}, NOW), "a table without rows"
    assert json.loads(status.as_json(hosts))["chat"]["releases"] == {
        "redis": {"image": "a.b/x:1.2.3", "newest": "1.2.4", "newest_of_line": "1.2.4", "unknown": ""}
    }


def test_a_tag_of_a_registry_is_no_markup() -> None:
    odd = {"chat": Status(**{**GOOD.__dict__, "releases": {"x": Release("a.b/x:1", unknown="<script>")}})}
    assert "<script>" not in status_page.html(odd, NOW)
