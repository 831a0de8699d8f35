"""Overlaps of photographs' masks against loops over single pixels, under every way to average them."""

from __future__ import annotations

import math
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from volumen.errors import LabelError, SettingsError
from volumen.evaluation.photo_overlap import SCORES, PhotoOverlap


def draw(seed: int, photos: int = 7, side: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photographs of which about a third have nothing true, N1HW, with pixels to be ignored."""
    random = np.random.default_rng(seed)
    truth = (random.random((photos, 1, side, side)) < 0.3) & (random.random((photos, 1, 1, 1)) < 0.7)
    probability = np.clip(0.4 * truth + 0.7 * random.random(truth.shape), 0, 1)
    return probability, truth.astype(np.float32), (random.random(truth.shape) < 0.8).astype(np.float32)


def slow_iou(pixels: list[tuple[float, float]]) -> float:
    """Of (prediction, truth) pairs, one pixel at a time."""
    common = predicted = true = 0.0
    for p, t in pixels:
        common, predicted, true = common + p * t, predicted + p, true + t
    return common / (predicted + true - common) if true else math.nan


def slow_scores(
    probability: np.ndarray, truth: np.ndarray, counted: np.ndarray, *, batch: int, threshold: float
) -> dict[str, float]:
    """The six by their definitions."""
    found = {}
    for kind in ("soft", "hard"):
        photos = []
        for p, t, c in zip(probability, truth, counted, strict=True):
            pairs = [(float(a), float(b)) for a, b, d in zip(p.flat, t.flat, c.flat, strict=True) if d]
            photos.append(pairs if kind == "soft" else [(float(a >= threshold), b) for a, b in pairs])
        batches = [list(chain(*photos[at : at + batch])) for at in range(0, len(photos), batch)]
        for name, groups in (("image", photos), ("batch", batches), ("pooled", [list(chain(*photos))])):
            known = [value for value in map(slow_iou, groups) if not math.isnan(value)]
            found[f"iou_{kind}_{name}"] = sum(known) / len(known) if known else math.nan
    return found


@given(seed=st.integers(0, 10_000), batch=st.integers(1, 9), threshold=st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_all_six_equal_loops_over_pixels(seed: int, batch: int, threshold: float) -> None:
    parts = draw(seed)
    scores = PhotoOverlap.of(*parts, threshold=threshold).scores(batch=batch)
    expected = slow_scores(*parts, batch=batch, threshold=threshold)
    assert tuple(scores) == SCORES
    assert scores == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_the_hard_mean_of_images_is_scikit_learns_jaccard() -> None:
    probability, truth, _ = draw(1)
    truth[3] = 0
    overlap = PhotoOverlap.of(probability, truth, np.ones_like(truth))
    full = [number for number in range(len(truth)) if truth[number].any()]
    expected = [jaccard_score(truth[n].ravel() > 0, probability[n].ravel() >= 0.5) for n in full]
    assert overlap.empty == len(truth) - len(full) > 0
    assert overlap.scores(batch=4)["iou_hard_image"] == pytest.approx(np.mean(expected))
    np.testing.assert_allclose(overlap.each()[full], expected)
    assert np.isnan(np.delete(overlap.each(), full)).all()


def test_what_is_to_be_ignored_changes_no_score() -> None:
    probability, truth, counted = draw(2)
    away = counted == 0
    before = PhotoOverlap.of(probability, truth, counted).scores(batch=3)
    other = np.where(away, 1 - probability, probability)
    assert PhotoOverlap.of(other, np.where(away, 1 - truth, truth), counted).scores(batch=3) == before
    assert PhotoOverlap.of(other, truth, np.ones_like(truth)).scores(batch=3) != before
    assert PhotoOverlap.of(np.where(away, np.nan, probability), truth, counted).scores(batch=3) == before


def test_what_is_called_where_nothing_is_true_counts_in_the_pool_only() -> None:
    one, none = np.ones((1, 2, 2)), np.zeros((1, 2, 2))
    right = PhotoOverlap.of(one, one, one)
    both = PhotoOverlap.join([right, PhotoOverlap.of(one, none, one)])
    assert both.empty == 1
    scores = both.scores(batch=2)
    assert (scores["iou_hard_image"], scores["iou_hard_batch"], scores["iou_hard_pooled"]) == (1.0, 0.5, 0.5)
    assert both.scores(batch=1)["iou_hard_batch"] == 1.0


def test_parts_joined_score_as_the_whole() -> None:
    parts = draw(3)
    pieces = [PhotoOverlap.of(*(part[at : at + 2] for part in parts)) for at in range(0, 7, 2)]
    assert PhotoOverlap.join(pieces).scores(batch=3) == PhotoOverlap.of(*parts).scores(batch=3)


def test_draws_are_of_photographs_and_paired() -> None:
    probability, truth, counted = draw(4)
    overlap = PhotoOverlap.of(probability, truth, counted)
    drawn = overlap.draws(batch=3, draws=40, seed=5)
    copies = np.random.default_rng(5).poisson(1.0, size=(40, len(truth)))
    for row in range(40):
        chosen = np.repeat(np.arange(len(truth)), copies[row])
        again = PhotoOverlap(soft=overlap.soft[chosen], hard=overlap.hard[chosen])
        expected = again.scores(batch=max(1, len(chosen)))
        for name in ("iou_soft_image", "iou_hard_image", "iou_soft_pooled", "iou_hard_pooled"):
            assert drawn[name][row] == pytest.approx(expected[name], nan_ok=True)
    better = PhotoOverlap.of(np.where(truth > 0.5, 1.0, 0.0), truth, counted).draws(batch=3, draws=40, seed=5)
    known = np.isfinite(drawn["iou_hard_pooled"])
    assert (better["iou_hard_pooled"][known] == 1).all()


def test_nothing_true_has_no_score() -> None:
    nothing = PhotoOverlap.of(np.full((2, 4), 0.9), np.zeros((2, 4)), np.ones((2, 4)))
    assert all(math.isnan(value) for value in nothing.scores(batch=2).values())
    assert all(math.isnan(value) for value in PhotoOverlap.join([]).scores(batch=2).values())


def test_bad_input_is_refused() -> None:
    ones = np.ones((2, 4))
    with pytest.raises(LabelError, match="one shape"):
        PhotoOverlap.of(ones, ones[:1], ones)
    with pytest.raises(LabelError, match="sigmoid"):
        PhotoOverlap.of(3 * ones, ones, ones)
    with pytest.raises(SettingsError, match="at least one photograph"):
        PhotoOverlap.of(ones, ones, ones).scores(batch=0)
    with pytest.raises(SettingsError, match="draw"):
        PhotoOverlap.of(ones, ones, ones).draws(batch=2, draws=0)
