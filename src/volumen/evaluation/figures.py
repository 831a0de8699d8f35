"""Plots of a training and of its scores: each function draws one Figure and returns it as PNG bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from volumen.evaluation.calibration import reliability
from volumen.evaluation.masks import overlap_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from volumen.evaluation.counts import LevelCounts

_SIZE = (4.0, 2.8)  # inches
_DPI = 160
_PEAKED = 5  # times the lowest value, from which on peaks flatten the rest
_LARGEST = 1e100  # that is drawn: near the largest floats the arithmetic of axes overflows
_LEGEND_LETTERS = 40  # in one line under a plot
_LEGEND_ROWS, _LEGEND_ROW = 2, 0.17  # that a plot has room for, and what one more takes, in inches


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of a plot, which has no background of its own."""

    text: str
    lines: str
    series: tuple[str, ...]


LIGHT = Theme(
    text="#3b4148",
    lines="#d9dce0",
    series=("#1f6fb4", "#c8551b", "#14855f", "#8a4fb0", "#a37a00", "#b03060", "#5d6670", "#0f8fa8"),
)
DARK = Theme(
    text="#c5cbd3",
    lines="#3a4048",
    series=("#6cb2f0", "#f0955c", "#4cc79c", "#c193e4", "#e0bb4a", "#ee7fa6", "#a9b2bd", "#58cfe4"),
)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line of a plot: ``y`` over ``x``, dashed or not; runs keep their colour by ``series``."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    series: int = 0
    dashed: bool = False
    best: float | None = None
    """Where to mark the point that was chosen, on the x axis."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A dotted horizontal line of a plot at ``y``, to hold curves against."""

    name: str
    y: float
    series: int = 0


def plot_curves(
    curves: Sequence[Curve],
    *,
    title: str,
    x_label: str = "epoch",
    levels: Sequence[Level] = (),
    from_zero: bool = False,
    theme: Theme = LIGHT,
) -> bytes:
    """Draw curves over epochs, and levels; a dot marks the best epoch. Values over 1e100 or not finite are left out.

    With ``from_zero`` the y axis begins at 0, so that nearness to it shows.

    Examples
    --------
    >>> png = plot_curves([Curve(name="first", x=[1, 2, 3], y=[0.9, 0.5, 0.4])], title="Loss")
    >>> png[1:4]
    b'PNG'
    """
    figure, axes = canvas(title, theme)
    for curve in curves:
        x, y = np.asarray(curve.x, dtype=float), _drawable(curve.y)
        colour = theme.series[curve.series % len(theme.series)]
        axes.plot(
            x,
            y,
            color=colour,
            label=curve.name,
            marker="o" if len(x) == 1 else None,  # a single epoch would be invisible as a line
            markersize=4,
            linestyle=(0, (3, 2)) if curve.dashed else "solid",
            linewidth=1.2 if curve.dashed else 1.8,
        )
        if curve.best is not None:
            chosen = x == curve.best
            axes.plot(x[chosen], y[chosen], "o", color=colour, markersize=6)
    for level in levels:
        colour = theme.series[level.series % len(theme.series)]
        height = float(_drawable(level.y))
        axes.axhline(height, color=colour, label=level.name, linestyle=(0, (1, 1.5)), linewidth=1.4)
    if from_zero:
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    axes.set_xlabel(x_label, color=theme.text)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    if len(curves) + len(levels) > 1:
        legend(axes, theme)
    return to_png(figure)


def _drawable(values: Sequence[float] | float) -> NDArray[np.float64]:
    """Return values, those left out as NaN."""
    numbers = np.asarray(values, dtype=float)
    return np.where(np.abs(numbers) <= _LARGEST, numbers, np.nan)


@dataclass(frozen=True, kw_only=True)
class Band:
    """A line of a plot with the range that its points may lie in; kinds keep their colour by ``series``."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    series: int = 0
    dashed: bool = False


def plot_bands(
    bands: Sequence[Band], *, title: str, x_label: str = "epoch", shares: bool = False, theme: Theme = LIGHT
) -> bytes:
    """Draw lines, each in a band of its own; a band that is not finite is left out.

    The y axis is logarithmic, and says so, where a few peaks would press everything else flat.

    Parameters
    ----------
    bands
        What to draw.
    title, x_label
        Words above and below.
    shares
        Whether x are shares in (0, 1], which are drawn on a logarithmic axis and marked where they are.
    theme
        Colours.

    Examples
    --------
    >>> band = Band(name="full", x=[1, 2], y=[0.5, 0.4], low=[0.4, 0.3], high=[0.6, 0.5])
    >>> plot_bands([band], title="Validation loss")[1:4]
    b'PNG'
    """
    figure, axes = canvas(title, theme)
    for band in bands:
        x, y, low, high = (np.asarray(part, dtype=float) for part in (band.x, band.y, band.low, band.high))
        colour = theme.series[band.series % len(theme.series)]
        axes.fill_between(x, low, high, color=colour, alpha=0.1 if band.dashed else 0.2, linewidth=0)
        axes.plot(
            x,
            y,
            color=colour,
            label=band.name,
            marker="o" if shares or len(x) == 1 else None,
            markersize=4,
            linestyle=(0, (3, 2)) if band.dashed else "solid",
            linewidth=1.6,
        )
    axes.set_xlabel(x_label, color=theme.text)
    if shares:
        marks = sorted({float(x) for band in bands for x in band.x})
        axes.set_xscale("log")
        axes.set_xticks(marks, [f"{100 * mark:g} %" for mark in marks])
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    drawn = np.array([y for band in bands for y in (*band.low, *band.y, *band.high)], dtype=float)
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size and 0 < _PEAKED * drawn.min() < drawn.max():
        axes.set_yscale("log")
        axes.set_ylabel("logarithmic", color=theme.text)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.yaxis.set_minor_locator(NullLocator())
    legend(axes, theme)
    return to_png(figure)


def plot_reliability(counts: LevelCounts, *, title: str, theme: Theme = LIGHT) -> bytes:
    """Draw the share of ink over the predicted probability; on the diagonal, the map means what it says."""
    figure, axes = canvas(title, theme)
    bins = reliability(counts)
    axes.plot([0, 1], [0, 1], color=theme.text, linewidth=0.9, linestyle=(0, (2, 3)), label="perfectly reliable")
    axes.plot(bins.probability, bins.ink_share, "o-", color=theme.series[0], linewidth=1.8, markersize=4, label="map")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xlabel("predicted probability", color=theme.text)
    axes.set_ylabel("share that is ink", color=theme.text)
    legend(axes, theme)
    return to_png(figure)


def plot_levels(counts: LevelCounts, *, threshold: float, title: str, theme: Theme = LIGHT) -> bytes:
    """Draw how the probabilities of ink and of background pixels spread, and where the threshold cuts them."""
    figure, axes = canvas(title, theme)
    width = counts.levels // 32
    edges = counts.probability[::width]
    for index, (name, pixels) in enumerate((("background", counts.background), ("ink", counts.ink))):
        binned = np.add.reduceat(pixels, np.arange(0, counts.levels, width))
        share = binned / max(binned.sum(), 1)
        colour = theme.series[(0, 1)[index]]
        axes.fill_between(edges, share, step="post", color=colour, alpha=0.28, linewidth=0)
        axes.step(edges, share, where="post", color=colour, linewidth=1.6, label=name)
    _mark(axes, threshold, theme)
    axes.set(xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("predicted probability", color=theme.text)
    axes.set_ylabel("of its pixels", color=theme.text)
    legend(axes, theme)
    return to_png(figure)


def plot_threshold(counts: LevelCounts, *, threshold: float, title: str, theme: Theme = LIGHT) -> bytes:
    """Draw precision, recall and F0.5 over the threshold, and the one that was chosen."""
    figure, axes = canvas(title, theme)
    cuts = np.linspace(0.0, 1.0, 101)
    scores = [overlap_scores(counts.at(float(cut))) for cut in cuts]
    for index, (name, label) in enumerate((("precision", "precision"), ("recall", "recall"), ("f05", "F0.5"))):
        values = [float(score[name]) for score in scores]
        axes.plot(cuts, values, color=theme.series[index], linewidth=1.8, label=label)
    _mark(axes, threshold, theme)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.set_xlabel("threshold", color=theme.text)
    axes.set_ylabel("score", color=theme.text)
    legend(axes, theme)
    return to_png(figure)


def canvas(title: str, theme: Theme) -> tuple[Figure, Axes]:
    """Return an empty plot with its title, in the colours of a theme."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=theme.text, fontsize=10, fontweight="bold")
    axes.patch.set_alpha(0)
    axes.grid(color=theme.lines, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.text, labelsize=8, length=0)
    axes.xaxis.label.set_fontsize(8.5)
    axes.yaxis.label.set_fontsize(8.5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(theme.text)
    return figure, axes


def _mark(axes: Axes, threshold: float, theme: Theme) -> None:
    if np.isfinite(threshold):
        axes.axvline(
            threshold, color=theme.text, linewidth=1.2, linestyle=(0, (4, 2)), label=f"chosen: {threshold:.2f}"
        )


def legend(axes: Axes, theme: Theme) -> None:
    """Name what was drawn, below the plot; the figure grows by more rows than two, so that the plot stays as high."""
    figure = cast("Figure", axes.figure)
    handles, labels = axes.get_legend_handles_labels()
    columns = min(len(labels), 4 if sum(map(len, labels)) < _LEGEND_LETTERS else 2)
    rows = math.ceil(len(labels) / max(columns, 1))
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * max(rows - _LEGEND_ROWS, 0))
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=7.5,
        labelcolor=theme.text,
        handlelength=2.6,
        columnspacing=1.2,
    )


def to_png(figure: Figure) -> bytes:
    """Return a plot as PNG."""
    out = BytesIO()
    # no metadata: the same numbers give the same bytes
    figure.savefig(out, format="png", dpi=_DPI, transparent=True, metadata={"Software": None})
    return out.getvalue()
