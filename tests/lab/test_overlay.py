"""An overlay on a real host: a label and a sidecar come, stay and go; compose merges as the one in memory does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.drifts import FILES, UP
from tests.lab.session import FRESH, Lab, changed, containers, predicted, report_in

pytestmark = pytest.mark.lab

SIDECAR = "open-webui-sidecar-1"
PATH = "/opt/open-webui/stack-overlay.yaml"
OVERLAY = """\
services:
  open-webui:
    labels:
      lab.overlay: "yes"
  sidecar:
    image: {image}
    networks: [openwebui-network]
    command: [valkey-server, --port, "6380", --bind, 0.0.0.0, --protected-mode, "no"]
    healthcheck:
      test: [CMD, valkey-cli, -p, "6380", ping]
      interval: 1s
    restart: unless-stopped
"""
HASHES = "docker compose --project-directory /opt/open-webui {files} config --hash '*'"


@pytest.fixture
def overlay(lab: Lab, deployed: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """The file on this machine. The host is without an overlay afterwards."""
    image = lab.host(FRESH).check_output("docker inspect --format '{{.Config.Image}}' redis-valkey")
    path = tmp_path / "chat.override.yaml"
    path.write_text(OVERLAY.format(image=image))
    yield str(path)
    if lab.host(FRESH).file(PATH).exists:
        lab.report("-y", "deploy.py")


def test_a_label_and_a_sidecar_come_stay_and_go(lab: Lab, overlay: str) -> None:
    host, given = lab.host(FRESH), ["--data", f"stack_overlay={overlay}"]
    before = containers(host)
    dry = lab.run("--dry", "deploy.py", "--json", *given)
    assert predicted(report_in(dry.stdout)) == [FILES, UP]
    for line in ("open-webui: its definition changed", "sidecar: has no container"):
        assert line in dry.stdout
    assert "redis: " not in dry.stdout

    assert changed(lab.report("-y", "deploy.py", *given)) == [FILES, UP]
    after = containers(host)
    assert after["redis-valkey"] == before["redis-valkey"]
    assert after["open-webui"] != before["open-webui"]
    assert host.check_output("docker inspect --format '{{ index .Config.Labels \"lab.overlay\" }}' open-webui") == "yes"
    assert host.check_output(f"docker inspect --format '{{{{.State.Health.Status}}}}' {SIDECAR}") == "healthy"
    assert host.check_output("docker exec redis-valkey valkey-cli -h sidecar -p 6380 ping") == "PONG"
    assert host.file("/opt/open-webui/.good/stack-overlay.yaml").content_string == Path(overlay).read_text()
    assert f" /{SIDECAR}" in host.check_output("cat /opt/open-webui/.good/images")

    assert changed(lab.report("-y", "deploy.py", *given)) == [], "a second run changes nothing"
    assert containers(host) == after

    host.check_output(f"docker stop {SIDECAR}")
    assert changed(lab.report("-y", "deploy.py", *given)) == [UP]

    assert changed(lab.report("-y", "deploy.py")) == [FILES, UP]
    assert SIDECAR not in containers(host)
    assert not host.file(PATH).exists
    assert host.check_output("docker inspect --format '{{ index .Config.Labels \"lab.overlay\" }}' open-webui") == ""
    assert changed(lab.report("-y", "deploy.py")) == []


@pytest.mark.long
def test_a_sidecar_that_does_not_get_healthy_leaves_no_trace(lab: Lab, overlay: str, tmp_path: Path) -> None:
    host = lab.host(FRESH)
    ill = tmp_path / "ill.yaml"
    ill.write_text(Path(overlay).read_text().replace('6380", ping', '6381", ping') + "    stop_grace_period: 1s\n")
    before = containers(host)["redis-valkey"]
    run = lab.run("-y", "deploy.py", "--data", f"stack_overlay={ill}")
    assert run.returncode != 0
    assert "that one runs again; the change is not in force" in run.stdout
    found = containers(host)
    assert found["redis-valkey"] == before
    assert SIDECAR not in found
    assert not host.file(PATH).exists


def test_compose_merges_two_files_as_the_one_in_memory_does(lab: Lab, overlay: str) -> None:
    """What tests/host/fake_compose.py and the survey rest on."""
    host = lab.host(FRESH)
    text = Path(overlay).read_text()
    host.check_output(f"cat > /tmp/second.yaml <<'END'\n{text}END")
    first = "--file /opt/open-webui/compose.yaml"
    alone, merged = (
        dict(line.split() for line in host.check_output(HASHES.format(files=files)).splitlines())
        for files in (first, f"{first} --file /tmp/second.yaml")
    )
    assert merged.keys() == {*alone, "sidecar"}
    assert {name for name in alone if alone[name] != merged[name]} == {"open-webui"}
    # The survey gives the first on stdin, and the second through a file that has no name.
    unnamed = (
        f"exec 7</tmp/second.yaml; rm /tmp/second.yaml; {HASHES.format(files='--file - --file /proc/$$/fd/7')} "
        "</opt/open-webui/compose.yaml"
    )
    assert dict(line.split() for line in host.check_output(unnamed).splitlines()) == merged
