"""The report of a run, which grows host by host."""

from __future__ import annotations

import atexit
from collections.abc import Collection, Sequence

from pyinfra import host, inventory, state

from webui_stack.model.check import Check
from webui_stack.ops import output, run
from webui_stack.reports.report import Report
from webui_stack.reports.rows import Row

# Between two times the files of a growing report are written.
_PAUSE_S = 2.0
_FAILED = "failed earlier in this run; its reason is above"
_UNTOUCHED = "untouched: too many hosts of the batches before it failed"


def _begun(title: str) -> Report:
    targeted = state.activated_hosts | state.failed_hosts
    report = Report(title, [target.name for target in inventory if target in targeted], pause_s=_PAUSE_S)
    atexit.register(report.write)
    return report


def close(title: str, untouched: Collection[str]) -> None:
    """Ensure every host is in the run's report, also those nothing was done to; prints the table if none was yet."""
    report = run.current().once(_begun, title)
    notes = {failed.name: _FAILED for failed in state.failed_hosts} | dict.fromkeys(untouched, _UNTOUCHED)
    for name in [missing for missing in report.missing if missing in notes]:
        if report.add(Row(name, "", note=notes[name])):
            report.show()


def add(title: str, address: str, checks: Sequence[Check]) -> None:
    """Ensure this host's checks are in the run's report; the last host prints the table.

    Prints none where the run has changed nothing and every host passed: then each host has a line already.
    The page is `reports/<time>/report.html` below the working directory, never more than 2 s behind, and complete
    when the run ends.
    """
    report = run.current().once(_begun, title)
    for failed in state.failed_hosts:
        if not report.rows[failed.name].checks:
            report.add(Row(failed.name, "", note=_FAILED))
    is_last = report.add(Row(host.name, address, checks))
    is_dull = output.is_held() and not report.problem and all(row.ok for row in report.rows.values())
    if is_last and not is_dull:
        report.show()
