"""Draw the plots of a run from its figures: white, so that they read in light and dark docs.

Runs in an environment of its own, for matplotlib: ``python plots.py FIGURES.json FOLDER``.
"""

from __future__ import annotations

import json
import sys
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

# The same figures give the same file.
mpl.rcParams["svg.hashsalt"] = "seedance"
OURS = "seedance_async"
OUR_COLOURS = ("#c0392b", "#e67e22", "#8e44ad")
COLOURS = ("#1f4e79", "#2e86c1", "#117a65", "#58a55c", "#7f8c8d", "#b7950b", "#5d6d7e", "#34495e")


def draw(plot: dict[str, Any], folder: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained", facecolor="white")
    axes.set_facecolor("white")
    ours, others = cycle(OUR_COLOURS), cycle(COLOURS)
    for name, points in plot["series"].items():
        is_ours = name.startswith(OURS)
        if points:
            axes.plot(
                *zip(*points, strict=True),
                marker="o" if is_ours else "s",
                linewidth=2.2 if is_ours else 1.2,
                color=next(ours) if is_ours else next(others),
                label=name,
            )
    if plot["series"]:
        axes.set_xscale("log")
        sizes = sorted({x for points in plot["series"].values() for x, _ in points})
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes], minor=False)
        axes.minorticks_off()
        axes.set_ylabel(plot["y"])
        axes.set_xlabel(plot["x"])
        if plot["log_y"]:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        else:
            axes.set_ylim(bottom=0)
    if plot["bars"]:
        names = list(plot["bars"])[::-1]
        values = [plot["bars"][name] for name in names]
        colours = [OUR_COLOURS[0] if name.startswith(OURS) else COLOURS[1] for name in names]
        drawn = axes.barh(names, values, color=colours)
        axes.bar_label(drawn, fmt="%.3g", padding=3)
        axes.set_xlabel(plot["x"])
        if plot["log_y"]:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
    if plot["target"] is not None:
        mark = axes.axvline if plot["bars"] else axes.axhline
        mark(plot["target"], color="black", linestyle="--", linewidth=1, label="target")
    axes.set_title(plot["title"])
    axes.grid(visible=True, which="major", alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    figure.savefig(folder / f"{plot['file']}.svg", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    figures, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    for section in figures["sections"]:
        for plot in section["plots"]:
            draw(plot, folder)


if __name__ == "__main__":
    main()
