"""Scores of tags: how far what is predicted of each image's tags agrees with those that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import LabelError, SettingsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(1, 50))
"""What `best_threshold` tries: 0.02, 0.04 … 0.98."""


def score_tags(predicted: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Score predicted tags against true ones.

    With P the tags predicted of an image and T those that it has, the example-wise scores are means over images of
    ``|P∩T| / |P∪T|``, ``|P∩T| / |P|``, ``|P∩T| / |T|`` and ``2 |P∩T| / (|P| + |T|)``, each 0 where it divides by
    nothing: scikit-learn's ``jaccard_score``, ``precision_score`` … with ``average="samples"`` and
    ``zero_division=0`` (Godbole and Sarawagi, "Discriminative Methods for Multi-labeled Classification", 2004).

    Parameters
    ----------
    predicted, truth
        (N, L), 1 or True where an image is said to have a tag, and where it has it.

    Returns
    -------
    dict
        Example-wise ``accuracy``, ``precision``, ``recall``, ``f1``; ``micro_f1`` of all images' tags together, which
        of a single tag is the F1 of having it; ``macro_f1``, the mean over tags that any image has; ``exact``, the
        share of images with no tag wrong. NaN where there is no tag to find at all.

    Raises
    ------
    LabelError
        The shapes differ, or there is no image or no tag.

    Examples
    --------
    >>> scores = score_tags([[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 1]])
    >>> scores["accuracy"], round(scores["f1"], 3), scores["exact"]
    (0.75, 0.833, 0.5)
    """
    said, had = _pair(predicted, truth)
    hits, claims, tags = (each.sum(axis=0).astype(np.float64) for each in (said & had, said, had))
    known = tags > 0
    by_tag = _divide(2 * hits[known], (claims + tags)[known])
    nan = float("nan")
    return {
        **{name: float(values.mean()) for name, values in example_scores(said, had).items()},
        "micro_f1": float(2 * hits.sum() / (claims.sum() + tags.sum())) if known.any() else nan,
        "macro_f1": float(by_tag.mean()) if known.any() else nan,
        "exact": float((said == had).all(axis=1).mean()),
    }


def example_scores(predicted: ArrayLike, truth: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Return the example-wise scores of `score_tags` before they are averaged, float64 (N,) each.

    Examples
    --------
    >>> example_scores([[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 1]])["precision"].tolist()
    [0.5, 1.0]
    """
    said, had = _pair(predicted, truth)
    both, said_count, had_count = (each.sum(axis=1).astype(np.float64) for each in (said & had, said, had))
    return {
        "accuracy": _divide(both, said_count + had_count - both),
        "precision": _divide(both, said_count),
        "recall": _divide(both, had_count),
        "f1": _divide(2 * both, said_count + had_count),
    }


def best_threshold(probabilities: ArrayLike, truth: ArrayLike, *, score: str = "f1") -> tuple[float, dict[str, float]]:
    """Return the threshold of `THRESHOLDS` with the best score, the first of equal ones, and all scores there.

    A tag is predicted where its probability is at least the threshold. What is scored on the images that chose it is a
    little too good.

    Parameters
    ----------
    probabilities
        (N, L) in [0, 1].
    truth
        (N, L), 1 or True where an image has a tag.
    score
        One of those that `score_tags` returns.

    Raises
    ------
    LabelError
        As `score_tags`.
    """
    given = np.asarray(probabilities)
    swept = [(threshold, score_tags(given >= threshold, truth)) for threshold in THRESHOLDS]
    return max(swept, key=lambda each: each[1][score] if each[1][score] == each[1][score] else -1.0)


def guesses(known: ArrayLike, truth: ArrayLike, *, score: str = "f1") -> dict[str, float]:
    """Return what guessing scores that looks at no image.

    Parameters
    ----------
    known
        (M, L), tags of the images that were learned from.
    truth
        (N, L), tags of those that are scored.
    score
        One of those that `score_tags` returns.

    Returns
    -------
    dict
        ``always``: every tag is said of every image; ``never``: none is; ``frequent``: the tags that many enough of
        the known images have, how many being chosen on the scored ones, as `best_threshold` does.
    """
    known_tags, had = np.asarray(known).astype(bool), np.asarray(truth).astype(bool)
    share = np.broadcast_to(known_tags.mean(axis=0), had.shape)
    return {
        "always": score_tags(np.ones_like(had), had)[score],
        "never": score_tags(np.zeros_like(had), had)[score],
        "frequent": best_threshold(share, had, score=score)[1][score],
    }


def micro_f1_draws(predicted: ArrayLike, truth: ArrayLike, *, draws: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """Return ``micro_f1`` of resampled sets of images, (draws,); NaN where a set has no tag to find and none is said.

    Each image weighs into each draw with its own Poisson(1) number of copies, as in
    `volumen.evaluation.intervals.BlockBootstrap`. The same truth and seed give the same copies, whatever was
    predicted: draws of two predictions are pairs.

    Raises
    ------
    LabelError
        As `score_tags`.
    SettingsError
        When there is no draw to make.
    """
    said, had = _pair(predicted, truth)
    if draws < 1:
        raise SettingsError(f"A bootstrap needs at least one draw; got {draws}.")
    sums = np.stack([(said & had).sum(axis=1), said.sum(axis=1) + had.sum(axis=1)], axis=1).astype(np.float64)
    copies = np.random.default_rng(seed).poisson(1.0, size=(draws, len(sums)))
    hits, both = (copies.astype(np.float64) @ sums).T
    drawn = np.full(draws, np.nan)
    np.divide(2 * hits, both, out=drawn, where=both > 0)
    return drawn


def _pair(predicted: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    said, had = np.asarray(predicted).astype(bool), np.asarray(truth).astype(bool)
    if said.shape != had.shape or had.ndim != 2 or not had.size:
        raise LabelError(f"Tags are scored as (images, tags), both alike and not empty; got {said.shape}, {had.shape}.")
    return said, had


def _divide(top: NDArray[Any], bottom: NDArray[Any]) -> NDArray[np.float64]:
    result = np.zeros(np.shape(top))
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result
