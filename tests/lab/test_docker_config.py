"""Docker on a host that others have set up: their choices stay, their containers run on, and Docker stays alive."""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.lab.precious import within
from tests.lab.session import EARLIER, NAME, ROOT, Lab, reachable
from webui_stack.model import docker_config
from webui_stack.render import host_program

pytestmark = pytest.mark.lab

FILE = "/etc/docker/daemon.json"
RECOVERY = "/etc/systemd/system/open-webui-stack-recover.service"
DROP_IN = "/etc/systemd/system/docker.service.d/logs.conf"
JOURNALD = (
    "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// "
    "--containerd=/run/containerd/containerd.sock --log-driver=journald $DOCKER_OPTS\n"
)
SYSLOG = '{"log-driver": "syslog", "log-opts": {"syslog-address": "udp://127.0.0.1:514"}}'  # no newline at its end
# One driver's options for another: the very merge that nothing makes any more. Docker does not start with it.
BAD = docker_config.Plan(
    action="restart",
    text=json.dumps({**json.loads(SYSLOG), "log-driver": "json-file", "live-restore": True}),
    survives=True,
    awaits_live_restore=True,
)
PROXY = '{"proxies": {"http-proxy": "http://user:sesame@proxy.example.org"}}'


class Shared:
    """A host with Debian's Docker and a container of somebody's."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.host = lab, lab.host(EARLIER)

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The part of the main job that is about Docker."""
        done = self.lab.run(*arguments, "tests/lab/docker_alone.py", limit=EARLIER)
        print(done.stdout)
        return done

    def configure(self, text: str) -> None:
        """With daemon.json of this text, readable by root alone."""
        self.host.check_output("printf %%s %s >%s && chmod 600 %s", text, FILE, FILE)
        # systemd starts nothing that was started three times in a minute, as a test may do.
        self.host.check_output("systemctl reset-failed docker docker.socket && systemctl restart docker")

    @property
    def started(self) -> str:
        return str(self.host.check_output("docker inspect --format '{{.State.Status}} {{.State.StartedAt}}' somebodys"))

    @property
    def file(self) -> str:
        return str(self.host.check_output(f"stat -c '%a %U' {FILE}; base64 {FILE}"))

    def info(self, what: str) -> str:
        return str(self.host.check_output("docker info --format %s", f"{{{{.{what}}}}}"))


@pytest.fixture(scope="module")
def docker(lab: Lab) -> Iterator[Shared]:
    shared = Shared(lab)
    host, registry = shared.host, lab.inventory["registry"]
    certificates = f"/etc/docker/certs.d/{registry['host']}"
    ca = Path(registry["ca_file"]).read_text()
    host.check_output("mkdir -p %s && echo %s >%s/ca.crt", certificates, ca, certificates)
    host.check_output(
        "apt-get update -q && apt-get install -qy --no-install-recommends docker.io docker-cli docker-compose"
    )
    host.check_output(
        f"docker run -d --log-driver json-file --name somebodys --restart always {lab.inventory['images']['valkey']}"
    )
    yield shared
    host.check_output("docker rm -f somebodys")


@pytest.fixture
def shared(docker: Shared) -> Iterator[Shared]:
    """The host, afterwards as it was before."""
    yield docker
    docker.host.run("docker swarm leave --force")
    docker.host.run(f"rm -rf {DROP_IN} {FILE}*; systemctl daemon-reload; systemctl reset-failed docker docker.socket")
    docker.host.check_output("systemctl restart docker")


def test_a_log_driver_of_the_host_stays_with_its_options(shared: Shared) -> None:
    shared.configure(SYSLOG)
    before = shared.started
    done = shared.deploy("-y", "--diff")
    assert done.returncode == 0
    assert "log-driver, log-opts stay as they are there, not as docker_daemon says" in done.stdout
    assert shared.started == before, "somebody's container was stopped"
    assert (shared.info("LoggingDriver"), shared.info("LiveRestoreEnabled")) == ("syslog", "true")
    assert shared.file.startswith("600 root\n")
    assert json.loads(shared.host.check_output(f"cat {FILE}")).items() >= json.loads(SYSLOG).items()


def test_an_option_of_dockers_service_is_not_put_into_the_file(shared: Shared) -> None:
    shared.host.check_output(f"mkdir -p {DROP_IN.rpartition('/')[0]} && printf %%s %s >{DROP_IN}", JOURNALD)
    shared.host.check_output("systemctl daemon-reload && systemctl restart docker")
    before = shared.started
    assert shared.deploy("-y").returncode == 0
    assert shared.started == before, "somebody's container was stopped"
    assert (shared.info("LoggingDriver"), shared.info("LiveRestoreEnabled")) == ("journald", "true")
    assert "log-" not in shared.host.check_output(f"cat {FILE}")


def test_a_node_of_somebodys_swarm_is_restarted_only_when_the_operator_says_so(shared: Shared) -> None:
    shared.configure(PROXY)
    shared.host.check_output("docker swarm init --advertise-addr 127.0.0.1")
    before, file = shared.started, shared.file
    for how in ("--dry", "-y"):
        done = shared.deploy(how, "--diff")
        assert done.returncode == 1
        assert "expected a restart that stops no containers of others, got one that stops somebodys" in done.stdout
        assert "sesame" not in done.stdout
        assert (shared.started, shared.file) == (before, file)
    assert shared.deploy("-y", "--data", "docker_restart_stops_others=true").returncode == 0
    assert shared.started.startswith("running ")
    assert shared.info("Swarm.LocalNodeState") == "active"
    assert "sesame" in shared.host.check_output(f"cat {FILE}")
    assert "live-restore" not in shared.host.check_output(f"cat {FILE}")


def test_a_file_that_docker_does_not_start_with_is_put_back_and_containers_run_on(shared: Shared) -> None:
    shared.configure(SYSLOG)
    before, file = shared.started, shared.file
    done = unguarded(shared, BAD)
    assert done.rc == 1
    assert "unknown log opt 'syslog-address' for json-file log driver" in done.stdout
    assert f"{FILE} is as it was before, and Docker runs" in done.stdout
    assert shared.file == file
    assert shared.started == before, "somebody's container was stopped"
    assert "were stopped" not in done.stdout
    assert shared.host.check_output("ls /etc/docker") == "certs.d\ndaemon.json"


def test_a_host_that_goes_down_in_the_middle_of_a_change_goes_back_at_boot(shared: Shared) -> None:
    """With no operator in reach, and a file with which Docker does not start."""
    shared.configure(SYSLOG)
    file, host = shared.file, shared.host
    print(unguarded(shared, BAD, CUT_OFF))
    assert shared.file != file
    assert host.run("systemctl is-active docker").stdout.strip() != "active"
    shared.lab.restart(EARLIER, suddenly=True)
    within(60, "Docker runs", lambda: reachable(host) and host.run("docker info").rc == 0)
    assert shared.file == file
    assert host.check_output("ls /etc/docker") == "certs.d\ndaemon.json"
    assert host.run(f"ls {RECOVERY} /etc/systemd/system/*/{Path(RECOVERY).name}").stdout == ""
    log = host.check_output(f"journalctl --boot --output cat --unit {Path(RECOVERY).name}")
    assert f"docker: a change was cut off; {FILE} is as it was before" in log.splitlines()
    within(30, "somebody's container runs", lambda: shared.started.startswith("running "))


# The verb `docker` of the program on the host, without its own look at the file.
UNGUARDED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from host.verbs import docker
docker.Configuration._check = lambda _: None
try:
    docker.run(json.loads(sys.argv[2]), lambda event: print(event.text))
except docker.HostError as error:
    sys.exit(print(error) or 1)
"""


# The same, killed once Docker was told to restart.
CUT_OFF = (
    UNGUARDED.partition("try:")[0]
    + """
import os, signal
order = docker.Configuration._order
def last(self, *asked):
    try:
        order(self, *asked)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
docker.Configuration._order = last
docker.run(json.loads(sys.argv[2]), lambda event: print(event.text))
"""
)


def unguarded(shared: Shared, plan: docker_config.Plan, script: str = UNGUARDED) -> Any:
    """Carry out a plan without the program's own look at the file (`dockerd --validate` with the service's options)."""
    shared.deploy("--dry")  # so that the program is there
    shared.host.check_output("systemctl reset-failed docker docker.socket")  # of what the tests did so far
    place, asked = f"{host_program.FOLDER}/{host_program.digest()}", json.dumps(docker_config.request(plan))
    done = shared.host.run("python3 -I -S -c %s %s %s", script, place, asked)
    print(done.stdout, done.stderr)
    return done


def observed(shared: Shared) -> docker_config.Observed:
    """Docker's configuration as a run sees it."""
    done = shared.lab.run("--dry", "tests/lab/docker_seen.py", limit=EARLIER)
    (seen,) = [line.removeprefix("seen ") for line in done.stdout.splitlines() if line.startswith("seen ")]
    found: docker_config.Observed = pickle.loads(base64.b64decode(seen))  # noqa: S301 of our own run
    assert found.sha256 == docker_config.sha256(found.text or "")
    return found


def blinded(shared: Shared, **overlooked: Any) -> docker_config.Plan:
    """The plan of a deploy that overlooks something on the host, as none does any more."""
    seen = observed(shared)
    for name, value in overlooked.items():
        assert getattr(seen, name) != value, f"{name} is not seen at all"
    plan = docker_config.plan(settings(), replace(seen, **overlooked))
    print(plan)
    return plan


@pytest.mark.parametrize(
    "live_restore",
    [
        pytest.param(False, id="without live-restore", marks=pytest.mark.long),
        pytest.param(True, id="with live-restore"),
    ],
)
def test_an_option_of_the_service_in_the_file_as_well_is_taken_back(shared: Shared, live_restore: bool) -> None:
    """H2 with its guards taken out: dockerd refuses what is a flag and in the file. `somebodys` runs on."""
    shared.configure(json.dumps({"live-restore": True} if live_restore else {}))
    shared.host.check_output(f"mkdir -p {DROP_IN.rpartition('/')[0]} && printf %%s %s >{DROP_IN}", JOURNALD)
    shared.host.check_output("systemctl daemon-reload && systemctl restart docker")
    before, file = shared.started, shared.file
    plan = blinded(shared, options=frozenset())
    assert plan.action == "restart"
    assert "log-driver" in str(plan.text)
    done = unguarded(shared, plan)
    assert done.rc == 1
    if live_restore:  # it was restarted, and did not start
        assert "the following directives are specified both as a flag and in the configuration file: log-driver" in (
            done.stdout
        )
    else:  # Docker read the file, refused it, and was not restarted, as that would have stopped containers
        assert "expected live-restore to be on after a reload, got it off; nothing was restarted" in done.stdout
    assert f"{FILE} is as it was before, and Docker runs" in done.stdout
    assert (shared.file, shared.info("LoggingDriver")) == (file, "journald")
    assert shared.started == before, "somebody's container was stopped"
    assert "were stopped" not in done.stdout
    assert shared.host.check_output("ls /etc/docker") == "certs.d\ndaemon.json"


@pytest.mark.long
@pytest.mark.parametrize(
    "survives",
    [
        pytest.param(False, id="by a plan that names whom it stops"),
        pytest.param(True, id="by one that knows of nobody"),
    ],
)
def test_live_restore_on_a_node_of_a_swarm_is_taken_back(shared: Shared, survives: bool) -> None:
    """H3 with its guards taken out. The swarm is there afterwards; `somebodys` was stopped, and named."""
    shared.configure("{}")
    shared.host.check_output("docker swarm init --advertise-addr 127.0.0.1")
    before, file, node = shared.started, shared.file, shared.info("Swarm.NodeID")
    plan = blinded(shared, in_swarm=False)
    assert plan.survives
    if not survives:
        named = docker_config.plan(settings(), observed(shared))
        assert named.stops == ("somebodys",)
        plan = replace(plan, survives=False, awaits_live_restore=False, stops=named.stops, others=named.others)
    done = unguarded(shared, plan)
    assert done.rc == 1
    assert f"{FILE} is as it was before, and Docker runs" in done.stdout
    assert shared.file == file
    assert (shared.info("Swarm.NodeID"), shared.info("Swarm.LocalNodeState")) == (node, "active")
    assert "--live-restore daemon configuration is incompatible with swarm mode" in done.stdout
    assert shared.started.startswith("running ")
    # Live-restore carries nothing over in a swarm, so Docker does not start with the bridge either.
    assert shared.started != before
    stopped = (
        "docker: these containers were stopped by that, and run again where their restart policy says so: somebodys"
    )
    assert stopped in done.stdout.splitlines()
    assert shared.host.check_output("ls /etc/docker") == "certs.d\ndaemon.json"


class Held:
    """A host where somebody else is at work, until they let go."""

    def __init__(self, shared: Shared) -> None:
        self.host = shared.host
        begin = "mkdir -p -m 700 /run/open-webui-stack && { flock --no-fork /run/open-webui-stack/work sleep 300 "
        self.holder = self.host.check_output(begin + ">/dev/null 2>&1 & } && echo $!")

    def let_go(self) -> None:
        self.host.check_output("kill %s", self.holder)

    @property
    def workers(self) -> list[str]:
        """The processes of workers that run, by their numbers."""
        return str(self.host.run("pgrep -f -- '[-]-worker docker'").stdout).split()


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["SIGINT", "SIGKILL"])
def test_a_change_goes_on_when_its_run_is_cut_off(shared: Shared, how: signal.Signals) -> None:
    """Held up where it waits for another, so that it is cut off before it has changed anything."""
    shared.configure(SYSLOG)
    before = shared.started
    held = Held(shared)
    run = subprocess.Popen(
        [
            Path(sys.executable).with_name("pyinfra"),
            *("-y", "tests/lab/inventory.py", "tests/lab/docker_alone.py", "--limit", EARLIER),
        ],
        cwd=ROOT,
        env={**os.environ, "LAB_NAME": NAME, "PYINFRA_PROGRESS": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        within(60, "the worker is there", lambda: len(held.workers) == 1)
        time.sleep(1)  # so that it waits for the lock
        run.send_signal(how)
        said, _ = run.communicate(timeout=30)
    finally:
        run.kill()
    assert run.returncode == (130 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert "A host goes on to the end of the step that it is busy with" in said
    (worker,) = held.workers
    cgroup = shared.host.check_output("cat /proc/%s/cgroup", worker)
    assert "/system.slice/open-webui-stack-docker-" in cgroup, "it would end with the login"
    within(60, "the caller on the host ended", lambda: shared.host.run("pgrep -f -- '[-]I -S .* docker$'").rc == 1)
    assert (json.loads(shared.host.check_output(f"cat {FILE}")), shared.started) == (json.loads(SYSLOG), before)
    held.let_go()
    within(90, "Docker has the new file", lambda: shared.info("LiveRestoreEnabled") == "true")
    within(30, "the worker ended", lambda: held.workers == [])
    assert shared.started == before, "somebody's container was stopped"
    assert shared.host.check_output("ls /etc/docker") == "certs.d\ndaemon.json"
    assert "No changes" in shared.deploy("-y").stdout
    # A later run that changes something is told what became of it.
    shared.configure(SYSLOG)
    told = "an earlier run of docker went on by itself: it ended well"
    assert told in shared.deploy("-y").stdout
    assert told not in shared.deploy("-y").stdout
    assert shared.host.check_output("ls /run/open-webui-stack/workers") == ""
