"""Draw the pictures of the pages that explain: ``python docs/make_drawings.py``; they go to ``docs/images``.

What is drawn is computed by the code that the pages explain: masks, splits of a phantom, and weights of tiles.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from volumen import open_segment, result, settings
from volumen.crops.split import split_segment
from volumen.prediction.weights import ramp
from volumen.sources.synthetic.phantom import make_phantom
from volumen.views.masking import draw_visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from volumen.windows import Window

IMAGES = Path(__file__).parent / "images"
HIDDEN, SHOWN, LEARNED, HELD_OUT = "#d8d4cc", "#3b6ea5", "#3b6ea5", "#d9822b"


def main() -> None:
    """Draw all of them."""
    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    for name, draw in {"packed": draw_packed, "split": draw_split, "blending": draw_blending}.items():
        figure = draw()
        figure.savefig(IMAGES / f"{name}.png", dpi=110, bbox_inches="tight", metadata={"Software": None})
        plt.close(figure)


def draw_packed() -> Any:
    """Draw a mask of patches, the visible ones side by side, and the rim that one of them fetches."""
    grid = (4, 6)
    visible = draw_visible(1, grid, generator=torch.Generator().manual_seed(5))[0].numpy()
    places = np.argwhere(visible)
    figure, (whole, packed, wide) = plt.subplots(1, 3, figsize=(10, 2.6), width_ratios=(6, 5, 3.2))
    numbers = {tuple(place): number for number, place in enumerate(places)}
    for y, x in np.ndindex(grid):
        _patch(whole, x, y, numbers.get((y, x)))
    _frame(whole, grid[1], grid[0], "an image: 60 % of its patches are hidden")
    columns = -(-len(places) // 2)
    for number in range(len(places)):
        _patch(packed, 1.15 * (number % columns), 1.2 * (number // columns), number)
    _frame(packed, 1.15 * columns, 2.4, "the batch that is computed")
    y, x = max(numbers, key=lambda at: sum(_near(at, other) for other in numbers))
    for dy, dx in np.ndindex(3, 3):
        number = numbers.get((y + dy - 1, x + dx - 1))
        left, width = ((0, 0.25), (0.25, 1), (1.25, 0.25))[dx]
        top, height = ((0, 0.25), (0.25, 1), (1.25, 0.25))[dy]
        colour = HIDDEN if number is None else SHOWN
        rim = (dy, dx) != (1, 1)
        wide.add_patch(Rectangle((left, top), width, height, fc=colour, ec="white", alpha=0.6 if rim else 1))
    wide.text(0.75, 0.75, str(numbers[y, x]), color="white", ha="center", va="center")
    _frame(
        wide, 1.5, 1.5, f"before a convolution, {numbers[y, x]} fetches a rim\nfrom visible neighbours; zeros elsewhere"
    )
    return figure


def draw_split() -> Any:
    """Draw what is held out of a phantom, the guard band, and the windows that are learned from."""
    size = 96
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/phantom.zarr"
        result(make_phantom(settings.Phantom(out=path, size=(768, 1152), layers=16, seed=2)))
        segment = open_segment(path)
        split = split_segment(segment, layers=8, size=size, stride=size // 2, sampling="mask", share=0.2, seed=1)
        ink = segment.raster("ink").read(segment.window)
        supervised = segment.supervised(segment.window)
    figure, axes = plt.subplots(figsize=(7, 4.4))
    axes.imshow(np.where(supervised, 1 - 0.85 * ink, 0.75), cmap="gray", vmin=0, vmax=1)
    for window in split.train:
        axes.add_patch(_box(window, fc="none", ec=LEARNED, lw=0.5, alpha=0.5))
    for window in split.held_out:
        axes.add_patch(_box(window.halo(size // 8), fc=HELD_OUT, alpha=0.2, lw=0))
        axes.add_patch(_box(window, fc=HELD_OUT, alpha=0.45, ec=HELD_OUT, lw=1))
    axes.set(
        xticks=[], yticks=[], xlabel="orange: held out, around it the guard band; blue: windows that are learned from"
    )
    return figure


def draw_blending() -> Any:
    """Draw the weights of two tiles that overlap, and the share that each has in the mean."""
    tile, overlap = 160, 64
    step = tile - overlap
    pixels = np.arange(tile + step)
    figure, panels = plt.subplots(1, 2, figsize=(9, 2.6), sharex=True)
    weights = np.zeros((2, len(pixels)))
    for number in range(2):
        weights[number, number * step : number * step + tile] = ramp(tile, overlap)
    straight = np.cbrt(weights)  # what the ramp was before it was taken to the third power
    for colour, cubed, plain, name in zip((LEARNED, HELD_OUT), weights, straight, ("left", "right"), strict=True):
        panels[0].plot(pixels, np.where(cubed > 0, cubed, np.nan), color=colour, label=f"{name} tile")
        panels[0].plot(pixels, np.where(plain > 0, plain, np.nan), color=colour, lw=0.8, ls=":")
        panels[1].plot(pixels, cubed / weights.sum(axis=0), color=colour)
        panels[1].plot(pixels, plain / straight.sum(axis=0), color=colour, lw=0.8, ls=":")
    panels[0].set(title="weight", xlabel="px")
    panels[1].set(title="share in the map", xlabel="px (solid: the cube, as it is; dotted: a straight ramp)")
    panels[0].legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 1.35))
    return figure


def _patch(axes: Axes, x: float, y: float, number: int | None) -> None:
    axes.add_patch(Rectangle((x, y), 1, 1, fc=HIDDEN if number is None else SHOWN, ec="white"))
    if number is not None:
        axes.text(x + 0.5, y + 0.5, str(number), color="white", ha="center", va="center")


def _frame(axes: Axes, width: float, height: float, title: str) -> None:
    axes.set(xlim=(-0.05, width + 0.05), ylim=(height + 0.05, -0.05), aspect="equal")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)


def _near(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) == 1


def _box(window: Window, **style: Any) -> Rectangle:
    (y0, y1), (x0, x1) = window.y, window.x
    return Rectangle((x0, y0), x1 - x0, y1 - y0, **style)


if __name__ == "__main__":
    main()
