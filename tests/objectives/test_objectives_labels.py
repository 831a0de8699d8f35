from __future__ import annotations

import math

import pytest
import torch

from volumen.errors import SettingsError
from volumen.objectives.labels import LabelBce, balanced_weights


def slow_bce(logits, tags, weights):
    losses = []
    for row, truth in zip(logits.tolist(), tags.tolist(), strict=True):
        for logit, has, weight in zip(row, truth, weights, strict=True):
            p = 1 / (1 + math.exp(-logit))
            losses.append(-weight * math.log(p) if has else -math.log(1 - p))
    return sum(losses) / len(losses)


def test_the_loss_is_the_mean_cross_entropy_over_images_and_tags():
    logits, tags = torch.randn(6, 5), torch.rand(6, 5) > 0.6
    got = LabelBce()(logits, tags)
    assert float(got.total) == pytest.approx(slow_bce(logits, tags, [1.0] * 5), abs=1e-6)
    assert float(got.terms["bce"]) == float(got.total)


def test_weights_count_for_the_tags_that_are_there_and_not_in_the_plain_term():
    logits, tags, weights = torch.randn(6, 3), torch.rand(6, 3) > 0.4, (4.0, 0.5, 1.0)
    got = LabelBce(pos_weight=weights)(logits, tags.half())
    assert float(got.total) == pytest.approx(slow_bce(logits, tags, weights), abs=1e-6)
    assert float(got.terms["bce"]) == pytest.approx(slow_bce(logits, tags, [1.0] * 3), abs=1e-6)


def test_balanced_weights_make_guessing_even_the_best_that_a_constant_can_do():
    tags = torch.zeros(40, 1)
    tags[:4] = 1
    loss = LabelBce(pos_weight=balanced_weights(tags))
    logit = torch.zeros(1, 1, requires_grad=True)
    loss(logit.expand(40, 1), tags).total.backward()
    assert float(logit.grad) == pytest.approx(0, abs=1e-7)


def test_tags_that_all_or_none_have_weigh_one():
    assert balanced_weights(torch.tensor([[1, 0, 1], [1, 0, 0]])) == (1.0, 1.0, 1.0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(SettingsError, match="above 0"):
        LabelBce(pos_weight=(1.0, 0.0))
    with pytest.raises(SettingsError, match="one shape"):
        LabelBce()(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(SettingsError, match="2 weights"):
        LabelBce(pos_weight=(1.0, 2.0))(torch.zeros(2, 3), torch.zeros(2, 3))
