"""Inputs of a comparison for ink: the data and the encoder files, opened before any training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.crops.label_share import keep_share
from volumen.models.checkpoint import load_encoder, read_origin
from volumen.models.unet import build_unet
from volumen.recipes.bookkeeping import recipe_of
from volumen.recipes.comparing.ink.cells import Cell
from volumen.recipes.first_weights import digest
from volumen.recipes.lessons import Lessons
from volumen.run_folder import weights_file
from volumen.settings.comparing import RANDOM

if TYPE_CHECKING:
    from volumen.settings.compare_ink import CompareInk

_ORIGIN = ("pretext", "layers", "normalization", "held_out")  # what is kept of an encoder file's header


def look(chosen: CompareInk) -> dict[str, Any]:
    """Open everything that the runs will open: the data, every share of the labels, and every encoder file.

    Raises
    ------
    SourceError, LabelError, CheckpointError
        The data cannot be read, there is nothing to learn from, or an encoder file does not fit.
    """
    lessons = Lessons.of(Cell(share=1.0, encoder=RANDOM, frozen=False).settings(chosen, chosen.seed))
    for share in chosen.share:
        for seed in chosen.all_seeds:
            keep_share(lessons.segments, lessons.splits, share=share, seed=seed)
    encoders = {}
    for name, given in zip(chosen.encoder_names, chosen.encoder, strict=True):
        file = str(weights_file(given))
        model = build_unet(chosen.encoder_name, lessons.layer_count)
        report = load_encoder(model, file, adapt_channels=chosen.adapt_channels)
        report.check(file, least=chosen.least_loaded)
        origin = read_origin(file)
        encoders[name] = {
            "file": file,
            "sha256": digest(file),
            "loaded": str(report),
            "adapted": bool(report.adapted),
            "origin": {key: origin[key] for key in _ORIGIN if key in origin},
        }
    by = [split.by for split in lessons.splits]
    return recipe_of(chosen, lessons.identities, held_out=lessons.held_out_boxes, by=by, encoders=encoders)
