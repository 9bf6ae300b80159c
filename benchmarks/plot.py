"""scaling.svg: time against hosts. The same figures make the same file, byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.series import Measure, Series

FILE = Path(__file__).with_name("scaling.svg")
_OURS, _FLOOR, _PEER, _QUIET = "#1b7f79", "#8a8f98", "#c2502e", "#4a4f57"


def draw(simulated: Sequence[Series], real: Sequence[Series]) -> None:
    """Ensure the picture shows these series: simulated hosts on the left, real ones of each side on the right."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    settings = {
        "svg.hashsalt": "open-webui-stack",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": _QUIET,
        "axes.titlesize": 12,
        "axes.titlelocation": "left",
        "axes.titlepad": 14,
    }
    with matplotlib.rc_context(settings):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained", width_ratios=(1, 1))
        figure.get_layout_engine().set(wspace=0.08)
        left.set_title("Simulated hosts (50 ms a command), no change")
        _line(left, simulated, "wall_s", "wall time", _OURS)
        _line(left, simulated, "cpu_s", "CPU time", _OURS, dashed=True)
        _proportional(left, simulated)
        right.set_title("Real hosts, no change, verified")
        right.text(0.99, 0.03, "floor: pyinfra exec -- true", transform=right.transAxes, ha="right", color=_QUIET)
        for side, colour in (("Ansible", _PEER), ("ours", _OURS), ("floor", _FLOOR)):
            _line(right, [one for one in real if one.side == side], "wall_s", side, colour)
        # Ours and the floor are close to each other and both far from Ansible: on this scale a factor is a distance.
        right.set_yscale("log")
        for axes, found in ((left, simulated), (right, real)):
            hosts = sorted({one.hosts for one in found})
            axes.set_xticks(hosts, [str(count) for count in hosts])
            axes.set_xlim(0, max(hosts, default=1) * 1.4)
            axes.set_xlabel("hosts", color=_QUIET)
            axes.set_ylabel("seconds", color=_QUIET)
            axes.tick_params(colors=_QUIET)
            axes.grid(axis="y", color="#e3e5e1", linewidth=0.8)
            axes.set_axisbelow(True)
        left.set_ylim(bottom=0)
        right.set_ylim(0.2, 200)
        right.set_yticks(
            [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200], ["0.2", "0.5", "1", "2", "5", "10", "20", "50", "100", "200"]
        )
        right.minorticks_off()
        figure.savefig(FILE, metadata={"Date": None, "Creator": None}, facecolor="white")
        pyplot.close(figure)


def _line(
    axes: Any, found: Sequence[Series], measure: Measure, label: str, colour: str, *, dashed: bool = False
) -> None:
    """Medians joined, with bars from the smallest to the largest run, named at the line's end."""
    found = sorted(found, key=lambda one: one.hosts)
    if not found:
        return
    spreads = [one.spread(measure) for one in found]
    hosts = [one.hosts for one in found]
    medians = [spread.median for spread in spreads]
    errors = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
    axes.errorbar(
        hosts,
        medians,
        yerr=errors,
        color=colour,
        linestyle="--" if dashed else "-",
        linewidth=2,
        marker="o",
        markersize=5,
        capsize=3,
        elinewidth=1,
    )
    axes.annotate(
        f"{label} {medians[-1]:.3g} s",
        (hosts[-1], medians[-1]),
        xytext=(9, 0),
        textcoords="offset points",
        va="center",
        color=colour,
        fontweight="bold",
    )


def _proportional(axes: Any, found: Sequence[Series]) -> None:
    """What wall time would be if each host took what it takes among the fewest: the bound of "linear"."""
    if not found:
        return
    ordered = sorted(found, key=lambda one: one.hosts)
    first, last = ordered[0], ordered[-1]
    each = first.spread("wall_s").median / first.hosts
    axes.plot([0, last.hosts], [0, each * last.hosts], color=_FLOOR, linewidth=1, linestyle=":")
    axes.annotate(
        f"proportional to {first.hosts} hosts",
        (last.hosts * 0.75, each * last.hosts * 0.75),
        xytext=(-8, 4),
        textcoords="offset points",
        ha="right",
        color=_FLOOR,
    )
