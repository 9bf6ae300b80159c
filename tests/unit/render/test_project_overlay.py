"""What the operator's side makes of an overlay: a file beside the definition, and its part in every request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import surveys, yaml_text
from tests.defaults import settings
from tests.host.fake_files import FakeFiles
from tests.unit.render.projects import SWARM
from webui_stack.host import stack as hosts_stack
from webui_stack.host.stack_file import StackFile
from webui_stack.model import compose
from webui_stack.overlay import fragment
from webui_stack.plan import teardown
from webui_stack.render import backup_requests, managed, project
from webui_stack.settings.model import Settings

TEXT = """\
# My own
services:
  open-webui: {labels: {a: b}}
  tika: {image: example.org/tika:3.2, networks: [openwebui-network], volumes: ["tika:/x", "shared:/y"]}
  side_2: {image: example.org/side:1.0, networks: [openwebui-network]}
volumes: {tika: , shared: {external: true}}
"""
PATH = "/opt/open-webui/stack-overlay.yaml"


@pytest.fixture
def overlay(tmp_path: Path) -> str:
    path = tmp_path / "chat.override.yaml"
    path.write_text(TEXT)
    return str(path)


def of(overlay: str | None, **changes: Any) -> Settings:
    return settings(stack_overlay=overlay, **changes)


def test_both_sides_know_the_file_by_one_name() -> None:
    assert compose.OVERLAY == hosts_stack.OVERLAY == Path(PATH).name
    names = [*compose.DATA, "open-webui-12", "tika", "open-webui-x"]
    assert all(map(fragment.is_of_the_stack, compose.DATA)), "a service of the stack is never the overlay's"
    assert list(map(fragment.is_of_the_stack, names)) == list(map(hosts_stack.is_of_the_stack, names))


@pytest.mark.parametrize("changes", [{}, SWARM], ids=["compose", "swarm"])
def test_it_lands_as_it_is_behind_the_definition(overlay: str, changes: dict[str, Any]) -> None:
    definition = "stack.yaml" if changes else "compose.yaml"
    with_it, without = project.files(of(overlay, **changes)), project.files(of(None, **changes))
    assert list(with_it)[:2] == [definition, "stack-overlay.yaml"]
    assert with_it["stack-overlay.yaml"] == TEXT
    assert "stack-overlay.yaml" not in without
    assert (project.unwanted(of(overlay)), project.unwanted(of(None))) == ([], [PATH])
    assert PATH in managed.paths(of(overlay, **changes))
    assert PATH in managed.paths(of(None, **changes)), "one that is there has to be seen"


def test_a_definition_is_the_same_with_and_without_one_but_for_the_names_that_a_swarm_waits_for(overlay: str) -> None:
    assert project.files(of(overlay))["compose.yaml"] == project.files(of(None))["compose.yaml"]
    text = project.files(of(overlay, **SWARM))["stack.yaml"]
    found = yaml_text.read(text)
    assert found.pop("x-overlay-services") == ["tika", "side_2"]
    assert found == yaml_text.read(project.files(of(None, **SWARM))["stack.yaml"])
    files = FakeFiles()
    files.make_folder("/s")
    files.write("/s/stack.yaml", text)
    assert StackFile(files, "/s").of_overlay() == ["tika", "side_2"]


def test_both_files_are_checked_together(overlay: str) -> None:
    def place(path: str) -> str:
        return f"{path}.new"

    both = f"--file /opt/open-webui/compose.yaml.new --file {PATH}.new config --quiet"
    assert project.check_command(of(overlay), place).endswith(both)
    assert project.check_command(of(None), place).endswith("--file /opt/open-webui/compose.yaml.new config --quiet")
    in_swarm = project.check_command(of(overlay, **SWARM), place)
    assert f"--compose-file /opt/open-webui/stack.yaml.new --compose-file {PATH}.new >/dev/null" in in_swarm


def test_a_backup_names_its_volumes_and_a_teardown_removes_those_that_compose_made(overlay: str) -> None:
    wanted = of(overlay)
    assert backup_requests.backup_request(wanted)["not_in_set"] == ["open-webui_tika", "shared"]
    assert backup_requests.backup_request(of(None))["not_in_set"] == []
    asked = teardown.request(wanted, "a", surveys.parsed(surveys.DEPLOYED))
    assert "open-webui_tika" in asked["volumes"]
    assert "shared" not in asked["volumes"]
    assert {"example.org/tika:3.2", "example.org/side:1.0"} <= set(asked["images"])
