"""What the engine in memory adds to the contract: failures and crashes at every call, power cuts, a will of its own."""

from __future__ import annotations

import pytest

from tests.host.fake_docker import CALLS_TO_END, NEVER, CannotStart, Docker, Exit, Process, Program
from tests.host.fake_engine import FAILED, REFUSED, UNAVAILABLE, FakeEngine
from tests.host.faults import CRASH_AFTER, CRASH_BEFORE, CRASH_WITHIN, DONE, Crash, Fault, Faults
from webui_stack.host.engine import EngineError, NewContainer, ProgramFailed, Refused, Unavailable

WEB = NewContainer("web:1", volumes=["data:/data"], restart_policy="unless-stopped")


def write(process: Process) -> bytes:
    process.write("/data/file", process.stdin or b"empty")
    return b"written"


def docker(**programs: Program) -> Docker:
    made = Docker()
    made.put_image("web:1", programs.get("web", Program(commands={"write": write})))
    return made


def next_process(engine: FakeEngine, fault: Fault | None = None) -> FakeEngine:
    """Another run of the program under test, on the same Docker."""
    return FakeEngine(engine.docker, engine.swarm, Faults(fault))


# --- Faults


def test_every_call_is_counted_with_all_that_can_go_wrong() -> None:
    engine = FakeEngine(docker())
    engine.create("web", WEB)
    engine.container("web")
    engine.start("web")
    engine.exec("web", ["write"], stdin=b"x")
    engine.exec("web", ["write"], accept=(0, 1))
    changing = (CRASH_BEFORE, UNAVAILABLE, REFUSED, CRASH_AFTER, UNAVAILABLE + DONE)
    assert [(made.name, made.kinds) for made in engine.faults.calls] == [
        ("docker: create web", changing),
        ("docker: container web", (CRASH_BEFORE, UNAVAILABLE, REFUSED)),
        ("docker: start web", changing),
        (
            "docker: exec web: write",
            (CRASH_BEFORE, UNAVAILABLE, REFUSED, FAILED, CRASH_AFTER, UNAVAILABLE + DONE, CRASH_WITHIN),
        ),
        ("docker: exec web: write", changing),
    ]
    assert len(engine.faults.points()) == 5 + 3 + 5 + 7 + 5


@pytest.mark.parametrize(
    ("kind", "raised", "there"),
    [
        (CRASH_BEFORE, Crash, False),
        (CRASH_AFTER, Crash, True),
        (UNAVAILABLE, Unavailable, False),
        (UNAVAILABLE + DONE, Unavailable, True),
        (REFUSED, Refused, False),
    ],
)
def test_a_change_is_made_or_not_whatever_the_program_learns(
    kind: str, raised: type[BaseException], there: bool
) -> None:
    engine = FakeEngine(docker(), faults=Faults(Fault(0, kind)))
    with pytest.raises(raised):
        engine.create_volume("v")
    assert ("v" in engine.docker.volumes) is there


def test_only_one_call_goes_wrong() -> None:
    engine = FakeEngine(docker(), faults=Faults(Fault(1, UNAVAILABLE)))
    engine.create_volume("a")
    with pytest.raises(Unavailable):
        engine.create_volume("b")
    engine.create_volume("b")


def test_a_dead_program_changes_nothing_more() -> None:
    engine = FakeEngine(docker(), faults=Faults(Fault(0, CRASH_AFTER)))
    with pytest.raises(Crash):
        engine.create_volume("a")
    with pytest.raises(Crash):
        engine.remove_volume("a")
    assert "a" in engine.docker.volumes
    next_process(engine).remove_volume("a")


def test_a_point_that_is_not_there_says_that_the_scenario_is_another() -> None:
    engine = FakeEngine(docker(), faults=Faults(Fault(0, CRASH_AFTER)))
    with pytest.raises(AssertionError, match="deterministic"):
        engine.volumes()


def test_a_crash_within_leaves_half_of_the_input() -> None:
    engine = FakeEngine(docker())
    engine.docker.put_container("web", WEB)
    engine = next_process(engine, Fault(0, CRASH_WITHIN))
    with pytest.raises(Crash):
        engine.exec("web", ["write"], stdin=b"whole")
    assert engine.docker.contents["data"] == {"file": b"wh"}


def test_what_the_world_does_by_itself_is_not_counted() -> None:
    engine = FakeEngine(docker())
    with engine.faults.quiet():
        engine.create_volume("v")
    assert engine.faults.calls == []
    assert "v" in engine.docker.volumes


def test_a_docker_that_is_down_answers_nothing() -> None:
    engine = FakeEngine(docker())
    engine.docker.down = True
    with pytest.raises(Unavailable):
        engine.volumes()


# --- Programs that outlive their caller

ONCE = NewContainer("web:1", ["write"], volumes=["data:/data"])


def killed_in_run(index: int, kind: str) -> FakeEngine:
    engine = FakeEngine(docker(), faults=Faults(Fault(index, kind)))
    with pytest.raises((Crash, EngineError, ProgramFailed)):
        engine.run("once", ONCE, stdin=b"whole")
    return next_process(engine)


def test_a_run_killed_before_its_start_leaves_a_container_of_its_name() -> None:
    engine = killed_in_run(1, CRASH_BEFORE)
    assert engine.container("once").status == "created"
    with pytest.raises(Refused):
        engine.run("once", ONCE)


def test_a_run_killed_after_its_start_goes_on_with_half_its_input_and_is_gone_then() -> None:
    engine = killed_in_run(1, CRASH_AFTER)
    assert engine.container("once").status == "running"
    assert engine.docker.contents["data"] == {}
    for _ in range(CALLS_TO_END):
        engine.ping()
    assert engine.docker.contents["data"] == {"file": b"wh"}
    assert engine.containers() == ()


def test_who_removes_it_in_time_ends_it() -> None:
    engine = killed_in_run(1, CRASH_AFTER)
    engine.remove("once", force=True)
    for _ in range(CALLS_TO_END):
        engine.ping()
    assert engine.docker.contents["data"] == {}


@pytest.mark.parametrize(("kind", "files"), [(UNAVAILABLE, {}), (UNAVAILABLE + DONE, {"file": b"whole"}), (FAILED, {})])
def test_a_run_whose_end_is_unknown_is_removed(kind: str, files: dict[str, bytes]) -> None:
    engine = killed_in_run(2, kind)
    assert engine.containers() == ()
    assert engine.docker.contents["data"] == files


# --- Power cuts


def test_a_power_cut_restarts_by_policy_and_removes_what_runs_once() -> None:
    engine = FakeEngine(docker())
    for policy in ("no", "on-failure", "unless-stopped", "always"):
        for name in (f"{policy}-ran", f"{policy}-stopped", f"{policy}-created"):
            new = NewContainer("web:1", restart_policy=policy)
            engine.docker.put_container(name, new, start=not name.endswith("created"))
        engine.stop(f"{policy}-stopped")
    engine.docker.make("once", ONCE, auto_remove=True)
    engine.docker.power_cut()
    running = {one.name for one in engine.containers() if one.running}
    assert running == {"on-failure-ran", "unless-stopped-ran", "always-ran", "always-stopped"}
    assert not [one for one in engine.containers() if one.name == "once"]


def test_a_power_cut_stops_nobody_gracefully_and_a_restart_of_docker_does() -> None:
    stops: list[str] = []
    program = Program(stop=lambda process: stops.append(process.container.name))
    engine = FakeEngine(docker(web=program))
    engine.docker.put_container("web", WEB)
    engine.docker.power_cut()
    assert stops == []
    engine.docker.restart_docker()
    assert stops == ["web"]
    assert engine.container("web").running
    engine.docker.live_restore = True
    engine.docker.restart_docker()
    assert stops == ["web"]


# --- What containers do


def test_a_container_that_can_not_start_says_why_and_one_that_ends_is_started_again() -> None:
    def no_address(_: Process) -> None:
        raise CannotStart("cannot assign requested address")

    def ends(_: Process) -> None:
        raise Exit(3, b"no such schema\n")

    engine = FakeEngine(docker(web=Program(main=no_address)))
    engine.create("web", WEB)
    with pytest.raises(Refused, match="cannot assign"):
        engine.start("web")
    assert (engine.container("web").status, engine.container("web").error) == (
        "created",
        "cannot assign requested address",
    )

    assert engine.container("web").started_at == NEVER
    engine.docker.power_cut()  # nor does Docker try it at boot
    assert engine.container("web").status == "created"

    engine = FakeEngine(docker(web=Program(main=ends)))
    engine.create("web", WEB)
    engine.start("web")
    seen = engine.container("web")
    assert (seen.status, seen.exit_code, seen.restarts) == ("restarting", 3, 1)
    assert engine.logs("web", tail=1) == b"no such schema\n"
    with pytest.raises(Refused):
        engine.exec("web", ["write"])


def test_health_is_asked_of_the_program_and_paused_counts_as_unhealthy_until_asked_again() -> None:
    engine = FakeEngine(docker(web=Program(health=lambda _: "healthy")))
    engine.create("web", WEB)
    assert engine.container("web").health == "starting"
    engine.start("web")
    assert engine.container("web").health == "healthy"
    engine.pause("web")
    assert engine.container("web").health == "unhealthy"
    engine.unpause("web")
    assert [engine.container("web").health for _ in range(2)] == ["unhealthy", "healthy"]


def test_folders_of_the_host_and_read_only_mounts_are_seen_from_inside() -> None:
    sets: dict[str, bytes] = {"valkey.rdb": b"rdb"}
    engine = FakeEngine(docker(web=Program(commands={"read": lambda p: p.read("/set/valkey.rdb"), "write": write})))
    engine.docker.folder = lambda path: sets if path == "/var/sets" else {}
    new = NewContainer("web:1", ["read"], volumes=["/var/sets:/set:ro"])
    assert engine.run("once", new).stdout == b"rdb"


def test_a_pull_gets_what_the_registry_has_and_moves_the_tag() -> None:
    engine = FakeEngine(docker())
    newer = engine.docker.put_image("web:1", local=False)
    before = engine.image("web:1").id
    assert engine.registry_digest("web:1") == newer
    engine.pull("web:1")
    assert engine.image("web:1").id == newer
    assert engine.image(before).tags == ()
    with pytest.raises(Refused):
        engine.pull("web:2")


# --- Swarm


def swarm(**programs: Program) -> FakeEngine:
    engine = FakeEngine(docker(**programs))
    engine.swarm.put_node("node1")
    engine.swarm.put_node("node2", role="worker")
    return engine


def test_a_service_has_tasks_on_nodes_and_those_here_are_containers() -> None:
    engine = swarm()
    engine.swarm.put_service("s_web", NewContainer("web:1", volumes=["data:/data"]), replicas=2)
    assert [(task.node_id, task.state) for task in engine.tasks("s_web")] == [
        ("node1", "running"),
        ("node2", "running"),
    ]
    (mine,) = engine.containers(label="com.docker.swarm.service.name=s_web")
    assert mine.running


def test_scaling_to_none_ends_every_task_but_one_out_of_reach_is_not_heard_of() -> None:
    engine = swarm()
    engine.swarm.put_service("s_web", NewContainer("web:1"), replicas=2)
    engine.swarm.put_node("node2", role="worker", state="down")
    engine.service_update(engine.service("s_web"), replicas=0)
    assert [(task.state, task.desired) for task in engine.tasks("s_web")] == [
        ("shutdown", "shutdown"),
        ("running", "shutdown"),
    ]


def test_an_update_from_an_old_version_is_refused_and_a_forced_one_makes_tasks_anew() -> None:
    engine = swarm()
    engine.swarm.put_service("s_web", NewContainer("web:1"))
    before = engine.service("s_web")
    engine.service_update(before, force=True)
    assert [task.desired for task in engine.tasks("s_web")] == ["shutdown", "running"]
    with pytest.raises(Refused, match="out of sequence"):
        engine.service_update(before, force=True)


def test_an_update_whose_tasks_fail_is_paused() -> None:
    def ends(_: Process) -> None:
        raise Exit(1)

    engine = swarm()
    engine.docker.put_image("web:2", Program(main=ends))
    engine.swarm.put_service("s_web", NewContainer("web:1"))
    engine.swarm.put_service("s_web", NewContainer("web:2"))
    assert engine.service("s_web").update == "paused"
    assert [task.state for task in engine.tasks("s_web")] == ["shutdown", "failed", "failed", "failed"]


def test_without_a_leader_nobody_knows_and_a_worker_says_no() -> None:
    engine = swarm()
    engine.swarm.leader = False
    with pytest.raises(Unavailable, match="does not have a leader"):
        engine.services()
    engine.swarm.here = "node2"
    with pytest.raises(Refused, match="not a swarm manager"):
        engine.services()


def test_a_secret_in_use_is_not_removed() -> None:
    engine = swarm()
    engine.create_secret("key-1", b"x")
    engine.swarm.put_service("s_web", NewContainer("web:1", labels={"secret": "key-1"}))
    with pytest.raises(Refused, match="in use"):
        engine.remove_secret("key-1")
