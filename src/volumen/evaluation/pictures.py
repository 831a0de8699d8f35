"""Pictures of places: papyrus, label, ink map and where they agree, as uint8 arrays and PNG bytes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

FOUND = (31, 190, 140)
MISSED = (64, 140, 245)
FALSE = (240, 120, 40)
"""Ink found, ink missed, and background called ink, RGB; told apart with any common colour blindness."""

_TICK = 6  # px
_STRIP = 5  # px, height of the label's and the map's strip under a section


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a YX grey or YXC RGB image as PNG bytes."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, format="PNG", optimize=True)
    return out.getvalue()


def stretch(voxels: NDArray[Any], *, share: float = 0.01) -> NDArray[np.uint8]:
    """Bring voxels of any type to 0…255 so that all but ``share`` at each end of the range keep their contrast.

    Voxels of value 0 lie outside the papyrus: they stay black and do not count.

    Examples
    --------
    >>> stretch(np.array([[0, 100, 150, 200]], np.uint16)).tolist()
    [[0, 0, 127, 255]]
    """
    inside = voxels[voxels != 0]
    if not inside.size:
        return np.zeros(voxels.shape, np.uint8)
    low, high = (float(edge) for edge in np.quantile(inside.astype(np.float64), [share, 1 - share]))
    scaled = (voxels.astype(np.float64) - low) / max(high - low, 1e-12)
    return np.where(voxels == 0, 0, scaled.clip(0, 1) * 255).astype(np.uint8)


def agreement(
    surface: NDArray[np.uint8], ink: NDArray[np.bool_], called: NDArray[np.bool_], scored: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Colour a YX grey layer by verdict, YXC RGB: ink found, missed, and false; what is not scored is dark.

    Parameters
    ----------
    surface
        Layer of the writing surface, 0…255.
    ink, called
        What the label and what the map calls ink.
    scored
        Where the label may be trusted and the map was predicted.
    """
    grey = np.repeat(surface[..., None], 3, axis=-1).astype(np.float64) * 0.75 + 30
    grey[~scored] *= 0.3
    for where, colour in ((ink & called, FOUND), (ink & ~called, MISSED), (~ink & called, FALSE)):
        grey[where & scored] = 0.35 * grey[where & scored] + 0.65 * np.array(colour)
    return grey.clip(0, 255).astype(np.uint8)


def veil(photo: NDArray[np.uint8], probability: NDArray[Any]) -> NDArray[np.uint8]:
    """Lay a probability map in [0, 1], YX, over a photograph, YXC RGB: the likelier, the more of the colour `FOUND`.

    Examples
    --------
    >>> veil(np.zeros((1, 2, 3), np.uint8), np.array([[0.0, 1.0]])).tolist()
    [[[0, 0, 0], [20, 124, 91]]]
    """
    share = 0.65 * probability[..., None].astype(np.float64)  # YX -> YX1
    laid: NDArray[np.uint8] = np.rint((1 - share) * photo + share * np.array(FOUND)).astype(np.uint8)
    return laid


def outlined(
    photo: NDArray[np.uint8], polygons: Iterable[Sequence[tuple[float, float]]], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Draw polygons of (x, y) corners, two pixels thick, over a YXC RGB picture."""
    picture = Image.fromarray(photo)
    drawing = ImageDraw.Draw(picture)
    for polygon in polygons:
        drawing.polygon(list(polygon), outline=colour, width=2)
    return np.array(picture)


def section(
    voxels: NDArray[Any], ink: ArrayLike, probabilities: Sequence[NDArray[np.uint8]], *, surface: int
) -> NDArray[np.uint8]:
    """Draw a ZX section, first layer on top, and under it the label and each map along the same line.

    Parameters
    ----------
    voxels
        One row of a segment, ZX.
    ink
        Label along it in [0, 1], X; empty where there is none.
    probabilities
        Maps along it, 0…255, X each.
    surface
        Layer to mark at both edges.

    Returns
    -------
    ndarray
        uint8 YXC RGB. Layers are drawn as often as makes the section up to a quarter as high as wide.
    """
    depth, width = voxels.shape
    times = max(1, width // 4 // depth)
    grey = stretch(voxels).repeat(times, axis=0)  # Z X -> (Z times) X
    layers = np.repeat(grey[..., None], 3, axis=-1)
    for edge in (slice(None, _TICK), slice(-_TICK, None)):
        layers[surface * times : (surface + 1) * times, edge] = FALSE
    rows, label = [layers], np.asarray(ink, dtype=np.float64)
    lines = [(label, MISSED)] if label.size else []
    lines += [(line / 255.0, FALSE) for line in probabilities]
    for values, colour in lines:
        strip = (values[:, None] * np.array(colour)).astype(np.uint8)  # X -> X C
        rows += [np.zeros((2, width, 3), np.uint8), np.repeat(strip[None], _STRIP, axis=0)]
    return np.concatenate(rows)


def frame(
    pixels: NDArray[np.uint8], box: tuple[int, int, int, int], colour: tuple[int, int, int], text: str = ""
) -> None:
    """Draw a (y0, y1, x0, x1) box, two pixels thick, and its name into a YXC RGB picture, in place."""
    y0, y1, x0, x1 = box
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    draw.rectangle((x0, y0, max(x1, x0 + 4) - 1, max(y1, y0 + 4) - 1), outline=colour, width=2)
    if text:
        draw.rectangle((x0, y0, x0 + 9 + 8 * len(text), y0 + 19), fill=colour)
        draw.text((x0 + 5, y0 + 2), text, fill=(20, 20, 20), font_size=14)
    pixels[:] = np.asarray(image)
