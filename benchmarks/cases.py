"""The cases: what is run, on which hosts, interleaved how, and what has to be reached."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import idle, ours, peer, sessions, simulation
from benchmarks.delay import forwarded
from benchmarks.lab import Lab
from benchmarks.measure import BenchmarkError, Sample, run
from benchmarks.series import Series, Side, Target

OURS, FLOOR, ANSIBLE, KEPT, BY_HAND = "ours", "floor", "Ansible", "Ansible, connection kept", "by hand"

_ROUND_TRIP_S = 0.050
_COMPOSE = "/opt/open-webui/compose.yaml"


@dataclass
class Bench:
    """The lab under the cases and how often each is run."""

    lab: Lab
    runs: int
    most_hosts: int

    def prepare(self, hosts: int) -> list[str]:
        """Ensure so many hosts have the stack, and that both sides agree it is complete: the proof of the same job.

        Raises `BenchmarkError` when one finds something to change after the other.
        """
        if len(self.lab.hosts) < hosts:
            self.lab.up(hosts)
        names = self.lab.hosts[:hosts]
        say(f"deploying to {hosts} host(s), and checking that both sides agree on them")
        ours.deploy(self.lab, names)
        peer.adopt_files(self.lab, names[0])
        unchanged("Ansible after deploy.py", peer.play(self.lab, names))
        unchanged("deploy.py after Ansible", ours.deploy(self.lab, names))
        return names


@dataclass(frozen=True)
class Case:
    """One case: `run` measures it, `method` says how in a sentence or two.

    One with `many_hosts` goes last: its hosts stay, and their health checks take a part of the cores.
    """

    name: str
    method: str
    run: Callable[[Bench], list[Series]]
    targets: tuple[Target, ...]
    many_hosts: bool = False


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def unchanged(what: str, result: tuple[Sample, int]) -> Sample:
    """The sample of a run that changed nothing. Raises `BenchmarkError` for one that did."""
    sample, changes = result
    if changes:
        raise BenchmarkError(f"{what}: expected nothing to change, got {changes} changes; it is not the same job")
    return sample


def changed(what: str, result: tuple[Sample, int]) -> Sample:
    """The sample of a run that changed something. Raises `BenchmarkError` for one that did not."""
    sample, changes = result
    if not changes:
        raise BenchmarkError(f"{what}: expected a change, got none; it did not do its job")
    return sample


def interleaved(case: str, hosts: int, sides: Mapping[str, Callable[[], Sample]], runs: int) -> list[Series]:
    """Run the sides in turn, A B C A B C, so that what disturbs the machine disturbs all of them.

    One more round goes first and is not counted: it fills caches (byte code, the kernel's).
    """
    samples: dict[str, list[Sample]] = {side: [] for side in sides}
    for number in range(runs + 1):
        for side, measured in sides.items():
            sample = measured()
            say(f"{case}, {hosts} host(s), run {number or 'warm-up'}: {side} {sample.wall_s:.2f} s")
            if number:
                samples[side].append(sample)
    return [series(case, side, hosts, found) for side, found in samples.items()]


def series(case: str, side: str, hosts: int, samples: Sequence[Sample]) -> Series:
    """Samples as a series."""
    values = {
        "wall_s": [round(sample.wall_s, 3) for sample in samples],
        "cpu_s": [round(sample.cpu_s, 3) for sample in samples],
        "peak_mb": [round(sample.peak_mb, 1) for sample in samples],
    }
    return Series(case, side, hosts, values)


# --- The cases ------------------------------------------------------------------------------------------


def _no_change(bench: Bench) -> list[Series]:
    counts = [count for count in (1, 2, 4, 8) if count <= bench.most_hosts]
    return [one for count in counts for one in _no_change_on(bench, bench.prepare(count))]


def _no_change_on(bench: Bench, hosts: list[str]) -> list[Series]:
    lab = bench.lab
    with peer.kept_connections() as connections:
        sides: dict[str, Callable[[], Sample]] = {
            OURS: lambda: unchanged("deploy.py", ours.deploy(lab, hosts)),
            FLOOR: lambda: ours.floor(lab, hosts),
            ANSIBLE: lambda: unchanged("Ansible", peer.play(lab, hosts)),
        }
        if len(hosts) == 1:
            sides[KEPT] = lambda: unchanged("Ansible", peer.play(lab, hosts, connections=connections))
        return interleaved("no-change", len(hosts), sides, bench.runs)


def _commands(bench: Bench) -> list[Series]:
    lab = bench.lab
    hosts = bench.prepare(1)
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: unchanged("deploy.py", ours.deploy(lab, hosts)),
        FLOOR: lambda: ours.floor(lab, hosts),
        ANSIBLE: lambda: unchanged("Ansible", peer.play(lab, hosts)),
    }
    found = []
    for side, act in sides.items():
        with sessions.counted(lab, hosts[0]) as count:
            act()
        say(f"commands: {side} {count.commands} commands, {count.forwards} forwards")
        values: dict[str, list[float]] = {
            "commands": [count.commands],
            "forwards": [count.forwards],
            "connections": [count.connections],
        }
        found.append(Series("commands", side, 1, values))
    return found


def _one_variable(bench: Bench) -> list[Series]:
    """How long logins last is the variable: a new value each time, so that open-webui is recreated each time."""
    lab = bench.lab
    hosts = bench.prepare(1)
    hours = itertools.count(100)

    def recreated(act: Callable[[str], Sample]) -> Callable[[], Sample]:
        def measured() -> Sample:
            value = f"{next(hours)}h"
            before = _container(lab, hosts[0])
            sample = act(value)
            after = _container(lab, hosts[0])
            if before == after or f"JWT_EXPIRES_IN={value}" not in after:
                raise BenchmarkError(f"one variable: expected a new container with {value}, got {after}")
            return sample

        return measured

    def by_hand(value: str) -> Sample:
        edit = f"""sed -i 's/JWT_EXPIRES_IN: ".*"/JWT_EXPIRES_IN: "{value}"/' {_COMPOSE}"""
        up = f"docker compose --project-directory /opt/open-webui --file {_COMPOSE} up --detach --wait"
        sample, _ = run(lab.ssh_command(hosts[0], f'sudo sh -c "{_escaped(edit)} && {up}"'))
        return sample

    sides = {
        OURS: recreated(lambda it: changed("deploy.py", ours.deploy(lab, hosts, {"open_webui_jwt_expires_in": it}))),
        BY_HAND: recreated(by_hand),
        ANSIBLE: recreated(lambda it: changed("Ansible", peer.play(lab, hosts, {"jwt_expires_in": it}))),
    }
    return interleaved("one-variable", 1, sides, bench.runs)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _container(lab: Lab, host: str) -> str:
    template = "{{.Id}} {{range .Config.Env}}{{.}} {{end}}"
    output = lab.ssh(host, f"sudo docker inspect --format '{template}' open-webui")
    return " ".join(word for word in output.split() if "=" not in word or word.startswith("JWT_EXPIRES_IN="))


def _fresh(bench: Bench) -> list[Series]:
    """A lab of its own, made anew for every run: nothing was ever installed on its host."""
    bench.prepare(1)
    lab = Lab(f"{bench.lab.name}-fresh")
    sides: dict[str, Callable[[list[str]], tuple[Sample, int]]] = {
        OURS: lambda hosts: ours.deploy(lab, hosts),
        ANSIBLE: lambda hosts: peer.play(lab, hosts),
    }
    samples: dict[str, list[Sample]] = {side: [] for side in sides}
    try:
        for number in range(1, bench.runs + 1):
            for side, act in sides.items():
                lab.down()
                lab.up(1)
                os.sync()  # else a run waits for what the lab before it has written: 1.5 GB
                sample = changed(side, act(lab.hosts))
                say(f"fresh, run {number}: {side} {sample.wall_s:.1f} s")
                samples[side].append(sample)
                if number == 1:
                    other = next(name for name in sides if name != side)
                    unchanged(f"{other} after {side} on a fresh host", sides[other](lab.hosts))
    finally:
        lab.down()
    return [series("fresh", side, 1, found) for side, found in samples.items()]


def _latency(bench: Bench) -> list[Series]:
    lab = bench.lab
    hosts = bench.prepare(1)
    host = lab.inventory["hosts"][0]
    with forwarded([host["ssh_port"], host["http_port"]], _ROUND_TRIP_S) as (ssh_port, http_port):
        known_hosts = peer.WORK / "known_hosts"
        key = lab.known_hosts_line(host["ssh_port"])
        known_hosts.write_text(key.replace(f":{host['ssh_port']} ", f":{ssh_port} "))
        data = {
            "ssh_port": str(ssh_port),
            "ssh_known_hosts_file": str(known_hosts),
            "verify_url": f"http://127.0.0.1:{http_port}",
        }
        variables = {
            "ansible_port": ssh_port,
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={known_hosts} -o IdentitiesOnly=yes",
            "http_port": http_port,
        }
        sides: dict[str, Callable[[], Sample]] = {
            OURS: lambda: unchanged("deploy.py", ours.deploy(lab, hosts, data)),
            FLOOR: lambda: ours.floor(lab, hosts, data),
            ANSIBLE: lambda: unchanged("Ansible", peer.play(lab, hosts, variables)),
        }
        return interleaved("latency", 1, sides, bench.runs)


def _simulated(bench: Bench) -> list[Series]:
    lab = bench.lab
    hosts = bench.prepare(1)
    samples: dict[int, list[Sample]] = {count: [] for count in simulation.HOSTS}
    with simulation.recorded(lab, hosts[0]) as simulated:
        for number, count in itertools.product(range(1, bench.runs + 1), simulation.HOSTS):
            sample = unchanged("deploy.py on simulated hosts", simulated.deploy(count))
            say(
                f"simulated, {count} hosts, run {number}: {sample.wall_s:.1f} s, {sample.cpu_s:.1f} s CPU, "
                f"{sample.peak_mb:.0f} MB"
            )
            samples[count].append(sample)
    return [series("simulated", OURS, count, found) for count, found in samples.items()]


def _idle(bench: Bench) -> list[Series]:
    """A lab of its own: the hosts of the others are not at rest."""
    lab = Lab(f"{bench.lab.name}-idle")
    found: dict[str, list[float]] = {}
    try:
        sides = idle.prepare(lab)
        for number in range(1, bench.runs + 1):
            for side, percent in idle.measured(sides).items():
                say(f"idle, window {number}: {side} {percent:.2f} % of a core")
                found.setdefault(side, []).append(round(percent, 3))
    finally:
        lab.down()
    return [Series("idle", side, 1, {"core_percent": values}) for side, values in found.items()]


CASES = (
    Case(
        "no-change",
        'Everything is as wanted; verify runs in full, at level "wiring". The floor is '
        "`pyinfra -y INVENTORY exec -- true` on the same hosts: start, connect, one command.",
        _no_change,
        (
            Target("no change, 1 host", Side(OURS), 1.7, Side(FLOOR)),
            Target("no change, 1 host", Side(OURS), 1 / 10, Side(ANSIBLE)),
            Target("no change, 8 hosts", Side(OURS, 8), 3, Side(FLOOR, 8)),
            Target("no change, 8 hosts", Side(OURS, 8), 1 / 12, Side(ANSIBLE, 8)),
        ),
        many_hosts=True,
    ),
    Case(
        "commands",
        "Counted by the host's sshd (LogLevel DEBUG1), for one run each. A forward is a connection to Valkey through "
        "the same SSH connection, no command.",
        _commands,
        (Target("remote commands per host, no change", Side(OURS), 4, measure="commands"),),
    ),
    Case(
        "one-variable",
        "How long logins last gets a new value, so open-webui is recreated; until it is healthy and verified. By hand "
        "is `sed` on compose.yaml and `docker compose up --detach --wait` over ssh.",
        _one_variable,
        (Target("one changed variable, 1 host", Side(OURS), 1.0, Side(BY_HAND), relation="difference"),),
    ),
    Case(
        "fresh",
        "A host nothing was ever installed on, a new one for each run; packages from Debian's mirror, images from the "
        "lab's registry.",
        _fresh,
        (Target("fresh host", Side(OURS), 0.8, Side(ANSIBLE)),),
    ),
    Case(
        "latency",
        "As no change, 1 host, with a forwarder between this machine and the host that adds 25 ms in each direction to "
        "SSH and HTTP (benchmarks/delay.py; not every kernel has netem).",
        _latency,
        (Target("50 ms round trip, no change, 1 host", Side(OURS), 1 / 10, Side(ANSIBLE)),),
    ),
    Case(
        "idle",
        idle.METHOD,
        _idle,
        (
            Target("idle, two containers", Side(OURS), 3, measure="core_percent"),
            Target("idle, with Postgres and proxy", Side("ours, Postgres and proxy"), 6, measure="core_percent"),
            Target("idle, two containers", Side(OURS), 1, Side(BY_HAND), measure="core_percent"),
        ),
    ),
    Case(
        "simulated",
        simulation.METHOD,
        _simulated,
        (
            Target("500 simulated hosts to 50, wall time", Side(OURS, 500), 10, Side(OURS, 50)),
            Target("500 simulated hosts to 50, CPU time", Side(OURS, 500), 10, Side(OURS, 50), measure="cpu_s"),
            Target("500 simulated hosts, wall time", Side(OURS, 500), 30),
            Target("500 simulated hosts, peak memory", Side(OURS, 500), 300, measure="peak_mb"),
        ),
    ),
)
