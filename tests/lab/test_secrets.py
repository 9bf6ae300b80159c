"""No secret is seen anywhere but in the files that are for it, and these are root-only from their first byte."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.lab.precious import Precious, socketio
from tests.lab.sampler import Samples, as_root, sampled
from tests.lab.session import ROOT, Lab, ask_as_monitor

pytestmark = pytest.mark.lab

SUPPLIED = {
    "TEST_VALKEY_PASSWORD": "Supplied0Valkey0Password0",
    "TEST_SECRET_KEY": "Supplied0Secret0Key0of0Thirty0Six000",
    "TEST_OPENAI_KEY": "sk-supplied-key-of-the-operator",
}
SOURCES = (
    *("--data", "valkey_password=env:TEST_VALKEY_PASSWORD"),
    *("--data", "open_webui_secret_key=env:TEST_SECRET_KEY"),
    *("--data", 'open_webui_secret_env={"OPENAI_API_KEY": "command:printf %s $TEST_OPENAI_KEY"}'),
)

# Everything on the host that is not itself a place for secrets: those are /opt/open-webui/{secrets,.env,.good} and what
# Docker keeps of a container's environment (/var/lib/docker, /run/containerd), all of it root's alone.
PLACES = {
    "compose files": "cat /opt/open-webui/compose.yaml*",
    "good compose file": "cat /opt/open-webui/.good/compose.yaml /opt/open-webui/.good/images",
    "valkey's files": "cat /opt/open-webui/valkey/*",
    "watchdog": "cat /etc/systemd/system/open-webui-watchdog.service",
    "monitor": "cat /etc/systemd/system/open-webui-stack-monitor.service /var/lib/open-webui-stack/*",
    "journal of the monitor": "journalctl --quiet --no-pager --unit open-webui-stack-monitor",
    "lease": "cat $(find /run/open-webui-stack* -type f)",
    "temporary files": "find /tmp /var/tmp /home /root -type f -exec cat {} +",
    "configuration": "find /etc -type f -exec cat {} +",
    "log files": "find /var/log -type f ! -path '*/journal/*' -exec cat {} +",
    "journal": "journalctl --quiet --no-pager --output cat",
    "journal of docker": "journalctl --quiet --no-pager --unit docker",
    "journal of the watchdog": "journalctl --quiet --no-pager --unit open-webui-watchdog",
    "docker history of Open WebUI": "docker history --no-trunc $(docker inspect --format '{{.Image}}' open-webui)",
    "docker history of Valkey": "docker history --no-trunc $(docker inspect --format '{{.Image}}' redis-valkey)",
    "log of Open WebUI": "docker logs open-webui 2>&1",
    "log of Valkey": "docker logs redis-valkey 2>&1",
    "labels": "docker inspect --format '{{json .Config.Labels}} {{json .Config.Cmd}} {{json .Config.Healthcheck}}' "
    "open-webui redis-valkey",
    "arguments of processes": "cat /proc/[0-9]*/cmdline",
}


class Seen:
    """What the runs showed and what was sampled while they went on."""

    def __init__(self) -> None:
        self.outputs: dict[str, str] = {}
        self.samples = Samples()
        self.secrets: dict[str, str] = {}


def secrets_of(host: Any) -> dict[str, str]:
    found = {}
    for name in host.file("/opt/open-webui/secrets").listdir():
        found[name] = host.file(f"/opt/open-webui/secrets/{name}").content_string.strip()
    return found


@pytest.fixture(scope="module")
def precious(lab: Lab, deployed: dict[str, Any]) -> Precious:
    return Precious(lab)


@pytest.fixture(scope="module")
def seen(lab: Lab, precious: Precious, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Deploys that change everything, as talkative as can be, from the host's own secrets to supplied ones."""
    host, result = precious.host, Seen()
    result.secrets = {f"made on the host: {name}": value for name, value in secrets_of(host).items()} | SUPPLIED
    assert len(result.secrets) >= 3 + len(SUPPLIED)
    host.check_output("rm -r /opt/open-webui/.env /opt/open-webui/valkey /opt/open-webui/.good")

    def run(*arguments: str) -> None:
        done = lab.as_typed.run(*arguments, **SUPPLIED)  # its arguments are looked at
        assert done.returncode == 0, done.stdout
        result.outputs[" ".join(arguments)] = done.stdout

    with sampled(lab, tmp_path_factory.mktemp("secrets")) as result.samples:
        run("deploy.py", "--dry", "-vvv", "--diff", *SOURCES)
        run("deploy.py", "--debug-operations", "--dry", *SOURCES)
        run("-y", "deploy.py", "-vvv", "--diff", "--debug", *SOURCES, "--data", "open_webui_jwt_expires_in=11h")
        run("deploy.py", "--dry", "--json", "-vvv", "--diff")
        run("-y", "deploy.py", "--json", "-vvv")
        run("-y", "deploy.py", "-vvv", "--debug", "--data", "verify_level=user")
        run("-y", "runbooks/verify.py", "-vvv")
    # Nothing is in their journals until they have something to do, or are started again.
    host.check_output("systemctl kill --signal KILL open-webui-watchdog open-webui-stack-monitor")
    result.secrets["the probe's password"] = secrets_of(host)["probe-password"]
    precious.sign_in()  # the logins signed with the old key ended
    return result


def shown_in(seen: Seen, text: bytes) -> list[str]:
    return [name for name, value in seen.secrets.items() if value.encode() in text]


def test_the_runs_did_write_secrets(seen: Seen, precious: Precious) -> None:
    """Otherwise the tests below prove nothing."""
    now = secrets_of(precious.host)
    assert now["valkey-password"] == SUPPLIED["TEST_VALKEY_PASSWORD"]
    assert now["webui-secret-key"] == SUPPLIED["TEST_SECRET_KEY"]
    assert any("Make the secrets on the host" in text for text in seen.outputs.values())
    assert any("/opt/open-webui: wrote secrets/valkey-password, " in text for text in seen.outputs.values())
    assert b"docker" in seen.samples.host
    assert any(b"runbooks/verify.py" in arguments for arguments in seen.samples.own_arguments)


def test_no_output_shows_a_secret(seen: Seen) -> None:
    for arguments, output in seen.outputs.items():
        assert shown_in(seen, output.encode()) == [], arguments
    for log in ROOT.glob("*.log"):
        assert shown_in(seen, log.read_bytes()) == [], log


def test_no_process_has_a_secret_among_its_arguments(seen: Seen) -> None:
    assert shown_in(seen, seen.samples.host) == []
    assert [shown_in(seen, arguments) for arguments in seen.samples.own_arguments if shown_in(seen, arguments)] == []


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_in(seen: Seen, place: str) -> None:
    done = subprocess.run(as_root(PLACES[place]), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.stdout or place in ("lease", "temporary files"), done.stderr
    assert shown_in(seen, done.stdout) == []


def test_every_file_was_root_only_from_its_first_byte(seen: Seen) -> None:
    modes = [line.split(" ", 4)[1:] for line in seen.samples.modes]
    paths = {path for *_, path in modes}
    assert "/opt/open-webui/.env" in paths
    assert "/opt/open-webui/.good/.env" in paths or "/opt/open-webui/.good.new/.env" in paths
    for mode, owner, kind, path in modes:
        assert owner == "0:0", path
        if path == "/opt/open-webui":
            assert mode == "700"
        if "/secrets" in path or "/.env" in path:
            assert mode == ("700" if kind == "d" else "600"), path


def test_real_use_breaks_no_rule_of_the_acl(seen: Seen, precious: Precious) -> None:
    """Valkey was made anew with the new password, so its ACL LOG has what happened since, verify run included."""
    precious.assert_kept()
    with socketio(precious.base, precious.token) as socket:
        socket.send("42" + json.dumps(["user-join", {"auth": {"token": precious.token}}]))
        socket.send("42" + json.dumps(["usage", {"model": "none", "chat_id": precious.chat}]))
    assert ask_as_monitor(precious.host, "ACL LOG").strip() == ""
