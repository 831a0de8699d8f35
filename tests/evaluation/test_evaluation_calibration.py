"""Thresholds against a search by brute force; cross-fitting; reliability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from volumen.evaluation.calibration import CrossFit, Folds, best_threshold, calibration_error, reliability
from volumen.evaluation.counts import LevelCounts
from volumen.evaluation.tally import Tally


def counted(level: np.ndarray, ink: np.ndarray) -> LevelCounts:
    return LevelCounts.of(level, ink, np.ones(ink.shape, bool))


@given(seed=st.integers(0, 10_000), ink_share=st.floats(0.02, 0.9))
@settings(max_examples=30)
def test_the_threshold_is_the_best_of_all(seed: int, ink_share: float) -> None:
    random = np.random.default_rng(seed)
    ink = random.random(400) < ink_share
    ink[:2] = [False, True]
    level = np.clip(random.normal(100 + 60 * ink, 50), 0, 255).astype(np.uint8)
    found = best_threshold(counted(level, ink))
    reached = metrics.fbeta_score(ink, level / 255 >= found, beta=0.5)
    hits = [1.25 * (ink & (level >= cut)).sum() for cut in range(256)]
    wrong = [0.25 * (ink & (level < cut)).sum() + (~ink & (level >= cut)).sum() for cut in range(256)]
    best = max(hit / (hit + miss) for hit, miss in zip(hits, wrong, strict=True))
    assert reached == pytest.approx(best, abs=1e-12)


def test_no_ink_or_no_background_gives_no_threshold() -> None:
    level = np.arange(256, dtype=np.uint8)
    assert np.isnan(best_threshold(counted(level, np.zeros(256))))
    assert np.isnan(best_threshold(counted(level, np.ones(256))))


def test_scores_of_a_guessing_map_are_not_optimistic() -> None:
    """On pure noise, choosing the threshold on the scored pixels themselves flatters; cross-fitting does not."""
    random = np.random.default_rng(0)
    crossed, flattered, chance = [], [], []
    for _ in range(200):
        level = random.integers(0, 256, (2, 40)).astype(np.uint8)
        ink = random.random((2, 40)) < 0.3
        folds = [counted(level[0], ink[0]), counted(level[1], ink[1])]
        fit = CrossFit.choose(*folds)
        crossed.append(float(fit.scores(*folds)["f05"]))
        flattered.append(metrics.fbeta_score(ink.ravel(), level.ravel() / 255 >= fit.threshold, beta=0.5))
        chance.append(metrics.fbeta_score(ink.ravel(), np.ones(80, bool), beta=0.5))
    assert np.mean(flattered) > np.mean(chance) + 0.03
    assert np.mean(crossed) < np.mean(chance) + 0.01


def test_each_fold_is_judged_by_the_threshold_of_the_other() -> None:
    first = counted(np.array([10, 90], np.uint8), np.array([0, 1]))
    second = counted(np.array([120, 200], np.uint8), np.array([0, 1]))
    fit = CrossFit.choose(first, second)
    assert fit.crossed
    assert (fit.first, fit.second) == (best_threshold(second), best_threshold(first))
    verdict = fit.judge(first, second)
    # 121…200 separates the second fold and misses 90; 11…90 separates the first and calls 120 ink
    assert (verdict.true_ink, verdict.missed_ink, verdict.false_ink, verdict.true_background) == (1, 1, 1, 1)


def test_a_fold_without_ink_is_said() -> None:
    inked = counted(np.array([10, 90], np.uint8), np.array([0, 1]))
    bare = counted(np.array([10, 90], np.uint8), np.array([0, 0]))
    fit = CrossFit.choose(inked, bare)
    assert not fit.crossed
    assert fit.first == fit.second == fit.threshold


def test_folds_share_ink_and_background_evenly() -> None:
    ink = np.zeros((101, 256))
    ink[::10, 0] = 1
    counts = LevelCounts(ink=ink, background=np.ones_like(ink), soft=ink)
    for seed in range(5):
        in_second = Folds(seed).draw(counts)
        assert abs(in_second[::10].sum() - 5.5) <= 0.5
        assert abs(in_second.sum() - 50.5) <= 1
    assert (Folds(0).draw(counts) != Folds(1).draw(counts)).any()


def test_a_tally_with_a_given_threshold_scores_at_it() -> None:
    random = np.random.default_rng(1)
    ink = random.random((64, 64)) < 0.3
    level = np.clip(random.normal(100 + 60 * ink, 50), 0, 255).astype(np.uint8)
    tally = Tally(block=8, draws=20, seed=0)
    tally.add(level, ink.astype(np.float32), np.ones(ink.shape, bool))
    scores = tally.scores(threshold=0.6)
    assert scores["threshold"] == 0.6
    assert scores["dice"] == pytest.approx(metrics.f1_score(ink.ravel(), level.ravel() / 255 >= 0.6))
    assert tally.scores()["threshold"] == best_threshold(counted(level, ink))


def test_true_probabilities_are_reliable_and_shifted_ones_are_not() -> None:
    random = np.random.default_rng(0)
    level = random.integers(0, 256, 400_000).astype(np.uint8)
    ink = random.random(level.shape) < level / 255
    honest = counted(level, ink)
    assert calibration_error(honest) < 0.01
    bins = reliability(honest)
    np.testing.assert_allclose(bins.probability, bins.ink_share, atol=0.02)
    assert bins.pixels.sum() == level.size
    sure = counted(np.where(level >= 128, 255, 0).astype(np.uint8), ink)
    assert calibration_error(sure) == pytest.approx(0.25, abs=0.01)  # mean of p below one half, and of 1 - p above
    assert len(reliability(sure).pixels) == 2
