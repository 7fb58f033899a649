"""Plots as SVG: described without matplotlib, which only `save` needs."""

from __future__ import annotations

import dataclasses
import logging
import math
import pathlib

# Colours that are told apart by those who see fewer of them, and on paper by their lightness.
COLOURS = ["#0b559f", "#d95f02", "#1b9e77", "#7a4fa3", "#b8860b", "#777777", "#c51b7d", "#333333"]
# For stacks, where neighbours have to differ: the kernel's parts are blue.
STACK_COLOURS = [
    "#08306b", "#2171b5", "#6baed6", "#9e9ac8", "#54278f", "#c6dbef",
    "#777777", "#d95f02", "#fdae61", "#1b9e77", "#a1d99b", "#c51b7d",
    "#333333", "#b8860b", "#fdd0a2", "#bdbdbd", "#e6e6e6",
]  # fmt: skip


@dataclasses.dataclass
class Series:
    name: str
    x: list
    y: list[float | None]


@dataclasses.dataclass
class Plot:
    """A picture: lines over numbers, or groups of bars over words."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: list[Series]
    # "lines", "points", "bars", or "stack": bars that lie, the series on top of each other.
    kind: str = "lines"
    log_x: bool = False
    log_y: bool = False
    # Bars: a line at a height that is named, such as a target.
    line: tuple[float, str] | None = None
    markers: bool = True


def save(plots: list[Plot], folder: pathlib.Path) -> set[str] | None:
    """Draws the plots that have data; gives the names of those, or None without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("SVG")
    # Text stays text, and nothing in the file depends on the time or on chance.
    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "bifrost",
            "font.family": "sans-serif",
            "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    # Fonts of the list that are not here are no news.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    drawn = set()
    folder.mkdir(parents=True, exist_ok=True)
    for plot in plots:
        if not any(value is not None for series in plot.series for value in series.y):
            continue
        _draw(plot, folder / f"{plot.name}.svg")
        drawn.add(plot.name)
    return drawn


def _draw(plot: Plot, path: pathlib.Path) -> None:
    from matplotlib import pyplot, ticker

    size = (9, 4.4) if plot.kind == "stack" or len(plot.series[0].x) > 5 else (7.5, 3.8)
    figure, axes = pyplot.subplots(figsize=size, facecolor="white", layout="constrained")
    axes.set_facecolor("white")
    axes.set_title(plot.title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    if plot.kind == "bars":
        _bars(axes, plot)
    elif plot.kind == "stack":
        _stack(axes, plot)
    else:
        _lines(axes, plot)
    if len(plot.series) > 1 or plot.line:
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    if plot.log_y:
        _logarithmic(axes, plot)
    elif plot.kind != "stack":
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(_plain))
    # No date and no version: a run that finds the same draws the same.
    figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def _logarithmic(axes, plot: Plot) -> None:
    """Marks at 1, 2 and 5 of each power of ten, as plain numbers. The axis begins at a power of
    ten, so that bars of one picture can be compared with those of the next."""
    from matplotlib import ticker

    values = [value for series in plot.series for value in series.y if value]
    axes.set_yscale("log")
    if values:
        axes.set_ylim(bottom=10 ** math.floor(math.log10(min(values))))
    wide = values and max(values) / min(values) > 2_000
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(_plain))
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def _plain(value: float, _=None) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:g}"


def _lines(axes, plot: Plot) -> None:
    from matplotlib import ticker

    if plot.log_x:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(_plain))
    for colour, series in zip(COLOURS, plot.series):
        points = [(x, y) for x, y in zip(series.x, series.y) if y is not None]
        axes.plot(
            [x for x, _ in points], [y for _, y in points], label=series.name, color=colour,
            marker="o" if plot.markers else None, markersize=4,
            linewidth=0 if plot.kind == "points" else 1.6,
        )  # fmt: skip


def _bars(axes, plot: Plot) -> None:
    names = plot.series[0].x
    width = 0.8 / len(plot.series)
    for index, (colour, series) in enumerate(zip(COLOURS, plot.series)):
        places = [at - 0.4 + width * (index + 0.5) for at in range(len(names))]
        heights = [0 if value is None else value for value in series.y]
        axes.bar(places, heights, width * 0.92, label=series.name, color=colour)
    axes.set_xticks(range(len(names)), names, fontsize=8.5)
    if len(plot.series) == 1:
        axes.bar_label(axes.containers[0], fmt="{:,.0f}", padding=2, fontsize=9)
    if plot.line:
        height, name = plot.line
        axes.axhline(height, color="#333333", linewidth=1, linestyle="--", label=name)


def _stack(axes, plot: Plot) -> None:
    """Bars with the series on top of each other, lying down: names may be long."""
    names = plot.series[0].x
    left = [0.0] * len(names)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    for colour, series in zip(STACK_COLOURS, plot.series):
        widths = [value or 0 for value in series.y]
        axes.barh(range(len(names)), widths, 0.7, left=left, label=series.name, color=colour)
        left = [a + b for a, b in zip(left, widths)]
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.invert_yaxis()
