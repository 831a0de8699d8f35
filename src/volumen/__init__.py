"""volumen: from a scanned volume to text, with few labels.

Verbs do the work, and yield events while they do; nouns hold state. Everything loads on first use, so that
``import volumen`` brings in neither torch nor zarr.

Examples
--------
>>> import volumen
>>> chosen = volumen.settings.Finetune(segments=("scroll.zarr",), out="run", layers="22:42")
>>> for event in volumen.finetune(chosen):  # doctest: +SKIP
...     print(event)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from volumen import settings
    from volumen.events import result
    from volumen.recipes.check import check
    from volumen.recipes.evaluate import evaluate
    from volumen.recipes.families import compare, pretrain, train
    from volumen.recipes.finding.index import index
    from volumen.recipes.finding.search import search
    from volumen.recipes.finding.suggest import suggest
    from volumen.recipes.finetune import finetune
    from volumen.recipes.infer import predict
    from volumen.recipes.ink_model import load_model
    from volumen.recipes.reading.read import read
    from volumen.recipes.report import report
    from volumen.recipes.resume import resume
    from volumen.sources.open import open_segment
    from volumen.sources.pyramids.convert import convert
    from volumen.sources.segment import Segment
    from volumen.windows import Window

_HOMES = {
    "Segment": "volumen.sources.segment",
    "Window": "volumen.windows",
    "check": "volumen.recipes.check",
    "compare": "volumen.recipes.families",
    "convert": "volumen.sources.pyramids.convert",
    "evaluate": "volumen.recipes.evaluate",
    "finetune": "volumen.recipes.finetune",
    "index": "volumen.recipes.finding.index",
    "load_model": "volumen.recipes.ink_model",
    "open_segment": "volumen.sources.open",
    "predict": "volumen.recipes.infer",
    "pretrain": "volumen.recipes.families",
    "read": "volumen.recipes.reading.read",
    "report": "volumen.recipes.report",
    "result": "volumen.events",
    "resume": "volumen.recipes.resume",
    "search": "volumen.recipes.finding.search",
    "settings": "volumen",
    "suggest": "volumen.recipes.finding.suggest",
    "train": "volumen.recipes.families",
}

__all__ = [
    "Segment",
    "Window",
    "check",
    "compare",
    "convert",
    "evaluate",
    "finetune",
    "index",
    "load_model",
    "open_segment",
    "predict",
    "pretrain",
    "read",
    "report",
    "result",
    "resume",
    "search",
    "settings",
    "suggest",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'volumen' has no attribute {name!r}")
    if name == "settings":
        return importlib.import_module("volumen.settings")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
