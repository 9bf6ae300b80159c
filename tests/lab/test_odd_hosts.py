"""Hosts that greet whoever logs in and forward nothing, as hardened ones do; users that plant links for root."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.precious import Precious
from tests.lab.session import FRESH, Lab

pytestmark = pytest.mark.lab

FOLDER = "/var/lib/open-webui-stack.transfer"
SSHD = "/etc/ssh/sshd_config.d/00-odd-hosts.conf"
GREETING = "printf 'Welcome to %s!\\nsection machine\\nend\\nyou have mail' \"$(hostname)\" # odd"


@pytest.fixture(scope="module")
def odd(lab: Lab, deployed: dict[str, Any]) -> Iterator[Any]:
    """The deployed host, with a login shell that prints and an sshd that forwards nothing (CIS, 5.1)."""
    host = Precious(lab).host  # somebody has signed up: nobody is a fault
    host.check_output("cp -p /home/ops/.bashrc /root/bashrc.odd")
    try:
        host.check_output("{ echo %s; cat /root/bashrc.odd; } >/home/ops/.bashrc", GREETING)
        # A restart ends once sshd listens. A reload ends before: it may answer by the earlier file, or hang up.
        host.check_output(f"echo AllowTcpForwarding no >{SSHD} && systemctl restart ssh")
        lab.hang_up()  # the connections of before may still forward
        yield host
    finally:
        host.check_output(f"cp -p /root/bashrc.odd /home/ops/.bashrc && rm -f /root/bashrc.odd {SSHD}")
        host.check_output("systemctl restart ssh")


def sets(odd: Any) -> set[str]:
    """The names of the backup sets; the greeting before them has no end of line."""
    return set(re.findall(r"\d{8}T\d{6}Z", odd.check_output("ls /var/backups/open-webui 2>/dev/null || true")))


def test_the_host_greets_and_forwards_nothing(lab: Lab, odd: Any) -> None:
    assert odd.check_output("sshd -T | grep -i '^allowtcpforwarding'").split()[-1] == "no"
    assert odd.check_output("su - ops -c 'bash -ic true' 2>/dev/null").startswith("Welcome to ")


def test_a_deploy_changes_nothing_there(lab: Lab, odd: Any) -> None:
    totals = lab.report("-y", "deploy.py")["results"]["totals"]
    assert (totals["success"], totals["error"]) == (0, 0)


@pytest.mark.parametrize("runbook", ["verify", "doctor"])
def test_verify_and_doctor_find_no_fault_there(lab: Lab, odd: Any, runbook: str) -> None:
    result = lab.run("-y", f"runbooks/{runbook}.py")
    assert result.returncode == 0, result.stdout
    assert re.search(r"1 ok, 0 with faults, 0 not checked", result.stdout), result.stdout
    assert "disagree" not in result.stdout


def test_a_set_is_fetched_past_links_that_the_ssh_user_planted(lab: Lab, odd: Any, tmp_path: Path) -> None:
    """The folder of earlier versions was the SSH user's while files passed through it."""
    shadow = odd.check_output("sha256sum /etc/shadow; stat -c '%a %U' /etc/shadow")
    odd.check_output(f"mkdir {FOLDER} && ln -s /etc/shadow {FOLDER}/part && chown -h ops {FOLDER} {FOLDER}/part")
    before = sets(odd)
    result = lab.run("-y", "runbooks/backup.py", "--data", f"backup_fetch={tmp_path}")
    assert result.returncode == 0, result.stdout
    (made,) = sets(odd) - before
    folder = tmp_path / FRESH / made
    assert {*json.loads((folder / "manifest.json").read_text())["parts"], "manifest.json"} == {
        path.name for path in folder.iterdir()
    }
    assert odd.check_output("sha256sum /etc/shadow; stat -c '%a %U' /etc/shadow") == shadow
    odd.check_output(f"test ! -e {FOLDER}")  # testinfra's own `file` asks for the system, and reads the greeting
    odd.check_output(f"rm -r /var/backups/open-webui/{made}")
