"""Search: an index and a place in it in, the places that look most like it out; needs no encoder."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from volumen.crops.select import spread
from volumen.errors import SettingsError, VolumenError
from volumen.evaluation.nearest import nearest
from volumen.evaluation.scaled import ScaledRows
from volumen.evaluation.surroundings import LocalRows
from volumen.events import Finished, Saved, Started, Stepped, Warned
from volumen.recipes.finding.found import Found, contact_sheet, prepare, write_found
from volumen.settings.command import absolute
from volumen.sources.arrays.stacked import StackedRows
from volumen.sources.index.window_index import WindowIndex
from volumen.sources.open import open_segment
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from volumen.events import Event
    from volumen.settings import Search
    from volumen.sources.index.index_part import IndexPart
    from volumen.sources.segment import Segment
    from volumen.windows import Range

FILES = ("places.json", "places.csv", "sheet.png")

_TYPICAL = 4096  # windows, spread over the index, of which the median says what is far
_AT_FIRST = 12  # neighbours asked for, for each place wanted: so many windows overlap one


def search(settings: Search) -> Iterator[Event]:
    """Find the places that look most like the given ones, without those that overlap them or each other.

    A given place stands for the indexed window whose middle is nearest to it. Distances are exact, L2.

    Parameters
    ----------
    settings
        Index, places (name of the segment, y, x in px), how many to find and how to compare.

    Yields
    ------
    Event
        The last is `Finished` with ``places``, best first, ``given``, ``windows`` (how many were compared), ``path``
        (where written) and ``seconds``. A place is a dictionary of ``rank``, ``segment``, ``source``, ``box`` (y0, y1,
        x0, x1), ``y`` and ``x`` of its middle in px, and ``scores``: ``distance``, and ``score``, which is 1 for what
        looks the same and 0 for what is as far as half of all windows.

    Raises
    ------
    SourceNotFoundError, SourceError
        There is no index, or it is damaged.
    SettingsError
        A place is not in the index.
    OutputExistsError
        Something is at the output path.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.Search(index="index", at=(("20230827161847", 4096, 1024),), k=20)
    >>> best = result(search(chosen))["places"][0]  # doctest: +SKIP
    """
    began = time.monotonic()
    settings = absolute(settings)
    out = None if settings.out is None else Path(settings.out)
    index = WindowIndex.open(settings.index)
    given = [_row_at(index, *spot) for spot in settings.at]
    if out is not None:
        prepare(out, FILES, overwrite=settings.overwrite)  # only now: what is there may go
    total = index.vectors.shape[0]
    yield Started(work="search", total=total, unit="windows", detail={"k": settings.k})
    rows = _comparable(index, settings.comparison)
    queries = np.concatenate([rows[row : row + 1] for row in given])
    asked = [_found(index, row, 0, {"distance": 0.0, "score": 1.0}) for row in given]
    typical = _typical_distance(rows, queries)
    kept = _apart(index, rows, queries, asked, settings.k, settings.overlap, typical)
    if len(kept) < settings.k:
        yield Warned(
            message=f"The index holds only {len(kept)} places apart from each other; {settings.k} were asked for."
        )
    yield Stepped(done=total, total=total)
    result: dict[str, Any] = {
        "places": [place.to_dict() for place in kept],
        "given": [place.to_dict() for place in asked],
        "windows": total,
        "path": settings.out,
    }
    if out is not None:
        sheet: NDArray[np.uint8] | None = None
        try:
            sheet = contact_sheet([*asked, *kept], _opener(index), "score")
        except VolumenError as error:
            yield Warned(message=f"There is no contact sheet: {error}")
        record = {"index": settings.index, "settings": settings.recorded()}
        write_found(out, "places", kept, sheet, {**record, "given": result["given"]})
        yield Saved(path=str(out), what="places")
    yield Finished(result={**result, "seconds": time.monotonic() - began})


def _comparable(index: WindowIndex, comparison: Literal["local", "standardized", "unit", "plain"]) -> ScaledRows:
    """Return the vectors as they are compared; ``local`` compares directions away from what lies around a window."""
    if comparison != "local":
        return ScaledRows.of(index.vectors, comparison)
    local = [LocalRows(part.vectors, part.corners, index.window) for part in index.parts]
    return ScaledRows.of(StackedRows(tuple(local), index.vectors.columns), "standardized", unit=True)


def _row_at(index: WindowIndex, name: str, y: int, x: int) -> int:
    """Return the row of the window around a point whose middle is nearest to it."""
    best: tuple[float, int] | None = None
    above, side = 0, index.window
    for part in index.parts:
        if name == part.name or os.path.abspath(name) == os.path.abspath(str(part.job["source"])):
            apart = np.abs(part.corners + side / 2 - (y + 0.5, x + 0.5)).max(axis=1)
            row = int(apart.argmin())
            if apart[row] <= side / 2 and (best is None or apart[row] < best[0]):
                best = (float(apart[row]), above + row)
        above += len(part.corners)
    if best is None:
        held = ", ".join(sorted({part.name for part in index.parts})) or "nothing"
        raise SettingsError(
            f"There is no indexed window around {name}:{y},{x}; {index.path} holds {held}. Index the segment first, "
            "or give a place on its papyrus."
        )
    return best[1]


def _found(index: WindowIndex, row: int, rank: int, scores: dict[str, float]) -> Found:
    part, own = index.find(row)
    y, x = map(int, part.corners[own])
    box = (y, y + index.window, x, x + index.window)
    return Found(rank=rank, segment=part.name, source=str(part.job["source"]), box=box, scores=scores)


def _typical_distance(rows: ScaledRows, queries: NDArray[np.float64]) -> float:
    """Return the median distance of windows from the nearest query."""
    some = np.concatenate([rows[row : row + 1] for row in spread(range(rows.shape[0]), _TYPICAL)])
    return float(np.median(nearest(queries, some, 1).distance))


def _apart(
    index: WindowIndex,
    rows: ScaledRows,
    queries: NDArray[np.float64],
    asked: Sequence[Found],
    count: int,
    overlap: float,
    typical: float,
) -> list[Found]:
    """Return the nearest windows of which none overlaps another, or a given one, by more than a share."""
    total = rows.shape[0]
    wanted = min(total, _AT_FIRST * (count + len(asked)))
    while True:
        near = nearest(rows, queries, wanted)
        order = np.lexsort((near.index.ravel(), near.distance.ravel()))
        kept: list[Found] = []
        seen: set[int] = set()
        for at in order:
            row, distance = int(near.index.ravel()[at]), float(near.distance.ravel()[at])
            # beyond the last neighbour of one query, another may have missed some
            if row in seen or (wanted < total and distance > near.distance[:, -1].min()):
                continue
            seen.add(row)
            score = max(0.0, 1.0 - distance / typical) if typical > 0 else 1.0
            place = _found(index, row, len(kept) + 1, {"score": score, "distance": distance})
            if all(shared(place, other) <= overlap for other in (*asked, *kept)):
                kept.append(place)
            if len(kept) == count:
                return kept
        if wanted == total:
            return kept
        wanted = min(total, 2 * wanted)


def shared(one: Found, other: Found) -> float:
    """Return the share of the smaller of two places that they have in common, in [0, 1]."""
    if one.segment != other.segment:
        return 0.0
    common = one.window & other.window
    areas = [place.window.shape[1] * place.window.shape[2] for place in (one, other)]
    return common.shape[1] * common.shape[2] / min(areas)


def _opener(index: WindowIndex) -> Any:
    """Return what opens the segment of a place once, and says which layers were indexed."""
    parts: dict[str, IndexPart] = {part.name: part for part in index.parts}

    @cache
    def opened(name: str) -> tuple[Segment, Range]:
        job = parts[name].job
        segment = open_segment(job["source"], reverse=bool(job["reverse"]))
        start, stop = job["layers"]
        whole = Window.whole(tuple(job["segment"]["shape"]))
        if segment.window != whole:
            raise SettingsError(
                f"{segment.source} has shape {segment.shape}, and not that which was indexed. Index it again."
            )
        return segment, (int(start), int(stop))

    return lambda place: opened(place.segment)
