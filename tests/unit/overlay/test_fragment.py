"""An overlay is read as compose reads it: what it has of its own is known, and what is no fragment is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui_stack.overlay import fragment
from webui_stack.overlay.fragment import OverlayError

TEXT = """\
x-common: &common
  networks: [openwebui-network]
services:
  open-webui:
    labels: {traefik.enable: true}
  tika:
    <<: *common
    image: docker.io/apache/tika:3.2.1.0
    environment: [LEVEL=on, MODE]
volumes:
  models:
  shared: {external: true}
  named: {name: elsewhere}
"""


def test_what_an_overlay_has_of_its_own_is_known() -> None:
    found = fragment.parse(TEXT)
    assert found.images == {"tika": "docker.io/apache/tika:3.2.1.0"}
    assert found.own_services["tika"]["networks"] == ["openwebui-network"]
    assert found.volumes() == ["open-webui_models", "shared", "elsewhere"]
    assert found.volumes(external=False) == ["open-webui_models", "elsewhere"]


def test_its_text_lands_on_the_host_as_it_is_but_for_line_breaks_at_its_end() -> None:
    assert fragment.parse(f"{TEXT}\n\n").text == TEXT


def test_scalars_stay_as_they_are_written_because_compose_has_another_yaml() -> None:
    tree = fragment.parse("services:\n  a: {environment: {X: on, Y: 0755, Z: }}\n").tree
    assert tree["services"]["a"]["environment"] == {"X": "on", "Y": "0755", "Z": ""}
    assert fragment.variables(["LEVEL=on=1", "MODE"]) == {"LEVEL": "on=1", "MODE": ""}


def test_a_fragment_without_services_is_one() -> None:
    found = fragment.parse("networks: {edge: {external: true}}\n")
    assert (found.images, found.volumes(), dict(found.services)) == ({}, [], {})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("services: [\n", "line 2: "),
        ("- a\n", "it has no mapping at its top"),
        ("", "it has no mapping at its top"),
        ("services:\n  a: {image: x}\n  a: {image: y}\n", "line 3: the key a is there twice"),
        ("services:\n  redis:\n    ports: !reset []\n", "line 3: the tag !reset: it takes away"),
        ("services:\n  redis:\n    ports: !override [a]\n", "line 3: the tag !override: it takes away"),
        ("a: *b\n", "line 1: "),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1: "),
        ("a: 1\n---\nb: 2\n", "line 2: "),
    ],
)
def test_what_is_no_fragment_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(OverlayError, match="^" + why.replace("!", "\\!")):
        fragment.parse(text)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OverlayError, match=r"No such file|not UTF-8"):
        fragment.read(str(path))
    with pytest.raises(OverlayError):
        fragment.read("~nobody-there/x.yaml")


def test_an_overlay_is_read_once_in_a_run(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(TEXT)
    first = fragment.read(str(path))
    path.write_text("services: {}\n")
    assert fragment.read(str(path)) is first
