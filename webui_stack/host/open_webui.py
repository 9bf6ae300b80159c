"""Open WebUI as its container has it: its variables without their secrets, and what it answers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import compose, digits, programs, sign_in, stack
from .engine import Container, Engine, NotFound, ProgramFailed
from .errors import HostError
from .unread import Unread

# In a swarm this file has the variables with secrets.
_SECRETS = "/run/secrets/open-webui.env"
_NAME = re.compile("[A-Za-z0-9_]+")
# A name and a password in an address: up to the last "@", because a password may hold one, or a slash.
_CREDENTIALS = re.compile("//[^;]*@")
# Scheme, credentials, host, port, database, query. Any other form does not tell which part is the password.
_ADDRESS = re.compile(r'([a-z+]+://)([^"?#]*@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?(/[0-9]*)?(\?[^@"]*)?')
# Where the start script of an image keeps the key that it made itself (Open WebUI 0.12, backend/start.sh).
_OWN_KEY = "/app/backend/.webui_secret_key"
# A key of fewer characters can be guessed.
_KEY_LENGTH = 32
_API_S = 4
# In seconds. What curl asks for a status has its own limit, which ends what Docker can't end.
_STATUS_S = 5
# In seconds. Making the account loads Open WebUI's own models first.
_SAVE_S = 300
_ADDRESS_INSIDE = "http://127.0.0.1:8080"
WEBSOCKET = "/ws/socket.io/?EIO=4&transport=websocket"
HANDSHAKE = (
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: c2VydmluZ3NlcnZpbmdzZQ==",
)
"""The path, and the headers, by which `status` opens a websocket."""
NOTHING: Mapping[str, Any] = {
    "variables": [],
    "values": {},
    "addresses": {},
    "key": None,
    "api": {},
    "persisted": None,
    "vectors": None,
    "sign_in": [],
}
"""What is known where no Open WebUI is."""


def look(
    engine: Engine, unread: Unread, one: Container | None, *, shown: Collection[str], addresses: Sequence[str]
) -> dict[str, Any]:
    """Its variables by name, of those in `shown` the values, of those in `addresses` the address; and its answers.

    No secret is in it.
    """
    if one is None:
        return dict(NOTHING)
    no_file: Mapping[str, str] = {}
    no_answer: Mapping[str, Any] = {}
    no_ways: list[Any] = []
    variables = {**one.env, **unread.answer(lambda: _in_swarm(engine, one), no_file)}
    return {
        **told(variables, shown, addresses),
        "api": unread.answer(lambda: _api(engine, one), no_answer),
        **_persisted(engine, unread, one),
        "sign_in": unread.answer(lambda: _sign_in(engine, one, variables), no_ways),
    }


def told(variables: Mapping[str, str], shown: Collection[str], addresses: Sequence[str]) -> dict[str, Any]:
    """The variables that have a value, as far as others may see them."""
    given = {name: value for name, value in variables.items() if value and _NAME.fullmatch(name)}
    return {
        "variables": list(given),
        "values": {name: _CREDENTIALS.sub("//", value) for name, value in given.items() if name in shown},
        "addresses": {name: _address(given[name]) for name in addresses if name in given},
        "key": _key(given.get("WEBUI_SECRET_KEY", "")),
    }


def _address(text: str) -> str:
    """Scheme, host, port and database; "?" where it is not plain which part is the password."""
    found = _ADDRESS.fullmatch(text)
    return "".join(part or "" for part in found.group(1, 3, 4, 5)) if found else "?"


def _key(key: str) -> dict[str, Any] | None:
    if not key:
        return None
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    return {"fingerprint": digest[:12], "short": len(key) < _KEY_LENGTH}


def _in_swarm(engine: Engine, one: Container) -> Mapping[str, str]:
    if stack.SERVICE_LABEL not in one.labels:
        return {}
    said = programs.said(engine, one, ["sh", "-c", f"[ ! -e {_SECRETS} ] || cat {_SECRETS}"], name=_SECRETS)
    return compose.variables(said)


def _api(engine: Engine, one: Container) -> Mapping[str, Any]:
    """What it tells everybody of itself; {} where it does not run."""
    if one.status != "running":
        return {}
    command = ["curl", "--silent", "--max-time", str(_API_S), f"{_ADDRESS_INSIDE}/api/config"]
    said = programs.said(engine, one, command, limit_s=_API_S + 5)
    return _object(f"/api/config of {one.name}", said)


def status(engine: Engine, one: Container, path: str, *headers: str) -> int:
    """The HTTP status that it gives itself, in a container that runs; 0 without an answer in 5 s.

    Of a connection that stays open, as a websocket does, it is known after these 5 s. Raises `HostError` where curl
    could not be run.
    """
    options = ["--silent", "--max-time", str(_STATUS_S), "--output", "/dev/null", "--write-out", "%{http_code}"]
    options += [word for header in headers for word in ("--header", header)]
    try:
        done = engine.exec(
            *(one.name, ["curl", *options, f"{_ADDRESS_INSIDE}{path}"]),
            accept=set(range(256)).difference(programs.NOT_RUN),
            timeout_s=_STATUS_S + 10,
        )
    except ProgramFailed as error:
        raise programs.unanswered("curl", one, f"exit code {error.exit_code}") from None
    return digits.whole(done.stdout.decode("utf-8", "replace")) or 0


def version(engine: Engine, one: Container) -> str:
    """The version it says it has; "" where it does not run, and where it does not answer in 4 s."""
    command = ["curl", "--silent", "--max-time", str(_API_S), f"{_ADDRESS_INSIDE}/api/version"]
    text = programs.said(engine, one, command, absent=range(1, 256), limit_s=_API_S + 5)
    try:
        return str(json.loads(text)["version"])
    except (ValueError, KeyError, TypeError):
        return ""


def own_key(engine: Engine, one: Container) -> str:
    """The key with which a container that was made by hand signs logins, running or not; "" where it has none yet."""
    if key := one.env.get("WEBUI_SECRET_KEY", ""):
        return key
    try:
        return engine.read_file(one.name, _OWN_KEY).decode("utf-8", "surrogateescape").strip()
    except NotFound as error:
        if error.kind != "file":
            raise
        return ""


def _object(where: str, text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HostError(where, expected="a JSON object", got="another form", do="tell this project")
    return found


def _persisted(engine: Engine, unread: Unread, one: Container) -> dict[str, Any]:
    nothing: Mapping[str, Any] = {}
    found = unread.answer(lambda: _compared(engine, one), nothing)
    if found.get("failed"):
        where, do = f"the database of {one.name}", f"look at `docker logs {one.name}`"
        unread.lines.append(f"{where}: expected its settings, got {found['failed']}; {do}")
    return {"persisted": found.get("persisted"), "vectors": found.get("vectors")}


def _compared(engine: Engine, one: Container) -> Mapping[str, Any]:
    """What persisted.py prints in the container; {} where that does not run."""
    if one.status != "running":
        return {}
    return _object(f"python3 in {one.name}", _python(engine, one, "persisted.py"))


def _sign_in(engine: Engine, one: Container, variables: Mapping[str, str]) -> list[Any]:
    """What sign_in.py prints in the container; [] where that does not run, and where nobody else signs people in."""
    if one.status != "running" or not any(variables.get(name) for name in sign_in.NAMES):
        return []
    text = _python(engine, one, "sign_in.py")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise HostError(f"python3 in {one.name}", expected="a JSON list", got="another form", do="tell this project")
    return found


def _python(engine: Engine, one: Container, name: str) -> str:
    """The last line that one of these modules prints in the container, which has Open WebUI's own variables."""
    script = f"[ ! -e {_SECRETS} ] || {{ set -a; . {_SECRETS}; set +a; }}; exec python3 -"
    program = Path(__file__).with_name(name).read_bytes()
    said = programs.said(engine, one, ["sh", "-c", script], name="python3", stdin=program)
    return said.rstrip().rpartition("\n")[2]


def differing(engine: Engine, name: str, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """How the settings that Open WebUI saved differ from the wanted ones, by key; None where no container of it runs.

    No secret is in it. `failed` says why its database could not be read: that is for a deploy to repair, and ends no
    look.
    """
    try:
        one = engine.container(name)
    except NotFound:
        return None
    asked = {"wanted": dict(wanted), "email": ""}
    try:
        found = programs.answer(
            engine, one, lambda there: _saved_settings(engine, there, asked, programs.LIMIT_S), None
        )
    except HostError as error:
        return {"failed": str(error), "differences": []}
    return None if found is None else {"failed": "", "differences": found}


def save(
    engine: Engine, one: Container, wanted: Mapping[str, Any], seen: Mapping[str, str], email: str, password: str
) -> list[str]:
    """Ensure Open WebUI has saved the wanted values, by its API; returns the keys that were changed, maybe none.

    `seen` has the mark of each difference that somebody has looked at. Raises `HostError` where a value is another one
    by now, and where Open WebUI does not do it: nothing was saved then, unless the error says what is saved.
    """
    asked = {"wanted": dict(wanted), "seen": dict(seen), "email": email, "password": password}
    return [str(found["key"]) for found in _saved_settings(engine, one, asked, _SAVE_S)]


def _saved_settings(engine: Engine, one: Container, asked: Mapping[str, Any], limit_s: float) -> list[Any]:
    """What saved_settings.py prints in the container, which runs. The request has secrets, so it goes by stdin."""
    program = Path(__file__).with_name("saved_settings.py").read_text()
    request = json.dumps({**asked, "address": _ADDRESS_INSIDE}).encode()
    said = programs.said(engine, one, ["python3", "-c", program], stdin=request, limit_s=limit_s)
    answer = _object(f"python3 in {one.name}", said.rstrip().rpartition("\n")[2])
    if trouble := answer.get("trouble"):
        where, expected, got, do = trouble
        raise HostError(f"{one.name}: {where}", expected=expected, got=got, do=do)
    return list(answer["differences"])
