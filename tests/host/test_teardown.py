"""A teardown removes what this project made, and nothing else, wherever it is cut off and whatever fails."""

from __future__ import annotations

import contextlib
import fcntl
import json
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker
from tests.host.fake_engine import REFUSED, FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.fake_system import FakeSystem
from tests.host.faults import Crash, Fault, Faults
from webui_stack.host import deb_repository, dockerd
from webui_stack.host.alarms import record
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.locks import RUN_FOLDER, LockedError, Locks
from webui_stack.host.protocol import Event
from webui_stack.host.removal import Item, Request, decide, files, traces, units
from webui_stack.host.stack import OVERLAY
from webui_stack.host.verbs import teardown as verb
from webui_stack.model import compose, docker_config, machine, survey
from webui_stack.model import docker as engine
from webui_stack.model.machine import Machine
from webui_stack.plan import teardown
from webui_stack.render import project, secrets_requests
from webui_stack.render import units as rendered_units
from webui_stack.transport import transfer

STACK, SETS, LOGS = "/opt/open-webui", "/var/backups/open-webui", "/var/log/open-webui"
SET = f"{SETS}/20261129T030000Z"
VALKEY, WEBUI, OLD_WEBUI, FOREIGN = "valkey/valkey:8.1.1", "open-webui:v0.12.4", "open-webui:v0.11.0", "foreign:1"
NAMELESS = "ab" * 32
ALL: dict[str, Any] = {"teardown_data": ["a"], "teardown_backups": ["a"]}
EVERYTHING: dict[str, Any] = {**ALL, "teardown_docker": True}
REPLICATED: dict[str, Any] = {"open_webui_replicas": 2, "public_url": "https://chat.example.org"}
FOREIGN_FILES = (f"{STACK}/notes.txt", f"{STACK}/valkey/mine.conf", f"{SETS}/mine", f"{LOGS}/mine.log", "/etc/fstab")
SECRETS = f"{STACK}/secrets"
WANTED = settings(valkey_image=VALKEY, open_webui_image=WEBUI, docker_source="docker-ce")
IO_ERROR = "an input/output error of the disk"


class HostFiles(FakeFiles):
    """Files of which each question and each change can fail, or be the last thing that the program did."""

    def __init__(self, kernel: FakeKernel, faults: Faults) -> None:
        super().__init__(kernel)
        self.faults = faults

    def stat(self, path: str) -> Any:
        with self._call("stat", path):
            return super().stat(path)

    def listdir(self, path: str) -> Any:
        with self._call("list", path):
            return super().listdir(path)

    def read(self, path: str) -> Any:
        with self._call("read", path):
            return super().read(path)

    def remove(self, path: str) -> bool:
        with self._call("remove", path, changes=True):
            return super().remove(path)

    def remove_folder(self, path: str) -> bool:
        with self._call("remove the folder", path, changes=True):
            return super().remove_folder(path)

    def remove_tree(self, path: str) -> bool:
        with self._call("remove the tree", path, changes=True, within=lambda: self._half(path)):
            return super().remove_tree(path)

    def _half(self, path: str) -> None:
        with self.faults.quiet():
            found = Files.stat(self, path)
            if found and found.kind == "folder":
                for name in (Files.listdir(self, path) or [])[:1]:
                    Files.remove_tree(self, f"{path}/{name}")

    def _call(
        self, wish: str, path: str, *, changes: bool = False, within: Callable[[], None] | None = None
    ) -> contextlib.AbstractContextManager[None]:
        failed = lambda: HostError(path, expected=f"to {wish}", got=IO_ERROR, do="see `dmesg`")  # noqa: E731
        return self.faults.call(f"{wish} {path}", changes=changes, errors={"failed": failed}, within=within)


class World(FakeSystem):
    """A host with systemd and Docker, with a stack that has been deployed twice, and with what is somebody else's."""

    def __init__(self, folder: Path, faults: Faults | None = None, *, foreign: bool = True, **changes: Any) -> None:
        self.faults = faults or Faults()
        super().__init__(folder, docker="", dockerd="")
        self.path("/run/systemd/system").mkdir(parents=True)
        self.settings = WANTED.model_copy(update=changes)
        self.packages = ["docker-ce", "docker-ce-cli"]
        self.units = set(units.UNITS)
        self.daemon_json = "{}"
        self.orders: list[str] = []
        self.said: list[str] = []
        self.docker, self.kernel, self.clock = Docker(), FakeKernel(), FakeClock()
        self.kernel.root.entries["usr"] = self.kernel._inode(stat.S_IFDIR | 0o755)
        with self.faults.quiet():
            self._put_docker()
            self._put_files()
            if foreign:
                self._put_foreign()

    def _put_docker(self) -> None:
        for image in (VALKEY, WEBUI, OLD_WEBUI, FOREIGN):
            self.docker.put_image(image)
        engine = FakeEngine(self.docker)
        engine.create_network(compose.NETWORK, labels={compose.NETWORK_LABEL: "made"})
        self.container("redis-valkey", VALKEY, "redis-data:/data")
        self.container("open-webui", WEBUI, "open-webui:/app/backend/data", f"{NAMELESS}:/tmp/x")
        self.container("open-webui-2", WEBUI, "open-webui:/app/backend/data")  # of settings of before

    def container(self, name: str, image: str, *volumes: str, folder: str = STACK, network: str = "") -> None:
        """A container that runs, made by compose in a folder where that is given."""
        labels = {"com.docker.compose.project.working_dir": folder} if folder else {}
        new = NewContainer(image, labels=labels, volumes=volumes, network=network or compose.NETWORK)
        self.docker.put_container(name, new)

    def _put_files(self) -> None:
        old = self.docker.find_image(OLD_WEBUI).id
        for path, text in {
            f"{STACK}/compose.yaml": "",
            f"{STACK}/.env": "",
            f"{STACK}/.good/compose.yaml": "",
            f"{STACK}/.good/images": f"{self.docker.find_image(WEBUI).id} {WEBUI} /open-webui\n",
            f"{STACK}/.deploys/20261128T030000Z/images": f"{old} {OLD_WEBUI} /open-webui\n",
            f"{STACK}/valkey/users.acl": "",
            f"{SECRETS}/valkey-password": "x",
            f"{SECRETS}/webui-secret-key": "x",
            f"{SECRETS}/alarms.json": "x",
            f"{traces.NOTES}/alarms.json": "x",
            f"{SET}/manifest.json": "",
            f"{LOGS}/deploys.jsonl": "",
            f"{RUN_FOLDER}.drill": "",
            f"{RUN_FOLDER}/workers/teardown-1-2.jsonl": "",
            "/etc/apt/sources.list.d/docker.sources": "",
            "/etc/docker/daemon.json": "",
            **{f"{units.FOLDER}/{unit}": "" for unit in units.UNITS},
        }.items():
            self.write(path, text)

    def _put_foreign(self) -> None:
        for path in FOREIGN_FILES:
            self.write(path, "mine")
        FakeEngine(self.docker).create_network("foreign")
        self.container("foreign", FOREIGN, "foreign:/data", folder="", network="foreign")

    def write(self, path: str, text: str = "") -> None:
        found = FakeFiles(self.kernel)
        found.make_folder(path.rpartition("/")[0])
        found.write(path, text)

    # --- The host's programs

    def _order(self, command: Sequence[str], limit_s: float) -> tuple[int, str]:
        assert limit_s > 0
        line = " ".join(command)
        failed = lambda: HostError(command[0], expected="it to succeed", got="exit status 1", do="run it")  # noqa: E731
        with self.faults.call(line, changes=True, errors={"failed": failed}):
            self.orders.append(line)
            if command[:3] == ("systemctl", "disable", "--now"):
                self.units.discard(command[3])
            if command[:2] == ("dpkg", "--remove"):
                assert not self.docker.held, "Docker went, and containers are left"
                self.packages = []
                self.docker.down = True
                self.programs.clear()
        return 0, ""

    # --- The verbs

    @property
    def request(self) -> Request:
        observed = survey.Survey(
            machine.Machine(distribution="debian", version="13"),
            engine.Engine(versions=dict.fromkeys(self.packages, "1")),
            docker_config.Observed(sha256="x", text=self.daemon_json),
        )
        return Request(**teardown.request(self.settings, "a", observed))

    @property
    def files(self) -> HostFiles:
        return HostFiles(self.kernel, self.faults)

    def look(self) -> list[Item]:
        return decide(self.request, self, FakeEngine(self.docker, faults=self.faults), self.files)

    def lines(self) -> list[str]:
        return [str(item) for item in self.look()]

    def remove(self) -> None:
        def say(event: Event) -> None:
            self.said.append(event.text)

        locks = Locks(self.kernel, self.clock, lambda line: self.said.append(line))
        verb.apply(self.request, self, FakeEngine(self.docker, faults=self.faults), self.files, locks, say)

    # --- What is there

    def tree(self, folder: str = "") -> list[str]:
        """Every file there is, and every folder with nothing in it; without those of the locks."""
        return sorted(path for path in self._tree("", self.kernel.root) if f"{path}/".startswith(f"{folder}/"))

    def _tree(self, path: str, inode: Any) -> Iterator[str]:
        if path == RUN_FOLDER:
            return
        if not inode.entries:
            yield path
        for name, below in inode.entries.items():
            yield from self._tree(f"{path}/{name}", below)

    @property
    def state(self) -> dict[str, Any]:
        docker = self.docker
        return {
            "containers": {one.name: (one.id, one.status, one.started_at) for one in docker.held.values()},
            "volumes": sorted(docker.volumes),
            "networks": sorted(docker.networks),
            "images": sorted(tag for image in docker.images.values() for tag in image.tags),
            "files": self.tree(),
            "units": sorted(self.units),
            "packages": self.packages,
        }

    @property
    def foreign(self) -> dict[str, Any]:
        """What is somebody else's."""
        state = self.state
        return {
            "containers": state["containers"].get("foreign"),
            "volumes": "foreign" in state["volumes"],
            "networks": "foreign" in state["networks"],
            "images": FOREIGN in state["images"],
            "files": [path for path in FOREIGN_FILES if path in state["files"]],
        }


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def why(world: World, what: str) -> str:
    """Why a thing stays; "" for one that goes."""
    (found,) = [item for item in world.look() if item.what == what]
    assert found.state == ("stays" if found.why else "goes")
    return found.why


def named(world: World) -> set[str]:
    return {item.what for item in world.look()}


# --- What goes, and what stays


def test_a_look_tells_all_in_the_order_in_which_it_goes_and_changes_nothing(world: World) -> None:
    before = world.state
    assert world.lines() == [
        "goes    open-webui-watchdog.timer",
        "goes    open-webui-watchdog.service",
        "goes    open-webui-stack-monitor.service",
        "goes    open-webui-backup.timer",
        "goes    open-webui-backup.service",
        *(f"goes    open-webui-{name}.{kind}" for name in ("backup-check", "drill") for kind in ("timer", "service")),
        "goes    open-webui-stack-recover.service",
        "goes    open-webui-stack-recover-stack.service",
        "goes    container open-webui-2",
        "goes    container open-webui",
        "goes    container redis-valkey",
        "goes    network openwebui-network",
        "goes    image open-webui:v0.11.0",
        "goes    image open-webui:v0.12.4",
        "goes    image valkey/valkey:8.1.1",
        "stays   volume redis-data: data; teardown_data = ['a'] removes it",
        "stays   volume open-webui: data; teardown_data = ['a'] removes it",
        f"goes    {STACK}/compose.yaml",
        f"stays   {STACK}/notes.txt: not made by this project",
        f"goes    {STACK}/.deploys",
        f"goes    {STACK}/.env",
        f"goes    {STACK}/.good",
        f"stays   {STACK}/valkey/mine.conf: not made by this project",
        f"goes    {STACK}/valkey/users.acl",
        f"goes    {SECRETS}/alarms.json",
        f"stays   {SECRETS}/valkey-password: belongs with the data; teardown_data = ['a'] removes it",
        f"stays   {SECRETS}/webui-secret-key: belongs with the data; teardown_data = ['a'] removes it",
        f"stays   {SET}: a backup; teardown_backups = ['a'] removes it",
        f"stays   {SETS}/mine: not made by this project",
        "stays   Docker itself: teardown_docker = True removes it",
        f"goes    {LOGS}/deploys.jsonl",
        f"stays   {LOGS}/mine.log: not made by this project",
        f"goes    {RUN_FOLDER}",
        f"goes    {RUN_FOLDER}.drill",
        f"goes    {traces.NOTES}",
    ]
    assert world.state == before
    assert world.orders == []


def test_the_operators_side_reads_the_answer_of_a_look_as_the_host_meant_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(verb, "decide", lambda *_: world.look())
    answer = verb.look(asdict(world.request), lambda _: None)
    assert [str(one) for one in teardown.parse(json.loads(json.dumps(answer)))] == world.lines()


def test_data_and_backups_of_a_host_that_is_not_named_stay(world: World) -> None:
    foreign = world.foreign
    world.remove()
    assert world.foreign == foreign
    assert world.tree(STACK) == sorted(
        [*FOREIGN_FILES[:2], f"{SECRETS}/valkey-password", f"{SECRETS}/webui-secret-key"]
    )
    assert world.tree(SETS) == [f"{SET}/manifest.json", f"{SETS}/mine"]
    assert world.state["volumes"] == ["foreign", "open-webui", "redis-data"]
    assert set(world.state["containers"]) == {"foreign"}
    assert world.units == set()
    assert "removed container open-webui-2" in world.said
    assert f"stays   {SET}: a backup; teardown_backups = ['a'] removes it" in world.said


def test_nothing_of_ours_is_left_where_all_is_named(tmp_path: Path) -> None:
    world = World(tmp_path, **ALL)
    world.remove()
    files = [path for path in world.tree() if "open-webui" in path]
    assert files == sorted(path for path in FOREIGN_FILES if path != "/etc/fstab")
    state = world.state
    assert (state["volumes"], state["networks"], state["images"]) == (["foreign"], ["foreign"], [FOREIGN])
    assert {item.state for item in world.look() if item.kind != "lease"} == {"stays"}


def test_the_record_of_the_verb_itself_stays_for_its_caller(tmp_path: Path) -> None:
    """The run removes the folder with it in the end, when it has read the result (`leave`)."""
    world = World(tmp_path, **EVERYTHING, foreign=False)
    world.remove()
    assert FakeFiles(world.kernel).listdir(f"{RUN_FOLDER}/workers") == ["teardown-1-2.jsonl"]
    assert not any(line.rpartition(" ")[2] == RUN_FOLDER for line in world.said)


def test_containers_of_the_overlay_and_its_file_go_and_those_of_other_files_stay(world: World) -> None:
    for name, file in (("tika", OVERLAY), ("mine", "mine.yaml")):
        labels = {
            "com.docker.compose.project.working_dir": STACK,
            "com.docker.compose.project.config_files": f"{STACK}/compose.yaml,{STACK}/{file}",
            "com.docker.compose.service": name,
        }
        world.docker.put_container(f"open-webui-{name}-1", NewContainer(FOREIGN, labels=labels))
    FakeFiles(world.kernel).write(f"{STACK}/{OVERLAY}", "services:\n")
    found = named(world)
    assert {"container open-webui-tika-1", f"{STACK}/{OVERLAY}"} <= found
    assert "container open-webui-mine-1" not in found
    world.remove()
    there = set(world.state["containers"])
    assert "open-webui-mine-1" in there
    assert "open-webui-tika-1" not in there
    assert not FakeFiles(world.kernel).exists(f"{STACK}/{OVERLAY}")


def test_what_others_made_under_our_names_stays(world: World) -> None:
    world.container("open-webui-4", FOREIGN, folder="")
    world.container("open-webui-proxy", FOREIGN, folder="/home/somebody")
    world.container("open-webui.by-hand", FOREIGN, folder="")
    world.docker.drop(world.docker.named("redis-valkey"))
    world.container("redis-valkey", FOREIGN, folder="/home/somebody")
    assert why(world, "container open-webui.by-hand") == f"not made by this project in {STACK}"
    assert why(world, "container redis-valkey") == f"not made by this project in {STACK}"
    assert not {"container open-webui-4", "container open-webui-proxy"} & named(world)
    world.remove()
    assert {"open-webui-4", "open-webui-proxy", "open-webui.by-hand", "redis-valkey"} <= set(world.state["containers"])


def test_with_postgres_in_the_settings_somebody_elses_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settings = settings(**REPLICATED)
    world.container("open-webui-postgres", FOREIGN, "open-webui-postgres:/data", folder="/home/somebody")
    assert why(world, "container open-webui-postgres") == f"not made by this project in {STACK}"
    assert why(world, "volume open-webui-postgres") == "data; teardown_data = ['a'] removes it"
    world.settings = settings(**REPLICATED, **ALL)
    assert why(world, "volume open-webui-postgres") == "open-webui-postgres uses it"


def test_a_network_without_our_label_or_with_somebodys_container_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.docker.held = {}
    world.container("somebodys", FOREIGN, folder="")
    assert why(world, "network openwebui-network") == "somebodys uses it"
    del world.docker.networks[compose.NETWORK]
    FakeEngine(world.docker).create_network(compose.NETWORK)
    words = "not known to be made by this project; 'docker network rm openwebui-network' removes it"
    assert why(world, "network openwebui-network") == words


def test_what_a_container_of_others_uses_stays(tmp_path: Path) -> None:
    world = World(tmp_path, **ALL)
    world.container("somebodys", WEBUI, "redis-data:/x", folder="")
    assert why(world, f"image {WEBUI}") == "somebodys uses it"
    assert why(world, "volume redis-data") == "somebodys uses it"
    assert why(world, "volume open-webui") == ""
    world.remove()
    assert "redis-data" in world.docker.volumes


def test_an_image_that_docker_needs_for_others_is_no_failure(tmp_path: Path) -> None:
    """As one that another was made from: only Docker knows."""
    plain = World(tmp_path / "plain")
    plain.remove()
    (call,) = [one for one in plain.faults.calls if one.name == f"docker: remove_image {VALKEY}"]
    world = World(tmp_path / "world", Faults(Fault(call.index, REFUSED)))
    world.remove()
    assert f"stays   image {VALKEY}: it could not be removed: input/output error" in world.said
    assert f"{STACK}/.good" not in {path.rpartition("/")[0] for path in world.tree()}


def test_an_image_without_a_tag_goes_by_its_id(world: World) -> None:
    old = world.docker.find_image(OLD_WEBUI).id
    world.docker.tag(world.docker.find_image(FOREIGN).id, OLD_WEBUI)  # pulled anew, say
    assert why(world, f"image {old}") == ""
    assert why(world, f"image {OLD_WEBUI}") == "foreign uses it"
    world.remove()
    assert old not in world.docker.images


@pytest.mark.parametrize(
    "place", ["compose.yaml", ".good/compose.yaml", ".good.old/compose.yaml", ".deploys/x/compose.yaml"]
)
def test_the_volume_of_a_service_that_a_deploy_of_before_had_goes_with_the_data(tmp_path: Path, place: str) -> None:
    world = World(tmp_path, **ALL)
    for volume in ("open-webui-proxy", "open-webui-postgres"):
        world.docker.put_volume(volume)
    world.write(f"{STACK}/{place}", "    container_name: open-webui-proxy\n")
    assert why(world, "volume open-webui-proxy") == ""
    assert "volume open-webui-postgres" not in named(world), "no deploy had that one"


@pytest.mark.parametrize("data", [False, True])
def test_what_a_restore_or_a_verb_left_that_was_cut_off_belongs_with_the_data(tmp_path: Path, data: bool) -> None:
    world = World(tmp_path, **(ALL if data else {}))
    marks = (".restoring", ".upgrading", ".migrating", "journal.json")
    for name in (*marks, "compose.yaml.new", "secrets.new/valkey-password"):
        world.write(f"{STACK}/{name}")
    for name in marks:
        assert bool(why(world, f"{STACK}/{name}")) is not data
    for name in ("compose.yaml.new", "secrets.new"):
        assert why(world, f"{STACK}/{name}") == ""


def test_what_a_drill_left_that_was_killed_goes_first(world: World) -> None:
    world.container("open-webui-drill", WEBUI, "open-webui-drill:/data", folder="", network="none")
    FakeEngine(world.docker).create_network("openwebui-network-drill")
    first = ["container open-webui-drill", "volume open-webui-drill", "network openwebui-network-drill"]
    assert [item.what for item in world.look()][:3] == first
    world.remove()
    assert not {"open-webui-drill"} & {*world.docker.volumes, *world.state["containers"]}
    assert "openwebui-network-drill" not in world.docker.networks


def test_sets_that_were_being_made_go_with_the_sets(tmp_path: Path) -> None:
    world = World(tmp_path, **ALL)
    for name in (".20261129T040000Z.new", ".20261129T040000Z.part", "20261129T040000Z.mine"):
        world.write(f"{SETS}/{name}/x")
    assert why(world, f"{SETS}/.20261129T040000Z.new") == why(world, f"{SETS}/.20261129T040000Z.part") == ""
    assert why(world, f"{SETS}/20261129T040000Z.mine") == "not made by this project"


def test_a_folder_where_a_file_system_is_mounted_stays(tmp_path: Path) -> None:
    world = World(tmp_path, **ALL, foreign=False)
    world.put("/proc/self/mountinfo", f"36 35 0:32 / /x\\040y rw - tmpfs\n37 35 0:33 / {SETS} rw - nfs\n")
    assert why(world, SETS) == "a file system is mounted there"
    assert why(world, SET) == ""
    world.remove()
    assert world.tree(SETS) == [SETS]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_a_file_in_place_of_a_folder_of_ours_stays(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, **ALL)
    FakeFiles(world.kernel).remove_tree(SECRETS)
    world.kernel.add(SECRETS, (stat.S_IFLNK if kind == "link" else stat.S_IFREG) | 0o777, "/etc")
    assert why(world, SECRETS) == "not made by this project"
    world.remove()
    assert "/etc/fstab" in world.tree()


def test_a_change_of_docker_that_was_cut_off_is_undone_before_its_unit_goes(world: World) -> None:
    world.programs["systemctl"] = "Id=docker.service\nMainPID=0\n"
    world.write(dockerd.DAEMON_JSON, "new")
    world.write(f"{dockerd.DAEMON_JSON}.before", "earlier")
    world.write(dockerd.MARK, "had\n")
    world.remove()
    assert world.files.read_text(dockerd.DAEMON_JSON) == "earlier"
    assert world.tree(dockerd.FOLDER) == [dockerd.DAEMON_JSON]
    assert world.tree(units.FOLDER) == [units.FOLDER]
    assert "systemctl --no-block start docker.service" in world.orders


def test_without_systemd_units_are_files(world: World) -> None:
    world.path("/run/systemd/system").rmdir()
    world.remove()
    assert world.tree(units.FOLDER) == [units.FOLDER]
    assert world.orders == []


def test_every_file_that_is_put_on_a_host_is_known() -> None:
    """Also of deploys that had what the settings have not any more."""
    some = settings(
        stack_dir="/srv/s",
        backup_schedule="*-*-* 03:30",
        backup_restic_repository="/srv/restic",
        backup_restic_password="env:X",
        **REPLICATED,
    )
    paths = [
        *project.files(some),
        *rendered_units.watchdog(some, Machine()),
        *rendered_units.old_watchdog(some),
        *rendered_units.monitor(some, Machine()),
        f"/srv/s/{secrets_requests.RECEIVERS}",
        *rendered_units.backup(some, Machine()),
        *rendered_units.old_backup_paths(some),
    ]
    paths += [path.removeprefix(f"{some.stack_dir}/") for path in project.unwanted(some)]
    known = {*files.MADE, *(f"{units.FOLDER}/{unit}" for unit in units.UNITS)}
    assert len(paths) == 15
    assert {path.removeprefix("/srv/s/") for path in paths} <= known
    assert {file for names in secrets_requests.SECRET_FILES.values() for file in names} <= files.WITH_DATA
    assert secrets_requests.STACK_PASSWORD_FILE in files.WITH_DATA
    assert traces.TRANSFER == transfer.FOLDER
    assert traces.PACKAGES == deb_repository.FOLDER
    assert posixpath.dirname(record.PATH) == traces.NOTES


def test_the_metrics_are_removed_from_where_the_monitor_has_written_them(world: World) -> None:
    """The folder is node-exporter's. What the unit on the host says counts, whatever the settings say by now."""
    folder = "/var/lib/node-exporter"
    for name in ("open-webui-stack.prom", "others.prom"):
        world.write(f"{folder}/{name}")
    (unit,) = rendered_units.monitor(settings(metrics_textfile_dir=folder), Machine()).values()
    assert f"{folder}/open-webui-stack.prom" not in named(world)
    asked = teardown.request(settings(), "a", survey.Survey(files={rendered_units.MONITOR_PATH: unit}))
    assert asked["metrics_file"] == f"{folder}/open-webui-stack.prom"
    world.settings = settings(
        valkey_image=VALKEY, open_webui_image=WEBUI, docker_source="docker-ce", metrics_textfile_dir=folder
    )
    assert f"{folder}/open-webui-stack.prom" in named(world)
    world.remove()
    assert world.tree(folder) == [f"{folder}/others.prom"]


# --- Docker itself


def test_docker_goes_where_nobody_needs_it_with_its_files_and_empty_folders(tmp_path: Path) -> None:
    world = World(tmp_path, **EVERYTHING, foreign=False)
    world.write("/var/lib/docker/x")
    said = [line for line in world.lines() if "ocker" in line]
    assert "goes    docker-ce docker-ce-cli" in said
    assert "stays   /var/lib/docker: Docker's own folder; remove it by hand" in said
    world.remove()
    assert world.orders[-1] == "dpkg --remove docker-ce docker-ce-cli"
    assert "/etc/apt/sources.list.d/docker.sources" not in world.tree()


def test_a_daemon_json_with_more_than_ours_stays(tmp_path: Path) -> None:
    world = World(tmp_path, **EVERYTHING, foreign=False)
    assert why(world, "/etc/docker/daemon.json") == ""
    world.daemon_json = '{"mtu": 1400}'
    assert why(world, "/etc/docker/daemon.json") == "it has more than docker_daemon says"


def test_the_folders_of_a_registrys_ca_go_with_it_where_they_are_empty(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    world = World(tmp_path / "host", **EVERYTHING, docker_registry_ca={"r.example.org": str(ca)}, foreign=False)
    world.daemon_json = '{"mtu": 1400}'
    world.write(engine.ca_path("r.example.org"))
    world.remove()
    assert world.tree("/etc/docker") == ["/etc/docker/daemon.json"]


@pytest.mark.parametrize("folder", ["/etc/docker", "/etc/docker/certs.d"])
def test_an_empty_folder_of_dockers_is_found_again(tmp_path: Path, folder: str) -> None:
    world = World(tmp_path, **EVERYTHING, docker_registry_ca={"r.example.org": "unread"}, foreign=False)
    FakeFiles(world.kernel).remove("/etc/docker/daemon.json")
    FakeFiles(world.kernel).make_folder(folder)
    assert why(world, folder) == ""
    world.remove()
    assert world.tree("/etc/docker") == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "teardown_docker = True removes it"),
        (
            {"teardown_docker": True},
            "expected nobody's containers and volumes, got container foreign,volume foreign,volume open-webui,"
            "volume redis-data",
        ),
        (
            {"teardown_docker": True, "docker_source": "present"},
            "this project did not install it (docker_source = 'present')",
        ),
    ],
    ids=["kept", "in use", "somebody else's"],
)
def test_docker_stays_where_others_need_it_or_have_it(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    world = World(tmp_path, **changes)
    assert why(world, "Docker itself") == words
    world.remove()
    assert world.packages


def test_a_container_that_somebody_starts_meanwhile_keeps_docker(tmp_path: Path) -> None:
    world = World(tmp_path, **EVERYTHING, foreign=False)
    stop = world.docker.stop

    def and_then(*arguments: Any, **options: Any) -> None:
        stop(*arguments, **options)
        if "newcomer" not in world.state["containers"]:
            world.container("newcomer", FOREIGN, folder="", network="none")

    world.docker.stop = and_then  # type: ignore[method-assign]
    with pytest.raises(HostError, match=r"^teardown: expected to remove all that goes, got some of it left: docker-ce"):
        world.remove()
    assert world.packages
    assert any("expected" in line or "newcomer" in line for line in world.said if line.startswith("stays   docker-ce"))


# --- No answer is never "nothing there"


def test_a_docker_that_does_not_answer_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    world = World(tmp_path, **EVERYTHING)
    world.docker.down = True
    before = world.state
    for act in (world.look, world.remove):
        with pytest.raises(HostError, match=r"^docker: expected a list of containers and volumes, got no answer \("):
            act()
    assert world.state == before


def test_a_host_without_docker_is_rid_of_the_rest(tmp_path: Path) -> None:
    world = World(tmp_path, **EVERYTHING, foreign=False)
    world.docker.down = True
    world.programs.clear()
    world.packages = []
    world.remove()
    assert [path for path in world.tree() if "open-webui" in path] == []


@pytest.mark.crash
@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["some", "all"])
def test_a_question_that_fails_leaves_its_thing_unknown_and_nothing_more_goes(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    plain = World(tmp_path / "plain", **changes)
    wanted = plain.look()
    goes = {item.what for item in wanted if item.state == "goes"}
    for fault in plain.faults.points():
        if fault.kind.startswith("crash"):
            continue
        world = World(tmp_path / f"{fault.index}-{fault.kind}", Faults(fault), **changes)
        try:
            found = world.look()
        except HostError:
            assert fault.index < 2, "only the lists of containers and volumes have to be there"
            continue
        name = world.faults.calls[fault.index].name
        doubtful = [item for item in found if item.state == "unknown"]
        assert doubtful, f"{name}: {fault.kind}"
        assert all(item.why.startswith("it could not be looked at: ") for item in doubtful)
        assert {item.what for item in found if item.state == "goes"} <= goes, name
        covered = tuple(f"{item.name}/" for item in doubtful)
        missing = {item.what for item in wanted} - {item.what for item in found}
        # Docker's files are told where it goes. Images are forgotten with what remembers them, which stays.
        hidden = ("docker", "image") if any(item.kind == "memory" for item in doubtful) else ("docker",)
        assert [
            what for what in missing if not f"{what}/".startswith(covered) and not any(word in what for word in hidden)
        ] == [], name


# --- The locks


def test_a_teardown_waits_for_others_and_gives_up_before_it_has_done_anything(world: World) -> None:
    path = f"{RUN_FOLDER}/work"
    fd = FakeFiles(world.kernel).open_shared(path)
    world.kernel.pwrite(fd, b"backup, process 7", 0)
    world.kernel.flock(fd, fcntl.LOCK_SH)
    before = world.state
    with pytest.raises(LockedError):
        world.remove()
    assert world.state == before
    assert world.said[0] == "still at work here: backup, process 7; waiting for it to end"


def test_a_drill_is_not_torn_down_while_it_runs(world: World) -> None:
    fd = FakeFiles(world.kernel).open_shared(f"{RUN_FOLDER}.drill.lock")
    world.kernel.flock(fd, fcntl.LOCK_EX)
    world.container("open-webui-drill", WEBUI, folder="", network="none")
    with pytest.raises(LockedError):
        world.remove()
    assert "open-webui-drill" in world.state["containers"]


# --- Cut off, and failing, everywhere

SCENARIOS = {
    "data stay, beside what is others'": ({}, True),
    "all, with Docker": (EVERYTHING, False),
}


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_teardown_that_is_cut_off_or_fails_anywhere_harms_nobody_and_the_next_one_ends_it(
    tmp_path: Path, name: str
) -> None:
    changes, with_foreign = SCENARIOS[name]

    def world_of(faults: Faults, number: int) -> World:
        return World(tmp_path / str(number), faults, foreign=with_foreign, **changes)

    plain = world_of(Faults(), 0)
    before = plain.foreign
    plain.remove()
    wanted = plain.state
    points = plain.faults.points()
    failures = crashes = 0
    for number, fault in enumerate(points, 1):
        world = world_of(Faults(fault), number)
        told = f"{plain.faults.calls[fault.index].name}: {fault.kind}"
        try:
            world.remove()
            assert world.state == wanted or _is_others_image(fault, told), (
                f"{told}: it ended well, and something is left"
            )
        except Crash:
            crashes += 1
        except HostError:
            failures += 1
            # What the next teardown finds out by: what failed is not forgotten.
            assert world.said or fault.index < 3, told
        assert world.foreign == before, told
        world.kernel.restart()
        world.faults.fault, world.faults.dead = None, False
        world.remove()
        assert world.state == wanted or _is_others_image(fault, told), told
        assert world.foreign == before, told
    assert failures > 30
    assert crashes > 60


def _is_others_image(fault: Fault, told: str) -> bool:
    """Docker's no to an image is its last word; whoever runs it again has no more to go by."""
    return fault.kind == REFUSED and "remove_image" in told
