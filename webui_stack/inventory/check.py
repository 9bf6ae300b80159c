"""The settings of an inventory file, checked without a run: no host is contacted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from pyinfra.api import Config, Inventory, State
from pyinfra.context import ctx_inventory, ctx_state

from webui_stack.inventory import reading


class CheckError(ValueError):
    """The command can't be carried out as it is typed."""


def of_file(file: str, hosts: Collection[str], told: Iterable[str]) -> tuple[list[str], int]:
    """The problems in the settings of the file's hosts, and how many hosts were looked at.

    `hosts` are names or groups, as `--limit` takes them; without any, all hosts are looked at. `told` are settings of
    the command line, NAME=VALUE, as `--data` takes them. Raises `CheckError` for a host that is not in the inventory.
    """
    from pyinfra_cli.inventory import make_inventory  # makes the standard library's threads gevent's (pyinfra_cli 3.10)

    state = State(check_for_changes=False)
    with ctx_state.use(state):  # while it reads the inventory, too, as pyinfra_cli/cli.py has it
        inventory = make_inventory(file, override_data=dict(map(_pair, told)), cwd=".")
        state.init(inventory, Config())  # type: ignore[no-untyped-call]
        with ctx_inventory.use(inventory):
            names = _targeted(inventory, hosts)
            _, problems = reading.read(inventory, names)
    return problems, len(names)


def _targeted(inventory: Inventory, hosts: Collection[str]) -> list[str]:
    everybody = [host.name for host in inventory]
    if not hosts:
        return everybody
    known = {*everybody, *inventory.groups}
    for name in hosts:
        if name not in known:
            shown = ", ".join(everybody[:5]) + (", ..." if len(everybody) > 5 else "")
            raise CheckError(f"--host: expected a host or group of the inventory, got {name}; it has {shown}")
    wanted = {host.name for name in hosts if name in inventory.groups for host in inventory.groups[name]} | {*hosts}
    return [name for name in everybody if name in wanted]


def _pair(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise CheckError(f"--data: expected NAME=VALUE, got {text!r}; write --data open_webui_port=3000")
    from pyinfra_cli.util import parse_cli_arg

    return name, parse_cli_arg(value)
