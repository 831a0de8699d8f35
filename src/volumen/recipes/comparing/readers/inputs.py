"""Inputs of a comparison of readers: the lines and the pretrained weights, opened before any training."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from volumen.crops.alphabet import Alphabet
from volumen.crops.line_splits import share_of_lines
from volumen.models.checkpoint import load_encoder, read_origin
from volumen.models.recognizer.recognizer import Recognizer
from volumen.recipes.bookkeeping import recipe_of
from volumen.recipes.comparing.readers.cells import weight_file
from volumen.recipes.first_weights import digest
from volumen.recipes.reading.line_corpus import LineCorpus, group_of
from volumen.settings.comparing import SEED

if TYPE_CHECKING:
    from volumen.settings.compare_handwriting import CompareHandwriting

_ORIGIN = ("pretext", "form", "features", "scored_on")  # what is kept of a weight file's header


def look(chosen: CompareHandwriting) -> dict[str, Any]:
    """Open everything that the runs will open: the lines, every share of them, and all pretrained weights.

    Raises
    ------
    SourceError, LabelError, CheckpointError
        The lines cannot be read, there is nothing to learn from, or pretrained weights do not fit.
    """
    corpus = LineCorpus.of(chosen, transcribed=True)
    characters = {}
    for share in chosen.share:
        for seed in chosen.all_seeds:
            lines = share_of_lines(corpus.split.train, share, seed=seed)
            characters[f"{share:g}"] = len(Alphabet.of(line.text for line in lines))
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
    }
