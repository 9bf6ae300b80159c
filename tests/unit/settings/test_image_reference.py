"""Whether an image is pinned, and its release, are read from its reference."""

from __future__ import annotations

import pytest

from tests.defaults import settings
from tests.unit.settings.given import problems
from webui_stack.settings.image_reference import version_of


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
