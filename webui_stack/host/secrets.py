"""The stack's secrets: what they are on this host, and the files that hold them as the settings say.

They are made on the host and kept: one that is there is never made again. `look` and `write` go by the same plan.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

from .engine import Container, Engine, EngineError, NotFound, Unavailable
from .errors import HostError
from .files import Files
from .records import dataclass, field
from .stack import FOLDER_LABEL
from .system import System
from .typed import Any

# Of letters and digits, which need no quotes anywhere, in a URL neither. So many of them have 285 bits.
_LENGTH = 48
_PLACE = re.compile(r"\$\{(\w+)\}")
RECEIVERS = "secrets/alarms.json"
"""The file of the receivers of alarms, in the stack's folder.

It is the operator's alone, and no part of a release or of a backup set: what is in force is what was set last.
"""


@dataclass(frozen=True)
class Secret:
    """A value that the files are made of.

    `name` is the one that texts refer to, `file` its file in the folder of secrets, "" for none. `supplied` is the
    operator's own. Without it, one that is `kept` is made here; it has letters and digits, and characters of `also`.
    """

    name: str
    file: str = ""
    mode: int = 0o600
    supplied: str = field(default="", repr=False)
    kept: bool = True
    also: str = ""


@dataclass(frozen=True)
class Wish:
    """The secrets and the files that hold them, in the stack's folder.

    `acl` and `env` are texts with places, ${NAME} and ${NAME_sha256}. `environment` is added to the second.
    `marks` tell a folder of this project. `adopts` says that a key which somebody gave Open WebUI by hand is kept.
    `receivers` is the text of `RECEIVERS`; without one, no such file is there.
    """

    folder: str
    secrets: Sequence[Secret]
    acl: str
    env: str
    marks: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    adopts: bool = False
    receivers: str = field(default="", repr=False)


@dataclass(frozen=True)
class State:
    """What is stale, by path: its "content", its "mode" and owner alone, or its "presence"; or why nothing can be
    written.

    `env` and `acl` are the texts that are wanted, whatever is on the host. They hold secrets.
    """

    stale: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
    env: str = field(default="", repr=False)
    acl: str = field(default="", repr=False)


def wish(arguments: Mapping[str, Any]) -> Wish:
    """The wish that a request holds."""
    given = {**arguments, "secrets": [Secret(**one) for one in arguments["secrets"]]}
    return Wish(**given)


class RefusalError(HostError):
    """Nothing can be written as it is wished, and nothing was."""


@dataclass(frozen=True)
class _Plan:
    """What is to be there, by path: folders with their mode, and files with mode and text, in the order of writing.

    Secrets come before the files that are made of them. So a run that was cut off leaves each secret in one place, from
    which the next run makes the rest. Nothing is to be at the paths of `absent`.
    """

    folders: Mapping[str, int]
    files: Mapping[str, tuple[int, str]] = field(repr=False)
    absent: Sequence[str]
    env: str = field(repr=False)
    acl: str = field(repr=False)


def look(files: Files, engine: Engine, wanted: Wish) -> State:
    """What is stale. A secret that is still to be made counts as an empty text, so that its files are stale.

    So does a key made by hand where Docker does not say whether there is one: it may not be installed yet.
    """

    def by_hand() -> str:
        try:
            return _by_hand(engine, wanted.folder)
        except EngineError:
            return ""

    try:
        plan = _plan(files, wanted, by_hand, lambda: "")
    except RefusalError as refusal:
        return State(refused=str(refusal))
    return State(_stale(files, plan), env=plan.env, acl=plan.acl)


def made() -> str:
    """A new secret."""
    # Here, because they take 3 ms to import, and most runs make no secret.
    from secrets import choice
    from string import ascii_letters, digits

    return "".join(choice(ascii_letters + digits) for _ in range(_LENGTH))


def write(
    files: Files, engine: Engine, system: System, wanted: Wish, make: Callable[[], str] = made
) -> Mapping[str, str]:
    """Ensure the secrets and their files are there as wished. Returns what was written, as `State.stale` has it.

    Each file is replaced whole, and a run that was cut off is finished by the next one. Raises `RefusalError`, and has
    written nothing, where `look` says "refused"; `HostError`, where a Docker that is installed does not say whether a
    key was made by hand; and `HostError`, where a file can't be written.
    """

    def by_hand() -> str:
        try:
            return _by_hand(engine, wanted.folder)
        except EngineError as error:
            is_silent = isinstance(error, Unavailable)
            if is_silent and not (system.has("docker") or system.has("dockerd")):
                return ""
            raise HostError(
                "webui-secret-key",
                expected="Docker to say whether an open-webui made by hand has one",
                got=f"no answer ({error.got})" if is_silent else error.got,
                do=error.do,
            ) from None

    plan = _plan(files, wanted, by_hand, make)
    stale = _stale(files, plan)
    for path in stale:
        if path in plan.absent:
            files.remove(path)
        elif path in plan.folders:
            files.make_folder(path, mode=plan.folders[path])
        else:
            mode, text = plan.files[path]
            files.write(path, f"{text}\n".encode("utf-8", "surrogateescape"), mode=mode)
    return stale


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _plan(files: Files, wanted: Wish, by_hand: Callable[[], str], make: Callable[[], str]) -> _Plan:
    """What is to be there. Raises `RefusalError`; changes nothing."""
    folder = wanted.folder
    if not files.may_own(folder, wanted.marks):
        raise RefusalError(
            folder,
            expected="an empty folder or one that this project made",
            got="one with other files in it",
            do="set stack_dir to another, or move them away",
        )
    found = {one.name: _found(files, wanted, one, by_hand) for one in wanted.secrets}
    # Only now, when nothing is refused any more.
    values = {one.name: found[one.name] or (make() if one.kept else "") for one in wanted.secrets}
    values.update({f"{name}_sha256": sha256(value) for name, value in values.items()})
    acl = _filled(wanted.acl, values)
    values["acl_sha256"] = _label(files, folder, sha256(acl))
    env = "\n".join(
        [_filled(wanted.env, values), *(f"{name}='{wanted.environment[name]}'" for name in sorted(wanted.environment))]
    )
    contents = {f"{folder}/secrets/{one.file}": (one.mode, values[one.name]) for one in wanted.secrets if one.file}
    # Some services read theirs as another user than root. The folder around it is closed to everybody else.
    contents.update({f"{folder}/valkey/users.acl": (0o644, acl), f"{folder}/.env": (0o600, env)})
    receivers = f"{folder}/{RECEIVERS}"
    if wanted.receivers:
        contents[receivers] = (0o600, wanted.receivers)
    absent = () if wanted.receivers else (receivers,)
    return _Plan({folder: 0o700, f"{folder}/secrets": 0o700, f"{folder}/valkey": 0o755}, contents, absent, env, acl)


def _found(files: Files, wanted: Wish, secret: Secret, by_hand: Callable[[], str]) -> str:
    """The value that a secret has, by the operator, in its file, or by hand; "" where it has none yet."""
    if not secret.kept:
        return secret.supplied
    path = f"{wanted.folder}/secrets/{secret.file}"
    value = secret.supplied or _kept(files, path)
    if not value and wanted.adopts and secret.name == "webui_secret_key":
        value = by_hand()
    if not re.fullmatch(f"[A-Za-z0-9{re.escape(secret.also)}]*", value):
        raise RefusalError(
            path,
            expected=f"only letters, any of {secret.also} and digits" if secret.also else "only letters and digits",
            got="something else (not shown)",
            do="remove the file to have a new one made",
        )
    return value


def _stale(files: Files, plan: _Plan) -> Mapping[str, str]:
    """The paths that are not as planned, in the plan's order."""
    found = {}
    for path, mode in plan.folders.items():
        there = files.stat(path)
        if there is None or (there.kind, there.mode) != ("folder", mode) or not files.is_mine(there):
            found[path] = "mode"
    for path, (mode, text) in plan.files.items():
        there = files.stat(path)
        if there is None or there.kind != "file" or _text(files, path) != f"{text}\n":
            found[path] = "content"
        elif there.mode != mode or not files.is_mine(there):
            found[path] = "mode"
    found.update({path: "presence" for path in plan.absent if files.exists(path)})
    return found


def _kept(files: Files, path: str) -> str:
    """The secret in a file; "" where there is none, or nothing in it.

    What is no file may lead to a secret, such as a link to another disk: nobody makes a new one in its place.
    """
    there = files.stat(path)
    if there is None:
        return ""
    if there.kind != "file":
        got = {"other": "a device, a socket or a FIFO"}.get(there.kind, f"a {there.kind}")
        raise RefusalError(path, expected="a file with a secret", got=got, do="put the file itself in its place")
    return _text(files, path)[:-1]


def _text(files: Files, path: str) -> str:
    """A file's text with an end of its last line. Bytes that are no UTF-8 make it another text than any wanted one."""
    text = (files.read(path) or b"").decode("utf-8", "surrogateescape")
    return text if text.endswith("\n") or not text else f"{text}\n"


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], text)


def _label(files: Files, folder: str, acl_sha256: str) -> str:
    """What Valkey's container is labelled with: users that a running one has loaded keep the label it was made with."""
    noted, _, label = (files.read_text(f"{folder}/valkey/acl-label") or "").strip().partition(" ")
    return label if noted == acl_sha256 and label else acl_sha256


def _by_hand(engine: Engine, folder: str) -> str:
    """The key of an open-webui made by hand; "" where it has none, and where there is no such container.

    Another key would sign everybody out and lose their OAuth tokens (open-webui#12674). Raises `EngineError` where
    Docker does not say.
    """
    try:
        there: Container = engine.container("open-webui")
    except NotFound:
        return ""
    if there.labels.get(FOLDER_LABEL, "") == folder:
        return ""
    from . import open_webui  # here, because it takes 30 ms to load: it asks providers by HTTPS

    return open_webui.own_key(engine, there)
