"""Docker on a host that others have set up: their choices stay, their containers run on, and Docker stays alive."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.session import BY_HAND, Lab
from webui_stack import docker_config, templates

pytestmark = pytest.mark.lab

FILE = "/etc/docker/daemon.json"
DROP_IN = "/etc/systemd/system/docker.service.d/logs.conf"
JOURNALD = (
    "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// "
    "--containerd=/run/containerd/containerd.sock --log-driver=journald $DOCKER_OPTS\n"
)
SYSLOG = '{"log-driver": "syslog", "log-opts": {"syslog-address": "udp://127.0.0.1:514"}}'  # no newline at its end
PROXY = '{"proxies": {"http-proxy": "http://user:sesame@proxy.example.org"}}'


class Shared:
    """A host with Debian's Docker and a container of somebody's."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.host = lab, lab.host(BY_HAND)

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The part of the main job that is about Docker."""
        done = self.lab.run(*arguments, "tests/lab/docker_alone.py", limit=BY_HAND)
        print(done.stdout)
        return done

    def configure(self, text: str) -> None:
        """With daemon.json of this text, readable by root alone."""
        self.host.check_output("printf %%s %s >%s && chmod 600 %s && systemctl restart docker", text, FILE, FILE)

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
    """The very merge that nothing makes any more: one driver's options for another."""
    shared.configure(SYSLOG)
    before, file = shared.started, shared.file
    bad = {**json.loads(SYSLOG), "log-driver": "json-file", "live-restore": True}
    plan = docker_config.Plan(
        action="restart",
        text=json.dumps(bad),
        bridge=json.dumps({**json.loads(SYSLOG), "live-restore": True}),
        survives=True,
        awaits_live_restore=True,
    )
    script = "\n".join(templates.docker_config_script(plan))
    done = shared.host.run(f"echo {base64.b64encode(script.encode()).decode()} | base64 -d | sh -s")
    print(done.stdout)
    assert done.rc == 1
    assert "unknown log opt 'syslog-address' for json-file log driver" in done.stdout
    assert f"{FILE} is as it was before, and Docker runs" in done.stdout
    assert shared.file == file
    assert shared.started == before, "somebody's container was stopped"
    assert shared.host.check_output("ls /etc/docker") == "certs.d\ndaemon.json"
