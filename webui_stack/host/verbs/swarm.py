"""Swarm: the stack runs in the swarm as its files say, and is remembered; or the last good deploy runs again.

An upgrade changes people's data, so it has a verb of its own in the journal: until it ends, no other run begins. Its
way back is a copy of the database, made while nobody writes. Replicas migrate nothing; a container of its own does.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .. import journal
from ..assembly import Assembly, Stack
from ..clock import Clock, utc
from ..data.database_copy import FAILED
from ..data.migrator import Migrator
from ..data.sqlite import Schema
from ..data.swarm_postgres import SwarmPostgres, healthy
from ..engine import Engine, NotFound
from ..errors import HostError
from ..files import Files
from ..holder import Holder, Processes
from ..journal import OLD_MARK, Entry, Journal, Step
from ..kernel import LINUX
from ..locks import Locks
from ..patience import Patience
from ..protocol import Event
from ..releases import Release, RememberedImage
from ..run_log import RunLog
from ..stack_deploy import StackDeploy
from ..stack_file import StackFile
from ..swarm import definitions_of
from ..swarm_releases import SwarmReleases
from ..swarm_secrets import SwarmSecrets
from ..swarm_services import OPEN_WEBUI, NotHealthyError, SwarmServices
from ..system import require_root
from . import backup

VERB, UPGRADE = "swarm", "swarm_upgrade"
PREPARE, STOP, SECURE, MIGRATE, DEPLOY = "prepare", "stop", "secure", "migrate", "deploy"
REMEMBER, SETTLE, BACK, RECALL = "remember", "settle", "back", "recall"
STEPS: Sequence[Step] = (
    Step(PREPARE, "go back"),
    Step(STOP, "go back"),
    Step(SECURE, "go back"),
    Step(MIGRATE, "go back"),
    # Where the new version serves all the same, the way back becomes the way on: see `Swarm.go_back`.
    Step(DEPLOY, "go back"),
    # What runs from here on was healthy, and people have worked with it.
    Step(REMEMBER, "go on"),
    Step(SETTLE, "go on"),
    Step(BACK, "go back"),
    Step(RECALL, "go back"),
)
"""The steps of a deploy, and of an upgrade, for the journal's table."""
_OF_EARLIER_VERSIONS = "upgrade"
TABLE: journal.Table = {VERB: STEPS, UPGRADE: STEPS, _OF_EARLIER_VERSIONS: (*STEPS, Step(OLD_MARK, "go back"))}
"""What a journal may hold of a stack in a swarm, where `recover` reads it."""
_NOTED = "set"
"""When the copy of the database was made. The journal leaves it as `.upgrading` for earlier versions."""
_OLD_MARK = ".upgrading"


@dataclass(frozen=True)
class Request:
    """What the operator's side has planned, after it has put the files into the stack's folder.

    `swarm` is the stack's name there. `images` has, for each service, the `variable` of stack.yaml, the `reference`,
    and the `container` that stands for it in a release. `secrets` has variables by name, `variables` are Open WebUI's
    secret ones in `.env`, and `configs` paths in the folder by name. Nodes with `web_label` take replicas, of which
    the settings want so many `replicas`. `environment` and `shared_dir` are what Open WebUI has to migrate. Services
    in `again` get new tasks. `upgrades` allows to change the schema of people's data, once they are in the set that
    `backup` asks for. With `data_only`, no replica of Open WebUI starts: a restore brings the data first.
    """

    swarm: str
    images: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, str]
    variables: Sequence[str]
    configs: Mapping[str, str]
    volumes: Sequence[str]
    web_label: str
    network: str
    replicas: int
    environment: Mapping[str, str] = field(default_factory=dict)
    shared_dir: str = ""
    again: Sequence[str] = ()
    upgrades: bool = False
    data_only: bool = False
    backup: Mapping[str, Any] = field(default_factory=dict)


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> str:
    """Ensure the stack runs as its files say; `arguments` are those of `Stack` and of `Request`, by these names.

    All that it says is in `up.log` in the stack's folder as well. Returns the release's name.
    """
    return str(_under_lock(arguments, emit, lambda _, verb: verb.up()))


def recover(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure an upgrade that was cut off is ended: the new version stays where it serves, else what was before returns.

    `arguments` are those of `run`: for an upgrade that an earlier version of this project began.
    """

    def end(made: Assembly, verb: Swarm) -> None:
        _date_old_mark(made)
        entry = made.journal.open()
        if entry and entry.verb not in TABLE:
            do = "run runbooks/restore.py again"
            raise HostError("upgrade", expected="no other verb that was cut off", got=str(entry), do=do)
        if entry and entry.data.get("request"):
            verb = recovery(made, entry)
        journal.recover(made.journal, dict.fromkeys(TABLE, verb), Processes().me(UPGRADE), Processes())

    _under_lock(arguments, emit, end)


def _under_lock(
    arguments: Mapping[str, Any], emit: Callable[[Event], None], act: Callable[[Assembly, Swarm], Any]
) -> Any:
    require_root()
    stack, asked = Stack(**arguments["stack"]), Request(**arguments["request"])
    files, clock = Files(), Clock()
    with Locks(LINUX, clock, lambda line: emit(Event(line))).work("deploy") as held:
        log = RunLog(files, f"{stack.folder}/up.log", emit)
        made = Assembly(stack, log, held.descriptors, table=TABLE, files=files, clock=clock)
        try:
            return act(made, of(made, asked))
        except HostError as error:
            log.note(str(error))
            raise
        finally:
            log.write()


def recovery(made: Assembly, entry: Entry) -> Swarm:
    """What ends a deploy or an upgrade that was cut off, by the journal alone (`verbs/recover.py`)."""
    return of(made, _request(entry))


def of(made: Assembly, asked: Request, *, save: Callable[[], str] | None = None) -> Swarm:
    """The deploy of a stack to a swarm. `save` makes a backup set; tests give their own."""
    stack, tell = made.of, made.log.say
    patience = Patience(made.clock)
    file = StackFile(made.files, stack.folder)
    services = SwarmServices(
        made.engine,
        made.clock,
        patience,
        file,
        asked.swarm,
        start_s=stack.wait_s,
        wait_s=stack.wait_s * asked.replicas + 60,
        tell=tell,
    )
    postgres = SwarmPostgres(
        made.engine, patience, made.files, made.cluster, stack.folder, services.name("postgres"), tell
    )
    return Swarm(
        made,
        asked,
        patience=patience,
        file=file,
        releases=SwarmReleases(made.files, made.engine, made.clock, stack.folder, kept=0),
        deploys=StackDeploy(
            made.system,
            made.engine,
            made.clock,
            patience,
            file,
            asked.swarm,
            asked.web_label,
            made.descriptors,
        ),
        services=services,
        secrets=SwarmSecrets(made.engine, patience, made.files, stack.folder, asked.variables),
        postgres=postgres if stack.database == "postgres" else None,
        migrator=Migrator(made.helper, made.files, stack.folder, asked.network, tell),
        save=save or (lambda: _save(made, asked)),
        me=Processes().me(VERB),
    )


def _save(made: Assembly, asked: Request) -> str:
    return backup.carry_out(made, backup.Request(**asked.backup))


class Swarm:
    """One stack's deploy to a swarm. The caller of each public method holds the work lock.

    `postgres` is None where the database is elsewhere, and so is the care for it: what is new there, the migrator does.
    """

    def __init__(
        self,
        made: Assembly,
        asked: Request,
        *,
        patience: Patience,
        file: StackFile,
        releases: SwarmReleases,
        deploys: StackDeploy,
        services: SwarmServices,
        secrets: SwarmSecrets,
        postgres: SwarmPostgres | None,
        migrator: Migrator,
        save: Callable[[], str],
        me: Holder,
    ) -> None:
        self._made, self._asked, self._patience, self._file = made, asked, patience, file
        self._releases, self._deploys, self._services, self._secrets = releases, deploys, services, secrets
        self._postgres, self._migrator, self._save, self._me = postgres, migrator, save, me
        self._engine: Engine = made.engine
        self._journal: Journal = made.journal
        self._tell: Callable[[str], None] = made.log.say

    def up(self) -> str:
        """Ensure the stack is healthy as its files say, and remembered. Returns the release's name.

        Where it does not get healthy, the last good deploy runs again, with its data where an upgrade was at them.
        Then this raises `HostError`, which says so. A deploy that was cut off before is taken over, an upgrade is not:
        `recover` ends it. With `data_only` nothing is remembered, and "" is returned.
        """
        self._releases.recover()
        verb = UPGRADE if self._asked.upgrades and self._postgres else VERB
        noted = {"stack": asdict(self._made.of), "request": asdict(self._asked)}
        self._journal.begin(verb, self._me, noted, over=(VERB,))
        try:
            if self._asked.data_only:
                self._only_data()
                self._journal.end()
                return ""
            self._all_of_it()
        except HostError as error:
            raise self._undone(error) from error
        name = self._remember()
        self._settle()
        return name

    # --- After a crash (`journal.Verb`)

    def go_on(self, entry: Entry) -> None:
        """Ensure what was healthy is remembered, and what was kept for the way back is gone."""
        del entry
        self._remember()
        self._settle()

    def go_back(self, entry: Entry) -> None:
        """Ensure the new version is remembered where it serves: people have worked with it, and would lose that.

        Else ensure what was before runs again, with its data.
        """
        self._releases.recover()
        upgraded = entry.verb != VERB
        what = "an upgrade" if upgraded else "a deploy"
        if self._was_remembered(entry) or (entry.step != RECALL and self._went_on()):
            self.go_on(entry)
            after = " after it had migrated the data" if upgraded else ""
            self._tell(f"{what} was cut off{after}; the new version runs")
            return
        self._tell(f"{what} was cut off; what was there before comes back")
        self._tell(self._back())
        self._journal.end()

    def _was_remembered(self, entry: Entry) -> bool:
        return bool(entry.data.get(_NOTED)) and entry.data.get(_NOTED) == self._releases.upgraded()

    def _went_on(self) -> bool:
        """Whether what was cut off serves by now, all of it, on data of its own schema.

        Raises where that is unknown: then nothing changes.
        """
        image = self._services.image_of(OPEN_WEBUI)
        if not image or (self._releases.in_force.is_sound() and image in _ids(self._releases.in_force)):
            return False
        since_s = self._made.clock.now()
        try:
            if not self._services.state(OPEN_WEBUI, since_s).wanted:
                return False
            self._services.await_all(since_s)
        except (NotFound, NotHealthyError):
            return False
        if self._postgres and self._made.dataset(image).schema_of(self._postgres.heads()).word != "same":
            return False
        self._complete(image)
        return True

    def _complete(self, image: str) -> None:
        """Ensure all services are as the files say. A deploy that was cut off may have told some of them only.

        Not where the image's name means another one by now, or none: what serves stays as it is.
        """
        try:
            given = self._prepare()
        except NotFound:
            return
        if given[self._asked.images[OPEN_WEBUI]["variable"]] == image:
            self._deploy(given, self._file.replicas())

    # --- Steps

    def _only_data(self) -> None:
        """Ensure all services run but Open WebUI, of which no replica is left.

        A swarm that outlives the host with its data has given Postgres to another one by now, with an empty volume.
        """
        given = self._given()
        self._journal.step(STOP)
        self._deploy(given, 0)
        self._services.await_stop()
        if self._postgres:
            self._postgres.own_password()

    def _given(self) -> dict[str, str]:
        """Ensure volumes, secrets and configs are there. Returns what stack.yaml leaves open."""
        self._journal.step(PREPARE)
        for volume in self._asked.volumes:
            self._patience.ask(lambda name=volume: self._engine.create_volume(name))  # type: ignore[misc]
        return self._prepare()

    def _all_of_it(self) -> None:
        asked = self._asked
        given = self._given()
        another = self._services.has_another_version(given[asked.images[OPEN_WEBUI]["variable"]])
        if self._postgres and self._services.image_of("postgres") != given[asked.images["postgres"]["variable"]]:
            self._postgres.check()  # before anything stops
        # Nobody may look into a database that does not run, and no replica of Open WebUI can do without.
        if not self._data_runs():
            self._journal.step(STOP)
            self._deploy(given, 0)
        if self._postgres:
            self._postgres.own_password()
        schema = self._look(another)
        if schema != "same" or another:
            self._journal.step(STOP)
            self._deploy(given, 0)
            self._services.await_stop()
        if schema == "older" and self._postgres:
            self._journal.step(MIGRATE, {_NOTED: self._secure(self._postgres)})
        if schema != "same":
            self._journal.step(MIGRATE)
            self._tell("migrating the database")
            self._migrator.run(self._reference(OPEN_WEBUI), asked.environment, asked.shared_dir)
        self._journal.step(DEPLOY)
        # The first replica makes what the others share: the tables for vectors, the folders for uploads. A first deploy
        # that was cut off may have migrated the database, and no more.
        if schema == "none" or not self._releases.in_force.is_there():
            self._deploy(given, 1)
        self._deploy(given, self._file.replicas())
        for service in asked.again:
            self._services.again(service)
            self._services.await_all(self._made.clock.now())

    def _prepare(self, release: Release | None = None) -> dict[str, str]:
        """Ensure secrets and configs are in the swarm. Returns what stack.yaml leaves open.

        Images are those of a release, or what the settings' references mean on this host. Raises `NotFound` for one
        that is not here.
        """
        env = self._made.files.read_text(f"{self._made.of.folder}/.env") or ""
        label = next((line for line in env.split("\n") if line.startswith("VALKEY_ACL_SHA256='")), "")
        given = {"VALKEY_ACL_SHA256": label.partition("=")[2].strip("'")}
        for one in self._asked.images.values():
            if release:
                given[one["variable"]] = _image_in(release, one["container"])
            else:
                given[one["variable"]] = self._image_id(one["reference"])
        given.update(self._secrets.secrets(self._asked.secrets))
        self._secrets.configs(self._asked.configs)
        return given

    def _look(self, another: bool) -> str:
        """How the schema of the data stands to the one that is wanted: none, same or older.

        Raises `HostError` for data that this deploy may not run on.
        """
        if not self._postgres:
            return "older" if another or not self._releases.in_force.is_there() else "same"
        heads = self._postgres.heads()
        if not heads:
            return "none"
        schema = self._schema_of(heads)
        if schema.word == "older" and not self._asked.upgrades:
            raise HostError(
                "open_webui_image",
                expected="the schema the data have",
                got=f"one that changes it ({schema.there} to {schema.wanted})",
                do="runbooks/upgrade.py does that, and can go back",
            )
        if schema.word == "newer":
            raise HostError(
                "open_webui_image",
                expected="an Open WebUI that knows the data's schema",
                got=f"an older one ({schema.there} to {schema.wanted})",
                do="set a newer one",
            )
        return schema.word

    def _schema_of(self, heads: str) -> Schema:
        try:
            return self._made.dataset(self._reference(OPEN_WEBUI)).schema_of(heads)
        except HostError as error:
            if error.where != "schema":  # Docker gave no answer
                raise
            raise HostError(
                "open_webui_image",
                expected="to compare its schema with the data's",
                got=error.got,
                do="look at the image",
            ) from error

    def _secure(self, postgres: SwarmPostgres) -> str:
        """Ensure people's data are in a set, and in a copy for the way back. Returns when the copy was made.

        Nobody writes any more, so both are whole.
        """
        self._journal.step(SECURE)
        try:
            self._save()
        except HostError:
            self._tell("no set could be made, so nothing was upgraded")
            raise
        self._tell("copying the database for the way back")
        try:
            postgres.copy().make()
        except HostError:
            self._tell("no copy could be made, so nothing was upgraded; is there room for one?")
            raise
        return utc(self._made.clock.now())

    def _deploy(self, given: Mapping[str, str], replicas: int) -> None:
        """Ensure the stack runs with so many replicas of Open WebUI, each service healthy."""
        self._services.await_all(self._deploys.deploy(given, replicas))

    def _data_runs(self) -> bool:
        services = ["redis", *(["postgres"] if self._postgres else [])]
        return all(healthy(self._engine, self._patience, self._services.name(one)) for one in services)

    def _remember(self) -> str:
        self._journal.step(REMEMBER)
        entry = self._journal.open()
        try:
            images = [self._in_force(service, one) for service, one in self._asked.images.items()]
            images += [self._of_overlay(service) for service in self._file.of_overlay()]
            names = [self._services.name(one) for one in self._file.services()]
            known = self._patience.ask(lambda: definitions_of(self._made.system, names))
            return self._releases.put_in_force(images, known, str(entry.data.get(_NOTED, "")) if entry else "")
        except HostError:
            self._tell(f"it runs, and could not be remembered; is there room in {self._made.of.folder}?")
            raise

    def _settle(self) -> None:
        """Ensure nothing is left that was kept for the way back."""
        self._journal.step(SETTLE)
        self._drop_copy()
        self._secrets.tidy()
        self._journal.end()

    # --- Back

    def _undone(self, error: HostError) -> HostError:
        """The error to raise once the last good deploy runs again, or does not.

        In the second case the journal stays open: recovery tries again, and the next deploy takes over.
        """
        try:
            became = self._back()
        except HostError as another:
            self._tell(str(another))
            became = "what ran before does not run yet"
        else:
            self._journal.end()
        return HostError(error.where, expected=error.expected, got=error.got, do=became)

    def _back(self) -> str:
        """Ensure the last good deploy runs again, with its data. Returns what runs, in words."""
        entry = self._journal.open()
        noted = str(entry.data.get(_NOTED, "")) if entry else ""
        if not noted and not self._releases.in_force.is_there():
            return "there is no earlier good deploy to go back to"
        # Before anything stops: without its files and images there is nothing to go back to.
        release = self._releases.require()
        self._tell(f"going back to the deploy of {_date(release.name())}")
        # The new version stops first: until then, recovery may still find that it serves.
        if not entry or entry.step != RECALL:
            self._journal.step(BACK)
        self._migrator.end()
        if noted:
            self._services.halt()
        self._journal.step(RECALL)
        self._releases.recall()
        given = self._prepare(release)
        if noted or self._services.has_another_version(given[self._asked.images[OPEN_WEBUI]["variable"]]):
            self._deploy(given, 0)
            self._services.await_stop()
        if noted and self._postgres:
            self._put_back(self._postgres, noted)
        if self._postgres:
            with contextlib.suppress(HostError):  # where its database does not run, the deploy tells
                self._postgres.own_password()
        self._deploy(given, self._file.replicas())
        self._drop_copy()
        return "that one runs; the change is not in force"

    def _put_back(self, postgres: SwarmPostgres, noted: str) -> None:
        self._tell(f"with its data, of {noted}")
        copy, aside = postgres.copy(), FAILED
        if copy.is_there():
            # People may have worked with the new version, also where it did not get healthy on all hosts.
            try:
                self._save()
            except HostError as error:
                self._tell(str(error))
                aside = f"open-webui.{utc(self._made.clock.now())}"
        copy.put_back(aside)
        if aside != FAILED:
            self._tell(
                "no set could be made of what the new version wrote: it stays in Postgres, as the database " + aside
            )

    def _drop_copy(self) -> None:
        # One that stays takes room until the next upgrade replaces it, and no more.
        with contextlib.suppress(HostError):
            if self._postgres:
                self._postgres.copy().drop()

    # --- Images

    def _reference(self, service: str) -> str:
        return self._asked.images[service]["reference"]

    def _image_id(self, reference: str) -> str:
        return self._patience.ask(lambda: self._engine.image(reference)).id

    def _in_force(self, service: str, one: Mapping[str, str]) -> RememberedImage:
        """The image that a service runs, by the name it has: the settings', unless that means another by now."""
        id_ = self._services.image_of(service)
        if not id_:
            raise HostError(service, expected="its image", got="no such service", do="run deploy.py again")
        if self._find_id(one["reference"]) == id_:
            return RememberedImage(id_, one["reference"], one["container"])
        try:
            tags = self._patience.ask(lambda: self._engine.image(id_)).tags
        except NotFound:  # on other nodes only
            tags = ()
        return RememberedImage(id_, tags[0] if tags else f"{id_}@untagged", one["container"])

    def _of_overlay(self, service: str) -> RememberedImage:
        """The image of a service that only the overlay has: the swarm knows it by its name."""
        reference = self._services.image_of(service)
        try:
            return RememberedImage(self._image_id(reference), reference, service)
        except NotFound:
            do = "run deploy.py again"
            raise HostError(service, expected="its image here", got=reference or "none", do=do) from None

    def _find_id(self, reference: str) -> str:
        try:
            return self._image_id(reference)
        except NotFound:
            return ""


def _ids(release: Release) -> list[str]:
    return [one.id for one in release.images()]


def _image_in(release: Release, container: str) -> str:
    """The id of a container's image in a release; "" where it had no such container."""
    return next((one.id for one in release.images() if one.container == container), "")


def _request(entry: Entry) -> Request:
    """The request of an entry of the journal. Another version may have noted more."""
    noted = entry.data["request"]
    return Request(**{one.name: noted[one.name] for one in fields(Request) if one.name in noted})


def _date_old_mark(made: Assembly) -> None:
    """Ensure an old mark that a power cut has emptied has a date: one that says nothing of a release."""
    path = f"{made.of.folder}/{_OLD_MARK}"
    text = made.files.read_text(path)
    if text is not None and not text.strip("\0 \n"):
        made.files.write(path, f"{utc(made.clock.now())}\n", mode=0o644)


def _date(name: str) -> str:
    """A release's name as a date, in UTC; as it is where it is none."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.strptime(name, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return name
