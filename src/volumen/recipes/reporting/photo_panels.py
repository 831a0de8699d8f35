"""Photo panels: a photograph beside its truth and its map, what is marked outlined; small enough for pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from volumen.evaluation import pictures
from volumen.recipes.reporting.panels import Panel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from volumen.sources.outlines import Outline

_SIDE = 320  # px, of the longer side of a picture
_IGNORED = 110  # grey of what does not count, in the picture of the truth


def photo_panel(title: str, photo: NDArray[np.uint8], outlines: Iterable[Outline] = ()) -> Panel:
    """Show a photograph, YXC RGB; outlines (x, y in its px) are drawn in the colour of what is found."""
    picture = Image.fromarray(photo)
    picture.thumbnail((_SIDE, _SIDE))
    scale = picture.width / photo.shape[1]
    scaled = [[(scale * x, scale * y) for x, y in outline] for outline in outlines]
    return Panel(title=title, image=pictures.png(pictures.outlined(np.array(picture), scaled, pictures.FOUND)))


def truth_panel(target: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Panel:
    """Show what is marked, YX, in white, and what does not count in grey."""
    return _panel("truth: grey does not count", np.where(counted, np.where(target, 255, 0), _IGNORED).astype(np.uint8))


def map_panel(title: str, probability: NDArray[Any]) -> Panel:
    """Show probabilities in [0, 1], YX, as greys."""
    return _panel(title, np.rint(probability * np.float32(255)).astype(np.uint8))


def veil_panel(title: str, photo: NDArray[np.uint8], probability: NDArray[Any]) -> Panel:
    """Show probabilities over the photograph."""
    return _panel(title, pictures.veil(photo, probability))


def _panel(title: str, pixels: NDArray[np.uint8]) -> Panel:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SIDE, _SIDE))
    return Panel(title=title, image=pictures.png(np.asarray(picture)))
