"""An earlier good deploy in the place of the one that runs."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import deploy

from webui_stack.ops import operations, run
from webui_stack.render import stack_requests
from webui_stack.settings.model import Settings
from webui_stack.transport import program
from webui_stack.transport.remote import RemoteError

from . import backup, preflight


class _Listed(set[str]):
    """Hosts whose deploys were listed already, while this run was planned."""


@deploy("Rollback")
def back(settings: Settings) -> None:
    """Ensure the deploy `rollback_to` is in force: its files and images, and its data where their schema is another.

    Lists the deploys there are, in a dry run as well. A backup set of what there is comes first. Data are only taken
    back on hosts in `restore_over`. Secrets stay those of now. Fails, with what ran before running again, when the
    earlier deploy does not get healthy.
    """
    operations.gate(name="List the deploys there are", check=lambda: _list(settings))
    backup.put(settings)
    operations.rollback(
        name="Go back to an earlier deploy",
        arguments=stack_requests.rollback_request(
            settings, settings.rollback_to, may_replace=host.name in settings.restore_over
        ),
    )


def _list(settings: Settings) -> list[str]:
    listed = run.current().once(_Listed)
    if host.name in listed:
        return []
    listed.add(host.name)
    try:
        lines = program.call(preflight.observation().host, "releases", stack_requests.releases_request(settings))
    except RemoteError as error:
        return str(error).splitlines()
    for line in lines:
        host.log(line)
    return []
