"""How a host is: what runs, whether it works, its backups, whether it is as the settings say, who deployed last."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from webui_stack.documents.alarm_document import OpenAlarm
from webui_stack.documents.backup_document import Ages
from webui_stack.documents.document import Outcome
from webui_stack.model import compose, deploy_log
from webui_stack.model.check import Check
from webui_stack.model.deploy_log import Record
from webui_stack.model.lock import Wanted
from webui_stack.model.survey import MONITOR_UNIT, Survey
from webui_stack.plan import drift
from webui_stack.reports import releases
from webui_stack.reports.releases import Release
from webui_stack.settings.model import Settings


@dataclass(frozen=True)
class Status:
    """One host. `images` are the digests (or, without one, the ids) its containers were made of, by service.

    `faults` are the names of the failed checks of verify, and `unwell` all of its checks that were not well. `drift` is
    what a deploy would change. `late` are backups and drills that are too old by their schedules; ages are in seconds,
    by the host's clock, and None for none. `backups_unknown` says why they are not known, "" where they are. `backups`
    says which jobs on them failed, `outcomes` how all of them ended. `uploads_elsewhere` is where uploads are that no
    set has, "" for none. `certificate_ends` is when the certificate that is served ends (ISO 8601), "" where none was
    seen.

    `releases` are the images of the settings by service, with the newest release that is known of each.

    `alarms` are those that are open; `alarms_unknown` says why nobody knows, "" where they are known. `is_monitored`
    says whether a monitor looks for them. A host that could not be looked at has a `note` that says why, and nothing
    else.
    """

    open_webui: str = ""
    valkey: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    subscribers: str = ""
    faults: Sequence[str] = ()
    drift: Sequence[str] = ()
    last_deploy: Record | None = None
    note: str = ""
    unwell: Sequence[Check] = ()
    backup_age_s: int | None = None
    drill_age_s: int | None = None
    late: Sequence[Check] = ()
    backups_unknown: str = ""
    backups: Sequence[str] = ()
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    uploads_elsewhere: str = ""
    certificate_ends: str = ""
    alarms: Sequence[OpenAlarm] = ()
    alarms_unknown: str = ""
    is_monitored: bool = False
    releases: Mapping[str, Release] = field(default_factory=dict)


def of(
    settings: Settings,
    survey: Survey,
    locked: Sequence[Wanted],
    checks: Sequence[Check],
    told: Mapping[str, str],
    alarms: Sequence[OpenAlarm] | str = (),
    ages: Ages | str | None = None,
) -> Status:
    """The status from what was observed, and what verify found (`proof.Proof`).

    `alarms` and `ages` may say why they are not known. `ages` is None for a host that has no backups.
    """
    open_alarms, unknown = ((), alarms) if isinstance(alarms, str) else (alarms, "")
    seen = Status(
        last_deploy=deploy_log.parse(survey.last_deploy),
        alarms=open_alarms,
        alarms_unknown=unknown,
        is_monitored=MONITOR_UNIT in survey.units,
    )
    if not survey.services.containers:
        return replace(seen, note="no stack here")
    looked = replace(
        seen,
        open_webui=told.get("Open WebUI", ""),
        valkey=told.get("Valkey", ""),
        images=images(survey.services),
        subscribers=told.get("subscribers", ""),
        faults=[check.name for check in checks if check.is_fault],
        drift=drift.of(settings, survey, locked),
        unwell=[check for check in checks if not check.ok],
        backups=list(_failed_jobs(settings, survey)) if settings.runs("data") else [],
        outcomes=survey.outcomes,
        uploads_elsewhere=settings.uploads_elsewhere if settings.runs("data") else "",
        certificate_ends=told.get("certificate ends", ""),
        releases=releases.pinned(settings.all_images),
    )
    return _with_ages(looked, ages)


def _with_ages(host: Status, ages: Ages | str | None) -> Status:
    if ages is None or isinstance(ages, str):
        return replace(host, backups_unknown=ages or "")
    return replace(
        host,
        backup_age_s=_age_s(ages["now_s"], ages["backup_at_s"]),
        drill_age_s=_age_s(ages["now_s"], ages["drill_at_s"]),
        late=[Check(one["name"], False, one["seen"], one["next_step"]) for one in ages["late"]],
        backups_unknown="; ".join(ages["errors"]),
    )


def _age_s(now_s: float, at_s: float | None) -> int | None:
    return None if at_s is None else int(now_s - at_s)


# Job -> what it is to a reader.
_JOBS = {"drill": "drill", "copy": "copy to", "check": "check of"}


def _failed_jobs(settings: Settings, survey: Survey) -> Iterator[str]:
    repositories = (settings.backup_restic_repository, settings.backup_restic_second_repository)
    for job, outcome in survey.outcomes.items():
        kind = job.partition("-")[0]
        if outcome["ok"] or (outcome["of"] and outcome["of"] not in repositories):
            continue  # the second: of a repository that was given up
        good = "never"
        if outcome["good_s"]:
            good = datetime.fromtimestamp(outcome["good_s"], UTC).strftime("last on %Y-%m-%d %H:%M UTC")
        yield f"{_JOBS[kind]} {outcome['of']}".rstrip() + f" failed, went well {good}: {outcome['said']}"


def images(observed: compose.Observed) -> dict[str, str]:
    """What each service's container was made of: the digest a registry serves that image by, or else its id."""
    digests = {image.id: digest for image in observed.images.values() for digest in image.digests}
    return {
        _called(container): digests.get(container.image_id, container.image_id).rpartition("@")[2]
        for container in observed.containers.values()
    }


def _called(container: compose.Container) -> str:
    if container.in_swarm:
        return compose.short_name(container)
    return container.service if container.of_overlay else compose.service_of(container.name)


def as_json(hosts: Mapping[str, Status]) -> str:
    """All of it, for programs."""
    return json.dumps({name: asdict(host) for name, host in hosts.items()}, indent=2)
