"""Refuse what can't work before anything is changed: settings of all hosts, then each host itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gevent import GreenletExit
from pyinfra import host, inventory, logger, state
from pyinfra.api import DeployError, deploy
from pyinfra.api.exceptions import PyinfraError

from webui_stack.artifacts import bundle
from webui_stack.inventory import reading
from webui_stack.inventory.reading import Checked
from webui_stack.model import compose, docker_config, machine, swarm
from webui_stack.ops import cli_arguments, exit_status, facts, operations, run
from webui_stack.ops.host_state import Observation
from webui_stack.plan import adoption, database_guard, swarm_nodes
from webui_stack.render import survey_requests
from webui_stack.reports import report
from webui_stack.settings.model import Settings
from webui_stack.settings.sources import Supplied
from webui_stack.transport import remote
from webui_stack.transport.remote import RemoteError

from . import python, sources


def check(*, brings_python: bool = False) -> Settings:
    """Ensure every setting of every targeted host is sound, and that this host can carry the stack.

    With `brings_python` a host without Python gets it, or its plan says so and ends there.
    Returns this host's settings. Raises `DeployError` with all problems of all hosts, which stops the
    run before any change; a host that can't carry the stack is skipped alone.
    """
    checked = settings()
    run.current().once(_check_locks)
    if brings_python:
        run.current().once(_bring_python)
    run.current().once(_enter, host.name)
    _machine(checked=checked)
    return checked


def _enter(name: str) -> None:
    """Ensure this host answers as root; otherwise it fails with the reason, and the run goes on with the others."""
    observed = _observation(name)
    try:
        observed.survey()
        if observed.lacks_python:
            python.plan()
            raise GreenletExit  # the rest is planned once somebody can look
        if host not in state.failed_hosts:
            return
    except (PyinfraError, OSError, EOFError) as error:
        if isinstance(error, EOFError):
            print(file=sys.stderr)  # pyinfra's question for the password has no end of line
        reason = remote.why_not_root(inventory.get_host(name))
        if reason and not observed.refused:
            host.log_styled(reason, fg="red", log_func=logger.error)
        elif host not in state.failed_hosts:
            raise
        logger.debug("the first look at the host failed", exc_info=error)
    if host not in state.failed_hosts:
        # Raises when no host is left.
        state.fail_hosts({inventory.get_host(name)})  # type: ignore[no-untyped-call]
    elif not state.active_hosts:
        raise PyinfraError("No hosts remaining!")
    raise GreenletExit  # ends this host's reading of the deploy file; pyinfra 3.10 goes on with the other hosts'


def settings() -> Settings:
    """This host's settings, once all targeted hosts' are known to be sound."""
    # both for a run from another folder, where pyinfra does not read config.py
    exit_status.watch()
    run.ask_less()
    return _all_settings()[host.name].settings


def supplied() -> Supplied:
    """The secrets the operator supplies for this host."""
    return _all_settings()[host.name].supplied


def observation() -> Observation:
    """What is known of this host in this run."""
    return _observation(host.name)


def everywhere() -> list[Observation]:
    """What is known of the hosts that this host's stack is on: of itself, or of all that are in its swarm."""
    if settings().topology == "compose":
        return [observation()]
    return [_observation(name) for name in _present()]


def data_node() -> Observation:
    """What is known of the host that has the stack's Valkey, and steers the swarm if there is one."""
    found = [one for one in everywhere() if _all_settings()[one.host.name].settings.runs("data")]
    return found[0]


def swarm_hosts() -> dict[str, swarm_nodes.Host]:
    """All hosts of this run that nothing failed on, with what was observed of the swarm there."""
    checked = _all_settings()
    return {name: swarm_nodes.Host(checked[name].settings, _observation(name).survey().swarm) for name in _present()}


def mtu_between_hosts() -> int | None:
    """The smallest MTU of the interfaces that this run's hosts reach each other by; None where nobody could tell."""
    checked = _all_settings()
    return machine.mtu_between((checked[name].settings, _observation(name).survey().machine) for name in _present())


def _present() -> list[str]:
    """This run's hosts but for those that failed; the one with the data stays, since all others are about it."""
    failed = {target.name for target in state.failed_hosts}
    checked = _all_settings()
    return [name for name, one in checked.items() if name not in failed or one.settings.runs("data")]


def dropped_out() -> list[Observation]:
    """What was known of this run's hosts that something failed on."""
    present = set(_present())
    return [_observation(name) for name in _all_settings() if name not in present]


def is_whole() -> bool:
    """Whether this run is about all hosts of the inventory."""
    return len(_all_settings()) == len(inventory)


def _bring_python() -> None:
    """Let each host of this run have a Python before it is looked at: those of a swarm look at each other."""
    for name, checked in _all_settings().items():
        _observation(name).bring_python = partial(python.bring, settings=checked.settings)


def _observation(name: str) -> Observation:
    return run.current().once(_new_observation, name)


def _new_observation(name: str) -> Observation:
    checked = _all_settings()[name]
    request = survey_requests.survey_request(checked.settings, checked.supplied)
    return Observation(inventory.get_host(name), request, docker_config.alone(checked.settings))


@deploy("Preflight")
def _machine(checked: Settings) -> None:
    def problems() -> list[str]:
        observed = observation()
        survey = observed.survey()
        running = survey.services.containers
        found = machine.refusals(survey.machine, checked, observed.made_at_s, has_stack=bool(running))
        found += adoption.refusals(running, checked)
        found += database_guard.refusals(checked, host.name, survey.database)
        if checked.topology == "swarm":
            found += swarm.host_refusals(checked, survey.services)
        if source := sources.opened(checked):
            found += bundle.refusals(source, sources.wanted(checked, survey.machine))
        strangers = adoption.foreign(running, checked.stack_dir)
        if checked.stack_adopt and strangers:
            found += _taken_over(checked, strangers)
        return found

    operations.gate(name="Check that the host can carry the stack", check=problems)


def _taken_over(checked: Settings, strangers: list[str]) -> list[str]:
    """Tell what changes for people with containers made by hand; or why these can't be replaced."""
    try:
        found = facts.ask_program(host, facts.HandMade, _stdin=survey_requests.hand_made_request())
    except RemoteError as error:
        return [facts.why(host, error)]
    if compose.container_of("open-webui") in strangers:
        for line in adoption.changes(found, checked):
            host.log_styled(cli_arguments.as_typed(line), fg="yellow", log_func=logger.warning)
    if text := adoption.overlay(found, strangers, checked):
        file = run.current().once(_save_overlay, host.name, text)
        line = f"{file}: an overlay with what that take-over would drop; read it, then set stack_overlay to its path"
        host.log_styled(line, fg="yellow", log_func=logger.warning)
    return adoption.dropped(found, strangers, checked) + adoption.too_new(found, checked)


def _save_overlay(name: str, text: str) -> Path:
    """Write the overlay on this machine, for the operator to read."""
    return report.save(f"{name.rpartition('/')[2]}.override.yaml", text)


def _check_locks() -> None:
    if problems := sources.check({name: one.settings for name, one in _all_settings().items()}):
        raise DeployError(_refusal("nothing was changed", problems))


def _refusal(what: str, problems: Sequence[str]) -> str:
    return "\n".join([what, *map(cli_arguments.as_typed, problems)])


def _all_settings() -> dict[str, Checked]:
    """Settings and supplied secrets by host. Raises `DeployError` with all problems of all hosts of this run."""
    found, problems = run.current().once(_read)
    if problems:
        count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        raise DeployError(_refusal(f"nothing was changed: {count} in the settings", problems))
    return found


def _read() -> tuple[dict[str, Checked], list[str]]:
    targeted = {target.name for target in state.activated_hosts}
    return reading.read(inventory, targeted, cli_arguments.deploy_files(), cli_arguments.out_of_step())
