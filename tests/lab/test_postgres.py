"""Day two of a stack with two processes, Postgres and the proxy: what people put in comes back, whatever goes wrong.

Everything is asked of the host itself: its curl, its Docker, Postgres's own psql.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.lab.precious import OFTEN_S, within
from tests.lab.session import EARLIER, Lab, containers, followed, named

pytestmark = pytest.mark.lab

SETS = "/var/backups/open-webui"
PSQL = "docker exec open-webui-postgres psql --username open-webui --no-align --tuples-only --command"
COUNT = (
    'SELECT (SELECT count(*) FROM "user"), (SELECT count(*) FROM chat), (SELECT count(*) FROM file), '
    "(SELECT version_num FROM alembic_version)"
)
CURL = "curl --silent --fail --max-time 20 --cacert /root/lab-ca.pem --resolve chat.lab.test:443:127.0.0.1"
PROCESSES = ("open-webui", "open-webui-2")
# Asked in Open WebUI's container, over the network, with the URL it has.
RIGHTS = '''
import json, os, psycopg2
url = os.environ["DATABASE_URL"]
def refused(url, *statements):
    try:
        connection = psycopg2.connect(url)
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)
    except psycopg2.Error as error:
        return str(error)
cursor = psycopg2.connect(url).cursor()
cursor.execute("""SELECT current_user, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls
    FROM pg_roles WHERE rolname = current_user""")
user, mighty = cursor.fetchone()
cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
owner, = cursor.fetchone()
cursor.execute("""SELECT string_agg(tablename, ' ') FROM pg_tables
    WHERE schemaname = 'public' AND tableowner <> current_user""")
foreign, = cursor.fetchone()
print(json.dumps({
    "user": user,
    "mighty": mighty,
    "owner": owner,
    "tables of others": foreign,
    "program": refused(url, "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'"),
    "file": refused(url, "COPY (SELECT 1) TO '/tmp/x'"),
    "tables": refused(url, "CREATE TABLE x ()", "DROP TABLE x",
        "ALTER TABLE chat ADD x int", "ALTER TABLE chat DROP x"),
    "vector": refused(url, "CREATE EXTENSION IF NOT EXISTS vector", "SELECT '[1,2,3]'::vector"),
    "superuser": refused(url.replace("//open-webui:", "//postgres:")),
    "bootstrap": refused(url.replace("//open-webui:", "//open-webui-bootstrap:")),
}))
'''
# The superuser that initdb made, of which Open WebUI had sessions.
BOOTSTRAP = (
    "SELECT count(*) FROM pg_stat_activity WHERE usesysid = 10 AND backend_type = 'client backend' "
    "AND pid <> pg_backend_pid()"
)


class Stack:
    """One stack on a host that had none, with a user, a chat and a file."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.host = lab, lab.host(EARLIER)
        self.images = lab.inventory["images"]
        tls = lab.inventory["tls"]
        port = lab.entry(EARLIER)["https_port"]
        self.data = {
            "open_webui_replicas": 2,
            "public_url": f"https://{tls['name']}",
            "proxy_tls": "files",
            "proxy_certificate": tls["certificate_file"],
            "verify_ca": tls["ca_file"],
            "proxy_certificate_key": f"file:{tls['key_file']}",
            "verify_url": f"https://127.0.0.1:{port}",
            "open_webui_image": self.images["open_webui_earlier"],
        }
        self.host.check_output("echo %s > /root/lab-ca.pem", Path(tls["ca_file"]).read_text())
        assert self.run("deploy.py")[0] == 0
        person = {"name": "Ada", "email": "ada@lab.test", "password": "Lovelace-1815"}
        self.token = ""
        self.token = self.ask("/api/v1/auths/signup", person)["token"]
        self.chat = self.write("kept")
        self.host.check_output("echo something > /root/notes.txt")
        upload = f"{CURL} --header 'Authorization: Bearer {self.token}' --form file=@/root/notes.txt"
        self.host.check_output(f"{upload} '{self.data['public_url']}/api/v1/files/?process=false'")
        self.counts = self.count()

    def run(self, deploy: str, **settings: Any) -> tuple[int, str]:
        data = json.dumps({EARLIER: self.data | settings})
        result = self.lab.run("-y", deploy, limit=EARLIER, TEST_HOST_DATA=data)
        print(result.stdout)
        return result.returncode, result.stdout

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The API's answer through the proxy."""
        headers = f"--header 'Authorization: Bearer {self.token}'" if self.token else ""
        content = f"--header 'Content-Type: application/json' --data '{json.dumps(body)}'" if body else ""
        return json.loads(self.host.check_output(f"{CURL} {headers} {content} {self.data['public_url']}{path}"))

    def write(self, title: str) -> str:
        return str(self.ask("/api/v1/chats/new", {"chat": {"title": title, "messages": []}})["id"])

    def count(self) -> str:
        """Users, chats, files and the schema, as Postgres has them."""
        return str(self.host.check_output(f"{PSQL} %s", COUNT))

    def titles(self) -> list[str]:
        return sorted(chat["title"] for chat in self.ask("/api/v1/chats/"))

    def sets(self) -> list[str]:
        return str(self.host.check_output(f"ls {SETS}")).split()

    def versions(self) -> set[str]:
        """Of each process by itself, past the proxy."""
        ask = "docker exec {} curl --silent http://127.0.0.1:8080/api/config"
        return {json.loads(self.host.check_output(ask.format(name)))["version"] for name in PROCESSES}

    def assert_plain_owner(self) -> None:
        """Open WebUI may do what it likes with its database, and nothing beyond it."""
        rights = json.loads(
            self.host.check_output(f"docker exec --interactive open-webui python3 - <<'END'\n{RIGHTS}\nEND")
        )
        for name, user in (("superuser", "postgres"), ("bootstrap", "open-webui-bootstrap")):
            assert f'password authentication failed for user "{user}"' in rights.pop(name)
        assert "permission denied to COPY to or from an external program" in rights.pop("program")
        assert "permission denied to COPY to a file" in rights.pop("file")
        assert rights == {
            **{"user": "open-webui", "mighty": False, "owner": "open-webui"},
            **dict.fromkeys(("tables of others", "tables", "vector")),
        }
        assert self.administer(BOOTSTRAP) == "0"
        assert self.administer("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'") == "COPY 1", "a superuser may"

    def administer(self, statement: str) -> str:
        superuser = "docker exec open-webui-postgres psql --username postgres --no-align --tuples-only --command %s"
        return str(self.host.check_output(superuser, statement))

    def assert_only_one_database(self) -> None:
        names = self.host.check_output(f"{PSQL} %s", "SELECT datname FROM pg_database ORDER BY 1").split()
        assert names == ["open-webui", "postgres", "template0", "template1"]
        assert not self.host.run("docker inspect open-webui-postgres-alone").succeeded


@pytest.fixture(scope="module")
def stack(lab: Lab) -> Stack:
    return Stack(lab)


@pytest.fixture(scope="module")
def made(stack: Stack) -> str:
    """The name of a set."""
    assert stack.run("runbooks/backup.py")[0] == 0
    return stack.sets()[-1]


def test_a_set_has_all_rows_counted_in_the_set_itself(stack: Stack, made: str) -> None:
    manifest = json.loads(stack.host.check_output(f"cat {SETS}/{made}/manifest.json"))
    found = manifest["open_webui"]
    assert "|".join(str(found[name]) for name in ("users", "chats", "files", "schema")) == stack.counts
    assert found["uploads"] == 1
    assert {"postgres.dump", "open-webui.tar", "valkey.rdb", "stack.tar", "images"} == manifest["parts"].keys()
    assert list(manifest["images"]) == ["redis-valkey", "open-webui-postgres", *PROCESSES, "open-webui-proxy"]
    assert "proxy/Caddyfile" in stack.host.check_output(f"tar -tf {SETS}/{made}/stack.tar")


def test_open_webui_owns_its_database_and_is_no_superuser(stack: Stack) -> None:
    stack.assert_plain_owner()


def test_what_can_not_come_back_is_refused_and_nothing_is_touched(stack: Stack, made: str) -> None:
    before, here = containers(stack.host), {"restore_over": [EARLIER]}
    damage = f"printf x | dd of={SETS}/{made}/postgres.dump bs=1 seek=5000 conv=notrunc status=none"
    stack.host.check_output(f"cp -a {SETS}/{made} /root/set && {damage}")
    status, output = stack.run("runbooks/restore.py", **here)
    stack.host.check_output(f"rm -r {SETS}/{made} && mv /root/set {SETS}/{made}")
    assert status == 1
    assert "postgres.dump: expected SHA-256" in output
    status, output = stack.run("deploy.py", open_webui_image=stack.images["open_webui"])
    assert status == 1
    assert f"expected the schema the data have, got one that changes it ({stack.counts.split('|')[-1]} to " in output
    status, output = stack.run(
        "runbooks/backup.py", open_webui_replicas=1, database="sqlite", public_url=None, verify_url=None
    )
    assert status == 1
    assert "expected its own database, got the stack's Postgres" in output
    assert containers(stack.host) == before
    assert stack.run("runbooks/backup.py")[0] == 0
    stack.host.check_output(f"rm -r {SETS}/{stack.sets()[-1]}")


@pytest.mark.long
def test_a_restore_that_is_killed_is_ended_by_the_next_one(stack: Stack, made: str) -> None:
    stack.write("since")
    here = {"restore_over": [EARLIER], "restore_set": made}
    stack.host.check_output("systemctl stop open-webui-watchdog")  # it would end what was cut off
    thread = threading.Thread(target=stack.run, args=("runbooks/restore.py",), kwargs=here)
    thread.start()
    names = "docker exec open-webui-postgres psql --username open-webui --list postgres"
    within(120, "it swaps the data", lambda: "open-webui.old" in stack.host.run(names).stdout, OFTEN_S)
    stack.host.check_output("pkill -9 -f -- '[-]-worker restore '")
    thread.join()
    assert stack.host.file("/opt/open-webui/.restoring").exists
    status, output = stack.run("deploy.py")
    assert status == 1
    assert "restore: expected none that was cut off, got one" in output
    status, output = stack.run("runbooks/restore.py", **here)
    assert status == 0
    assert "what was there before is in place again" in output
    assert f"the data of {made} is in place" in output
    assert stack.count() == stack.counts
    assert stack.titles() == ["kept"]
    stack.assert_only_one_database()


def test_an_upgrade_never_has_two_versions_on_one_database(stack: Stack) -> None:
    """Told by Docker itself: each start and each end of a container, in order."""
    newest = stack.images["open_webui"]
    with followed(stack.host) as events:
        status, output = stack.run("runbooks/upgrade.py", open_webui_image=newest)
    assert status == 0
    assert "ok      chats: 1, as in the manifest" in output, "it was rehearsed"
    running = dict.fromkeys(PROCESSES, stack.images["open_webui_earlier"])
    for action, name, image in events:
        if name in PROCESSES:
            running.pop(name, None)
            if action == "start":
                running[name] = image
            assert len(set(running.values())) <= 1, f"two versions at {action} {name} {image}"
    assert running == dict.fromkeys(PROCESSES, newest)
    assert stack.versions() == {newest.rpartition(":")[2].strip("v").removesuffix("-slim")}
    assert stack.count().split("|")[:3] == stack.counts.split("|")[:3]
    assert stack.count() != stack.counts, "the schema is another"
    assert stack.titles() == ["kept"]


@pytest.mark.long
def test_a_rollback_brings_back_the_version_and_its_data(stack: Stack) -> None:
    stack.write("since")
    newest = {"open_webui_image": stack.images["open_webui"]}
    status, output = stack.run("runbooks/rollback.py", **newest, restore_over=[EARLIER])
    assert status == 0
    assert "with its data of" in output
    earlier = stack.images["open_webui_earlier"]
    assert stack.versions() == {earlier.rpartition(":")[2].strip("v").removesuffix("-slim")}
    assert stack.count() == stack.counts
    assert stack.titles() == ["kept"]
    stack.assert_only_one_database()
    made_first = json.loads(stack.host.check_output(f"cat {SETS}/{stack.sets()[-1]}/manifest.json"))
    assert made_first["open_webui"]["chats"] == 2, "what was written since is in a set"


@pytest.mark.long
def test_the_databases_password_is_renewed_and_the_old_one_good_for_nothing(stack: Stack) -> None:
    old = stack.host.check_output("grep ^DATABASE_URL= /opt/open-webui/.env").split("'")[1]
    before = containers(stack.host)
    status, output = stack.run("runbooks/rotate.py", rotate_secrets=["postgres_password"])
    assert status == 0
    assert "postgres_password is renewed; Postgres was not restarted" in output
    after = containers(stack.host)
    assert {name for name in after if after[name] != before[name]} == set(PROCESSES)
    new = stack.host.check_output("grep ^DATABASE_URL= /opt/open-webui/.env").split("'")[1]
    log_in = 'docker exec --interactive open-webui python3 -c "import psycopg2; psycopg2.connect(input())"'
    assert stack.host.run(f"echo {new} | {log_in}").succeeded
    assert "password authentication failed" in stack.host.run(f"echo {old} | {log_in}").stderr
    assert stack.titles() == ["kept"]


# The volume and the definition that the project made up to 2026-11-29, with today's rows: its user open-webui is the
# superuser.
AS_BEFORE = """
set -eu
cd /opt/open-webui
docker stop open-webui open-webui-2 >/dev/null
docker exec open-webui-postgres pg_dump --username open-webui --format custom open-webui >/root/rows
image=$(docker inspect --format '{{.Image}}' open-webui-postgres)
docker rm --force open-webui-postgres >/dev/null
docker volume rm open-webui-postgres >/dev/null
docker run --detach --name before --network none --volume open-webui-postgres:/var/lib/postgresql/data \\
  --env POSTGRES_USER=open-webui --env POSTGRES_DB=open-webui \\
  --env POSTGRES_PASSWORD="$(cat secrets/postgres-password)" $image >/dev/null
until docker exec before pg_isready --quiet --host 127.0.0.1; do sleep 0.5; done
docker exec --interactive before pg_restore --username open-webui --dbname open-webui --no-owner --exit-on-error \\
  </root/rows
docker stop before >/dev/null
docker rm before >/dev/null
sed -i 's/POSTGRES_USER: postgres/POSTGRES_USER: open-webui/; /pg_isready/s/"postgres"]/"open-webui"]/' \\
  compose.yaml .good/compose.yaml
grep -q 'POSTGRES_USER: open-webui' compose.yaml
grep -q '"--username", "open-webui"' compose.yaml
cd .good
cut -c 67- sums | xargs -d '\\n' sha256sum >/root/sums
mv /root/sums sums
cd ..
docker compose up --detach --wait --wait-timeout 300
"""


@pytest.mark.long
def test_a_superuser_of_before_becomes_the_owner_with_all_rows(stack: Stack) -> None:
    stack.host.check_output(AS_BEFORE)
    rights = f"{PSQL} %s"
    program = "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'"
    assert stack.host.check_output(rights, program) == "COPY 1", "it is as it was before"
    before = stack.count()
    assert stack.run("runbooks/backup.py")[0] == 0, "a set can be made first"
    assert stack.run("deploy.py")[0] == 0
    told = stack.host.file("/opt/open-webui/up.log").content_string
    assert "open-webui is no superuser any more, and owns its database" in told
    stack.assert_plain_owner()
    assert stack.count() == before
    assert stack.titles() == ["kept"]
    running = containers(stack.host)
    assert stack.run("deploy.py")[0] == 0
    assert containers(stack.host) == running, "a second deploy changes nothing"


@pytest.mark.long
def test_a_set_and_a_deploy_of_before_come_back_without_the_superuser(stack: Stack) -> None:
    made = stack.sets()[-1]
    before = stack.count()
    stack.write("since")
    status, output = stack.run("runbooks/drill.py", restore_set=made)
    assert status == 0
    assert "ok      chats: 1, as in the manifest" in output
    status, output = stack.run("runbooks/restore.py", restore_over=[EARLIER], restore_set=made)
    assert status == 0
    assert f"the data of {made} is in place" in output
    assert stack.count() == before
    assert stack.titles() == ["kept"]
    stack.assert_plain_owner()
    stack.assert_only_one_database()
    assert stack.run("runbooks/rollback.py")[0] == 0
    assert "POSTGRES_USER: open-webui\n" in stack.host.file("/opt/open-webui/compose.yaml").content_string
    assert stack.count() == before
    assert stack.titles() == ["kept"]
    stack.assert_plain_owner()


def test_a_teardown_leaves_nothing(stack: Stack) -> None:
    assert named(stack.host), "there is something to find"
    status, _ = stack.run("runbooks/teardown.py", teardown_data=[EARLIER], teardown_backups=[EARLIER])
    assert status == 0
    left = "docker ps --all --quiet; docker volume ls --quiet; docker network ls --format '{{.Name}}'"
    assert stack.host.check_output(left).split() == ["bridge", "host", "none"]
    assert named(stack.host) == []
