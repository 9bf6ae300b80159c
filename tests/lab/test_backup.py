"""A backup set has all that people put in, made while they work; it brings them back, here and on a fresh host."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.precious import OFTEN_S, START_S, Precious, Watched, count_rows, within
from tests.lab.session import FRESH, ROOT, SPARE, Lab, containers, followed, state

pytestmark = pytest.mark.lab

SETS = "/var/backups/open-webui"
CONTENT = os.urandom(3_000_000)
# A whole set, but for a database that is none.
BROKEN = r"""
mkdir x && tar -x -C x -f open-webui.tar && printf 'no database' >x/webui.db && tar -C x -cf open-webui.tar . && rm -r x
size=$(stat -c %s open-webui.tar) sha=$(sha256sum open-webui.tar | cut -d ' ' -f 1)
sed -i '/"open-webui.tar": {/,/}/ {
  s/"size": [0-9]*/"size": '$size'/
  s/"sha256": "[0-9a-f]*"/"sha256": "'$sha'"/
}' manifest.json
"""
# A pattern that does not find the command that has it, which sudo writes to the journal.
FIND_IDENTITY = r"""
pattern='AGE-SECRET-KE[Y]'
grep -rlE "$pattern" /etc /home /opt /root /run /srv /tmp /var/backups /var/lib/open-webui-stack* /var/log /var/tmp
journalctl --quiet --no-pager --output cat | grep -E "$pattern"
true
"""
HASH_UPLOAD = "docker exec open-webui sh -c 'sha256sum /app/backend/data/uploads/*notes.bin'"


def sets(host: Any) -> list[str]:
    """The sets a host lists as good; nothing else may be in their folder."""
    return sorted(host.check_output(f"ls -A {SETS}").split())


def manifest(host: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.check_output(f"cat {SETS}/{name}/manifest.json"))
    return found


class Story:
    """A stack with something in it, and the set that was made of it."""

    def __init__(self, lab: Lab, age_key: tuple[Path, str]) -> None:
        self.lab, self.host = lab, lab.host(FRESH)
        self.precious = Precious(lab)
        self.file = self.precious.upload("notes.bin", CONTENT)
        self.identity, recipient = age_key
        self.encrypted = ("--data", f"backup_age_recipient={recipient}")
        with followed(self.host) as self.events, Watched(self.precious) as self.watched:
            self.output = self.back_up(*self.encrypted)
        (self.name,) = sets(self.host)

    def back_up(self, *arguments: str, limit: str = FRESH) -> str:
        result = self.lab.run("-y", "runbooks/backup.py", *arguments, limit=limit)
        print(result.stdout)
        assert result.returncode == 0
        return result.stdout

    def restore(self, *arguments: str, limit: str = FRESH, over: bool = True) -> tuple[int, str]:
        allowed = ("--data", f'restore_over=["{limit}"]') if over else ()
        result = self.lab.run("-y", "runbooks/restore.py", *allowed, *arguments, limit=limit)
        print(result.stdout)
        return result.returncode, result.stdout

    def listed(self, *arguments: str, status: int = 0) -> tuple[str, dict[str, Any]]:
        """What the list of sets prints, and what it wrote of this host for programs."""
        result = self.lab.run("-y", "runbooks/backups.py", *arguments, limit=FRESH)
        print(result.stdout)
        assert result.returncode == status
        (file,) = (line[13:] for line in result.stdout.splitlines() if line.startswith("backup sets: "))
        found: dict[str, Any] = json.loads((ROOT / file).read_text())[FRESH]
        return result.stdout, found

    def damaged(self, name: str, command: str) -> tuple[str, ...]:
        """Make a set of another name out of the good one, change it by a command in its folder, and choose it."""
        self.host.check_output(f"rm -rf {SETS}/{name} && cp -a {SETS}/{self.name} {SETS}/{name}")
        self.host.check_output(f"cd {SETS}/{name} && {command}")
        return ("--data", f"restore_set={name}")

    def assert_kept(self) -> None:
        self.precious.assert_kept()
        assert hashlib.sha256(CONTENT).hexdigest() in self.host.check_output(HASH_UPLOAD)


@pytest.fixture(scope="module")
def story(lab: Lab, deployed: dict[str, Any], age_key: tuple[Path, str]) -> Iterator[Story]:
    host = lab.host(FRESH)
    try:
        yield Story(lab, age_key)
    finally:
        host.check_output(f"rm -rf {SETS}")


def test_the_stack_serves_while_its_backup_is_made(story: Story) -> None:
    assert story.watched.asked > 20
    assert story.watched.failed == 0
    # No bound for the longest answer: where four labs share two cores, one takes seconds with no backup at all.
    assert [(action, name) for action, name, _ in story.events if name in ("open-webui", "redis-valkey")] == []
    assert [action for action, *_ in story.events] != [], "the containers that copy the data were followed"
    print(f"{story.watched.asked} requests, the longest took {story.watched.longest_s * 1000:.0f} ms")


def test_the_set_holds_what_the_manifest_says(story: Story) -> None:
    found = manifest(story.host, story.name)
    listed = {name: part["sha256"] for name, part in found["parts"].items()}
    counted = story.host.check_output(f"cd {SETS}/{story.name} && sha256sum $(ls | grep -v manifest.json)")
    assert {line.split()[1]: line.split()[0] for line in counted.splitlines()} == listed
    assert listed.keys() == {"images", "open-webui.tar", "secrets.tar.age", "stack.tar", "valkey.rdb"}
    users, chats, files = count_rows(story.host)[0].split()
    assert {key: found["open_webui"][key] for key in ("users", "chats", "files")} == {
        "users": int(users),
        "chats": int(chats),
        "files": int(files),
    }
    assert int(found["valkey_keys"]) > 0
    assert f"made {story.name}" in story.output


def test_the_list_of_sets_says_what_the_manifest_says_and_changes_nothing(story: Story) -> None:
    before, there = state(story.host), sets(story.host)
    output, found = story.listed()
    (one,) = found["sets"]
    read = manifest(story.host, story.name)
    counted = read["open_webui"]
    assert (one["name"], one["places"], one["faults"]) == (story.name, ["host"], {})
    assert (one["people"], one["chats"], one["files"]) == (counted["users"], counted["chats"], counted["files"])
    assert one["images"] == {container: image["reference"] for container, image in read["images"].items()}
    assert one["size_bytes"] == int(story.host.check_output(f"cat {SETS}/{story.name}/* | wc -c"))
    assert 0 < one["age_s"] < 3600
    assert (found["newest"], found["errors"], found["looked_at"]) == (story.name, {}, ["host"])
    assert story.name in output
    assert (state(story.host), sets(story.host)) == (before, there)


def test_sets_that_are_not_whole_are_in_the_list_with_the_reason(story: Story) -> None:
    cut, unread = "20200103T000000Z", "20200104T000000Z"
    story.damaged(cut, "truncate --size=-1 valkey.rdb")
    story.damaged(unread, "echo '{' >manifest.json")
    try:
        output, found = story.listed()
    finally:
        story.host.check_output(f"rm -r {SETS}/{cut} {SETS}/{unread}")
    assert [one["name"] for one in found["sets"]] == [story.name, unread, cut]
    assert f"{FRESH}: on the host: {unread}/manifest.json: expected to describe a backup set" in output
    assert f"{FRESH}: on the host: {cut}/valkey.rdb: expected " in output


def test_a_repository_without_an_answer_is_an_error_of_the_list_and_is_not_made(story: Story, tmp_path: Path) -> None:
    """Without restic on the host, or without a repository there: both are errors, and neither is "none"."""
    (tmp_path / "password").write_text("marker")
    restic = ("--data", "backup_restic_repository=/srv/nowhere", "--data")
    output, found = story.listed(*restic, f"backup_restic_password=file:{tmp_path / 'password'}", status=1)
    assert [one["name"] for one in found["sets"]] == [story.name]
    assert found["errors"]["restic"]
    assert "what is in the restic repository is not known" in output
    assert not story.host.file("/srv/nowhere").exists


def test_no_secret_is_in_the_set_in_clear_and_nobody_else_can_read_it(story: Story) -> None:
    for name in story.host.check_output("ls /opt/open-webui/secrets").split():
        pattern = f"/opt/open-webui/secrets/{name}"
        assert story.host.run(f"grep -rFq -f {pattern} {SETS}/{story.name}").rc == 1
        assert story.host.run(f"grep -rFq -f {pattern} /opt/open-webui/secrets").rc == 0  # it would be found
    assert story.host.check_output(f"stat -c '%U %a' {SETS} {SETS}/{story.name}") == "root 700\nroot 700"


def test_a_live_stack_is_not_replaced_without_the_operators_word(story: Story) -> None:
    before = containers(story.host)
    status, output = story.restore(over=False)
    assert status == 1
    assert f"set restore_over = ['{FRESH}']" in output
    assert containers(story.host) == before
    story.assert_kept()


DAMAGES = {
    "a flipped byte": ("printf X | dd of=open-webui.tar bs=1 seek=700000 conv=notrunc status=none", "SHA-256"),
    "a truncated dump": ("truncate --size=-1 valkey.rdb", "valkey.rdb: expected"),
    "one wrong hash": ('sed -i \'0,/"sha256": "./s//"sha256": "z/\' manifest.json', "expected SHA-256 z"),
    "a newer schema": ('sed -i \'s/"schema": "/&c0ffee,/\' manifest.json', "c0ffee, a newer one"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_set_that_is_not_whole_touches_nothing(story: Story, damage: str) -> None:
    before = containers(story.host)
    command, line = DAMAGES[damage]
    status, output = story.restore(*story.damaged("20200101T000000Z", command))
    assert status == 1
    assert "20200101T000000Z can't be used; nothing was changed" in output
    assert line in output
    assert containers(story.host) == before
    story.assert_kept()
    story.host.check_output(f"rm -r {SETS}/20200101T000000Z")


def test_a_wrong_key_touches_nothing(story: Story, tmp_path: Path) -> None:
    other = tmp_path / "other-key"
    other.write_text(story.lab.host(SPARE).check_output("age-keygen 2>/dev/null"))
    before = containers(story.host)
    secrets = "sha256sum /opt/open-webui/secrets/*"
    here = story.host.check_output(secrets)
    status, output = story.restore("--data", f"restore_age_identity=file:{other}")
    assert status == 1
    assert "expected restore_age_identity to decrypt the secrets" in output
    assert "AGE-SECRET-KEY" not in output
    assert containers(story.host) == before
    assert story.host.check_output(secrets) == here
    story.assert_kept()


@pytest.mark.long
def test_data_that_does_not_work_gives_way_to_what_was_there(story: Story) -> None:
    choice = story.damaged("20200102T000000Z", BROKEN)
    story.precious.valkey("SET", "open-webui:after-the-set", "here")
    # it never gets healthy; the one before it needs no longer than this to start again
    status, output = story.restore(*choice, "--data", "open_webui_start_timeout_s=40")
    assert status == 1
    assert "it does not get healthy with 20200102T000000Z" in output
    assert "file is not a database" in output
    assert "what was there before is in place again" in output
    story.host.check_output(f"rm -r {SETS}/20200102T000000Z")
    within(START_S, "Open WebUI answers", lambda: story.host.run("curl -fs http://127.0.0.1:3000/health").rc == 0)
    story.assert_kept()
    assert story.precious.valkey("GET", "open-webui:after-the-set") == "here"


@pytest.mark.long
def test_a_restore_that_is_killed_midway_is_ended_by_the_next_one(story: Story) -> None:
    story.host.check_output("systemctl stop open-webui-watchdog")  # it would end what was cut off
    thread = threading.Thread(target=story.restore)
    thread.start()
    within(120, "it swaps the data", lambda: story.host.file("/opt/open-webui/.restoring").exists, OFTEN_S)
    story.host.check_output("pkill -9 -f -- '[-]-worker restore '")
    thread.join()
    result = story.lab.run("-y", "deploy.py")
    assert result.returncode == 1
    assert "restore: expected none that was cut off, got one" in result.stdout
    status, _ = story.restore()
    assert status == 0
    assert not story.host.file("/opt/open-webui/.restoring").exists
    story.assert_kept()


def test_a_restore_brings_back_what_was_changed_since(story: Story) -> None:
    story.precious.ask(f"/api/v1/chats/{story.precious.chat}", {"chat": {"title": "spoiled", "messages": []}})
    story.precious.valkey("SET", "open-webui:marker", "spoiled")
    story.host.check_output("docker exec open-webui sh -c 'rm /app/backend/data/uploads/*notes.bin'")
    status, output = story.restore()
    assert status == 0
    assert f"the data of {story.name} is in place" in output
    story.assert_kept()
    assert story.precious.download(story.file) == CONTENT
    assert story.host.check_output("find /var/lib/docker/volumes -name '.restore*'") == ""


class Fetched:
    """Two sets of a stack on this machine, encrypted and in clear; an admin has typed in a provider's key before."""

    def __init__(self, story: Story, folder: Path) -> None:
        self.story, self.key = story, f"sk-marker-{time.time_ns()}"
        story.precious.ask("/openai/config/update", self.provider(self.key))
        self.folder, self.in_clear = folder / "encrypted", folder / "in clear"
        self.output = story.back_up(*story.encrypted, "--data", f"backup_fetch={self.folder}")
        self.name = sets(story.host)[-1]
        self.output_in_clear = story.back_up("--data", f"backup_fetch={self.in_clear}")
        self.name_in_clear = sets(story.host)[-1]
        self.before = self.there()

    @staticmethod
    def provider(key: str) -> dict[str, Any]:
        urls, configs = ["http://127.0.0.1:9/v1"], {"0": {"enable": False}}
        return {
            "ENABLE_OPENAI_API": False,
            "OPENAI_API_BASE_URLS": urls,
            "OPENAI_API_KEYS": [key],
            "OPENAI_API_CONFIGS": configs,
        }

    def set(self) -> Path:
        return self.folder / FRESH / self.name

    def there(self) -> tuple[Any, ...]:
        """What a restore that is refused may not have changed on the host."""
        secrets = self.story.host.check_output("sha256sum /opt/open-webui/secrets/*")
        return containers(self.story.host), secrets, sets(self.story.host)

    def restore(self, *arguments: str) -> tuple[int, str]:
        """From this machine's set, which the host does not have any more."""
        return self.story.restore("--data", f"restore_from={self.folder / FRESH}", *arguments)


def holding(folder: Path, text: str) -> list[str]:
    """The files below a folder that hold a text, as grep finds them."""
    found = subprocess.run(["grep", "-rlF", "-e", text, folder], capture_output=True, text=True, check=False)
    assert found.returncode in (0, 1), found.stderr
    return sorted(Path(line).name for line in found.stdout.splitlines())


@pytest.fixture(scope="module")
def fetched(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Fetched:
    found = Fetched(story, tmp_path_factory.mktemp("fetched"))
    # The host has lost them.
    story.host.check_output(f"rm -r {SETS}/{found.name} {SETS}/{found.name_in_clear}")
    found.before = found.there()
    return found


def test_a_fetched_set_is_encrypted_where_there_is_a_recipient(fetched: Fetched, story: Story) -> None:
    for text in (fetched.key, story.precious.marker):
        assert holding(fetched.in_clear, text)  # it would be found
        assert holding(fetched.folder, text) == []
    names = {path.name for path in fetched.set().iterdir()}
    plain = {"images", "open-webui.tar", "secrets.tar.age", "stack.tar", "valkey.rdb"}
    assert names == {"manifest.json", "encrypted.json", *(f"{name}.age" for name in plain)}
    assert {path.stat().st_mode & 0o777 for path in fetched.set().iterdir()} == {0o600}
    assert f"encrypted to {story.encrypted[1].partition('=')[2]}" in fetched.output
    assert "in clear, as no backup_age_recipient is set" in fetched.output_in_clear


def test_sets_that_only_this_machine_has_are_in_the_list(fetched: Fetched, story: Story) -> None:
    _, found = story.listed("--data", f"backup_fetch={fetched.folder}")
    here = {one["name"]: one for one in found["sets"] if one["places"] == ["here"]}
    assert list(here) == [fetched.name]
    assert (here[fetched.name]["faults"], here[fetched.name]["secrets"]) == ({}, "encrypted")
    assert here[fetched.name]["people"] > 0
    assert story.name in [one["name"] for one in found["sets"] if one["places"] == ["host"]]


def test_an_encrypted_set_without_its_identity_touches_nothing(fetched: Fetched) -> None:
    status, output = fetched.restore()
    assert status == 2
    assert "restore_age_identity: expected the identity of age1" in output
    assert "Starting operation" not in output
    assert fetched.there() == fetched.before


@pytest.mark.parametrize("kind", ["another's", "not one"])
def test_an_encrypted_set_with_a_wrong_identity_touches_nothing(fetched: Fetched, tmp_path: Path, kind: str) -> None:
    text = fetched.story.lab.host(SPARE).check_output("age-keygen 2>/dev/null")
    key = text.splitlines()[-1]
    (tmp_path / "key").write_text(text if kind == "another's" else key.replace("1", "2"))
    status, output = fetched.restore("--data", f"restore_age_identity=file:{tmp_path}/key")
    assert status == 1
    # The smallest part is sent first. Which it is depends on what people did: Valkey's snapshot may be the smallest.
    parts = "|".join(re.escape(path.name) for path in fetched.set().glob("*.age"))
    assert re.search(rf" ({parts}): expected restore_age_identity to decrypt it, got age: error: ", output)
    assert "nothing was changed" in output
    assert key.removeprefix("AGE-SECRET-KEY-1") not in output
    assert fetched.there() == fetched.before
    fetched.story.assert_kept()


@pytest.mark.parametrize("noted", [False, True])
def test_an_encrypted_set_that_was_truncated_touches_nothing(fetched: Fetched, tmp_path: Path, noted: bool) -> None:
    """Also where the note beside it says so: age authenticates each block, and the last one as the last."""
    copy = tmp_path / fetched.name
    shutil.copytree(fetched.set(), copy)
    path = copy / "open-webui.tar.age"
    os.truncate(path, path.stat().st_size // 65536 * 65536 - 65536 if noted else path.stat().st_size - 1)
    if noted:
        note = json.loads((copy / "encrypted.json").read_text())
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        note["files"][path.name] = {"size": path.stat().st_size, "sha256": sha256}
        (copy / "encrypted.json").write_text(json.dumps(note))
    identity = ("--data", f"restore_age_identity=file:{fetched.story.identity}")
    status, output = fetched.story.restore("--data", f"restore_from={copy}", *identity)
    if noted:
        assert status == 1
        assert "open-webui.tar.age: expected restore_age_identity to decrypt it, got age: error: " in output
    else:
        assert status == 2
        assert f"{fetched.name}/open-webui.tar.age: expected" in output
        assert "Starting operation" not in output
    assert fetched.there() == fetched.before
    fetched.story.assert_kept()


def test_an_encrypted_set_comes_back_with_its_identity(fetched: Fetched, story: Story) -> None:
    precious = story.precious
    ledger = count_rows(story.host)
    precious.ask(f"/api/v1/chats/{precious.chat}", {"chat": {"title": "spoiled", "messages": []}})
    precious.ask("/api/v1/chats/new", {"chat": {"title": "after the set", "messages": []}})
    precious.ask("/openai/config/update", fetched.provider("sk-another"))
    assert count_rows(story.host) != ledger
    status, output = fetched.restore("--data", f"restore_age_identity=file:{story.identity}")
    assert status == 0
    assert f"the data of {fetched.name} is in place" in output
    assert count_rows(story.host) == ledger
    story.assert_kept()
    assert precious.ask("/openai/config")["OPENAI_API_KEYS"] == [fetched.key]
    # The set is on the host as it was there before; the identity is nowhere, in no file and no log.
    listed = manifest(story.host, fetched.name)["parts"]
    counted = story.host.check_output(f"cd {SETS}/{fetched.name} && sha256sum $(ls | grep -v manifest.json)")
    assert {line.split()[1]: line.split()[0] for line in counted.splitlines()} == {
        name: part["sha256"] for name, part in listed.items()
    }
    identity = story.identity.read_text().splitlines()[-1].removeprefix("AGE-SECRET-KEY-")
    assert identity not in output
    assert story.host.check_output(FIND_IDENTITY) == ""
    assert story.host.check_output(f"ls -A {SETS} | grep -v '^2' || true") == ""


@pytest.mark.long
def test_a_set_that_was_fetched_in_clear_comes_back_as_before(fetched: Fetched, story: Story) -> None:
    ledger = count_rows(story.host)
    story.precious.ask("/api/v1/chats/new", {"chat": {"title": "after the set", "messages": []}})
    status, output = story.restore("--data", f"restore_from={fetched.in_clear / FRESH}")
    assert status == 0
    assert f"the data of {fetched.name_in_clear} is in place" in output
    assert count_rows(story.host) == ledger
    story.assert_kept()


def test_a_killed_backup_leaves_no_set_and_the_next_one_clears_it_away(story: Story) -> None:
    before = sets(story.host)
    runs: list[subprocess.CompletedProcess[str]] = []
    thread = threading.Thread(target=lambda: runs.append(story.lab.run("-y", "runbooks/backup.py", limit=FRESH)))
    thread.start()
    within(60, "it is at work", lambda: story.host.run(f"ls -d {SETS}/.*.new").rc == 0, OFTEN_S)
    story.host.check_output("pkill -9 -f -- '[-]-worker backup '")
    thread.join()
    assert runs[0].returncode == 1
    assert "verb backup: expected an answer, got an end of its process" in runs[0].stdout
    assert [name for name in sets(story.host) if not name.startswith(".")] == before
    story.back_up(*story.encrypted)
    assert [name for name in sets(story.host) if name not in before] == [sets(story.host)[-1]]
    assert not [name for name in sets(story.host) if name.startswith(".")]


def test_a_full_disk_makes_no_set_and_costs_none(story: Story) -> None:
    before, running = sets(story.host), containers(story.host)
    story.host.check_output("mkdir -p /srv/full && mount -t tmpfs -o size=1m tmpfs /srv/full")
    try:
        result = story.lab.run("-y", "runbooks/backup.py", "--data", "backup_dir=/srv/full")
        assert result.returncode == 1
        assert "room: expected" in result.stdout
        assert story.host.check_output("ls -A /srv/full") == ""
    finally:
        story.host.check_output("umount /srv/full && rmdir /srv/full")
    assert sets(story.host) == before
    assert containers(story.host) == running


def test_a_disk_that_fills_up_on_the_way_makes_no_set_and_costs_none(story: Story) -> None:
    before, running = sets(story.host), containers(story.host)
    story.host.check_output("mkdir -p /srv/small && mount -t tmpfs -o size=64m tmpfs /srv/small")
    fill = "until ls -d /srv/small/.*.new; do sleep 0.05; done; cat /dev/zero >/srv/small/filler"
    try:
        story.host.check_output(f"systemd-run --quiet --unit filler sh -c '{fill}'")
        without_reserve = ("--data", "backup_dir=/srv/small", "--data", "backup_min_free_mb=0")
        result = story.lab.run("-y", "runbooks/backup.py", *without_reserve)
        assert result.returncode == 1
        assert "got a full disk" in result.stdout
        assert story.host.check_output("ls -A /srv/small") == "filler"
    finally:
        story.host.check_output("systemctl reset-failed filler; umount /srv/small && rmdir /srv/small")
    assert sets(story.host) == before
    assert containers(story.host) == running


def test_a_valkey_that_saves_by_itself_is_waited_for(story: Story) -> None:
    """It is made to save all the time, for as long as a backup takes to ask it."""
    before = sets(story.host)
    saves = "timeout 10 valkey-cli --user monitor -r -1 -i 0.001 bgsave"
    password = "REDISCLI_AUTH=$(cat /opt/open-webui/secrets/valkey-monitor-password)"
    run = f"export {password}; docker exec -e REDISCLI_AUTH redis-valkey {saves} >/run/saves 2>&1"
    story.host.check_output("systemd-run --quiet --collect --unit valkey-saves sh -c %s", run)
    story.back_up(*story.encrypted)
    assert len(set(sets(story.host)) - set(before)) == 1  # as many as backup_keep are there: the oldest goes
    within(20, "it saves no more", lambda: not story.host.service("valkey-saves").is_running)
    assert story.host.check_output("grep -c 'already in progress' /run/saves") != "0", "it never was at it"


@pytest.mark.long
def test_a_valkey_that_is_full_gives_no_set_and_people_go_on_reading(story: Story) -> None:
    """Its volume is on a disk of its own for once, which fills up."""
    before = sets(story.host)
    volume = "/var/lib/docker/volumes/redis-data/_data"
    stop, start = "docker stop open-webui redis-valkey", "docker start redis-valkey open-webui"
    story.host.check_output(
        f"{stop} && mkdir -p /run/small && mount -t tmpfs -o size=4m,mode=755 tmpfs /run/small && "
        f"cp -a {volume}/. /run/small && chown --reference {volume} /run/small && mount --bind /run/small {volume} && "
        f"{start}"
    )
    try:
        within(START_S, "it serves", lambda: story.host.run("curl -fs http://127.0.0.1:3000/health").rc == 0)
        # Again and again, for a snapshot that Valkey has just made frees the one before.
        fill = f"while :; do cat /dev/zero >>{volume}/filler 2>/dev/null; sleep 0.1; done"
        story.host.check_output(f"systemd-run --quiet --unit valkey-filler sh -c '{fill}'")
        result = story.lab.run("-y", "runbooks/backup.py")
        assert result.returncode == 1
        assert "Valkey: expected a snapshot, got none" in result.stdout
        assert story.precious.ask(f"/api/v1/chats/{story.precious.chat}")["title"] == story.precious.marker
        assert sets(story.host) == before
        story.host.check_output(f"systemctl stop valkey-filler && rm {volume}/filler")
        story.back_up(*story.encrypted)
        assert len(set(sets(story.host)) - set(before)) == 1  # as many as backup_keep are there: the oldest goes
    finally:
        story.host.check_output(f"systemctl stop valkey-filler; {stop}; umount {volume} /run/small && {start}")
        within(START_S, "it serves", lambda: story.host.run("curl -fs http://127.0.0.1:3000/health").rc == 0)
    story.assert_kept()


def test_a_database_of_another_kind_is_left_to_its_own_tools(story: Story) -> None:
    before = sets(story.host)
    story.host.check_output(
        "docker rename open-webui aside && docker create --name open-webui --env DATABASE_URL=postgresql://db/webui "
        "$(docker inspect --format '{{.Image}}' aside)"
    )
    try:
        result = story.lab.run("-y", "runbooks/backup.py")
    finally:
        story.host.check_output("docker rm open-webui && docker rename aside open-webui")
    assert result.returncode == 1
    assert "expected its own database, got one of Postgres elsewhere; back that up with pg_dump" in result.stdout
    assert sets(story.host) == before


def test_a_timer_makes_sets_and_only_the_newest_are_kept(story: Story) -> None:
    story.back_up(*story.encrypted, "--data", "backup_schedule=*-*-* 03:30", "--data", "backup_keep=2")
    assert story.host.service("open-webui-backup.timer").is_running
    assert story.host.service("open-webui-backup.timer").is_enabled
    story.host.check_output("systemctl start open-webui-backup.service")
    journal = story.host.check_output("journalctl --quiet --output cat --unit open-webui-backup")
    assert f"made {sets(story.host)[-1]} in " in journal
    assert "\npython\n" not in journal  # what the program says to an operator's side alone
    kept = sets(story.host)
    assert len(kept) == 2
    assert manifest(story.host, kept[-1])["secrets"] == "encrypted"
    story.back_up()
    assert not story.host.service("open-webui-backup.timer").is_enabled
    assert manifest(story.host, sets(story.host)[-1])["secrets"] == "left out"


def test_a_timers_backup_that_fails_is_a_unit_that_failed(story: Story) -> None:
    story.back_up("--data", "backup_schedule=*-*-* 03:30")
    before = sets(story.host)
    story.host.check_output("echo restore >/opt/open-webui/.restoring")
    try:
        assert story.host.run("systemctl start open-webui-backup.service").rc != 0
        assert story.host.check_output("systemctl is-failed open-webui-backup.service") == "failed"
    finally:
        story.host.check_output("rm /opt/open-webui/.restoring; systemctl reset-failed open-webui-backup.service")
    assert sets(story.host) == before
    story.back_up()


def test_nothing_of_the_backup_of_earlier_versions_stays(story: Story) -> None:
    names = [f"/opt/open-webui/{name}" for name in ("backup.sh", "dataset.py", "backup.log")]
    story.host.check_output(f"touch {' '.join(names)} && chmod 644 {' '.join(names)}")
    assert story.lab.run("-y", "deploy.py").returncode == 0
    assert not [name for name in names if story.host.file(name).exists]


def test_a_backup_is_no_drift(story: Story) -> None:
    before = state(story.host)
    report = story.lab.report("-y", "deploy.py")
    assert not [operation for operation in report["results"]["operations"] if operation["success"]]
    assert state(story.host) == before
