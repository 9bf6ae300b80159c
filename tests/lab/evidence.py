"""What hosts of the lab look like when a test fails: in reports/tests/, for whoever reads the failure later."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.session import NAME, ROOT, SWARM, inventory_file, ssh_config

FOLDER = ROOT / "reports" / "tests"
# A host that hangs must not hold up the tests that follow.
LIMIT_S = 30
# No environment of a container: it has secrets.
LOOK = r"""
exec 2>&1
title() { printf '\n== %s\n' "$*"; }
title Load; uptime; free -m; df -h /
title Containers; docker ps --all --no-trunc --format 'table {{.Names}}\t{{.Status}}\t{{.Image}}\t{{.Ports}}'
title Swarm; docker node ls; docker service ls; docker service ls --quiet | xargs -r docker service ps --no-trunc
for name in $(docker ps --all --format '{{.Names}}'); do
  title "State of $name"; docker inspect --format '{{json .State}}' "$name"
  title "Log of $name"; docker logs --timestamps --tail 60 "$name"
done
title Files; ls -lAR --time-style=full-iso /opt/open-webui /run/open-webui-stack
title Timers; systemctl list-timers --all --no-pager; systemctl --failed --no-pager
title Processes; ps -eo pid,ppid,lstart,pcpu,args --sort=pid
title Journal; journalctl --no-pager --lines 400
"""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the state of all hosts beside the report of a lab test that failed."""
    report = yield
    if report.failed and item.get_closest_marker("lab"):
        files = keep(re.sub(r"[^\w.-]+", "_", item.nodeid.removeprefix("tests/")).strip("_"))
        if files:
            report.sections.append(("State of the hosts", "\n".join(str(file.relative_to(ROOT)) for file in files)))
    return report


def keep(test: str) -> list[Path]:
    """One file for each host of the session's labs, all asked at once; the files."""
    hosts = [
        (lab, host["name"])
        for lab in dict.fromkeys([NAME, SWARM])
        if inventory_file(lab).exists()
        for host in json.loads(inventory_file(lab).read_text())["hosts"]
    ]
    if not hosts:
        return []
    folder = FOLDER / test[:120]
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(lambda one: _keep(folder, *one), hosts))


def _keep(folder: Path, lab: str, host: str) -> Path:
    file = folder / f"{host}.txt"
    command = ["ssh", "-F", ssh_config(lab), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", host, "sudo sh -s"]
    with file.open("w") as out:
        try:
            subprocess.run(command, input=LOOK, text=True, stdout=out, stderr=out, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            out.write(f"\n{host}: not all of it within {LIMIT_S} s\n")
    return file
