"""The plot of docs/fairness.md: how long those wait who ask for little, and who gets how much."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from benchmarks.fairness.cases import Case
from benchmarks.fairness.simulation import Run

COLOURS: Final = {"ours": "#1b6ca8", "strict priority": "#c1121f", "round robin": "#e09f3e"}
STYLES: Final = {"ours": "-", "strict priority": "-", "round robin": "--"}


def draw(found: Sequence[tuple[Case, Mapping[str, Sequence[Run]]]], file: Path) -> None:
    """One picture with a part for each case, the same bytes for the same figures."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fairness"
    mpl.rcParams["font.size"] = 9
    mpl.rcParams["axes.spines.top"] = mpl.rcParams["axes.spines.right"] = False
    from matplotlib import pyplot as plt  # noqa: PLC0415 - it has to know first where to draw

    shown: Any = plt
    figure, axes = shown.subplots(1, len(found), figsize=(3.1 * len(found), 3.2), layout="constrained")
    for axis, (case, by_rule) in zip(axes, found, strict=True):
        axis.set_title(case.name)
        if case.watched:
            _waiting_times(axis, {rule: case.watched(runs) for rule, runs in by_rule.items()})
        else:
            _shares(axis, case, by_rule)
    axes[0].legend(frameon=False, loc="center")
    figure.savefig(file, metadata={"Date": None})
    shown.close(figure)


def _waiting_times(axis: Any, by_rule: Mapping[str, Sequence[Run]]) -> None:
    for rule, runs in by_rule.items():
        found = sorted(max(run.waited, 0.05) for run in runs)
        share = [(place + 1) / len(found) * 100 for place in range(len(found))]
        axis.plot(found, share, STYLES[rule], color=COLOURS[rule], label=rule)
    axis.set_xscale("log")
    axis.set_xlabel("waited at most, s")
    axis.set_ylabel("% of tasks")


def _shares(axis: Any, case: Case, by_rule: Mapping[str, Sequence[Run]]) -> None:
    tenants = list(dict.fromkeys(task.tenant for task in case.tasks))
    for offset, (rule, runs) in enumerate(by_rule.items()):
        worked = [
            sum(run.worked_until(case.until) for run in runs if run.task.tenant == tenant)
            for tenant in tenants
        ]
        places = [place + (offset - 1) * 0.27 for place in range(len(tenants))]
        axis.bar(places, worked, 0.25, color=COLOURS[rule], label=rule)
    axis.set_xticks(range(len(tenants)), tenants, fontsize=7)
    axis.set_ylabel("seconds of agents")
