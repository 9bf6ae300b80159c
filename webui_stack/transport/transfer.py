"""Large files between this machine and a host, through the stdin or stdout of a root shell there.

No other user of the host can read what travels, or put something in its place.
"""

from __future__ import annotations

import hashlib
import io
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from paramiko import SSHException
from pyinfra import logger
from pyinfra.api import Host

from webui_stack.documents import digits
from webui_stack.transport import channel, remote

# Root's alone, below a folder that is root's: nobody else can look into it, or make it first.
FOLDER = "/var/lib/open-webui-stack.transfer"
_CHUNK = 1 << 16

# Opens what a file is written to, given the file's SHA-256 and size.
Receive = Callable[[str, int], AbstractContextManager[io.RawIOBase]]

# Whoever cuts the connection leaves nothing: the shell notices when it next reads or writes.
_IN_FOLDER = f"""\
rm -rf {FOLDER} && mkdir -m 700 {FOLDER} && cd {FOLDER} || exit 1
trap 'cd / && rm -rf {FOLDER}' EXIT
trap 'exit 1' HUP INT PIPE TERM
begin
"""
_KEEP = """\
head -c {size} >part || exit 1
got=$(sha256sum <part) || exit 1
if [ "${{got%% *}}" != {sha256} ]; then
  echo {name}": expected SHA-256 {sha256} on the host, got ${{got%% *}}; run it again" >&2
  exit 1
fi
echo kept
cat >/dev/null"""
_SEND = """\
read -r made || exit 1
sum=$(sha256sum <{path}) && size=$(stat -c %s {path}) || exit 1
echo "${{sum%% *}} $size"
{by} {path}"""


def told(host: Host, work: Callable[[], None], refusal: type[Exception]) -> bool:
    """Do the work; False, with the reason printed, when it failed: raising would stop the run for every host.

    `refusal` is what the work raises besides what a transfer does.
    """
    try:
        work()
    except (remote.RemoteError, SSHException, OSError, EOFError, refusal) as error:
        for line in str(error).splitlines() or [f"the connection was lost ({type(error).__name__}); run it again"]:
            host.log_styled(line, fg="red", log_func=logger.error)
        return False
    return True


@contextmanager
def uploaded(host: Host, name: str, content: io.RawIOBase, size: int, sha256: str) -> Iterator[str]:
    """Upload a file of that size, and keep it on the host while the block runs, once its SHA-256 is right.

    Gives its path. It is for a verb of the host's program, which is called by a channel of its own.
    """
    # The other end of stdin is the block's end, or that of the connection.
    keep = _KEEP.format(size=size, sha256=sha256, name=shlex.quote(name))
    with channel.opened(host, _IN_FOLDER + keep) as sent:
        missing = size
        while missing and (data := content.read(min(_CHUNK, missing))) and sent.write(data):
            missing -= len(data)
        if missing or sent.line() != "kept":
            sent.finish()  # says why
            raise remote.RemoteError(f"{name}: expected it to be kept on the host, got no word of it; run it again")
        yield f"{FOLDER}/part"
        sent.finish()


def download(host: Host, path: str, receive: Receive, make: Callable[[], object] = lambda: None) -> None:
    """Fetch the host's file `path` into what `receive`, given its SHA-256 and size, opens.

    `make`, which calls a verb of the host's program, is called before, with `FOLDER` there, empty; a relative `path` is
    one of it. Raises `RemoteError` unless all of it arrived as it is on the host, and what `make` raises.
    """
    with _sent(host, path, "cat", make) as (received, sha256, missing):
        digest = hashlib.sha256()
        with receive(sha256, missing) as content:
            while missing and (data := received.read(min(_CHUNK, missing))):
                content.write(data)
                digest.update(data)
                missing -= len(data)
        received.finish()
    if missing or digest.hexdigest() != sha256:
        raise remote.RemoteError(f"{path}: expected SHA-256 {sha256}, got {digest.hexdigest()}; run it again")


def download_encrypted(host: Host, path: str, recipient: str, receive: Receive) -> None:
    """Fetch the host's file `path`, encrypted to `recipient` by the host's age while it is sent.

    `receive` is given SHA-256 and size of the file, not of what arrives: that has no size before its end. Raises
    `RemoteError` unless age has ended well, and says so: then all that it wrote has arrived.
    """
    by = f"age --encrypt --recipient {shlex.quote(recipient)}"
    with _sent(host, path, by, lambda: None) as (received, sha256, size), receive(sha256, size) as content:
        while data := received.read(_CHUNK):
            content.write(data)
        received.finish()


@contextmanager
def _sent(host: Host, path: str, by: str, make: Callable[[], object]) -> Iterator[tuple[channel.ByteChannel, str, int]]:
    """The host's file `path`, written by the command `by`, after its SHA-256 and size."""
    send = _SEND.format(path=shlex.quote(path), by=by)
    with channel.opened(host, _IN_FOLDER + send) as received:
        make()
        received.write(b"\n")
        sha256, _, text = received.line().partition(" ")
        size = digits.whole(text)
        if size is None:
            received.finish()
            raise remote.RemoteError(f"{path}: expected its SHA-256 and size, got {sha256!r}; run it again")
        yield received, sha256, size
