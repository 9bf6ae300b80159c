"""RESULTS.md from the figures. Pure: same figures, same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.series import Measure, Series, Spread, Target, Verdict, judge

_UNITS: dict[Measure, str] = {"wall_s": " s", "cpu_s": " s", "peak_mb": " MB", "core_percent": " %"}

_HEAD = """\
# Benchmarks

Written by `make bench` from [results.json](results.json); a change made here is lost. A figure is the median of the
runs, in brackets the smallest and the largest. Times are of the whole process, from its start to its exit.

"""

_SAME_JOB = """\
## The same job

The peer is Ansible, with [a playbook](ansible/playbook.yml) that installs the same packages, puts the very files
deploy.py put (fetched from a host), makes the secrets there once, runs `docker_compose_v2` with `wait`, and verifies as
far as Ansible's modules go: PONG, subscribers in Valkey, `/health` and `/api/config` through the published port. No
module opens a websocket, so ours does more: it opens one and waits for a small and a 1 MB event on it.

Before each case Ansible has to report `changed=0` on the hosts deploy.py made, and deploy.py "No changes" after it; of
the first fresh hosts each has to find nothing to do on the other's. A run that changes something where nothing is to be
changed, or nothing where something is, ends its case without a result.

Ansible is set up [as somebody who wants it fast would](ansible/ansible.cfg): pipelining, one connection for all tasks
(ControlPersist), all hosts at once, no facts gathered. Each run of either side opens its own connections; what Ansible
takes with the connections of the run before is shown as a side of its own. Hosts have Python before Ansible's first
run, as cloud images do. `ansible` is installed whole, in an environment of its own, because community.docker is not on
PyPI alone.

Sides take turns (A B C A B C). A first round is not counted, but for fresh hosts, where there is nothing to warm, and
for simulated ones.

CPU is user and system time of the process and its children; ssh connections that Ansible leaves behind are not in it.
Memory is that of the largest single process.

"""

_AGAIN = """\
## Again

```console
make bench                                                        # all cases: about an hour
make bench BENCH="--cases no-change,latency --runs 3 --hosts 2"   # some of them; the others keep their figures
```
"""


@dataclass(frozen=True)
class Section:
    """One case as the report shows it."""

    name: str
    method: str
    targets: Sequence[Target]
    series: Sequence[Series]
    machine: dict[str, str]


def render(sections: Sequence[Section], plot: str) -> str:
    """The page. Cases without figures are left out of it, and their targets are not reached."""
    measured = [section for section in sections if section.series]
    text = _HEAD + _verdicts(sections)
    text += f"![Time against hosts, simulated and real]({plot})\n\n" + _machines(measured) + "## Figures\n\n"
    for section in measured:
        text += f"### {section.name}\n\n{section.method}\n\n" + _figures(section.series)
    return text + _SAME_JOB + _AGAIN


def _verdicts(sections: Sequence[Section]) -> str:
    rows = [judge(target, section.series) for section in sections for target in section.targets]
    reached = sum(row.reached for row in rows)
    lines = [f"{reached} of {len(rows)} targets are reached.\n"]
    lines += ["| case | ours | beside | figure | must reach | reached |", "|---|---|---|---|---|---|"]
    lines += [_row(row) for row in rows]
    if reached < len(rows):
        lines += ["", "[profile.md](profile.md) says what the time of the others is made of."]
    return "\n".join(lines) + "\n\n"


def _row(verdict: Verdict) -> str:
    target = verdict.target
    beside = ""
    if target.to:
        name = target.to.name if target.to.name != target.of.name else f"{target.to.hosts} hosts"
        beside = f"{name} {shown(verdict.to, target.measure)}" if verdict.to else name
    seen = "not measured" if verdict.seen is None else _number(target, verdict.seen)
    limit = f"<= {_number(target, target.limit)}"
    words = "yes" if verdict.reached else "**no**"
    return f"| {target.title} | {shown(verdict.of, target.measure)} | {beside} | {seen} | {limit} | {words} |"


def _number(target: Target, value: float) -> str:
    """A ratio as 0.12x; a difference or figure with its unit. Three digits, so that 1/12 does not look like 0.1."""
    if target.to and target.relation == "ratio":
        return f"{value:.3g}x"
    sign = "+" if target.to and value >= 0 else ""
    return f"{sign}{value:.3g}{_UNITS.get(target.measure, '')}"


def shown(spread: Spread | None, measure: Measure) -> str:
    """`1.52 s [1.49-1.60]`; the figure alone when it is from one run."""
    if spread is None:
        return ""

    def number(value: float) -> str:
        return f"{value:.2f}" if measure in ("wall_s", "cpu_s", "core_percent") and value < 100 else f"{value:.0f}"

    text = number(spread.median) + _UNITS.get(measure, "")
    return text if spread.runs == 1 else f"{text} [{number(spread.low)}-{number(spread.high)}]"


def _figures(found: Sequence[Series]) -> str:
    measures: list[Measure] = ["wall_s", "cpu_s", "peak_mb", "commands", "forwards", "connections", "core_percent"]
    there = [measure for measure in measures if measure in found[0].values]
    titles = {"wall_s": "wall time", "cpu_s": "CPU time", "peak_mb": "peak memory", "core_percent": "CPU, idle"}
    head = ["side", "hosts", "runs", *(titles.get(measure, measure) for measure in there)]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for one in found:
        cells = [one.side, str(one.hosts), str(len(one.values[there[0]]))]
        cells += [shown(one.spread(measure), measure) for measure in there]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def _machines(sections: Sequence[Section]) -> str:
    """Machine and versions; once when all cases are from the same, else with the cases each is of."""
    cases: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for section in sections:
        cases.setdefault(tuple(section.machine.items()), []).append(section.name)
    text = "## Machine\n\n"
    for machine, names in cases.items():
        text += f"{', '.join(names)}:\n\n" if len(cases) > 1 else ""
        text += "| | |\n|---|---|\n" + "".join(f"| {key} | {value} |\n" for key, value in machine) + "\n"
    return text
