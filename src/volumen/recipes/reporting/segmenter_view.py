"""What a report shows of a segmenter of photographs: overlaps, and photographs with truth, map and overlay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from volumen.crops.photo_dataset import PhotoDataset
from volumen.errors import VolumenError
from volumen.evaluation.intervals import percentile_interval
from volumen.evaluation.photo_overlap import NAMES
from volumen.recipes.photos.maps import FOLDER, map_name
from volumen.recipes.photos.overlaps import read_overlaps
from volumen.recipes.photos.photo_corpus import PhotoCorpus
from volumen.recipes.reporting.photo_panels import map_panel, photo_panel, truth_panel, veil_panel
from volumen.recipes.reporting.photo_view import PhotoRunView, Shown, number_cell
from volumen.settings import TrainSegmenter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from volumen.recipes.reporting.run_record import RunRecord

_DRAWS = 500


def show_segmenter(run: RunRecord) -> PhotoRunView:
    """Gather overlaps, with intervals over photographs, and the maps that the run kept."""
    names, overlap = read_overlaps(run.path / "overlaps.csv")
    batch = int(run.settings.get("batch", 8))
    drawn = overlap.draws(batch=batch, draws=_DRAWS)
    scores = [
        (NAMES[name], number_cell(score, percentile_interval(drawn[name])))
        for name, score in overlap.scores(batch=batch).items()
    ]
    without = f" {overlap.empty} hold{'s' * (overlap.empty == 1)} nothing to find." if overlap.empty else ""
    examples = list(_maps(run, dict(zip(names, overlap.each().tolist(), strict=True))))
    lead = (
        f"{len(names)} photographs were scored.{without} Regions to ignore count nowhere. IoU is what prediction and "
        "truth have in common over what either has: soft takes probabilities as they are, else a pixel is called from "
        "one half on. Below it is its 95 % interval: photographs are drawn again and again."
    )
    return PhotoRunView(name=run.name, lead=lead, scores=scores, examples=examples, columns=4)


def _maps(run: RunRecord, overlaps: Mapping[str, float]) -> Iterator[Shown]:
    """Yield the photographs of which the run kept maps, as far as they are still there, from the best to the worst."""
    try:
        chosen = TrainSegmenter.model_validate(run.settings)
        part = PhotoCorpus.annotated(chosen).split.held_out
    except (VolumenError, ValueError):
        return
    photos = PhotoDataset(part, size=chosen.size, fit=chosen.fit, background=chosen.background)
    kept = [
        (index, photo.name)
        for index, photo in enumerate(photos.photos)
        if (run.path / FOLDER / map_name(index, photo.name)).exists() and photo.name in overlaps
    ]
    for index, name in sorted(kept, key=lambda each: -np.nan_to_num(overlaps[each[1]], nan=-1.0)):
        try:
            decoded = photos.decoded(index)
        except VolumenError:
            continue
        with Image.open(run.path / FOLDER / map_name(index, name)) as picture:
            soft = np.asarray(picture) / np.float32(255)
        if soft.shape != decoded.pixels.shape[:2]:
            continue
        found = overlaps[name]
        yield Shown(
            name=name,
            words=f"IoU {found:.2f}" if np.isfinite(found) else "nothing to find",
            panels=[
                photo_panel("photograph", decoded.pixels),
                truth_panel(decoded.flats[0], decoded.flats[1]),
                map_panel("soft map: white is probability 1", soft),
                veil_panel("overlay: the greener the likelier", decoded.pixels, soft),
            ],
        )
