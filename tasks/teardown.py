"""What this project made on a host, removed again; data only where the operator names the host."""

from __future__ import annotations

from pyinfra import host, logger
from pyinfra.api import deploy

from webui_stack.ops import facts, operations, packages
from webui_stack.ops import session as deployments
from webui_stack.plan import teardown
from webui_stack.settings.model import Settings
from webui_stack.transport import program
from webui_stack.transport.remote import RemoteError

from . import deployment, preflight


def remove(settings: Settings) -> None:
    """Ensure nothing is left on this host of what this project made there, and all else is as it was.

    Volumes and secrets stay unless `teardown_data` names the host, backup sets unless `teardown_backups` does, and
    Docker unless `teardown_docker` is set and nobody else needs it. The run tells what is removed and what stays before
    it does anything. Changes nothing where nothing of this project is left. Fails where something of it could not be
    removed.
    """
    _check(settings=settings)
    if _silent() or _unended(settings):
        return
    found = _look(settings)
    if found is None:
        return
    for one in found:
        host.log_styled(str(one), fg="green" if one.state == "stays" else "yellow", log_func=logger.info)
    if all(one.state == "stays" for one in found):
        host.log("nothing of this project is left to remove")
        program.withdraw(host)  # it was sent to look
        return
    deployment.begin(settings=settings, acts=True)
    _remove(settings=settings)
    deployment.leave()


@deploy("Teardown")
def _check(settings: Settings) -> None:
    operations.gate(name="Check that Docker answers", check=_silent)
    operations.gate(name="Check that data which stay are in one place", check=lambda: _unended(settings))


def _unended(settings: Settings) -> list[str]:
    survey = preflight.observation().survey()
    if not survey.cut_off or host.name in settings.teardown_data:
        return []
    return [f"{line}; or name the host in teardown_data" for line in deployments.unended(survey)]


def _silent() -> list[str]:
    engine = preflight.observation().survey().engine
    if engine.server or not engine.has_cli:
        return []
    return [
        "docker: expected it to tell what is there, got no answer; start it (`journalctl -u docker` says why it does "
        "not run), or remove its packages, and run again"
    ]


@deploy("Teardown")
def _remove(settings: Settings) -> None:
    if settings.teardown_docker and preflight.observation().survey().machine.package_manager == "apt":
        packages.turn(name="Wait for other package managers")
    asked = teardown.request(settings, host.name, preflight.observation().survey())
    operations.teardown(name="Remove what this project made", arguments=asked)


def _look(settings: Settings) -> list[teardown.Found] | None:
    """What goes and what stays; None on a host that gave no answer, which has failed."""
    asked = teardown.look_request(settings, host.name, preflight.observation().survey())
    try:
        found = facts.ask_program(host, facts.Teardown, _stdin=asked)
    except RemoteError as error:
        facts.fail(host, facts.why(host, error))
        return None
    return None if found is facts.Teardown.unanswered else found
