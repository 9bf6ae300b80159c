"""Rotate: new secrets are in force and the old ones revoked, or the old ones are in force again. Valkey runs on.

While Open WebUI is recreated with its new password, Valkey takes the old one, too. Nobody is disconnected whose user is
still there with its channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from .. import secrets
from ..assembly import Assembly, Stack
from ..clock import Clock
from ..engine import NotFound
from ..errors import HostError
from ..files import Files
from ..holder import Holder, Processes
from ..journal import Entry, Step
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..run_log import RunLog
from ..secrets import Wish
from ..system import require_root
from . import recover

VERB = "rotate"
MAKE, START, REVOKE, REMEMBER = "make", "start", "revoke", "remember"
STEPS: Sequence[Step] = (
    Step(MAKE, "go back"),
    Step(START, "go back"),
    # Open WebUI was healthy with the new secrets. Valkey may take the old password still.
    Step(REVOKE, "go on"),
    Step(REMEMBER, "go on"),
)
"""The steps of this verb for the journal's table."""
_LOG = "/run/open-webui-stack.rotate"
_VALKEY = "redis-valkey"
_VALKEY_PASSWORD, _PROBE_PASSWORD = "valkey_password", "probe_password"
_USERS, _LABEL_FILE, _MONITOR = "valkey/users.acl", "valkey/acl-label", "secrets/valkey-monitor-password"
_LABEL = "open-webui-stack.users-acl"
# Those of whom both passwords are good for a while: Open WebUI, and who has Valkey load its users.
_OF_SECRETS = ("open-webui", "monitor")
_LOADED = "cat >/run/users.acl"
_ANSWER_S = 60
_WRONG = "WRONGPASS"
_TOLD = {
    _VALKEY_PASSWORD: "valkey_password is renewed, the old one good for nothing; Valkey was not restarted",
    "open_webui_secret_key": "open_webui_secret_key is renewed: everybody has to sign in again, and OAuth sessions and "
    "OAuth clients of tool servers have to be set up anew",
    "postgres_password": "postgres_password is renewed; Postgres was not restarted",
    _PROBE_PASSWORD: "probe_password is renewed; the next verify gives it to the account",
}


@dataclass(frozen=True)
class Request:
    """Which secrets are renewed, by the names of `rotate_secrets`. It holds none of them.

    `files` are theirs, below the stack's folder. `containers` are all that the stack has.
    """

    rotated: Sequence[str]
    files: Sequence[str]
    containers: Sequence[str]


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure the secrets are others than before, and in force; `arguments` are `stack`, `request` and `wish`.

    These are those of `Stack`, `Request` and `secrets.Wish`. The wish may hold the operator's own secrets.
    """
    require_root()
    stack, asked = Stack(**arguments["stack"]), Request(**arguments["request"])
    files, clock = Files(), Clock()
    with Locks(LINUX, clock, lambda line: emit(Event(line))).work(VERB, asked.containers) as held:
        log = RunLog(files, _LOG, emit)
        made = Assembly(stack, log, held.descriptors, table=recover.TABLE, files=files, clock=clock)
        try:
            recover.end_stack(made)
            Rotation(made, asked, Processes().me(VERB)).rotate(secrets.wish(arguments["wish"]))
        except HostError as error:
            log.note(str(error))
            raise
        finally:
            log.write()


def recovery(made: Assembly, entry: Entry) -> Rotation:
    """What ends a rotation that was cut off (`journal.Verb`)."""
    noted = entry.data.get("request", {})
    known = {one.name: noted[one.name] for one in fields(Request) if one.name in noted}
    return Rotation(made, Request(**known), Processes().me(VERB))


class Rotation:
    """The renewal of some secrets of one stack. The caller of each public method holds the work lock."""

    def __init__(
        self,
        made: Assembly,
        asked: Request,
        me: Holder,
        *,
        make: Callable[[], str] = secrets.made,
    ) -> None:
        self._made, self._asked, self._me, self._make_one = made, asked, me, make
        self._folder, self._good = made.of.folder, made.releases.in_force.folder
        self._journal, self._files = made.journal, made.files

    def rotate(self, wish: Wish) -> None:
        """Ensure the secrets are renewed, in force, and the old ones revoked; the stack is as its files say before.

        Until Open WebUI was healthy with the new secrets, the old ones come back where a call fails. From then on they
        don't: the journal stays open then, and the next deploy or recovery revokes the old ones. Raises `HostError` in
        both cases.
        """
        self._journal.begin(VERB, self._me, {"stack": asdict(self._made.of), "request": asdict(self._asked)})
        try:
            self._made.releases.remember(self._made.project)
        except HostError:
            self._journal.end()
            raise
        try:
            self._make(wish)
            self._start()
        except HostError as error:
            raise self._undone(error) from error
        try:
            self._finish()
        except HostError as error:
            self._say(str(error))
            raise self._failed("the new ones are in use, and the old ones may be good still: run deploy.py") from error
        for name in _TOLD:
            if name in self._asked.rotated:
                self._say(_TOLD[name])

    # --- After a crash (`journal.Verb`)

    def go_on(self, _: Entry) -> None:
        """Ensure the old secrets are revoked; Open WebUI was healthy with the new ones."""
        self._finish()

    def go_back(self, _: Entry) -> None:
        """Ensure the earlier secrets are in force."""
        self._back()
        self._journal.end()

    # --- Steps

    def _make(self, wish: Wish) -> None:
        """Ensure the files hold new secrets, and nothing has read them yet."""
        self._journal.step(MAKE)
        for path in self._asked.files:
            self._files.remove(f"{self._folder}/{path}")
        self._write(wish)
        if self._renews_valkey:
            # Valkey's container goes on by the label it was made with, so that compose does not make it anew.
            label = self._made.engine.container(_VALKEY).labels.get(_LABEL, "")
            users = secrets.sha256(self._text(f"{self._folder}/{_USERS}").rstrip("\n"))
            self._files.write(f"{self._folder}/{_LABEL_FILE}", f"{users} {label}\n")
            self._write(wish)

    def _write(self, wish: Wish) -> None:
        secrets.write(self._files, self._made.engine, self._made.system, wish, self._make_one)

    def _start(self) -> None:
        """Ensure Open WebUI is healthy with the new secrets."""
        if not self._restarts:
            return
        self._journal.step(START)
        if self._renews_valkey:
            self._load(self._both(self._folder, self._good), [self._good, self._folder])
        began_s = self._made.clock.monotonic()
        try:
            # Of Postgres, whoever is connected stays so; a process that still has the old password opens no new
            # connection until its turn.
            self._made.services.up()
        except HostError:
            for line in self._made.containers.complaints(self._asked.containers):
                self._say(line)
            raise
        self._say(f"open-webui was away for at most {int(self._made.clock.monotonic() - began_s)} s")

    def _finish(self) -> None:
        """Ensure the old secrets are good for nothing, and the new ones those of the release in force."""
        if self._renews_valkey:
            self._journal.step(REVOKE)
            self._load_or_restart([self._folder, self._good])
        self._journal.step(REMEMBER)
        self._made.releases.remember(self._made.project)
        if self._renews_valkey:
            # Last: until then the next deploy finds that they are newer than the process, and makes Valkey anew.
            reference = self._files.stat(f"{self._folder}/valkey/valkey.conf")
            if reference:
                for folder in (self._good, self._folder):
                    self._files.set_changed(f"{folder}/{_USERS}", reference.changed_s)
        self._journal.end()

    # --- Back

    def _undone(self, error: HostError) -> HostError:
        """The error to raise once the old secrets are in force again, or are not: then the journal stays."""
        self._say(str(error))
        try:
            self._back()
        except HostError as another:
            self._say(str(another))
            return self._failed("the old ones are not in force yet: run this again")
        self._journal.end()
        return self._failed("the old ones are in place again")

    def _back(self) -> None:
        """Ensure the secrets of the release in force are in the files, and in use."""
        self._made.releases.in_force.check()  # a damaged file must not become Valkey's users
        knows_both = True
        if self._renews_valkey:
            try:
                self._load(self._both(self._good, self._folder), [self._good, self._folder])
            except HostError:
                knows_both = False  # it may not run, or has read the new ones at a start of its own
        self._made.releases.recall()
        if self._restarts:
            if not knows_both:
                with suppress(NotFound):  # compose makes it
                    self._made.engine.restart(_VALKEY)  # it reads the old ones at its start
            self._made.services.up()
        if self._renews_valkey:
            self._load_or_restart([self._good])

    def _failed(self, became: str) -> HostError:
        return HostError(VERB, expected=f"{', '.join(self._asked.rotated)} to be renewed", got="the above", do=became)

    # --- Valkey's users

    def _both(self, rules: str, also: str) -> str:
        """The users in the folder `rules`, by whose passwords those in the folder `also` are good, too."""
        others = {words[1]: words[3] for words in self._words(also) if len(words) > 3 and words[1] in _OF_SECRETS}
        lines = []
        for words in self._words(rules):
            other = others.get(words[1]) if len(words) > 3 else None
            lines.append(" ".join([*words[:4], *([other] if other and other != words[3] else []), *words[4:]]))
        return "".join(f"{line}\n" for line in lines)

    def _words(self, folder: str) -> list[list[str]]:
        return [line.split(" ") for line in self._text(f"{folder}/{_USERS}").splitlines()]

    def _load_or_restart(self, folders: Sequence[str]) -> None:
        """Ensure Valkey knows the users of the folder, and no other password."""
        try:
            self._load(self._text(f"{self._folder}/{_USERS}"), folders)
        except HostError as error:
            self._say(str(error))
            self._made.engine.restart(_VALKEY)  # it reads them at its start
            self._made.services.up()

    def _load(self, users: str, folders: Sequence[str]) -> None:
        """Ensure Valkey knows these users and no others, asked by the password that a stack's folder has for that.

        It does not always know which of the folders' passwords is good; a wrong one is in Valkey's log of refusals.
        """
        if not users.strip():
            raise HostError(f"{self._folder}/{_USERS}", expected="Valkey's users", got="none", do="run deploy.py")
        self._made.engine.exec(_VALKEY, ["sh", "-c", _LOADED], stdin=users.encode())
        got = "no password to ask it by"
        for password in dict.fromkeys(self._text(f"{folder}/{_MONITOR}").strip() for folder in folders):
            if not password:
                continue
            got = self._ask_to_load(password)
            if got == "OK":
                return
            if _WRONG not in got:
                break
        raise HostError("Valkey", expected="it to load its users", got=got, do="look at its log, and run this again")

    def _ask_to_load(self, password: str) -> str:
        # The container's own `timeout` ends what Docker can't end.
        command = ["timeout", str(_ANSWER_S), "valkey-cli", "--user", "monitor", "acl", "load"]
        # Never an argument: only root can read a process's environment.
        env = {"REDISCLI_AUTH": password}
        done = self._made.engine.exec(_VALKEY, command, env=env, accept=range(256), timeout_s=_ANSWER_S + 5.0)
        said = done.stdout.decode("utf-8", "replace").replace("\r", "").strip()
        if said == "OK":
            return said
        errors = done.stderr.decode("utf-8", "replace").strip()
        return " ".join(part for part in (said, errors) if part) or "no answer"

    # --- Below

    @property
    def _renews_valkey(self) -> bool:
        return _VALKEY_PASSWORD in self._asked.rotated

    @property
    def _restarts(self) -> bool:
        """Whether a container reads one of the secrets at its start."""
        return any(name != _PROBE_PASSWORD for name in self._asked.rotated)

    def _text(self, path: str) -> str:
        return self._files.read_text(path) or ""

    def _say(self, text: str) -> None:
        self._made.log.say(text)
