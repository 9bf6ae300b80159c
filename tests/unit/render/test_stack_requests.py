"""Requests that change the stack: each as its verb reads it, and without a secret."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.defaults import settings
from tests.unit.render.projects import REPLICATED, SWARM
from webui_stack.host import assembly
from webui_stack.host.verbs import backup, migrate, restore, rollback, swarm_restore, up, upgrade
from webui_stack.model import compose
from webui_stack.render import backup_requests, project, stack_requests


@pytest.mark.parametrize("changes", [{}, REPLICATED, {"database_url": "env:X"}], ids=["sqlite", "postgres", "external"])
def test_the_host_is_asked_for_a_deploy_by_names_and_without_a_secret(changes: dict[str, Any]) -> None:
    work = [
        compose.Work("redis", "x", unpause=True),
        compose.Work("open-webui", "y", recreate=True),
        compose.Work("open-webui-9", "z", remove=True),
        compose.Work("tika", "of an overlay: a container of this name is somebody else's", remove=True),
    ]
    some = settings(**changes)
    asked = json.loads(json.dumps(stack_requests.up_request(some, work, migrates=True)))
    stack, request = assembly.Stack(**asked["stack"]), up.Request(**asked["request"])
    assert (stack.folder, stack.database, request.migrates) == (some.stack_dir, some.database_kind, True)
    assert (request.unpause, request.recreate, request.remove, request.replace) == (
        ["redis-valkey"],
        ["open-webui"],
        ["open-webui-9"],
        [],
    )
    assert (request.image, request.valkey_image) == (some.open_webui_image, some.valkey_image)
    assert request.containers == project.containers(some)
    assert "env:X" not in str(asked)


def test_the_host_is_asked_for_an_upgrade_as_for_a_deploy_and_a_set() -> None:
    some, work = settings(**REPLICATED), [compose.Work("open-webui", "y", recreate=True)]
    asked = json.loads(json.dumps(stack_requests.upgrade_request(some, work)))
    assembly.Stack(**asked["stack"])
    request = upgrade.Request(**asked["request"])
    assert request.up == json.loads(json.dumps(stack_requests.up_request(some, work)["request"]))
    assert up.read(request.up).recreate == ["open-webui"]
    assert backup.Request(**request.backup).holds_lock


def test_an_upgrade_and_a_rollback_ask_for_a_set_of_all_with_the_lock_they_hold() -> None:
    upgrade = stack_requests.upgrade_request(settings(), [])["request"]
    rollback = stack_requests.rollback_request(settings(), "previous", may_replace=False)["request"]
    assert (
        upgrade["backup"]
        == rollback["backup"]
        == backup_requests.backup_request(settings(), holds_lock=True, repairs=True)
    )


def test_a_verb_that_makes_a_set_has_the_lock_and_knows_where_the_data_are() -> None:
    one = backup.Request(**stack_requests.swarm_request(settings(**SWARM))["request"]["backup"])
    assert (one.holds_lock, one.repairs, one.swarm) == (True, True, "open-webui")


def test_the_host_is_asked_about_releases_by_names() -> None:
    some = settings()
    stack = stack_requests.stack_request(some)
    assert stack_requests.releases_request(some) == {"stack": stack}
    assert stack_requests.recover_request(some) == {"stack_dir": some.stack_dir, "stack": stack}
    assert stack_requests.compare_request(some) == {
        "stack": stack,
        "image": some.open_webui_image,
        "valkey_image": some.valkey_image,
    }
    asked = rollback.Request(**stack_requests.rollback_request(some, "previous", may_replace=True)["request"])
    assert (asked.to, asked.may_replace, asked.containers) == ("previous", True, project.containers(some))


def test_what_was_made_by_hand_is_replaced_only_with_the_operators_word() -> None:
    work = [compose.Work(service, "made by hand", replace=True) for service in ("redis", "open-webui")]
    assert stack_requests.up_request(settings(), work)["request"]["replace"] == []
    found = stack_requests.up_request(settings(stack_adopt=True), work)["request"]["replace"]
    assert found == ["redis-valkey", "open-webui"]


def test_the_host_is_asked_for_a_migration_without_a_secret() -> None:
    some = settings(**REPLICATED)
    asked = json.loads(json.dumps(stack_requests.migrate_request(some)))
    stack, request = assembly.Stack(**asked["stack"]), migrate.Request(**asked["request"])
    assert (stack.database, stack.postgres_volume) == ("postgres", some.postgres_volume)
    assert (request.image, request.containers) == (some.open_webui_image, project.containers(some))
    assert backup.Request(**request.backup).backup_dir == stack.backup_dir
    assert not re.search(r"[A-Za-z0-9]{32}", json.dumps(asked))


def test_a_stack_that_moves_to_postgres_is_saved_as_it_is_on_sqlite() -> None:
    one = backup.Request(**stack_requests.migrate_request(settings(**REPLICATED))["request"]["backup"])
    assert one.holds_lock
    assert (one.postgres, list(one.images)) == ("", ["redis-valkey", "open-webui"])


@pytest.mark.parametrize("changes", [{}, {"open_webui_replicas": 3, "public_url": "https://chat.example.org"}], ids=str)
def test_a_restore_is_asked_with_all_that_its_verb_and_its_set_need(changes: dict[str, Any]) -> None:
    some = settings(restore_set="20261126T033000Z", **changes)
    found = json.loads(json.dumps(stack_requests.restore_request(some, "AGE-SECRET-KEY-1X", may_replace=True)))
    asked = restore.Request(**found["request"])
    assert assembly.Stack(**found["stack"]).folder == some.stack_dir
    assert (asked.restore_set, asked.may_replace, asked.identity) == ("20261126T033000Z", True, "AGE-SECRET-KEY-1X")
    assert asked.containers == project.containers(some)
    assert list(asked.followers) == [name for name in asked.containers if name[-1].isdigit()]
    assert asked.marks == ["secrets/valkey-password", "watchdog.sh"]
    made = backup.Request(**asked.backup)
    assert (made.holds_lock, made.repairs, made.backup_dir) == (True, False, some.backup_dir)
    assert "AGE" not in repr(asked)


def test_a_restore_in_a_swarm_is_asked_with_the_folder_of_all_hosts() -> None:
    some = settings(**{**SWARM, "open_webui_shared_dir": "/srv/people"})
    found = json.loads(json.dumps(stack_requests.swarm_restore_request(some, "AGE-SECRET-KEY-1X", may_replace=True)))
    asked = swarm_restore.Request(**found["request"])
    assert assembly.Stack(**found["stack"]).database == "postgres"
    assert (asked.swarm, asked.people, asked.may_replace) == ("open-webui", "/srv/people", True)
    assert asked.environment["ENABLE_DB_MIGRATIONS"] == "true"
    assert "DATABASE_URL" not in asked.environment
    made = backup.Request(**asked.backup)
    assert (made.holds_lock, made.repairs, made.swarm, made.people) == (True, False, "open-webui", "/srv/people")
    assert "AGE-SECRET" not in repr(asked)
    bucket = settings(**{**SWARM, "open_webui_shared_dir": None, "open_webui_env": {"STORAGE_PROVIDER": "s3"}})
    assert stack_requests.swarm_restore_request(bucket, may_replace=False)["request"]["people"] == ""


def test_an_identity_is_not_shown_with_what_a_restore_is_asked() -> None:
    assert "AGE" not in str(stack_requests.restore_request(settings(), "AGE-SECRET-KEY-1X", may_replace=False))
