"""Why this project's commands do not run as root on a host, seen with the SSH user's own rights. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

# Asked without sudo, and only once something has failed. `sudo -n` never asks for a password.
COMMAND = r"""
echo "user=$(id -un)"
echo "uid=$(id -u)"
echo "sudo=$(command -v sudo)"
LC_ALL=C sudo -n true 2>&1 | sed 's/^/says=/'
while read -r _ point _ options _; do
  case ,$options, in *,noexec,*) echo "noexec=$point" ;; esac
done </proc/mounts
"""


@dataclass(frozen=True)
class Access:
    """How the SSH user may become root. `says` is what `sudo -n true` said; "" where it let the user in."""

    user: str = ""
    is_root: bool = False
    has_sudo: bool = False
    says: str = ""
    noexec: tuple[str, ...] = ()


def parse(lines: Iterable[str]) -> Access:
    """Read `COMMAND`'s output; lines that are not its own are skipped."""
    values: dict[str, list[str]] = {}
    for line in lines:
        if match := re.fullmatch(r"(user|uid|sudo|says|noexec)=(.*)", line.strip()):
            values.setdefault(match[1], []).append(match[2])

    def first(key: str) -> str:
        return values.get(key, [""])[0]

    return Access(
        user=first("user"),
        is_root=first("uid") == "0",
        has_sudo=bool(first("sudo")),
        says=" ".join(values.get("says", [])),
        noexec=tuple(values.get("noexec", [])),
    )


def refusal(access: Access, *, uses_sudo: bool, has_password: bool, folder: str) -> str | None:
    """Why commands do not run as root there, in one line; None where access is not the reason.

    `folder` is where pyinfra puts its helper that hands sudo the password, and runs it (`_temp_dir`; pyinfra 3.10).
    """
    if access.is_root or not uses_sudo or not access.user:
        return None
    if not access.has_sudo:
        return (
            f"sudo: expected it on the host, got none (the SSH user is {access.user}); "
            'install sudo there, or set ssh_user = "root" and leave _sudo out'
        )
    if has_password and (point := _noexec(folder, access.noexec)):
        return (
            f"sudo: expected to run pyinfra's password helper in {folder}, got {point} mounted noexec; "
            'set _temp_dir to a folder of the SSH user\'s that is not, "/var/tmp" for one'
        )
    if "not in the sudoers" in access.says or "may not run sudo" in access.says:
        return f"sudo: expected {access.user} to be allowed, got a refusal; add {access.user} to the host's sudoers"
    if access.says and not has_password:
        return (
            f"sudo: expected no password for {access.user}, got asked for one; set _sudo_password for the host, "
            "or run with --use-sudo-password from a terminal"
        )
    if access.says:
        return (
            f"sudo: expected the password of {access.user} and a line in the host's sudoers, got a refusal; "
            "try sudo on the host"
        )
    return None


def _noexec(folder: str, points: Iterable[str]) -> str | None:
    """The mount point that the folder is on, if programs may not be run there."""
    above = [folder]
    while above[-1] != posixpath.dirname(above[-1]):
        above.append(posixpath.dirname(above[-1]))
    return next((point for point in points if point in above and point != "/"), None)
