"""Mask scores against scikit-learn, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from volumen.errors import LabelError
from volumen.evaluation.counts import LevelCounts
from volumen.evaluation.masks import score_counts, score_pixels

HALF_LEVEL = 0.5 / 255


def draw(seed: int, *, levels: int = 256, side: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A map of few or many levels (ties!), a soft label that it follows loosely, and a supervision mask."""
    random = np.random.default_rng(seed)
    soft = np.clip(random.normal(0.3, 0.4, (side, side)), 0, 1)
    noisy = np.clip(0.5 * soft + 0.5 * random.random((side, side)), 0, 1)
    level = (np.rint(noisy * (levels - 1)) * (255 // (levels - 1))).astype(np.uint8)
    return level, soft, random.random((side, side)) < 0.7


@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 4, 18, 256]), threshold=st.floats(0.01, 0.99))
@settings(max_examples=60)
def test_scores_of_uint8_maps_equal_scikit_learn(seed: int, levels: int, threshold: float) -> None:
    level, soft, supervised = draw(seed, levels=levels)
    scores = score_pixels(level, soft, supervised, threshold=threshold)

    truth, probability = soft[supervised] > 0.5, level[supervised] / 255
    called = probability >= threshold
    clipped = np.clip(probability, HALF_LEVEL, 1 - HALF_LEVEL)
    target = soft[supervised]
    expected = {
        "auc": metrics.roc_auc_score(truth, probability),
        "average_precision": metrics.average_precision_score(truth, probability),
        "f05": metrics.fbeta_score(truth, called, beta=0.5, zero_division=np.nan),
        "dice": metrics.f1_score(truth, called, zero_division=np.nan),
        "iou": metrics.jaccard_score(truth, called, zero_division=0),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, called),
        "precision": metrics.precision_score(truth, called, zero_division=np.nan),
        "recall": metrics.recall_score(truth, called),
        "bce": -np.mean(target * np.log(clipped) + (1 - target) * np.log(1 - clipped)),
    }
    assert set(scores) == set(expected)
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


def test_hard_label_cross_entropy_is_scikit_learns_log_loss() -> None:
    level, soft, supervised = draw(3)
    hard = (soft > 0.5).astype(np.float32)
    probability = np.clip(level[supervised] / 255, HALF_LEVEL, 1 - HALF_LEVEL)
    expected = metrics.log_loss(hard[supervised], probability)
    assert score_pixels(level, hard, supervised)["bce"] == pytest.approx(expected, abs=1e-9)


def test_float_maps_lose_nothing_that_matters_to_65536_levels() -> None:
    random = np.random.default_rng(0)
    ink = (random.random((50, 60)) < 0.2).astype(np.float32)
    # early in training all probabilities are nearly the same: 256 levels would see ties only
    probability = (0.5 + 0.002 * ink * random.random((50, 60)) + 0.001 * random.random((50, 60))).astype(np.float32)
    scores = score_pixels(probability, ink, np.ones((50, 60), bool))
    assert scores["auc"] == pytest.approx(metrics.roc_auc_score(ink.ravel(), probability.ravel()), abs=5e-3)
    spread = random.random((50, 60))
    scores = score_pixels(spread, ink, np.ones((50, 60), bool), threshold=0.3)
    assert scores["auc"] == pytest.approx(metrics.roc_auc_score(ink.ravel(), spread.ravel()), abs=1e-4)
    assert scores["dice"] == pytest.approx(metrics.f1_score(ink.ravel(), spread.ravel() >= 0.3), abs=1e-3)


def test_unsupervised_pixels_do_not_count() -> None:
    level, soft, supervised = draw(1)
    spoiled = np.where(supervised, level, 255 - level).astype(np.uint8)
    flipped = np.where(supervised, soft, 1 - soft)
    assert score_pixels(level, soft, supervised) == score_pixels(spoiled, flipped, supervised)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_class_only_leaves_ranking_undefined_not_zero(value: float) -> None:
    level, soft, supervised = draw(2)
    scores = score_pixels(level, np.full_like(soft, value), supervised)
    assert np.isnan([scores["auc"], scores["average_precision"], scores["balanced_accuracy"]]).all()
    assert np.isfinite(scores["bce"])
    if value == 0.0:
        assert np.isnan([scores[name] for name in ("f05", "dice", "iou", "precision", "recall")]).all()


def test_nothing_supervised_leaves_everything_undefined() -> None:
    level, soft, supervised = draw(2)
    assert np.isnan(list(score_pixels(level, soft, np.zeros_like(supervised)).values())).all()


def test_regions_add_up_and_blocks_sum_to_the_whole() -> None:
    level, soft, supervised = draw(4, side=50)
    whole = LevelCounts.of(level, soft, supervised)
    halves = LevelCounts.of(level[:20], soft[:20], supervised[:20]) + LevelCounts.of(
        level[20:], soft[20:], supervised[20:]
    )
    blocks = LevelCounts.per_block(level, soft, supervised, block=16)
    assert blocks.ink.shape == (16, 256)  # 50 px in blocks of 16 are 4 x 4 blocks
    for part, total in ((halves.ink, whole.ink), (blocks.ink.sum(0), whole.ink), (blocks.soft.sum(0), whole.soft)):
        np.testing.assert_allclose(part, total)
    corner = LevelCounts.of(level[16:32, 32:48], soft[16:32, 32:48], supervised[16:32, 32:48])
    np.testing.assert_array_equal(blocks.background[4 + 2], corner.background)


def test_many_draws_are_scored_as_one_by_one() -> None:
    parts = [LevelCounts.of(*draw(seed)) for seed in range(5)]
    stacked = LevelCounts(
        ink=np.stack([part.ink for part in parts]),
        background=np.stack([part.background for part in parts]),
        soft=np.stack([part.soft for part in parts]),
    )
    together = score_counts(stacked, threshold=0.4)
    for index, part in enumerate(parts):
        for name, value in score_counts(part, threshold=0.4).items():
            assert together[name][index] == pytest.approx(float(value))


@pytest.mark.parametrize(
    "probability", [np.full((2, 2), np.nan), np.full((2, 2), 1.5), np.full((2, 2), -0.1), np.full((2, 3), 0.5)]
)
def test_what_is_no_probability_or_does_not_fit_is_an_error(probability: np.ndarray) -> None:
    with pytest.raises(LabelError):
        score_pixels(probability, np.zeros((2, 2)), np.ones((2, 2), bool))
