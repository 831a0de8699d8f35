"""Panels: the pictures of one segment and of each place on it, for all maps of that segment side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from volumen.evaluation import pictures
from volumen.evaluation.counts import INK
from volumen.recipes.scopes import scored_pixels
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.recipes.reporting.exhibit import Exhibit
    from volumen.recipes.reporting.places import Place
    from volumen.recipes.scopes import Where
    from volumen.sources.segment import Segment

_OVERVIEW = 1000  # px, longer side
_FRAME = (250, 205, 90)
_TINT = 0.8
_HALF = 127
_BAND_PIXELS = 4_000_000

Read = Callable[[Window], NDArray[Any]]
"""Reads the YX box of a window: values in 0…255, or bool."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A picture and what is written under it."""

    title: str
    image: bytes
    kind: str = "square"


def draw_place(exhibits: Sequence[Exhibit], place: Place) -> list[list[Panel]]:
    """Draw a place: papyrus and label, for each map its probabilities and its agreement, and a section of all.

    Parameters
    ----------
    exhibits
        Maps of one segment.
    place
        A place on it.

    Returns
    -------
    list of rows
        Of one map everything in one row; of several, what is alike in a row, a column each; then the section.
    """
    segment, window = exhibits[0].segment, place.window
    middle = exhibits[0].ink_map.layer(segment)
    surface = pictures.stretch(segment.read(window.layers(middle, middle + 1))[0])
    ink = segment.ink.read(window) if segment.ink is not None else None
    papyrus = Panel(title=f"papyrus, layer {middle}", image=pictures.png(surface))
    maps, agreements = [], []
    for exhibit in exhibits:
        levels = exhibit.ink_map.levels(window)
        suffix = f", {exhibit.name}" if len(exhibits) > 1 else ""
        maps.append(Panel(title=f"ink map{suffix}", image=pictures.png(levels)))
        if ink is not None:
            scored = scored_pixels(segment, exhibit.ink_map, window)
            agreed = pictures.agreement(surface, ink > INK, levels / 255.0 >= exhibit.threshold, scored)
            agreements.append(Panel(title=f"agreement{suffix}", image=pictures.png(agreed)))
    section = _section(exhibits, window, ink)
    if ink is None:
        return [[papyrus, *maps], [section]]
    label = Panel(title="label", image=pictures.png(np.rint(ink * 255).astype(np.uint8)))
    if len(exhibits) == 1:
        return [[papyrus, label, *maps, *agreements], [section]]
    return [[papyrus, *maps], [label, *agreements], [section]]


def draw_overviews(exhibits: Sequence[Exhibit], places: Sequence[Place], held_out: Where | None) -> list[Panel]:
    """Draw the whole label and whole maps of one segment, made small, with numbered boxes where the places are."""
    segment = exhibits[0].segment
    factor = max(1, -(-max(segment.shape[1:]) // _OVERVIEW))
    sources: list[tuple[str, Read]] = []
    if segment.ink is not None:
        ink = segment.ink
        sources.append(("label", lambda window: ink.read(window) * np.float32(255)))
    for exhibit in exhibits:
        name = f"ink map, {exhibit.name}" if len(exhibits) > 1 else "ink map"
        sources.append((name, exhibit.ink_map.levels))
    tint = _shrink(segment.shape, factor, held_out) > _HALF if held_out is not None else None
    panels = []
    for name, read in sources:
        picture = np.repeat(_shrink(segment.shape, factor, read)[..., None], 3, axis=-1)
        if tint is not None:
            picture[tint] = np.clip(picture[tint] * _TINT + (0, 12, 48), 0, 255).astype(np.uint8)
        for number, place in enumerate(places, start=1):
            y0, y1, x0, x1 = (edge // factor for edge in place.window.box)
            pictures.frame(picture, (y0, y1, x0, x1), _FRAME, str(number))
        scale = "" if factor == 1 else f", 1 : {factor}"
        panels.append(Panel(title=f"{name}{scale}", image=pictures.png(picture), kind="overview"))
    return panels


def _section(exhibits: Sequence[Exhibit], window: Window, ink: NDArray[np.float32] | None) -> Panel:
    """Cut through the layers along the row with most ink, or through the middle."""
    segment = exhibits[0].segment
    row = window.shape[1] // 2 if ink is None or not (ink > INK).any() else int((ink > INK).sum(axis=1).argmax())
    y = window.y[0] + row
    line = Window((0, segment.depth), (y, y + 1), window.x)
    maps = [exhibit.ink_map.levels(line)[0] for exhibit in exhibits]
    voxels, marked = segment.read(line)[:, 0], exhibits[0].ink_map.layer(segment)
    drawn = pictures.section(voxels, [] if ink is None else ink[row], maps, surface=marked)
    beneath = " and ".join((["label (blue)"] if ink is not None else []) + [f"map{'s' * (len(maps) > 1)} (orange)"])
    title = f"section at y = {y}: layers 0–{segment.depth - 1} from the top, {marked} marked; below, {beneath} along it"
    return Panel(title=title, image=pictures.png(drawn), kind="wide")


def _shrink(shape: tuple[int, int, int], factor: int, read: Read) -> NDArray[np.uint8]:
    """Return the mean of every ``factor`` × ``factor`` pixels, read in bands; the rest at the edges is cut."""
    down, across = shape[1] // factor, shape[2] // factor
    small = np.zeros((down, across), np.uint8)
    rows = max(1, _BAND_PIXELS // (shape[2] * factor))
    for first in range(0, down, rows):
        last = min(down, first + rows)
        values = read(Window((0, 1), (first * factor, last * factor), (0, across * factor)))
        if values.dtype == np.bool_:
            values = values * np.uint8(255)
        means = values.reshape(last - first, factor, across, factor).mean(axis=(1, 3))  # (Y f) (X f) -> Y X
        small[first:last] = np.rint(means)
    return small


def reads_alike(first: Segment, second: Segment) -> bool:
    """Whether two segments are the same data read the same way, so that their maps can stand side by side."""
    same = (first.source, first.name, first.reverse) == (second.source, second.name, second.reverse)
    return same and first.shape == second.shape
