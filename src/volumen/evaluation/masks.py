"""Scores of an ink map against a label: overlap, ranking and cross-entropy, over the pixels that may be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from volumen.evaluation.counts import LevelCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.evaluation.counts import Confusion

Scores = dict[str, "NDArray[np.float64]"]

LOWER_IS_BETTER = ("bce", "ece")


def score_pixels(
    probability: NDArray[np.generic],
    ink: NDArray[np.generic],
    supervised: NDArray[np.bool_],
    *,
    threshold: float = 0.5,
) -> dict[str, float]:
    """Score a probability map against a soft label over the supervised pixels.

    Parameters
    ----------
    probability
        uint8 (0…255) or float in [0, 1], any shape, such as YX or N1HW; floats are rounded to 65,536 levels.
    ink
        Soft label in [0, 1], same shape. A pixel above one half counts as ink; cross-entropy uses the soft value.
    supervised
        Where the label may be trusted, bool, same shape. Nothing else is looked at.
    threshold
        Probability in [0, 1] from which a pixel is called ink, for the overlap scores.

    Returns
    -------
    dict
        ``auc``, ``average_precision``, ``f05``, ``dice``, ``iou``, ``balanced_accuracy``, ``precision``,
        ``recall`` and ``bce``. A score that the labels leave undefined is NaN, never 0.

    Raises
    ------
    LabelError
        The shapes differ, or a probability is NaN or outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> ink = np.array([[1.0, 1.0, 0.0, 0.0]])
    >>> score_pixels(np.array([[0.9, 0.4, 0.6, 0.1]]), ink, np.ones((1, 4), bool))["auc"]
    0.75
    """
    counts = LevelCounts.of(probability, ink, supervised)
    return {name: float(value) for name, value in score_counts(counts, threshold=threshold).items()}


def score_counts(counts: LevelCounts, *, threshold: float = 0.5) -> Scores:
    """Return all scores of counts of any leading shape, in the order in which people read them."""
    return {**rank_scores(counts), **overlap_scores(counts.at(threshold)), "bce": cross_entropy(counts)}


def rank_scores(counts: LevelCounts) -> Scores:
    """Return the scores that need no threshold: area under the ROC curve, and average precision.

    Both equal scikit-learn's ``roc_auc_score`` and ``average_precision_score`` (ties count one half in the first
    and share one step in the second); NaN where there is only one class.
    """
    ink, background = counts.ink, counts.background
    all_ink, all_background = ink.sum(axis=-1), background.sum(axis=-1)
    beaten = np.cumsum(background, axis=-1) - 0.5 * background
    found = np.cumsum(ink[..., ::-1], axis=-1)[..., ::-1]
    called = found + np.cumsum(background[..., ::-1], axis=-1)[..., ::-1]
    both = (all_ink > 0) & (all_background > 0)
    precision = _divide(found, called, called > 0, otherwise=0.0)
    return {
        "auc": _divide((ink * beaten).sum(axis=-1), all_ink * all_background, both),
        "average_precision": _divide((ink * precision).sum(axis=-1), all_ink, both),
    }


def overlap_scores(confusion: Confusion) -> Scores:
    """Return the scores of a mask: F0.5, Dice, IoU, balanced accuracy, precision and recall.

    All but balanced accuracy need ink in the label; precision also needs a pixel that was called ink. What lacks
    them is NaN.
    """
    hit, false, missed = confusion.true_ink, confusion.false_ink, confusion.missed_ink
    left = confusion.true_background
    inked, empty = hit + missed > 0, false + left > 0
    recall = _divide(hit, hit + missed, inked)
    return {
        "f05": _divide(1.25 * hit, 1.25 * hit + 0.25 * missed + false, inked),
        "dice": _divide(2 * hit, 2 * hit + missed + false, inked),
        "iou": _divide(hit, hit + missed + false, inked),
        "balanced_accuracy": (recall + _divide(left, left + false, empty)) / 2,
        "precision": _divide(hit, hit + false, inked & (hit + false > 0)),
        "recall": recall,
    }


def cross_entropy(counts: LevelCounts) -> NDArray[np.float64]:
    """Return the mean binary cross-entropy in nats against the soft labels, without smoothing.

    A level says no more than that the probability lies within half a step of it, so 0 and 1 count as half a
    step away from certainty: one wrong pixel costs ``log(2 * (levels - 1))``, not infinity.
    """
    half_step = 0.5 / (counts.levels - 1)
    probability = np.clip(counts.probability, half_step, 1 - half_step)
    at_level = counts.ink + counts.background
    loss = -(counts.soft * np.log(probability) + (at_level - counts.soft) * np.log1p(-probability)).sum(axis=-1)
    pixels = counts.pixels
    return _divide(loss, pixels, pixels > 0)


def _divide(
    top: NDArray[np.float64], bottom: NDArray[np.float64], defined: NDArray[np.bool_], otherwise: float = np.nan
) -> NDArray[np.float64]:
    result = np.full(np.shape(top), otherwise)
    np.divide(top, bottom, out=result, where=defined)
    return result
