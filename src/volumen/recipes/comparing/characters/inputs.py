"""Inputs of a comparison for characters: the photographs, parted and looked at before any training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.crops.photo_dataset import PhotoDataset
from volumen.recipes.bookkeeping import recipe_of
from volumen.recipes.photos.photo_corpus import PhotoCorpus

if TYPE_CHECKING:
    from volumen.settings.compare_characters import CompareCharacters


def look(chosen: CompareCharacters) -> dict[str, Any]:
    """Open everything that the runs will open.

    Raises
    ------
    SourceError, SourceNotFoundError, LabelError
        The photographs cannot be read, or too few are annotated.
    """
    corpus = PhotoCorpus.annotated(chosen)
    return recipe_of(chosen, corpus.identities, **corpus.found, left_out=list(corpus.warnings), encoders={})


def held_out_photos(chosen: CompareCharacters) -> PhotoDataset:
    """Return what all runs are scored on, as they see it."""
    part = PhotoCorpus.annotated(chosen).split.held_out
    return PhotoDataset(part, size=chosen.size, fit=chosen.fit, background=chosen.background)
