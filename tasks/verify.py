"""The proof at the end of every deploy, and alone as a runbook."""

from __future__ import annotations

from pyinfra import host, logger
from pyinfra.api import deploy

from tasks import reports
from webui_stack import operations, proof
from webui_stack.settings import Settings


@deploy("Verify")
def prove(settings: Settings) -> None:
    """Ensure the stack works, as far as `verify_level` goes: Valkey, websockets, a user's events.

    Changes nothing. A host that fails drops out with the failing checks and what to do next. Every host is
    in the run's report.
    """
    operations.gate(
        name="Prove that websockets work",
        check=lambda: _problems(settings),
        at_execution=True,
    )


def _problems(settings: Settings) -> list[str]:
    proved = proof.run(host, settings)
    reports.add("verify", proved.address, proved.checks)
    failed = [check for check in proved.checks if check.is_fault]
    if not failed:
        host.log(proved.line, log_func=logger.info)
        return []
    for check in proved.checks:
        if check.ok:
            host.log(f"ok      {check}")
    return [f"failed  {check}" for check in failed]
