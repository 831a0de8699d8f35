"""LevelCounts: how many ink and background pixels have each grey level; every mask score follows from it exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.errors import LabelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

INK = 0.5
"""A pixel counts as ink where its soft label is above one half."""

_FLOAT_LEVELS = 65536


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Pixels by truth and verdict, any leading shape; counts may be weighted, so they are floats."""

    true_ink: NDArray[np.float64]
    false_ink: NDArray[np.float64]
    missed_ink: NDArray[np.float64]
    true_background: NDArray[np.float64]

    def __add__(self, other: Confusion) -> Confusion:
        """Add the pixels of two disjoint regions."""
        return Confusion(
            true_ink=self.true_ink + other.true_ink,
            false_ink=self.false_ink + other.false_ink,
            missed_ink=self.missed_ink + other.missed_ink,
            true_background=self.true_background + other.true_background,
        )


@dataclass(frozen=True, kw_only=True)
class LevelCounts:
    """Pixels of ink and of background at each level of a quantised probability.

    An 8-bit ink map has 256 levels, so these few numbers hold all that its scores need, however large it is.
    Leading axes, where there are any, are blocks or bootstrap draws.

    Parameters
    ----------
    ink, background
        Pixels at each level, float64 of shape (..., levels); level k of n stands for probability k / (n - 1).
    soft
        Sum of the soft labels in [0, 1] of all pixels at each level, same shape; cross-entropy needs it.

    Examples
    --------
    >>> import numpy as np
    >>> counts = LevelCounts.of(np.array([[0, 255]], np.uint8), np.array([[0.0, 1.0]]), np.array([[True, True]]))
    >>> counts.ink.sum(), counts.background.sum(), counts.levels
    (np.float64(1.0), np.float64(1.0), 256)
    """

    ink: NDArray[np.float64]
    background: NDArray[np.float64]
    soft: NDArray[np.float64]

    @classmethod
    def of(cls, probability: NDArray[np.generic], ink: NDArray[np.generic], counted: NDArray[np.bool_]) -> LevelCounts:
        """Count the pixels of one region.

        Parameters
        ----------
        probability
            uint8 (0…255) or float in [0, 1], any shape; floats are rounded to 65,536 levels.
        ink
            Soft label in [0, 1], same shape.
        counted
            Which pixels count, bool, same shape.

        Raises
        ------
        LabelError
            The shapes differ, or a counted probability is NaN or outside [0, 1].
        """
        _check_shapes(probability, ink, counted)
        level, levels = quantise(probability[counted])
        table = _tabulate(level, ink[counted], np.zeros(level.shape, np.int64), blocks=1, levels=levels)
        return cls(ink=table[0, 0], background=table[1, 0], soft=table[2, 0])

    @classmethod
    def per_block(
        cls, level: NDArray[np.uint8], ink: NDArray[np.generic], counted: NDArray[np.bool_], *, block: int
    ) -> LevelCounts:
        """Count an 8-bit YX band block by block, row by row; leading axis = blocks of ``block`` × ``block`` px.

        Blocks at the right and bottom edge may be smaller. The band should start on a multiple of ``block``.
        """
        _check_shapes(level, ink, counted)
        y, x = np.nonzero(counted)
        across = -(-level.shape[1] // block)
        blocks = across * -(-level.shape[0] // block)
        table = _tabulate(level[y, x], ink[y, x], y // block * across + x // block, blocks=blocks, levels=256)
        return cls(ink=table[0], background=table[1], soft=table[2])

    @property
    def levels(self) -> int:
        """Number of levels."""
        return int(self.ink.shape[-1])

    @property
    def probability(self) -> NDArray[np.float64]:
        """Probability that each level stands for, in [0, 1]."""
        return np.arange(self.levels) / (self.levels - 1)

    @property
    def pixels(self) -> NDArray[np.float64]:
        """Number of pixels, of the leading shape."""
        total: NDArray[np.float64] = (self.ink + self.background).sum(axis=-1)
        return total

    def __add__(self, other: LevelCounts) -> LevelCounts:
        """Add the pixels of two disjoint regions."""
        return LevelCounts(
            ink=self.ink + other.ink, background=self.background + other.background, soft=self.soft + other.soft
        )

    def at(self, threshold: float) -> Confusion:
        """Call every pixel ink whose probability is ``threshold`` in [0, 1] or more, and compare with the truth."""
        cut = level_of(threshold, self.levels)
        return Confusion(
            true_ink=self.ink[..., cut:].sum(axis=-1),
            false_ink=self.background[..., cut:].sum(axis=-1),
            missed_ink=self.ink[..., :cut].sum(axis=-1),
            true_background=self.background[..., :cut].sum(axis=-1),
        )


def quantise(probability: NDArray[np.generic]) -> tuple[NDArray[np.integer], int]:
    """Return the level of each probability and how many levels there are: 256 for uint8, 65,536 for floats."""
    if probability.dtype == np.uint8:
        return probability.astype(np.uint8, copy=False), 256
    values = probability.astype(np.float64)
    if not np.all((values >= 0) & (values <= 1)):
        raise LabelError("Probabilities must be uint8 or floats in [0, 1] without NaN; give logits a sigmoid first.")
    return np.rint(values * (_FLOAT_LEVELS - 1)).astype(np.int64), _FLOAT_LEVELS


def level_of(threshold: float, levels: int) -> int:
    """Return the first level that stands for ``threshold`` in [0, 1] or more.

    Examples
    --------
    >>> level_of(0.5, 256), level_of(128 / 255, 256)
    (128, 128)
    """
    # the tolerance keeps k / (n - 1), computed elsewhere in floats, on its own level
    return max(0, int(np.ceil(threshold * (levels - 1) - 1e-6)))


def _tabulate(
    level: NDArray[np.integer], ink: NDArray[np.generic], index: NDArray[np.int64], *, blocks: int, levels: int
) -> NDArray[np.float64]:
    """Count N pixels by their block's ``index`` and level into (ink, background, soft) x blocks x levels."""
    key = index * levels + level
    soft = ink.astype(np.float64)
    inked = soft > INK
    rows = (
        np.bincount(key[inked], minlength=blocks * levels),
        np.bincount(key[~inked], minlength=blocks * levels),
        np.bincount(key, weights=soft, minlength=blocks * levels),
    )
    return np.stack(rows).astype(np.float64).reshape(3, blocks, levels)  # 3 (blocks levels) -> 3 blocks levels


def _check_shapes(probability: NDArray[np.generic], ink: NDArray[np.generic], counted: NDArray[np.bool_]) -> None:
    if not probability.shape == ink.shape == counted.shape:
        raise LabelError(
            f"Probability, ink and counted pixels must have one shape; got {probability.shape}, {ink.shape} "
            f"and {counted.shape}."
        )
