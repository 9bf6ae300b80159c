"""Whether an image is pinned, and its release, are read from its reference."""

from __future__ import annotations

import pytest

from tests.defaults import settings
from tests.unit.settings.given import problems
from webui_stack.settings.image_reference import newest_like, place_of, version_of


@pytest.mark.parametrize(
    ("reference", "pinned"),
    [
        *((f"registry.example.org:5000/a/b:{tag}", True) for tag in ("v0.12.4", "8.0.11-alpine", "0.8.7-pg17-trixie")),
        *((f"a/b:{tag}", True) for tag in ("v0.12.4-slim", "0.12.4-cuda", "1.2.3rc1", "1.2.3-rc.1", "8.0-alpine")),
        *((f"a/b:{tag}", True) for tag in ("git-abc1234", "sha-0a1b2c3", "main-0a1b2c3", "pg17-v0.8.0", "2026.11")),
        *((f"a/b:{tag}", True) for tag in ("20261129", "nightly-20261129", "2026-11-29", "dev-2026.11.29", "v1.2_3")),
        ("a/b:latest@sha256:" + "0" * 64, True),
        ("a/b@sha256:" + "0" * 64, True),
        *((f"a/b:{tag}", False) for tag in ("latest", "main", "dev", "latest-cuda", "main-slim", "cuda", "ollama")),
        *((f"a/b:{tag}", False) for tag in ("8", "8-alpine", "v8", "8-alpine3.20", "pg17", "main-cuda12.8", "slim")),
        *((f"a/b:{tag}", False) for tag in ("latest-12.8", "stable-1.2", "Main-0.12", "alpine", "trixie", "feedbeefs")),
        *((name, False) for name in ("--privileged/x:1.2.3", "-v/x:1.2.3", "-x:1.2.3", "a-/x:1.2.3", ".a/x:1.2.3")),
        *((name, False) for name in ("a/b", "a/b:", "a/b:-1.2.3", "a/b:1.2.3\n", "a/b:v٤.٢٢.٤", "a:٦٤٤٤/b:1.2.3")),
    ],
)
def test_a_tag_that_moves_is_known_by_its_form(reference: str, pinned: bool) -> None:
    if pinned:
        assert settings(valkey_image=reference).valkey_image == reference
    else:
        assert problems(valkey_image=reference)[0].startswith("valkey_image: expected an image reference with a fixed")


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("ghcr.io/open-webui/open-webui:v0.12.4", (0, 12, 4)),
        ("registry.example.org:5000/a:0.9.10-slim@sha256:" + "0" * 64, (0, 9, 10)),
        ("a@sha256:" + "0" * 64, None),
        ("a:git-abc1234", None),
        ("a:20261129", None),
        ("", None),
    ],
)
def test_an_images_release_is_read_from_its_tag(reference: str, version: tuple[int, ...] | None) -> None:
    assert version_of(reference) == version


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        ("caddy:2.11.9-alpine", ("docker.io", "library/caddy")),
        ("docker.io/library/caddy:2", ("docker.io", "library/caddy")),
        ("docker.io/caddy:2", ("docker.io", "library/caddy")),
        ("valkey/valkey:8.0.12", ("docker.io", "valkey/valkey")),
        ("ghcr.io/open-webui/open-webui:v0.12.4@sha256:" + "0" * 64, ("ghcr.io", "open-webui/open-webui")),
        ("registry.example.org:5000/a/b/c:1.2", ("registry.example.org:5000", "a/b/c")),
        ("localhost/a:1.2", ("localhost", "a")),
        ("a.b/c@sha256:" + "0" * 64, ("a.b", "c")),
    ],
)
def test_a_reference_has_a_registry_as_docker_reads_it(reference: str, place: tuple[str, str]) -> None:
    assert place_of(reference) == place


@pytest.mark.parametrize(
    ("tag", "tags", "newest", "of_line"),
    [
        ("v0.12.4", ["v0.12.10", "v0.12.9", "0.13.0", "v0.13.0-rc1", "main"], "v0.12.10", "v0.12.10"),
        ("8.0.12-alpine", ["8.0.14", "8.0.13-alpine", "9.0.0-alpine", "9.1-alpine"], "9.0.0-alpine", "8.0.13-alpine"),
        ("0.8.7-pg17-trixie", ["0.9.0-pg18-trixie", "0.8.8-pg17-trixie"], "0.8.8-pg17-trixie", "0.8.8-pg17-trixie"),
        ("1.2.3", ["2.0.0"], "2.0.0", ""),
        ("1.2.3", ["1.2.99999999999999999999"], "", ""),
        ("main-0a1b2c3", ["main-0a1b2c3", "v1.2.3"], "", ""),
    ],
)
def test_the_newest_release_is_of_the_same_form(tag: str, tags: list[str], newest: str, of_line: str) -> None:
    assert newest_like(f"a.b/c:{tag}", tags) == (newest, of_line)
    assert newest_like(f"a.b/c:{tag}@sha256:{'0' * 64}", tags) == (newest, of_line)


def test_a_digest_alone_names_no_release() -> None:
    assert newest_like("a.b/c@sha256:" + "0" * 64, ["1.2.3"]) == ("", "")
