"""Python on the host: the host's program needs it, and so does the first look at a host."""

from __future__ import annotations

from pyinfra import host, logger
from pyinfra.api import Host, deploy

from webui_stack.ops import cli_arguments, packages
from webui_stack.settings.model import Settings
from webui_stack.transport import program, remote

from . import sources

# Which package it is. RHEL 8's python3 is 3.6, and its newer ones have names of their own.
_PACKAGE = """\
if command -v apt-get >/dev/null; then echo apt python3
elif command -v dnf >/dev/null; then
  . /etc/os-release
  case $VERSION_ID in 8|8.*) echo dnf python3.11 ;; *) echo dnf python3 ;; esac
else echo none
fi"""
_LATER = "the rest is planned once there is a python3: run it with -y, or install python3 there and run it again"


def bring(on: Host, settings: Settings) -> bool:
    """Ensure the host has a Python that the host's program runs on; False where only the plan is wanted.

    It is installed at once, because nothing else can be planned before: where the operator has agreed to the plan in
    advance (`-y`). Raises `NoPythonError` where it can't be had, after the package manager's own words.
    """
    if sources.opened(settings):
        raise program.NoPythonError(do="install python3 on it by hand: the bundle has none")
    if cli_arguments.is_dry() or not cli_arguments.agrees():
        return False
    manager, names = _package(on)
    on.log("python3: there is none; installing it", log_func=logger.info)
    if not packages.install_now(on, manager, names):
        raise program.NoPythonError
    return True


def _package(on: Host) -> tuple[str, list[str]]:
    """The host's package manager, and its name for Python. Raises `NoPythonError` where there is no such manager."""
    manager, *names = remote.run(on, _PACKAGE)[0].split()
    if not names:
        raise program.NoPythonError
    return manager, names


@deploy("Python")
def plan() -> None:
    """Tell that python3 comes first, and that the rest of the plan is unknown until then."""
    packages.install_chosen(name="Install python3", choose=_package)
    host.log_styled(_LATER, fg="yellow", log_func=logger.warning)
