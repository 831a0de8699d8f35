"""Places: where on a segment a report looks; the same data give the same places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.evaluation.counts import INK
from volumen.recipes.scopes import scored_pixels
from volumen.windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.recipes.ink_map import InkMap
    from volumen.recipes.scopes import Where
    from volumen.sources.segment import Segment

_LARGEST, _SMALLEST = 512, 96
_CELLS = 4  # along a place's side: places start on multiples of a quarter of it
_MOSTLY, _WHOLLY = 0.5, 0.99


@dataclass(frozen=True, kw_only=True)
class Place:
    """A square of a segment worth looking at; ``held_out`` where the model did not learn from most of it."""

    reason: str
    window: Window
    held_out: bool


def choose_places(
    segment: Segment, ink_map: InkMap, held_out: Where | None, *, count: int, seed: int = 0
) -> tuple[Place, ...]:
    """Choose places that do not overlap, in turn: held out with most ink, most ink, most wrong, and at random.

    Parameters
    ----------
    segment
        With or without an ink label; without one, where the map sees most ink takes the place of most ink.
    ink_map
        Laid on the segment; only what was predicted is chosen.
    held_out
        Which pixels were not learned from, if known.
    count
        How many places; fewer where there is no room.
    seed
        Seed of the random places.

    Returns
    -------
    tuple of Place
        Squares of a quarter of the predicted box's shorter side, between 96 and 512 px.
    """
    box = ink_map.predicted
    side = min(max(min(box.shape[1:]) // 4, _SMALLEST), _LARGEST, min(box.shape[1:])) // _CELLS * _CELLS
    if side == 0:
        return ()
    sums = _sums(segment, ink_map, held_out, box, side // _CELLS)
    free = sums["predicted"] > _WHOLLY * side**2
    apart = _apart(sums["held_out"] / side**2)
    random = np.random.default_rng(seed).random(free.shape)
    places: list[Place] = []
    for reason, worth, allowed in _turns(sums, apart, random, side, count, has_ink=segment.ink is not None):
        candidates = np.where(free & allowed & (worth > 0), worth, -1.0)
        if len(places) == count or candidates.max(initial=-1.0) < 0:
            continue
        row, column = np.unravel_index(int(np.argmax(candidates)), candidates.shape)
        top, left = box.y[0] + int(row) * side // _CELLS, box.x[0] + int(column) * side // _CELLS
        window = Window((0, 1), (top, top + side), (left, left + side))
        places.append(Place(reason=reason, window=window, held_out=bool(apart[row, column])))
        # what shares a pixel with a chosen place is no longer free
        free[max(0, row - _CELLS + 1) : row + _CELLS, max(0, column - _CELLS + 1) : column + _CELLS] = False
    return tuple(places)


def _apart(share: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which candidates are held out: wholly where such are, else mostly, as where held-out boxes are small."""
    wholly: NDArray[np.bool_] = share > _WHOLLY
    return wholly if wholly.any() else share > _MOSTLY


def _turns(
    sums: dict[str, NDArray[np.float64]],
    apart: NDArray[np.bool_],
    random: NDArray[np.float64],
    side: int,
    count: int,
    *,
    has_ink: bool,
) -> list[tuple[str, NDArray[np.float64], NDArray[np.bool_]]]:
    """List what to choose by, best reason first: words, worth and which candidates may be chosen."""
    anywhere = np.ones_like(apart)
    trusted = sums["scored"] > _MOSTLY * side**2
    if not has_ink:
        return [("Strongest prediction", sums["called"], anywhere), ("At random", random, anywhere)] * count
    unseen = apart & trusted if apart.any() else trusted
    cycle = [
        ("Most ink", sums["ink"], (sums["held_out"] == 0) & trusted),
        ("Most disagreement", sums["wrong"], unseen),
        ("At random", random, trusted),
    ]
    if apart.any():
        cycle.insert(0, ("Most ink", sums["ink"], unseen))
    return cycle * count


def _sums(
    segment: Segment, ink_map: InkMap, held_out: Where | None, box: Window, cell: int
) -> dict[str, NDArray[np.float64]]:
    """Return sums over each candidate place, candidates starting every ``cell`` px of the box in Y and X."""
    down, across = (length // cell for length in box.shape[1:])
    names = ("predicted", "called", "ink", "scored", "held_out", "wrong")
    cells = {name: np.zeros((down, across)) for name in names}
    for row in range(down):
        top = box.y[0] + row * cell
        band = Window((0, 1), (top, top + cell), (box.x[0], box.x[0] + across * cell))
        probability = ink_map.levels(band) / 255.0
        values = {"predicted": ink_map.predicted_pixels(band), "called": probability}
        if segment.ink is not None:
            ink, scored = segment.ink.read(band), scored_pixels(segment, ink_map, band)
            values |= {"ink": scored & (ink > INK), "scored": scored, "wrong": scored * np.abs(probability - ink)}
        if held_out is not None:
            values["held_out"] = held_out(band)
        for name, value in values.items():
            cells[name][row] = value.reshape(cell, across, cell).sum(axis=(0, 2))  # cell (across cell) -> across
    return {name: _window_sums(value) for name, value in cells.items()}


def _window_sums(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum every square of cells as large as a place."""
    total = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    n = _CELLS
    sums: NDArray[np.float64] = total[n:, n:] - total[:-n, n:] - total[n:, :-n] + total[:-n, :-n]
    return sums
