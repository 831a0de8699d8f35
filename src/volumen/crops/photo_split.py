"""PhotoSplit: photographs to learn from and photographs to score, drawn by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.sources.photos.photo import Photo

_SPLIT = crc32(b"split of photographs")  # apart from what else is drawn of a seed


@dataclass(frozen=True, kw_only=True)
class PhotoSplit:
    """Photographs in two parts, each in the order of its list."""

    train: tuple[Photo, ...]
    held_out: tuple[Photo, ...]


def split_photos(photos: Sequence[Photo], *, held_out_share: float = 0.1, seed: int = 0) -> PhotoSplit:
    """Part photographs, one by one: at least one is held out, and one learned from.

    Photographs of one scene may come on two sides; where that matters, give lists that are parted already.

    Parameters
    ----------
    photos
        In an order that does not change.
    held_out_share
        Share of them to hold out, in (0, 1).
    seed
        Draws them.

    Raises
    ------
    SettingsError
        If there are fewer than two, or the share is not in (0, 1).
    """
    if not 0 < held_out_share < 1:
        raise SettingsError(f"A share to hold out lies in 0…1, both excluded; got {held_out_share}.")
    if len(photos) < 2:
        raise SettingsError(f"Expected two photographs or more, one to learn from and one to score; got {len(photos)}.")
    count = min(max(1, round(held_out_share * len(photos))), len(photos) - 1)
    held_out = {*np.random.default_rng([seed, _SPLIT]).permutation(len(photos))[:count].tolist()}
    return PhotoSplit(
        train=tuple(photo for index, photo in enumerate(photos) if index not in held_out),
        held_out=tuple(photo for index, photo in enumerate(photos) if index in held_out),
    )
