"""A test message to each receiver of alarms: whether people would hear of it when something breaks."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import deploy

from webui_stack.documents import alarm_document
from webui_stack.documents.document import IncompleteError
from webui_stack.ops import facts, operations
from webui_stack.render import monitor_requests
from webui_stack.settings.model import Settings
from webui_stack.transport import program
from webui_stack.transport.remote import RemoteError

from . import preflight


@deploy("Alarm test")
def send(settings: Settings) -> None:
    """Ensure each receiver in `alarms` has got a test message from this host, and each heartbeat was called.

    The host sends with what the last deploy put there. Tells how it went with each, and fails where one failed, or
    where there is none. In a swarm the host with the data tells people, and the others have nothing to do. Changes
    nothing.
    """
    if settings.runs("data"):
        operations.gate(name="Send a test message", check=lambda: _problems(settings), at_execution=True)


def _problems(settings: Settings) -> list[str]:
    if not settings.alarms:
        return ["alarms: expected receivers, got none; see docs/how-to/monitoring.md, and deploy"]
    target = preflight.observation().host
    try:
        answer = program.call(target, "alarm_test", monitor_requests.alarm_test_request(settings))
        outcomes = alarm_document.parse_test(answer)
    except (RemoteError, IncompleteError) as error:
        return [facts.why(target, error)]
    for one in outcomes:
        if not one["error"]:
            host.log(f"ok      {one['receiver']}: took the message")
    return [f"failed  {one['error']}" for one in outcomes if one["error"]]
