"""A question to Docker that fails is no answer: nothing counts as absent, stopped or unreadable because of it.

The scripts' own functions run under sh, with a `docker` of which some calls fail. What they do to real data is tested
on lab hosts.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from webui_stack import templates

# Knows containers that are there and run, by name and image, and volumes with what a look into them prints. Writes down
# what it was asked; fails for what matches `failing`.
DOCKER = r"""#!/bin/sh
here=${0%/*}
echo "$*" >>"$here/asked"
if [ -s "$here/failing" ] && echo "$*" | grep -qE -f "$here/failing"; then
  echo "error during connect" >&2
  exit 1
fi
if [ -s "$here/missing" ] && echo "$*" | grep -qE -f "$here/missing"; then
  echo "Error response from daemon: No such image: gone" >&2
  exit 1
fi
for last; do :; done
case "$*" in
"ps --all --format {{.Names}}") cut -d ' ' -f 1 "$here/containers" ;;
"ps --format {{.Names}}") sed -n 's/ .* running$//p' "$here/containers" ;;
"stop "*) for name; do sed -i "s/^\($name .*\) running$/\1 exited/" "$here/containers"; done ;;
"start "*) for name; do sed -i "s/^\($name .*\) exited$/\1 running/" "$here/containers"; done ;;
"inspect "*"com.docker.compose.project.working_dir"*) sed -n "s/^$last //p" "$here/made-in" ;;
"inspect "*StartedAt*) printf '%s\n' 2026-11-29T10:00:00Z 2026-11-29T10:00:01Z 2026-11-29T10:00:02Z ;;
"rename "*) sed -i "s/^$2 /$3 /" "$here/containers" ;;
"rm "*) for name; do sed -i "/^$name /d" "$here/containers"; done ;;
"inspect "*"{{.Image}}"*) sed -n "s/^$last \([^ ]*\) .*/\1/p" "$here/containers" ;;
"inspect "*"Health.Status"*) echo healthy ;;
"image inspect "*Config.Env*) [ ! -e "$here/env" ] || cat "$here/env" ;;
"image inspect "*) echo "id-of-$last" ;;
"volume ls "*) cat "$here/volumes" ;;
"volume inspect "*) echo /nowhere ;;
"run "*) cat "$here/said" ;;
esac
"""
ALL: dict[str, Any] = {"open_webui_replicas": 2, "public_url": "https://chat.example.org"}


@dataclass
class Host:
    folder: Path
    script: str

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """A command after all functions of the script, which itself is not run."""
        lines = self.script.rstrip().removesuffix("\nmain")
        assert lines != self.script.rstrip()
        start = (
            f"dir={self.folder} good={self.folder}/.good kept={self.folder}/.deploys sets={self.folder} "
            "valkey_volume=v postgres=p postgres_volume=pv database=sqlite tools=t made_log= valkey=new"
        )
        return subprocess.run(
            ["sh", "-s"],
            input=f"{lines}\nset -u\n{start}\ncd {self.folder} || exit 9\n{command}\n",
            capture_output=True,
            text=True,
            env={"PATH": f"{self.folder}/bin:{os.environ['PATH']}"},
        )

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def asked(self) -> list[str]:
        path = self.folder / "bin" / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    found = Host(tmp_path, templates.upgrade_script(settings(**ALL), []))
    found.write("bin/docker", DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    found.write("bin/failing", "")
    found.write("bin/containers", "redis-valkey v1 running\nopen-webui old running\nopen-webui-2 old running\n")
    found.write("bin/volumes", "v\npv\n")
    found.write("bin/said", "")
    found.write("bin/made-in", f"open-webui {tmp_path}\nredis-valkey {tmp_path}\n")
    found.write("compose.yaml", "x\n")
    return found


def scripts(**changes: Any) -> dict[str, str]:
    some = settings(**ALL, **changes)
    return {
        "upgrade": templates.upgrade_script(some, []),
        "rollback": "\n".join(templates.rollback_script(some, "back", to="previous")),
    }


@pytest.mark.parametrize("name", ["upgrade", "rollback"])
def test_no_script_reads_a_failing_list_of_containers_as_an_empty_one(name: str) -> None:
    """`docker ps` in a pipeline loses its status."""
    lines = scripts()[name].splitlines()
    listed = [line for line in lines if re.search(r"docker (ps|volume ls)\b[^|]*\|(?!\|)", line)]
    # With no containers to inspect the next command fails.
    assert [line for line in listed if "com.docker.compose.project.working_dir" not in line] == []


def test_containers_that_are_not_seen_to_be_stopped_are_not_quiet(host: Host) -> None:
    assert host.run('stopped "$processes"').returncode == 0
    assert "redis-valkey v1 running" in (host.folder / "bin" / "containers").read_text()
    assert "open-webui-2 old exited" in (host.folder / "bin" / "containers").read_text()


@pytest.mark.parametrize("failing", ["^ps --all", "^ps --format", "^stop"])
def test_what_docker_does_not_answer_is_not_quiet(host: Host, failing: str) -> None:
    host.write("bin/failing", failing)
    run = host.run('stopped "$processes"')
    assert run.returncode == 1
    assert "docker: expected " in run.stdout + run.stderr


def test_an_upgrade_makes_no_set_while_somebody_may_write(host: Host) -> None:
    host.write("bin/failing", "^stop")
    run = host.run("room() { :; }; recall() { :; }; make_set() { touch made; }; secure")
    assert run.returncode == 1
    assert not (host.folder / "made").exists()
    assert "nothing was upgraded" in run.stdout


def test_one_version_asks_and_does_not_assume(host: Host) -> None:
    host.write("bin/failing", "^ps --all")
    assert host.run("one_version new").returncode == 1
    host.write("bin/failing", "")
    assert host.run("one_version new").returncode == 0
    assert (host.folder / "bin" / "containers").read_text().count("old exited") == 2


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ("log", 0, ""),
        ("none", 0, ""),
        ("", 1, "expected to see in its volume whether it has a snapshot only, got no answer"),
        ("cannot allocate memory", 1, "got cannot allocate memory"),
    ],
)
def test_valkey_is_not_started_where_nobody_could_look_for_its_snapshot(
    host: Host, said: str, status: int, words: str
) -> None:
    host.write("bin/said", said)
    run = host.run("keep_snapshot")
    assert (run.returncode, words in run.stdout) == (status, True)


def test_a_failing_look_for_the_snapshot_is_none(host: Host) -> None:
    host.write("bin/failing", "^run ")
    run = host.run("keep_snapshot")
    assert run.returncode == 1
    assert "it is not started" in run.stdout
    assert not any(line.startswith("stop") for line in host.asked)


def test_the_last_good_valkey_is_looked_after_as_well(host: Host) -> None:
    """Whatever comes back looks for an append-only file, or does not."""
    host.write("bin/failing", "^run ")
    host.write("valkey/valkey.conf", "appendonly yes\n")
    before = "image_of() { echo old; }; drop_strays() { :; }; up() { echo UP; }; "
    run = host.run(f"{before} up_again")
    assert (run.returncode, "UP" in run.stdout) == (1, False)
    host.write("valkey/valkey.conf", "appendonly no\n")
    run = host.run(f"{before} up_again")
    assert (run.returncode, "UP" in run.stdout) == (0, True)


@pytest.mark.parametrize(
    ("said", "status"),
    [("fine\nread\n", 0), ("Can't handle RDB format version 99\nrefused\n", 1), ("Killed\n", 2), ("", 2)],
)
def test_data_are_unreadable_only_where_valkey_says_so(host: Host, said: str, status: int) -> None:
    host.write("bin/said", said)
    run = host.run('reads new; s=$?; echo "$said"; exit $s')
    assert run.returncode == status
    if status == 1:
        assert run.stdout.strip() == "Can't handle RDB format version 99"


@pytest.mark.parametrize("failing", ["^ps", "^run ", "^inspect"])
def test_no_data_are_put_back_on_a_guess(host: Host, failing: str) -> None:
    host.write("bin/said", "read\n")
    host.write(".good/compose.yaml", "x\n")
    host.write(".good/images", "old x /open-webui\nv1 x /redis-valkey\n")
    host.write(".upgrading", "20261126T033000Z\n")
    unpack = 'forget() { :; }; unpack() { echo "unpacked $folders"; }; swap() { :; }; '
    host.write("bin/failing", failing)
    run = host.run(f"{unpack} put_back")
    assert (run.returncode, "unpacked" in run.stdout) == (1, False)
    host.write("bin/failing", "")
    run = host.run(f"{unpack} put_back")
    assert (run.returncode, "unpacked" in run.stdout) == (0, False), "the old one runs, and reads its data"
    host.write("bin/said", "no\nrefused\n")
    run = host.run(f"{unpack} put_back")
    assert run.stdout.splitlines() == ["unpacked  /valkey"]


@pytest.mark.parametrize("failing", ["^ps --all", "^ps"])
def test_there_are_never_two_postgres_in_one_volume(host: Host, failing: str) -> None:
    host.write("bin/containers", "open-webui-postgres p running\n")
    host.write("bin/failing", failing)
    assert host.run("answers").returncode == 1
    assert not any(line.startswith("run --detach") for line in host.asked)


IN_18 = "PG_MAJOR=18\nPGDATA=/var/lib/postgresql/18/docker\n"


@pytest.mark.parametrize("volumes", ["pv\n", ""], ids=["beside data", "on a fresh host"])
def test_a_postgres_18_is_known_by_what_its_image_says(host: Host, volumes: str) -> None:
    """By a digest or a tag of one's own nobody knows it (docker-library/postgres#1259)."""
    host.write("bin/volumes", volumes)
    host.write("bin/env", IN_18)
    host.write(
        "bin/containers", "open-webui-postgres of-17 running\nopen-webui t running\nredis-valkey id-of-new running\n"
    )
    host.write("bin/said", "17\n")
    run = host.run("bring_up")
    assert run.returncode == 1
    assert (
        "expected an image with its data in /var/lib/postgresql/data, got /var/lib/postgresql/18/docker" in run.stdout
    )
    assert "nothing was stopped" in run.stdout
    assert not any(line.startswith(("stop", "run", "volume create")) for line in host.asked)


def test_a_postgres_of_another_major_is_refused_before_anything_stops(host: Host) -> None:
    host.write("bin/env", "PG_MAJOR=16\nPGDATA=/var/lib/postgresql/data\n")
    host.write(
        "bin/containers", "open-webui-postgres of-17 running\nopen-webui t running\nredis-valkey id-of-new running\n"
    )
    host.write("bin/volumes", "pv\n")
    host.write("bin/said", "17\n")
    run = host.run("bring_up")
    assert run.returncode == 1
    assert "postgres_image: expected PostgreSQL 17, which the data there are from, got 16" in run.stdout
    assert not any(line.startswith("stop") for line in host.asked)


@pytest.mark.parametrize("failing", ["^image inspect .*Config.Env", "^run .*cluster"])
def test_a_postgres_that_nobody_could_ask_is_not_the_right_one(host: Host, failing: str) -> None:
    host.write(
        "bin/containers", "open-webui-postgres of-17 running\nopen-webui t running\nredis-valkey id-of-new running\n"
    )
    host.write("bin/volumes", "pv\n")
    host.write("bin/failing", failing)
    run = host.run("bring_up")
    assert run.returncode == 1
    assert "run this again" in run.stdout + run.stderr
    assert not any(line.startswith("stop") for line in host.asked)


def test_no_postgres_is_started_alone_that_keeps_nothing(host: Host) -> None:
    host.write("bin/env", IN_18)
    assert host.run("answers").returncode == 1
    assert not any(line.startswith("run --detach") for line in host.asked)


TAKEN_OVER = (
    "redis-valkey v1 running\nopen-webui old running\nredis-valkey.by-hand v0 exited\nopen-webui.by-hand old exited\n"
)


def test_what_waits_comes_back_and_its_successors_go(host: Host) -> None:
    host.write("bin/containers", TAKEN_OVER)
    run = host.run("give_back; echo status $?")
    assert run.stdout.splitlines()[-1] == "status 0"
    there = (host.folder / "bin" / "containers").read_text()
    assert sorted(there.splitlines()) == ["open-webui old running", "redis-valkey v0 running"]


def test_where_nothing_waits_nothing_is_given_back(host: Host) -> None:
    assert host.run("give_back; echo status $?").stdout == "status 1\n"
    assert not any(line.startswith(("rm", "rename", "start", "stop")) for line in host.asked)


@pytest.mark.parametrize("failing", ["^ps", "^inspect .*working_dir"])
def test_what_waits_is_not_nothing_because_docker_does_not_answer(host: Host, failing: str) -> None:
    """Then "there is no earlier good deploy" would be the last word, with people's containers stopped beside it."""
    host.write("bin/containers", TAKEN_OVER)
    host.write("bin/failing", failing)
    assert host.run("give_back; echo status $?").stdout == "status 2\n"
    assert not any(line.startswith(("rm", "rename", "start", "stop")) for line in host.asked)
    body = (
        "may_run() { moves=; }; keep_snapshot() { return 1; }; one_version() { return 1; }; complain() { :; }; bring_up"
    )
    run = host.run(body)
    assert run.returncode == 1
    assert "there is no earlier good deploy" not in run.stdout
    host.write("bin/failing", "")
    assert host.run("give_back").returncode == 0


def test_a_container_that_is_of_nobody_known_is_not_removed(host: Host) -> None:
    """One of its name that this project did not make."""
    host.write("bin/containers", TAKEN_OVER)
    host.write("bin/made-in", "open-webui /srv/theirs\n")
    host.run("give_back")
    assert not any(line.startswith("rm") for line in host.asked)


@pytest.mark.parametrize("failing", ["^ps", "^rm"])
def test_a_take_over_is_not_done_while_containers_of_before_may_be_there(host: Host, failing: str) -> None:
    host.write("bin/containers", TAKEN_OVER)
    host.write(".open-webui.restart", "always:0\n")
    host.write("bin/failing", failing)
    assert host.run("let_go").returncode == 1
    assert (host.folder / ".open-webui.restart").exists()
    host.write("bin/failing", "")
    assert host.run("let_go").returncode == 0
    assert "by-hand" not in (host.folder / "bin" / "containers").read_text()
    assert not (host.folder / ".open-webui.restart").exists()


def test_nobody_knows_who_started_first_where_docker_does_not_answer(host: Host) -> None:
    older = settings(**ALL, open_webui_image="ghcr.io/open-webui/open-webui:v0.11.5")  # that Valkey's restart cuts off
    host.script = templates.upgrade_script(older, [])
    assert host.run("in_order").returncode == 0
    host.write("bin/failing", "^inspect .*StartedAt")
    assert host.run("in_order").returncode == 1


def test_there_is_not_room_because_docker_does_not_say_where_the_data_are(host: Host) -> None:
    assert host.run("room").returncode == 0, "a volume elsewhere"
    host.write("bin/failing", "^volume inspect")
    run = host.run("room")
    assert run.returncode == 1
    assert "room: expected Docker to say where the volume open-webui is, got no answer" in run.stderr


def test_a_deploy_is_not_remembered_without_what_compose_says_of_it(host: Host) -> None:
    for name in (".env", "secrets/webui-secret-key", "valkey/valkey.conf", "valkey/users.acl"):
        host.write(name, "x\n")
    run = host.run("compose() { return 1; }; in_stack() { echo open-webui redis-valkey; }; remember")
    assert run.returncode == 1
    assert not (host.folder / ".good").exists()


def test_a_container_that_stays_beside_the_last_good_deploy_is_no_success(host: Host) -> None:
    host.write("bin/failing", "^rm")
    listed = (
        'docker() { case "$*" in ps*) printf "%s\\n" "open-webui-2 open-webui-2" "redis redis-valkey" ;; '
        "*) return 1 ;; esac; }"
    )
    assert host.run(f"compose() {{ echo redis; }}; {listed}; drop_strays").returncode == 1
    assert host.run(f"compose() {{ printf '%s\\n' redis open-webui-2; }}; {listed}; drop_strays").returncode == 0


@pytest.mark.parametrize("failing", ["^image inspect"])
def test_a_comparison_without_an_answer_is_none(host: Host, failing: str) -> None:
    host.script = scripts()["rollback"]
    host.write("bin/containers", "redis-valkey v running\nopen-webui-postgres p running\n")
    before = "elsewhere() { return 1; }; schema() { echo same; }; "
    assert host.run(f"{before} compare").stdout.splitlines() == ["schema same", "valkey", "postgres"]
    host.write("bin/failing", failing)
    assert host.run(f"{before} compare").returncode == 1


# --- Files that have to outlive a power cut ---------------------------------------------------------


@pytest.fixture
def good(host: Host) -> Host:
    """A deploy that was remembered, and another one over it."""
    host.write("compose.yaml", "services: first\n")
    host.write(".env", "A='1'\n")
    host.write("secrets/webui-secret-key", "first\n")
    host.write("valkey/valkey.conf", "first\n")
    host.write("valkey/users.acl", "first\n")
    run = host.run(f"{COMPOSE}; remember")
    assert (run.returncode, run.stderr) == (0, "")
    host.write("compose.yaml", "services: second\n")
    host.write(".env", "A='2'\n")
    host.write("secrets/webui-secret-key", "second\n")
    host.write("secrets/kept", "newer\n")
    host.write("valkey/stale.conf", "second\n")
    return host


COMPOSE = "compose() { :; }; in_stack() { echo open-webui redis-valkey; }"


def test_the_last_good_deploy_comes_back_with_its_files_and_no_others(good: Host) -> None:
    run = good.run("recall")
    assert (run.returncode, run.stdout) == (0, "")
    for name, text in {
        "compose.yaml": "services: first\n",
        ".env": "A='1'\n",
        "secrets/webui-secret-key": "first\n",
    }.items():
        assert (good.folder / name).read_text() == text
    assert not (good.folder / "valkey" / "stale.conf").exists()
    assert (good.folder / "secrets" / "kept").exists(), "a secret is never removed"
    assert list(good.folder.rglob("*.new")) == []


@pytest.mark.parametrize(
    "name", ["compose.yaml", ".env", "secrets/webui-secret-key", "images", "valkey/valkey.conf", "sums"]
)
@pytest.mark.parametrize("left", ["", "ser", None], ids=["empty", "short", "missing"])
def test_nothing_comes_back_from_a_damaged_deploy(good: Host, name: str, left: str | None) -> None:
    path = good.folder / ".good" / name
    if left is None:
        path.unlink()
    else:
        path.write_text(left)
    if (name, left) == ("sums", None):
        assert good.run("recall").returncode == 0, "those of earlier versions have none"
        return
    run = good.run("recall")
    assert run.returncode == 1
    assert "expected the files of a good deploy, got them damaged, as by a power cut" in run.stdout
    assert (good.folder / "compose.yaml").read_text() == "services: second\n"
    assert (good.folder / "secrets" / "webui-secret-key").read_text() == "second\n"
    assert good.run('kind_of "$good"').returncode == (1 if name == "compose.yaml" and not left else 0)


def test_a_damaged_deploy_costs_none_of_the_earlier_ones(good: Host) -> None:
    """All files of the one in force are empty; its name, too."""
    good.write(".deploys/20261101T000000Z/compose.yaml", "x\n")
    for path in (good.folder / ".good").rglob("*"):
        if path.is_file():
            path.write_text("")
    run = good.run(f"{COMPOSE}; remember")
    assert run.returncode == 0
    assert [path.name for path in (good.folder / ".deploys").iterdir()] == ["20261101T000000Z"]
    assert (good.folder / ".good" / "compose.yaml").read_text() == "services: second\n"
    assert good.run("recall").returncode == 0


def test_what_is_remembered_is_on_the_disk_before_it_has_its_name(good: Host) -> None:
    """Every file of it is handed to fsync before the folder is renamed."""
    log = good.folder / "log"
    good.write("bin/sync", f'#!/bin/sh\nprintf "sync %s\\n" "$@" >>{log}\n')
    good.write("bin/mv", f'#!/bin/sh\necho "mv $*" >>{log}\nexec /bin/mv "$@"\n')
    for name in ("sync", "mv"):
        (good.folder / "bin" / name).chmod(0o755)
    assert good.run(f"{COMPOSE}; remember").returncode == 0
    lines = log.read_text().splitlines()
    named = next(number for number, line in enumerate(lines) if line.endswith("/.good.new " + f"{good.folder}/.good"))
    files = [path for path in (good.folder / ".good").rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert f"sync {good.folder}/.good.new/{path.relative_to(good.folder / '.good')}" in lines[:named]
    assert "sync ." in lines[named:]


def test_a_pruned_image_is_told_before_a_file_is_changed(good: Host) -> None:
    good.write(".good/images", "gone r/x:1 /open-webui\n")
    (good.folder / ".good" / "sums").unlink()
    good.write("bin/failing", "^image inspect .*gone")
    run = good.run("recall")
    assert run.returncode == 1
    assert run.stdout == (
        "r/x:1: expected Docker to say whether it is on the host as it was then (gone), got error during connect; run "
        "this again\n"
    )
    good.write("bin/failing", "")
    good.write("bin/missing", "^image inspect .*gone")
    run = good.run("recall")
    assert run.returncode == 1
    assert run.stdout == (
        "r/x:1: expected it on the host as it was then (gone), got none; docker load or pull it, and run this again\n"
    )
    assert (good.folder / "compose.yaml").read_text() == "services: second\n"


@pytest.mark.parametrize("recalls", [False, True])
def test_a_deploy_says_that_the_last_good_one_runs_only_if_it_does(good: Host, recalls: bool) -> None:
    good.write(".upgrading", "20261126T033000Z\n")
    good.write(".good/data", "20261126T033000Z\n")
    body = (
        "may_run() { moves=; }; keep_snapshot() { :; }; up() { return 1; }; complain() { :; }; "
        "give_back() { return 1; }; "
        f"data_back() {{ :; }}; up_again() {{ :; }}; recall() {{ return {0 if recalls else 1}; }}; bring_up"
    )
    run = good.run(body)
    assert run.returncode == 1
    assert ("that one runs again; the change is not in force" in run.stdout) == recalls
    assert ("that one does not run yet" in run.stdout) != recalls
    assert (good.folder / ".upgrading").exists() != recalls
    assert (good.folder / ".good" / "data").exists() != recalls
