"""Services of an overlay: which containers are theirs, and what a deploy has to do about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import surveys
from webui_stack.model import compose
from webui_stack.model.compose import Container, Image, Observed
from webui_stack.reports import status

FOLDER = "/opt/open-webui"
FILES = f"{FOLDER}/compose.yaml,{FOLDER}/stack-overlay.yaml"
TIKA = "tika:3.2"


LABELS = {
    "com.docker.compose.project.working_dir": FOLDER,
    "com.docker.compose.project.config_files": FILES,
    "com.docker.compose.service": "tika",
    "com.docker.compose.oneoff": "False",
}


def observed(of: dict[str, str]) -> Observed:
    document = surveys.DEPLOYED
    mine = {**document["containers"][0], "name": "open-webui-tika-1", "labels": of}
    return surveys.parsed({**document, "containers": [*document["containers"], mine]}).services


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, True),
        ({"com.docker.compose.project.config_files": f"{FOLDER}/compose.yaml,/root/mine.yaml"}, False),
        ({"com.docker.compose.project.working_dir": "/srv/other"}, False),
        ({"com.docker.compose.oneoff": "True"}, False),
        ({"com.docker.compose.service": "open-webui-3"}, False),
    ],
    ids=["ours", "another file", "another folder", "compose run", "a service of the stack"],
)
def test_a_container_is_the_overlays_by_the_files_that_made_it(change: dict[str, str], known: bool) -> None:
    found = observed({**LABELS, **change})
    assert ("open-webui-tika-1" in found.containers) is known
    assert ("tika" in status.images(found)) is known


def tika(**changes: Any) -> Container:
    found = observed(LABELS).containers["open-webui-tika-1"]
    return replace(found, **{"config_hash": "ab", "image_id": "sha256:1", "health": "none", **changes})


@pytest.mark.parametrize(
    ("container", "expected", "recreate"),
    [
        (None, ["tika: has no container"], False),
        (tika(), [], False),
        (tika(health="healthy"), [], False),
        (tika(config_hash="cd"), ["tika: its definition changed"], False),
        (tika(image_id="sha256:2"), ["tika: its image changed"], False),
        (tika(status="exited"), ["tika: is exited"], False),
        (tika(status="paused"), ["tika: is paused"], True),
        (tika(health="unhealthy"), ["tika: is unhealthy"], True),
    ],
)
def test_what_a_deploy_has_to_do(container: Container | None, expected: list[str], recreate: bool) -> None:
    seen = Observed(
        hashes={"tika": "ab"},
        images={TIKA: Image("sha256:1")},
        containers={container.name: container} if container else {},
    )
    work = compose.pending(seen, FOLDER, {"tika": TIKA})
    assert [str(item) for item in work] == expected
    assert any(item.recreate for item in work) is recreate


def test_a_service_that_the_overlay_does_not_have_any_more_is_not_wanted() -> None:
    seen = Observed(containers={"open-webui-tika-1": tika()})
    (work,) = compose.pending(seen, FOLDER, {})
    assert (str(work), work.remove) == ("tika: is not wanted any more", True)
