"""The script that deploys the stack to a swarm, with a Docker that fails at chosen calls: no answer is never "none"."""

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

# What Docker 26.1 says where there is nothing of that name, and where the swarm has no leader (`docker service ls`).
NO_SERVICE = "\nStatus: Error: no such service: open-webui_open-webui, Code: 1"
NO_SECRET = "Status: Error response from daemon: secret nope not found, Code: 1"
NO_LEADER = (
    "Error response from daemon: rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that "
    "too few managers are online. Make sure more than half of the managers are online."
)
NO_ENGINE = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"

# How often it asks here, in place of 60 times.
PATIENCE = 3
# No waiting lasts: each look at the clock is 100 s after the one before.
OVERDUE = (
    'date() { [ "$1" = +%s ] || { command date "$@"; return; }; '
    'echo "$(wc -l <"$WORLD/clock")00"; echo >>"$WORLD/clock"; }'
)

# Of a stub: a file in failing/ has a pattern of calls, how many of them fail, and what they say.
FAILING = r"""
for rule in "$WORLD"/failing/*; do
  [ -e "$rule" ] || continue
  { read -r pattern; read -r left; } <"$rule"
  case $* in $pattern) ;; *) continue ;; esac
  [ "$left" -gt 0 ] || continue
  { echo "$pattern"; echo $((left - 1)); sed 1,2d "$rule"; } >"$WORLD/$$" && mv "$WORLD/$$" "$rule"
  sed 1,2d "$rule" >&2
  exit 1
done
"""
# A swarm that runs what it was told: the stub keeps the image and the number of open-webui's processes.
STUB = (
    r"""#!/bin/sh
WORLD=WHERE
printf '%s\n' "$*" >>"$WORLD/calls"
"""
    + FAILING
    + r"""
read -r web <"$WORLD/web"
read -r replicas <"$WORLD/replicas"
read -r healthy <"$WORLD/healthy"
case $* in
"service ls --format"*)
  echo "open-webui_redis 1/1"
  echo "open-webui_postgres 1/1"
  echo "open-webui_open-webui $replicas/$replicas"
  echo "open-webui_proxy 1/1"
  ;;
"service inspect --format"*UpdateStatus*) echo ;;
"service inspect --format {{.Spec.TaskTemplate.ContainerSpec.Image}} open-webui_open-webui") echo "$web" ;;
"service inspect --format {{.Spec.TaskTemplate.ContainerSpec.Image}} open-webui_"*) echo "sha256:${5#open-webui_}" ;;
"service inspect --format {{.Spec.Name}}"*) echo "$5 {}" ;;
"service inspect"*) echo "words of $5" ;;
"service ps --quiet"*open-webui_open-webui) seq $replicas | sed 's/^/web/' ;;
"service ps --quiet"*) echo "${5#open-webui_}" ;;
"service ps --format {{.Node}}|"*) cat "$WORLD/tasks" ;;
"inspect --type task"*)
  shift 5
  for task; do
    name=${task%%[0-9]*} state=running
    case $name in web) name=open-webui ;; esac
    case $task in web*) [ "${task#web}" -le "$healthy" ] || state=starting ;; esac
    echo "$state running \"2026-01-01\" words of open-webui_$name"
  done
  ;;
"service update --replicas 0"*) echo 0 >"$WORLD/replicas" ;;
"stack deploy"*)
  [ ! -e "$WORLD/broken" ] || exit 1
  echo "$OPEN_WEBUI_REPLICAS" >"$WORLD/replicas"
  echo "$OPEN_WEBUI_IMAGE" >"$WORLD/web"
  [ "$OPEN_WEBUI_IMAGE" = sha256:new ] || echo 2 >"$WORLD/healthy"
  echo "deploy $OPEN_WEBUI_IMAGE $OPEN_WEBUI_REPLICAS $OPEN_WEBUI_ORDER" >>"$WORLD/done"
  ;;
"node ls"*) printf 'Ready Active\nReady Active\nReady Active\nReady Active\n' ;;
"node inspect"*) echo ready ;;
"secret ls"* | "config ls"*) ;;
"secret inspect"* | "config inspect"*) echo id ;;
"image inspect --format {{.Id}} new:1.1") echo sha256:new ;;
"image inspect --format {{.Id}} old:1.1") echo sha256:old ;;
"image inspect --format {{.Id}} sha256:"*) echo "$5" ;;
"image inspect --format {{.Id}} "*) echo "sha256:${5%%:*}" ;;
"ps --quiet"*) echo container ;;
"exec"*psql*)
  statements=$(cat)
  printf '%s\n' "$statements" >>"$WORLD/sql"
  case $statements in
  *"rolname = current_user"*) echo t ;;
  *"datname LIKE 'open-webui.%'"*) printf 'open-webui\nopen-webui.before\n' ;;
  *to_regclass*) echo alembic_version ;;
  *string_agg*) cat "$WORLD/heads" ;;
  *"datname = 'open-webui.before'"*) if [ -e "$WORLD/before" ]; then echo 1; fi ;;
  esac
  case $statements in *'CREATE DATABASE "open-webui.before"'*) : >"$WORLD/before" ;; esac
  case $statements in *'ALTER DATABASE "open-webui.before"'*)
    rm "$WORLD/before"
    echo old >"$WORLD/heads"
    echo "put back" >>"$WORLD/done"
    ;;
  esac
  case $statements in 'DROP DATABASE IF EXISTS "open-webui.before"'*) rm -f "$WORLD/before" ;; esac
  ;;
"run --rm --interactive"*" - schema "*)
  case $(printf '%s\n' "$*" | sed 's/.* \([^ ]*\) - schema \(.*\)/\1 \2/') in
  "new:1.1 new" | "sha256:new new") echo "same x x" ;;
  *) echo "older old new" ;;
  esac
  ;;
"image inspect --format {{range .Config.Env}}"*) cat "$WORLD/env" ;;
"volume ls"*) echo open-webui-postgres ;;
"run --rm --network none --volume open-webui-postgres:/cluster:ro --entrypoint sh postgres:1.1"*) cat "$WORLD/wrote" ;;
"run --rm --network"*import\ open_webui.config*)
  echo new >"$WORLD/heads"
  echo migrated >>"$WORLD/done"
  ;;
volume* | tag*) ;;
"service ps --no-trunc"* | "service logs"*) ;;
"service update --force"*) ;;
*) echo "the stub does not know: $*" >&2; exit 1 ;;
esac
"""
)


@dataclass(frozen=True)
class World:
    """A host with the data: its folder, and what its Docker says."""

    path: Path

    @property
    def stack(self) -> Path:
        return self.path / "stack"

    def fail(self, pattern: str, times: int = 1, message: str = NO_LEADER) -> None:
        rules = self.path / "failing"
        (rules / str(len(list(rules.iterdir())))).write_text(f"{pattern}\n{times}\n{message}\n")

    def set(self, **values: object) -> None:
        for name, value in values.items():
            (self.path / name).write_text(f"{value}\n")

    def read(self, name: str) -> list[str]:
        path = self.path / name
        return path.read_text().splitlines() if path.exists() else []

    def settings(self, image: str = "new:1.1") -> Any:
        return settings(
            topology="swarm",
            public_url="https://chat.example.org",
            open_webui_shared_dir="/srv/shared/open-webui",
            open_webui_replicas=2,
            swarm_manager=True,
            swarm_runs=["data", "proxy", "open-webui"],
            stack_dir=str(self.stack),
            valkey_image="redis:1.1",
            postgres_image="postgres:1.1",
            proxy_image="proxy:1.1",
            open_webui_image=image,
        )

    def call(self, function: str, *, upgrades: bool = True, mends: bool = False) -> subprocess.CompletedProcess[str]:
        """Call a function of the script in its folder; nobody waits."""
        some = self.settings()
        script = (
            "\n".join(templates.mend_script(some)) if mends else templates.up_swarm_script(some, [], upgrades=upgrades)
        )
        head = (
            f"set -u\ndir={self.stack}\ngood=$dir/.good\nrecalled= given=' OPEN_WEBUI_IMAGE=sha256:new'\n"
            "cd $dir\nsleep() { :; }\n"
            'make_set() { echo "set" >>"$WORLD/done"; [ ! -e "$WORLD/no_room" ]; }\n'
        )
        assert " -ge 60 ]" in script
        assert "seq 60" in script
        script = script.replace(" -ge 60 ]", f" -ge {PATIENCE} ]").replace("seq 60", f"seq {PATIENCE}")
        text = f"{script.rpartition('main')[0]}\n{head}\n{function}\n"
        environment = {**os.environ, "WORLD": str(self.path), "PATH": f"{self.path}/bin:{os.environ['PATH']}"}
        done = subprocess.run(["sh"], input=text, capture_output=True, text=True, env=environment, timeout=60)
        print(done.stdout, done.stderr)
        return done


@pytest.fixture
def world(tmp_path: Path) -> World:
    return begun(tmp_path)


def begun(path: Path) -> World:
    """The deploy of before runs healthy and is remembered; the files of the next one are there."""
    made = World(path)
    for folder in ("bin", "failing", "stack/secrets", "stack/valkey", "stack/proxy", "stack/.good/secrets"):
        (path / folder).mkdir(parents=True)
    for name in ("valkey", "proxy"):
        (made.stack / ".good" / name).mkdir()
    stub = path / "bin" / "docker"
    stub.write_text(STUB.replace("WHERE", str(path)))
    stub.chmod(0o755)
    project = templates.project(made.settings())
    for into in (made.stack, made.stack / ".good"):
        (into / "stack.yaml").write_text(project["stack.yaml"])
        (into / ".env").write_text("WEBUI_SECRET_KEY='x'\nVALKEY_ACL_SHA256='y'\n")
        (into / "secrets/postgres-password").write_text("secret")
        (into / "secrets/webui-secret-key").write_text("secret")
        (into / "valkey/valkey.conf").write_text(project["valkey/valkey.conf"])
    (made.stack / "proxy/Caddyfile").write_text(project["proxy/Caddyfile"])
    (made.stack / ".good/of").write_text("before\n")
    (made.stack / ".good/images").write_text(
        "sha256:redis redis:1.1 /redis-valkey\nsha256:postgres postgres:1.1 /open-webui-postgres\n"
        "sha256:old old:1.1 /open-webui\nsha256:proxy proxy:1.1 /open-webui-proxy\n"
    )
    made.set(env="PGDATA=/var/lib/postgresql/data\nPG_MAJOR=17", wrote="17")
    made.set(clock="", web="sha256:old", replicas=2, healthy=2, heads="old", tasks="")
    return made


def deployed(world: World) -> list[str]:
    return world.read("done")


# --- Asking ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (NO_SERVICE, "1"),
        (NO_SECRET, "1"),
        ("no such service: nope", "1"),
        ("Error response from daemon: No such image: nope:latest", "1"),
        ("Error response from daemon: task nope not found", "1"),
        (NO_LEADER, "2"),
        (NO_ENGINE, "2"),
        ("dial unix /var/run/docker.sock: connect: no such file or directory", "2"),
        ("sh: 1: docker: not found", "2"),
        ("", "2"),
    ],
)
def test_not_found_and_no_answer_are_two_results(world: World, message: str, status: str) -> None:
    world.fail("service inspect *", 1000, message)
    assert world.call("ask docker service inspect x; echo status $?").stdout.splitlines()[-1] == f"status {status}"


def test_what_answers_late_is_an_answer(world: World) -> None:
    world.fail("node inspect *", PATIENCE - 1)
    assert world.call('ask docker node inspect x && echo "$answer"').stdout == "ready\n"


def test_nobody_is_asked_for_longer_than_a_minute(world: World) -> None:
    world.fail("node inspect *", 1000)
    assert "expected an answer within a minute, got Error response" in world.call("ask docker node inspect x").stdout
    assert len(world.read("calls")) == PATIENCE
    assert f"$asked -ge {PATIENCE} ]" not in templates.up_swarm_script(world.settings(), [])


# --- Waiting ---------------------------------------------------------------------------------------


def test_all_is_not_healthy_because_docker_lists_no_services(world: World) -> None:
    world.set(healthy=0)
    world.fail("service ls *")
    done = world.call(f"{OVERDUE}\nsince=0; await; echo status $?")
    assert done.stdout.splitlines()[-1] == "status 1"
    assert "waiting for open-webui 0 of 2" in done.stdout


def test_a_service_that_is_not_in_the_list_is_waited_for(world: World) -> None:
    world.fail("service inspect *UpdateStatus* open-webui_postgres", 1000, NO_SERVICE)
    done = world.call(f"{OVERDUE}\nsince=0; await; echo status $?")
    assert "waiting for postgres, which is missing" in done.stdout
    assert done.stdout.splitlines()[-1] == "status 1"


def test_all_that_is_healthy_needs_no_waiting(world: World) -> None:
    assert world.call("since=0; await; echo status $?").stdout == "status 0\n"


def test_the_services_are_those_of_the_file(world: World) -> None:
    names = [f"open-webui_{name}" for name in ("redis", "postgres", "open-webui", "proxy")]
    assert world.call("services").stdout.split() == names
    (world.stack / "stack.yaml").write_text("")
    assert world.call("since=0; await; echo status $?").stdout.splitlines()[-1] == "status 1"


@pytest.mark.parametrize(
    ("tasks", "status"),
    [
        ("", 0),
        ("a|Running 3 minutes ago", 1),
        ("a|Shutdown 3 minutes ago\nb|Starting 2 seconds ago", 1),  # its container runs
        ("a|Shutdown 3 minutes ago\na|Failed 2 seconds ago\nb|Complete 1 second ago\n|Pending 1 second ago", 0),
    ],
)
def test_processes_have_stopped_once_every_task_is_over(world: World, tasks: str, status: int) -> None:
    world.set(tasks=tasks)
    assert world.call("stopped; echo status $?").stdout.splitlines()[-1] == f"status {status}"


@pytest.mark.parametrize("question", ["service ps *", "node inspect *"])
def test_processes_have_not_stopped_because_docker_does_not_answer(world: World, question: str) -> None:
    world.set(tasks="a|Running 3 minutes ago")
    world.fail(question, 1000)
    assert world.call("stopped; echo status $?").stdout.splitlines()[-1] == "status 1"
    for rule in (world.path / "failing").iterdir():
        rule.unlink()
    world.fail(question)
    assert world.call("stopped; echo status $?").stdout.splitlines()[-1] == "status 1"


def test_a_node_that_is_gone_runs_nothing(world: World) -> None:
    world.set(tasks="a|Running 3 minutes ago")
    world.fail("node inspect *", 1000, "Error response from daemon: node a not found")
    assert world.call("stopped; echo status $?").stdout == "status 0\n"


# --- A whole upgrade, with each question unanswered once -------------------------------------------

UPGRADED = [
    *("deploy sha256:new 0 start-first", "set", "migrated", "deploy sha256:new 2 start-first"),
]


def test_an_upgrade_stops_all_makes_a_set_and_migrates(world: World) -> None:
    assert world.call("bring_up").returncode == 0
    assert deployed(world) == UPGRADED
    assert "sha256:new new:1.1 /open-webui\n" in (world.stack / ".good/images").read_text()
    assert not (world.stack / ".upgrading").exists()
    assert not (world.path / "before").exists()


# Of a stub that knows an upgrade's calls: those at some places have no answer. What is asked once more for that is at
# no place. Where the container to execute something in was the question, `exec` has no name of one.
UNANSWERED = r"""
read -r place <"$WORLD/place"
call=$*
case $call in exec*) call=exec ;; esac
if [ "$call" = "$(sed -n "${place}p" "$WORLD/expected")" ]; then
  echo $((place + 1)) >"$WORLD/place"
  case " PLACES " in *" $place "*)
    echo "$place" >>"$WORLD/unanswered"
    echo "NO_ENGINE" >&2
    exit 1
  esac
fi
"""
# So many questions apart, two that fail have nothing to do with each other: one upgrade tells of both.
APART = 10


def test_an_upgrade_is_the_same_whichever_question_has_no_answer_at_first(world: World, tmp_path: Path) -> None:
    assert world.call("bring_up").returncode == 0
    calls = world.read("calls")
    asked = ("service", "node", "stack", "secret inspect", "config inspect", "inspect --type task", "ps")
    questions = [place for place, call in enumerate(calls, 1) if call.startswith(asked)]
    assert len(questions) > 60
    good = (world.stack / ".good/known").read_text().splitlines()[1:]
    for first in range(APART):
        places = questions[first::APART]
        again = begun(tmp_path / str(first))
        stub = again.path / "bin/docker"
        where = f"WORLD={again.path}\n"
        some = UNANSWERED.replace("PLACES", " ".join(map(str, places))).replace("NO_ENGINE", NO_ENGINE)
        stub.write_text(stub.read_text().replace(where, f"{where}{some}"))
        expected = "\n".join("exec" if call.startswith("exec") else call for call in calls)
        again.set(place=1, expected=expected.replace(str(world.path), str(again.path)))
        done = again.call("bring_up")
        assert (done.returncode, deployed(again)) == (0, UPGRADED), [calls[place - 1] for place in places]
        assert again.read("unanswered") == [str(place) for place in places]
        assert again.read("place") == [str(len(calls) + 1)]
        assert (again.stack / ".good/known").read_text().splitlines()[1:] == good


@pytest.mark.parametrize("question", ["service inspect *ContainerSpec.Image* open-webui_open-webui", "ps --quiet *"])
def test_nothing_is_touched_where_docker_does_not_say_what_serves(world: World, question: str) -> None:
    world.fail(question, 1000)
    assert world.call("all_of_it; echo status $?").stdout.splitlines()[-1] == "status 1"
    assert deployed(world) == []


# --- Another Postgres -------------------------------------------------------------------------------

ANOTHER_POSTGRES = "given=' OPEN_WEBUI_IMAGE=sha256:old POSTGRES_IMAGE=sha256:other '"
IN_18 = "PGDATA=/var/lib/postgresql/18/docker\nPG_MAJOR=18"


@pytest.mark.parametrize(
    ("variables", "wrote", "words"),
    [
        (IN_18, "17", "got /var/lib/postgresql/18/docker in postgres:1.1, as PostgreSQL 18 and newer have it"),
        (IN_18, "", "expected an image with its data in /var/lib/postgresql/data"),
        (
            "PGDATA=/var/lib/postgresql/data\nPG_MAJOR=16",
            "17",
            "expected PostgreSQL 17, which the data there are from, got 16",
        ),
        ("PGDATA=/var/lib/postgresql/data\nPG_MAJOR=17", "?", "expected PostgreSQL ?, which"),
    ],
    ids=["18", "18, no data yet", "another major", "an empty PG_VERSION"],
)
def test_a_postgres_that_is_none_for_the_data_is_refused_before_anything_stops(
    world: World, variables: str, wrote: str, words: str
) -> None:
    """Whatever its tag: the image says where its data are, and which major version it is."""
    world.set(env=variables, wrote=wrote)
    done = world.call(f"{ANOTHER_POSTGRES}\nall_of_it")
    assert done.returncode == 1
    assert words in done.stdout
    assert "nothing was stopped" in done.stdout
    assert deployed(world) == []


@pytest.mark.parametrize(
    "variables", ["PGDATA=/var/lib/postgresql/data\nPG_MAJOR=17", "PATH=/bin", "PGDATA=/var/lib/postgresql/data/pg"]
)
def test_a_postgres_for_the_data_is_deployed(world: World, variables: str) -> None:
    world.set(env=variables)
    assert world.call(f"{ANOTHER_POSTGRES}\nserves_data").returncode == 0


def test_a_postgres_that_runs_already_is_not_asked(world: World) -> None:
    assert world.call("given=' POSTGRES_IMAGE=sha256:postgres '\nserves_data").returncode == 0
    assert not any("Config.Env" in call or "cluster" in call for call in world.read("calls"))


@pytest.mark.parametrize(
    "question", ["image inspect --format {{range*", "volume ls*", "run --rm --network none *cluster*"]
)
def test_a_volume_that_docker_says_nothing_of_is_not_empty(world: World, question: str) -> None:
    world.fail(question, 1000, NO_ENGINE)
    done = world.call(f"{ANOTHER_POSTGRES}\nall_of_it")
    assert done.returncode == 1
    assert "run this again" in done.stdout + done.stderr
    assert deployed(world) == []


# --- An upgrade that was killed --------------------------------------------------------------------


def killed(world: World, *, after: str) -> None:
    """An upgrade was killed after this step of it."""
    assert world.call("prepare && all_of_it").returncode == 0
    (world.path / "done").unlink()
    assert (world.stack / ".upgrading").exists()
    if after == "copy":
        world.set(heads="old", replicas=0)
    elif after == "migration":
        world.set(replicas=0)
    elif after == "remember":
        assert world.call("remember").returncode == 0


def test_what_people_wrote_since_the_new_version_serves_stays(world: World) -> None:
    killed(world, after="deploy")
    done = world.call("mend", mends=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert deployed(world) == []
    assert not (world.stack / ".upgrading").exists()
    assert not (world.path / "before").exists(), "the copy is of no use any more"
    assert "sha256:new new:1.1 /open-webui\n" in (world.stack / ".good/images").read_text()
    assert not (world.stack / ".good/of").exists()


def test_an_upgrade_that_was_remembered_stays_whether_it_is_healthy_or_not(world: World) -> None:
    killed(world, after="remember")
    world.set(healthy=0)
    assert world.call("mend", mends=True).returncode == 0
    assert deployed(world) == []
    assert not (world.stack / ".upgrading").exists()


@pytest.mark.parametrize("after", ["copy", "migration"])
def test_where_the_new_version_does_not_serve_the_old_one_comes_back(world: World, after: str) -> None:
    killed(world, after=after)
    assert world.call("mend", mends=True).returncode == 0
    assert deployed(world) == ["deploy sha256:old 0 start-first", "set", "put back", "deploy sha256:old 2 start-first"]
    assert not (world.stack / ".upgrading").exists()


def test_what_the_new_version_took_is_in_a_set_before_it_leaves(world: World) -> None:
    killed(world, after="deploy")
    world.set(healthy=1)
    assert world.call(f"{OVERDUE}\nmend", mends=True).returncode == 0
    assert deployed(world)[:3] == ["deploy sha256:old 0 start-first", "set", "put back"]
    assert 'DROP DATABASE IF EXISTS "open-webui.failed"' in "\n".join(world.read("sql"))


def logins(world: World) -> list[tuple[str, str]]:
    """User and database of each session of psql, in order."""
    return re.findall(r"--username (\S+) --dbname (\S+)", "\n".join(world.read("calls")))


def test_open_webui_is_given_its_database_in_one_transaction_each(world: World) -> None:
    assert world.call("own_password").returncode == 0
    ask, admin = ("postgres", "postgres"), ("postgres", "postgres")
    assert logins(world) == [ask, admin, ("postgres", "open-webui"), ("postgres", "open-webui.before"), admin]
    statements = world.read("sql")
    assert statements.count("BEGIN;") == statements.count("COMMIT;") == 2
    assert statements[-1] == "ALTER ROLE \"open-webui\" PASSWORD 'secret';"
    assert "CREATE ROLE postgres" not in "\n".join(statements)


def test_the_callers_names_stay_what_they_are(world: World) -> None:
    """Variables of a shell are everybody's, and `name` is a set's in a restore."""
    assert world.call('name=set; own_password && echo "$name"').stdout == "set\n"


def test_where_open_webui_is_the_superuser_it_makes_another_first(world: World) -> None:
    world.fail("exec *--username postgres*", 1, 'FATAL:  role "postgres" does not exist')
    assert world.call("own_password").returncode == 0
    assert logins(world)[:3] == [("postgres", "postgres"), ("open-webui", "postgres"), ("postgres", "postgres")]
    assert world.read("sql")[0].startswith("CREATE ROLE postgres LOGIN SUPERUSER")


@pytest.mark.parametrize("database", ["postgres", "open-webui", "open-webui.before"])
def test_a_database_that_is_not_handed_over_fails_the_deploy(world: World, database: str) -> None:
    world.fail(f"exec *--dbname {database}", 1000, "FATAL:  the database system is starting up")
    assert world.call("own_password").returncode != 0
    assert "ALTER ROLE \"open-webui\" PASSWORD 'secret';" not in world.read("sql")


def test_the_superuser_reads_no_table_of_open_webui(world: World) -> None:
    assert world.call("heads").stdout == "old\n"
    assert logins(world)[-1] == ("open-webui", "open-webui")
    assert world.read("sql")[-1].startswith("SELECT string_agg(version_num")


def test_what_can_not_be_in_a_set_stays_in_postgres(world: World) -> None:
    killed(world, after="migration")
    world.set(no_room="")
    done = world.call("mend", mends=True)
    assert done.returncode == 0
    assert "no set could be made of what the new version wrote: it stays in Postgres, as the database" in done.stdout
    (renamed,) = [line for line in world.read("sql") if line.startswith('ALTER DATABASE "open-webui" RENAME')]
    assert "open-webui.failed" not in renamed


def test_an_upgrade_that_was_killed_stays_as_it_is_while_docker_does_not_answer(world: World) -> None:
    killed(world, after="deploy")
    for question in ("service ls *", "service inspect *", "service ps *"):
        world.fail(question, 1000)
        assert world.call("mend", mends=True).returncode == 1
        for rule in (world.path / "failing").iterdir():
            rule.unlink()
    assert deployed(world) == []
    assert (world.stack / ".upgrading").exists()
    assert (world.stack / ".good/of").exists()
    assert (world.path / "before").exists()


def test_a_way_back_that_was_cut_off_goes_on_back(world: World) -> None:
    """Its files may be those of before already, while the new version was still there."""
    killed(world, after="deploy")
    world.set(healthy=0)
    world.fail("node ls *", 1000)  # it gets as far as its first deploy
    assert world.call(f"{OVERDUE}\nmend", mends=True).returncode == 1
    for rule in (world.path / "failing").iterdir():
        rule.unlink()
    world.set(healthy=2)
    assert world.call("mend", mends=True).returncode == 0
    assert deployed(world)[-1] == "deploy sha256:old 2 start-first"


def test_a_failing_upgrade_goes_back_with_a_set_of_what_was_written(world: World) -> None:
    world.set(healthy=0)
    assert world.call(f"{OVERDUE}\nbring_up").returncode == 1
    done = deployed(world)
    assert done.index("migrated") < done.index("set", done.index("migrated")) < done.index("put back")


# --- Files that have to outlive a power cut ----------------------------------------------------------


@pytest.fixture
def good(world: World) -> World:
    """A deploy that was remembered, and the files of another one over it."""
    assert world.call("since=0; remember").returncode == 0
    for name in OF_A_DEPLOY:
        (world.stack / name).write_text(f"second {name}\n")
    (world.stack / "valkey/stale.conf").write_text("second\n")
    (world.stack / "secrets/kept").write_text("newer\n")
    return world


OF_A_DEPLOY = ("stack.yaml", ".env", "secrets/webui-secret-key", "valkey/valkey.conf", "proxy/Caddyfile")


def test_the_last_good_deploy_comes_back_with_its_files_and_no_others(good: World) -> None:
    done = good.call("recall")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for name in OF_A_DEPLOY:
        assert (good.stack / name).read_bytes() == (good.stack / ".good" / name).read_bytes()
        assert "second" not in (good.stack / name).read_text()
    assert not (good.stack / "valkey/stale.conf").exists()
    assert (good.stack / "secrets/kept").exists(), "a secret is never removed"
    assert list(good.stack.rglob("*.new")) == []


@pytest.mark.parametrize("name", [*OF_A_DEPLOY, "images", "sums"])
@pytest.mark.parametrize("left", [0, 3, None], ids=["empty", "short", "missing"])
def test_nothing_comes_back_from_a_damaged_deploy(good: World, name: str, left: int | None) -> None:
    path = good.stack / ".good" / name
    if left is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:left])
    done = good.call("recall")
    if left is None and name in ("sums", "proxy/Caddyfile"):  # what there need not be
        assert done.returncode == 0
        return
    assert done.returncode == 1
    assert "expected the files of a good deploy, got them damaged, as by a power cut" in done.stdout
    assert (good.stack / "stack.yaml").read_text() == "second stack.yaml\n"
    assert (good.stack / "secrets/webui-secret-key").read_text() == "second secrets/webui-secret-key\n"


def test_a_deploy_that_was_remembered_without_sums_still_comes_back(world: World) -> None:
    """As earlier versions of this project left it."""
    assert not (world.stack / ".good/sums").exists()
    world.set(healthy=0)
    done = world.call(f"{OVERDUE}\nbring_up")
    assert "that one runs; the change is not in force" in done.stdout
    assert deployed(world)[-1] == "deploy sha256:old 2 start-first"


def test_nothing_stops_for_a_way_back_that_is_damaged(world: World) -> None:
    """The record of the last good deploy was emptied by a power cut, before an upgrade fails."""
    (world.stack / ".good/stack.yaml").write_text("")
    world.set(healthy=0)
    done = world.call(f"{OVERDUE}\nbring_up")
    assert done.returncode == 1
    assert "got them damaged, as by a power cut: stack.yaml; nothing of it was put back" in done.stdout
    assert "that one runs" not in done.stdout
    assert deployed(world)[-1] == "deploy sha256:new 2 start-first", "what there is runs on"
    assert not any(call.startswith("service update --replicas 0") for call in world.read("calls"))
    assert (world.path / "before").exists(), "the copy for the way back is kept"


def test_what_is_remembered_is_on_the_disk_before_it_has_its_name(good: World) -> None:
    """Every file of it is handed to fsync before the folder is renamed."""
    log = good.path / "log"
    for name, text in {
        "sync": f'#!/bin/sh\nprintf "sync %s\\n" "$@" >>{log}\n',
        "mv": f'#!/bin/sh\necho "mv $*" >>{log}\nexec /bin/mv "$@"\n',
    }.items():
        (good.path / "bin" / name).write_text(text)
        (good.path / "bin" / name).chmod(0o755)
    for name in ("stack.yaml", ".env"):  # those of the swarm's stub
        (good.stack / name).write_bytes((good.stack / ".good" / name).read_bytes())
    assert good.call("since=0; remember").returncode == 0
    lines = log.read_text().splitlines()
    new = f"{good.stack}/.good.new"
    named = lines.index(f"mv {new} {good.stack}/.good")
    files = [path for path in (good.stack / ".good").rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        assert f"sync {new}/{path.relative_to(good.stack / '.good')}" in lines[:named]
    assert "sync ." in lines[named:]


@pytest.mark.parametrize("after", ["copy", "migration"])
def test_an_empty_note_of_an_upgrade_does_not_say_that_it_was_remembered(world: World, after: str) -> None:
    """Then the copy of the data would be dropped, though nothing of the new version serves."""
    killed(world, after=after)
    (world.stack / ".upgrading").write_text("")
    assert world.call("mend", mends=True).returncode == 0
    assert deployed(world) == ["deploy sha256:old 0 start-first", "set", "put back", "deploy sha256:old 2 start-first"]


def test_a_pruned_image_is_told_before_anything_stops_or_a_file_is_changed(good: World) -> None:
    good.fail(
        "image inspect --format {{.Id}} sha256:old", 1000, "Error response from daemon: No such image: sha256:old"
    )
    done = good.call("go_back")
    assert done.returncode == 1
    assert done.stdout == (
        "sha256:old@untagged: expected it on the host as it was then (sha256:old), got none; docker load or pull it, "
        "and run this again\n"
    )
    assert (good.stack / "stack.yaml").read_text() == "second stack.yaml\n"
    assert deployed(good) == []


def test_an_image_that_docker_says_nothing_of_is_not_missing(good: World) -> None:
    good.fail("image inspect --format {{.Id}} sha256:old", 1000, NO_ENGINE)
    done = good.call("go_back")
    assert done.returncode == 1
    assert f"got {NO_ENGINE}; run this again" in done.stdout
    assert "docker load" not in done.stdout
