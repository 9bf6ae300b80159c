"""Requests that make and rotate secrets hold only what was supplied, and show none."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import SecretStr

from tests.defaults import settings
from webui_stack.host import assembly, secrets
from webui_stack.host.verbs import rotate
from webui_stack.render import project, secrets_requests
from webui_stack.settings.sources import Supplied

PASSWORD = "suppliedPassword0123456789"


@pytest.mark.parametrize(
    "rotated", [*([name] for name in secrets_requests.SECRET_FILES), [*secrets_requests.SECRET_FILES]], ids=str
)
def test_the_host_is_asked_for_a_rotation_by_names_and_files(rotated: list[str]) -> None:
    some = settings(verify_level="user")
    asked = json.loads(
        json.dumps(secrets_requests.rotate_request(some, Supplied(SecretStr(PASSWORD), None, {}), rotated))
    )
    request = rotate.Request(**asked["request"])
    assert assembly.Stack(**asked["stack"]).folder == some.stack_dir
    assert (request.rotated, request.containers) == (rotated, project.containers(some))
    assert request.files == [file for name in rotated for file in secrets_requests.SECRET_FILES[name]]
    assert secrets.wish(asked["wish"]).folder == some.stack_dir
    assert PASSWORD not in f"{asked['stack']} {asked['request']}"


def test_receivers_of_alarms_are_in_the_request_as_the_host_reads_them() -> None:
    supplied = Supplied(None, None, {}, alarms=({"webhook": f"https://hooks.example.org/{PASSWORD}"},))
    hidden = secrets_requests.secrets_request(settings(), supplied)
    text = secrets.wish(json.loads(json.dumps(hidden))["wish"]).receivers
    assert json.loads(text) == {"format": 1, "alarms": [dict(one) for one in supplied.alarms]}
    assert PASSWORD not in f"{hidden} {hidden!r} {secrets.wish(hidden['wish'])!r}"
    assert secrets_requests.wish(settings(), Supplied(None, None, {}))["receivers"] == ""


def test_what_a_host_is_asked_for_holds_only_secrets_that_were_supplied_and_shows_none() -> None:
    wanted = settings(valkey_password="env:X", open_webui_secret_env={"OPENAI_API_KEY": "env:Y"})
    without = json.dumps(secrets_requests.secrets_request(wanted, Supplied(None, None, {})))
    assert "OPENAI_API_KEY" not in without
    assert not re.search(r"[A-Za-z0-9]{32}", without)
    supplied = Supplied(SecretStr(PASSWORD), None, {"OPENAI_API_KEY": SecretStr("sk-x")})
    hidden = secrets_requests.secrets_request(wanted, supplied)
    rotation = secrets_requests.rotate_request(wanted, supplied, ["valkey_password"])
    assert PASSWORD not in f"{hidden} {hidden!r} {rotation} {rotation!r}"
    for text in (json.dumps(hidden), json.dumps(rotation)):
        assert (text.count(PASSWORD), text.count("sk-x")) == (1, 1)
