"""The stack's secrets: what they are on this host, and what is to be written so that they are as the settings say.

They are made on the host and kept. `templates/secrets.sh.j2` writes them by the same rules, until a verb does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import open_webui
from .engine import Container, Engine, EngineError, NotFound
from .errors import HostError
from .files import Files
from .stack import FOLDER_LABEL

_PLACE = re.compile(r"\$\{(\w+)\}")


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
    """

    folder: str
    secrets: Sequence[Secret]
    acl: str
    env: str
    marks: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    adopts: bool = False


@dataclass(frozen=True)
class State:
    """What is stale, by path: its "content", or its "mode" and owner alone; or why nothing can be written.

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


def look(files: Files, engine: Engine, wanted: Wish) -> State:
    """What is stale. A secret that is still to be made counts as an empty text, so that its files are stale."""
    folder = wanted.folder
    if not files.may_own(folder, wanted.marks):
        expected = "an empty folder or one that this project made"
        do = "set stack_dir to another, or move them away"
        return State(refused=_line(folder, expected, "one with other files in it", do))
    values: dict[str, str] = {}
    for secret in wanted.secrets:
        value = secret.supplied
        if secret.kept:
            if not value and wanted.adopts and secret.name == "webui_secret_key":
                value = _by_hand(files, engine, folder, secret)
            value = value or _kept(files, f"{folder}/secrets/{secret.file}")
            if not re.fullmatch(f"[A-Za-z0-9{re.escape(secret.also)}]*", value):
                return State(refused=_unusable(f"{folder}/secrets/{secret.file}", secret.also))
        values[secret.name] = value
        values[f"{secret.name}_sha256"] = sha256(value)
    acl = _filled(wanted.acl, values)
    values["acl_sha256"] = _label(files, folder, sha256(acl))
    env = "\n".join(
        [_filled(wanted.env, values), *(f"{name}='{wanted.environment[name]}'" for name in sorted(wanted.environment))]
    )
    state = State({}, env=env, acl=acl)
    stale = dict(_stale_folders(files, folder))
    contents = [(f"{folder}/secrets/{one.file}", one.mode, values[one.name]) for one in wanted.secrets if one.file]
    contents += [(f"{folder}/valkey/users.acl", 0o644, acl), (f"{folder}/.env", 0o600, env)]
    for path, mode, text in contents:
        if why := _stale(files, path, mode, text):
            stale[path] = why
    return State(stale, env=state.env, acl=state.acl)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _stale_folders(files: Files, folder: str) -> Mapping[str, str]:
    found = {}
    for path, mode in ((folder, 0o700), (f"{folder}/secrets", 0o700), (f"{folder}/valkey", 0o755)):
        there = files.stat(path)
        if there is None or (there.kind, there.mode) != ("folder", mode) or not files.is_mine(there):
            found[path] = "mode"
    return found


def _stale(files: Files, path: str, mode: int, text: str) -> str:
    there = files.stat(path)
    if there is None or there.kind != "file" or _text(files, path) != f"{text}\n":
        return "content"
    return "" if there.mode == mode and files.is_mine(there) else "mode"


def _kept(files: Files, path: str) -> str:
    there = files.stat(path)
    return _text(files, path)[:-1] if there and there.kind == "file" and there.size else ""


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


def _by_hand(files: Files, engine: Engine, folder: str, secret: Secret) -> str:
    """The key of an open-webui made by hand.

    Another key would sign everybody out and lose their OAuth tokens (open-webui#12674). "" where there is none, and
    where Docker does not say: it may not be installed yet.
    """
    if _kept(files, f"{folder}/secrets/{secret.file}"):
        return ""
    try:
        made: Container = engine.container("open-webui")
        if made.labels.get(FOLDER_LABEL, "") == folder:
            return ""
        return open_webui.own_key(engine, made)
    except (NotFound, EngineError):
        return ""


def _unusable(path: str, also: str) -> str:
    expected = f"only letters, any of {also} and digits" if also else "only letters and digits"
    return _line(path, expected, "something else (not shown)", "remove the file to have a new one made")


def _line(where: str, expected: str, got: str, do: str) -> str:
    return str(HostError(where, expected=expected, got=got, do=do))
