"""Other versions of Valkey and Open WebUI on the data there are: rehearsed, with a way back, undone when it fails."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import Host, deploy

from webui_stack.model import compose
from webui_stack.ops import operations, run
from webui_stack.render import backup_requests, stack_requests, survey_requests
from webui_stack.settings.model import Settings
from webui_stack.transport import program, remote
from webui_stack.verify import serving

from . import backup, drill, preflight


class _Upgraded(set[str]):
    """Hosts whose images this run changes."""


@deploy("Upgrade")
def prepare(settings: Settings) -> None:
    """Ensure what a killed upgrade has left half-way is back as it was before, and that a backup set can be made.

    In a swarm that is about the host with the data.
    """
    if not settings.runs("data"):
        return
    backup.put(settings)
    if preflight.observation().survey().cut_off:
        name = "Put back what was there before"
        if settings.topology == "swarm":
            operations.recovered_stack(name=name, request=lambda: stack_requests.swarm_request(settings, upgrades=True))
        else:
            operations.recover(name=name, arguments=stack_requests.recover_request(settings))


@deploy("Upgrade")
def rehearse(settings: Settings) -> None:
    """Ensure an upgrade that changes the data's schema, or Valkey, works on a copy of them, before anything is stopped.

    Changes nothing that lasts but makes a backup set: that is the copy. Fails with what the new version said. Not in a
    swarm: there the database itself is copied, while nobody writes to it, and that copy takes its place again when
    anything fails.
    """
    if settings.topology == "swarm":
        return
    operations.gate(name="Rehearse the upgrade", check=lambda: _rehearse(settings), at_execution=True)


def _rehearse(settings: Settings) -> list[str]:
    observation = preflight.observation()
    services = observation.survey().services
    if all(
        services.containers[name].image_id == services.images[settings.images[service]].id
        for service, name in compose.containers_of(settings.images).items()
    ):
        host.log("every image is the one that runs")
        return []
    run.current().once(_Upgraded).add(host.name)
    try:
        return _tried(settings, observation.host)
    except remote.RemoteError as error:
        return str(error).splitlines()


def _tried(settings: Settings, target: Host) -> list[str]:
    found = program.call(target, "compare", stack_requests.compare_request(settings))
    revisions = [found["there"], found["wanted"]] if found["there"] else []
    host.log(f"schema: {found['schema']}{' from ' if revisions else ''}{' to '.join(revisions)}")
    if found["schema"] != "older" and not (found["valkey"] or found["postgres"]):
        return []
    if not settings.upgrade_rehearse:
        host.log("not rehearsed: upgrade_rehearse is False")
        return []
    asked = backup_requests.backup_request(settings)
    name = program.call(target, "backup", asked, lambda event: host.log(event.text))
    made = settings.model_copy(update={"restore_set": name})
    return [
        f"rehearsal failed, nothing was changed: {check}"
        for check in drill.run(made, remembers=False)
        if check.is_fault
    ]


def undo(settings: Settings) -> list[str]:
    """Ensure the deploy before this run's upgrade is in force again, with its data; lines that tell how that went.

    Nothing is undone unless the host itself sees that the stack is broken: what people wrote since would leave it,
    because of a network between here and there.
    """
    if host.name not in run.current().once(_Upgraded):
        return []
    try:
        faults = serving.faults(
            program.call(
                preflight.observation().host,
                "serving",
                survey_requests.serving_request(settings),
                lambda event: host.log(event.text),
            )
        )
    except Exception as error:  # whatever the connection raises when it is lost
        return [
            f"undo: expected the host to say whether the stack works there, got {error}; nothing was undone. "
            "When it can be reached again, runbooks/verify.py looks at it and runbooks/rollback.py goes back"
        ]
    if not faults:
        return [
            "undo: on the host itself the stack works, so nothing was undone: look at the way from this machine to it. "
            "runbooks/verify.py tries it again, runbooks/rollback.py goes back"
        ]
    return [*(f"on the host as well: {fault}" for fault in faults), *_back(settings)]


def _back(settings: Settings) -> list[str]:
    said: list[str] = []
    asked = stack_requests.rollback_request(settings, "previous", may_replace=True)
    try:
        program.call(preflight.observation().host, "rollback", asked, lambda event: said.append(event.text))
    except remote.RemoteError as error:
        said += str(error).splitlines()
    return said
