"""What systemd says of its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .system import System

_PROPERTIES = "Id,ActiveState,UnitFileState,ExecStart,EnvironmentFiles,MainPID"
# Has a line for each file that the unit names (systemd, src/systemctl/systemctl-show.c).
_OF_SEVERAL_LINES = "EnvironmentFiles"


def question(system: System, units: Sequence[str]) -> tuple[str, ...]:
    """The program that tells of the units; () without systemd."""
    return ("systemctl", "show", "--property", _PROPERTIES, *units) if system.has_systemd() else ()


def look(system: System, units: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """The properties of each unit that systemd knows, by name; none without systemd.

    A unit that was never there is "inactive" to systemd, and no error. Of a property that comes several times, as
    ExecStart may, the last one counts; of EnvironmentFiles each one does, a line each.
    """
    asked = question(system, units)
    said = system.output(*asked) if asked else ""
    found: dict[str, Mapping[str, str]] = {}
    for block in said.split("\n\n"):
        unit: dict[str, str] = {}
        for line in block.splitlines():
            name, _, value = line.partition("=")
            unit[name] = f"{unit[name]}\n{value}" if name == _OF_SEVERAL_LINES and name in unit else value
        if "Id" in unit:
            found[unit["Id"]] = unit
    return found


def on(units: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Those that run, and start with the host."""
    return [
        name
        for name, unit in units.items()
        if unit.get("ActiveState") == "active" and unit.get("UnitFileState") == "enabled"
    ]
