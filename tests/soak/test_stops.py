"""Twenty times the power of a host is cut while an operator changes its stack: it recovers alone, and loses nothing.

The moments are random ones of a deploy, an upgrade, a restore and a rotation: SOAK_SEED (1) chooses others. SOAK_STOPS
(20) is how many there are. None begins later than SOAK_STOPS_MINUTES (90) after the first. The table is in
reports/soak/ as well.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

import pytest

from tests.lab.precious import START_S, Precious, within
from tests.lab.session import EARLIER, Lab, changed, containers, numsub, reachable
from tests.lab.test_failures import Operator
from tests.soak import account
from tests.soak.account import Stopped
from tests.soak.stops import RUNBOOKS, Turn, step_in, turns
from tests.soak.subject import LEDGER
from tests.soak.tables import Show, keep

pytestmark = pytest.mark.lab

STOPS = int(os.environ.get("SOAK_STOPS", "20"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
MINUTES = int(os.environ.get("SOAK_STOPS_MINUTES", "90"))
TITLE = "Sudden stops"
HOST = EARLIER
# Postgres, so that a set's rows are a database beside the one in use, and its files are folders beside those in use.
SETTINGS = {"database": "postgres"}
DATABASES = ["open-webui", "postgres", "template0", "template1"]
CONTAINERS = {"open-webui", "open-webui-postgres", "redis-valkey"}
# Both Valkey and Open WebUI get new containers. The second is the default.
CHANGES = (
    {"open_webui_jwt_expires_in": "11h", "valkey_timeout_s": 1801},
    {"open_webui_jwt_expires_in": "24h", "valkey_timeout_s": 1800},
)
ROTATED = ["valkey_password", "postgres_password"]
# Going back may take a backup set of what served, its predecessor's data, and a start of everything.
REST_S = 600
STACK, SETS = "/opt/open-webui", "/var/backups/open-webui"
JOURNAL = f"{STACK}/journal.json"
UNDER_WAY = f"ls -d {JOURNAL} 2>/dev/null; find /etc/systemd/system -name 'open-webui-stack-recover*'; echo seen"
LEFT = f"""
ls -d {STACK}/.restoring {STACK}/.upgrading {STACK}/.migrating 2>/dev/null
find /var/lib/docker/volumes -name '.restore-*'
{UNDER_WAY}
"""
PSQL = "docker exec open-webui-postgres psql -U open-webui -Atc %s"


class Story:
    """A stack on one host with the earlier Open WebUI, what people have in it, and what was seen of each stop."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.host = lab, lab.host(HOST)
        self.earlier, self.newest = (lab.inventory["images"][key] for key in ("open_webui_earlier", "open_webui"))
        self.settings: dict[str, Any] = {**SETTINGS, "open_webui_image": self.earlier}
        self.run("deploy.py")
        self.precious = Precious(lab, HOST)
        self.chats: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.lengths: dict[str, float] = {}
        self.seen: list[Stopped] = []
        self.well = True
        self.end_s = time.monotonic() + 60 * MINUTES

    # --- Runs

    def data(self, **told: Any) -> str:
        return json.dumps({HOST: {**self.settings, **told}})

    def run(self, deploy: str, **told: Any) -> float:
        """A run of an operator's, which has to succeed; how many seconds it took."""
        start = time.monotonic()
        result = self.lab.run("-y", deploy, limit=HOST, TEST_HOST_DATA=self.data(**told))
        print(result.stdout)  # pytest shows it when the test fails
        assert result.returncode == 0, deploy
        return time.monotonic() - start

    def prepare(self, verb: str) -> dict[str, Any]:
        """Put down what has to stay; what the run of a verb is told besides `settings`, which have its change."""
        self.write()
        self.secrets = self.sums()
        if verb == "deploy":
            first, second = CHANGES
            self.settings |= second if first.items() <= self.settings.items() else first
        if verb == "upgrade":
            self.settings["open_webui_image"] = self.newest
            return {"upgrade_rehearse": False}  # it changes nothing, and would be most of the run
        if verb == "restore":
            self.run("runbooks/backup.py")
            newest = self.host.check_output(f"ls {SETS}").split()[-1]
            # What the set does not have tells whose data are in use.
            self.precious.ask("/api/v1/chats/new", {"chat": {"title": "since", "messages": []}})
            self.right.append(self.ledger())
            return {"restore_over": [HOST], "restore_set": newest}
        return {"rotate_secrets": ROTATED} if verb == "rotate" else {}

    def length(self, verb: str) -> float:
        """The seconds that a run of the verb takes here where nothing stops it; the first time, one is made."""
        if verb not in self.lengths:
            told = self.prepare(verb)
            self.lengths[verb] = self.run(RUNBOOKS[verb], **told)
            self.assert_well(verb)
            self.end(verb)
        return self.lengths[verb]

    def end(self, verb: str) -> None:
        """The next upgrade wants the earlier version again, with the data that it had."""
        if verb == "upgrade":
            self.run("runbooks/rollback.py", restore_over=[HOST])
            self.settings["open_webui_image"] = self.earlier
            self.assert_well("rollback")

    # --- The stop

    def stop(self, turn: Turn, told: dict[str, Any]) -> Stopped:
        """Cut the host's power in the middle of a run, and switch it on again."""
        seen = Stopped(turn.verb, turn.part * self.lengths[turn.verb], self.lengths[turn.verb])
        self.seen.append(seen)
        run = Operator(deploy=RUNBOOKS[turn.verb], limit=HOST, TEST_HOST_DATA=self.data(**told))
        try:
            status = run.ended_within(seen.after_s)
            self.lab.cut_power(HOST)
        finally:
            run.kill()  # it may wait for a host that can't say that it is gone
        journal = self.journal()
        self.lab.boot(HOST)
        self.booted_s = time.monotonic()
        seen.step = step_in(journal)
        assert status in (None, 0), run.output
        return seen

    def journal(self) -> bytes:
        """The journal of a host that is stopped; b"" where there is none."""
        copy = ["docker", "cp", f"{self.lab.outer(HOST)}:{JOURNAL}", "-"]
        done = subprocess.run(copy, capture_output=True, check=False)
        if done.returncode:
            return b""
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            member = archive.extractfile("journal.json")
            assert member
            return member.read()

    def rest(self, verb: str) -> bool:
        """Wait until nothing is under way any more, without doing anything about it.

        False where the host waits for an operator: then `status` has to tell which runbook is due.
        """
        try:
            within(REST_S, "nothing is under way", self._is_at_rest, 2)
        except AssertionError:
            told = self.lab.run("-y", "runbooks/status.py", limit=HOST, TEST_HOST_DATA=self.data()).stdout
            print(told)
            assert f"{verb}: was cut off, run {RUNBOOKS[verb]} again" in told
            self.seen[-1].rest = "named by status"
            return False
        self.seen[-1].rest = f"{self.since_boot_s():.0f} s"
        return True

    def since_boot_s(self) -> float:
        return time.monotonic() - self.booted_s

    def _is_at_rest(self) -> bool:
        return reachable(self.host) and self.host.run(UNDER_WAY).stdout.split() == ["seen"]

    # --- What people have

    def write(self) -> None:
        """One more chat and one more file, of which people are told that they are kept."""
        title, content = f"kept-{time.time_ns()}", os.urandom(10_000)
        made = self.precious.ask("/api/v1/chats/new", {"chat": {"title": title, "messages": []}})
        self.chats[made["id"]] = title
        self.files[self.precious.upload(f"{title}.bin", content)] = content
        self.kept = self.ledger()
        self.right = [self.kept]

    def ledger(self) -> str:
        """Who and what is in the database: people, chats and files."""
        return str(self.host.check_output(PSQL, LEDGER))

    def sums(self) -> str:
        return str(self.host.check_output(f"sha256sum {STACK}/secrets/*"))

    def serves(self) -> bool:
        """Whether Ada gets her chat, with her login."""
        try:
            chat = self.precious.ask(f"/api/v1/chats/{self.precious.chat}")
        except (OSError, HTTPException, ValueError):
            return False
        return bool(chat["title"] == self.precious.marker)

    def assert_well(self, verb: str) -> None:
        """All that people had is there, one version serves it, secrets work, and nothing is left of the way there."""
        self.precious.assert_kept()
        for chat, title in self.chats.items():
            assert self.precious.ask(f"/api/v1/chats/{chat}")["title"] == title
        for file, content in self.files.items():
            assert self.precious.download(file) == content
        assert self.ledger() == self.kept
        assert set(containers(self.host)) == CONTAINERS
        image = self.settings["open_webui_image"]
        assert self.host.check_output("docker inspect --format '{{.Config.Image}}' open-webui") == image
        version = image.rpartition(":")[2].strip("v").removesuffix("-slim")
        assert self.precious.ask("/api/config")["version"] == version
        assert (self.sums() != self.secrets) == (verb == "rotate")
        assert numsub(self.host) >= 1  # asked with a secret that is not Open WebUI's
        assert self.host.check_output(LEFT).split() == ["seen"]
        assert self.host.check_output(PSQL, "SELECT datname FROM pg_database ORDER BY 1").split() == DATABASES
        report = self.lab.report("-y", "deploy.py", limit=HOST, TEST_HOST_DATA=self.data())
        assert changed(report) == [], f"{verb} left something to do"


@pytest.fixture(scope="module")
def story(lab: Lab, show: Show) -> Iterator[Story]:
    story = Story(lab)
    yield story
    show(TITLE, account.STOPS, account.stop_rows(story.seen))


@pytest.mark.parametrize("turn", turns(STOPS, SEED), ids=str)
def test_all_is_well_after_a_sudden_stop(story: Story, turn: Turn, capsys: pytest.CaptureFixture[str]) -> None:
    if not story.well:
        pytest.skip("the host is as a stop that was not survived has left it")
    if time.monotonic() > story.end_s:
        pytest.skip(f"SOAK_STOPS_MINUTES: {MINUTES} minutes are over")
    story.well = False
    story.length(turn.verb)
    told = story.prepare(turn.verb)
    try:
        seen = story.stop(turn, told)
        if story.rest(turn.verb):
            within(START_S, "people are served", story.serves, 1)
            seen.served_s = story.since_boot_s()
            assert story.ledger() in story.right
            if turn.verb in ("deploy", "rotate"):  # a restore, and the rollback after an upgrade, would replace it
                story.write()
        seen.next_s = story.run(RUNBOOKS[turn.verb], **told)
        story.assert_well(turn.verb)
        story.end(turn.verb)
        seen.well = story.well = True
    finally:
        rows = account.stop_rows(story.seen)
        keep(TITLE, account.STOPS, rows)
        with capsys.disabled():
            told_of = zip(account.STOPS, rows[-1], strict=True) if rows else ()
            print("\n  " + ", ".join(f"{name} {cell}" for name, cell in told_of))
