"""Paired statistics against textbook numbers, slow references and coverage."""

import math

import numpy as np
import pytest
import scipy.stats

from volumen.errors import SettingsError
from volumen.evaluation.intervals import percentile_interval
from volumen.evaluation.paired import Estimate, drawn_interval, mean_interval, paired_difference


def test_the_interval_is_the_textbook_s():
    # by hand: mean 5, deviations -2 0 2, s = 2, t(2, 0.975) = 4.302653, 4.302653 * 2 / sqrt(3) = 4.968275
    estimate = mean_interval([3.0, 5.0, 7.0])
    assert estimate.mean == 5
    assert estimate.low == pytest.approx(5 - 4.968275, abs=1e-5)
    assert estimate.high == pytest.approx(5 + 4.968275, abs=1e-5)
    assert estimate.count == 3


@pytest.mark.parametrize("count", [2, 3, 5, 20])
@pytest.mark.parametrize("share", [0.9, 0.95])
def test_pairs_agree_with_scipy_s_paired_test(count, share):
    rng = np.random.default_rng(count)
    first, second = rng.normal(0.3, 1, count), rng.normal(0, 1, count)
    estimate = paired_difference(first, second, share)
    low, high = scipy.stats.ttest_rel(first, second).confidence_interval(share)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert estimate.mean == pytest.approx((first - second).mean())


def test_what_a_pair_shares_drops_out():
    luck = np.array([0.0, 10.0, -7.0, 3.0])
    alone, paired = mean_interval(list(luck + 0.5)), paired_difference(list(luck + 0.5), list(luck))
    assert (paired.low, paired.high) == pytest.approx((0.5, 0.5))
    assert alone.low < 0 < alone.high


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    estimates = [mean_interval(list(rng.normal(1.0, 2.0, 4))) for _ in range(2000)]
    held = np.mean([estimate.low <= 1.0 <= estimate.high for estimate in estimates])
    assert abs(held - 0.95) < 0.02


def test_missing_numbers_are_left_out_and_one_alone_has_no_interval():
    nan = float("nan")
    assert mean_interval([1.0, nan, 3.0]).count == 2
    assert mean_interval([1.0, nan, 3.0]).mean == 2
    assert paired_difference([1.0, nan], [0.5, 0.5]).mean == 0.5
    for values in ([4.0], [4.0, nan]):
        estimate = mean_interval(values)
        assert estimate.mean == 4
        assert math.isnan(estimate.low)
        assert estimate.verdict() == "undecided"
    assert math.isnan(mean_interval([]).mean)
    with pytest.raises(SettingsError, match="2 and 1"):
        paired_difference([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("low", "high", "higher", "lower"),
    [
        (0.1, 0.3, "holds", "does not hold"),
        (-0.3, -0.1, "does not hold", "holds"),
        (-0.1, 0.3, "undecided", "undecided"),
        (0.0, 0.3, "undecided", "undecided"),
    ],
)
def test_the_whole_interval_decides(low, high, higher, lower):
    estimate = Estimate(mean=(low + high) / 2, low=low, high=high, count=5)
    assert estimate.verdict() == higher
    assert estimate.verdict(lower_is_better=True) == lower


def test_draws_are_averaged_over_seeds_before_the_interval():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(3, 400)), rng.normal(size=(3, 400))
    slow = [sum(first[seed, draw] - second[seed, draw] for seed in range(3)) / 3 for draw in range(400)]
    assert drawn_interval(first, second) == pytest.approx(percentile_interval(np.array(slow)))
    assert drawn_interval(first) == pytest.approx(percentile_interval(first.mean(axis=0)))
    assert drawn_interval(first, first) == (0, 0)
    assert all(map(math.isnan, drawn_interval([[float("nan")] * 4])))
