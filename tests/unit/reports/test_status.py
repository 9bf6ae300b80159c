"""The table of all hosts tells a good one from a bad one, and shows what it shows in full as JSON."""

from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console

from tests import surveys
from tests.defaults import settings
from tests.unit.plan.test_drift import LAB, files
from webui_stack.model import deploy_log, survey
from webui_stack.model.check import Check
from webui_stack.reports import status
from webui_stack.reports.status import Status

RECORD = deploy_log.Record("2026-11-25T18:03:04Z", "root@desk", "c0b41bea6307", "changed", 7.5)
DIGEST = "sha256:" + "9" * 64


def observed(**sections: Any) -> survey.Survey:
    return surveys.parsed(surveys.changed(surveys.DEPLOYED, **{"files": files(settings(**LAB)), **sections}))


def shown(hosts: dict[str, Status]) -> str:
    page = io.StringIO()
    Console(file=page, width=200).print(status.table(hosts))
    return page.getvalue()


def test_a_good_host() -> None:
    images = surveys.DEPLOYED["images"]
    valkey = {**images[LAB["valkey_image"]], "digests": [f"registry.lab.test:5000/valkey/valkey@{DIGEST}"]}
    found = status.of(
        settings(**LAB),
        observed(
            images={**images, LAB["valkey_image"]: valkey},
            history={"deploy": deploy_log.line(RECORD)},
        ),
        [],
        [Check("health", True, "fine")],
        {"Open WebUI": "0.12.4", "Valkey": "8.1.1", "subscribers": "1"},
    )
    assert found.images["redis"] == DIGEST, "what the registry serves it by"
    assert found.images["open-webui"].startswith("sha256:257b8c7ec068"), "its id, as no registry has served it"
    assert (found.faults, found.drift, found.last_deploy) == ([], [], RECORD)
    text = shown({"chat": found})
    for cell in (
        "chat",
        "0.12.4",
        "8.1.1",
        "redis 999999999999",
        "yes",
        "none",
        "changed 2026-11-25 18:03 by root@desk",
    ):
        assert cell in text, cell


def test_a_bad_host() -> None:
    down = observed(containers=surveys.with_container(surveys.DEPLOYED, "redis-valkey", status="exited"))
    found = status.of(
        settings(**LAB), down, [], [Check("ping through SSH", False, "no"), Check("x", False, "y", advice=True)], {}
    )
    assert found.faults == ["ping through SSH"]
    assert found.drift == ["redis: is exited"]
    text = shown({"chat": found})
    assert "no: ping through SSH" in text
    assert "1, see below" in text
    assert "not in its log" in text
    assert status.differences({"chat": found, "other": Status()}) == ["chat: redis: is exited"]


def test_a_host_without_a_stack_and_one_out_of_reach() -> None:
    fresh = status.of(settings(**LAB), surveys.parsed(surveys.FRESH), [], [], {})
    text = shown({"fresh": fresh, "gone": Status(note="could not be looked at")})
    assert "no stack here" in text
    assert "could not be looked at" in text


def test_what_a_host_says_is_no_markup() -> None:
    assert "[red]x[/red]" in shown({"chat": Status(open_webui="[red]x[/red]")})


def test_the_json_has_all_of_it() -> None:
    found = json.loads(status.as_json({"chat": Status(images={"redis": DIGEST}, drift=["a: b"], last_deploy=RECORD)}))
    assert found["chat"]["images"] == {"redis": DIGEST}
    assert found["chat"]["drift"] == ["a: b"]
    assert found["chat"]["last_deploy"]["by"] == "root@desk"


def outcome(*, ok: bool, of: str = "", good_s: int = 0) -> dict[str, Any]:
    """As a host remembers it."""
    said = "" if ok else "restic: expected X, got Y; do Z"
    return {"of": of, "set": "", "ended_s": 5, "seconds": 1, "ok": ok, "said": said, "good_s": good_s, "counts": {}}


def test_jobs_on_backups_that_failed_are_told_with_the_time_of_the_last_good_one() -> None:
    restic = {"backup_restic_repository": "/srv/restic", "backup_restic_password": "env:X"}
    outcomes = {
        "drill": outcome(ok=False, good_s=1_796_000_000),
        "copy-1": outcome(ok=False, of="/srv/restic"),
        "copy-2": outcome(ok=False, of="/given/up"),
        "check-1": outcome(ok=True, of="/srv/restic"),
    }
    found = status.of(settings(**LAB, **restic), observed(history={"outcomes": outcomes}), (), (), {})
    assert status.warnings({"chat": found, "other": Status()}) == [
        "chat: backups: drill failed, went well last on 2026-11-30 00:53 UTC: restic: expected X, got Y; do Z",
        "chat: backups: copy to /srv/restic failed, went well never: restic: expected X, got Y; do Z",
    ]
    assert json.loads(status.as_json({"chat": found}))["chat"]["outcomes"] == outcomes


def test_uploads_that_no_set_has_are_told() -> None:
    elsewhere = settings(**LAB, open_webui_env={"STORAGE_PROVIDER": "s3"})
    found = status.of(elsewhere, observed(), (), (), {})
    assert status.warnings({"chat": found}) == [
        "chat: backups: uploads are in s3, and in no backup set: back them up there"
    ]
