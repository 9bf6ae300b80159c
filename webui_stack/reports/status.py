"""How each host is, on one page: what runs, whether it works, whether it is as the settings say, who deployed last."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from rich import box
from rich.table import Table
from rich.text import Text

from webui_stack.documents.document import Outcome
from webui_stack.model import compose, deploy_log
from webui_stack.model.check import Check
from webui_stack.model.deploy_log import Record
from webui_stack.model.lock import Wanted
from webui_stack.model.survey import Survey
from webui_stack.plan import drift
from webui_stack.settings.model import Settings

# Digits of a digest in the table, as many as Docker shows of an id; the JSON has all.
_DIGITS = 12


@dataclass(frozen=True)
class Status:
    """One host. `images` are the digests (or, without one, the ids) its containers were made of, by service.

    `faults` are the names of the failed checks of verify, `drift` what a deploy would change. A host that could not
    be looked at has a `note` that says why, and nothing else. `backups` says what is wrong with them, or missing in
    them; `outcomes` how jobs on them ended.
    """

    open_webui: str = ""
    valkey: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    subscribers: str = ""
    faults: Sequence[str] = ()
    drift: Sequence[str] = ()
    last_deploy: Record | None = None
    note: str = ""
    backups: Sequence[str] = ()
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)


def of(
    settings: Settings, survey: Survey, locked: Sequence[Wanted], checks: Sequence[Check], told: Mapping[str, str]
) -> Status:
    """The status from what was observed, and what verify found (`proof.Proof`)."""
    if not survey.services.containers:
        return Status(last_deploy=deploy_log.parse(survey.last_deploy), note="no stack here")
    return Status(
        told.get("Open WebUI", ""),
        told.get("Valkey", ""),
        images(survey.services),
        told.get("subscribers", ""),
        [check.name for check in checks if check.is_fault],
        drift.of(settings, survey, locked),
        deploy_log.parse(survey.last_deploy),
        backups=list(_backups(settings, survey)),
        outcomes=survey.outcomes,
    )


# Job -> what it is to a reader.
_JOBS = {"drill": "drill", "copy": "copy to", "check": "check of"}


def _backups(settings: Settings, survey: Survey) -> Iterator[str]:
    if not settings.runs("data"):
        return
    if elsewhere := settings.uploads_elsewhere:
        yield f"uploads are in {elsewhere}, and in no backup set: back them up there"
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
        compose.short_name(container) if container.in_swarm else compose.service_of(name): digests.get(
            container.image_id, container.image_id
        ).rpartition("@")[2]
        for name, container in observed.containers.items()
    }


def table(hosts: Mapping[str, Status]) -> Table:
    """A row for each host, in their order."""
    found = Table(
        "host", "Open WebUI", "Valkey", "images", "works", "subscribers", "drift", "last deploy", box=box.SIMPLE
    )
    for name, host in hosts.items():
        short = [f"{service} {digest.removeprefix('sha256:')[:_DIGITS]}" for service, digest in host.images.items()]
        works = host.note or (f"no: {', '.join(host.faults)}" if host.faults else "yes")
        differs = "" if host.note else f"{len(host.drift)}, see below" if host.drift else "none"
        last = host.last_deploy.words if host.last_deploy else "not in its log"
        cells = (name, host.open_webui, host.valkey, "\n".join(short), works, host.subscribers, differs, last)
        # Text: what a host says must not be read as markup.
        found.add_row(*(Text(cell) for cell in cells), style="red" if host.faults or host.note else "")
    return found


def differences(hosts: Mapping[str, Status]) -> list[str]:
    """Where hosts differ from their settings, a line each."""
    return [f"{name}: {line}" for name, host in hosts.items() for line in host.drift]


def warnings(hosts: Mapping[str, Status]) -> list[str]:
    """What is wrong with backups of hosts, or missing in them, a line each."""
    return [f"{name}: backups: {line}" for name, host in hosts.items() for line in host.backups]


def as_json(hosts: Mapping[str, Status]) -> str:
    """All of it, for programs."""
    return json.dumps({name: asdict(host) for name, host in hosts.items()}, indent=2)
