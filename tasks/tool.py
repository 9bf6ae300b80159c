"""A program that a step needs on the host."""

from __future__ import annotations

from pyinfra.operations import apt

from tasks import preflight
from webui_stack import operations


def bring(package: str, why: str, home: str) -> None:
    """Ensure the package is on the host, which the setting `why` needs; by hand, from `home`, where apt is not."""
    machine, packages = preflight.observation().survey().machine, preflight.observation().survey().engine.packages
    if package in packages:
        return
    if machine.package_manager == "apt":
        apt.packages(name=f"Install {package}", packages=[package], update=True)
    else:
        missing = f"{package}: expected it on the host for {why}, got none; install it from {home}"
        operations.gate(name=f"Check that {package} is there", check=lambda: [missing])


def bring_age(why: str) -> None:
    """Ensure `age` is on the host."""
    bring("age", why, "https://age-encryption.org")


def bring_restic() -> None:
    """Ensure `restic` is on the host."""
    bring("restic", "backup_restic_repository", "https://restic.net")
