"""`python -m benchmarks.run`: arguments, the lab around the cases, and the results after each of them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterable

from benchmarks import plot, report
from benchmarks.cases import CASES, Bench, Case, say
from benchmarks.lab import Lab
from benchmarks.measure import BenchmarkError
from benchmarks.results import FILE, Results, machine

_REPORT = FILE.with_name("RESULTS.md")


def main() -> int:
    """Run the cases and write what they took; 0 if all ran, 1 with the reason if one could not."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--cases", default=",".join(names), help=f"which, of {', '.join(names)} (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each side (default 5)")
    parser.add_argument("--hosts", type=int, default=8, help="most real hosts of the case no-change (default 8)")
    parser.add_argument("--keep-lab", action="store_true", help="leave the lab up afterwards")
    parser.add_argument("--write-only", action="store_true", help="run nothing; write RESULTS.md from results.json")
    arguments = parser.parse_args()
    wanted = arguments.cases.split(",")
    if unknown := set(wanted) - set(names):
        parser.error(f"--cases: expected some of {', '.join(names)}, got {', '.join(sorted(unknown))}")
    if arguments.write_only:
        write(Results.load())
        return 0
    lab = Lab(os.environ.get("LAB_NAME") or "bench")
    # A kill ends like Ctrl-C: with the labs taken down and the host's sshd as it was.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _measure(lab, [case for case in CASES if case.name in wanted], arguments.runs, arguments.hosts)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was measured before is in results.json", file=sys.stderr)
        return 130
    finally:
        if not arguments.keep_lab:
            lab.down()


def _measure(lab: Lab, cases: Iterable[Case], runs: int, hosts: int) -> int:
    """One case that fails does not cost the others; what was measured is written after each."""
    lab.up(1)
    failed = 0
    for case in sorted(cases, key=lambda case: case.many_hosts):
        try:
            found = case.run(Bench(lab, runs, hosts))
        except BenchmarkError as error:
            say(f"{case.name}: {error}")
            failed = 1
            continue
        results = Results.load()
        results.put(case.name, machine(lab), found)
        write(results)
        say(f"{case.name}: written to {_REPORT.name}")
    return failed


def write(results: Results) -> None:
    """Ensure RESULTS.md and the plot show these figures."""
    plot.draw(results.of("simulated"), results.of("no-change"))
    sections = [
        report.Section(case.name, case.method, case.targets, results.of(case.name), results.machines.get(case.name, {}))
        for case in CASES
    ]
    _REPORT.write_text(report.render(sections, plot.FILE.name))


if __name__ == "__main__":
    sys.exit(main())
