"""Packages of the distribution, and where apt fetches them from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .system import System

_LISTS = "/etc/apt/sources.list.d"
# The second letter of dpkg's state is the one a package is in (dpkg-query(1)); a removed one leaves its configuration.
_OF_DPKG = ("dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n")
_OF_RPM = ("rpm", "-qa", "--qf", "%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n")
# A name and password in an address: `https://user:password@mirror.example.org`.
_CREDENTIALS = re.compile(r"://[^/@ ]*@")


def question(system: System) -> tuple[str, ...]:
    """The program that tells all packages; () on a host with neither dpkg nor rpm."""
    return next((one for one in (_OF_DPKG, _OF_RPM) if system.has(one[0])), ())


def installed(system: System) -> dict[str, str]:
    """The version of each installed package, as dpkg or rpm writes it; none on a host with neither."""
    asked = question(system)
    lines = [line.split("\t") for line in system.output(*asked).splitlines()] if asked else []
    if asked == _OF_DPKG:
        return {name: version for status, name, version in lines if status[1:2] == "i"}
    return dict(lines)


def apt_sources(system: System) -> Mapping[str, str]:
    """The text of each of apt's files of sources, by path, without names and passwords in addresses."""
    paths = ["/etc/apt/sources.list"]
    paths += [f"{_LISTS}/{name}" for name in system.names(_LISTS) if name.endswith((".list", ".sources"))]
    return {path: _CREDENTIALS.sub("://", system.text(path)) for path in paths if system.is_file(path)}
