"""Origin: what weights that a recogniser starts from say about themselves, and what people should be told of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from volumen.crops.line_images import unlike_forms
from volumen.models.checkpoint import read_origin
from volumen.run_folder import weights_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volumen.recipes.reading.line_corpus import LineCorpus


def origin_of(encoder: str | None) -> dict[str, Any]:
    """Return what a weight file, or the best weights of a run, say about themselves; nothing where there are none."""
    return {} if encoder is None else read_origin(weights_file(encoder))


def other_form(origin: Mapping[str, Any], corpus: LineCorpus) -> list[str]:
    """Say where weights were pretrained on images of another form than those that are to be learned from."""
    differing = unlike_forms(origin.get("form") or {}, asdict(corpus.form))
    if not differing:
        return []
    return [f"These weights were pretrained on lines of another form: {'; '.join(differing)}. They may be worth less."]


def untaught(origin: Mapping[str, Any], features: str) -> list[str]:
    """Say where a reader reads frames of the upper part of a recogniser, which no pretraining has touched."""
    taught = origin.get("features") or origin.get("reader", {}).get("features")  # a pretraining's, or a reader's
    if taught != "visual" or features == "visual":
        return []
    return [
        "These weights were taught by visual frames, so the BiLSTM above them is as it was drawn. Read with "
        "--features visual, or pretrain with --features contextual."
    ]


def begun_anew(origin: Mapping[str, Any]) -> list[str]:
    """Say that of a reader's weights only the recogniser's are taken."""
    if "reader" not in origin:
        return []
    return ["These weights are a reader's: its recogniser is taken, and the decoder begins anew."]
