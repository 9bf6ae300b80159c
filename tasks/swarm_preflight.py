"""Whether each node can run what the swarm is about to give it: the swarm itself asks nobody."""

from __future__ import annotations

import secrets
from functools import partial

from gevent.pool import Pool
from pyinfra import logger
from pyinfra.api import Host

from webui_stack.model import swarm
from webui_stack.settings.model import Settings
from webui_stack.transport import remote

from . import preflight


def refusals(settings: Settings) -> list[str]:
    """Why the stack must not be deployed, a line for each host that could not run its part of it.

    Of each host of this run: that it has the very images, and that its folder is the one that the data node has just
    marked.
    """
    data_node = preflight.data_node()
    if not swarm.pending(data_node.survey().swarm, data_node.survey().services.images, settings.images):
        return []
    return [*_dropped_out(), *_images(settings), *folder_refusals(settings)]


def _dropped_out() -> list[str]:
    """Hosts that something failed on in this run are still nodes, which get tasks that they may not be able to run."""
    ready = {node.id for node in preflight.data_node().survey().swarm.nodes if node.state == "ready"}
    return [
        f"{one.host.name}: expected every node of the swarm to be ready for it, got one that failed in this run "
        "(see above); fix it, or drain its node, and run again: nothing was deployed"
        for one in preflight.dropped_out()
        if one.last and one.last.swarm.member.id in ready
    ]


def _images(settings: Settings) -> list[str]:
    its_images = preflight.data_node().survey().services.images
    return [
        f"{one.host.name}: {line}"
        for one in preflight.everywhere()
        for line in swarm.image_refusals(settings, one.survey().services.images, its_images)
    ]


def folder_refusals(settings: Settings) -> list[str]:
    """Why the folder that all hosts share is none, a line for each host where it is another one, or missing."""
    if not settings.open_webui_shared_dir:
        return []
    folder, token = str(settings.open_webui_shared_dir), secrets.token_hex(16)
    data_node = preflight.data_node().host
    try:
        remote.run(data_node, swarm.mark_command(folder, token))
    except remote.RemoteError as error:
        return [
            f"open_webui_shared_dir: expected to write to {folder} on {data_node.name}, got {str(error).strip()}; "
            "mount it"
        ]
    others = [one.host for one in preflight.everywhere() if one.host.name != data_node.name]
    try:
        return [line for line in Pool().map(partial(_differs, folder, token, data_node.name), others) if line]
    finally:
        try:
            remote.run(data_node, swarm.unmark_command(folder, token))
        except remote.RemoteError as error:
            logger.debug("the mark in %s stays: %s", folder, error)


def _differs(folder: str, token: str, data_node: str, host: Host) -> str:
    expected = f"open_webui_shared_dir: expected {folder} on {host.name} to be the one that {data_node} has, got"
    try:
        (found,) = remote.run(host, swarm.marked_command(folder, token))
    except (remote.RemoteError, ValueError) as error:
        return f"{expected} {str(error).strip() or 'no answer'}; run it again"
    if found == "marked":
        return ""
    return f"{expected} {'another' if found == 'another' else 'no folder'}; mount it there from the same place"
