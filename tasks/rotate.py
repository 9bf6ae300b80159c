"""New secrets for a stack that runs, with as little of it restarted as they need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pyinfra import host, inventory, logger
from pyinfra.api import deploy

from webui_stack.model import docker_config
from webui_stack.ops import operations, run, session
from webui_stack.ops.host_state import Observation
from webui_stack.plan import drift
from webui_stack.render import secrets_requests, survey_requests
from webui_stack.settings.model import Settings

from . import preflight, sources


@deploy("Rotate")
def check(settings: Settings) -> None:
    """Ensure the host is as its settings say, but for the secrets that are to be renewed: nothing else is changed then.

    A secret that the operator supplies has to be another by now.
    """
    operations.gate(name="Check that the secrets can be renewed", check=lambda: _refusals(settings))


def _refusals(settings: Settings) -> list[str]:
    survey = run.current().once(_apart_from_supplied, host.name).survey()
    if survey.cut_off:
        return session.unended(survey)
    found = drift.of_stack(settings, survey, sources.wanted(settings, survey.machine))
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return [f"rotate: expected a stack as its settings say, got {found[0]}{more}; run deploy.py first"]
    anew = preflight.observation().survey().stale
    return [
        f"{name}: expected another value from its source, got the one in force; change it at its source first"
        for name in _rotated(settings)
        if getattr(settings, name, None)
        and anew.get(f"{settings.stack_dir}/{secrets_requests.SECRET_FILES[name][0]}") != "content"
    ]


def _apart_from_supplied(name: str) -> Observation:
    """What is known of this host, were the secrets that are to be renewed not supplied but kept."""
    settings, supplied = preflight.settings(), preflight.supplied()
    kept: dict[str, Any] = {name: None for name in _rotated(settings) if hasattr(supplied, name)}
    request = survey_requests.survey_request(settings, replace(supplied, **kept))
    return Observation(inventory.get_host(name), request, docker_config.alone(settings))


@deploy("Rotate")
def renew(settings: Settings) -> None:
    """Ensure the secrets in `rotate_secrets` are others than before, in force, and the old ones revoked.

    Valkey is not restarted: while Open WebUI is recreated with its new password, the old one is good, too. The secret
    key signs everybody out. The probe's account gets its password by the next verify. The earlier secrets return by
    themselves when Open WebUI does not get healthy.
    """
    rotated = _rotated(settings)
    for name, why in _missing(settings).items():
        if name in settings.rotate_secrets:
            host.log(f"{name}: there is none, {why}", log_func=logger.info)
    if rotated:
        operations.rotate(
            name="Put new secrets in place",
            arguments=secrets_requests.rotate_request(settings, preflight.supplied(), rotated),
        )


def _rotated(settings: Settings) -> list[str]:
    return [name for name in dict.fromkeys(settings.rotate_secrets) if name not in _missing(settings)]


def _missing(settings: Settings) -> dict[str, str]:
    there = {
        "probe_password": (settings.verify_level == "user", "verify_level is not 'user'"),
        "postgres_password": (settings.database_kind == "postgres", "the stack has no Postgres of its own"),
    }
    return {name: why for name, (is_there, why) in there.items() if not is_there}
