"""Feature spread: 1 and full rank for isotropic features, 0 for collapse, k for features of rank k."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.errors import DivergedError, SettingsError
from volumen.evaluation.spread import feature_spread


def slow_spread(features: np.ndarray) -> tuple[float, float]:
    """The two definitions, row by row and value by value."""
    rows = [row / np.sqrt(sum(value**2 for value in row)) for row in features]
    deviations = []
    for channel in range(features.shape[1]):
        values = [row[channel] for row in rows]
        mean = sum(values) / len(values)
        deviations.append(np.sqrt(sum((value - mean) ** 2 for value in values) / len(values)))
    centred = features - features.mean(axis=0)
    values = np.sqrt(np.linalg.eigvalsh(centred @ centred.T).clip(0))
    share = values[values > 1e-7 * values.max()] / values.sum()
    return np.sqrt(features.shape[1]) * np.mean(deviations), np.exp(-np.sum(share * np.log(share)))


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 12), channels=st.integers(1, 12))
def test_spread_is_what_the_papers_define(seed: int, count: int, channels: int) -> None:
    random = np.random.default_rng(seed)
    features = random.normal(random.normal(), 1, (count, channels))
    scores = feature_spread(features)
    spread, rank = slow_spread(features)
    assert scores["spread"] == pytest.approx(spread)
    assert scores["effective_rank"] == pytest.approx(rank, rel=1e-5)
    assert scores["rank_share"] == pytest.approx(rank / min(count - 1, channels), rel=1e-5)
    assert scores["rank_share"] <= 1 + 1e-9


def test_isotropic_features_spread_by_one() -> None:
    scores = feature_spread(np.random.default_rng(0).normal(size=(4000, 64)).astype(np.float32))
    assert scores["spread"] == pytest.approx(1, abs=0.01)
    assert scores["rank_share"] > 0.98


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1e6 / 3])
def test_collapsed_features_have_neither_spread_nor_rank(value: float) -> None:
    features = np.full((50, 16), value) * np.arange(1, 17)
    scores = feature_spread(features)
    assert scores["spread"] == pytest.approx(0, abs=1e-7)
    assert scores["effective_rank"] == scores["rank_share"] == 0


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_orthogonal_features_of_rank_k_have_effective_rank_k(rank: int) -> None:
    random = np.random.default_rng(rank)
    left, right = (np.linalg.qr(random.normal(size=(side, rank + 1)))[0] for side in (40, 24))
    left[:, 0] = 1  # so that the others, made orthogonal to it, are centred
    left = np.linalg.qr(left)[0][:, 1:]
    scores = feature_spread(left @ right[:, :rank].T + 5)
    assert scores["effective_rank"] == pytest.approx(rank)
    assert scores["rank_share"] == pytest.approx(rank / 24)


def test_scale_changes_nothing_and_a_lean_to_one_side_lowers_the_spread() -> None:
    features = np.random.default_rng(0).normal(size=(100, 8))
    plain, scaled, leaning = (feature_spread(each) for each in (features, 1e-3 * features, features + 3))
    assert scaled == pytest.approx(plain)
    assert leaning["spread"] < 0.5 * plain["spread"]
    assert leaning["effective_rank"] == pytest.approx(plain["effective_rank"])


def test_what_is_no_table_of_numbers_is_an_error() -> None:
    for shape in ((5,), (1, 5), (4, 0), (2, 3, 4)):
        with pytest.raises(SettingsError, match="at least two rows"):
            feature_spread(np.zeros(shape))
    with pytest.raises(DivergedError, match="NaN"):
        feature_spread(np.array([[1.0, np.nan], [0.0, 1.0]]))
