"""Stopping: which epoch scored best, and whether it is time to stop."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

LOWER_IS_BETTER = frozenset({"loss", "cer"})


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """The best value of one score so far; a frozen value that `update` replaces.

    Parameters
    ----------
    score
        Name of the score to watch. ``loss`` and ``cer`` are better when lower, every other score when higher.
    patience
        Stop after so many epochs without a better score; 0 never stops.
    best, best_epoch
        Best finite value so far, if any, and the epoch, counted from 1, that is best.
    waited
        Epochs since then.

    Examples
    --------
    >>> stopping = Stopping(score="auc", patience=2)
    >>> for epoch, auc in enumerate([0.7, 0.9, 0.8, 0.85], start=1):
    ...     stopping = stopping.update(epoch, {"auc": auc})
    >>> stopping.best, stopping.best_epoch, stopping.exhausted
    (0.9, 2, True)
    """

    score: str
    patience: int = 0
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0

    def update(self, epoch: int, scores: Mapping[str, float]) -> Stopping:
        """Take in the scores of an epoch, counted from 1; one that is not a number is best only while alone.

        Raises
        ------
        SettingsError
            The watched score is not among ``scores``.
        """
        if self.score not in scores:
            raise SettingsError(f"Expected one of the scores {', '.join(sorted(scores))}; got {self.score!r}.")
        value = float(scores[self.score])
        if math.isfinite(value) and (self.best is None or self._better(value, self.best)):
            return replace(self, best=value, best_epoch=epoch, waited=0)
        if self.best_epoch == 0:  # a run should end with weights even where no score is defined
            return replace(self, best_epoch=epoch)
        return replace(self, waited=self.waited + 1)

    @property
    def improved(self) -> bool:
        """Whether the last epoch taken in is the best."""
        return self.best_epoch > 0 and self.waited == 0

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return 0 < self.patience <= self.waited

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the saved state; ``Stopping(**fields)`` reads them back."""
        return asdict(self)

    def _better(self, value: float, than: float) -> bool:
        return value < than if self.score in LOWER_IS_BETTER else value > than
