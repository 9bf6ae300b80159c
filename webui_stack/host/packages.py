"""Packages of the distribution, and where apt fetches them from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .system import System

_LISTS = "/etc/apt/sources.list.d"
# A name and password in an address: `https://user:password@mirror.example.org`.
_CREDENTIALS = re.compile(r"://[^/@ ]*@")


def installed(system: System) -> dict[str, str]:
    """The version of each installed package, as dpkg or rpm writes it; none on a host with neither."""
    if system.has("dpkg-query"):
        said = system.output("dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n")
        columns = (line.split("\t") for line in said.splitlines())
        # The second letter is the state it is in (dpkg-query(1)); a removed package leaves its configuration.
        return {name: version for status, name, version in columns if status[1:2] == "i"}
    if system.has("rpm"):
        said = system.output("rpm", "-qa", "--qf", "%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n")
        return dict(line.split("\t") for line in said.splitlines())
    return {}


def apt_sources(system: System) -> Mapping[str, str]:
    """The text of each of apt's files of sources, by path, without names and passwords in addresses."""
    paths = ["/etc/apt/sources.list"]
    paths += [f"{_LISTS}/{name}" for name in system.names(_LISTS) if name.endswith((".list", ".sources"))]
    return {path: _CREDENTIALS.sub("://", system.text(path)) for path in paths if system.path(path).is_file()}
