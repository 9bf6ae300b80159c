"""The settings of an inventory's hosts and the secrets that the operator supplies, with every problem in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pyinfra.api import Inventory

from webui_stack.inventory import data
from webui_stack.inventory.data import InventoryDataError
from webui_stack.plan import overlay_contract, rollout
from webui_stack.settings import consistency, sources
from webui_stack.settings.errors import SettingsError
from webui_stack.settings.model import Settings, defaults
from webui_stack.settings.sources import SecretError, Supplied
from webui_stack.settings.validation import from_data


class Checked(NamedTuple):
    """A host's settings, and the secrets that the operator supplies for it."""

    settings: Settings
    supplied: Supplied


def read(
    inventory: Inventory, targeted: Collection[str], deploy_files: Iterable[str] = (), out_of_step: str | None = None
) -> tuple[dict[str, Checked], list[str]]:
    """What is known of each targeted host whose settings are sound, and the problems of all of them.

    `deploy_files` are the files that a run is of, and `out_of_step` its option that lets hosts run ahead of others: a
    swarm takes not every one. The defaults are read from this project's own folder, so that an inventory kept
    elsewhere, which pyinfra gives no `group_data` of ours, has them too.
    """
    source = cache(sources.read_source)
    found: dict[str, Checked] = {}
    problems: list[str] = []
    for host in inventory:
        if host.name not in targeted:
            continue
        try:
            settings = from_data({**defaults(), **data.of_host(host)})
            found[host.name] = Checked(settings, sources.supply(settings, source))
        except (SettingsError, SecretError) as error:
            problems.extend(f"{host.name} / {problem}" for problem in error.problems)
        except InventoryDataError as error:
            problems.append(f"{host.name} / {error}")
    policies = {name: checked.settings for name, checked in found.items()}
    problems += [f"{name} / {line}" for name, one in policies.items() for line in overlay_contract.problems(one)]
    problems += rollout.problems(policies, [host.name for host in inventory])
    if any(settings.otel for settings in policies.values()):
        problems += consistency.telemetry_problems(policies | _of_others(inventory, policies))
    if not problems and any(settings.topology == "swarm" for settings in policies.values()):
        problems += consistency.swarm_problems(policies | _of_others(inventory, policies), policies)
        problems += [line for file in deploy_files for line in consistency.runbook_refusals(Path(file).stem)]
        if out_of_step:
            problems.append(f"topology: expected all hosts of a swarm to go in step, got {out_of_step}; leave it out")
    return found, problems


def _of_others(inventory: Inventory, targeted: Collection[str]) -> dict[str, Settings]:
    """The settings of the inventory's hosts that are not targeted, as far as they are sound: one stack is on all."""
    found = {}
    for host in inventory:
        if host.name not in targeted:
            try:
                found[host.name] = from_data({**defaults(), **data.of_host(host)})
            except (SettingsError, InventoryDataError):
                continue
    return found
