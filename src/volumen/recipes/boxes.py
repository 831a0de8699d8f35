"""Boxes: a probability map in, the boxes of what it shows out, such as the characters of a photograph or a scroll."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, astuple, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.errors import OutputExistsError
from volumen.evaluation.boxes import Box, BoxFinder
from volumen.events import Finished, Saved, Started, Stepped, Warned
from volumen.recipes.ink_map import InkMap
from volumen.recipes.reporting.tables import csv_text
from volumen.whole_files import refuse_existing, write_whole
from volumen.windows import Window, grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen import settings as choose
    from volumen.events import Event

_SIDE = 2048  # px; of the blocks that are read
_HALF = 0.5


def boxes(settings: choose.Boxes) -> Iterator[Event]:
    """Find the connected components of a map above a threshold, and write their boxes.

    The map is read block by block and components are joined across the blocks' edges, so memory does not grow with
    its height, and the blocks show in no box. It may be an ink map of a segment, or a photograph's map of characters;
    a PNG, and a zarr that volumen did not write, is decoded whole.

    A JSON file says how the boxes were found, and lists them under ``boxes``; a CSV file has a line for each. Both
    give ``y0``, ``y1``, ``x0`` and ``x1`` (pixels at full size, the ends excluded), ``area`` (called pixels) and
    ``score`` (their mean probability), from top to bottom and left to right.

    Yields
    ------
    Event
        The last is `Finished` with ``path``, ``boxes`` (how many), ``threshold`` and ``seconds``.

    Raises
    ------
    SourceNotFoundError, SourceError, LabelError
        There is no such map, or it is damaged or not flat.
    OutputExistsError
        Something is at the output path, and is not to be overwritten.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.Boxes(prediction="characters.zarr", out="characters.json")
    >>> count = result(boxes(chosen))["boxes"]  # doctest: +SKIP
    """
    begun, path = time.monotonic(), Path(settings.out)
    if path.is_dir():
        raise OutputExistsError(f"{path} is a folder, so it is not replaced; give another path.")
    refuse_existing(path, overwrite=settings.overwrite)
    ink_map = InkMap.open(settings.prediction)
    for message in ink_map.remarks:
        yield Warned(message=message)
    height, width = ink_map.raster.extent
    whole = Window((0, 1), (0, height), (0, width))
    threshold = _threshold(settings, ink_map)
    parts = list(grid(whole, _SIDE, _SIDE))
    yield Started(work="boxes", total=len(parts), unit="blocks", detail={"threshold": threshold})
    finder = BoxFinder(width, threshold=threshold, min_area=settings.min_area, gap=settings.gap)
    found: list[Box] = []
    for done, part in enumerate(parts, start=1):
        top, left = part.y[0], part.x[0]
        rows, columns = finder.reach(top, left)
        seen = Window((0, 1), (rows, part.y[1]), (columns, part.x[1])) & whole
        found += finder.add(ink_map.levels(seen), top, left)
        yield Stepped(done=done, total=len(parts), values={"boxes": len(found)})
    found = sorted([*found, *finder.finish()])
    how = {
        "prediction": settings.prediction,
        "height": height,
        "width": width,
        "threshold": threshold,
        "min_area": settings.min_area,
        "gap": settings.gap,
        "volumen": version("volumen"),
    }
    write_whole(path, _json(how, found) if path.suffix.lower() == ".json" else _csv(found))
    yield Saved(path=str(path), what="boxes")
    seconds = time.monotonic() - begun
    yield Finished(result={"path": str(path), "boxes": len(found), "threshold": threshold, "seconds": seconds})


def _threshold(settings: choose.Boxes, ink_map: InkMap) -> float:
    """Return the threshold that is asked for, else the one that was calibrated for the map's model, else one half."""
    if settings.threshold is not None:
        return settings.threshold
    own = ink_map.record.get("threshold")
    return float(own) if isinstance(own, int | float) and 0 < own <= 1 else _HALF


def _json(how: dict[str, Any], found: list[Box]) -> str:
    """Write a line a box, so that millions of them can be looked at."""
    head = json.dumps(how, indent=1, ensure_ascii=False).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(asdict(box))}" for box in found)
    return f'{head},\n "boxes": [\n{lines}\n ]\n}}\n'


def _csv(found: list[Box]) -> str:
    return csv_text([field.name for field in fields(Box)], map(astuple, found))
