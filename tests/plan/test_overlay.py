"""A dry run says what an overlay changes, and of which service; one that can't be is refused before hosts are asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests import surveys
from tests.defaults import settings
from tests.plan.conftest import LAB_SETTINGS, Pyinfra, Run, answering, converged
from webui_stack.plan import drift
from webui_stack.render import project

TIKA = "registry.lab.test:5000/tika:3.2.1"
LABEL = "services:\n  open-webui:\n    labels: {traefik.enable: 'true'}\n"
SIDECAR = f"services:\n  tika:\n    image: {TIKA}\n    networks: [openwebui-network]\n"
FOLDER = "/opt/open-webui"
PATH = f"{FOLDER}/stack-overlay.yaml"
HASHES: dict[str, str] = surveys.DEPLOYED["project"]["hashes"]
IMAGES: dict[str, Any] = surveys.DEPLOYED["images"]


def sidecar(**changes: Any) -> dict[str, Any]:
    """The container of a sidecar that runs as the overlay says."""
    first = surveys.DEPLOYED["containers"][0]
    labels = {
        **first["labels"],
        "com.docker.compose.config-hash": "ab",
        "com.docker.compose.service": "tika",
        "com.docker.compose.project.config_files": f"{FOLDER}/compose.yaml,{PATH}",
    }
    return {**first, "name": "open-webui-tika-1", "id": "1" * 64, "labels": labels, "health": "", **changes}


CONTAINERS = [*surveys.DEPLOYED["containers"], sidecar()]
WITH_TIKA = {**IMAGES, TIKA: {"id": surveys.DEPLOYED["containers"][0]["image_id"], "digests": []}}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("overlays")
    label, tika = (str(folder / f"{name}.yaml") for name in ("label", "tika"))
    Path(label).write_text(LABEL)
    Path(tika).write_text(SIDECAR)
    without = converged()
    files = without["survey"]["files"]
    runs = {"images": WITH_TIKA, "containers": CONTAINERS, "project": {"hashes": {**HASHES, "tika": "ab"}}}
    return {
        "label": answering(
            {**without, "stack_overlay": label}, project={"hashes": {**HASHES, "open-webui": "of another"}}
        ),
        "comes": answering({**without, "stack_overlay": tika}, project={"hashes": {**HASHES, "tika": "ab"}}),
        "runs": answering(converged(stack_overlay=tika), **runs),
        "exited": answering(
            converged(stack_overlay=tika),
            **{**runs, "containers": [*surveys.DEPLOYED["containers"], sidecar(status="exited")]},
        ),
        "goes": answering(without, files={**files, PATH: SIDECAR}, containers=CONTAINERS),
    }


@pytest.fixture(scope="module")
def planned(pyinfra: Pyinfra, hosts: dict[str, dict[str, Any]]) -> Run:
    return pyinfra(hosts, "--json")


@pytest.mark.parametrize(
    ("host", "changes", "reasons"),
    [
        ("label", ["Put the compose project", "Bring the services up"], ["open-webui: its definition changed"]),
        (
            "comes",
            ["Pull the images", "Put the compose project", "Bring the services up"],
            ["tika: has no container"],
        ),
        ("runs", [], []),
        ("exited", ["Bring the services up"], ["tika: is exited"]),
        ("goes", ["Put the compose project", "Bring the services up"], ["tika: is not wanted any more"]),
    ],
)
def test_a_dry_run_names_the_service_that_an_overlay_changes_and_no_other(
    planned: Run, host: str, changes: list[str], reasons: list[str]
) -> None:
    assert planned.status == 0, planned.output
    assert planned.changes(host) == [f"Stack | {name}" for name in changes]
    said = [line for line in planned.said(host) if re.match("(redis|open-webui|tika): ", line)]
    assert said == reasons


def test_a_deploy_changes_something_exactly_where_there_is_drift(
    planned: Run, hosts: dict[str, dict[str, Any]]
) -> None:
    for name, host in hosts.items():
        wanted = settings(**LAB_SETTINGS, stack_overlay=host.get("stack_overlay"))
        found = drift.of(wanted, surveys.parsed(host["survey"]))
        assert bool(found) is bool(planned.changes(name)), (name, found)
    gone = drift.of(settings(**LAB_SETTINGS), surveys.parsed(hosts["goes"]["survey"]))
    assert gone == [f"{PATH}: is not wanted any more", "tika: is not wanted any more"]


DEPLOY = """\
from webui_stack.ops import operations

operations.files(
    name="Change",
    contents={{"/etc/a": "new", "/etc/b": "same"}},
    present=lambda: {{"/etc/b": "same", "/etc/c": "x"}},
    check_all=lambda place: f"check {{place('/etc/a')}} {{place('/etc/b')}}",
    unwanted={unwanted},
)
"""


@pytest.mark.parametrize(("unwanted", "last"), [("['/etc/c', '/etc/d']", " && rm -f /etc/c"), ("[]", "")])
def test_files_are_checked_together_where_they_are_now_before_any_counts_and_unwanted_ones_go(
    pyinfra: Pyinfra, tmp_path: Path, unwanted: str, last: str
) -> None:
    file = tmp_path / "change.py"
    file.write_text(DEPLOY.format(unwanted=unwanted))
    executed = pyinfra({"one": converged()}, "-y", "-vvv", deploy=str(file)).executed("one")
    assert executed[1:] == [
        "check /etc/a.new /etc/b || { rm -f /etc/a.new; exit 1; }",
        f"sync /etc/a.new && mv -f /etc/a.new /etc/a{last}",
    ]


def test_the_survey_is_asked_about_the_overlay_and_its_images(hosts: dict[str, dict[str, Any]]) -> None:
    wanted = settings(**LAB_SETTINGS, stack_overlay=hosts["runs"]["stack_overlay"])
    assert project.files(wanted)["stack-overlay.yaml"] == SIDECAR
    assert next(iter(project.files(wanted))) == "compose.yaml"


def test_an_overlay_that_contradicts_the_stack_stops_the_run_before_a_host_is_asked(
    pyinfra: Pyinfra, tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("services:\n  redis:\n    ports: ['6379:6379']\n")
    result = pyinfra({"one": converged(stack_overlay=None) | {"stack_overlay": str(path)}}, "--dry")
    assert result.status != 0
    assert "stack_overlay/services/redis/ports: must not be set; remove it" in result.output
    assert "Stack | " not in result.output
