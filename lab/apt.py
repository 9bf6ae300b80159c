"""What this machine knows about reaching Debian, to be repeated inside images; and installing tools."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

from lab import docker, state
from lab.errors import LabError
from lab.progress import step

SUITES = {"12": "bookworm", "13": "trixie"}
_SOURCES = Path("/etc/apt")
_TRANSPORT = re.compile(r'^(Acquire::(?:https?::Proxy|Check-Date|Check-Valid-Until)) "(.+)";$', re.MULTILINE)


def mirrors() -> tuple[str, str] | None:
    """This machine's (main, security) mirrors of Debian, or None if it is no Debian machine."""
    suite = _codename()
    found: dict[str, str] = {}
    for uri, suites in _entries():
        for one in suites:
            found.setdefault(one, uri.rstrip("/"))
    main = found.get(suite) if suite in SUITES.values() else None
    if main is None:
        return None
    return main, found.get(f"{suite}-security", f"{main}-security")


def source_lines(debian: str) -> list[str]:
    """One-line apt sources for this Debian release at this machine's mirror; [] if there is none to take."""
    pair = mirrors()
    if pair is None:
        return []
    main, security = pair
    suite = SUITES[debian]
    return [
        f"deb {main} {suite} main",
        f"deb {main} {suite}-updates main",
        f"deb {security} {suite}-security main",
    ]


def transport_options() -> list[str]:
    """apt.conf lines for this machine's proxies and clock checks.

    A proxy on a loopback address is left out: a container cannot reach it.
    """
    if shutil.which("apt-config") is None:
        return []
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [
        f'{key} "{value}";'
        for key, value in _TRANSPORT.findall(dump)
        if not re.search(r"//(localhost|127\.|\[::1\])", value)
    ]


def ensure_tools(programs: dict[str, str], name: str, why: str) -> None:
    """Ensure every program is in PATH, installing its package where that is possible.

    `programs` maps program to Debian package. Needs root and apt-get to install; otherwise raises
    LabError naming the packages. `name` is the lab whose log takes the output.
    """
    missing = {program: package for program, package in programs.items() if _which(program) is None}
    if not missing:
        return
    packages = sorted(set(missing.values()))
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LabError(
            f"{why}: expected {', '.join(sorted(missing))} in PATH, got none, "
            f"install the Debian package(s) {' '.join(packages)} (or run the lab as root on Debian)"
        )
    with (
        state.lock("apt", "Waiting for another lab that is installing packages"),
        step(f"Install {', '.join(packages)}"),
    ):
        _update(name)
        docker.run_logged(
            [
                "apt-get",
                "-qy",
                "--no-install-recommends",
                # a configuration file that is already there is the operator's: keep it, and don't ask
                "--option=Dpkg::Options::=--force-confdef",
                "--option=Dpkg::Options::=--force-confold",
                "install",
                *packages,
            ],
            state.log(name, "apt"),
            environment={"DEBIAN_FRONTEND": "noninteractive"},
        )


@functools.cache
def _update(name: str) -> None:
    docker.run_logged(["apt-get", "-q", "update"], state.log(name, "apt"))


def _which(program: str) -> str | None:
    # dockerd and iptables live in sbin, which an ordinary user's PATH lacks
    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def _codename() -> str:
    try:
        text = Path("/etc/os-release").read_text()
    except FileNotFoundError:
        return ""
    found = re.search(r'^VERSION_CODENAME="?(\w+)', text, re.MULTILINE)
    return found.group(1) if found else ""


def _entries() -> list[tuple[str, list[str]]]:
    """(uri, suites) of each enabled http(s) source, from both formats (sources.list(5))."""
    entries: list[tuple[str, list[str]]] = []
    for path in [_SOURCES / "sources.list", *sorted((_SOURCES / "sources.list.d").glob("*.list"))]:
        if not path.is_file():
            continue
        for line in path.read_text().splitlines():
            match = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(https?://\S+)\s+(\S+)", line)
            if match:
                entries.append((match.group(1), [match.group(2)]))
    for path in sorted((_SOURCES / "sources.list.d").glob("*.sources")):
        text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
        for stanza in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE))
            if fields.get("Enabled", "yes").strip() == "no" or "deb" not in fields.get("Types", "").split():
                continue
            for uri in fields.get("URIs", "").split():
                if uri.startswith("http"):
                    entries.append((uri, fields.get("Suites", "").split()))
    return entries
