"""A program that a step needs on the host."""

from __future__ import annotations

from webui_stack.ops import operations, packages

from . import preflight


def bring(package: str, why: str, home: str) -> None:
    """Ensure the package is on the host, which the setting `why` needs; by hand, from `home`, where apt is not."""
    survey = preflight.observation().survey()
    if package in survey.engine.packages:
        return
    if survey.machine.package_manager == "apt":
        packages.install(name=f"Install {package}", names=[package], sources=survey.engine.apt_sources)
    else:
        missing = f"{package}: expected it on the host for {why}, got none; install it from {home}"
        operations.gate(name=f"Check that {package} is there", check=lambda: [missing])


def bring_age(why: str) -> None:
    """Ensure `age` is on the host."""
    bring("age", why, "https://age-encryption.org")


def bring_restic() -> None:
    """Ensure `restic` is on the host."""
    bring("restic", "backup_restic_repository", "https://restic.net")
