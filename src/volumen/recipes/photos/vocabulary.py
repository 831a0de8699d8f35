"""Vocabulary: which tags a tagger learns, those of a photograph being its words and the characters written in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from volumen.errors import LabelError
from volumen.sources.photos.photo_table import BETWEEN_TAGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from volumen.settings.train_tagger import TagChoice
    from volumen.sources.photos.photo import Photo

_NAMED = 5  # tags that a message names


def is_tagged(photo: Photo) -> bool:
    """Whether it is known what can be seen in a photograph: it has tags, or its text was looked for."""
    return bool(photo.tags) or photo.polygons is not None


def all_tags(photo: Photo) -> tuple[str, ...]:
    """Return the tags of a photograph, and what is written in each of its polygons, each once, sorted.

    What holds the bar that parts tags in tables is no tag.
    """
    written = photo.polygons.characters if photo.polygons is not None else ()
    texts = (character.text for character in written if character.text and BETWEEN_TAGS not in character.text)
    return tuple(sorted({*photo.tags, *texts}))


def with_tags(photos: Sequence[Photo]) -> tuple[Photo, ...]:
    """Return photographs with all of their tags as tags."""
    return tuple(replace(photo, tags=all_tags(photo)) for photo in photos)


def choose_tags(photos: Sequence[Photo], settings: TagChoice) -> tuple[tuple[str, ...], list[str]]:
    """Choose the tags to learn, sorted, and say which were left out.

    Parameters
    ----------
    photos
        Those to learn from, `with_tags`.
    settings
        ``tags``: these, or all; ``drop_tags``: but not these; ``most_frequent``: of these the ones that most
        photographs have, the first in the alphabet where several are as frequent.

    Returns
    -------
    tuple
        The tags, and warnings.

    Raises
    ------
    LabelError
        No tag is left that a photograph to learn from has.
    """
    counts = Counter(tag for photo in photos for tag in photo.tags)
    asked = [tag for tag in (settings.tags or sorted(counts)) if tag not in settings.drop_tags]
    known = [tag for tag in asked if counts[tag]]
    lacking = [tag for tag in asked if not counts[tag]]
    if settings.most_frequent is not None:
        known = sorted(known, key=lambda tag: (-counts[tag], tag))[: settings.most_frequent]
    if not known:
        some = ", ".join(tag for tag, _ in counts.most_common(_NAMED)) or "none at all"
        raise LabelError(
            f"Expected tags that some photograph to learn from has; none of {', '.join(asked) or 'them'} does. The "
            f"most frequent there are: {some}."
        )
    warnings = []
    if lacking:
        named = ", ".join(lacking[:_NAMED]) + (" …" if len(lacking) > _NAMED else "")
        warnings.append(f"{len(lacking)} tags that no photograph to learn from has are left out: {named}.")
    return tuple(sorted(known)), warnings


def tag_matrix(photos: Sequence[Photo], tags: Sequence[str]) -> Tensor:
    """Return which photographs have which tags, bool (photographs, tags)."""
    return torch.tensor([[tag in photo.tags for tag in tags] for photo in photos], dtype=torch.bool)
