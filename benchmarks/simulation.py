"""Hundreds of hosts on one machine: pyinfra's `@fake` connector with what a real host answered."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ours, peer
from benchmarks.lab import BIN, Lab
from benchmarks.measure import BenchmarkError, Sample, run

HOSTS = (50, 100, 200, 500)
METHOD = (
    "pyinfra's `@fake` connector: every remote command takes 50 ms and answers what the lab's host answered, recorded "
    "there by its sshd during a run that changed nothing. The proof is no simulation: each simulated host speaks to "
    "the lab host's Valkey and Open WebUI, all to the same. pyinfra's own default of hosts at once."
)
_INVENTORY = Path(__file__).with_name("simulated.py")
_RECORDING = peer.WORK / "recording.json"
_DROP_IN = "/etc/ssh/sshd_config.d/recording.conf"
_RECORDER = "/usr/local/sbin/record-command"
# sshd runs this in place of each command, as the user, with the command in its environment (sshd_config(5)).
_SCRIPT = """#!/bin/sh
umask 077
n=$(mktemp -d /tmp/recorded/$(date +%s%N)-XXXXXX)
printf %s "$SSH_ORIGINAL_COMMAND" >"$n/command"
sh -c "$SSH_ORIGINAL_COMMAND" >"$n/stdout" 2>"$n/stderr"
status=$?
cat "$n/stdout"
cat "$n/stderr" >&2
exit $status
"""
# Loopback addresses of this machine that stand for the containers'.
_STAND_INS = {"redis-valkey": ("127.77.0.1", 6379), "open-webui": ("127.77.0.2", 8080)}


@dataclass(frozen=True)
class Simulated:
    """Simulated hosts that answer as `lab`'s first one did."""

    lab: Lab

    def deploy(self, hosts: int) -> tuple[Sample, int]:
        """Run deploy.py on so many of them; what it took and how many operations changed something."""
        environment = {"LAB_NAME": self.lab.name, "PYINFRA_PROGRESS": "off", "SIMULATED_HOSTS": str(hosts)}
        sample, output = run([str(BIN / "pyinfra"), "-y", str(_INVENTORY), "deploy.py"], environment)
        return sample, ours.changes(output)


@contextmanager
def recorded(lab: Lab, host: str) -> Iterator[Simulated]:
    """Record `host` during a run of ours that changes nothing, and give simulated ones their way to its containers."""
    addresses = {name: _address(lab, host, name) for name in _STAND_INS}
    answers = _record(lab, host)
    for name, (stand_in, _) in _STAND_INS.items():
        for answer in answers:
            answer["stdout"] = answer["stdout"].replace(addresses[name], stand_in)
    _RECORDING.write_text(json.dumps(answers))
    _RECORDING.chmod(0o600)  # the lab host's Valkey passwords are among the answers
    forwards = [
        part
        for name, (stand_in, port) in _STAND_INS.items()
        for part in ("-L", f"{stand_in}:{port}:{addresses[name]}:{port}")
    ]
    command = lab.ssh_command(host, "echo ready; exec sleep infinity")
    command[1:1] = ["-o", "ExitOnForwardFailure=yes", *forwards]
    tunnel = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert tunnel.stdout is not None
        if tunnel.stdout.readline() != "ready\n":
            raise BenchmarkError(f"ssh to {host}: expected forwards from {_STAND_INS}, got none; are the ports taken?")
        yield Simulated(lab)
    finally:
        tunnel.terminate()
        tunnel.wait()
        _RECORDING.unlink()


def _address(lab: Lab, host: str, container: str) -> str:
    template = '{{(index .NetworkSettings.Networks "openwebui-network").IPAddress}}'
    return lab.ssh(host, f"sudo docker inspect --format {shlex.quote(template)} {container}").strip()


def _record(lab: Lab, host: str) -> list[dict[str, Any]]:
    """Each command of one run of deploy.py on `host`, in order, and its output."""
    script = base64.b64encode(_SCRIPT.encode()).decode()
    lab.ssh(
        host,
        f"rm -rf /tmp/recorded && mkdir -m 700 /tmp/recorded && echo {script} | base64 -d | sudo tee {_RECORDER} "
        f">/dev/null && sudo chmod 755 {_RECORDER} && "
        f"echo ForceCommand {_RECORDER} | sudo tee {_DROP_IN} >/dev/null && sudo systemctl reload ssh",
    )
    try:
        ours.deploy(lab, [host])
    finally:
        lab.ssh(host, f"sudo rm {_DROP_IN} {_RECORDER} && sudo systemctl reload ssh")
    listing = lab.ssh(
        host,
        'cd /tmp/recorded && for n in *; do for f in command stdout; do base64 -w 0 "$n/$f"; echo; done; done; '
        "rm -rf /tmp/recorded",
    )
    texts = [base64.b64decode(line).decode(errors="replace") for line in listing.splitlines()]
    return [
        {"command": _without_sudo(command), "stdout": stdout}
        for command, stdout in zip(texts[::2], texts[1::2], strict=True)
    ]


def _without_sudo(command: str) -> str:
    """The command pyinfra was given, from what it sent: `sudo -H -n sh -c 'COMMAND'`."""
    with suppress(ValueError):
        words = shlex.split(command)
        if words[:1] == ["sudo"] and words[-3:-1] == ["sh", "-c"]:
            return words[-1]
    return command
