"""The status of a host: what runs on it, what of it is not well, and all of it as JSON."""

from __future__ import annotations

import json
from typing import Any

from tests import surveys
from tests.defaults import settings
from tests.unit.plan.test_drift import LAB, files
from tests.unit.reports.some_hosts import ALARM, BAD, DIGEST, GOOD, hostile
from webui_stack.documents.backup_document import Ages
from webui_stack.model import deploy_log, survey
from webui_stack.model.check import Check
from webui_stack.reports import status, troubles
from webui_stack.reports.rows import State
from webui_stack.reports.status import Status

RECORD = deploy_log.Record("2026-11-25T18:03:04Z", "root@desk", "c0b41bea6307", "changed", 7.5)
ENDS = "2027-01-30T12:00:00+00:00"


def observed(**sections: Any) -> survey.Survey:
    return surveys.parsed(surveys.changed(surveys.DEPLOYED, **{"files": files(settings(**LAB)), **sections}))


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
        {"Open WebUI": "0.12.4", "Valkey": "8.1.1", "subscribers": "1", "certificate ends": ENDS},
    )
    assert found.images["redis"] == DIGEST, "what the registry serves it by"
    assert found.images["open-webui"].startswith("sha256:257b8c7ec068"), "its id, as no registry has served it"
    assert (found.faults, found.drift, found.last_deploy) == ([], [], RECORD)
    assert (found.open_webui, found.valkey, found.subscribers) == ("0.12.4", "8.1.1", "1")
    assert (found.certificate_ends, found.unwell, found.alarms) == (ENDS, [], ())


def test_a_bad_host() -> None:
    down = observed(containers=surveys.with_container(surveys.DEPLOYED, "redis-valkey", status="exited"))
    found = status.of(
        settings(**LAB), down, [], [Check("ping through SSH", False, "no"), Check("x", False, "y", advice=True)], {}
    )
    assert found.faults == ["ping through SSH"]
    assert found.drift == ["redis: is exited"]
    assert [check.name for check in found.unwell] == ["ping through SSH", "x"]
    assert found.last_deploy is None


def test_a_host_without_a_stack_has_a_note() -> None:
    fresh = status.of(settings(**LAB), surveys.parsed(surveys.FRESH), [], [], {}, [ALARM])
    assert (fresh.note, fresh.alarms) == ("no stack here", [ALARM])


def ages(**changes: Any) -> Ages:
    found: Ages = {"now_s": 100_000.5, "backup_at_s": 99_000.0, "drill_at_s": None, "late": [], "errors": []}
    return found | changes  # type: ignore[return-value]


def aged(of: Ages | str | None) -> Status:
    return status.of(settings(**LAB), observed(), [], [], {}, ages=of)


def test_backups_are_as_old_as_the_hosts_clock_says() -> None:
    found = aged(ages())
    assert (found.backup_age_s, found.drill_age_s, found.late, found.backups_unknown) == (1000, None, [], "")
    late = aged(ages(late=[{"name": "backup_age", "seen": "3 days", "next_step": "run it"}])).late
    assert late == [Check("backup_age", False, "3 days", "run it")]


def test_what_nobody_could_read_of_backups_is_unknown_and_not_none() -> None:
    assert aged("no answer").backups_unknown == "no answer"
    found = aged(ages(errors=["/var/lib: no"]))
    assert (found.backup_age_s, found.backups_unknown) == (1000, "/var/lib: no")
    none = aged(None)
    assert (none.backup_age_s, none.backups_unknown) == (None, ""), "a host that is to have none"


def test_alarms_that_nobody_could_read_are_unknown_and_not_none() -> None:
    found = status.of(settings(**LAB), observed(), [], [], {}, "no answer")
    assert (found.alarms, found.alarms_unknown) == ((), "no answer")


def test_the_json_has_all_of_it() -> None:
    found = json.loads(status.as_json({"chat": BAD, "good": GOOD}))
    assert found["good"]["images"]["redis"] == DIGEST
    assert found["good"]["last_deploy"]["by"] == "root@desk"
    assert found["chat"]["alarms"] == [ALARM]
    assert (found["chat"]["late"][0]["name"], found["chat"]["unwell"][0]["seen"]) == ("backup_age", "no answer")
    assert json.loads(status.as_json(hostile()))


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
    assert (troubles.state(found), [f"backups: {line}" for line in found.backups]) == (
        State.FAULT,
        [
            "backups: drill failed, went well last on 2026-11-30 00:53 UTC: restic: expected X, got Y; do Z",
            "backups: copy to /srv/restic failed, went well never: restic: expected X, got Y; do Z",
        ],
    )
    assert set(found.backups) <= {one.seen for one in troubles.of(found)}
    assert json.loads(status.as_json({"chat": found}))["chat"]["outcomes"] == outcomes


def test_uploads_that_no_set_has_are_told() -> None:
    elsewhere = settings(**LAB, open_webui_env={"STORAGE_PROVIDER": "s3"})
    found = status.of(elsewhere, observed(), (), (), {})
    assert "backups: uploads are in s3, and in no backup set; back them up there" in map(str, troubles.of(found))
    assert troubles.state(found) is State.ADVICE
