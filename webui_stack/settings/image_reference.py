"""References of images: whether one is pinned, which release it names, and the newest one like it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from webui_stack.settings import origin

# Docker's reference grammar (distribution/reference), with a tag or digest required.
_IMAGE = re.compile(
    rf"(?:{origin.HOST_NAME}(?::[0-9]+)?/)?"
    r"(?P<path>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
# A part of a tag, between - or _, that names a release: at least major.minor, v0.12.4, 1.2.3rc1.
_RELEASE = re.compile(r"v?[0-9]+(?:\.[0-9]+)+(?:[a-z]+\.?[0-9]*)?", re.IGNORECASE)
# What such a tag says instead of a release: a day, or a commit.
_DAY = re.compile(r"(?<![0-9])20[0-9]{2}([-._]?)[01][0-9]\1[0-3][0-9](?![0-9])")
_COMMIT = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{7,64}")
# A tag that is a release, and what stands around its numbers: v0.12.4, 0.8.7-pg17-trixie.
_NUMBERED = re.compile(r"(v?)([0-9]{1,9}(?:\.[0-9]{1,9})+)([-_].*)?")
# Tags of a line of development, whatever follows: `main-slim`, `latest-cuda12.8`.
_LINES = {"latest", "main", "master", "dev", "develop", "edge", "nightly", "stable", "testing", "unstable"}


def is_pinned_image(reference: str) -> bool:
    """Whether the reference names the same image tomorrow: by a digest, or a tag that does not move."""
    match = _IMAGE.fullmatch(reference)
    if match is None:
        return False
    return bool(match["digest"]) or bool(match["tag"] and _is_fixed_tag(match["tag"]))


def _is_fixed_tag(tag: str) -> bool:
    parts = re.split(r"[-_]", tag)
    if _DAY.search(tag) or any(_COMMIT.fullmatch(part) for part in parts):
        return True
    return parts[0].lower() not in _LINES and any(_RELEASE.fullmatch(part) for part in parts)


def version_of(reference: str) -> tuple[int, ...] | None:
    """The release that an image's tag names, (0, 12, 4) for `...:v0.12.4-slim`; None where it names none."""
    match = _IMAGE.fullmatch(reference)
    found = re.match(r"v?([0-9]+)\.([0-9]+)\.([0-9]+)(?![0-9])", (match and match["tag"]) or "")
    return tuple(int(number) for number in found.groups()) if found else None


def place_of(reference: str) -> tuple[str, str]:
    """The registry and the repository there, as Docker reads a reference: ("docker.io", "library/caddy") for `caddy:2`.

    A first part without a dot or a port is no registry (distribution/reference, splitDockerDomain).
    """
    name = reference.partition("@")[0]
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = "docker.io", name
    path = rest.partition(":")[0]
    return first, f"library/{path}" if first == "docker.io" and "/" not in path else path


def newest_like(reference: str, tags: Iterable[str]) -> tuple[str, str]:
    """The newest release among tags, and the newest of the reference's own line; "" where there is none.

    Tags count that are formed as the reference's is: `-alpine` is compared with `-alpine`. 8.0.12 is of the line 8.0.
    """
    match = _IMAGE.fullmatch(reference)
    wanted = _numbered((match and match["tag"]) or "")
    if wanted is None:
        return "", ""
    form, numbers = wanted
    found = [(one[1], tag) for tag in tags if (one := _numbered(tag)) and one[0] == form]
    of_line = [(other, tag) for other, tag in found if other[:-1] == numbers[:-1]]
    return max(found, default=((), ""))[1], max(of_line, default=((), ""))[1]


def _numbered(tag: str) -> tuple[tuple[str, int, str], tuple[int, ...]] | None:
    """The form of a tag that names a release, and its numbers."""
    match = _NUMBERED.fullmatch(tag)
    if match is None:
        return None
    numbers = tuple(map(int, match[2].split(".")))
    return (match[1], len(numbers), match[3] or ""), numbers


def has_ollama(reference: str) -> bool:
    """Whether an image of Open WebUI has an Ollama within, by the tag: `...:v0.12.4-ollama`."""
    match = _IMAGE.fullmatch(reference)
    return match is not None and "ollama" in re.split(r"[-_]", match["tag"] or "")


def postgres_major(reference: str) -> int | None:
    """The major version of PostgreSQL that an image's name tells; None where it tells none."""
    match = _IMAGE.fullmatch(reference)
    if match is None or not match["tag"]:
        return None
    found = re.search(r"(?<![a-z0-9])pg([0-9]+)", match["tag"])
    if not found and match["path"].split("/")[-1] == "postgres":
        found = re.match(r"([0-9]+)(?![0-9])", match["tag"])
    return int(found[1]) if found else None
