"""What a deploy would do to each kind of host, and that it does nothing where nothing is to be done."""

from __future__ import annotations

from typing import Any

import pytest

from tests import surveys
from tests.defaults import ROOT
from tests.plan.conftest import Pyinfra, Run, answering, converged, fresh, machine

DEBIAN_12_DISTRO = (
    "docker_source: expected a distribution with Compose v2, got Debian 12, whose packages have none; "
    "set docker_source = 'docker-ce', or upgrade the host to Debian 13"
)
STACK = [
    "Network | Create the network",
    "Stack | Make the secrets on the host",
    "Stack | Pull the images",
    "Stack | Put the compose project",
    "Stack | Bring the services up",
    "Watchdog | Put the watchdog",
    "Watchdog | Run the watchdog",
    "Monitor | Put the monitor",
    "Monitor | Run the monitor",
]


REDIS, OPEN_WEBUI = surveys.DEPLOYED["containers"]
MADE_BY_HAND = [
    {
        **REDIS,
        "labels": {**REDIS["labels"], "com.docker.compose.project.working_dir": "/root/tutorial"},
        "mounts": {**REDIS["mounts"], "/data": "tutorial_redis-data"},
    },
    OPEN_WEBUI,
]


NGINX = {"address": "0.0.0.0", "port": 3000, "program": "nginx", "pid": 812}
SHARED = """\
deb http://mirror.example.org/debian trixie main
deb https://download.docker.com/linux/debian trixie stable
"""
MANY: dict[str, Any] = {"open_webui_replicas": 3, "public_url": "https://chat.example.org"}
# One more process, of a deploy with two; and a database that somebody made by our container's name.
SECOND = {
    **OPEN_WEBUI,
    "name": "open-webui-2",
    "labels": {**OPEN_WEBUI["labels"], "com.docker.compose.service": "open-webui-2"},
}
SQUATTER = {
    **OPEN_WEBUI,
    "name": "open-webui-postgres",
    "labels": {**OPEN_WEBUI["labels"], "com.docker.compose.project.working_dir": "/root/wiki"},
}


def made_by_hand(**data: Any) -> dict[str, Any]:
    return answering(converged(**data), containers=MADE_BY_HAND)


def taken_over(document: dict[str, Any]) -> dict[str, Any]:
    """A host whose containers, made by hand, are to be taken over; `document` says what they have of their own."""
    host = made_by_hand(stack_adopt=True, valkey_volume="tutorial_redis-data")
    # Before the answer to the survey: the first that fits is given.
    responses = {" hand_made": surveys.printed(document), **host["fake_responses"]}
    return {**host, "fake_responses": responses}


@pytest.fixture(scope="module")
def planned(pyinfra: Pyinfra) -> Run:
    """One dry run over all kinds of hosts."""
    hosts = {
        "fresh": fresh(),
        "converged": converged(),
        "ubuntu": fresh("ubuntu-24.04", docker_source="distro"),
        "rhel": fresh("rhel-9"),
        "no-systemd": fresh(init="init"),
        "debian-12": fresh("debian-12", docker_source="distro"),
        "absent": fresh(docker_source="present"),
        "subnet": converged(network_subnet="198.18.5.0/24"),
        "wanting": fresh(preflight_min_memory_mb=10_000_000),
        "broken-secret": answering(
            converged(), project={"refused": "/opt/open-webui/secrets/valkey-password: expected x"}
        ),
        "port": answering(fresh(), machine=machine(listening=[NGINX])),
        "repository": answering(fresh(), engine={"apt_sources": {"/etc/apt/sources.list": SHARED}}),
        "mint": answering(
            converged(docker_source="present"),
            machine=machine(os_release={**machine()["os_release"], "ID": "linuxmint", "VERSION_ID": "99"}),
        ),
        "by-hand": made_by_hand(),
        "taken-over": taken_over(surveys.captured("compose/hand-made-26.1.5")),
        "dropping": taken_over(surveys.captured("compose/hand-made-extras-26.1.5")),
        "keeping": taken_over(
            surveys.replaced(
                surveys.captured("compose/hand-made-extras-26.1.5"),
                "containers/redis-valkey/labels",
                {"of.ours": "yes"},
            )
        ),
        "unseen": taken_over({"containers": {}}),
        "many": fresh(**MANY),
        "more": answering(converged(**MANY), history={"database": "sqlite"}),
        "switched": answering(converged(**MANY, database_switch=["@fake/switched"]), history={"database": "sqlite"}),
        "proxied": answering(converged(public_url="https://chat.example.org"), history={"database": "sqlite"}),
        "fewer": answering(converged(), containers=[*surveys.DEPLOYED["containers"], SECOND]),
        "squatted": answering(
            converged(**MANY, stack_adopt=True), containers=[*surveys.DEPLOYED["containers"], SQUATTER]
        ),
    }
    return pyinfra(hosts, "--json")


def test_plan_is_json_and_tells_by_its_status_that_hosts_would_be_refused(planned: Run) -> None:
    assert planned.status == 1
    assert all(operation["name"] and not operation["args"] for operation in planned.plan)


def test_fresh_host_gets_everything_in_this_order(planned: Run) -> None:
    assert planned.changes("fresh") == [
        "Docker | Configure Docker",
        "Docker | Make the folder for repository keys",
        "Docker | Fetch Docker's repository key",
        "Docker | Add Docker's repository",
        "Docker | Install Docker",
        "Docker | Start Docker and enable it",
        *STACK,
    ]


def test_converged_host_gets_nothing(planned: Run) -> None:
    assert planned.changes("converged") == []


def test_ubuntu_gets_its_own_packages_from_no_new_repository(planned: Run) -> None:
    assert planned.changes("ubuntu")[:3] == [
        "Docker | Configure Docker",
        "Docker | Install Docker",
        "Docker | Start Docker and enable it",
    ]


def test_rhel_gets_dockers_repository_and_no_apt_step(planned: Run) -> None:
    assert planned.changes("rhel")[:4] == [
        "Docker | Configure Docker",
        "Docker | Add Docker's repository",
        "Docker | Install Docker",
        "Docker | Start Docker and enable it",
    ]


def test_an_engine_that_is_present_is_only_checked(pyinfra: Pyinfra) -> None:
    result = pyinfra({"present": converged(docker_source="present")}, "--json")
    assert [operation["name"] for operation in result.plan if operation["name"].startswith("Docker | ")] == [
        "Docker | Check that Docker can come from there",
        "Docker | Check that Docker and Compose are new enough",
    ]
    assert result.changes("present") == []


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("debian-12", DEBIAN_12_DISTRO),
        (
            "absent",
            "docker: expected it to be installed (docker_source = 'present'), got no docker command; "
            "install it, or set docker_source = 'docker-ce'",
        ),
        (
            "subnet",
            "openwebui-network: expected network_subnet 198.18.5.0/24, got 198.19.1.0/24; it is not replaced, other "
            "containers may use it: disconnect them, `docker network rm` it and run again",
        ),
        ("broken-secret", "/opt/open-webui/secrets/valkey-password: expected x"),
        (
            "by-hand",
            "container redis-valkey: expected one made by this project, got one made by compose in /root/tutorial; "
            "set stack_adopt = True to take it over with its data (docs/how-to/adopt.md)",
        ),
        (
            "by-hand",
            "container redis-valkey: expected its data in the volume redis-data, got tutorial_redis-data; "
            "set valkey_volume = 'tutorial_redis-data' to keep using that",
        ),
        (
            "port",
            "port 3000 (open_webui_port): expected it to be free on this host, got it taken by nginx (pid 812); stop "
            "that, or choose another port",
        ),
        (
            "repository",
            "docker repository: expected it in a file of its own, got https://download.docker.com/linux/debian in "
            "/etc/apt/sources.list, line 2, among other sources; remove it there, this project adds its own file",
        ),
        (
            "wanting",
            "memory: expected 10000000 MB available, got 22486 MB; add memory or lower preflight_min_memory_mb",
        ),
    ],
)
def test_dry_run_says_where_it_would_stop(planned: Run, host: str, line: str) -> None:
    assert f"would stop here: {line}" in planned.said(host)


def test_dry_run_says_what_is_taken_over(planned: Run) -> None:
    said = planned.said("taken-over")
    assert not [line for line in said if "would stop" in line]
    assert (
        "redis: its container was made by compose in /root/tutorial; a new one takes its place, "
        "with its data in tutorial_redis-data" in said
    )
    assert "Stack | Bring the services up" in planned.changes("taken-over")


def test_a_take_over_that_would_drop_something_is_refused_by_name(planned: Run) -> None:
    lines = [line for line in planned.said("dropping") if line.startswith("would stop here: container redis-valkey:")]
    assert len(lines) == 1
    assert "expected nothing that a take-over drops, got networks tutorial_default; ports 6379/tcp; " in lines[0]


def test_a_refused_take_over_writes_the_overlay_that_keeps_what_it_can(planned: Run) -> None:
    of = ": an overlay with what that take-over would drop"
    (line,) = [line for line in planned.said("keeping") if of in line]
    file = ROOT / line.partition(":")[0]
    assert file.name == "keeping.override.yaml"
    assert '      "of.ours": "yes"' in file.read_text()
    assert not [line for name in ("taken-over", "dropping") for line in planned.said(name) if of in line]


def test_without_a_whole_answer_a_take_over_fails(planned: Run) -> None:
    """Whether something would be dropped is unknown then."""
    assert "hand_made: expected the section 'open_webui', got nothing; run it again" in " ".join(planned.said("unseen"))


def of_stack(run: Run, host: str) -> list[str]:
    """What a dry run says of the services of a host, and where it would stop."""
    return [line for line in run.said(host) if line not in ("Connected", "Ready: deploy.py")]


def test_a_fresh_host_gets_every_service_of_the_settings_by_the_same_steps(planned: Run) -> None:
    assert planned.changes("many") == planned.changes("fresh")
    assert of_stack(planned, "many") == [
        "redis: has no container",
        "postgres: has no container",
        "open-webui: has no container",
        "open-webui-2: has no container",
        "open-webui-3: has no container",
        "proxy: has no container",
    ]


def test_a_host_whose_people_are_in_another_database_is_refused_unless_it_is_named(planned: Run) -> None:
    (refusal,) = (line for line in planned.said("more") if "would stop here" in line)
    assert refusal == (
        "would stop here: database: expected the stack's own Postgres, in the volume open-webui-postgres, got people "
        "whose chats are in SQLite, in the volume open-webui; runbooks/migrate.py moves them, with "
        "database_switch = ['@fake/more'] for that run; or keep one replica and database = 'sqlite'"
    )
    assert of_stack(planned, "switched") == [
        "postgres: has no container",
        "open-webui-2: has no container",
        "open-webui-3: has no container",
        "proxy: has no container",
    ]


def test_a_proxy_joins_a_stack_on_the_database_it_has(planned: Run) -> None:
    assert planned.changes("proxied") == ["Stack | Pull the images", "Stack | Bring the services up"]
    assert of_stack(planned, "proxied") == ["proxy: has no container"]


def test_a_process_that_is_not_wanted_any_more_is_work(planned: Run) -> None:
    assert planned.changes("fewer") == ["Stack | Bring the services up"]
    assert of_stack(planned, "fewer") == ["open-webui-2: is not wanted any more"]


def test_a_database_by_our_containers_name_is_never_taken_over(planned: Run) -> None:
    assert (
        "would stop here: container open-webui-postgres: expected one made by this project, or none, got one made by "
        "compose in /root/wiki; rename it or remove it" in planned.said("squatted")
    )


def test_dry_run_says_nothing_of_the_kind_about_good_hosts(planned: Run) -> None:
    for host in ("fresh", "converged", "mint", "ubuntu", "rhel", "no-systemd", "many", "proxied", "fewer"):
        assert not [line for line in planned.said(host) if "would stop here" in line]


def test_dry_run_shows_the_plan_as_a_table(pyinfra: Pyinfra) -> None:
    result = pyinfra({"fresh": fresh(), "converged": converged()}, "--dry")
    assert result.status == 0
    rows = {line.strip().partition("  ")[0]: line for line in result.output.splitlines() if " | " in line}
    assert "1 (@fake/fresh)" in rows["Stack | Put the compose project"]
    assert "@fake/converged" not in "".join(rows.values())
    assert "Beginning operation run" not in result.output


# --- Carried out -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def carried_out(pyinfra: Pyinfra) -> Run:
    """One real run as far as it gets: an engine that is never there stops it after Docker."""
    hosts = {
        "fresh": fresh(),
        "rhel": fresh("rhel-9"),
        "no-systemd": fresh(init="init"),
        "ubuntu": fresh("ubuntu-24.04", docker_source="distro"),
        "debian-12": fresh("debian-12", docker_source="distro"),
        "small": fresh(preflight_min_disk_mb=10_000_000),
    }
    return pyinfra(hosts, "-y", "-vvv")


def commands(run: Run, host: str, *starts: str) -> list[str]:
    return [command for command in run.executed(host) if command.startswith(starts)]


def test_debian_installs_by_apt_and_starts_by_systemd(carried_out: Run) -> None:
    (install,) = [command for command in carried_out.executed("fresh") if " install " in command]
    assert "apt-get" in install
    assert install.endswith("docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin")
    assert commands(carried_out, "fresh", "systemctl start", "systemctl enable") == [
        "systemctl start docker.service",
        "systemctl enable docker.service",
    ]


def test_rhel_installs_by_dnf_alone(carried_out: Run) -> None:
    assert commands(carried_out, "rhel", "dnf install") == [
        "dnf install -y docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin"
    ]
    assert not [command for command in carried_out.executed("rhel") if "apt-get" in command]


def test_ubuntu_installs_its_own_packages(carried_out: Run) -> None:
    (install,) = [command for command in carried_out.executed("ubuntu") if " install " in command]
    assert install.endswith("docker.io docker-compose-v2")


def test_a_host_without_systemd_gets_its_init_script(carried_out: Run) -> None:
    executed = carried_out.executed("no-systemd")
    assert "/etc/init.d/docker start" in executed
    assert not [command for command in executed if "systemctl" in command]


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("debian-12", DEBIAN_12_DISTRO),
        (
            "small",
            "disk: expected 10000000 MB free under /var/lib, got 66161 MB; free some or lower preflight_min_disk_mb",
        ),
    ],
)
def test_a_refused_host_drops_out_unchanged_and_the_others_go_on(carried_out: Run, host: str, line: str) -> None:
    assert line in carried_out.said(host)
    changing = ("mkdir", "mv", "apt-get", "umask", "DEBIAN_FRONTEND", "systemctl", "called the verb")
    assert commands(carried_out, host, *changing) == []
    assert commands(carried_out, "fresh", *changing)


def test_a_run_with_a_refused_host_fails(carried_out: Run) -> None:
    assert carried_out.status == 1


def test_an_architecture_nobody_builds_for_refuses_its_host_alone(pyinfra: Pyinfra) -> None:
    result = pyinfra({"arm": fresh(architecture="armv7l"), "fresh": fresh()}, "--json")
    assert (
        "would stop here: architecture: expected x86_64 or aarch64, got armv7l; Open WebUI publishes no image for it"
        in result.said("arm")
    )
    assert result.status == 1
    assert "Docker | Install Docker" in result.changes("fresh")
