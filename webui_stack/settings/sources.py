"""Secrets an operator supplies: read on the operator's machine, checked, and never shown.

Without a source the host makes its own (`webui_stack/host/secrets.py`); then no secret leaves it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from webui_stack.settings import receivers
from webui_stack.settings.model import Settings

# A secret manager may ask for a touch of a key; more than this is a hang.
_COMMAND_TIMEOUT_S = 120


class HiddenLines(list[str]):
    """Text for a command's stdin that pyinfra can't show: it prints a fact's arguments with -v.

    A list, because that is what pyinfra's type check of `_stdin` takes besides a plain string.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text.removesuffix("\n").split("\n"))

    def __repr__(self) -> str:
        return "*MASKED*"

    __str__ = __repr__


class HiddenItems(dict[str, Any]):
    """Arguments of a verb that nobody can show by accident: pyinfra prints a command's with -v."""

    def __repr__(self) -> str:
        return "*MASKED*"

    __str__ = __repr__


@dataclass(frozen=True)
class Supplied:
    """The operator's own secrets for one host; None where the host makes one.

    `alarms` is the setting of that name with what its sources hold.
    """

    valkey_password: SecretStr | None
    open_webui_secret_key: SecretStr | None
    environment: dict[str, SecretStr]
    postgres_password: SecretStr | None = None
    database_url: SecretStr | None = None
    proxy_certificate_key: SecretStr | None = None
    alarms: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    registry_passwords: Mapping[str, SecretStr] = field(default_factory=dict)


class SecretError(Exception):
    """Every problem with one host's secrets. No line holds a secret's value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# Sentinel and URL parsing upstream don't decode %XX, so passwords keep to letters and digits.
_PASSWORD = re.compile(r"[A-Za-z0-9]{16,256}")
# Any that a stack may have already: `openssl rand -base64`, a UUID, the 16 characters that Open WebUI makes itself.
_SECRET_KEY = re.compile(r"[A-Za-z0-9+/=._~:@%-]{16,256}")
# What compose's env files can carry inside single quotes; a last backslash would escape the quote.
_VALUE = re.compile(r"[^'\r\n\0]*[^'\r\n\0\\]")

_LINE = re.compile(r"[^\r\n\0]+")
# Open WebUI separates keys by semicolons; an env file has them within single quotes.
_API_KEY = re.compile(r"[^\s;'\\\0]+")

_POSTGRES_URL = re.compile(r"postgres(?:ql)?://[^\s'\\\0]+")
# An encrypted one says so in its first line, or, in OpenSSL's older format, in its second: "Proc-Type: 4,ENCRYPTED".
_PEM_KEY = re.compile(
    r"(?s)(?!.*(?:BEGIN |4,)ENCRYPTED)-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\n[^\0]*"
    r"-----END (?:[A-Z]+ )?PRIVATE KEY-----"
)


def supply(settings: Settings, read: Callable[[str], str]) -> Supplied:
    """Ensure every secret that has a source can be read and used.

    `read` fetches one source (`read_source`, or a cache around it). Raises `SecretError` with all
    problems at once.
    """
    problems: list[str] = []
    one = _reader(read, problems)
    keys = [
        one(
            f"openai_connections/{i}/key",
            api.key,
            _API_KEY,
            "a key with no space, semicolon, single quote or backslash",
        )
        for i, api in enumerate(settings.openai_connections)
    ]
    # One for each URL, in their order; an API that asks for none has an empty one.
    joined = ";".join(key.get_secret_value() if key else "" for key in keys)
    supplied = Supplied(
        valkey_password=one("valkey_password", settings.valkey_password, _PASSWORD, "16 to 256 of [A-Za-z0-9]"),
        open_webui_secret_key=one(
            "open_webui_secret_key", settings.open_webui_secret_key, _SECRET_KEY, "16 to 256 of [A-Za-z0-9+/=._~:@%-]"
        ),
        environment={
            name: value
            for name, source in settings.open_webui_secret_env.items()
            if (
                value := one(
                    f"open_webui_secret_env/{name}",
                    source,
                    _VALUE,
                    "a line with no single quote or last backslash",
                )
            )
        }
        | {
            name: value
            for name, (where, source) in settings.sign_in_secrets.items()
            if (value := one(where, source, _VALUE, "a line with no single quote or last backslash"))
        }
        | ({"OPENAI_API_KEYS": SecretStr(joined)} if keys else {}),
        postgres_password=one("postgres_password", settings.postgres_password, _PASSWORD, "16 to 256 of [A-Za-z0-9]"),
        database_url=one("database_url", settings.database_url, _POSTGRES_URL, "postgresql://USER:PASSWORD@HOST/NAME"),
        proxy_certificate_key=one(
            "proxy_certificate_key", settings.proxy_certificate_key, _PEM_KEY, "a private key in PEM, not encrypted"
        ),
        alarms=tuple(_receiver(f"alarms/{number}", given, one) for number, given in enumerate(settings.alarms)),
        registry_passwords={
            registry: value
            for registry, login in settings.registry_login.items()
            if (value := one(f"registry_login/{registry}/password", login.password, _LINE, "one line of text"))
        },
    )
    if problems:
        raise SecretError(problems)
    return supplied


def restic_environments(settings: Settings, read: Callable[[str], str]) -> list[dict[str, SecretStr]]:
    """What restic needs to open each of its repositories, by variable, as `supply` has the stack's own secrets.

    Apart from these, because only backups ask for it: a deploy needs no access to a repository.
    """
    problems: list[str] = []
    environments = []
    for number in range(2 if settings.backup_restic_second_repository else 1):
        try:
            environments.append(restic_environment(settings, read, number))
        except SecretError as error:
            problems += error.problems
    if problems:
        raise SecretError(problems)
    return environments


def restic_environment(settings: Settings, read: Callable[[str], str], number: int) -> dict[str, SecretStr]:
    """As `restic_environments`, of one repository: 0 is the first, and 1 the second."""
    problems: list[str] = []
    one = _reader(read, problems)
    prefix = ("backup_restic", "backup_restic_second")[number]
    wanted = {f"{prefix}_password": ("RESTIC_PASSWORD", getattr(settings, f"{prefix}_password"))} | {
        f"{prefix}_env/{name}": (name, source) for name, source in getattr(settings, f"{prefix}_env").items()
    }
    environment = {
        name: value
        for setting, (name, source) in wanted.items()
        if (value := one(setting, source, _LINE, "one line of text"))
    }
    if problems:
        raise SecretError(problems)
    return environment


_Read = Callable[[str, str | None, re.Pattern[str], str], SecretStr | None]


def _receiver(where: str, given: Mapping[str, Any], one: _Read) -> Mapping[str, Any]:
    """A receiver of alarms with what its sources hold."""
    found = dict(given)
    for key, (allowed, expected) in receivers.SECRETS.items():
        if key in given and receivers.is_source(given[key]):
            value = one(f"{where}/{key}", given[key], allowed, expected)
            found[key] = value.get_secret_value() if value else ""
    return found


def _reader(read: Callable[[str], str], problems: list[str]) -> _Read:
    """Reads the secret of a setting; what is wrong with it goes to `problems`."""

    def one(setting: str, source: str | None, allowed: re.Pattern[str], expected: str) -> SecretStr | None:
        if source is None:
            return None
        try:
            value = read(source)
        except OSError as error:
            problems.append(f"{setting}: expected to read {_shown(source)}, got {error}; check the source")
            return None
        if not allowed.fullmatch(value):
            problems.append(
                f"{setting}: expected {expected}, got a value (hidden) that is not; change it at its source"
            )
        return SecretStr(value)

    return one


def read_source(source: str) -> str:
    """Read `env:NAME`, `file:PATH` or `command:COMMAND` (run by /bin/sh), less the last newline.

    Raises `OSError` with the reason, never with output that may hold a secret.
    """
    kind, _, rest = source.partition(":")
    if kind == "env":
        if rest not in os.environ:
            raise OSError(f"no environment variable {rest}")
        try:
            # Bytes that are no UTF-8 are lone surrogates here (PEP 383), which no file can hold.
            return os.environ[rest].encode().decode()
        except UnicodeEncodeError:
            raise OSError("a variable that is not text") from None
    if kind == "file":
        try:
            return Path(rest).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise OSError("a file that is not text") from None
        except RuntimeError as error:  # ~nobody
            raise OSError(str(error)) from None
    try:
        result = subprocess.run(  # noqa: S602 the operator's own command, as they would type it
            rest, shell=True, capture_output=True, timeout=_COMMAND_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"no answer within {_COMMAND_TIMEOUT_S} s") from None
    if result.returncode != 0:
        raise OSError(f"exit status {result.returncode}")
    try:
        return result.stdout.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise OSError("output that is not text") from None


def _shown(source: str) -> str:
    """A source as it may be printed: a command can hold a secret in its arguments."""
    kind, _, rest = source.partition(":")
    return source if kind != "command" else f"command:{rest.split()[0]} ..."
