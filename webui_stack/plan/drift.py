"""Where a host differs from its settings: what a deploy would change there, without planning one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from webui_stack.documents import document
from webui_stack.model import compose, docker, docker_config, lock, swarm
from webui_stack.model.lock import Wanted
from webui_stack.model.survey import DOCKER_UNIT, MONITOR_UNIT, WATCHDOG_UNIT, Survey
from webui_stack.plan import apt_sources
from webui_stack.render import managed, project, units
from webui_stack.settings.model import Settings


def of(settings: Settings, survey: Survey, locked: Iterable[Wanted] = ()) -> list[str]:
    """Every difference, as `what: how`; empty where a deploy has nothing to do. `locked` are the images of its lock."""
    return [*of_stack(settings, survey, locked), *of_saved(survey.saved), *_backup(settings, survey)]


def of_stack(settings: Settings, survey: Survey, locked: Iterable[Wanted] = ()) -> list[str]:
    """The same without what only backups need, and without what Open WebUI saved."""
    return [
        *([f"{survey.cut_off}: was cut off, run runbooks/{survey.cut_off}.py again"] if survey.cut_off else []),
        *_docker(settings, survey),
        *_files(settings, survey),
        *_stack(settings, survey, locked),
        *_watchdog(settings, survey),
        *_monitor(settings, survey),
    ]


def of_saved(found: document.Saved | None) -> list[str]:
    """The settings that Open WebUI saved with other values than `open_webui_saved` names, without secrets."""
    if found is None:
        return []
    lines = [f"{one['key']}: saved: {one['saved']}, wanted: {one['wanted']}" for one in found["differences"]]
    return [f"open_webui_saved: nobody knows what is saved: {found['failed']}"] if found["failed"] else lines


def _docker(settings: Settings, survey: Survey) -> Iterator[str]:
    if settings.docker_source == "present":
        return
    missing = set(docker.packages(survey.machine, settings.docker_source)) - survey.engine.packages
    if missing:
        yield f"packages: {', '.join(sorted(missing))} not installed"
    if rivals := docker.conflicts(survey.machine, survey.engine, settings.docker_source):
        yield f"packages: {', '.join(rivals)} installed"
    if not survey.engine.server:
        yield "docker: does not run"
    try:
        if docker_config.plan(settings, survey.docker).action != "nothing":
            cut_off = "was cut off while it was changed" if survey.docker.cut_off else "is not as docker_daemon says"
            yield f"{docker_config.DAEMON_JSON}: {cut_off}"
    except docker_config.DaemonJsonError as error:
        yield f"{docker_config.DAEMON_JSON}: can't be read, {error}"
    if settings.docker_source == "docker-ce" and survey.machine.package_manager == "apt":
        if survey.engine.repository_key_sha256 != settings.docker_repo_key_sha256:
            yield f"{docker.APT_KEY}: is not the key that docker_repo_key_sha256 says"
        repository = survey.machine.repository_of(settings.docker_repo_url)
        for path in apt_sources.replaced(survey.engine.apt_sources, repository, docker.APT_SOURCES):
            yield f"{path}: has Docker's repository, too"
    if survey.machine.has_systemd and DOCKER_UNIT not in survey.units:
        yield f"{DOCKER_UNIT}: is not both active and enabled"


def _files(settings: Settings, survey: Survey) -> Iterator[str]:
    for path, text in managed.files(settings, survey.machine, survey.engine.server).items():
        if path not in survey.files:
            yield f"{path}: missing, or not root's and 0644"
        elif survey.files[path] != text:
            yield f"{path}: differs"
    for path in project.unwanted(settings):
        if path in survey.files:
            yield f"{path}: is not wanted any more"


def _stack(settings: Settings, survey: Survey, locked: Iterable[Wanted]) -> Iterator[str]:
    if survey.refused:
        yield survey.refused
    for path, what in survey.stale.items():
        yield f"{path}: is not wanted any more" if what == "presence" else f"{path}: its {what} differs"
    if settings.topology == "compose":
        yield from _network(settings, survey)
    for reference in settings.all_images.values():
        if reference not in survey.services.images:
            yield f"image {reference}: missing"
    for one in lock.unmet(locked, survey.services.images):
        if one.reference in survey.services.images:
            yield f"image {one.reference}: is not the locked {one.image.digest}"
    if settings.topology == "compose":
        yield from map(str, compose.pending(survey.services, settings.stack_dir, settings.all_images))
    elif settings.runs("data"):
        yield from map(str, swarm.pending(survey.swarm, survey.services.images, settings.all_images))


def _network(settings: Settings, survey: Survey) -> Iterator[str]:
    if survey.services.network is None:
        yield f"{compose.NETWORK}: missing"
    else:
        yield from compose.network_refusals(survey.services.network, settings.network_subnet)


def _watchdog(settings: Settings, survey: Survey) -> Iterator[str]:
    if settings.topology == "swarm":
        return
    wanted = settings.watchdog_pause_s > 0
    if not survey.machine.has_systemd:
        return
    for path in units.old_watchdog(settings):
        if path in survey.files:
            yield f"{path}: is of an earlier version"
    if wanted != (WATCHDOG_UNIT in survey.units):
        yield f"{WATCHDOG_UNIT}: is not both active and enabled" if wanted else f"{WATCHDOG_UNIT}: runs"


def _monitor(settings: Settings, survey: Survey) -> Iterator[str]:
    if not survey.machine.has_systemd:
        return
    wanted = units.has_monitor(settings)
    if wanted != (MONITOR_UNIT in survey.units):
        yield f"{MONITOR_UNIT}: is not both active and enabled" if wanted else f"{MONITOR_UNIT}: runs"
    if not wanted and units.MONITOR_PATH in survey.files:
        yield f"{units.MONITOR_PATH}: is not wanted any more"


def has_timer(survey: Survey, timer: str) -> bool:
    """Whether runbooks/backup.py has put the timer on the host."""
    return timer in survey.units or f"/etc/systemd/system/{timer}" in survey.files


def _backup(settings: Settings, survey: Survey) -> Iterator[str]:
    for path, text in units.kept_backup(settings, survey.machine, survey.files).items():
        if survey.files[path] != text:
            yield f"{path}: differs"
    if settings.runs("data"):
        for path in units.old_backup(settings, survey.files):
            yield f"{path}: is of an earlier version"
    for timer, schedule in units.schedules(settings).items():
        wanted = bool(schedule)
        if has_timer(survey, timer) and wanted != (timer in survey.units):
            yield f"{timer}: is not both active and enabled" if wanted else f"{timer}: runs"
