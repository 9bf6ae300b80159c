"""Large files between this machine and a host, through pyinfra's connection.

What is copied passes through a folder on the host that is the SSH user's alone and removed in any case.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from paramiko import SSHException
from pyinfra import logger
from pyinfra.api import Host

from webui_stack import remote

# Below a folder that is root's: nobody else can put something in its place.
FOLDER = "/var/lib/open-webui-stack.transfer"


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


def upload(host: Host, name: str, content: io.RawIOBase, sha256: str, script: str) -> None:
    """Upload a file and run a script on it, as the file `part` in its working directory, once its SHA-256 is right."""
    with _folder(host):
        if not host.put_file(content, f"{FOLDER}/part"):
            raise remote.RemoteError(f"{name}: expected to upload it, got a refusal; is there room in /var/lib?")
        remote.run(host, _verified(sha256, name, script))


def download(host: Host, script: str, receive: Callable[[str, int], AbstractContextManager[io.RawIOBase]]) -> None:
    """Run a script that makes `FOLDER/part` and prints its SHA-256 and size, and fetch it into what `receive` opens."""
    with _folder(host):
        sha256, size = remote.run(host, script)[-1].split()
        with receive(sha256, int(size)) as content:
            host.get_file(f"{FOLDER}/part", content)


def _verified(sha256: str, name: str, script: str) -> str:
    return f"""\
cd {FOLDER} || exit 1
got=$(sha256sum <part) || exit 1
if [ "${{got%% *}}" != {sha256} ]; then
  echo {shlex.quote(name)}": expected SHA-256 {sha256} on the host, got ${{got%% *}}; run it again" >&2
  exit 1
fi
{script}"""


@contextmanager
def _folder(host: Host) -> Iterator[None]:
    """The folder on the host for the SSH user alone, who carries the files; gone afterwards."""
    status, output = host.run_shell_command("id -u", print_output=False, print_input=False)
    if not status:
        raise remote.RemoteError(output.stderr)
    user = int(output.stdout)
    remote.run(host, f"rm -rf {FOLDER} && mkdir -m 700 {FOLDER} && chown {user} {FOLDER}")
    try:
        yield
    finally:
        remote.run(host, f"rm -rf {FOLDER}")
