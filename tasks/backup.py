"""A backup set of the stack, made on the host by the host's program, which a timer may run as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from pyinfra import host, logger
from pyinfra.api import deploy
from pyinfra.operations import files

from webui_stack.artifacts.backup_set import Made
from webui_stack.model import compose
from webui_stack.model.survey import BACKUP_UNIT, CHECK_UNIT, DRILL_UNIT
from webui_stack.ops import operations
from webui_stack.plan import drift
from webui_stack.render import backup_requests, project, units
from webui_stack.settings.model import Settings

from . import host_packages, offsite, preflight, unit

_WHAT = {
    BACKUP_UNIT: "the backup's timer",
    CHECK_UNIT: "the timer of the repositories' check",
    DRILL_UNIT: "the drill's timer",
}


def new() -> Made:
    """The set that this run is to make."""
    return Made()


@deploy("Backup")
def make(settings: Settings, made: Made) -> None:
    """Ensure there is one more complete backup set in `backup_dir`, made while the stack serves.

    Also that the sets are kept that `backup_keep` and the settings beside it say. And that timers make sets, check the
    restic repositories and hold drills as `backup_schedule`, `backup_check_schedule` and `drill_schedule` say. Fails,
    with the sets before as they were, when a set could not be completed and read back. In a swarm the host with the
    data makes it, and the others have nothing to do. `made` gets its name.
    """
    if not settings.runs("data"):
        return
    put(settings)
    offsite.open_repository(settings)
    has_systemd = preflight.observation().survey().machine.has_systemd
    for timer, schedule in host.loop(units.schedules(settings).items()):  # type: ignore[no-untyped-call]
        if schedule and not has_systemd:
            told = f"no systemd, so no {timer} for {schedule}"
            host.log_styled(told, fg="yellow", log_func=logger.warning)
        else:
            unit.keep(timer, _WHAT[timer], running=bool(schedule))
    operations.backup(name="Make a backup set", arguments=backup_requests.backup_request(settings), made=made.note)


@deploy("Backup")
def keep(settings: Settings) -> None:
    """Ensure the files and the timer that `make` has put on the host are as this version and the settings have them.

    Does nothing on a host that has neither.
    """
    survey = preflight.observation().survey
    if units.kept_backup(settings, survey().machine, survey().files):
        if settings.backup_age_recipient:
            host_packages.bring_age("backup_age_recipient")
        _put(settings, units.kept_backup(settings, survey().machine, survey().files))
    _remove_old(settings, units.old_backup(settings, survey().files))
    for timer, schedule in host.loop(units.schedules(settings).items()):  # type: ignore[no-untyped-call]
        if drift.has_timer(survey(), timer):
            unit.keep(timer, _WHAT[timer], running=bool(schedule))


def put(settings: Settings) -> None:
    """Ensure the host has a stack, and what it takes to make a set of it."""
    operations.gate(name="Check that there is a stack", check=lambda: _without_stack(settings))
    if settings.backup_age_recipient:
        host_packages.bring_age("backup_age_recipient")
    contents = units.backup(settings, preflight.observation().survey().machine)
    if contents:
        _put(settings, contents)
    # The service runs none of them any more, whatever it ran when the host was looked at.
    _remove_old(settings, units.old_backup(settings, preflight.observation().survey().files, runs=""))


def _put(settings: Settings, contents: Mapping[str, str]) -> None:
    survey = preflight.observation().survey
    checked = units.schedule_checks(settings) if survey().machine.has_systemd else {}
    operations.files(
        name="Put the backup's files",
        contents=contents,
        checks={path: partial(_command, command) for path, command in checked.items()},
        present=lambda: survey().files,
        apply="systemctl daemon-reload" if survey().machine.has_systemd else None,
    )


def _command(command: str, _path: str) -> str:
    return command


def _remove_old(settings: Settings, paths: Sequence[str]) -> None:
    """Ensure nothing of the backup of earlier versions is left: scripts, what one ran in a container, and logs."""
    if not settings.runs("data"):
        return
    logs = [f"{settings.stack_dir}/{name}" for name in ("backup.log", "restic.log")]
    for path in [*paths, *logs] if paths else []:
        files.file(name=f"Remove {path}", path=path, present=False)


def _without_stack(settings: Settings) -> list[str]:
    if preflight.observation().survey().cut_off:
        return []  # what was cut off may have left a container out; it is put right first
    there = preflight.observation().survey().services
    missing = set(project.containers(settings)) - there.containers.keys()
    if settings.topology == "swarm":
        missing = {service for service in settings.images if compose.is_data(service) and not there.of(service)}
    if not missing:
        return []
    return [f"backup: expected a stack, got no {' and no '.join(sorted(missing))}; run deploy.py first"]
