"""People whose chats are in SQLite: no deploy leaves them behind, and one command moves them into Postgres.

Rows and logins are looked up in Postgres by its own psql and at the door by HTTPS. The host stays on Postgres, so this
module is the last of its part.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.lab.door import door_of, proxied
from tests.lab.precious import EMAIL, Precious, count_rows
from tests.lab.replicas import CONTAINERS, PROCESSES
from tests.lab.session import FRESH, Lab, containers, numsub, state

pytestmark = [pytest.mark.lab, pytest.mark.long]

STACK, SETS = "/opt/open-webui", "/var/backups/open-webui"
CONTENT = os.urandom(100_000)
PSQL = "docker exec --interactive open-webui-postgres psql --username open-webui --no-align --tuples-only"
COUNT = (
    'SELECT (SELECT count(*) FROM "user"), (SELECT count(*) FROM chat), (SELECT count(*) FROM file), '
    "(SELECT version_num FROM alembic_version)"
)
DATABASES = "SELECT datname FROM pg_database ORDER BY 1"
# The columns whose next number is one that a row has already. Open WebUI's schema may have no numbered column at all.
TAKEN = r"""
SELECT format(
  'SELECT %L WHERE nextval(pg_get_serial_sequence(%L, %L)) <= (SELECT coalesce(max(%I), 0) FROM %I)',
  table_name || '.' || column_name, quote_ident(table_name), column_name, column_name, table_name
) FROM information_schema.columns
WHERE table_schema = 'public' AND (column_default LIKE 'nextval%' OR is_identity = 'YES') \gexec
"""
# What a move writes down while it lasts, and what is there to end it.
MARKS = (
    f"ls -d {STACK}/.migrating {STACK}/journal.json 2>/dev/null; "
    "find /etc/systemd/system -name 'open-webui-stack-recover*'; "
    "docker ps --all --quiet --filter name=open-webui-postgres-alone"
)


class Story:
    """A stack on SQLite with a user, a chat and a file, whose settings ask for two processes with Postgres by now."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.host, self.door = lab, lab.host(FRESH), door_of(lab, FRESH)
        self.precious = Precious(lab)
        self.file = self.precious.upload("notes.bin", CONTENT)
        self.rows, self.schema = count_rows(self.host)
        self.sets_before = self.sets()
        self.settings = {"open_webui_replicas": len(PROCESSES), **proxied(lab, FRESH)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        data = json.dumps({FRESH: self.settings})
        result = self.lab.run("-y", *arguments, TEST_HOST_DATA=data)
        print(result.stdout)
        return result

    def migrate(self) -> str:
        """Move the rows, by the command of docs/how-to/sqlite-to-postgres.md; what it said."""
        result = self.run("runbooks/migrate.py", "--data", f'database_switch=["{FRESH}"]')
        assert result.returncode == 0
        return result.stdout

    def ask(self, query: str) -> str:
        """What Postgres answers Open WebUI's user."""
        return str(self.host.check_output(f"{PSQL} --command %s", query))

    def sets(self) -> list[str]:
        return str(self.host.run(f"ls -A {SETS}").stdout).split()


@pytest.fixture(scope="module")
def story(lab: Lab, deployed: dict[str, Any]) -> Story:
    return Story(lab)


@pytest.fixture(scope="module")
def moved(story: Story) -> str:
    """What the move said."""
    return story.migrate()


def test_people_on_sqlite_are_not_left_behind(story: Story) -> None:
    before, files = containers(story.host), state(story.host)
    refused = story.run("deploy.py")
    assert refused.returncode == 1
    assert "got people whose chats are in SQLite, in the volume open-webui" in refused.stdout
    assert f"runbooks/migrate.py moves them, with database_switch = ['{FRESH}'] for that run" in refused.stdout
    assert containers(story.host) == before
    assert state(story.host) == files
    story.precious.assert_kept()


def test_all_rows_are_in_postgres_and_sqlite_has_them_still(story: Story, moved: str) -> None:
    assert "its rows are in Postgres after" in moved
    assert story.ask(COUNT).split("|") == [*story.rows.split(), story.schema]
    precious = story.precious
    assert story.ask(f"SELECT title FROM chat WHERE id = '{precious.chat}'") == precious.marker  # noqa: S608 its id
    assert story.ask(f"SELECT filename FROM file WHERE id = '{story.file}'") == "notes.bin"  # noqa: S608 its id
    assert EMAIL in story.ask('SELECT email FROM "user"').split()
    assert count_rows(story.host) == (story.rows, story.schema), "the old database is as it was"
    assert len(story.sets()) == len(story.sets_before) + 1


def test_a_login_of_before_is_good_and_so_is_the_password(story: Story, moved: str) -> None:
    precious, visitor = story.precious, story.door.visitor()
    for token in (precious.token, story.door.sign_in()):
        assert visitor.must("GET", f"/api/v1/chats/{precious.chat}", token=token)["title"] == precious.marker
        assert visitor.download(story.file, token) == CONTENT
    assert precious.valkey("GET", "open-webui:marker") == precious.marker


def test_both_processes_serve_on_postgres(story: Story, moved: str) -> None:
    assert set(containers(story.host)) == CONTAINERS
    assert numsub(story.host) == len(PROCESSES)
    for process in PROCESSES:
        where = story.host.check_output("docker exec %s sh -c 'echo ${DATABASE_URL#*@}'", process)
        assert where.startswith("postgres:5432/")


def test_nothing_tells_of_the_move_any_more(story: Story, moved: str) -> None:
    assert story.host.run(MARKS).stdout == ""
    assert story.ask(DATABASES).split() == ["open-webui", "postgres", "template0", "template1"]


def test_a_second_run_changes_nothing(story: Story, moved: str) -> None:
    before, files, sets, rows = containers(story.host), state(story.host), story.sets(), story.ask(COUNT)
    assert "people's data are in Postgres already" in story.migrate()
    assert containers(story.host) == before
    assert state(story.host).splitlines() == files.splitlines()
    assert (story.sets(), story.ask(COUNT)) == (sets, rows)
    assert story.host.run(MARKS).stdout == ""


def test_people_go_on_where_they_were(story: Story, moved: str) -> None:
    """New rows get ids and numbers that nobody has yet."""
    visitor, token = story.door.visitor(), story.precious.token
    made = visitor.must("POST", "/api/v1/chats/new", {"chat": {"title": "since", "messages": []}}, token)["id"]
    file = visitor.upload(b"since", token)
    users, chats, files = (int(count) for count in story.rows.split())
    assert story.ask(COUNT).split("|")[:3] == [str(users), str(chats + 1), str(files + 1)]
    assert visitor.must("GET", f"/api/v1/chats/{made}", token=token)["title"] == "since"
    assert visitor.download(file, token) == b"since"
    assert story.host.check_output(f"{PSQL} --quiet --file - <<'END'\n{TAKEN}\nEND") == ""
    assert count_rows(story.host) == (story.rows, story.schema), "nobody writes to SQLite"
