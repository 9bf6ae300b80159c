"""Which settings that Open WebUI saved are others than wanted, and their change through its API.

This file runs in Open WebUI's own container, whose Python has it as its program, and a request on stdin
(`open_webui.py`). It prints one line of JSON: the `differences` that it found, or `trouble`, an error in four parts. No
value of a key in `HIDDEN` is in that line.

A look reads the database and asks nobody. A change signs in with the stack's own account, which is an admin. Open
WebUI 0.12 keeps a row for each key, and reads the row when it needs the value: so all replicas follow
(models/config.py). Its import writes the keys that it is given, and no others (routers/configs.py, `/import`).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import importlib
import json
import os
import re
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

HIDDEN = frozenset({"openai.api_keys", "openai.api_configs", "ollama.api_configs"})
"""Keys whose values may be secrets."""
_CONFIGS = {"openai.api_base_urls": "openai.api_configs", "ollama.base_urls": "ollama.api_configs"}
# A name and a password in an address, and its query, which may hold a key.
_CREDENTIALS, _QUERY = re.compile("//.*@"), re.compile(r"\?.*")
_SHOWN_LENGTH = 200
# For one answer of the API, in seconds.
_ANSWER_S = 30
_SAVED_BEFORE = "ui.enable_signup"
"""A key that each Open WebUI saves at its first start."""


class TroubleError(Exception):
    """An error in its four parts, as the host's `HostError` has them."""

    def __init__(self, where: str, expected: str, got: str, do: str) -> None:
        super().__init__(where)
        self.parts = [where, expected, got, do]


def rows(environment: Mapping[str, str]) -> dict[str, Any]:
    """The saved values by key. Changes nothing. Raises `TroubleError` for a database of another kind."""
    url = environment.get("DATABASE_URL", "")
    found: list[Any]
    if url.startswith("postgres"):
        psycopg2 = importlib.import_module("psycopg2")  # of Open WebUI's image
        with psycopg2.connect(url, connect_timeout=5) as connection, connection.cursor() as cursor:
            cursor.execute("select key, value::text from config")
            found = list(cursor.fetchall())
    elif url:
        do = "remove open_webui_saved, and change the values in the Admin Panel"
        raise TroubleError("open_webui_saved", "a database of SQLite or Postgres", "another kind", do)
    else:
        path = f"file:{environment.get('DATA_DIR', '/app/backend/data')}/webui.db?mode=ro"
        found = sqlite3.connect(path, uri=True).execute("select key, value from config").fetchall()
    # SQLite keeps a number of a column of JSON as a number.
    return {key: json.loads(value) if isinstance(value, str) else value for key, value in found}


def completed(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is wanted, with what admins saved about each connection at the connection's new place.

    Open WebUI numbers these notes by the list of addresses (routers/openai.py, 0.12). An address that is not wanted any
    more loses its notes.
    """
    found = dict(wanted)
    for urls, configs in _CONFIGS.items():
        notes = saved.get(configs)
        if urls not in wanted or same(urls, saved.get(urls), wanted[urls]) or not notes or not isinstance(notes, dict):
            continue
        places: dict[str, str] = {}
        for number, url in enumerate(saved.get(urls) or []):
            places.setdefault(_bare(url), str(number))
        kept = {name: note for name, note in notes.items() if not re.fullmatch("[0-9]+", name)}
        for number, url in enumerate(wanted[urls]):
            place = places.get(_bare(url), "")
            if place in notes:
                kept[str(number)] = notes[place]
        if kept != notes:
            found[configs] = kept
    return found


def same(key: str, saved: object, wanted: object) -> bool:
    """Whether a saved value is the wanted one. A slash at the end of an address makes none of a difference."""
    if key in _CONFIGS and isinstance(saved, list) and isinstance(wanted, list):
        return list(map(_bare, saved)) == list(map(_bare, wanted))
    return saved == wanted


def _bare(url: object) -> str:
    return str(url).rstrip("/")


def differences(saved: Mapping[str, Any], wanted: Mapping[str, Any], secret: str) -> list[dict[str, str]]:
    """Each key that is saved with another value, or not saved: both values as far as others may see them.

    `seen` tells a saved value from another one, and not what it is: only who has the `secret` can make it.
    """
    return [
        {
            "key": key,
            "saved": shown(key, saved[key]) if key in saved else "nothing",
            "wanted": shown(key, value),
            "seen": _mark(saved.get(key), secret),
        }
        for key, value in completed(saved, wanted).items()
        if key not in saved or not same(key, saved[key], value)
    ]


def shown(key: str, value: object) -> str:
    """A value in one line, without secrets."""
    if key in HIDDEN:
        return "(hidden)"
    if isinstance(value, list):
        return json.dumps([_shown_text(one) for one in value])[:_SHOWN_LENGTH]
    return json.dumps(_shown_text(value))[:_SHOWN_LENGTH]


def _shown_text(value: object) -> object:
    if value is None or isinstance(value, (bool, int)):
        return value
    text = str(value)
    return _QUERY.sub("?(hidden)", _CREDENTIALS.sub("//", text)) if "//" in text else text


def _mark(value: object, secret: str) -> str:
    text = json.dumps(value, sort_keys=True)
    return hmac.new(secret.encode("utf-8", "surrogateescape"), text.encode(), hashlib.sha256).hexdigest()[:16]


class Api:
    """Open WebUI at an address, by its API. It heeds no variable of a proxy."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._token = ""

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status of its answer, and its JSON; None where that is none. Raises `OSError` without an answer."""
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._address}{path}", data, headers, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=_ANSWER_S) as answer:
                status, text = int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, b""
        try:
            return status, json.loads(text)
        except ValueError:
            return status, None

    def sign_in(self, email: str, password: str) -> None:
        """Ensure the next questions are an admin's; makes the account where there is none. Raises `TroubleError`."""
        given = {"email": email, "password": password}
        status, said = self.ask("POST", "/api/v1/auths/signin", given)
        if status == 400:  # wrong email or password (ERROR_MESSAGES.INVALID_CRED)
            if made(email, password) == "first":
                raise TroubleError(
                    "open_webui_saved",
                    "the account of a person, who becomes the admin",
                    "no account at all",
                    "sign up in a browser, then deploy again",
                )
            status, said = self.ask("POST", "/api/v1/auths/signin", given)
        token = said.get("token") if status == 200 and isinstance(said, dict) else None
        if not token:
            do = "see that Open WebUI takes passwords (ENABLE_PASSWORD_AUTH), then deploy again"
            raise TroubleError(f"signing in as {email}", "a token", f"HTTP {status} without one", do)
        self._token = str(token)
        if said.get("role") != "admin":
            role = str(said.get("role"))[:20]
            self.sign_out()
            do = "make it an admin in the Admin Panel, Users; or remove open_webui_saved"
            raise TroubleError(f"the account {email}", "an admin", f"the role {role!r}", do)

    def sign_out(self) -> None:
        """Ensure the token is revoked, if Open WebUI answers."""
        with contextlib.suppress(OSError):  # the token expires by itself
            self.ask("POST", "/api/v1/auths/signout", {})
        self._token = ""

    def saved(self) -> dict[str, Any]:
        """All saved values by key. Raises `TroubleError`."""
        return self._flat(*self.ask("GET", "/api/v1/configs/export"), "its export")

    def save(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Save these values and no others. Returns all saved values by key. Raises `TroubleError`."""
        return self._flat(*self.ask("POST", "/api/v1/configs/import", {"config": dict(values)}), "its import")

    def _flat(self, status: int, found: object, where: str) -> dict[str, Any]:
        # Releases before 0.12 keep one tree, and an import replaces it whole.
        if status != 200 or not isinstance(found, dict) or _SAVED_BEFORE not in found:
            got = f"HTTP {status}" if status != 200 else "another form"
            do = "see that open_webui_image is 0.12 or newer, and look at `docker logs open-webui`"
            raise TroubleError(where, "a value for each key", got, do)
        return found


def made(email: str, password: str) -> str:
    """Ensure there is an account with this password, by Open WebUI's own models, as an admin where it is new.

    Returns "made", "renewed", or "first" where there would be no other: that one has to be a person's.
    """
    os.environ["ENABLE_DB_MIGRATIONS"] = "false"  # those are the business of the process that serves
    asyncio = importlib.import_module("asyncio")
    auths = importlib.import_module("open_webui.models.auths").Auths
    users = importlib.import_module("open_webui.models.users").Users
    hashed_of = importlib.import_module("open_webui.utils.auth").get_password_hash

    async def make() -> str:
        user = await users.get_user_by_email(email)
        if user:
            await auths.update_user_password_by_id(user.id, await hashed_of(password))
            return "renewed"
        if not await users.has_users():
            return "first"
        await auths.insert_new_auth(email, await hashed_of(password), "Stack", role="admin")
        return "made"

    return str(asyncio.run(make()))


def looked(request: Mapping[str, Any]) -> list[dict[str, str]]:
    """The differences of today. Changes nothing, and asks the database alone."""
    return differences(rows(os.environ), request["wanted"], os.environ.get("WEBUI_SECRET_KEY", ""))


def changed(request: Mapping[str, Any]) -> list[dict[str, str]]:
    """Ensure each wanted key is saved so; returns what was changed.

    `seen` are the marks of the differences that the operator's run found: another value than one of those, or than the
    wanted one, is somebody's change that nobody looked at. Raises `TroubleError` then, and has changed nothing.
    """
    wanted, secret = request["wanted"], os.environ.get("WEBUI_SECRET_KEY", "")
    before = rows(os.environ)
    found = differences(before, wanted, secret)
    if not found:
        return []
    for one in found:
        if request["seen"].get(one["key"]) != one["seen"]:
            raise _between(one["key"])
    api = Api(request["address"])
    api.sign_in(request["email"], request["password"])
    try:
        now = api.saved()
        values = completed(before, wanted)
        for key in {*values, *(configs for urls, configs in _CONFIGS.items() if urls in wanted)}:
            if now.get(key) != before.get(key):
                raise _between(key)
        updates = {one["key"]: values[one["key"]] for one in found}
        after = api.save(updates)
        if left := differences(after, updates, secret):
            do = "look at `docker logs open-webui`, then deploy again"
            raise TroubleError(left[0]["key"], left[0]["wanted"], left[0]["saved"], do)
    finally:
        api.sign_out()
    return found


def _between(key: str) -> TroubleError:
    do = "nothing was saved: deploy again, and look at the dry run first"
    return TroubleError(key, "the saved value that this run has seen", "another change of it meanwhile", do)


def main() -> None:
    """Print the line."""
    answer: dict[str, Any] = {"differences": [], "trouble": None}
    try:
        request = json.loads(sys.stdin.read())
        answer["differences"] = changed(request) if request["email"] else looked(request)
    except TroubleError as trouble:
        answer["trouble"] = trouble.parts
    except Exception as error:
        # Its text may hold an address with a password.
        do = "look at `docker logs open-webui`, then deploy again"
        answer["trouble"] = ["its saved settings", "an answer", type(error).__name__, do]
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
