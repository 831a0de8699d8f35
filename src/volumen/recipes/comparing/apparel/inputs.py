"""Inputs of a comparison of encoders: the photographs and ImageNet's weights, opened before any training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.crops.photo_dataset import PhotoDataset
from volumen.errors import LabelError
from volumen.models.photo_encoder import build_photo_encoder
from volumen.recipes.bookkeeping import recipe_of
from volumen.recipes.comparing.apparel.cells import SEGMENTER, cells_of
from volumen.recipes.first_weights import digest, take_encoder
from volumen.recipes.photos.photo_corpus import PhotoCorpus
from volumen.recipes.photos.photo_start import encoder_of
from volumen.recipes.photos.triplet_task import check_triplets, triplets_of
from volumen.recipes.photos.vocabulary import choose_tags, is_tagged, with_tags
from volumen.settings.compare_apparel import IMAGENET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.settings.compare_apparel import CompareApparel
    from volumen.sources.photos.photo import Photo


@dataclass(frozen=True, kw_only=True, eq=False)
class ApparelPhotos:
    """What is searched, and what is asked with.

    Parameters
    ----------
    corpus
        Photographs with tags, in two parts.
    tags
        By which they are compared.
    queries
        Some of those that are held out.
    """

    corpus: PhotoCorpus
    tags: tuple[str, ...]
    queries: tuple[Photo, ...]

    @classmethod
    def of(cls, chosen: CompareApparel) -> ApparelPhotos:
        """Read them, and draw the queries.

        Raises
        ------
        SourceError, LabelError
            They cannot be read, or have no tags.
        """
        corpus = PhotoCorpus.of(chosen, usable=is_tagged, lack="without tags")
        tags, _ = choose_tags(with_tags(corpus.split.train), chosen)
        held_out = with_tags(corpus.split.held_out)
        order = np.random.default_rng([chosen.split_seed, chosen.queries]).permutation(len(held_out))
        drawn = sorted(order[: chosen.queries].tolist())
        return cls(corpus=corpus, tags=tags, queries=tuple(held_out[index] for index in drawn))

    @property
    def index(self) -> tuple[Photo, ...]:
        """What is searched: the photographs that were learned from."""
        return with_tags(self.corpus.split.train)

    def dataset(self, photos: Sequence[Photo], chosen: CompareApparel) -> PhotoDataset:
        """Return photographs as the encoders see them, with their tags."""
        return PhotoDataset(photos, labels="tags", tags=self.tags, size=chosen.size)


def look(chosen: CompareApparel) -> dict[str, Any]:
    """Open everything that the runs will open.

    Raises
    ------
    SourceError, LabelError, CheckpointError
        The photographs cannot be read, there is nothing to learn from, or the weights do not fit.
    """
    photos = ApparelPhotos.of(chosen)
    masked = sum(photo.annotated for photo in (*photos.corpus.split.train, *photos.corpus.split.held_out))
    if any(cell.work == "triplet" for cell in cells_of(chosen)):
        check_triplets(
            triplets_of(chosen), photos.dataset(with_tags(photos.corpus.split.held_out), chosen), chosen.batch
        )
    if SEGMENTER in chosen.routes:
        _check_masks(chosen)
    encoders = {}
    if chosen.imagenet is not None:
        model = build_photo_encoder(outputs=1, **encoder_of(chosen, chosen.imagenet))
        said = take_encoder(model, chosen.imagenet, least=chosen.least_loaded)
        encoders[IMAGENET] = {"file": chosen.imagenet, "sha256": digest(chosen.imagenet), "loaded": said[0]}
    return recipe_of(
        chosen,
        photos.corpus.identities,
        **photos.corpus.found,
        queries=len(photos.queries),
        masked=masked,
        tags=list(photos.tags),
        left_out=list(photos.corpus.warnings),
        encoders=encoders,
    )


def _check_masks(chosen: CompareApparel) -> None:
    try:
        PhotoCorpus.annotated(chosen)
    except LabelError as error:
        others = ",".join(route for route in chosen.routes if route != SEGMENTER)
        raise LabelError(f"{error} If there are none for the segmenter, leave it out (--routes {others}).") from error
