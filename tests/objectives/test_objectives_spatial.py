from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from volumen.errors import SettingsError
from volumen.models.spatial_heads import ClassHead, StripHead
from volumen.objectives.spatial import Spatial, score_answers


def columns(images, widths):
    """A recogniser in small: a frame is the mean of 4 columns."""
    values = torch.nn.functional.avg_pool2d(images, (1, 4))[:, 0].transpose(1, 2)  # N T H
    return SimpleNamespace(values=values, lengths=widths // 4)


def test_classes_are_scored_by_the_mean_cross_entropy_of_what_counts():
    logits = torch.randn(5, 4, dtype=torch.float64)
    targets, counted = torch.tensor([0, 3, 1, 1, 2]), torch.tensor([True, True, False, True, True])
    got = score_answers(logits, targets, counted)
    losses = [-math.log(math.exp(logits[i, t]) / sum(math.exp(x) for x in logits[i])) for i, t in enumerate(targets)]
    assert float(got.total) == pytest.approx(sum(losses[i] for i in (0, 1, 3, 4)) / 4, abs=1e-12)
    right = [int(logits[i].argmax()) == t for i, t in enumerate(targets.tolist())]
    assert float(got.terms["accuracy"]) == pytest.approx(sum(right[i] for i in (0, 1, 3, 4)) / 4)
    assert float(got.terms["counted"]) == pytest.approx(0.8)
    assert "exact_order" not in got.terms


def test_strips_are_scored_one_by_one_and_as_orders():
    targets = torch.tensor([[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]])
    shown = targets.clone()
    shown[1, 0] = 1  # wrong, and counts
    shown[2, 2] = 1  # wrong, and does not count
    counted = torch.tensor([[True] * 3, [True] * 3, [True, True, False], [True, False, False]])
    logits = 50.0 * torch.nn.functional.one_hot(shown, 3)
    got = score_answers(logits, targets, counted)
    assert float(got.terms["accuracy"]) == pytest.approx(8 / 9)
    assert float(got.terms["exact_order"]) == pytest.approx(2 / 3)  # one strip that counts is no order
    assert float(got.total) == pytest.approx(50 / 9)


def test_what_does_not_count_has_no_say_be_it_nan():
    logits = torch.randn(3, 4)
    logits[1] = torch.nan
    logits.requires_grad_()
    targets, counted = torch.tensor([0, 1, 2]), torch.tensor([True, False, True])
    got = score_answers(logits, targets, counted)
    got.total.backward()
    alone = score_answers(logits.detach()[[0, 2]], targets[[0, 2]], torch.tensor([True, True]))
    assert float(got.total.detach()) == pytest.approx(float(alone.total))
    assert not logits.grad[1].any()
    assert logits.grad[[0, 2]].abs().sum() > 0


def test_where_nothing_counts_the_total_and_every_gradient_are_zero():
    logits = torch.randn(3, 4, 4, requires_grad=True)
    got = score_answers(logits, torch.zeros(3, 4, dtype=torch.int64), torch.zeros(3, 4, dtype=torch.bool))
    got.total.backward()
    assert float(got.total.detach()) == 0
    assert not logits.grad.any()
    assert all(math.isnan(float(got.terms[name])) for name in ("accuracy", "exact_order"))


@pytest.mark.parametrize(("head", "shape"), [(ClassHead(8, 4), (3,)), (StripHead(8, 4), (3, 4))])
def test_a_batch_is_scored_through_encoder_and_head_whatever_its_padding(head, shape):
    images, widths = torch.rand(3, 1, 8, 40), torch.tensor([40, 24, 16])
    targets = torch.randint(4, shape, generator=torch.Generator().manual_seed(0))
    counted = torch.ones(shape, dtype=torch.bool)
    plain = Spatial()(columns, head, images, widths, targets, counted)
    padded = Spatial()(columns, head, torch.nn.functional.pad(images, (0, 20), value=9.0), widths, targets, counted)
    torch.testing.assert_close(padded.total, plain.total)
    torch.testing.assert_close(padded.terms, plain.terms)
    plain.total.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_half_precision_is_scored_in_single():
    logits = torch.tensor([[60000.0, 0.0]], dtype=torch.float16)
    got = score_answers(logits, torch.tensor([1]), torch.tensor([True]))
    assert float(got.total) == pytest.approx(60000)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(SettingsError, match=r"\(3, 4\), \(2,\) and \(2,\)"):
        score_answers(torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.bool))
