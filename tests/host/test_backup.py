"""A backup makes a whole set or none, of data that are in one place, wherever it is cut off and whatever fails."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.host.fake_docker import Exit, Process, Program
from tests.host.fake_files import Crash as FilesCrash
from tests.host.fake_files import crash_at, on_nothing
from tests.host.fake_system import FakeSystem
from tests.host.fake_valkey import CONTAINER, IMAGE, PASSWORD, VOLUME, World
from tests.host.faults import Crash, Fault
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.locks import WORK, LockedError, Locks
from webui_stack.host.stack import OVERLAY
from webui_stack.host.verbs.backup import Backup, Request

STACK, SETS = "/opt/open-webui", "/var/backups/open-webui"
EARLIER, NAME = "20261128T030000Z", "20261129T030000Z"
ASKED = Request(
    stack_dir=STACK,
    backup_dir=SETS,
    swarm="",
    images={"redis-valkey": IMAGE, "open-webui": "open-webui:1"},
    open_webui="open-webui",
    valkey="redis-valkey",
    postgres="",
    people="open-webui",
    volumes=["open-webui", VOLUME],
    folders=[],
    files=["compose.yaml", "valkey"],
    left_out=["cache/embedding/models"],
    keep=0,
    reserve_mb=0,
    age_recipient="",
    in_clear=[],
)
ON_POSTGRES = replace(
    ASKED, postgres="open-webui-postgres", images={**ASKED.images, "open-webui-postgres": "postgres:17"}
)
IN_SWARM = replace(
    ON_POSTGRES,
    swarm="open-webui",
    images={
        "redis-valkey": IMAGE,
        "open-webui-postgres": "postgres:17",
        "open-webui": "open-webui:1",
        "proxy": "caddy:2",
    },
    valkey="redis",
    postgres="postgres",
    people="",
    volumes=[VOLUME],
)
URL = "postgresql://open-webui:secret@postgres:5432/open-webui"
SCRIPT = b"COPY public.alembic_version (v) FROM stdin;\nhead\n\\.\n-- PostgreSQL database dump complete\n"


class Host(World):
    """A deployed stack with people's data, and one earlier set."""

    def __init__(
        self, folder: Path, url: str = "", *, swarm: bool = False, variables: Mapping[str, str] | None = None
    ) -> None:
        super().__init__({"dump.rdb": b"old keys"})
        self.system = FakeSystem(folder)
        self.docker.folder = self._folder
        self.docker.put_image("open-webui:1", Program(commands={"python3": self._python3}))
        self.docker.put_volume("open-webui", {"webui.db": b"rows"})
        environment = {**({"DATABASE_URL": url} if url else {}), **(variables or {})}
        self.docker.put_container("open-webui", NewContainer("open-webui:1", env=environment))
        restore = {"pg_restore": lambda process: process.read("/set/postgres.dump"), "pg_dump": lambda _: SCRIPT}
        self.docker.put_image("postgres:17", Program(commands=restore))
        self.docker.put_container("open-webui-postgres", NewContainer("postgres:17"))
        for path, text in {
            "compose.yaml": "services:\n",
            "valkey/valkey.conf": "save 60 1\n",
            "valkey/users.acl": "user x #hash\n",
            "secrets/valkey-monitor-password": f"{PASSWORD}\n",
        }.items():
            self.host.make_folder(f"{STACK}/{path}".rpartition("/")[0])
            self.host.write(f"{STACK}/{path}", text)
        self.host.make_folder(f"{SETS}/{EARLIER}")
        self.host.write(f"{SETS}/{EARLIER}/manifest.json", "{}")
        self.said: list[str] = []
        self.swarm = swarm
        if swarm:
            self.join_swarm()

    def _folder(self, source: str) -> dict[str, bytes]:
        """A folder of the host, as a container has it."""
        before, self.host.kernel.on_point = self.host.kernel.on_point, on_nothing
        try:
            return {name: self.host.read(f"{source}/{name}") or b"" for name in self.host.listdir(source) or []}
        finally:
            self.host.kernel.on_point = before

    def _python3(self, process: Process) -> bytes:
        action = process.command[2]
        if b"ACTIONS[sys.argv[1]]" not in process.stdin:
            raise Exit(1, b"SyntaxError: unexpected EOF\n")
        if action == "save":
            there = process.files("/app/backend/data")
            assert bool(there) != self.swarm, "the image has files of its own where nothing is mounted"
            return b"tar of " + there.get("webui.db", b"nothing")
        facts = dict(word.split("=", 1) for word in process.command[3:])
        counted = {"schema": "head", "users": 1, "chats": 2, "files": 0, "uploads": 0}
        parts = {name: {"size": len(content)} for name, content in process.files("/set").items()}
        return json.dumps({**facts, "open_webui": counted, "parts": parts}).encode()

    def backup(self, asked: Request = ASKED, fault: Fault | None = None) -> str:
        one = self.one = self.engine(fault)
        point = self.host.kernel.on_point

        def dies(name: str) -> None:
            """What is killed at a call to Docker does nothing to files any more."""
            if one.faults.dead:
                raise FilesCrash
            point(name)

        self.host.kernel.on_point = dies
        made = Backup(self.system, self.one, self.host, self.clock, lambda event: self.said.append(event.text))
        return made.run(asked, Locks(self.host.kernel, self.clock, self.said.append))

    @property
    def told(self) -> list[str]:
        """What was said, less the steps."""
        return [line for line in self.said if not line.startswith("backup: ")]

    @property
    def sets(self) -> list[str]:
        return self.host.listdir(SETS) or []

    def part(self, name: str) -> bytes:
        content = self.host.read(f"{SETS}/{NAME}/{name}")
        assert content is not None
        return content

    def join_swarm(self) -> None:
        """The host with the data of a swarm: its containers have names of each start, and Open WebUI runs elsewhere."""
        for name, service, image in (
            ("redis-valkey", "redis", IMAGE),
            ("open-webui-postgres", "postgres", "postgres:17"),
        ):
            self.docker.drop(self.docker.named(name))
            labels = {"com.docker.swarm.service.name": f"open-webui_{service}"}
            volumes = [f"{VOLUME}:/data"] if service == "redis" else []
            self.docker.put_container(f"open-webui_{service}.1.x", NewContainer(image, labels=labels, volumes=volumes))
        self.docker.drop(self.docker.named("open-webui"))

    def check(self) -> None:
        """Every set is whole, and the earlier one is as it was."""
        assert self.host.read(f"{SETS}/{EARLIER}/manifest.json") == b"{}"
        if NAME in self.sets:
            manifest = json.loads(self.part("manifest.json"))
            for name, part in manifest["parts"].items():
                assert len(self.part(name)) == part["size"], name
            assert self.part("valkey.rdb") == b"keys of now"
            assert self.part("open-webui.tar") == (b"tar of nothing" if self.swarm else b"tar of rows")
            assert "none" not in (self.host.listdir(f"{SETS}/{NAME}") or [])


def test_a_set_has_all_parts_and_is_told_with_its_counts(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert host.backup() == NAME
    size = "0 MB, 1 users,2 chats,0 files, 12 keys in Valkey, secrets left out"
    host.check()
    assert sorted(host.host.listdir(f"{SETS}/{NAME}") or []) == [
        *("images", "manifest.json", "open-webui.tar", "stack.tar", "valkey.rdb"),
    ]
    assert json.loads(host.part("manifest.json"))["valkey_keys"] == "12"
    first, second = host.part("images").decode().splitlines()
    assert first == f"redis-valkey {IMAGE} {host.docker.named(CONTAINER).image_id}"
    assert second.startswith("open-webui open-webui:1 sha256:")
    assert host.said == [
        "backup: saving Valkey's data",
        "backup: saving Open WebUI's data",
        "backup: reading the set back",
        f"made {NAME} in 1 s: {size}",
    ]


def test_a_set_names_the_models_of_ollama_and_is_whole_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models can be had again by their names."""

    class Answers:
        def models(self) -> list[str]:
            return ["a:1", "b:latest"]

    class IsSilent:
        def models(self) -> list[str]:
            raise HostError("ollama", expected="an answer", got="no answer", do="x")

    for found, named, why in (
        (Answers(), "a:1,b:latest", ""),
        (IsSilent(), "", "no answer"),
        (None, "", "no container of it runs"),
    ):
        host = Host(tmp_path / f"{named}{why}")
        monkeypatch.setattr("webui_stack.host.ollama.find", lambda *_, found=found: found)
        assert host.backup(replace(ASKED, ollama={"container": "open-webui-ollama", "network": "x"})) == NAME
        assert json.loads(host.part("manifest.json"))["models"] == named
        assert [line for line in host.said if "models" in line] == [
            f"backup: the set does not name the models of Ollama: {why}" for _ in filter(None, [why])
        ]


def test_a_set_of_a_stack_without_ollama_says_nothing_of_models(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.backup()
    assert "models" not in json.loads(host.part("manifest.json"))


def test_the_stacks_files_are_in_a_set_and_what_follows_from_secrets_is_not(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.backup()
    with tarfile.open(fileobj=io.BytesIO(host.part("stack.tar"))) as tar:
        assert tar.getnames() == ["compose.yaml", "valkey", "valkey/valkey.conf"]
        conf = tar.extractfile("valkey/valkey.conf")
        assert conf
        assert conf.read() == b"save 60 1\n"
        assert tar.getmember("compose.yaml").mode == 0o600


def test_an_overlay_is_in_a_set_and_its_volumes_are_named_as_not(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.host.write(f"{STACK}/{OVERLAY}", "services:\n")
    host.backup(replace(ASKED, not_in_set=["open-webui_tika", "models"]))
    with tarfile.open(fileobj=io.BytesIO(host.part("stack.tar"))) as tar:
        assert OVERLAY in tar.getnames()
    assert json.loads(host.part("manifest.json"))["volumes_not_in_set"] == "open-webui_tika,models"
    assert "the set does not have the overlay's volumes: open-webui_tika, models" in host.told


def test_secrets_are_in_a_set_only_encrypted(tmp_path: Path) -> None:
    host = Host(tmp_path)
    given: list[tuple[tuple[str, ...], bytes]] = []

    def through(*command: str, stdin: bytes) -> bytes:
        given.append((command, stdin))
        return b"age-encryption.org/v1"

    host.system.through = through  # type: ignore[method-assign]
    host.backup(replace(ASKED, age_recipient="age1xyz", in_clear=["OPENAI_API_KEY"]))
    assert host.part("secrets.tar.age") == b"age-encryption.org/v1"
    assert given[0][0] == ("age", "--encrypt", "--recipient", "age1xyz")
    assert PASSWORD.encode() in given[0][1]
    assert "secrets encrypted" in host.told[0]
    assert host.told[1].endswith("saves them in its database: OPENAI_API_KEY")
    assert json.loads(host.part("manifest.json"))["may_be_in_clear"] == "OPENAI_API_KEY"
    everything = b"".join(host.part(name) for name in host.host.listdir(f"{SETS}/{NAME}") or [])
    assert PASSWORD.encode() not in everything


@pytest.mark.parametrize(("provider", "elsewhere"), [("s3", "s3"), ("gcs", "gcs"), ("local", ""), ("", "")])
def test_uploads_that_are_elsewhere_are_named_in_the_manifest_and_by_the_run(
    tmp_path: Path, provider: str, elsewhere: str
) -> None:
    host = Host(tmp_path, variables={"STORAGE_PROVIDER": provider})
    host.backup()
    assert json.loads(host.part("manifest.json")).get("uploads_in", "") == elsewhere
    said = f"uploads are in {elsewhere} and not in the set: back them up there"
    assert (said in host.said) == bool(elsewhere)


def test_in_a_swarm_the_settings_say_where_uploads_are(tmp_path: Path) -> None:
    host = Host(tmp_path, swarm=True)
    host.backup(replace(IN_SWARM, uploads_in="s3"))
    assert json.loads(host.part("manifest.json"))["uploads_in"] == "s3"


def test_rows_in_postgres_are_dumped_and_counted(tmp_path: Path) -> None:
    host = Host(tmp_path, URL)
    host.backup(ON_POSTGRES)
    assert host.part("postgres.dump") == SCRIPT
    manifest = json.loads(host.part("manifest.json"))
    assert (manifest["schema"], manifest["users"]) == ("head", "0")


@pytest.mark.parametrize(
    ("url", "asked", "words"),
    [
        ("", ON_POSTGRES, "expected the stack's own Postgres, got another database; run deploy.py, or this with"),
        ("postgres://x@db/y", ON_POSTGRES, "expected the stack's own Postgres, got another database"),
        (URL, ASKED, "expected its own database, got the stack's Postgres; run runbooks/backup.py with the settings"),
        ("postgres://x@db/y", ASKED, "expected its own database, got one of Postgres elsewhere; back that up with"),
    ],
)
def test_no_set_is_made_of_another_database(tmp_path: Path, url: str, asked: Request, words: str) -> None:
    host = Host(tmp_path, url)
    with pytest.raises(HostError, match=rf"^open-webui: {words}"):
        host.backup(asked)
    assert host.sets == [EARLIER]


def test_a_host_without_a_stack_has_nothing_to_back_up(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.docker.drop(host.docker.named("open-webui"))
    with pytest.raises(HostError, match=r"^open-webui: expected a deployed stack, got none; run deploy.py first$"):
        host.backup()


def test_old_sets_go_but_for_those_that_a_release_needs(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.host.make_folder(f"{STACK}/.good")
    host.host.write(f"{STACK}/.good/data", f"{EARLIER}\n")
    host.backup(replace(ASKED, keep=1))
    assert host.told[1:] == [f"kept {EARLIER}: an earlier deploy needs it to come back"]
    host.host.remove(f"{STACK}/.good/data")
    host.clock.passed_s += 86400
    host.said.clear()
    host.backup(replace(ASKED, keep=1))
    assert [line.partition(":")[0] for line in host.told[1:]] == [f"removed {NAME}", f"removed {EARLIER}"]


def test_in_a_swarm_the_containers_of_services_are_saved_and_images_that_only_others_have_are_named(
    tmp_path: Path,
) -> None:
    host = Host(tmp_path, swarm=True)
    host.backup(IN_SWARM)
    host.check()
    assert host.part("postgres.dump") == SCRIPT
    lines = host.part("images").decode().splitlines()
    assert [line.split(" ")[:2] for line in lines] == [list(one) for one in IN_SWARM.images.items()]
    assert [line.partition("sha256:")[1] for line in lines] == ["sha256:", "sha256:", "sha256:", ""]


def test_peoples_files_may_be_in_a_folder_that_the_hosts_of_a_swarm_share(tmp_path: Path) -> None:
    host = Host(tmp_path, swarm=True)
    host.swarm = False
    host.host.make_folder("/srv/shared")
    host.host.write("/srv/shared/webui.db", "rows")
    host.backup(replace(IN_SWARM, people="/srv/shared", folders=["/srv/shared"]))
    assert host.part("open-webui.tar") == b"tar of rows"


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("open-webui_redis.1.x", "redis: expected it to run here, got no task; run deploy.py first"),
        ("open-webui_postgres.1.x", "postgres: expected it to run here, got no task"),
    ],
)
def test_no_set_is_made_of_a_service_that_does_not_run_here(tmp_path: Path, gone: str, words: str) -> None:
    host = Host(tmp_path, swarm=True)
    host.docker.drop(host.docker.named(gone))
    with pytest.raises(HostError, match=words):
        host.backup(IN_SWARM)
    assert host.sets == [EARLIER]


@pytest.mark.parametrize("mark", [".restoring", ".upgrading"])
def test_of_data_in_two_places_a_set_is_made_only_by_whom_puts_them_back(tmp_path: Path, mark: str) -> None:
    host = Host(tmp_path)
    host.host.write(f"{STACK}/{mark}", "20261101T000000Z" if mark == ".upgrading" else "restore")
    with pytest.raises(
        HostError, match=r"^backup: expected data in one place, got a .* that was cut off; run it again"
    ):
        host.backup()
    assert host.sets == [EARLIER]
    assert host.backup(replace(ASKED, repairs=True)) == NAME


def test_a_move_to_postgres_that_is_under_way_leaves_the_data_where_they_were(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.host.write(f"{STACK}/.migrating", "")
    assert host.backup() == NAME


def test_a_backup_waits_for_who_changes_the_stack_unless_that_one_asks_for_it(tmp_path: Path) -> None:
    host = Host(tmp_path)
    others = Locks(host.host.kernel, host.clock, lambda _: None)
    with others.work("deploy"):
        with pytest.raises(
            LockedError, match=r"^backup: expected nobody else at work here, got .*/work held .* deploy"
        ):
            host.backup()
        assert host.sets == [EARLIER]
        host.backup(replace(ASKED, holds_lock=True))
    assert others.holder(WORK) is None
    host.check()


@pytest.mark.crash
@pytest.mark.parametrize(
    ("url", "asked"), [("", ASKED), (URL, ON_POSTGRES), ("", IN_SWARM)], ids=["sqlite", "postgres", "swarm"]
)
def test_whatever_docker_does_there_is_a_whole_set_or_none_and_the_next_run_makes_one(
    tmp_path: Path, url: str, asked: Request
) -> None:
    host = Host(tmp_path, url, swarm=bool(asked.swarm))
    host.backup(asked)
    for fault in host.one.faults.points():
        host = Host(tmp_path, url, swarm=bool(asked.swarm))
        try:
            host.backup(asked, fault)
        except (Crash, FilesCrash):
            host.host.kernel.restart()
            host.host.kernel.on_point = on_nothing
        except HostError:
            assert host.sets == [EARLIER], fault
        host.check()
        again(host, asked)
        assert not [one for one in host.docker.held.values() if one.auto_remove], fault


def again(host: Host, asked: Request) -> None:
    """The next run, an hour later."""
    had = [name for name in host.sets if not name.startswith(".")]
    host.clock.set_s += 3600
    host.saves, host.under_way, host.files["dump.rdb"] = 0, 0, b"old keys"
    made = host.backup(asked)
    assert host.sets == sorted({*had, made})
    host.check()


@pytest.mark.crash
def test_whatever_the_disk_does_there_is_a_whole_set_or_none_and_the_next_run_makes_one(tmp_path: Path) -> None:
    number, done = 0, False
    while not done:
        host = Host(tmp_path)
        host.host.kernel.on_point = crash_at(number)
        with suppress(FilesCrash):
            host.backup()
            done = True
        host.host.kernel.on_point = on_nothing
        host.host.kernel.cut_power(names=bool(number % 2))
        host.check()
        again(host, ASKED)
        number += 7  # every point of a set's own steps is in test_backup_sets.py
    assert number > 500


def test_a_disk_that_is_full_costs_no_earlier_set(tmp_path: Path) -> None:
    host = Host(tmp_path)
    real = host.docker.programs[host.docker.named("open-webui").image_id].commands["python3"]

    def fills(process: Process) -> bytes:
        host.host.kernel.room_bytes = 0
        return real(process)

    host.docker.programs[host.docker.named("open-webui").image_id] = Program(commands={"python3": fills})
    with pytest.raises(HostError, match=r"got a full disk"):
        host.backup()
    assert host.sets == [EARLIER]
