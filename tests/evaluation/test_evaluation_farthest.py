"""Scaled vectors, doubt of maps and greedy choice against slow references."""

import math

import numpy as np
import pytest

from volumen.errors import SettingsError
from volumen.evaluation.farthest import pick_farthest
from volumen.evaluation.scaled import ScaledRows
from volumen.evaluation.surroundings import LocalRows
from volumen.evaluation.uncertainty import doubt, window_sums


def slow_picks(vectors, worth, count, known, weight, clashing):
    """Choose by looking at every row and every chosen one, one after the other."""
    chosen, distances = [], []
    for _ in range(count):
        best, which, far = -1.0, None, None
        for row in range(len(vectors)):
            if row in chosen or worth[row] <= 0 or any(clashing(other)[row] for other in chosen):
                continue
            away = [math.dist(vectors[row], vectors[other]) for other in chosen]
            distance = min([*away, known[row] if known is not None else math.inf])
            value = worth[row] * (1.0 if math.isinf(distance) else distance) ** weight
            if value > best:
                best, which, far = value, row, distance
        if which is None:
            break
        chosen.append(which)
        distances.append(far)
    return chosen, distances


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("is_known", [False, True])
def test_choices_are_those_of_looking_at_everything(seed, weight, is_known):
    rng = np.random.default_rng(seed)
    vectors, worth = rng.normal(size=(40, 3)), rng.random(40) * (rng.random(40) > 0.2)
    known = rng.random(40) * 3 if is_known else None

    def clashing(row):
        return np.abs(np.arange(40) - row) < 2

    picks = pick_farthest(vectors, worth, 12, known=known, weight=weight, clashing=clashing)
    rows, distances = slow_picks(vectors, worth, 12, known, weight, clashing)
    assert [pick.row for pick in picks] == rows
    np.testing.assert_allclose([pick.distance for pick in picks], distances)
    assert [pick.worth for pick in picks] == [worth[row] for row in rows]


def test_equal_worth_covers_within_twice_the_best_radius():
    # Gonzalez: three clusters, three picks, one in each
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(size=(20, 2)) * 0.1 + centre for centre in ([0, 0], [9, 0], [0, 9])])
    picks = pick_farthest(vectors, np.ones(60), 3)
    assert sorted(pick.row // 20 for pick in picks) == [0, 1, 2]


def test_no_worth_is_never_chosen_and_nonsense_is_refused():
    assert [pick.row for pick in pick_farthest(np.eye(4), np.array([0, 1.0, 0, 0]), 3)] == [1]
    with pytest.raises(SettingsError, match="each of 4 rows"):
        pick_farthest(np.eye(4), np.ones(3), 1)
    for bad in (-1.0, np.nan):
        with pytest.raises(SettingsError, match="at least 0"):
            pick_farthest(np.eye(2), np.array([bad, 1.0]), 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_standardized_rows_have_mean_zero_and_deviation_one(dtype, monkeypatch):
    monkeypatch.setattr("volumen.evaluation.scaled._CHUNK_VALUES", 40)  # ten rows at a time
    rng = np.random.default_rng(1)
    plain = (rng.normal(size=(137, 4)) * [1, 5, 0, 0.01] + [0, 100, 3, -2]).astype(dtype)
    scaled = ScaledRows.of(plain, "standardized")
    rows = scaled[0:137]
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(rows.std(axis=0), [1, 1, 0, 1], atol=1e-9)
    assert np.array_equal(scaled[5:9], rows[5:9])


def test_unit_rows_have_length_one_and_plain_ones_stay():
    rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert ScaledRows.of(rows, "unit")[0:2].tolist() == [[0.6, 0.8], [0.0, 0.0]]
    assert ScaledRows.of(rows, "plain")[0:2].tolist() == rows.tolist()
    with pytest.raises(SettingsError, match="cosine"):
        ScaledRows.of(rows, "cosine")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reach", [0, 15, 40, 1000])
def test_surroundings_are_those_of_looking_at_every_window(seed, reach):
    rng = np.random.default_rng(seed)
    corners = np.array([(y, x) for y in (0, 16, 32, 48, 90) for x in sorted(rng.permutation(120)[:9])])
    vectors = rng.normal(size=(45, 3)).astype(np.float16)
    local = LocalRows(vectors, corners, reach)
    plain = vectors.astype(np.float64)
    wanted = [
        row - plain[(np.abs(corners - corner) <= reach).all(axis=1)].mean(axis=0)
        for row, corner in zip(plain, corners, strict=True)
    ]
    np.testing.assert_allclose(local[0:45], wanted, atol=1e-12)
    for start, stop in ((0, 1), (7, 20), (44, 45), (9, 18), (5, 5)):
        np.testing.assert_allclose(local[start:stop], np.reshape(wanted[start:stop], (-1, 3)), atol=1e-12)


def test_surroundings_need_windows_row_by_row():
    for corners in ([[0, 0], [0, 0]], [[5, 0], [0, 0]], [[0, 5], [0, 0]], [[0, 0]]):
        with pytest.raises(SettingsError, match="sorted by y"):
            LocalRows(np.zeros((2, 1)), np.array(corners), 3)


def test_doubt_is_the_textbook_s():
    for level in (0, 1, 64, 127, 128, 254, 255):
        p = level / 255
        entropy = -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)
        assert doubt(np.array(level, np.uint8)) == pytest.approx(entropy)
        assert doubt(np.array(level, np.uint8), "margin") == pytest.approx(2 * min(p, 1 - p))
    with pytest.raises(SettingsError, match="variance"):
        doubt(np.zeros(1, np.uint8), "variance")


def test_sums_over_windows_are_sums_over_slices():
    rng = np.random.default_rng(2)
    band, starts = rng.random((7, 90)), np.array([0, 3, 50, 83])
    np.testing.assert_allclose(window_sums(band, starts, 7), [band[:, s : s + 7].sum() for s in starts])
    assert window_sums(band > 0.5, starts, 7).tolist() == [(band[:, s : s + 7] > 0.5).sum() for s in starts]
