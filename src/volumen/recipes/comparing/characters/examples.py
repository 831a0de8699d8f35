"""Examples of a comparison for characters: held-out photographs, their truth, and what each model sees in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from volumen.crops.select import spread
from volumen.evaluation import pictures
from volumen.models.checkpoint import load_checkpoint
from volumen.recipes.bookkeeping import fabric_of
from volumen.recipes.photos.maps import predict_photo
from volumen.recipes.reporting.panels import Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.recipes.comparing.characters.scoring import Outcome
    from volumen.settings.compare_characters import CompareCharacters

_SIDE = 320  # px, of the longer side of a picture
_IGNORED = 110  # grey of what does not count, in the picture of the truth


@dataclass(frozen=True, kw_only=True)
class PhotoView:
    """A held-out photograph, its truth, and for each cell the soft map and its overlay, so many panels in a row."""

    title: str
    where: str
    columns: int
    panels: Sequence[Panel]


def example_views(outcome: Outcome, chosen: CompareCharacters, held_out: PhotoDataset) -> list[PhotoView]:
    """Show photographs from the one that the first seed's runs find best to the one that they find worst.

    Those that cannot be read any more are passed over.
    """
    names = next(iter(outcome.values()))[0].photos
    found = np.array([runs[0].overlap.each() for runs in outcome.values()])  # cells photographs
    means = found.mean(axis=0)
    order = [int(index) for index in np.argsort(-means, kind="stable") if np.isfinite(means[index])]
    places = {photo.name: index for index, photo in enumerate(held_out.photos)}
    shown = [index for index in (spread(order, chosen.examples) if order else ()) if names[index] in places]
    fabric = fabric_of(chosen)
    maps: list[list[NDArray[np.float32]]] = []
    for runs in outcome.values():
        model, _ = load_checkpoint(runs[0].record.path / "best.safetensors")
        fabric.to_device(model)
        maps.append([predict_photo(model, held_out, places[names[index]], fabric=fabric) for index in shown])
    views = []
    for number, index in enumerate(shown):
        decoded = held_out.decoded(places[names[index]])
        truth, counted = decoded.flats
        softs, overlays = [], []
        for row, cell in enumerate(outcome):
            soft = maps[row][number]
            softs.append(_panel(f"soft map, {cell.name}, IoU {found[row, index]:.2f}", _eight_bit(soft)))
            overlays.append(_panel(f"overlay, {cell.name}", pictures.veil(decoded.pixels, soft)))
        marked = _panel("truth", np.where(counted, _eight_bit(truth), _IGNORED).astype(np.uint8))
        views.append(
            PhotoView(
                title=names[index],
                where=f"mean IoU of the models {means[index]:.2f}",
                columns=1 + len(outcome),
                panels=[_panel("photograph", decoded.pixels), *softs, marked, *overlays],
            )
        )
    return views


def _eight_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.rint(values * np.float32(255)).astype(np.uint8)


def _panel(title: str, pixels: NDArray[np.uint8]) -> Panel:
    """Make a picture of pixels, small enough that a page can hold many."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SIDE, _SIDE))
    return Panel(title=title, image=pictures.png(np.asarray(picture)))
