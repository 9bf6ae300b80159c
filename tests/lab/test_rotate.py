"""New secrets come into force while Valkey runs on, the old ones are good for nothing; what fails is repaired."""

from __future__ import annotations

import threading
import urllib.error
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.lab.precious import OFTEN_S, Precious, Watched, within
from tests.lab.session import FRESH, Lab, ask_as_monitor, changed, containers, followed

pytestmark = pytest.mark.lab

SECRETS = "/opt/open-webui/secrets"
OLD = "/run/before-rotation"
SUPPLIED = "Supplied0By0The0Operator0At0The0Rotation"
ALL = 'rotate_secrets=["valkey_password", "open_webui_secret_key", "probe_password"]'
# Connected with the old password, as the host's shell reads it; what it hears goes to a file.
SUBSCRIBE = (
    f"systemd-run --quiet --unit held --property StandardOutput=file:/run/held sh -c '"
    f"export REDISCLI_AUTH=$(cat {OLD}/valkey-password); "
    "exec docker exec -e REDISCLI_AUTH redis-valkey valkey-cli --user open-webui subscribe open-webui:held'"
)
# Stops the container that takes open-webui's place, once.
STOP_THE_NEXT = """
old=$(docker inspect --format {{.Id}} open-webui)
until docker inspect --format "{{.Id}} {{.State.Running}}" open-webui | grep -v $old | grep true; do sleep 0.1; done
docker kill open-webui
"""
# What renews the secrets on the host, and not the shell that says this.
KILL = "pkill -9 -f -- '[-]-worker rotate '"
SIGN_IN_AS_PROBE = (
    'printf \'{"email": "probe@open-webui-stack.invalid", "password": "%s"}\' "$(cat FILE)" | '
    "curl -s -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' -d @- "
    "http://127.0.0.1:3000/api/v1/auths/signin"
)


def valkey_answers(host: Any, folder: str) -> str:
    """What Valkey says to a client with the password in that folder."""
    return str(
        host.check_output(
            f"REDISCLI_AUTH=$(cat {folder}/valkey-password) "
            "docker exec -e REDISCLI_AUTH redis-valkey valkey-cli --user open-webui get open-webui:marker 2>&1"
        )
    )


def held_client(host: Any) -> list[str]:
    """The ids of clients inside Valkey's container that are subscribed."""
    clients = [
        dict(pair.split("=", 1) for pair in line.split()) for line in ask_as_monitor(host, "CLIENT LIST").splitlines()
    ]
    return [client["id"] for client in clients if client["addr"].startswith("127.0.0.1:") and client["sub"] == "1"]


def open_webui(host: Any) -> str:
    """Its container's id; "" while one takes the place of another."""
    return str(host.run("docker inspect --format {{.Id}} open-webui").stdout).strip()


@dataclass
class Rotation:
    """One run, what was before and what it did."""

    output: str
    before: dict[str, str]
    after: dict[str, str]
    secrets: list[str] = field(default_factory=list)

    def assert_valkey_ran_on(self) -> None:
        assert self.after["redis-valkey"] == self.before["redis-valkey"]
        assert self.after["open-webui"] != self.before["open-webui"]

    def assert_no_secret_shown(self) -> None:
        assert len(self.secrets) >= 6
        assert [secret for secret in self.secrets if secret in self.output] == []


class Story:
    """A stack with something in it, whose secrets are renewed."""

    listener: list[str]
    watched: Watched
    starts: list[str]

    def __init__(self, lab: Lab) -> None:
        self.lab, self.host = lab, lab.host(FRESH)
        self.precious = Precious(lab)
        self.marker = self.precious.marker

    def rotate(self, *arguments: str, status: int = 0, **environment: str) -> Rotation:
        self.host.check_output(f"rm -rf {OLD} && cp -a {SECRETS} {OLD}")
        before = containers(self.host)
        result = self.lab.run("-y", "runbooks/rotate.py", *arguments, **environment)
        print(result.stdout)
        assert result.returncode == status
        secrets = self.host.check_output(f"cat {OLD}/* {SECRETS}/*").split()
        return Rotation(result.stdout, before, containers(self.host), secrets)

    def renewed(self) -> list[str]:
        """The secrets that are others than before the last rotation."""
        names = self.host.check_output(f"ls {SECRETS}").split()
        return [name for name in names if self.host.run(f"cmp -s {OLD}/{name} {SECRETS}/{name}").rc]

    def assert_converged(self, *arguments: str) -> None:
        before = containers(self.host)
        assert changed(self.lab.report("-y", "deploy.py", *arguments)) == []
        assert containers(self.host) == before


@pytest.fixture(scope="module")
def story(lab: Lab, deployed: dict[str, Any]) -> Story:
    lab.report("-y", "deploy.py")  # modules before this one may have left a backup's timer of other settings
    return Story(lab)


@pytest.fixture(scope="module")
def first(story: Story) -> Rotation:
    """Valkey's password renewed as by default, while Ada works and a client of Valkey keeps listening."""
    story.host.check_output(f"cp -a {SECRETS} {OLD} && {SUBSCRIBE}")
    within(10, "it listens", lambda: len(held_client(story.host)) == 1)
    story.listener = held_client(story.host)
    with Watched(story.precious) as story.watched:
        return story.rotate("-vvv", "--diff", "--debug")


def test_valkey_runs_on_with_another_password(story: Story, first: Rotation) -> None:
    first.assert_valkey_ran_on()
    assert story.renewed() == ["valkey-monitor-password", "valkey-password"]
    assert valkey_answers(story.host, SECRETS) == story.marker
    assert "WRONGPASS" in valkey_answers(story.host, OLD)


def test_a_client_with_the_old_password_was_not_dropped(story: Story, first: Rotation) -> None:
    assert held_client(story.host) == story.listener
    assert story.precious.valkey("PUBLISH", "open-webui:held", "still-there") == "1"
    within(5, "it hears", lambda: "still-there" in story.host.file("/run/held").content_string)
    story.host.check_output("systemctl stop held")


def test_people_keep_their_chats_and_their_logins(story: Story, first: Rotation) -> None:
    story.precious.assert_kept()
    print(f"{story.watched.failed} of {story.watched.asked} requests failed, for {story.watched.away_s:.1f} s")
    assert 0 < story.watched.away_s < 60


def test_the_next_deploy_changes_nothing(story: Story, first: Rotation) -> None:
    story.assert_converged()


def test_no_output_shows_a_secret(first: Rotation) -> None:
    first.assert_no_secret_shown()


@pytest.fixture(scope="module")
def second(story: Story, first: Rotation) -> Rotation:
    """Everything renewed at once, Valkey's password as the operator says."""
    story.lab.report("-y", "deploy.py", "--data", "verify_level=user")
    everything = ("--data", ALL, "--data", "verify_level=user", "--data", "valkey_password=env:SUPPLIED")
    with followed(story.host) as events:
        rotation = story.rotate(*everything, SUPPLIED=SUPPLIED)
    story.starts = [action for action, name, _ in events if action == "start" and name == "open-webui"]
    return rotation


def test_open_webui_starts_once_for_all_of_them(story: Story, second: Rotation) -> None:
    second.assert_valkey_ran_on()
    assert story.starts == ["start"]
    assert len(story.renewed()) == 4
    assert story.host.file(f"{SECRETS}/valkey-password").content_string.strip() == SUPPLIED
    assert valkey_answers(story.host, SECRETS) == story.marker
    assert "WRONGPASS" in valkey_answers(story.host, OLD)
    second.assert_no_secret_shown()


def test_a_new_secret_key_signs_everybody_out_and_keeps_what_they_have(story: Story, second: Rotation) -> None:
    assert "everybody has to sign in again" in second.output
    with pytest.raises(urllib.error.HTTPError) as refused:
        story.precious.ask("/api/v1/auths/")
    assert refused.value.code == 401
    story.precious.sign_in()
    story.precious.assert_kept()


def test_the_probes_account_has_its_new_password(story: Story, second: Rotation) -> None:
    assert story.host.check_output(SIGN_IN_AS_PROBE.replace("FILE", f"{SECRETS}/probe-password")) == "200"
    assert story.host.check_output(SIGN_IN_AS_PROBE.replace("FILE", f"{OLD}/probe-password")) == "400"


def test_a_supplied_secret_that_is_in_force_is_refused(story: Story, second: Rotation) -> None:
    refused = story.rotate("--data", "valkey_password=env:SUPPLIED", status=1, SUPPLIED=SUPPLIED)
    assert "valkey_password: expected another value from its source, got the one in force" in refused.output
    assert refused.after == refused.before
    assert story.renewed() == []


def test_a_host_that_is_not_as_its_settings_say_is_refused(story: Story) -> None:
    refused = story.rotate("--data", "open_webui_jwt_expires_in=1h", status=1)
    assert "/opt/open-webui/compose.yaml: differs and 1 more; run deploy.py first" in refused.output
    assert refused.after == refused.before
    assert story.renewed() == []


@pytest.mark.long
def test_a_start_that_fails_brings_the_old_secrets_back(story: Story) -> None:
    story.host.check_output("systemd-run --quiet --unit stopper sh -c %s", STOP_THE_NEXT)
    failed = story.rotate("--data", 'rotate_secrets=["valkey_password", "open_webui_secret_key"]', status=1)
    failed.assert_valkey_ran_on()
    failed.assert_no_secret_shown()
    assert "container open-webui exited (137)" in failed.output
    assert "the old ones are in place again" in failed.output
    assert story.renewed() == []
    assert valkey_answers(story.host, SECRETS) == story.marker
    story.precious.assert_kept()
    story.assert_converged()


@pytest.mark.long
def test_a_rotation_that_is_killed_midway_is_ended_by_the_host_itself(story: Story) -> None:
    """By the watchdog, once the compose that the rotation has started is at its end."""
    before, old = containers(story.host), open_webui(story.host)
    thread = threading.Thread(target=story.rotate, kwargs={"status": 1})
    thread.start()
    within(60, "Open WebUI is recreated", lambda: open_webui(story.host) not in ("", old), OFTEN_S)
    story.host.check_output(KILL)
    thread.join()
    within(300, "it is ended", lambda: not story.host.file("/opt/open-webui/journal.json").exists)
    assert story.renewed() in ([], ["valkey-monitor-password", "valkey-password"])
    assert valkey_answers(story.host, SECRETS) == story.marker
    assert containers(story.host)["redis-valkey"] == before["redis-valkey"]
    story.precious.assert_kept()
    story.assert_converged()
