"""Units: what has to run runs, such as the watchdog and the timer of backups; and no job of theirs has failed."""

from __future__ import annotations

from collections.abc import Iterator

from .. import units
from ..finding import Finding, Sample
from .sight import Sight
from .words import name

_ACTIVE = ("active", "activating", "reloading", "deactivating")
_FOLDER = "/etc/systemd/system"
# Deploys put this one on a host. Only runbooks/backup.py puts those of backups, checks and drills there.
_WATCHDOG = "open-webui-watchdog.service"


def look(at: Sight) -> Iterator[Finding | Sample]:
    """Cost: one `systemctl show` for all of them; nothing on a host without systemd."""
    wanted = [*at.asked.units, *at.asked.jobs]
    known = units.look(at.system, wanted) if wanted else {}
    for unit in wanted if known else ():
        state = known.get(unit, {}).get("ActiveState", "unknown")
        is_well = state != "failed" if unit in at.asked.jobs else state in _ACTIVE
        seen = f"{unit} has failed" if state == "failed" else f"{unit} does not run ({state})"
        step = f"look at `systemctl status {unit}` and `journalctl -u {unit}`"
        if not is_well and not at.files.exists(f"{_FOLDER}/{unit}"):
            seen = f"there is no {unit}"
            step = "run deploy.py" if unit == _WATCHDOG else "run runbooks/backup.py"
        yield Finding(name("unit", unit), is_well, f"{unit} is {state}" if is_well else seen, "" if is_well else step)
        about = "Whether a unit runs that has to, or whether a job's last run did not fail."
        yield Sample("open_webui_stack_unit_ok", is_well, {"unit": unit}, about)
