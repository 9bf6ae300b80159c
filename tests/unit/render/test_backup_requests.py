"""Requests for backup sets, their copies and drills name the data and hold no secret."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from pydantic import SecretStr

from tests.defaults import settings
from tests.unit.render.projects import REPLICATED, RESTIC, SECOND, SWARM
from webui_stack.host.restic import Place
from webui_stack.host.retention import Retention
from webui_stack.host.verbs import backup_ages, drill, offsite
from webui_stack.host.verbs.backup import Request
from webui_stack.render import backup_requests

KEYS = {"OPENAI_API_KEY": "env:X", "AUDIO_STT_OPENAI_API_KEY": "env:Y"}


def asked(**changes: Any) -> Request:
    """As the host's program reads it, which refuses a name that it does not know."""
    return Request(**backup_requests.backup_request(settings(**changes)))


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


@pytest.mark.parametrize("changes", [{}, SWARM], ids=["compose", "swarm"])
def test_keys_that_may_be_in_clear_are_named_and_no_value_is(changes: dict[str, Any]) -> None:
    one = asked(open_webui_secret_env=KEYS, **changes)
    assert one.in_clear == ["AUDIO_STT_OPENAI_API_KEY", "OPENAI_API_KEY"]
    assert not [source for source in KEYS.values() if source in str(asdict(one))]
    assert asked(**changes).in_clear == []


def test_a_drill_of_a_swarms_set_migrates_by_itself_and_has_a_postgres() -> None:
    found = backup_requests.drill_request(settings(**SWARM), remembers=False)
    assert found["environment"]["ENABLE_DB_MIGRATIONS"] == "true"
    assert drill.Request(**found).kind == "postgres"


def test_sets_stay_by_their_ages_on_the_host_and_in_each_repository() -> None:
    ages: dict[str, Any] = {"backup_keep": 2, "backup_keep_daily": 3, "backup_keep_weekly": 4, "backup_keep_monthly": 5}
    some = settings(**RESTIC, **SECOND, **ages)
    rule = Retention(2, 3, 4, 5)
    assert Request(**backup_requests.backup_request(some)).rule == rule
    copied = offsite.Copy(**backup_requests.offsite_copy_request(some))
    assert copied.rule == rule
    assert [Place(**one) for one in copied.repositories] == [
        Place("s3:https://s3.example.org/it is $HOME", "restic.env"),
        Place("/mnt/nas/restic", "restic-2.env", append_only=True),
    ]
    checked = offsite.Check(**backup_requests.offsite_check_request(some))
    assert checked.repositories == copied.repositories


@pytest.mark.parametrize(("provider", "elsewhere"), [("s3", "s3"), ("local", ""), ("", "")])
def test_where_uploads_are_is_said_of_a_swarms_sets(provider: str, elsewhere: str) -> None:
    assert asked(**SWARM, open_webui_env={"STORAGE_PROVIDER": provider}).uploads_in == elsewhere


def test_only_a_drill_of_what_runs_is_remembered() -> None:
    some = settings()
    assert drill.Request(**backup_requests.drill_request(some, remembers=True)).stack_dir == some.stack_dir
    assert drill.Request(**backup_requests.drill_request(some, remembers=False)).stack_dir == ""


def test_ages_are_asked_by_the_schedules_there_are() -> None:
    some = settings(backup_schedule="*-*-* 03:30", drill_schedule="Sun 04:00")
    found = backup_ages.Request(**backup_requests.backup_ages_request(some))
    assert (found.stack_dir, found.backup_dir) == (some.stack_dir, some.backup_dir)
    assert (found.backup_schedule, found.drill_schedule) == ("*-*-* 03:30", "Sun 04:00")
    none = backup_ages.Request(**backup_requests.backup_ages_request(settings()))
    assert (none.backup_schedule, none.drill_schedule) == ("", "")


def test_what_opens_the_repository_is_shown_by_no_request() -> None:
    wanted = {"RESTIC_PASSWORD": SecretStr('it\'s a "$marker"')}
    some = settings(**RESTIC, restore_restic_host="chat-1")
    key = backup_requests.offsite_key_request(some, "restic.env", wanted)
    bring = backup_requests.offsite_bring_request(some, [wanted])
    assert "marker" not in f"{key}{bring!r}"
    asked = offsite.Bring(**bring)
    assert asked.repositories == {some.backup_restic_repository: {"RESTIC_PASSWORD": 'it\'s a "$marker"'}}
    assert (asked.wanted, asked.host) == ("newest", "chat-1")
    assert "marker" not in f"{asked}"
