from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from volumen.errors import LabelError, SettingsError
from volumen.evaluation.labels import THRESHOLDS, best_threshold, guesses, micro_f1_draws, score_tags

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_scores_are_those_of_scikit_learn(share):
    truth, said = RNG.random((60, 9)) < share, RNG.random((60, 9)) < 0.2
    truth[:, 4] = False  # a tag that no image has
    got = score_tags(said, truth)
    by_sample = {"average": "samples", "zero_division": 0}
    assert got["accuracy"] == pytest.approx(metrics.jaccard_score(truth, said, **by_sample))
    assert got["precision"] == pytest.approx(metrics.precision_score(truth, said, **by_sample))
    assert got["recall"] == pytest.approx(metrics.recall_score(truth, said, **by_sample))
    assert got["f1"] == pytest.approx(metrics.f1_score(truth, said, **by_sample))
    assert got["micro_f1"] == pytest.approx(metrics.f1_score(truth, said, average="micro"))
    kept = truth.any(axis=0)
    macro = metrics.f1_score(truth[:, kept], said[:, kept], average="macro", zero_division=0)
    assert got["macro_f1"] == pytest.approx(macro)
    assert got["exact"] == pytest.approx(metrics.accuracy_score(truth, said))


def test_of_a_single_tag_the_micro_f1_is_that_of_having_it():
    truth, said = RNG.random((50, 1)) < 0.3, RNG.random((50, 1)) < 0.4
    assert score_tags(said, truth)["micro_f1"] == pytest.approx(metrics.f1_score(truth[:, 0], said[:, 0]))


def test_the_threshold_is_the_one_that_a_loop_finds():
    truth = RNG.random((40, 6)) < 0.3
    probabilities = np.clip(0.3 * truth + 0.5 * RNG.random((40, 6)), 0, 1)
    tried = [metrics.f1_score(truth, probabilities >= t, average="samples", zero_division=0) for t in THRESHOLDS]
    threshold, scores = best_threshold(probabilities, truth)
    assert threshold == THRESHOLDS[int(np.argmax(tried))]
    assert scores["f1"] == pytest.approx(max(tried))
    assert scores["f1"] > score_tags(probabilities >= 0.5, truth)["f1"]


def test_guesses_look_at_no_image():
    known = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [1, 1, 0]])
    truth = np.array([[1, 1, 0], [1, 0, 0]])
    got = guesses(known, truth)
    assert got["never"] == 0
    assert got["always"] == pytest.approx((2 * 2 / 5 + 2 * 1 / 4) / 2)
    assert got["frequent"] == pytest.approx((1 + 2 / 3) / 2)  # the first two tags, or (2 / 3 + 1) / 2 the first alone


def test_without_a_tag_to_find_pooled_scores_are_undefined():
    got = score_tags(np.zeros((3, 2)), np.zeros((3, 2)))
    assert math.isnan(got["micro_f1"])
    assert math.isnan(got["macro_f1"])
    assert got["exact"] == 1
    assert best_threshold(np.zeros((3, 2)), np.zeros((3, 2)), score="micro_f1")[0] == THRESHOLDS[0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(LabelError, match="both alike"):
        score_tags(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(LabelError, match="not empty"):
        score_tags(np.zeros((0, 2)), np.zeros((0, 2)))


def test_draws_of_f1_are_of_images_and_paired() -> None:
    random = np.random.default_rng(0)
    truth = random.random((12, 3)) < 0.4
    said = truth ^ (random.random((12, 3)) < 0.3)
    drawn = micro_f1_draws(said, truth, draws=30, seed=4)
    copies = np.random.default_rng(4).poisson(1.0, size=(30, 12))
    for row, value in zip(copies, drawn, strict=True):
        chosen = np.repeat(np.arange(12), row)
        assert value == pytest.approx(score_tags(said[chosen], truth[chosen])["micro_f1"])
    assert (micro_f1_draws(truth, truth, draws=30, seed=4) == 1).all()
    assert np.isnan(micro_f1_draws(np.zeros((3, 1)), np.zeros((3, 1)), draws=2)).all()
    with pytest.raises(SettingsError, match="draw"):
        micro_f1_draws(said, truth, draws=0)
