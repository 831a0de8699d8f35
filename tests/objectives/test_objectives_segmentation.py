import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segmentation_models_pytorch.losses import DiceLoss, SoftBCEWithLogitsLoss

from volumen.errors import SettingsError
from volumen.objectives.segmentation import BceDice


def batch(seed=0, soft=True, share=1.0, shape=(3, 1, 9, 11)):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator) * 3
    ink = torch.rand(shape, generator=generator)
    ink = ink * (ink > 0.6) if soft else (ink > 0.6).float()
    supervision = (torch.rand(shape, generator=generator) < share).float()
    return logits, ink, supervision


def slow_dice(logits, ink):
    """The formula, pixel by pixel in double precision."""
    overlap = total = 0.0
    for logit, target in zip(logits.flatten().tolist(), ink.flatten().tolist(), strict=True):
        probability = 1 / (1 + math.exp(-logit))
        overlap += probability * target
        total += probability + target
    return torch.tensor(1 - 2 * overlap / total)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.15, 0.25])
def test_full_supervision_equals_the_library_s_losses(seed, soft, smoothing):
    logits, ink, supervision = batch(seed, soft)
    loss = BceDice(label_smoothing=smoothing)(logits, ink, supervision)
    bce = SoftBCEWithLogitsLoss(smooth_factor=smoothing)(logits, ink)
    dice = slow_dice(logits, ink) if soft else DiceLoss("binary")(logits, ink)
    torch.testing.assert_close(loss.terms["bce"], bce, atol=1e-6, rtol=0)
    torch.testing.assert_close(loss.terms["dice"], dice, atol=1e-6, rtol=0)
    torch.testing.assert_close(loss.total, 0.5 * bce + 0.5 * dice, atol=1e-6, rtol=0)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, ink)
    torch.testing.assert_close(loss.terms["bce_unsmoothed"], plain, atol=1e-6, rtol=0)


@given(seed=st.integers(0, 1000), share=st.floats(0.05, 1), weight=st.floats(0, 1))
def test_the_loss_is_that_of_the_supervised_pixels_alone(seed, share, weight):
    logits, ink, supervision = batch(seed, share=share)
    trusted = supervision > 0.5
    if not trusted.any():
        return
    objective = BceDice(bce_weight=weight, label_smoothing=0.1)
    alone = [tensor[trusted].reshape(1, 1, 1, -1) for tensor in (logits, ink, supervision)]
    torch.testing.assert_close(objective(logits, ink, supervision).total, objective(*alone).total, atol=1e-6, rtol=1e-6)


def test_what_is_not_supervised_is_never_looked_at():
    logits, ink, supervision = batch(share=0.5)
    elsewhere = supervision < 0.5
    logits.requires_grad_()
    loss = BceDice()(logits, ink, supervision)
    loss.total.backward()
    assert float(logits.grad[elsewhere].abs().max()) == 0
    assert float(logits.grad[~elsewhere].abs().min()) > 0
    for content in (1.0, 0.0, float("nan")):
        other = BceDice()(logits, torch.where(elsewhere, content, ink), supervision)
        assert torch.equal(other.total, loss.total)


def test_without_any_supervised_pixel_loss_and_gradients_are_exactly_zero():
    logits, ink, supervision = batch()
    logits.requires_grad_()
    loss = BceDice(label_smoothing=0.2)(logits, ink, torch.zeros_like(supervision))
    loss.total.backward()
    assert loss.total.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))
    assert {name: float(term) for name, term in loss.terms.items()} == {"bce": 0, "dice": 0, "bce_unsmoothed": 0}


def test_without_ink_only_cross_entropy_teaches():
    logits, ink, supervision = batch(share=0.7)
    logits.requires_grad_()
    loss = BceDice()(logits, torch.zeros_like(ink), supervision)
    loss.total.backward()
    assert float(loss.terms["dice"]) == 0
    assert loss.total.item() == pytest.approx(0.5 * float(loss.terms["bce"]))
    assert float(logits.grad[supervision > 0.5].min()) > 0  # every supervised pixel is pushed towards no ink
    # Ink outside the supervision is no ink.
    hidden = BceDice()(logits, 1 - supervision, supervision)
    assert torch.equal(hidden.total, loss.total)


def test_all_ink_and_a_perfect_prediction_cost_nothing():
    ones = torch.ones(2, 1, 4, 4)
    assert float(BceDice()(ones * 40, ones, ones).total) == pytest.approx(0, abs=1e-6)
    assert float(BceDice()(ones * -40, ones, ones).terms["dice"]) == pytest.approx(1, abs=1e-6)


def test_soft_targets_are_not_thresholded():
    half = torch.full((1, 1, 2, 2), 0.5)
    loss = BceDice()(torch.zeros(1, 1, 2, 2), half, torch.ones(1, 1, 2, 2))
    # p = t = 1/2 everywhere: 1 - 2·Σ¼ / Σ1 = ½, and a cross-entropy of ln 2.
    assert float(loss.terms["dice"]) == pytest.approx(0.5, abs=1e-6)
    assert float(loss.terms["bce"]) == pytest.approx(0.6931472, abs=1e-6)


def test_extreme_logits_and_half_precision_stay_finite():
    _, ink, supervision = batch()
    for logits in (torch.full_like(ink, 1e4), torch.full_like(ink, -1e4), torch.full_like(ink, 6e4).half()):
        logits.requires_grad_()
        loss = BceDice()(logits, ink, supervision)
        loss.total.backward()
        assert loss.total.dtype == torch.float32
        assert torch.isfinite(loss.total)
        assert torch.isfinite(logits.grad).all()


def test_descending_the_loss_finds_the_ink():
    _, ink, supervision = batch(soft=False, share=0.8)
    logits = torch.zeros_like(ink, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        BceDice()(logits, ink, supervision).total.backward()
        optimizer.step()
    trusted = supervision > 0.5
    assert torch.equal(logits[trusted] > 0, ink[trusted] > 0.5)
    assert float(logits.detach()[~trusted].abs().max()) == 0


def test_reported_terms_hold_no_graph():
    logits, ink, supervision = batch()
    loss = BceDice()(logits.requires_grad_(), ink, supervision)
    assert loss.total.requires_grad
    assert not any(term.requires_grad for term in loss.terms.values())


@pytest.mark.parametrize("setting", [{"bce_weight": 1.1}, {"bce_weight": -0.1}, {"label_smoothing": 1.0}])
def test_settings_out_of_bounds_are_refused(setting):
    with pytest.raises(SettingsError, match="must lie in 0…1"):
        BceDice(**setting)


def test_shapes_that_differ_are_refused():
    logits, ink, supervision = batch()
    with pytest.raises(SettingsError, match=r"ink \(3, 9, 11\)"):
        BceDice()(logits, ink[:, 0], supervision)
