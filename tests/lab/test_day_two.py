"""The whole circle on one stack: an earlier version with people's data, up to the newest, back, elsewhere, gone.

And what goes wrong on the way: after each fault the stack serves, with all that people put in.
"""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.lab.precious import OFTEN_S, Precious, Watched, count_rows, within
from tests.lab.session import EARLIER, NAME, ROOT, SPARE, Lab, ask_as_monitor, containers, named, rest

pytestmark = pytest.mark.lab

SETS = "/var/backups/open-webui"
CONTENT = os.urandom(3_000_000)
HALF_WAY = """
import sqlite3
sqlite3.connect("/app/backend/data/webui.db").execute("SELECT * FROM half_way")
"""
# Run in an image of Open WebUI: one more migration, after the last.
ADD_MIGRATION = '''
import importlib.util, pathlib
from alembic.script import ScriptDirectory
package = pathlib.Path(importlib.util.find_spec("open_webui").submodule_search_locations[0], "migrations")
(head,) = ScriptDirectory(package).get_heads()
(package / "versions" / "beyond.py").write_text(f"""
import time
from alembic import op
revision = "beyond"
down_revision = "{head}"
def upgrade():
    op.execute("ALTER TABLE chat RENAME TO half_way")
    %s
""")
'''

# The same: it is healthy, and no event reaches it.
LISTEN_ELSEWHERE = """
import pathlib, socketio
file = pathlib.Path(socketio.__file__).with_name("async_redis_manager.py")
file.write_text(file.read_text().replace("channel='socketio'", "channel='elsewhere'"))
"""


class Circle:
    """One stack through all of it."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.host = lab, lab.host(EARLIER)
        self.earlier, self.newest = (lab.inventory["images"][key] for key in ("open_webui_earlier", "open_webui"))
        assert self.run("deploy.py", open_webui_image=self.earlier)[0] == 0
        self.precious = Precious(lab, EARLIER)
        self.file = self.precious.upload("notes.bin", CONTENT)
        self.counts, self.old_schema = self.count()

    def run(self, deploy: str, *arguments: str, limit: str = EARLIER, **settings: Any) -> tuple[int, str]:
        data = [part for name, value in settings.items() for part in ("--data", f"{name}={value}")]
        result = self.lab.run("-y", deploy, *arguments, *data, limit=limit)
        print(result.stdout)
        return result.returncode, result.stdout

    def count(self, name: str = EARLIER) -> tuple[str, str]:
        """Users, chats and files in the database, and the schema it has."""
        return count_rows(self.lab.host(name))

    def image(self, of: str, tag: str, script: str = "") -> str:
        """Make an image on the host, of which only the host knows; what the script changed is in it."""
        encoded = base64.b64encode(script.encode()).decode()
        # Migrations import Open WebUI, which wants these.
        python = "DATA_DIR=/tmp ENABLE_DB_MIGRATIONS=false WEBUI_SECRET_KEY=none python3"
        change = f"RUN echo {encoded} | base64 -d | {python}" if script else f"LABEL own={tag}"
        build = f"DOCKER_BUILDKIT=0 docker build --quiet --tag {of}-{tag} - 2>&1"
        self.host.check_output(f"printf 'FROM {of}\\n{change}\\n' | {build}")
        return f"{of}-{tag}"

    def sets(self) -> list[str]:
        return sorted(self.host.check_output(f"ls {SETS}").split())

    def assert_as_before(self, name: str = EARLIER) -> None:
        precious = self.precious if name == EARLIER else self.precious.on(self.lab, name)
        precious.assert_kept()
        assert precious.download(self.file) == CONTENT
        assert self.count(name)[0] == self.counts

    def version(self, name: str = EARLIER) -> str:
        precious = self.precious if name == EARLIER else self.precious.on(self.lab, name)
        return str(precious.ask("/api/config")["version"])


@pytest.fixture(scope="module")
def circle(lab: Lab) -> Circle:
    return Circle(lab)


def test_a_deploy_does_not_change_the_schema_of_peoples_data(circle: Circle) -> None:
    before = containers(circle.host)
    status, output = circle.run("deploy.py")
    assert status == 1
    assert f"expected the schema the data have, got one that changes it ({circle.old_schema} to " in output
    assert "runbooks/upgrade.py rehearses that" in output
    assert containers(circle.host) == before
    assert circle.earlier in circle.host.check_output("cat /opt/open-webui/compose.yaml"), "files are put back as well"


@pytest.mark.long
def test_nor_does_one_that_finds_the_data_without_a_container(circle: Circle) -> None:
    circle.host.check_output("docker rm --force open-webui")
    status, output = circle.run("deploy.py")
    assert status == 1
    assert "set the version they are from, deploy, and change it with runbooks/upgrade.py" in output
    assert circle.run("deploy.py", open_webui_image=circle.earlier)[0] == 0
    assert circle.count() == (circle.counts, circle.old_schema)
    circle.assert_as_before()


def test_a_rehearsal_finds_a_migration_that_fails_before_anything_is_stopped(circle: Circle) -> None:
    before = containers(circle.host)
    image = circle.image(circle.newest, "failing", ADD_MIGRATION % 'raise RuntimeError("half-way there")')
    with Watched(circle.precious) as watched:
        status, output = circle.run("runbooks/upgrade.py", open_webui_image=image)
    assert status == 1
    assert "rehearsal failed, nothing was changed: start: " in output
    assert "half-way there" in output
    assert containers(circle.host) == before, "nothing of the throw-away stack is left, and ours was not touched"
    assert watched.failed == 0
    assert circle.host.check_output("docker volume ls -q; docker network ls --format '{{.Name}}'").count("drill") == 0


def test_a_migration_that_fails_half_way_is_undone_with_the_data(circle: Circle) -> None:
    image = f"{circle.newest}-failing"
    status, output = circle.run("runbooks/upgrade.py", open_webui_image=image, upgrade_rehearse="False")
    assert status == 1
    assert "half-way there" in output or "no such table: chat" in output  # Docker may have started it once more
    assert f"with its data, of {circle.sets()[-1]}" in output
    assert "that one runs again; the change is not in force" in output
    assert circle.count() == (circle.counts, circle.old_schema)
    circle.assert_as_before()


@pytest.mark.long
def test_an_upgrade_that_the_host_sees_broken_is_undone(circle: Circle) -> None:
    """The images are others, the schema is the same: nothing is rehearsed, and the data stay where they are."""
    image = circle.image(circle.earlier, "deaf", LISTEN_ELSEWHERE)
    status, output = circle.run("runbooks/upgrade.py", open_webui_image=image, verify_timeout_s=3)
    assert status == 1
    assert "schema: same" in output
    assert "failed  subscribers" in output
    assert "on the host as well: redis-valkey: expected 1 that listen for events, got 0" in output
    assert "runs again; the change took" in output
    running = circle.host.check_output("docker inspect --format '{{.Config.Image}}' open-webui")
    assert running == circle.earlier
    circle.assert_as_before()


def test_an_upgrade_that_is_killed_in_its_migration_is_ended_by_the_next_one(circle: Circle) -> None:
    image = circle.image(circle.newest, "endless", ADD_MIGRATION % "time.sleep(600)")
    arguments = {"open_webui_image": image, "upgrade_rehearse": "False"}
    thread = threading.Thread(target=circle.run, args=("runbooks/upgrade.py",), kwargs=arguments)
    thread.start()
    seen = "docker exec open-webui python3 -c %s"
    within(90, "the migration is half-way", lambda: circle.host.run(seen, HALF_WAY).rc == 0)
    # The watchdog would end it before the next run.
    circle.host.check_output("systemctl stop open-webui-watchdog")
    circle.host.check_output("pkill -9 -f -- '[-]-worker upgrade '; docker kill open-webui")
    thread.join()
    assert circle.host.file("/opt/open-webui/.upgrading").exists
    status, output = circle.run("deploy.py", open_webui_image=circle.earlier)
    assert status == 1
    assert "upgrade: expected none that was cut off, got one" in output


def test_an_upgrade_takes_everything_along(circle: Circle) -> None:
    """The one before was killed: its data are put back first. Valkey gets another image at the same time."""
    valkey = circle.image(circle.lab.inventory["images"]["valkey"], "other")
    circle.host.check_output("cp -a /opt/open-webui/.good /root/good-before")
    with Watched(circle.precious) as watched:
        status, output = circle.run("runbooks/upgrade.py", valkey_image=valkey)
    assert status == 0
    assert "an upgrade was cut off; the data of" in output
    assert "what was there before runs again" in output
    assert f"schema: older from {circle.old_schema} to " in output
    assert "8 migrations" in output
    assert "ok      users: 1, as in the manifest" in output
    assert circle.version() == circle.newest.rpartition(":")[2].strip("v").removesuffix("-slim")
    assert circle.count()[1] != circle.old_schema
    assert circle.host.check_output("docker inspect --format '{{.Config.Image}}' redis-valkey") == valkey
    circle.assert_as_before()
    assert not circle.host.file("/opt/open-webui/.upgrading").exists
    print(f"away for {watched.away_s:.1f} s at a time")


def test_a_second_upgrade_changes_nothing(circle: Circle) -> None:
    before, sets = containers(circle.host), circle.sets()
    status, output = circle.run("runbooks/upgrade.py", valkey_image=f"{circle.lab.inventory['images']['valkey']}-other")
    assert status == 0
    assert "every image is the one that runs" in output
    assert (containers(circle.host), circle.sets()) == (before, sets)


def test_an_upgrade_that_is_killed_after_its_migration_stays(circle: Circle) -> None:
    """People may have worked with the new version since. The state is that of a kill before it was remembered."""
    circle.host.check_output(
        "cd /opt/open-webui && rm -rf .good && mv /root/good-before .good && "
        f"ls {SETS} | tail -n 1 | tee .good/data >.upgrading"
    )
    chat = circle.precious.ask("/api/v1/chats/new", {"chat": {"title": "meanwhile", "messages": []}})["id"]
    before = containers(circle.host)
    status, output = circle.run("runbooks/backup.py")
    assert status == 1
    assert "expected data in one place" in output
    valkey = f"{circle.lab.inventory['images']['valkey']}-other"
    status, output = circle.run("runbooks/upgrade.py", valkey_image=valkey)
    assert status == 0
    assert "cut off after it had migrated the data; the new version runs" in output
    assert containers(circle.host) == before
    assert circle.precious.ask(f"/api/v1/chats/{chat}")["title"] == "meanwhile"
    circle.precious.delete(chat)
    assert not circle.host.file("/opt/open-webui/.upgrading").exists


def test_a_drill_counts_what_can_be_restored_and_leaves_nothing(circle: Circle) -> None:
    """One number of the manifest is wrong, as if a chat had been lost on the way."""
    everything = "docker ps --all --quiet; docker volume ls --quiet; docker network ls --quiet"
    assert circle.run("runbooks/backup.py")[0] == 0
    before, running = circle.host.check_output(everything), containers(circle.host)
    users, chats, files = circle.counts.split()
    circle.host.check_output(f'sed -i \'s/"chats": [0-9]*/"chats": 99/\' {SETS}/{circle.sets()[-1]}/manifest.json')
    status, output = circle.run("runbooks/drill.py")
    assert status == 1
    assert f"failed  chats: expected 99, got {chats}" in output
    for seen in (
        f"set: {circle.sets()[-1]}",
        f"users: {users}, as in the manifest",
        f"files: {files}, as in the manifest",
        "uploads: 1, as in the manifest",
        "websockets: Open WebUI listens on Valkey",
    ):
        assert f"ok      {seen}" in output
    assert (circle.host.check_output(everything), containers(circle.host)) == (before, running)
    circle.host.check_output(f"rm -r {SETS}/{circle.sets()[-1]}")


def test_data_of_a_newer_valkey_are_not_given_to_an_older_one(circle: Circle) -> None:
    """The number of the format is in the file's first bytes; 99 is still to come."""
    before = containers(circle.host)
    volume = "/var/lib/docker/volumes/redis-data/_data"
    # Half a minute after the last time Valkey writes the file anew: now, then, and not while the deploy looks at it.
    ask_as_monitor(circle.host, "BGSAVE")
    saved = "rdb_bgsave_in_progress:0"
    within(30, "it is written", lambda: saved in ask_as_monitor(circle.host, "INFO persistence"))
    circle.host.check_output(f"cp -p {volume}/dump.rdb /root/dump.rdb")
    circle.host.check_output(f"printf REDIS0099 | dd of={volume}/dump.rdb conv=notrunc status=none")
    try:
        status, output = circle.run("deploy.py")
    finally:
        circle.host.check_output(f"mv /root/dump.rdb {volume}/dump.rdb")
    assert status == 1
    assert "valkey_image: expected a Valkey that reads the data there are" in output
    assert "Can't handle RDB format version 99" in output
    assert containers(circle.host) == before


def test_a_rollback_brings_back_the_version_and_its_data(circle: Circle) -> None:
    """Only where it may, and also when the first one is killed between stop and start."""
    chat = circle.precious.ask("/api/v1/chats/new", {"chat": {"title": "since", "messages": []}})["id"]
    status, output = circle.run("runbooks/rollback.py")
    assert status == 1
    assert "expected this host in restore_over, got it not" in output
    assert circle.precious.ask(f"/api/v1/chats/{chat}")["title"] == "since"
    allowed = {"restore_over": f'["{EARLIER}"]'}
    thread = threading.Thread(target=circle.run, args=("runbooks/rollback.py",), kwargs=allowed)
    thread.start()
    within(60, "it swaps the data", lambda: circle.host.file("/opt/open-webui/.restoring").exists, OFTEN_S)
    circle.host.check_output("systemctl stop open-webui-watchdog")
    circle.host.check_output("pkill -9 -f -- '[-]-worker rollback '")
    thread.join()
    status, output = circle.run("deploy.py")
    assert status == 1
    assert "rollback: expected none that was cut off, got one; run runbooks/rollback.py again" in output
    with Watched(circle.precious) as watched:
        status, output = circle.run("runbooks/rollback.py", **allowed)
    assert status == 0
    assert "a rollback was cut off" in output
    assert "what was there before runs again" in output
    assert "in force" in output
    assert circle.count() == (circle.counts, circle.old_schema)
    assert circle.version() == circle.earlier.rpartition(":")[2].strip("v").removesuffix("-slim")
    circle.assert_as_before()
    made_first = circle.host.check_output(f"cat {SETS}/{circle.sets()[-1]}/manifest.json")
    assert f'"chats": {int(circle.counts.split()[1]) + 1}' in made_first, "what was written since is in a set"
    print(f"away for {watched.away_s:.1f} s at a time")


def test_a_second_rollback_changes_nothing(circle: Circle) -> None:
    before = containers(circle.host)
    status, output = circle.run("runbooks/rollback.py", restore_over=f'["{EARLIER}"]')
    assert status == 0
    assert "to go further, name one in rollback_to" in output
    assert containers(circle.host) == before


def test_a_fresh_host_gets_all_of_it_logins_included_with_the_newest_version(
    circle: Circle, age_key: tuple[Path, str]
) -> None:
    """A set of the earlier version; the newest one brings its schema up to date."""
    identity, recipient = age_key
    assert circle.run("runbooks/backup.py", backup_age_recipient=recipient)[0] == 0
    name = circle.sets()[-1]
    ssh = f"ssh -F {ROOT}/.lab/{NAME}/ssh_config"
    circle.lab.host(SPARE).check_output(f"mkdir -p {SETS}")
    copy = f"{ssh} {EARLIER} sudo tar -C {SETS} -c {name} | {ssh} {SPARE} sudo tar -C {SETS} -x"
    subprocess.run(["bash", "-o", "pipefail", "-c", copy], check=True)
    status, output = circle.run("runbooks/restore.py", limit=SPARE, restore_age_identity=f"file:{identity}")
    assert status == 0
    assert "AGE-SECRET-KEY" not in output
    assert f"the data of {name} is in place" in output
    circle.assert_as_before(SPARE)
    assert circle.version(SPARE) != circle.version()
    hashes = "docker exec open-webui sh -c 'cd /app/backend/data/uploads && sha256sum *'"
    assert circle.lab.host(SPARE).check_output(hashes) == circle.host.check_output(hashes)
    rest(circle.lab.host(SPARE))


def test_a_teardown_leaves_nothing(circle: Circle) -> None:
    assert named(circle.host), "there is something to find"
    here = f'["{EARLIER}"]'
    assert circle.run("runbooks/teardown.py", teardown_data=here, teardown_backups=here)[0] == 0
    # The images that these tests have made themselves are not this project's.
    left = "docker ps --all --quiet; docker volume ls --quiet; docker network ls --format '{{.Name}}'"
    assert circle.host.check_output(left).split() == ["bridge", "host", "none"]
    assert named(circle.host) == []
    assert circle.host.run("systemctl list-unit-files 'open-webui*' --no-legend").stdout == ""
