"""PhotoOverlap: intersection over union of predicted and true masks of photographs, named by how it is averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import LabelError, SettingsError
from volumen.evaluation.counts import INK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

NAMES = {
    "iou_soft_image": "Soft IoU, mean of images",
    "iou_soft_batch": "Soft IoU, mean of batches",
    "iou_soft_pooled": "Soft IoU, pooled",
    "iou_hard_image": "IoU, mean of images",
    "iou_hard_batch": "IoU, mean of batches",
    "iou_hard_pooled": "IoU, pooled",
}
"""The six, in words. Two of them taken for one number are how a document comes to contradict itself."""

SCORES = tuple(NAMES)
"""Names of the six, in this order; higher is better."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoOverlap:
    """What is common to prediction and truth, what is predicted and what is true, photograph by photograph.

    The intersection over union of sums ``I`` (common), ``P`` (predicted) and ``T`` (true) is ``I / (P + T - I)``
    (Jaccard 1912). Soft, with probabilities p and truth t in {0, 1}: ``I = Σ p t``, ``P = Σ p``, ``T = Σ t``. Hard:
    the same of the pixels with p at the threshold or above. The mean of images takes one such number of each
    photograph, the mean of batches one of the sums of each batch, and pooled is the one of the sums of all.

    A photograph without a true pixel has no overlap: its number is NaN and left out of the mean of images, and
    `empty` counts it. A batch is left out where all its photographs are such. The pixels that are predicted in such
    a photograph are false nevertheless, and count as such in its batch and in the pool.

    Parameters
    ----------
    soft, hard
        Float64 (photographs, 3): common, predicted and true, in pixels.

    Examples
    --------
    >>> overlap = PhotoOverlap.of(np.array([[[0.9, 0.6, 0.0]]]), np.array([[[1.0, 0.0, 0.0]]]), np.ones((1, 1, 3)))
    >>> {name: round(score, 2) for name, score in overlap.scores(batch=8).items() if name.endswith("image")}
    {'iou_soft_image': 0.56, 'iou_hard_image': 0.5}
    """

    soft: NDArray[np.float64]
    hard: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        probability: NDArray[Any],
        truth: NDArray[Any],
        counted: NDArray[Any],
        *,
        threshold: float = 0.5,
    ) -> PhotoOverlap:
        """Add up the pixels of some photographs.

        Parameters
        ----------
        probability
            Float in [0, 1], (photographs, …), such as N1HW.
        truth
            Same shape; above one half where the thing is.
        counted
            Same shape; above one half where the truth may be trusted. Nothing else is looked at: what a photograph
            says to ignore counts neither as found nor as false.
        threshold
            Probability in [0, 1] from which a pixel is called, for the hard sums.

        Raises
        ------
        LabelError
            The shapes differ, or a counted probability is NaN or outside [0, 1].
        """
        if not probability.shape == truth.shape == counted.shape or probability.ndim < 2:
            raise LabelError(
                "Probability, truth and counted pixels must have one shape, photographs first; "
                f"got {probability.shape}, {truth.shape} and {counted.shape}."
            )
        photos = len(probability)
        trusted = (counted > INK).reshape(photos, -1)  # N … -> N pixels
        there = (truth > INK).reshape(photos, -1) & trusted
        likely = np.where(trusted, probability.reshape(photos, -1).astype(np.float64), 0.0)
        if not np.all((likely >= 0) & (likely <= 1)):
            raise LabelError("Probabilities must be floats in [0, 1] without NaN; give logits a sigmoid first.")
        called = (likely >= threshold) & trusted
        true = there.sum(axis=1)
        soft = np.stack([(likely * there).sum(axis=1), likely.sum(axis=1), true], axis=1)
        hard = np.stack([(called & there).sum(axis=1), called.sum(axis=1), true], axis=1)
        return cls(soft=soft.astype(np.float64), hard=hard.astype(np.float64))

    @classmethod
    def join(cls, parts: Iterable[PhotoOverlap]) -> PhotoOverlap:
        """Put the photographs of several parts one after another."""
        gathered = list(parts) or [cls(soft=np.zeros((0, 3)), hard=np.zeros((0, 3)))]
        return cls(
            soft=np.concatenate([part.soft for part in gathered]), hard=np.concatenate([part.hard for part in gathered])
        )

    def __len__(self) -> int:
        return len(self.soft)

    @property
    def empty(self) -> int:
        """How many photographs have no true pixel, and so no overlap of their own."""
        return int((self.soft[:, 2] == 0).sum())

    def each(self) -> NDArray[np.float64]:
        """Return the hard overlap of every photograph, (photographs,); NaN where nothing is true."""
        return _iou(self.hard)

    def scores(self, *, batch: int) -> dict[str, float]:
        """Return the six overlaps of all photographs; NaN where none has a true pixel, never 0.

        Parameters
        ----------
        batch
            Photographs in a batch, in their order; the last may be smaller.
        """
        return {name: float(value[0]) for name, value in self._averaged(np.ones((1, len(self))), batch).items()}

    def draws(self, *, batch: int, draws: int = 1000, seed: int = 0) -> dict[str, NDArray[np.float64]]:
        """Return the six overlaps of resampled sets of photographs, each (draws,).

        Pixels of one photograph are not independent, so photographs are drawn; each weighs into each draw with its
        own Poisson(1) number of copies, as in `volumen.evaluation.intervals.BlockBootstrap`. As many photographs and
        the same seed give the same copies, whatever was predicted: draws of two models are pairs.

        Raises
        ------
        SettingsError
            When there is no draw to make.
        """
        if draws < 1:
            raise SettingsError(f"A bootstrap needs at least one draw; got {draws}.")
        copies = np.random.default_rng(seed).poisson(1.0, size=(draws, len(self)))
        return self._averaged(copies.astype(np.float64), batch)

    def _averaged(self, copies: NDArray[np.float64], batch: int) -> dict[str, NDArray[np.float64]]:
        """Return the six for every row of copies, (draws, photographs)."""
        if batch < 1:
            raise SettingsError(f"A batch has at least one photograph; got {batch}.")
        found = {}
        for kind, sums in (("soft", self.soft), ("hard", self.hard)):
            each = _iou(sums)
            known = np.isfinite(each)
            found[f"iou_{kind}_image"] = _quotient(copies[:, known] @ each[known], copies[:, known].sum(axis=1))
            starts = range(0, len(sums), batch)
            weighed = [copies[:, at : at + batch] @ sums[at : at + batch] for at in starts]
            by_batch = _iou(np.stack(weighed, axis=1)) if weighed else np.zeros((len(copies), 0))
            defined = np.isfinite(by_batch)
            found[f"iou_{kind}_batch"] = _quotient(np.where(defined, by_batch, 0).sum(axis=1), defined.sum(axis=1))
            found[f"iou_{kind}_pooled"] = _iou(copies @ sums)
        return {name: found[name] for name in SCORES}


def _iou(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the overlap of sums (…, 3); NaN where nothing is true."""
    common, predicted, true = np.moveaxis(sums, -1, 0)
    return _quotient(common, np.where(true > 0, predicted + true - common, 0))


def _quotient(top: NDArray[Any], bottom: NDArray[Any]) -> NDArray[np.float64]:
    """Return the quotient, NaN over nothing."""
    result = np.full(np.shape(top), np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result
