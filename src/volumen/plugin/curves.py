"""CurvePlot: curves that grow while one looks at them, in the colours of the window's theme."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph
from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_COLORS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#8c8cff", "#b5a100", "#7f7f7f")
"""Told apart by nearly everybody, on dark and on light ground: Okabe and Ito's, in an order of contrast."""

_HEIGHT = 150
_STEEP = 10


class _Values(pyqtgraph.AxisItem):  # type: ignore[misc]
    """An axis that writes plain numbers where it is logarithmic."""

    def logTickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """Write the decades, their doubles and their fives; more would overlap."""
        del scale, spacing
        return [f"{10**value:g}" if round(10 ** (value % 1), 1) in (1.0, 2.0, 5.0) else "" for value in values]


class CurvePlot(QWidget):
    """Named curves over a common axis, with a legend.

    Parameters
    ----------
    title
        What is drawn, above the plot.
    x_label
        What it is drawn over.
    logarithmic
        Whether the axis may be logarithmic where a peak would press the rest flat, as of losses.
    """

    def __init__(self, title: str, x_label: str, *, logarithmic: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._may_be_logarithmic = logarithmic
        self._curves: dict[str, pyqtgraph.PlotDataItem] = {}
        self._title, self._x_label = title, x_label
        self._plot = pyqtgraph.PlotWidget(background=None, axisItems={"left": _Values("left")})
        self._plot.setFixedHeight(_HEIGHT)
        self._plot.setMenuEnabled(False)
        self._plot.showGrid(x=True, y=True, alpha=0.15)
        self._legend = QLabel()
        self._legend.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._legend)
        layout.addWidget(self._plot)
        get_settings().appearance.events.theme.connect(self._paint)
        self._paint()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the curves, in the order in which they came."""
        return tuple(self._curves)

    def points(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x and y of a curve as it is drawn."""
        x, y = self._curves[name].getOriginalDataset()
        return x, y

    def set_points(
        self, name: str, x: Sequence[float] | NDArray[np.float64], y: Sequence[float] | NDArray[np.float64]
    ) -> None:
        """Draw a curve, or change one that is drawn; the axes follow, unless the person has moved them."""
        if name not in self._curves:
            color = _COLORS[len(self._curves) % len(_COLORS)]
            self._curves[name] = self._plot.plot(name=name, pen=pyqtgraph.mkPen(color, width=2), antialias=True)
            self._name()
        few = len(x) <= 2  # a line needs two points: one alone would not be seen
        self._curves[name].setSymbol("o" if few else None)
        self._curves[name].setSymbolSize(6)
        self._curves[name].setSymbolBrush(self._curves[name].opts["pen"].color())
        self._curves[name].setSymbolPen(None)
        self._curves[name].setData(x, y)
        self._scale()

    def set_x_label(self, text: str) -> None:
        """Say what the curves are drawn over."""
        if text != self._x_label:
            self._x_label = text
            self._paint()

    def keep(self, names: Sequence[str]) -> None:
        """Remove every curve but these."""
        for name in [name for name in self._curves if name not in names]:
            self._plot.removeItem(self._curves.pop(name))
        self._name()

    def clear(self) -> None:
        """Remove every curve."""
        self.keep(())

    def _scale(self) -> None:
        """Choose the axis: a loss that once was twenty times as high hides what came after."""
        if self._may_be_logarithmic:
            values = np.concatenate([self.points(name)[1] for name in self._curves])
            steep = len(values) > 0 and values.min() > 0 and values.max() > _STEEP * np.median(values)
            self._plot.setLogMode(y=bool(steep))

    def _name(self) -> None:
        """Write the title, and each curve's name behind a dash of its colour: beside the plot, where it hides none."""
        colors = {name: curve.opts["pen"].color().name() for name, curve in self._curves.items()}
        names = [
            f'<span style="white-space:nowrap"><span style="color:{color}">▬</span>&nbsp;{escape(name)}</span>'
            for name, color in colors.items()
        ]
        self._legend.setText("&nbsp;&nbsp; ".join([f"<b>{escape(self._title)}</b>", *names]))

    def _paint(self) -> None:
        """Take the colours of the theme."""
        theme = get_theme(get_settings().appearance.theme)
        text = theme.text.as_hex()
        self._plot.setLabel("bottom", self._x_label, color=text)
        for side in ("bottom", "left"):
            axis = self._plot.getAxis(side)
            axis.setPen(theme.secondary.as_hex())
            axis.setTextPen(text)
        self._name()
