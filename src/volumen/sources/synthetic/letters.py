"""Letters: lines of capitals rendered on demand, as an endless soft YX raster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.windows import Window

# The capitals that Greek and Latin share: Pillow's built-in font draws no others of the Greek ones.
# C stands for the lunate sigma that scribes wrote.
ALPHABET = "ABEZHIKMNOPCTYX"
# Least distance of letters and of lines, in letter heights: closer ones would touch.
_TIGHTEST = 1.12
_TILTS = 5


@dataclass(frozen=True, kw_only=True)
class Letters:
    """Handwritten-looking capitals in lines over the whole plane.

    Parameters
    ----------
    seed
        Which letters stand where.
    height
        Height of a capital in pixels.
    share
        About which part of the plane is ink; letters and lines move apart until it fits.

    Examples
    --------
    >>> from volumen.windows import Window
    >>> text = Letters(seed=0, height=96, share=0.12).read(Window((0, 1), (0, 512), (0, 512)))
    >>> text.shape, bool(0.07 < text.mean() < 0.17)
    ((512, 512), True)
    """

    seed: int
    height: int
    share: float
    _pitch: int = field(init=False)

    def __post_init__(self) -> None:
        ink = np.mean([float(glyph(letter, self.height, 0).sum()) for letter in ALPHABET])
        pitch = round(max(_TIGHTEST * self.height, float(np.sqrt(ink / self.share))))
        object.__setattr__(self, "_pitch", pitch)

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return ink in [0, 1], YX."""
        ink = np.zeros(window.shape[1:], dtype=np.float32)
        for row in range(window.y[0] // self._pitch - 1, window.y[1] // self._pitch + 1):
            for column in range(window.x[0] // self._pitch - 1, window.x[1] // self._pitch + 1):
                self._draw(ink, window, row, column)
        return ink

    def _draw(self, ink: NDArray[np.float32], window: Window, row: int, column: int) -> None:
        """Put the letter of one cell where the window sees it."""
        draw = np.random.default_rng((self.seed, row + (1 << 20), column + (1 << 20)))
        letter, tilt = ALPHABET[draw.integers(len(ALPHABET))], int(draw.integers(_TILTS))
        shape = glyph(letter, self.height, tilt)
        free = self._pitch - np.asarray(shape.shape)
        centre = (free // 2 + draw.integers(-2, 3, size=2) * self.height // 50).tolist()
        top, left = row * self._pitch + centre[0], column * self._pitch + centre[1]
        box = replace(window, y=(top, top + shape.shape[0]), x=(left, left + shape.shape[1]))
        common = box & window
        if not common.empty:
            target = ink[common.inside(window).yx]
            np.maximum(target, shape[common.inside(box).yx], out=target)


@cache
def glyph(letter: str, height: int, tilt: int) -> NDArray[np.float32]:
    """Render a capital ``height`` pixels high with a brush's stroke, tilted a little; soft edges, YX in [0, 1].

    ``tilt`` counts from 0 to 4, for -6 to 6 degrees.
    """
    brush = max(1, round(height / 28))
    # A capital is about 0.7 of the font's nominal size.
    font = ImageFont.load_default(size=height / 0.72 - 2 * brush)
    left, top, right, bottom = font.getbbox(letter, stroke_width=brush)
    size = (int(np.ceil(right - left)) + 2, int(np.ceil(bottom - top)) + 2)
    picture = Image.new("L", size)
    ImageDraw.Draw(picture).text((1 - left, 1 - top), letter, fill=255, font=font, stroke_width=brush)
    turned = picture.rotate(3.0 * (tilt - _TILTS // 2), resample=Image.Resampling.BILINEAR, expand=True)
    return np.asarray(turned, dtype=np.float32) / np.float32(255)
