"""Requests for the verbs of the host's program that observe a host and change nothing."""

from __future__ import annotations

from typing import Any

from webui_stack.host import protocol
from webui_stack.model import compose, docker, doctor_observed, survey
from webui_stack.render import managed, project, secrets_requests, units
from webui_stack.settings.model import Settings
from webui_stack.settings.sources import HiddenLines, Supplied


def survey_request(settings: Settings, supplied: Supplied) -> HiddenLines:
    """The request for the verb `survey`: names, and the stack as it is wanted (`host/verbs/survey.py`).

    It holds the operator's own secrets, because compose's hash of a service covers them: only ever sent on stdin.
    """
    in_swarm = settings.topology == "swarm"
    request = protocol.Request(
        "survey",
        protocol.FRAMED,
        {
            "stack_dir": settings.stack_dir,
            "backup_dir": settings.backup_dir,
            "data_root": str(settings.docker_daemon.get("data-root", "")),
            "images": list(dict.fromkeys(settings.all_images.values())),
            "containers": project.containers(settings),
            "network": compose.NETWORK,
            "gateway": compose.GATEWAY,
            "units": [survey.DOCKER_UNIT, survey.WATCHDOG_UNIT, survey.MONITOR_UNIT, *units.schedules(settings)],
            "paths": managed.paths(settings),
            "apt_key": docker.APT_KEY,
            "lease_files": [survey.LEASE_FILE, survey.OLD_LEASE_FILE],
            "deploy_log": survey.DEPLOY_LOG,
            "sqlite_volume": settings.open_webui_volume,
            "postgres_volume": settings.postgres_volume,
            "swarm": compose.STACK if in_swarm else "",
            "project": _wanted(settings, supplied) if settings.runs("data") else None,
            "open_webui": compose.container_of("open-webui"),
            "saved": secrets_requests.saved_values(settings, supplied),
        },
    )
    return HiddenLines(request.line())


def _wanted(settings: Settings, supplied: Supplied) -> dict[str, Any]:
    """The stack as it is wanted on the host."""
    files = project.files(settings)
    definition = project.DEFINITION[settings.topology]
    return {
        "secrets": secrets_requests.wish(settings, supplied),
        "file": files[definition],
        "older_file": project.without_start_interval(files[definition]),
        "overlay": files.get(compose.OVERLAY, ""),
        "newer_engine": docker.START_INTERVAL_ENGINE,
        "mounted": {
            service: {f"{settings.stack_dir}/{path}": sha256 for path, sha256 in sums.items()}
            for service, sums in project.mounted(files).items()
        },
        "with_acl": "redis",
    }


def hand_made_request() -> str:
    """The request for the verb `hand_made` (`host/verbs/hand_made.py`)."""
    request = protocol.Request(
        "hand_made",
        protocol.FRAMED,
        {
            "containers": [compose.container_of("open-webui"), compose.container_of("redis")],
            "open_webui": compose.container_of("open-webui"),
        },
    )
    return request.line()


def doctor_request(settings: Settings) -> str:
    """The request for the verb `doctor` (`host/verbs/doctor.py`). It holds no secret."""
    in_swarm = settings.topology == "swarm"
    services = ("redis", "postgres", "ollama", "open-webui", "proxy")
    request = protocol.Request(
        "doctor",
        protocol.FRAMED,
        {
            "stack_dir": settings.stack_dir,
            "backup_dir": settings.backup_dir,
            "backup_schedule": settings.backup_schedule,
            "backup_check_schedule": settings.backup_check_schedule,
            "drill_schedule": settings.drill_schedule,
            "containers": {name: f"{compose.STACK}_{name}" for name in services}
            if in_swarm
            else compose.containers_of(services),
            "ours": compose.OURS,
            "swarm": compose.STACK if in_swarm else "",
            "questions": list(doctor_observed.QUESTIONS),
            "shown": list(doctor_observed.SHOWN),
            "addresses": list(doctor_observed.ADDRESSES),
        },
    )
    return request.line()


def serving_request(settings: Settings) -> dict[str, Any]:
    """The request for the verb `serving` (`host/verbs/serving.py`). It holds no secret."""
    bind = settings.open_webui_bind
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104
    return {
        "stack_dir": settings.stack_dir,
        "containers": project.containers(settings),
        "processes": [compose.container_of(service) for service in settings.open_webui_services],
        "valkey": compose.container_of("redis"),
        # With a proxy, Open WebUI publishes no port.
        "published": None if settings.public_url else {"address": loopback, "port": settings.open_webui_port},
    }
