"""The newest release known of each pinned image, for the page of all hosts. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from webui_stack.settings import image_reference

NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Release:
    """An image as a host's settings pin it, and the newest release of it that its registry knows.

    `newest_of_line` is the newest of the same line, as of 8.0. Both are "" where they are not known; `unknown` says why
    then.
    """

    image: str
    newest: str = ""
    newest_of_line: str = ""
    unknown: str = NOT_ASKED

    def told(self, answer: Sequence[str] | str) -> Release:
        """The same, with the tags that the registry has told; or with the reason why it told none."""
        if isinstance(answer, str):
            return Release(self.image, unknown=f"{NOT_ASKED}: {answer}")
        newest, of_line = image_reference.newest_like(self.image, answer)
        unknown = "" if newest else "its registry has no tag of this form"
        return Release(self.image, newest, of_line, unknown)

    @property
    def words(self) -> str:
        """`v0.12.6`; `9.0.1, in its line 8.0.14`; `this one`; or why it is not known."""
        if self.unknown:
            return self.unknown
        if self.newest == self._tag:
            return "this one"
        if self.newest_of_line in ("", self.newest):
            return self.newest
        of_line = "this one" if self.newest_of_line == self._tag else self.newest_of_line
        return f"{self.newest}, in its line {of_line}"

    @property
    def is_newest(self) -> bool:
        return not self.unknown and self.newest == self._tag

    @property
    def _tag(self) -> str:
        return self.image.partition("@")[0].rpartition("/")[2].partition(":")[2]


class Row(NamedTuple):
    """A row of the page: an image, on how many hosts it is wanted, and its newest release in words."""

    image: str
    hosts: str
    words: str
    is_newest: bool


def pinned(images: Mapping[str, str]) -> dict[str, Release]:
    """The releases of a host's settings, by service; nobody has asked yet."""
    return {service: Release(image) for service, image in images.items()}


def rows(hosts: Iterable[Mapping[str, Release]]) -> list[Row]:
    """A row for each image that a host wants, in the order of its name."""
    counts: Counter[str] = Counter()
    found: dict[str, Release] = {}
    for host in hosts:
        here = {one.image: one for one in host.values()}
        counts.update(here.keys())
        found |= here
    return [
        Row(image, f"{counts[image]} host{'' if counts[image] == 1 else 's'}", one.words, one.is_newest)
        for image, one in sorted(found.items())
    ]
