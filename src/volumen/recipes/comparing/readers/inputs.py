"""Inputs of a comparison of readers: the lines and the pretrained weights, opened before any training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.crops.alphabet import Alphabet
from volumen.crops.line_splits import group_of, share_of_lines
from volumen.errors import SourceError, SourceNotFoundError
from volumen.models.checkpoint import load_encoder, read_origin
from volumen.models.recognizer.recognizer import Recognizer
from volumen.recipes.bookkeeping import recipe_of
from volumen.recipes.comparing.readers.cells import weight_file
from volumen.recipes.first_weights import digest
from volumen.recipes.reading.line_corpus import LineCorpus
from volumen.recipes.reporting.run_record import RunRecord
from volumen.settings.comparing import SEED

if TYPE_CHECKING:
    from volumen.settings.compare_handwriting import CompareHandwriting

_ORIGIN = ("pretext", "form", "features", "scored_on", "reader")  # what is kept of a weight file's header
_PRETRAINING = ("steps", "batch", "learning_rate", "views", "mapping", "head", "cell", "seed")  # and of its run


def look(chosen: CompareHandwriting) -> dict[str, Any]:
    """Open everything that the runs will open: the lines, every share of them, and all pretrained weights.

    Raises
    ------
    SourceError, LabelError, CheckpointError
        The lines cannot be read, there is nothing to learn from, or pretrained weights do not fit.
    """
    corpus = LineCorpus.of(chosen, transcribed=True)
    characters = {
        f"{share:g}": [
            len(Alphabet.of(line.text for line in share_of_lines(corpus.split.train, share, seed=seed)))
            for seed in chosen.all_seeds
        ]
        for share in chosen.share
    }
    encoders = {}
    for name, path in zip(chosen.pretext_names, chosen.pretext, strict=True):
        for seed in chosen.all_seeds if SEED in path else (chosen.seed,):
            encoders[f"{name}, seed {seed}" if SEED in path else name] = _weights(weight_file(path, seed), chosen)
    return recipe_of(
        chosen,
        corpus.identities,
        **corpus.found,
        groups=len({group_of(line) for line in corpus.test}),
        form=asdict(corpus.form),
        characters=characters,
        left_out=list(corpus.warnings),
        encoders=encoders,
    )


def _weights(file: str, chosen: CompareHandwriting) -> dict[str, Any]:
    """Load weights once to see that they fit, and say what they are."""
    report = load_encoder(Recognizer(chosen.model_width), file)
    report.check(file, least=chosen.least_loaded)
    origin = read_origin(file)
    return {
        "file": file,
        "sha256": digest(file),
        "loaded": str(report),
        "origin": {key: origin[key] for key in _ORIGIN if key in origin},
        "pretraining": _pretraining(Path(file)),
    }


def _pretraining(file: Path) -> dict[str, Any]:
    """Say how weights were pretrained, where they lie in the folder of the run that made them."""
    try:
        made = RunRecord.read(file.parent)
    except (SourceNotFoundError, SourceError):
        return {}
    said = {name: made.settings[name] for name in _PRETRAINING if made.settings.get(name) is not None}
    return {"verb": made.verb, **said, "seconds": (made.result or {}).get("seconds")}
