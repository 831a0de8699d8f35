"""Examples of a comparison for characters: held-out photographs, their truth, and what each model sees in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.crops.select import spread
from volumen.models.checkpoint import load_checkpoint
from volumen.recipes.bookkeeping import fabric_of
from volumen.recipes.photos.maps import predict_photo
from volumen.recipes.reporting.photo_panels import map_panel, photo_panel, truth_panel, veil_panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.recipes.comparing.characters.scoring import Outcome
    from volumen.recipes.reporting.panels import Panel
    from volumen.settings.compare_characters import CompareCharacters


@dataclass(frozen=True, kw_only=True)
class ExampleView:
    """A held-out photograph, its truth, and for each cell the soft map and its overlay, so many panels in a row."""

    title: str
    where: str
    columns: int
    panels: Sequence[Panel]


def example_views(outcome: Outcome, chosen: CompareCharacters, held_out: PhotoDataset) -> list[ExampleView]:
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
            softs.append(map_panel(f"soft map, {cell.name}, IoU {found[row, index]:.2f}", soft))
            overlays.append(veil_panel(f"overlay, {cell.name}", decoded.pixels, soft))
        views.append(
            ExampleView(
                title=names[index],
                where=f"mean IoU of the models {means[index]:.2f}",
                columns=1 + len(outcome),
                panels=[photo_panel("photograph", decoded.pixels), *softs, truth_panel(truth, counted), *overlays],
            )
        )
    return views
