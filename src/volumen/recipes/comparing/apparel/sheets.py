"""Sheets: pictures of what encoders find, a query a row with what was found for it, nearest first."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from volumen.crops.photo_images import resize_pixels
from volumen.crops.select import spread
from volumen.errors import VolumenError
from volumen.evaluation import pictures
from volumen.evaluation.retrieval import retrieval_overlap
from volumen.recipes.photos.vocabulary import tag_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.recipes.comparing.apparel.finding import Answers
    from volumen.recipes.comparing.apparel.inputs import ApparelPhotos
    from volumen.sources.photos.photo import Photo

_HEIGHT = 128  # px of a photograph
_WORDS = 14  # px below each
_GAP = 6
_QUERY = (31, 111, 180)  # colour of a query's frame
_FIRST = np.zeros((1, 1), np.int64)
_PAPER, _INK = (255, 255, 255), (60, 60, 60)


def draw_sheet(found: Answers, photos: ApparelPhotos, *, count: int) -> bytes | None:
    """Draw some queries, spread from the one with the most overlap to the one with the least, as PNG.

    The query stands first, in a frame; below what was found is the overlap of its tags with the query's. None where no
    query is to be shown.
    """
    order = [int(index) for index in np.argsort(-found.overlap, kind="stable") if np.isfinite(found.overlap[index])]
    chosen = spread(order, count) if order and count else ()
    if not chosen:
        return None
    known = {photo.name: photo for photo in (*photos.index, *photos.queries)}
    rows = [_row(found.names[index], list(map(str, found.found[index])), known, photos.tags) for index in chosen]
    width = max(row.shape[1] for row in rows)
    whole = np.full((sum(len(row) for row in rows), width, 3), 255, np.uint8)
    top = 0
    for row in rows:
        whole[top : top + len(row), : row.shape[1]] = row
        top += len(row)
    return pictures.png(whole)


def _row(query: str, names: list[str], known: dict[str, Photo], tags: tuple[str, ...]) -> NDArray[np.uint8]:
    asked, shown = known[query], [known[name] for name in names]
    overlaps = [
        float(
            retrieval_overlap(tag_matrix([asked], tags).numpy(), tag_matrix([each], tags).numpy(), np.array([[0]]))[0]
        )
        for each in shown
    ]
    small = [_thumbnail(each) for each in (asked, *shown)]
    height, width = _HEIGHT + _WORDS + _GAP, sum(each.shape[1] + _GAP for each in small)
    canvas = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(10)
    left = 0
    for number, pixels in enumerate(small):
        canvas.paste(Image.fromarray(pixels), (left, 0))
        if number == 0:
            draw.rectangle((left, 0, left + pixels.shape[1] - 1, _HEIGHT - 1), outline=_QUERY, width=3)
        else:
            draw.text((left + 2, _HEIGHT + 1), _said(overlaps[number - 1]), fill=_INK, font=font)
        left += pixels.shape[1] + _GAP
    return np.asarray(canvas)


@lru_cache(maxsize=256)
def _thumbnail(photo: Photo) -> NDArray[np.uint8]:
    """Return a photograph of the sheet's height; grey where it cannot be read any more."""
    height, width = photo.size
    size = (_HEIGHT, max(1, round(width * _HEIGHT / height)))
    try:
        return resize_pixels(photo.pixels(), size)
    except VolumenError:
        return np.full((*size, 3), 200, np.uint8)


def _said(overlap: float) -> str:
    return f"{overlap:.2f}" if overlap == overlap else "–"
