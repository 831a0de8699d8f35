"""load_recipe: what carries each verb out, imported when it is asked for: help, and a conversion, wait for no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from volumen.events import Event

_HOMES = {
    "demo": "volumen.recipes.demo:demo",
    "list": "volumen.sources.remote.listing:list_segments",
    "download": "volumen.sources.remote.download:download",
    "check": "volumen.recipes.check:check",
    "convert": "volumen.sources.pyramids.convert:convert",
    "phantom": "volumen.sources.synthetic.phantom:make_phantom",
    "pretrain spark": "volumen.recipes.pretrain:pretrain_spark",
    "pretrain seqclr": "volumen.recipes.reading.pretrain:pretrain_lines",
    "pretrain rotation": "volumen.recipes.reading.pretrain:pretrain_lines",
    "pretrain flip": "volumen.recipes.reading.pretrain:pretrain_lines",
    "pretrain jigsaw": "volumen.recipes.reading.pretrain:pretrain_lines",
    "pretrain sorting": "volumen.recipes.reading.pretrain:pretrain_lines",
    "pretrain reconstruction": "volumen.recipes.reading.pretrain:pretrain_lines",
    "pretrain photos": "volumen.recipes.photos.pretrain:pretrain_photos",
    "finetune": "volumen.recipes.finetune:finetune",
    "train reader": "volumen.recipes.reading.train:train_reader",
    "train segmenter": "volumen.recipes.photos.segmenter:train_segmenter",
    "train tagger": "volumen.recipes.photos.tagger:train_tagger",
    "compare ink": "volumen.recipes.compare_ink:compare_ink",
    "compare handwriting": "volumen.recipes.compare_handwriting:compare_handwriting",
    "compare apparel": "volumen.recipes.compare_apparel:compare_apparel",
    "compare characters": "volumen.recipes.compare_characters:compare_characters",
    "resume": "volumen.recipes.resume:resume",
    "predict": "volumen.recipes.infer:predict",
    "evaluate": "volumen.recipes.evaluate:evaluate",
    "boxes": "volumen.recipes.boxes:boxes",
    "index": "volumen.recipes.finding.index:index",
    "search": "volumen.recipes.finding.search:search",
    "suggest": "volumen.recipes.finding.suggest:suggest",
    "read": "volumen.recipes.reading.read:read",
    "report": "volumen.recipes.report:report",
    "run": "volumen.recipes.rerun:rerun",
}


def load_recipe(verb: str) -> Callable[[Any], Iterator[Event]]:
    """Return the function from a verb's settings to its events."""
    module, name = _HOMES[verb].split(":")
    recipe: Callable[[Any], Iterator[Event]] = getattr(importlib.import_module(module), name)
    return recipe
