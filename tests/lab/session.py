"""One lab for all lab tests: its hosts, and what tests do with them, independent of the code under test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import testinfra

from tests.forks import Forks
from tests.lab import saved

ROOT = Path(__file__).resolve().parents[2]
NAME = os.environ.get("TEST_LAB_NAME", "pytest")  # two clones on one machine need two names
# The swarm has hosts of its own, in the session's lab or in one beside it.
SWARM = NAME if NAME.endswith("-swarm") else f"{NAME}-swarm"
FRESH, DOCKER_CE, DEBIAN_12, NO_SYSTEMD, BY_HAND, CUT_OFF, SPARE, EARLIER, TORN_DOWN, NEWER, CONTAINERD = (
    f"{NAME}-{n}" for n in range(1, 12)
)
MADE_WITH = {
    DEBIAN_12: ("--debian", "12"),
    NO_SYSTEMD: ("--init", "none", "--python", "none"),
    NEWER: ("--engine", "newer"),
    CONTAINERD: ("--engine", "newer"),
}
# Where no test is about a host's first Docker: it and all images are there already.
LOADED = {EARLIER, SPARE}
# The longest run of a test, a backup and an upgrade of two hosts, takes two minutes where nothing else is on.
_RUN_S = 1200
# It ends with this process, whose end closes its standard input.
_FORKS = Forks(_RUN_S, together=True)
Command = Callable[..., subprocess.CompletedProcess[str]]


class Lab:
    """A running lab. `run` is the operator at their terminal, `host` a second way in that checks on them.

    A host is made when the first test asks for it: bare, with Docker and all images where it is one of `LOADED`, or out
    of the one that was saved under a key.
    """

    def __init__(self, sockets: Path, command: Command | None = None) -> None:
        self.sockets, self._pyinfra = sockets, command or run_pyinfra

    @property
    def as_typed(self) -> Lab:
        """The same lab, whose `run` is the very command that an operator types, not a fork of a loaded pyinfra."""
        return Lab(self.sockets, type_pyinfra)

    @property
    def inventory(self) -> dict[str, Any]:
        """What the lab says of itself; a lab without any host is brought up with the first."""
        file = inventory_file(NAME)
        if not file.exists():
            self.ensure(FRESH)
        inventory: dict[str, Any] = json.loads(file.read_text())
        return inventory

    def ensure(self, name: str, key: str = "") -> None:
        """Ensure the host is there; a new one is made of the host that was saved under the key, or as `LOADED` says."""
        if not self.has(name):
            key = key or (saved.loaded(NAME) if name in LOADED else "")
            made = ("--saved", key) if key else ()
            extras = () if inventory_file(NAME).exists() else ("--with", "all")
            run_lab("up", "--host", name.rpartition("-")[2], *MADE_WITH.get(name, ()), *made, *extras)

    def has(self, name: str) -> bool:
        file = inventory_file(NAME)
        return file.exists() and name in [host["name"] for host in json.loads(file.read_text())["hosts"]]

    def entry(self, name: str) -> dict[str, Any]:
        """What the inventory says of the host."""
        self.ensure(name)
        return next(host for host in self.inventory["hosts"] if host["name"] == name)

    def host(self, name: str) -> Any:
        self.ensure(name)
        return host_of(NAME, self.sockets, name)

    def hang_up(self) -> None:
        """End the connections of `host`."""
        for socket in self.sockets.iterdir():
            command = ["ssh", "-F", SSH_CONFIG, "-o", f"ControlPath={socket}", "-O", "exit", socket.name]
            subprocess.run(command, capture_output=True, check=False)

    def restart(self, name: str, *, suddenly: bool = False) -> None:
        """Boot a host, once it has shut down, or as after a power cut; returns before ssh answers again."""
        if suddenly:
            self.cut_power(name)
            self.boot(name)
        else:
            self._order("restart", name)

    def cut_power(self, name: str) -> None:
        """Stop a host at once, as a power cut does."""
        self.hang_up()  # or they wait for a host that can't say that it is gone
        self._order("kill", name)

    def boot(self, name: str) -> None:
        """Start a host that was stopped; returns before ssh answers."""
        self._order("start", name)

    def outer(self, name: str) -> str:
        """The container on this machine that is the host."""
        label = "label=lab.open-webui-stack"
        find = ["docker", "ps", "--all", "--quiet", "--filter", f"{label}={NAME}", "--filter", f"{label}.host={name}"]
        return subprocess.check_output(find, text=True).strip()

    def _order(self, order: str, name: str) -> None:
        subprocess.run(["docker", order, self.outer(name)], check=True, stdout=subprocess.DEVNULL)

    def port(self, name: str) -> int:
        """The port of this machine's loopback that leads to the host's port 3000."""
        return int(self.entry(name)["http_port"])

    def run(self, *arguments: str, limit: str = FRESH, **environment: str) -> subprocess.CompletedProcess[str]:
        """`pyinfra ... tests/lab/inventory.py ARGUMENTS --limit LIMIT`, output and errors together."""
        for name in limit.split(","):
            self.ensure(name)
        limits = [part for name in limit.split(",") for part in ("--limit", name)]
        return self._pyinfra(NAME, "tests/lab/inventory.py", *arguments, *limits, **environment)

    def report(self, *arguments: str, limit: str = FRESH, **environment: str) -> dict[str, Any]:
        """The JSON of a run that has to succeed."""
        result = self.run(*arguments, "--json", limit=limit, **environment)
        print(result.stdout)  # pytest shows it when the test fails
        assert result.returncode == 0
        return report_in(result.stdout)


def ssh_config(lab: str) -> str:
    """The file with which `ssh -F` finds a lab's hosts."""
    return str(ROOT / ".lab" / lab / "ssh_config")


def inventory_file(lab: str) -> Path:
    return ROOT / ".lab" / lab / "inventory.json"


SSH_CONFIG = ssh_config(NAME)


def host_of(lab: str, sockets: Path, name: str) -> Any:
    """A testinfra host: root by ssh and sudo, by one connection for all commands (a new one takes 0.3 s)."""
    socket = str(sockets / name)
    return testinfra.get_host(f"ssh://{name}", ssh_config=ssh_config(lab), controlpath=socket, sudo=True)


def run_pyinfra(lab: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`pyinfra ARGUMENTS` in a lab, output and errors together; in a fork of one loaded pyinfra, where that is free."""
    if _FORKS.busy:
        return type_pyinfra(lab, *arguments, **environment)
    ended = _FORKS.run(*arguments, environment={"LAB_NAME": lab, **environment})
    return subprocess.CompletedProcess(arguments, ended.status, ended.stdout)


def type_pyinfra(lab: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`pyinfra ARGUMENTS` in a lab, output and errors together, by the very command that an operator types."""
    return subprocess.run(
        [Path(sys.executable).with_name("pyinfra"), *arguments],
        cwd=ROOT,
        env={**os.environ, "LAB_NAME": lab, "PYINFRA_PROGRESS": "off", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_RUN_S,
    )


def run_lab(*arguments: str, name: str = NAME) -> None:
    """`python -m lab ARGUMENTS`; a failure says why in the one line that pytest's summary has for it."""
    done = subprocess.run(
        [sys.executable, "-m", "lab", *arguments, "--name", name], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    print(done.stderr, file=sys.stderr)
    if done.returncode:
        pytest.fail(f"lab {' '.join(arguments)}: {done.stderr.rpartition('error: ')[2].strip()}", pytrace=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-lab", action="store_true", help="use the test lab that is up, and leave it up")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab that makes hosts as tests ask for them: Debian 13, but a Debian 12 and one without systemd or python3."""
    keep = request.config.getoption("--keep-lab")
    if not keep:
        run_lab("down")
    try:
        with tempfile.TemporaryDirectory() as sockets:
            lab = Lab(Path(sockets))
            yield lab
            lab.hang_up()
    finally:
        if not keep:
            run_lab("down")


@pytest.fixture(scope="session")
def planned(lab: Lab) -> dict[str, Any]:
    """A dry run on a host nothing was ever installed on."""
    before = state(lab.host(FRESH))
    report = lab.as_typed.report("deploy.py", "--dry")
    assert state(lab.host(FRESH)) == before, "a dry run changed the host"
    return report


@pytest.fixture(scope="session")
def deployed(request: pytest.FixtureRequest, lab: Lab) -> dict[str, Any]:
    """A deploy of that host: its first where a test asks for the dry run before it, else the next of a saved one."""
    if not any("planned" in getattr(item, "fixturenames", ()) for item in request.session.items):
        lab.ensure(FRESH, saved.deployed(NAME))
        return lab.report("-y", "deploy.py")
    request.getfixturevalue("planned")
    report = lab.as_typed.report("-y", "deploy.py")
    if not saved.deployed(NAME) and not request.config.getoption("--keep-lab"):
        save_deployed(lab)
    return report


def save_deployed(lab: Lab) -> None:
    """Ensure the host that was just deployed is saved, for the sessions whose tests are about what comes afterwards."""
    rest(lab.host(FRESH))  # files of a stack that is stopped are whole
    lab.hang_up()
    run_lab("save", FRESH, saved.deployed_key())
    again = changed(lab.report("-y", "deploy.py"))
    assert again == ["Stack | Bring the services up"], "the first deploy left more to do after a boot"


def save_loaded(lab: Lab) -> None:
    """Ensure a host is saved that has Docker as deploys leave it, and all images."""
    lab.report("-y", "tests/lab/docker_alone.py", limit=SPARE)
    for image in lab.inventory["images"].values():
        lab.host(SPARE).check_output("docker pull --quiet %s", image)
    lab.hang_up()
    run_lab("save", SPARE, saved.loaded_key())


@pytest.fixture(scope="session")
def age_key(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The file of an age identity, and its recipient; made on a host, so that this machine needs no age."""
    host = lab.host(SPARE)
    host.check_output("apt-get -qq update && apt-get -qq install -y --no-install-recommends age >/dev/null 2>&1")
    identity = tmp_path_factory.mktemp("age") / "key"
    identity.write_text(host.check_output("age-keygen 2>/dev/null"))
    recipient = next(line for line in identity.read_text().splitlines() if "public key: " in line)
    return identity, recipient.split()[-1]


def afterwards(request: pytest.FixtureRequest) -> list[pytest.Item]:
    """The tests of this session after those that have the fixture which asks, in their order."""
    items = request.session.items
    last = max(number for number, item in enumerate(items) if request.node in item.listchain())
    return items[last + 1 :]


def comes_later(request: pytest.FixtureRequest, fixture: str) -> bool:
    """Whether a later test of this session has this fixture."""
    return any(fixture in getattr(item, "fixturenames", ()) for item in afterwards(request))


def wanted_later(request: pytest.FixtureRequest, fixture: str) -> bool:
    """Whether a later test has this fixture, or may have it in another session, in a lab that is kept.

    Else the lab is taken down with what is on its hosts: nothing has to be put back or stopped there.
    """
    return comes_later(request, fixture) or bool(request.config.getoption("--keep-lab"))


def state(host: Any) -> str:
    """What a run could have changed: packages, files of ours, of Docker's and apt's configuration, what Docker has."""
    found = str(
        host.check_output(
            "dpkg-query -W; "
            "find /opt /etc/docker /etc/apt /etc/systemd/system -printf '%p %T@ %m %U\\n' 2>/dev/null | sort; "
            # Sorted: Docker lists images by the time they were made, and those of one moment in any order.
            "if command -v docker >/dev/null; then "
            "docker volume ls -q; docker network ls -q; docker images -q | sort; fi"
        )
    )
    assert "/etc/apt/sources.list.d " in found, "nothing was looked at"
    return found


# Whatever bears our names, wherever it is; what Docker has is asked of Docker, and what systemd notes of a unit
# while it runs comes and goes with a timer.
NAMED = (
    "find / -xdev -not -path '/var/lib/docker/*' "
    r"\( -iname '*open-webui*' -o -iname '*openwebui*' -o -iname '*valkey*' -o -iname '*redis-data*' \); "
    "find /run /tmp -xdev -not -path '/run/systemd/units/*' -iname '*open-webui*'; "
    "grep -rIl open-webui-stack /etc /opt /root /srv /usr/local /var/backups 2>/dev/null"
)


def named(host: Any) -> list[str]:
    """Every file that bears our names, or says that it is ours."""
    return sorted(set(host.run(NAMED).stdout.splitlines()))


def containers(host: Any) -> dict[str, str]:
    """Id and start time by container."""
    output = host.check_output("docker inspect --format '{{.Name}} {{.Id}} {{.State.StartedAt}}' $(docker ps -aq)")
    return dict(line.removeprefix("/").split(" ", 1) for line in output.splitlines())


def reachable(host: Any) -> bool:
    try:
        return bool(host.run("true").rc == 0)
    except RuntimeError:  # testinfra's word for ssh that can't connect
        return False


@contextmanager
def followed(host: Any) -> Iterator[list[tuple[str, str, str]]]:
    """Each start, pause and end of a container while the block lasts, in order: action, name, image; complete after it.

    Followed, not looked up afterwards: of the past Docker has 256 events, and each health check makes three.
    """
    line = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.image}}"
    actions = " ".join(f"--filter event={action}" for action in ("start", "pause", "die"))
    follow = f"docker events --format '{line}' --filter type=container {actions}"
    watcher = host.check_output(f"nohup {follow} >/root/events 2>&1 </dev/null & echo $!")
    events: list[tuple[str, str, str]] = []
    try:
        yield events
    finally:
        host.check_output(f"kill {watcher}")
        # It names the program's own containers, which nobody may find on a host after a teardown.
        for line in host.check_output("cat /root/events && rm /root/events").splitlines():
            action, name, image = line.split()
            events.append((action, name, image))


def rest(host: Any) -> None:
    """Stop a stack that no test needs for now: its health checks alone take a tenth of a core."""
    if host.file("/etc/systemd/system/open-webui-watchdog.service").exists:
        host.check_output("systemctl stop open-webui-watchdog.service")
    host.check_output("docker stop open-webui redis-valkey")


def ask_as_monitor(host: Any, command: str, container: str = "redis-valkey") -> str:
    """What Valkey answers the user that may read its figures."""
    # The password is read by the host's own shell: an argument of sudo would be in its journal.
    return str(
        host.check_output(
            "REDISCLI_AUTH=$(cat /opt/open-webui/secrets/valkey-monitor-password) "
            f"docker exec -e REDISCLI_AUTH {container} valkey-cli --user monitor {command}"
        )
    )


def numsub(host: Any, container: str = "redis-valkey") -> int:
    """Connections that listen on Socket.IO's channel, as Valkey counts them."""
    return int(ask_as_monitor(host, "PUBSUB NUMSUB socketio", container).split()[1])


def report_in(output: str) -> dict[str, Any]:
    """The JSON among what a run prints."""
    report: dict[str, Any]
    report, _ = json.JSONDecoder().raw_decode(output[output.index('{"plan"') :])
    return report


def rows_in(output: str) -> dict[str, Any]:
    """The hosts by name, as they are in the report that a run wrote."""
    page = re.search(r"report: (.*)report\.html", output)
    assert page, output
    rows = json.loads((ROOT / page[1] / "report.json").read_text())["hosts"]
    return {row["host"]: row for row in rows}


def changed(report: dict[str, Any]) -> list[str]:
    """The operations of a real run that changed something."""
    return [operation["name"] for operation in report["results"]["operations"] if operation["success"]]


def predicted(report: dict[str, Any]) -> list[str]:
    """The operations a dry run said would change something."""
    return [operation["name"] for operation in report["plan"] if operation["hosts_with_change"]]


def faults(output: str) -> set[str]:
    """The names of the faults doctor prints; most begin with what they are about."""
    about = "redis-valkey|open-webui|valkey|websocket|docker|backups|postgres|proxy|disk"
    return set(re.findall(rf"fault   ((?:(?:{about}): )?.+?): ", output))
