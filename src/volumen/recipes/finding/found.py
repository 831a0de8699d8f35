"""Found: places of segments as people and other programs take them away: JSON, CSV and a contact sheet."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from volumen.drafts import clear_drafts, draft_of
from volumen.errors import OutputExistsError
from volumen.evaluation.pictures import png, stretch
from volumen.events import plain
from volumen.whole_files import draft_name, refuse_existing, write_all
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from volumen.sources.segment import Segment
    from volumen.windows import Range

_TILE = 96  # px, side of a picture on a sheet
_TEXT = 14  # px under it
_COLUMNS = 10
_GROUND = 24
_MARKED = (240, 120, 40)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A square of a segment, and why it is here.

    Parameters
    ----------
    rank
        1 for the best; 0 for what was asked for.
    segment, source
        Name, and where it was read from.
    box
        (y0, y1, x0, x1) in px.
    scores
        Numbers by name; ``score`` leads.
    """

    rank: int
    segment: str
    source: str
    box: tuple[int, int, int, int]
    scores: Mapping[str, float]

    @property
    def window(self) -> Window:
        """The square, one layer deep."""
        return Window((0, 1), self.box[:2], self.box[2:])

    @property
    def centre(self) -> tuple[int, int]:
        """Y and x of the pixel in its middle."""
        y0, y1, x0, x1 = self.box
        return ((y0 + y1) // 2, (x0 + x1) // 2)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        y, x = self.centre
        return {**asdict(self), "box": list(self.box), "scores": dict(self.scores), "y": y, "x": x}


def write_found(
    folder: Path, name: str, places: Sequence[Found], sheet: NDArray[np.uint8] | None, record: Mapping[str, Any]
) -> None:
    """Write ``NAME.json``, ``NAME.csv`` and ``sheet.png`` into a folder, each whole or not at all.

    The JSON is a GeoJSON feature collection whose coordinates are (x, y) in pixels of the segment, with what it was
    made from under ``volumen``.
    """
    collection = {
        "type": "FeatureCollection",
        "volumen": dict(record),
        "features": [_feature(place) for place in places],
    }
    told = json.dumps(plain(collection), indent=1, ensure_ascii=False)  # unknown novelty becomes null
    sheets = {} if sheet is None else {"sheet.png": png(sheet)}
    write_all(folder, {f"{name}.json": f"{told}\n", f"{name}.csv": _table(places), **sheets})


def prepare(folder: Path, names: Sequence[str], *, overwrite: bool, resume: bool = False) -> None:
    """See that a folder can be written to; clear what a former search or suggestion left, where that is asked for.

    Raises
    ------
    OutputExistsError
        Something is there, and it is neither to be gone on with nor to be replaced, or it is not of this kind.
    """
    clear_drafts(folder)
    if not folder.exists() or resume:
        return
    refuse_existing(folder, overwrite=overwrite)
    if not folder.is_dir():
        raise OutputExistsError(f"{folder} is no folder, so it is not replaced; give another path.")
    ours = {*names, *map(draft_name, names)}
    strange = [each.name for each in folder.iterdir() if each.name not in ours]
    if strange:
        raise OutputExistsError(
            f"{folder} holds {strange[0]}, which is none of its files, so it is not replaced; give another path."
        )
    aside = draft_of(folder)
    folder.replace(aside)
    shutil.rmtree(aside)


def contact_sheet(
    places: Sequence[Found], open_named: Callable[[Found], tuple[Segment, Range]], caption: str
) -> NDArray[np.uint8]:
    """Draw places side by side, ten in a row, each stretched to its own contrast, its rank and a score under it.

    Parameters
    ----------
    places
        What was asked for has rank 0 and a coloured frame.
    open_named
        From a place to its segment and the layers of which the middle one is drawn.
    caption
        Score that is written under each.

    Returns
    -------
    ndarray
        RGB, uint8 YXC.
    """
    rows = max(1, -(-len(places) // _COLUMNS))
    cell = _TILE + 4
    sheet = Image.new("RGB", (_COLUMNS * cell, rows * (cell + _TEXT)), (_GROUND,) * 3)
    draw = ImageDraw.Draw(sheet)
    for number, place in enumerate(places):
        left, top = number % _COLUMNS * cell + 2, number // _COLUMNS * (cell + _TEXT) + 2
        segment, layers = open_named(place)
        middle = sum(layers) // 2
        window = place.window.layers(middle, middle + 1).clip(segment.shape)
        picture = Image.fromarray(stretch(segment.read(window)[0])).resize((_TILE, _TILE), Image.Resampling.BILINEAR)
        sheet.paste(picture.convert("RGB"), (left, top))
        if place.rank == 0:
            draw.rectangle((left, top, left + _TILE - 1, top + _TILE - 1), outline=_MARKED, width=3)
        text = f"{place.rank}  {place.scores[caption]:.2f}" if place.rank else "given"
        draw.text((left + 2, top + _TILE), text, fill=(220, 220, 220), font_size=11)
    return np.asarray(sheet)


def _feature(place: Found) -> dict[str, Any]:
    y0, y1, x0, x1 = place.box
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    told = place.to_dict()
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {**{name: told[name] for name in ("rank", "segment", "source", "y", "x", "box")}, **place.scores},
    }


def _table(places: Sequence[Found]) -> str:
    out = io.StringIO()
    scores = list(places[0].scores) if places else []
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["rank", "segment", "y", "x", "y0", "y1", "x0", "x1", *scores])
    for place in places:
        told = ["" if math.isnan(place.scores[name]) else place.scores[name] for name in scores]
        writer.writerow([place.rank, place.segment, *place.centre, *place.box, *told])
    return out.getvalue()
