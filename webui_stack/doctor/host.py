"""Doctor's rules about the host: its disk, its Docker, its memory, its kernel, its packet filter. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webui_stack.doctor.rule import Rule
from webui_stack.model import docker, firewall
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import Observed, number
from webui_stack.settings.model import Settings


def _disk(seen: Observed, _: Settings) -> Iterator[Check]:
    where = str(seen.host.get("disk_root"))
    step = "a full disk ends Valkey's writes and Open WebUI's database: `docker system df`, `docker image prune`"
    yield from room("disk", where, seen.host, step)


def room(name: str, where: str, of: Mapping[str, str], step: str) -> Iterator[Check]:
    """Space and inodes of the file system that a folder is on. Some have no fixed number of inodes, and say 0."""
    free, total = number(of.get("disk_free_kb")) // 1024, number(of.get("disk_kb")) // 1024
    if total:
        yield Check(
            name,
            free >= 1024 and free >= total // 10,
            f"{free} of {total} MB free under {where}",
            step,
            advice=free >= 1024,
        )
    free, total = number(of.get("inodes_free")), number(of.get("inodes"))
    if total:
        yield Check(
            f"{name}: inodes",
            free * 10 >= total,
            f"{free} of {total} inodes free under {where}",
            f"without one no file can be made, whatever space is left; {step}",
            advice=free * 100 >= total,
        )


def _engine(seen: Observed, _: Settings) -> Iterator[Check]:
    versions = seen.host.get("engine", ""), seen.host.get("compose", "")
    unproved = docker.unproved(*versions)
    yield Check(
        "docker: version",
        not unproved,
        "; ".join(unproved) or "Engine {}, Compose {}".format(*(version or "unknown" for version in versions)),
        "deploy to a test host first: docs/reference/support.md",
        advice=True,
    )


def _memory(seen: Observed, _: Settings) -> Iterator[Check]:
    free, total = seen.host_number("memory_free_kb") // 1024, seen.host_number("memory_kb") // 1024
    if total:
        yield Check(
            "memory",
            free >= 512,
            f"{free} of {total} MB available",
            "Open WebUI alone takes 0.8 GB, and saving may take Valkey its data twice: add memory",
            advice=free >= 128,
        )


def _overcommit(seen: Observed, _: Settings) -> Iterator[Check]:
    yield Check(
        "overcommit_memory",
        seen.host.get("overcommit_memory") == "1",
        f"vm.overcommit_memory is {seen.host.get('overcommit_memory')}",
        "Valkey's background saves may fail under memory pressure: `sysctl vm.overcommit_memory=1` "
        "(docs/how-to/docker.md)",
        advice=True,
    )


def _firewall(seen: Observed, _: Settings) -> Iterator[Check]:
    tables = firewall.gone(seen.firewall)
    if seen.firewall:
        yield Check(
            "docker: packet filter",
            not tables,
            firewall.told(tables) if tables else "Docker's rules are there, or are not Docker's to make",
            f"published ports and the containers' network are cut off: {firewall.NEXT_STEP}",
        )


RULES: tuple[Rule, ...] = (_disk, _engine, _memory, _overcommit, _firewall)
