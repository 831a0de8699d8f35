"""Bars: a number of several things side by side, each with its range, as PNG bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.evaluation.figures import LIGHT, Level, Theme, canvas, legend, to_png

if TYPE_CHECKING:
    from collections.abc import Sequence

_INCHES_PER_NAME = 0.3
_INCHES_PER_LINE = 0.2  # of a name of several lines, beyond the first
_LEAST_INCHES = 2.0
_THICKNESS = 0.8  # of all bars of one name, of the room that it has


@dataclass(frozen=True, kw_only=True)
class Bars:
    """One kind of bar: a value, and how far its range reaches to either side, for each name; NaN draws none."""

    name: str
    values: Sequence[float]
    reach: Sequence[float]
    series: int = 0


def plot_bars(
    names: Sequence[str],
    kinds: Sequence[Bars],
    *,
    title: str,
    x_label: str,
    levels: Sequence[Level] = (),
    theme: Theme = LIGHT,
) -> bytes:
    """Draw horizontal bars, the first name at the top, and levels to hold them against.

    Parameters
    ----------
    names
        Of what is compared; long ones in several lines.
    kinds
        As many values each as there are names.

    Examples
    --------
    >>> bars = Bars(name="whole", values=[0.2, 0.3], reach=[0.1, 0.05])
    >>> plot_bars(["random", "learned"], [bars], title="Found alike", x_label="overlap")[1:4]
    b'PNG'
    """
    figure, axes = canvas(title, theme)
    more = sum(name.count("\n") for name in names)
    figure.set_size_inches(4.0, max(_LEAST_INCHES, 1.0 + _INCHES_PER_NAME * len(names) + _INCHES_PER_LINE * more))
    places, each = np.arange(len(names)), _THICKNESS / len(kinds)
    for number, kind in enumerate(kinds):
        at = places + (number - (len(kinds) - 1) / 2) * each
        colour = theme.series[kind.series % len(theme.series)]
        values, reach = np.asarray(kind.values, dtype=float), np.asarray(kind.reach, dtype=float)
        axes.barh(at, values, height=0.9 * each, color=colour, label=kind.name, alpha=0.85)
        axes.errorbar(values, at, xerr=reach, fmt="none", ecolor=theme.text, elinewidth=0.9, capsize=2)
    for level in levels:
        colour = theme.series[level.series % len(theme.series)]
        axes.axvline(level.y, color=colour, label=level.name, linestyle=(0, (1, 1.5)), linewidth=1.4)
    axes.set_yticks(places, list(names))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)
    axes.set_xlabel(x_label, color=theme.text)
    if len(kinds) + len(levels) > 1:
        legend(axes, theme)
    return to_png(figure)
