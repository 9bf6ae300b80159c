"""The operator's command line against hosts that are only made up: pyinfra's `@fake` connector."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import surveys
from tests.defaults import ROOT, settings
from tests.forks import Ended, Forks
from webui_stack.host.machine import os_release
from webui_stack.model import docker_config
from webui_stack.model.machine import Machine
from webui_stack.render import project, units

# What a host is asked its survey by.
SURVEY = "for python in "
SYSTEMS = {
    "debian-12": 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"',
    "ubuntu-24.04": 'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\nPRETTY_NAME="Ubuntu 24.04.3 LTS"',
    "rhel-9": 'ID="rhel"\nVERSION_ID="9.4"\nPRETTY_NAME="Red Hat Enterprise Linux 9.4 (Plow)"',
}

# What the lab host was deployed with when its output was captured.
LAB_SETTINGS: dict[str, Any] = {
    "docker_source": "distro",
    "docker_address_pools": [{"base": "198.19.0.0/17", "size": 24}],
    "valkey_image": "registry.lab.test:5000/valkey/valkey:8.1.1",
    "open_webui_image": "registry.lab.test:5000/open-webui/open-webui:v0.12.4-slim",
}
_DPKG = """\
ii  docker-cli     26.1.5+dfsg1-9+deb13u1 amd64        Linux container runtime -- client
ii  docker-compose 2.26.1-4               amd64        Define and run multi-container applications with Docker (program)
ii  docker.io      26.1.5+dfsg1-9+deb13u1 amd64        Linux container runtime
"""


def machine(system: str = "", **replaced: Any) -> dict[str, Any]:
    """What a lab host says of itself, as it were on another `system` or with values `replaced`."""
    part = {**surveys.DEPLOYED["machine"], "epoch_s": int(time.time())}  # now: a loaded machine takes its time
    if system:
        part["os_release"] = os_release(SYSTEMS[system])
    assert replaced.keys() <= part.keys()
    return {**part, **replaced}


def answering(host: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """The host, were some sections of its survey others (`surveys.changed`)."""
    changed = surveys.changed(host["survey"], **sections)
    responses = {**host["fake_responses"], SURVEY: surveys.printed(changed)}
    return {**host, "survey": changed, "fake_responses": responses}


def fresh(system: str = "", init: str = "systemd", architecture: str = "x86_64", **data: Any) -> dict[str, Any]:
    """A host nothing was installed on."""
    host = {"survey": surveys.FRESH, "fake_responses": {}, **data}
    return answering(host, machine=machine(system, init=init, architecture=architecture))


def converged(**data: Any) -> dict[str, Any]:
    """A lab host right after its deploy, by the output captured there."""
    changed = {**LAB_SETTINGS, **data}
    wanted = settings(**changed)
    files = {f"{wanted.stack_dir}/{path}": text for path, text in project.files(wanted).items()}
    host = {"survey": surveys.DEPLOYED, "fake_responses": {"dpkg -l": _DPKG}, **changed}
    return answering(
        host,
        machine=machine(),
        files={**files, **units.watchdog(wanted, Machine()), **units.monitor(wanted, Machine())},
    )


def configured(host: dict[str, Any], daemon_json: str, **changes: Any) -> dict[str, Any]:
    """The host, were this its daemon.json, and more of Docker's configuration another."""
    answered = answering(host, docker_config={**surveys.with_daemon_json(daemon_json), **changes})
    encoded = b64encode(daemon_json.encode()).decode()
    return {**answered, "fake_responses": {docker_config.READ: encoded, **answered["fake_responses"]}}


class Run(Ended):
    """How one pyinfra command ended, and what it said of each host."""

    def said(self, host: str) -> list[str]:
        """The lines about one host, less its name."""
        lines = [line.strip() for line in self.output.splitlines()]
        return [line.partition("]")[2].strip() for line in lines if line.startswith(f"[@fake/{host}]")]

    def executed(self, host: str) -> list[str]:
        """The commands run on one host, with `-vvv`, and "called the verb pull" for one of its program."""
        said = [line for line in self.said(host) if line.startswith((">>>", "called the verb "))]
        return [line.removeprefix(">>>").strip() for line in said]

    @property
    def plan(self) -> list[dict[str, Any]]:
        """The operations of `--json`."""
        operations: list[dict[str, Any]] = json.loads(self.stdout)["plan"]
        return operations

    def changes(self, host: str) -> list[str]:
        """The names of the operations with a change, certain or conditional, for one host."""
        name = f"@fake/{host}"
        return [
            operation["name"]
            for operation in self.plan
            if name in operation["hosts_with_change"] + operation["hosts_with_conditional_change"]
        ]


Pyinfra = Callable[..., Run]


@pytest.fixture(scope="session")
def pyinfra(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Pyinfra:
    """`pyinfra INVENTORY deploy.py ARGUMENTS` as a process of its own, on the hosts given; by SSH if they say where."""

    def run(hosts: dict[str, dict[str, Any]], *arguments: str, deploy: str = "deploy.py", **environment: str) -> Run:
        folder = tmp_path_factory.mktemp("inventory")
        # Their clock stands still at the moment this module was imported.
        quick = {"fake_delay": 0, "fake_delay_jitter": 0, "preflight_max_clock_skew_s": 3600}
        data = [
            [
                name if "ssh_hostname" in host else f"@fake/{name}",
                {**quick, **{key: value for key, value in host.items() if key != "survey"}},
            ]
            for name, host in hosts.items()
        ]
        (folder / "hosts.json").write_text(json.dumps(data))
        (folder / "hosts.py").write_text(
            f"import json, sys\nfrom pathlib import Path\nsys.path.append({str(ROOT)!r})\n"
            "from tests.plan import fake_shell\nfake_shell.install()\n"
            "hosts = [(name, data) for name, data in json.loads(Path(__file__).with_suffix('.json').read_text())]\n"
        )
        ended = forks.run(str(folder / "hosts.py"), deploy, *arguments, environment=environment)
        return Run(ended.status, ended.stdout, ended.stderr)

    return run


@pytest.fixture(scope="session")
def without_proof(tmp_path_factory: pytest.TempPathFactory) -> str:
    """deploy.py without the proof, which needs a real host."""
    source = (ROOT / "deploy.py").read_text()
    path: Path = tmp_path_factory.mktemp("deploy") / "deploy.py"
    path.write_text(source.replace("    verify.prove(settings)\n", ""))
    assert path.read_text() != source
    return str(path)
