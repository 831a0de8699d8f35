"""Sign: a line of text drawn flat, on a panel or not, then seen from an angle; each character's corners are known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Colour = tuple[int, int, int]

FINEST = 4
"""A character is never drawn smaller than this, in px."""

_MARGIN = 0.35  # of a character's size, around the text
_PAD = 0.06  # of a character's size, around its ink


@dataclass(frozen=True, kw_only=True)
class Sign:
    """All that is drawn of a sign, as numbers: `draw_sign` makes them, `Sign.over` shows them.

    Parameters
    ----------
    text
        What is written.
    font, size
        Path of a TrueType or OpenType font, empty for Pillow's own, which has no Chinese; height of a character in px.
    vertical
        Whether it is written from top to bottom.
    ink, panel
        Colour of the text, and of what is behind it; None where it stands on the photograph.
    opacity
        Of the panel, in [0, 1].
    stroke
        How many px of outline in the panel's stead, where there is none.
    corners
        Where the corners of the flat sign are seen, (4, 2) as x and y in px, from top left clockwise.
    blur
        Radius in px of what the camera did to it.
    """

    text: str
    font: str
    size: int
    vertical: bool
    ink: Colour
    panel: Colour | None
    opacity: float
    stroke: int
    corners: NDArray[np.float64]
    blur: float = 0.0

    def over(self, photo: Image.Image) -> Image.Image:
        """Return the photograph with the sign on it."""
        flat = _flat(self)
        seen = flat.transform(
            photo.size,
            Image.Transform.PERSPECTIVE,
            data=tuple(homography(self.corners, _corners(flat.size)).ravel()[:8]),
            resample=Image.Resampling.BICUBIC,
        )
        if self.blur:
            seen = seen.filter(ImageFilter.GaussianBlur(self.blur))
        return Image.alpha_composite(photo.convert("RGBA"), seen).convert("RGB")

    def characters(self) -> list[tuple[str, NDArray[np.float64]]]:
        """Return each character but spaces with its corners in the photograph, (4, 2) as x and y in px."""
        flat = flat_size(self)
        seen = homography(_corners(flat), self.corners)
        found = []
        for character, (x, y) in zip(self.text, _places(self), strict=True):
            left, top, right, bottom = _font(self.font, self.size).getbbox(character)
            if right > left and bottom > top:
                pad = _PAD * self.size
                size = (right - left + 2 * pad, bottom - top + 2 * pad)
                box = _corners(size, (x + left - pad, y + top - pad))
                found.append((character, through(seen, box)))
        return found

    @property
    def whole(self) -> NDArray[np.float64]:
        """Corners in the photograph of all that is written, (4, 2)."""
        boxes = np.concatenate([corners for _, corners in self.characters()])
        flat = through(homography(self.corners, _corners(flat_size(self))), boxes)
        (left, top), (right, bottom) = flat.min(axis=0), flat.max(axis=0)
        box = _corners((right - left, bottom - top), (left, top))
        return through(homography(_corners(flat_size(self)), self.corners), box)


def flat_size(sign: Sign) -> tuple[int, int]:
    """Return width and height of a sign seen from the front, in px."""
    font, margin = _font(sign.font, sign.size), 2 * _MARGIN * sign.size
    line = font.size * 1.3
    if sign.vertical:
        return (int(np.ceil(line + margin)), int(np.ceil(line * len(sign.text) + margin)))
    return (int(np.ceil(font.getlength(sign.text) + margin)), int(np.ceil(line + margin)))


def homography(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the projective map, (3, 3), that takes four points to four others (Hartley and Zisserman 2004, §4.1).

    Examples
    --------
    >>> square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]])
    >>> through(homography(square, 3 * square), np.array([[1.0, 1.0]])).round(6).tolist()
    [[3.0, 3.0]]
    """
    rows, right = [], []
    for (x, y), (u, v) in zip(before, after, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.append(np.linalg.solve(np.array(rows, dtype=np.float64), np.array(right)), 1.0).reshape(3, 3)


def through(seen: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (N, 2) as a homography shows them."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ seen.T
    shown: NDArray[np.float64] = mapped[:, :2] / mapped[:, 2:]
    return shown


def _flat(sign: Sign) -> Image.Image:
    """Draw a sign from the front, RGBA; colours go on where it is transparent, so that edges have no rim."""
    around = sign.panel or (tuple(255 - part for part in sign.ink) if sign.stroke else sign.ink)
    opaque = round(255 * sign.opacity) if sign.panel else 0
    flat = Image.new("RGBA", flat_size(sign), (*around, opaque))
    drawing = ImageDraw.Draw(flat)
    for character, place in zip(sign.text, _places(sign), strict=True):
        stroke = 0 if sign.panel else sign.stroke
        drawing.text(
            place,
            character,
            font=_font(sign.font, sign.size),
            fill=(*sign.ink, 255),
            stroke_width=stroke,
            stroke_fill=(*around, 255),
        )
    return flat


def _places(sign: Sign) -> list[tuple[float, float]]:
    """Return where each character is drawn from, x and y in px of the flat sign."""
    font, margin = _font(sign.font, sign.size), _MARGIN * sign.size
    if sign.vertical:
        line = font.size * 1.3
        return [(margin, margin + number * line) for number in range(len(sign.text))]
    return [(margin + font.getlength(sign.text[:number]), margin) for number in range(len(sign.text))]


def _corners(size: tuple[float, float], at: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
    """Return the corners of a box of (W, H) whose first one is ``at``, (4, 2)."""
    (width, height), (left, top) = size, at
    right, bottom = left + width, top + height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)


@cache
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError(f"Pillow was built without FreeType, which draws letters of any size; got {type(font)}.")
    return font
