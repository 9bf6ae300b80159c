"""Two processes of Open WebUI on one host, with Postgres, behind the proxy: one stack to whoever comes to its door."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from tests.lab.door import Door, Visitor
from tests.lab.precious import EMAIL, PASSWORD, START_S, within
from tests.lab.replicas import CONTAINERS, PROCESSES, Stack
from tests.lab.session import changed, containers, followed, numsub, predicted, state
from tests.lab.tally import Result, table

pytestmark = pytest.mark.lab

CONTENT = os.urandom(100_000)


@pytest.fixture(scope="module")
def token(stack: Stack) -> str:
    return stack.door.sign_in()


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Callable[[dict[str, Result]], None]:
    """Print what became of the crowd's events, in a run that passes as well."""

    def _show(results: dict[str, Result]) -> None:
        with capsys.disabled():
            Console().print(table(results))

    return _show


def visitors_of_both(door: Door) -> tuple[Visitor, Visitor]:
    """Two browsers that the proxy has sent to different processes."""
    first = door.visitor()
    first.must("GET", "/api/config")
    for _ in range(30):
        other = door.visitor()
        other.must("GET", "/api/config")
        if other.process != first.process:
            return first, other
    raise AssertionError("30 browsers, and all at the same process")


def test_two_processes_listen_and_only_the_proxy_is_published(stack: Stack) -> None:
    assert set(containers(stack.host)) == CONTAINERS
    assert numsub(stack.host) == 2
    published = stack.host.check_output("docker ps --format '{{.Names}} {{.Ports}}'").splitlines()
    assert {line.split()[0] for line in published if "->" in line} == {"open-webui-proxy"}
    schema = "docker exec open-webui-postgres psql -U open-webui -Atc 'SELECT count(*) FROM alembic_version'"
    assert stack.host.check_output(schema) == "1"
    assert not stack.host.run("docker exec open-webui ls data/webui.db").stdout


def test_a_second_deploy_changes_nothing(stack: Stack) -> None:
    before, files = containers(stack.host), state(stack.host)
    assert predicted(stack.deploy("--dry")) == []
    assert changed(stack.deploy()) == []
    assert containers(stack.host) == before
    assert state(stack.host).splitlines() == files.splitlines()


def test_the_door_is_as_doors_should_be(stack: Stack) -> None:
    visitor = stack.door.visitor()
    page = visitor.ask("GET", "/", Accept_Encoding="gzip")
    assert page.status == 200
    assert page.headers["Content-Encoding"] == "gzip"
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "immutable" not in page.headers.get("Cache-Control", "")
    built = next(
        part for part in visitor.ask("GET", "/").body.decode().split('"') if part.startswith("/_app/immutable/")
    )
    assert visitor.ask("GET", built).headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert stack.ask("open-webui", "/", "")[1].startswith("<!doctype html>"), "the app itself does not compress"
    moved = stack.host.check_output(
        "curl -s -o /dev/null -w '%{redirect_url}' -H 'Host: chat.lab.test' http://127.0.0.1/x"
    )
    assert moved == f"{stack.door.url}/x"


def test_the_session_cookie_is_for_https_only(stack: Stack, token: str) -> None:
    visitor = stack.door.visitor()
    answer = visitor.ask("POST", "/api/v1/auths/signin", {"email": EMAIL, "password": PASSWORD})
    cookie = next(line for line in answer.headers.get_all("Set-Cookie", []) if line.startswith("token="))
    assert "secure" in cookie.lower()


def test_a_browser_stays_with_its_process(stack: Stack) -> None:
    for visitor in visitors_of_both(stack.door):
        process = visitor.process
        for _ in range(20):
            visitor.must("GET", "/api/config")
            assert visitor.process == process


def test_a_login_is_good_at_every_process_and_so_is_its_end(stack: Stack, token: str) -> None:
    mine = stack.door.sign_in()
    assert [stack.ask(process, "/api/v1/auths/", mine)[0] for process in PROCESSES] == [200, 200]
    assert stack.door.visitor().must("POST", "/api/v1/auths/signout", token=mine)
    assert [stack.ask(process, "/api/v1/auths/", mine)[0] for process in PROCESSES] == [401, 401]
    assert stack.ask("open-webui", "/api/v1/auths/", token)[0] == 200, "another login goes on"


def test_an_upload_is_there_at_every_process(stack: Stack, token: str) -> None:
    file = stack.door.visitor().upload(CONTENT, token)
    for visitor in visitors_of_both(stack.door):
        assert visitor.download(file, token) == CONTENT


@pytest.mark.long
def test_a_crowd_outlives_a_killed_process(stack: Stack, show: Callable[[dict[str, Result]], None]) -> None:
    """Who was at the other one notices nothing; who was thrown out is back at once, while theirs starts again."""
    with stack.unwatched(), stack.door.crowd() as crowd:
        crowd.settle()
        time.sleep(5)  # what is counted: fifty events, ten a second
        quiet = crowd.result()
        mark = crowd.now()
        stack.kill("open-webui-2")
        recovered_s = crowd.wait_recovered(120, mark)
        killed = crowd.result(mark)
    show({"quiet": quiet, "a process killed": killed})
    assert (quiet.lost, quiet.duplicated, quiet.strays, dict(quiet.failed)) == (0, 0, 0, {})
    assert (killed.duplicated, killed.strays) == (0, 0)
    assert 0 < killed.disconnected < 50, "everybody was at one process"
    assert killed.reconnected == killed.disconnected
    assert recovered_s < 90  # 3 to 10 where the machine has nothing else to do
    within(START_S, "both processes listen", lambda: numsub(stack.host) == 2)


def test_a_changed_setting_is_put_in_force_one_process_at_a_time(stack: Stack) -> None:
    with followed(stack.host) as events:
        stack.deploy(open_webui_jwt_expires_in="23h")
    of_processes = [(action, name) for action, name, _ in events if name in PROCESSES]
    assert of_processes == [(what, name) for name in PROCESSES for what in ("die", "start")]
    others = [name for _, name, _ in events if "postgres" in name or "proxy" in name or "valkey" in name]
    assert others == []


@pytest.mark.long
def test_a_number_is_all_that_scaling_takes(stack: Stack) -> None:
    stack.deploy(open_webui_replicas=3)
    assert numsub(stack.host) == 3
    report = stack.deploy("--dry")
    assert "Stack | Bring the services up" in predicted(report)
    stack.deploy()
    assert set(containers(stack.host)) == CONTAINERS
    within(30, "two processes listen", lambda: numsub(stack.host) == 2)
