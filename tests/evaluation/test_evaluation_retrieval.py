from __future__ import annotations

import numpy as np
import pytest

from volumen.errors import LabelError, SettingsError
from volumen.evaluation.paired import drawn_interval
from volumen.evaluation.retrieval import chance_overlap, draw_found, resampled_means, retrieval_overlap

RNG = np.random.default_rng(0)


def slow_overlap(a, b):
    a, b = set(np.flatnonzero(a)), set(np.flatnonzero(b))
    return len(a & b) / len(a | b) if a | b else None


def tags(count, length=7):
    drawn = RNG.random((count, length)) < 0.25
    drawn[::9] = False
    return drawn


def test_the_overlap_is_the_mean_over_what_was_found_that_loops_give():
    queries, index = tags(20), tags(50)
    found = RNG.integers(0, 50, (20, 5))
    got = retrieval_overlap(queries, index, found)
    for query, rows, value in zip(queries, found, got, strict=True):
        known = [each for row in rows if (each := slow_overlap(query, index[row])) is not None]
        assert value == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)


def test_chance_is_what_many_draws_come_to():
    queries, index = tags(6), tags(40)
    exact = chance_overlap(queries, index)
    drawn = np.mean([retrieval_overlap(queries, index, draw_found(6, 40, 5, seed=s)) for s in range(3000)], axis=0)
    assert exact == pytest.approx(drawn, abs=0.01)


def test_chance_is_the_mean_over_the_whole_index_also_in_parts():
    queries, index = tags(600), tags(30)
    got = chance_overlap(queries, index)
    for number in (1, 255, 256, 599):
        known = [each for row in index if (each := slow_overlap(queries[number], row)) is not None]
        assert got[number] == pytest.approx(np.mean(known))


def test_rows_are_drawn_without_repetition_and_the_same_for_a_seed():
    found = draw_found(50, 8, 8, seed=3)
    assert (np.sort(found, axis=1) == np.arange(8)).all()
    assert np.array_equal(found, draw_found(50, 8, 8, seed=3))
    assert not np.array_equal(found, draw_found(50, 8, 8, seed=4))


def test_draws_of_two_searches_are_pairs():
    first = RNG.random(80)
    first[5] = np.nan
    noise = RNG.random(80)
    one, other = (resampled_means(values, draws=400, seed=1) for values in (first + noise, noise))
    low, high = drawn_interval([one], [other])
    assert 0 < low < np.nanmean(first) < high
    alone = resampled_means(noise + 0.01, draws=400, seed=1)
    assert alone - other == pytest.approx(np.full(400, 0.01), abs=1e-12)


def test_the_bootstrap_has_the_spread_of_a_mean():
    values = RNG.normal(size=400)
    assert resampled_means(values, draws=2000, seed=0).std() == pytest.approx(values.std() / 20, rel=0.1)


def test_what_does_not_fit_is_refused():
    with pytest.raises(LabelError, match="same tags"):
        chance_overlap(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(LabelError, match="0 … 3"):
        retrieval_overlap(np.ones((2, 3)), np.ones((4, 3)), np.array([[0], [4]]))
    with pytest.raises(LabelError, match="int"):
        retrieval_overlap(np.ones((2, 3)), np.ones((4, 3)), np.array([[0.0], [1.0]]))
    with pytest.raises(SettingsError, match="can be drawn"):
        draw_found(2, 3, 4, seed=0)
    with pytest.raises(SettingsError, match="bootstrap"):
        resampled_means([], draws=5)
