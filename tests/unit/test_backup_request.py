"""What the host's program is asked for a set, by the operator, by a timer, and by scripts that make one first."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

import pytest

from tests.defaults import settings
from webui_stack.host import protocol
from webui_stack.host.assembly import Stack
from webui_stack.host.verbs import drill, restore, swarm_restore
from webui_stack.host.verbs.backup import Request
from webui_stack.model.machine import Machine
from webui_stack.render import host_program, templates

KEYS = {"OPENAI_API_KEY": "env:X", "AUDIO_STT_OPENAI_API_KEY": "env:Y"}
SERVICE = "/etc/systemd/system/open-webui-backup.service"
REPLICATED: dict[str, Any] = {"open_webui_replicas": 2, "public_url": "https://chat.example.org"}
SWARM: dict[str, Any] = {
    **REPLICATED,
    "topology": "swarm",
    "open_webui_shared_dir": "/srv/shared",
    "swarm_manager": True,
    "swarm_runs": ["data", "proxy", "open-webui"],
}


def asked(**changes: Any) -> Request:
    """As the host's program reads it, which refuses a name that it does not know."""
    return Request(**templates.backup_request(settings(**changes)))


def test_of_one_process_its_two_volumes_are_saved() -> None:
    one = asked(backup_keep=3, backup_min_free_mb=512)
    assert (one.people, one.valkey, one.postgres) == ("open-webui", "redis-valkey", "")
    assert one.volumes == ["open-webui", "redis-data"]
    assert one.files == ["compose.yaml", "valkey"]
    assert list(one.images) == ["redis-valkey", "open-webui"]
    assert (one.swarm, one.folders, one.keep, one.reserve_mb) == ("", [], 3, 512)
    assert "cache/embedding/models" in one.left_out
    assert asked(open_webui_offline=True).left_out == []


def test_of_several_the_database_and_the_proxys_files_are_saved_as_well() -> None:
    one = asked(**REPLICATED)
    assert (one.postgres, one.volumes) == ("open-webui-postgres", ["open-webui", "redis-data", "open-webui-postgres"])
    assert one.files == ["compose.yaml", "valkey", "proxy"]
    assert "open-webui-2" in one.images


def test_in_a_swarm_services_are_asked_for_and_people_have_a_folder_or_s3() -> None:
    one = asked(**SWARM)
    assert (one.swarm, one.valkey, one.postgres) == ("open-webui", "redis", "postgres")
    assert (one.people, one.folders) == ("/srv/shared", ["/srv/shared"])
    assert one.volumes == ["redis-data", "open-webui-postgres"]
    assert one.files[0] == "stack.yaml"


def test_of_a_database_elsewhere_no_rows_are_saved() -> None:
    one = asked(database_url="env:X")
    assert (one.postgres, one.volumes) == ("", ["open-webui", "redis-data"])


def test_a_stack_that_moves_to_postgres_is_saved_as_it_is_on_sqlite() -> None:
    one = Request(**templates.migrate_request(settings(**REPLICATED))["request"]["backup"])
    assert one.holds_lock
    assert (one.postgres, list(one.images)) == ("", ["redis-valkey", "open-webui"])


@pytest.mark.parametrize("changes", [{}, SWARM], ids=["compose", "swarm"])
def test_keys_that_may_be_in_clear_are_named_and_no_value_is(changes: dict[str, Any]) -> None:
    one = asked(open_webui_secret_env=KEYS, **changes)
    assert one.in_clear == ["AUDIO_STT_OPENAI_API_KEY", "OPENAI_API_KEY"]
    assert not [source for source in KEYS.values() if source in str(asdict(one))]
    assert asked(**changes).in_clear == []


# --- The timer


def test_the_timers_unit_runs_the_program_and_then_the_copy() -> None:
    some = settings(backup_schedule="daily", backup_restic_repository="/srv/r", backup_restic_password="env:X")
    unit = templates.backup(some, Machine(python="/usr/bin/python3.11"))[SERVICE]
    assert unit.count("ExecStart=") == 1
    assert f"ExecStart=/usr/bin/python3.11 -I -S {host_program.place()} offsite_backup plain\n" in unit
    (line,) = re.findall(r"(?m)^StandardInputText=(.*)$", unit)
    assert not {"%", "\\"} & set(line)
    request = protocol.Request.read("offsite_backup", line)
    assert request.token == protocol.PLAIN
    assert request.arguments == {
        "backup": templates.backup_request(some),
        "copy": templates.offsite_copy_request(some),
    }


def test_what_systemd_would_take_for_more_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "backup_request", lambda _: {"stack_dir": 'a%b\\c"d'})
    unit = templates.backup(settings(backup_schedule="daily"), Machine())[SERVICE]
    (line,) = re.findall(r"(?m)^StandardInputText=(.*)$", unit)
    plain = line.replace("%%", "%").replace("\\\\", "\\")
    assert protocol.Request.read("backup", plain).arguments == {"stack_dir": 'a%b\\c"d'}


def test_without_a_schedule_and_a_repository_nothing_is_put_on_the_host() -> None:
    assert templates.backup(settings(), Machine()) == {}


# --- Verbs that make a set first


def test_an_upgrade_and_a_rollback_ask_for_a_set_of_all_with_the_lock_they_hold() -> None:
    upgrade = templates.upgrade_request(settings(), [])["request"]
    rollback = templates.rollback_request(settings(), "previous", may_replace=False)["request"]
    assert upgrade["backup"] == rollback["backup"] == templates.backup_request(settings(), holds_lock=True, mends=True)


def test_a_verb_that_makes_a_set_has_the_lock_and_knows_where_the_data_are() -> None:
    one = Request(**templates.swarm_request(settings(**SWARM))["request"]["backup"])
    assert (one.holds_lock, one.mends, one.swarm) == (True, True, "open-webui")


# --- A verb that makes a set first


@pytest.mark.parametrize("changes", [{}, {"open_webui_replicas": 3, "public_url": "https://chat.example.org"}], ids=str)
def test_a_restore_is_asked_with_all_that_its_verb_and_its_set_need(changes: dict[str, Any]) -> None:
    some = settings(restore_set="20261126T033000Z", **changes)
    found = json.loads(json.dumps(templates.restore_request(some, "AGE-SECRET-KEY-1X", may_replace=True)))
    asked = restore.Request(**found["request"])
    assert Stack(**found["stack"]).folder == some.stack_dir
    assert (asked.restore_set, asked.may_replace, asked.identity) == ("20261126T033000Z", True, "AGE-SECRET-KEY-1X")
    assert asked.containers == templates.containers(some)
    assert list(asked.followers) == [name for name in asked.containers if name[-1].isdigit()]
    assert asked.marks == ["secrets/valkey-password", "watchdog.sh"]
    made = Request(**asked.backup)
    assert (made.holds_lock, made.mends, made.backup_dir) == (True, False, some.backup_dir)
    assert "AGE" not in repr(asked)


def test_a_restore_in_a_swarm_is_asked_with_the_folder_of_all_hosts() -> None:
    some = settings(**{**SWARM, "open_webui_shared_dir": "/srv/people"})
    found = json.loads(json.dumps(templates.swarm_restore_request(some, "AGE-SECRET-KEY-1X", may_replace=True)))
    asked = swarm_restore.Request(**found["request"])
    assert Stack(**found["stack"]).database == "postgres"
    assert (asked.swarm, asked.people, asked.may_replace) == ("open-webui", "/srv/people", True)
    assert asked.environment["ENABLE_DB_MIGRATIONS"] == "true"
    assert "DATABASE_URL" not in asked.environment
    made = Request(**asked.backup)
    assert (made.holds_lock, made.mends, made.swarm, made.people) == (True, False, "open-webui", "/srv/people")
    assert "AGE-SECRET" not in repr(asked)
    bucket = settings(**{**SWARM, "open_webui_shared_dir": None, "open_webui_env": {"STORAGE_PROVIDER": "s3"}})
    assert templates.swarm_restore_request(bucket, may_replace=False)["request"]["people"] == ""


def test_a_drill_of_a_swarms_set_migrates_by_itself_and_has_a_postgres() -> None:
    found = templates.drill_request(settings(**SWARM))
    assert found["environment"]["ENABLE_DB_MIGRATIONS"] == "true"
    assert drill.Request(**found).kind == "postgres"


def test_an_identity_is_not_shown_with_what_a_restore_is_asked() -> None:
    assert "AGE" not in str(templates.restore_request(settings(), "AGE-SECRET-KEY-1X", may_replace=False))
