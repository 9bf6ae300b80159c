"""Whatever breaks: the previous stack serves on, or the next plain run converges; people's data is there."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.lab.precious import LEASE, OFTEN_S, Precious, within
from tests.lab.session import FRESH, NAME, ROOT, SSH_CONFIG, Lab, changed, containers

pytestmark = pytest.mark.lab

REGISTRY = "registry.lab.test"
# What runs beside this one may write to.
NOT_SOURCE = shutil.ignore_patterns(".git", ".venv", ".lab", ".cache", ".*_cache", "__pycache__")


@pytest.fixture(scope="module")
def precious(lab: Lab, deployed: dict[str, Any]) -> Precious:
    return Precious(lab)


class Operator:
    """A run of `pyinfra -y tests/lab/inventory.py DEPLOY ARGUMENTS` on one host that goes on while the test does."""

    def __init__(
        self,
        *arguments: str,
        deploy: str = "deploy.py",
        limit: str = FRESH,
        directory: Path = ROOT,
        **environment: str,
    ) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 a pipe nobody reads would stall the run
        self._process = subprocess.Popen(
            [
                Path(sys.executable).with_name("pyinfra"),
                *("-y", "tests/lab/inventory.py", deploy, "--limit", limit, *arguments),
            ],
            cwd=directory,
            env={**os.environ, "LAB_NAME": NAME, "PYINFRA_PROGRESS": "off", **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @contextmanager
    def halted(self) -> Iterator[None]:
        """As a machine that is asleep: the run neither ends nor renews its lease while the block lasts."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> bool:
        """SIGKILL; False when the run had ended by itself before."""
        was_alive = self._process.poll() is None
        self._process.kill()
        self._process.wait()
        return was_alive

    def ended_within(self, seconds: float) -> int | None:
        """Its exit status, as soon as it has ended; None where it is at work for longer than that."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout_s: float) -> int:
        try:
            return self._process.wait(timeout_s)
        finally:
            self.kill()

    @property
    def output(self) -> str:
        self._output.seek(0)
        return self._output.read()


def files(host: Any) -> str:
    """Our files with their checksums; those still on their way into place and the log of the last run left out."""
    names = "-type f ! -name '*.new' ! -name up.log"
    return str(host.check_output(f"find /opt/open-webui -path '*/.good' -prune -o {names} -exec sha256sum {{}} +"))


@contextmanager
def full_filesystem(host: Any, path: str) -> Iterator[None]:
    """A full tmpfs in place of `path`, with what is in there already."""
    host.check_output(
        "mkdir -p /run/full && mount -t tmpfs -o size=64k,mode=755 tmpfs /run/full && cp -a %s/. /run/full && "
        "{ cat /dev/zero >/run/full/filler 2>/dev/null || true; } && mount --bind /run/full %s",
        path,
        path,
    )
    try:
        yield
    finally:
        host.check_output("umount %s && umount /run/full", path)


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return {"mediaType": f"application/vnd.docker.{kind}", "size": len(content), "digest": digest}


def _one_image() -> dict[str, tuple[str, bytes]]:
    """What a registry has of an image whose only layer is 4 MB of noise: media type and content by last path part."""
    noise = os.urandom(4_000_000)
    layer = _descriptor("image.rootfs.diff.tar.gzip", noise)
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    settings = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    config = _descriptor("container.image.v1+json", settings)
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}).encode()
    return {
        "v2": ("application/json", b"{}"),
        "1.0": (kind, manifest),
        "sha256:" + hashlib.sha256(manifest).hexdigest(): (kind, manifest),
        config["digest"]: (config["mediaType"], settings),
        layer["digest"]: ("application/octet-stream", noise),
    }


@contextmanager
def registry_on(port: int) -> Iterator[None]:
    """A registry on the host's loopback, where Docker wants no TLS; it is this process, by `ssh -R`."""
    image = _one_image()

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = image[self.path.strip("/").rpartition("/")[2]]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(content).hexdigest())
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815 the name http.server looks for

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tunnel = subprocess.Popen(
        ["ssh", "-F", SSH_CONFIG, "-N", "-R", f"127.0.0.1:{port}:127.0.0.1:{server.server_port}", FRESH],
        stdin=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        tunnel.kill()
        tunnel.wait()
        server.shutdown()


@contextmanager
def nothing(host: Any) -> Iterator[None]:
    yield


@contextmanager
def full_at_upload(host: Any) -> Iterator[None]:
    with full_filesystem(host, "/opt/open-webui/valkey"):
        yield


@contextmanager
def full_at_pull(host: Any) -> Iterator[None]:
    with registry_on(5002), full_filesystem(host, "/var/lib/docker/tmp"):
        within(5, "the registry is there", lambda: host.run("curl --silent http://127.0.0.1:5002/v2/").rc == 0)
        yield


@dataclass(frozen=True)
class Fault:
    setting: str
    reason: str
    stopped_at: str
    around: Any = nothing


FAULTS = {
    "tag that does not exist": Fault(
        f"open_webui_image={REGISTRY}:5000/open-webui/open-webui:v9.9.9", "not found", "Stack | Pull the images"
    ),
    "registry that is down": Fault(
        f"valkey_image={REGISTRY}:5001/valkey/valkey:8.1.1", "connection refused", "Stack | Pull the images"
    ),
    "disk full at upload": Fault(
        "valkey_timeout_s=1801", "No space left on device", "Stack | Put the compose project", full_at_upload
    ),
    "disk full at pull": Fault(
        "valkey_image=127.0.0.1:5002/large:1.0",
        "no space left on device",
        "Stack | Pull the images",
        full_at_pull,
    ),
}


def stopped_at(output: str) -> str:
    """The operation a run of one host failed at: the last one it started."""
    assert "No hosts remaining" in output
    return output.rpartition("--> Starting operation: ")[2].splitlines()[0].strip()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_nothing_is_touched_by(lab: Lab, precious: Precious, fault: Fault) -> None:
    before, on_disk = containers(precious.host), files(precious.host)
    with fault.around(precious.host):
        result = lab.run("-y", "deploy.py", "--data", fault.setting)
        assert precious.ask("/health") == {"status": True}
    assert result.returncode == 1
    assert fault.reason in result.stdout
    assert stopped_at(result.stdout) == fault.stopped_at
    assert containers(precious.host) == before
    assert files(precious.host) == on_disk
    precious.assert_kept()


def test_a_compose_file_that_compose_refuses_never_gets_into_place(precious: Precious, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=NOT_SOURCE)
    (copy / ".lab").symlink_to(ROOT / ".lab")
    template = copy / "templates" / "compose.yaml.j2"
    template.write_text(template.read_text().replace("    container_name: redis-valkey", "    container: redis-valkey"))
    before, on_disk = containers(precious.host), files(precious.host)
    broken = Operator(directory=copy)
    assert broken.wait(60) == 1
    assert "Additional property container is not allowed" in broken.output
    assert stopped_at(broken.output) == "Stack | Put the compose project"
    assert containers(precious.host) == before
    assert files(precious.host) == on_disk
    assert precious.host.check_output("find /opt/open-webui -name '*.new'") == ""
    precious.assert_kept()


@pytest.mark.long
def test_a_container_that_never_gets_healthy_is_taken_back(lab: Lab, precious: Precious) -> None:
    on_disk = files(precious.host)
    result = lab.run(
        # it never gets healthy; the one before it needs no longer than this to start again
        *("-y", "deploy.py", "--data", "open_webui_start_timeout_s=60"),
        *("--data", 'open_webui_secret_env={"DATABASE_URL": "env:BAD_DB"}'),
        BAD_DB="postgresql://nobody:nothing@127.0.0.1:9/nowhere",
    )
    assert result.returncode == 1
    assert stopped_at(result.stdout) == "Stack | Bring the services up"
    for part in (
        "open-webui is ",
        "; its last lines:",
        "  | ",
        "going back to the deploy of 20",
        "that one runs again",
    ):
        assert part in result.stdout, part
    assert "Connection refused" in result.stdout, "the container's own reason"
    assert files(precious.host) == on_disk
    precious.assert_kept()
    assert changed(lab.report("-y", "deploy.py")) == []


def test_a_port_that_is_taken_costs_nobody_the_old_one(lab: Lab, precious: Precious) -> None:
    precious.host.check_output(
        "docker run --detach --rm --name squatter --publish 3999:3999 --entrypoint sleep "
        "$(docker inspect --format '{{.Config.Image}}' redis-valkey) 300"
    )
    try:
        result = lab.run("-y", "deploy.py", "--data", "open_webui_port=3999")
    finally:
        precious.host.check_output("docker rm --force squatter")
    assert result.returncode == 1
    assert "got it taken by the container squatter" in result.stdout
    assert stopped_at(result.stdout) == "Preflight | Check that the host can carry the stack"
    assert precious.host.check_output("docker port open-webui") == "8080/tcp -> 0.0.0.0:3000"
    precious.assert_kept()
    assert changed(lab.report("-y", "deploy.py")) == []


# Kills the first sshd above `docker compose ... up`: the session of the run that started it. (The brackets keep pgrep
# from finding this very script.)
CUT = r"""
pid=$(pgrep -f '[c]ompose .* up --detach' | head -n 1)
while [ "${pid:-1}" -gt 1 ]; do
  case $(cat /proc/$pid/comm) in sshd*) kill -9 "$pid" && exit 0 ;; esac
  pid=$(ps -o ppid= -p "$pid" | tr -d ' ')
done
exit 1
"""


@pytest.mark.long
def test_a_connection_cut_while_services_come_up_is_repaired_by_the_next_run(lab: Lab, precious: Precious) -> None:
    cut_off = Operator("--data", "open_webui_jwt_expires_in=11h")
    try:
        within(30, "the run brings the services up", lambda: precious.host.run(CUT).rc == 0, OFTEN_S)
        assert cut_off.wait(30) != 0
    finally:
        cut_off.kill()
    lab.report("-y", "deploy.py")
    assert changed(lab.report("-y", "deploy.py")) == []
    precious.assert_kept()


def test_a_second_operator_is_told_who_is_at_work_and_the_first_is_not_disturbed(lab: Lab, precious: Precious) -> None:
    precious.host.check_output("docker stop redis-valkey")  # work for some seconds, and nothing to set back
    first = Operator()
    try:
        within(30, "the first run holds the lease", lambda: precious.host.file(LEASE).exists, OFTEN_S)
        with first.halted():  # else it may end before the second has asked
            start = time.monotonic()
            second = lab.run("-y", "deploy.py", "--data", "open_webui_jwt_expires_in=11h")
            took_s = time.monotonic() - start
            assert precious.host.file(LEASE).exists, "the first run ended too early for this test"
    finally:
        first_status = first.wait(120)
    me = subprocess.check_output(["id", "-un"], text=True).strip() + "@" + os.uname().nodename
    assert second.returncode == 1
    assert f"expected nobody else at work here, got {me}, process " in second.stdout
    assert " since " in second.stdout
    assert stopped_at(second.stdout) == "Deployment | Check that nobody else is at work"
    assert took_s < 30  # a run of its own on a busy machine; one that waited would wait for the whole lease
    assert first_status == 0, first.output
    precious.assert_kept()


@pytest.mark.long
def test_a_lease_somebody_left_behind_blocks_until_it_expires_and_no_longer(lab: Lab, precious: Precious) -> None:
    # As long as a run may take on a busy machine until it has read it.
    precious.host.check_output(f"echo mallory@elsewhere:4711 $(date +%s) $(($(date +%s) + 25)) >{LEASE}")
    blocked = lab.run("-y", "deploy.py")
    assert blocked.returncode == 1
    assert "got mallory@elsewhere:4711 since " in blocked.stdout
    within(30, "the lease expires", lambda: precious.host.run(f"test $(cut -d' ' -f3 {LEASE}) -le $(date +%s)").rc == 0)
    assert changed(lab.report("-y", "deploy.py")) == []
    precious.assert_kept()


def moments(count: int, longest_s: float) -> list[float]:
    """Random moments of a run, the same ones each time."""
    chosen = random.Random(count)  # noqa: S311
    return [round(chosen.uniform(1, longest_s), 1) for _ in range(count)]


# A run takes about 15 s. `make soak` tries 20 moments, `make long` the first ones of these.
MOMENTS = moments(3, 14)


@pytest.mark.long
@pytest.mark.parametrize("delay_s", [pytest.param(delay_s, id=f"after {delay_s} s") for delay_s in MOMENTS])
def test_an_operator_killed(lab: Lab, precious: Precious, delay_s: float) -> None:
    arguments = ("--data", "open_webui_jwt_expires_in=11h")
    killed = Operator(*arguments)
    time.sleep(delay_s)  # the moment that it is about
    assert killed.kill(), "it was done before"
    lab.report("-y", "deploy.py", *arguments)
    assert changed(lab.report("-y", "deploy.py", *arguments)) == []
    precious.assert_kept()
    lab.report("-y", "deploy.py")  # as the tests after it expect it
