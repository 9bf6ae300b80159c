"""How verify logs in to Valkey: from this machine, through SSH, with the passwords that are on the host."""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager
from functools import cached_property, partial

import gevent
import redis
from pyinfra.api import Host

from webui_stack.model import compose
from webui_stack.transport import remote, tunnel
from webui_stack.verify import valkey


class Login:
    """Logs in to the Valkey on a host. Its passwords are read once."""

    def __init__(self, host: Host, stack_dir: str) -> None:
        self._host = host
        self._stack_dir = stack_dir

    def client(self, observed: compose.Observed, user: str, timeout_s: float) -> AbstractContextManager[redis.Redis]:
        """A client of the Valkey that was `observed` on the host. Raises `redis.RedisError` where there is no way."""
        container = observed.of("redis")
        address = container.address if container else ""
        if not address:
            raise redis.ConnectionError(f"redis-valkey has no address in {compose.NETWORK}; start it first")
        dial = partial(tunnel.dial, self._host, address, valkey.PORT, timeout_s)
        return valkey.connect(dial, user, self._password(user), timeout_s)

    def _password(self, user: str) -> str:
        """A Valkey user's password on the host. Raises `_UnreadError` where it can't be read."""
        found = self._passwords.get()
        if isinstance(found, _UnreadError):
            raise found
        return str(found[user])

    @cached_property
    def _passwords(self) -> gevent.Greenlet:
        """On its way from the host. Not a fact: pyinfra prints facts' output with -vvv."""
        return gevent.spawn(read_passwords, self._host, self._stack_dir)


class _UnreadError(redis.RedisError):
    """Valkey's passwords could not be read from the host: nothing is known of Valkey."""


def read_passwords(host: Host, stack_dir: str) -> dict[str, str] | _UnreadError:
    """The passwords of the users that verify logs in as, by name; or the error that a login is to raise."""
    folder = f"{stack_dir}/secrets"
    try:
        # grep ends the last line of a file, whether the file does or not.
        lines = remote.run(host, f"cd {shlex.quote(folder)} && grep -h . valkey-password valkey-monitor-password")
        return dict(zip((valkey.USER, valkey.MONITOR), lines, strict=True))
    except remote.RemoteError as error:
        return _UnreadError(f"passwords: expected two in {folder}, got {str(error).strip()}")
    except ValueError:
        return _UnreadError(f"passwords: expected two lines in {folder}, got {len(lines)}")


def next_step(error: redis.RedisError) -> str:
    """What to do about a login or a question that failed."""
    if isinstance(error, _UnreadError):
        return "run deploy.py again: it makes secrets that are missing"
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError):
        return "users.acl and secrets/ disagree; run deploy.py again"
    if isinstance(error, redis.exceptions.BusyLoadingError):  # without its first word (redis-py 8)
        return valkey.next_step("LOADING")
    return valkey.next_step(str(error))
