"""Ansible on the same hosts: its inventory, the project's files for its playbook, its command line and recap."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.lab import Lab
from benchmarks.measure import ROOT, BenchmarkError, Sample, run

_FOLDER = ROOT / "benchmarks" / "ansible"
WORK = ROOT / "benchmarks" / ".work"
_STACK = "/opt/open-webui"
_PROGRAM = "/usr/local/lib/open-webui-stack"
_SECRETS = ("valkey-password", "valkey-monitor-password", "webui-secret-key")
# Where deploy.py keeps them on a host, and what the playbook calls them.
_FILES = {
    "daemon.json": "/etc/docker/daemon.json",
    **{name: f"{_STACK}/{name}" for name in ("compose.yaml", ".env")},
    **{f"valkey/{name}": f"{_STACK}/valkey/{name}" for name in ("valkey.conf", "start.sh", "users.acl")},
    **{
        unit: f"/etc/systemd/system/{unit}"
        for unit in ("open-webui-watchdog.service", "open-webui-stack-monitor.service")
    },
}
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def adopt_files(lab: Lab, host: str) -> None:
    """Ensure the playbook has the very files deploy.py put on `host`.

    In those that hold a secret, or the variable a benchmark changes, an expression stands for it.
    """
    secrets = {name: lab.ssh(host, f"sudo cat {_STACK}/secrets/{name}").strip() for name in _SECRETS}
    project = WORK / "project"
    shutil.rmtree(project, ignore_errors=True)
    (project / "valkey").mkdir(parents=True)
    (project / "program.name").write_text(lab.ssh(host, f"sudo ls {_PROGRAM}").strip())
    (project / "program.tar").write_bytes(base64.b64decode(lab.ssh(host, f"sudo tar -C {_PROGRAM} -c . | base64")))
    acl = ""
    for name, path in _FILES.items():
        text = lab.ssh(host, f"sudo cat {path}")
        if name == "valkey/users.acl":
            acl = text
        (project / name).write_text(text)
    for name in ("valkey/users.acl", ".env", "compose.yaml"):
        (project / name).write_text(as_template((project / name).read_text(), secrets, acl))


def as_template(text: str, secrets: Mapping[str, str], acl: str) -> str:
    """The Jinja template that renders to `text` where the secrets are these.

    `acl` is users.acl, whose hash is in .env, so that a changed password changes compose's hash of the service.
    """
    digest = hashlib.sha256(acl.rstrip("\n").encode()).hexdigest()
    source = "lookup('ansible.builtin.template', project ~ '/valkey/users.acl')"
    text = text.replace(digest, f"{{{{ ({source} | trim) | hash('sha256') }}}}")
    for name, value in secrets.items():
        hashed = hashlib.sha256(value.encode()).hexdigest()
        text = text.replace(hashed, f"{{{{ secret['{name}'] | hash('sha256') }}}}")
        text = text.replace(value, f"{{{{ secret['{name}'] }}}}")
    return re.sub(r'(JWT_EXPIRES_IN: )"\w+"', r'\1"{{ jwt_expires_in }}"', text)


def write_inventory(lab: Lab) -> Path:
    """Ensure an Ansible inventory of the lab's hosts exists."""
    hosts = {
        host["name"]: {
            "ansible_host": host["ssh_hostname"],
            "ansible_port": host["ssh_port"],
            "ansible_user": host["ssh_user"],
            "ansible_ssh_private_key_file": host["ssh_key"],
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={host['ssh_known_hosts_file']} -o IdentitiesOnly=yes",
            "http_port": host["http_port"],
        }
        for host in lab.inventory["hosts"]
    }
    registry = lab.inventory["registry"]
    shared = {
        "registry": registry["host"],
        "registry_ca_file": registry["ca_file"],
        "project": str(WORK / "project"),
    }
    path = WORK / f"{lab.name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}, indent=2))
    return path


def play(
    lab: Lab, hosts: Sequence[str], variables: Mapping[str, Any] | None = None, connections: Path | None = None
) -> tuple[Sample, int]:
    """Run the playbook; what it took and how many tasks changed something.

    `connections` is a folder of ssh connections that are kept between runs; without it the run has its own and pays
    for connecting, as ours does.
    """
    if connections is None:
        with kept_connections() as own:
            return play(lab, hosts, variables, own)
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        *("--inventory", str(write_inventory(lab))),
        *("--limit", ",".join(hosts)),
        *("--extra-vars", json.dumps(dict(variables or {}))),
        str(_FOLDER / "playbook.yml"),
    ]
    environment = {
        "ANSIBLE_CONFIG": str(_FOLDER / "ansible.cfg"),
        "ANSIBLE_HOME": str(WORK / "ansible"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(connections),
    }
    sample, output = run(command, environment)
    return sample, changes(output)


def changes(output: str) -> int:
    """How many tasks changed something, on all hosts, from Ansible's recap. Raises `BenchmarkError` without one."""
    recap = _RECAP.findall(output)
    if not recap:
        raise BenchmarkError(f"ansible-playbook: expected its recap, got:\n{output[-2000:]}")
    return sum(int(changed) for _, _, changed, _, _ in recap)


@contextmanager
def kept_connections() -> Iterator[Path]:
    """A folder for ssh's control sockets; what still listens there is told to end afterwards."""
    # Not below the work folder: a socket's path may have 108 characters.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            yield Path(folder)
        finally:
            for control in Path(folder).iterdir():
                subprocess.run(
                    ["ssh", "-o", f"ControlPath={control}", "-O", "exit", "peer"], capture_output=True, check=False
                )
