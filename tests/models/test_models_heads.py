from __future__ import annotations

import pytest
import torch

from volumen.errors import SettingsError
from volumen.models.frame_pooling import window_means
from volumen.models.heads import build_head
from volumen.models.spatial_heads import ClassHead, StripHead

LENGTHS = torch.tensor([26, 11, 5, 3, 1])


def frames(features: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(5, 26, features, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("windows", [1, 2, 5, 7])
def test_windows_of_each_line_are_those_of_torchs_adaptive_pooling_on_it_alone(windows):
    values = frames()
    pooled = window_means(values, LENGTHS, windows)
    for line, length, got in zip(values, LENGTHS, pooled, strict=True):
        alone = torch.nn.functional.adaptive_avg_pool1d(line[:length].T, windows).T
        torch.testing.assert_close(got, alone)


def test_a_line_shorter_than_its_windows_has_a_window_a_frame_where_frames_are_not_to_be_split():
    values = frames()
    pooled = window_means(values, LENGTHS, 5, split_frames=False)
    torch.testing.assert_close(pooled[:3], window_means(values, LENGTHS, 5)[:3])
    torch.testing.assert_close(pooled[3, :3], values[3, :3])
    assert not pooled[3, 3:].any()


def test_pooling_never_looks_at_the_padding_nor_sends_gradients_there():
    values = frames()
    expected = window_means(values, LENGTHS, 5)
    beyond = torch.arange(26) >= LENGTHS[:, None]
    values[beyond] = torch.nan
    values.requires_grad_()
    pooled = window_means(values, LENGTHS, 5)
    torch.testing.assert_close(pooled, expected)
    pooled.sum().backward()
    assert not values.grad[beyond].any()
    assert values.grad[~beyond].all()


def test_a_line_without_frames_pools_to_zero():
    assert not window_means(frames()[:1], torch.tensor([0]), 3).any()


def test_pooling_of_halves_sums_in_float32():
    values = torch.full((1, 5000, 1), 0.1, dtype=torch.float16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = window_means(values, torch.tensor([5000]), 1)
    assert pooled.dtype == torch.float32
    assert float(pooled) == pytest.approx(float(values[0, 0, 0]), rel=1e-5)


@pytest.mark.parametrize("name", ["none", "mlp", "bilstm"])
def test_padding_a_line_changes_nothing_in_its_frames(name):
    torch.manual_seed(0)
    head, values = build_head(name, 6).eval(), frames()
    together = head(values, LENGTHS)
    assert together.shape == values.shape
    for line, length, got in zip(values, LENGTHS, together, strict=True):
        alone = head(line[None, :length], length[None])[0]
        torch.testing.assert_close(got[:length], alone, atol=1e-6, rtol=0)
        assert not got[length:].any()


@pytest.mark.parametrize(("name", "reach"), [("none", 0), ("mlp", 0), ("bilstm", 25)])
def test_only_the_bilstm_lets_frames_learn_of_each_other(name, reach):
    torch.manual_seed(0)
    values = frames()[:1].requires_grad_()
    build_head(name, 6)(values, torch.tensor([26]))[0, 0].sum().backward()
    touched = values.grad[0].abs().sum(dim=1).nonzero()
    assert int(touched.max()) == reach


def test_heads_have_the_sizes_that_they_say():
    def count(name):
        return sum(parameter.numel() for parameter in build_head(name, 8).parameters())

    assert count("none") == 0
    assert count("mlp") == 2 * (8 * 8 + 8)
    assert count("bilstm") == 2 * 4 * (8 * 8 + 8 * 8 + 2 * 8) + 16 * 8 + 8


@pytest.mark.parametrize("lengths", [[0, 4], [0, 0]])
def test_a_line_without_frames_goes_through_a_bilstm_as_zeros(lengths):
    out = build_head("bilstm", 6)(frames()[:2, :4], torch.tensor(lengths))
    assert not out[0].any()
    assert out.isfinite().all()


def test_all_parameters_of_all_heads_learn():
    for head in (build_head("mlp", 6), build_head("bilstm", 6), ClassHead(6, 4, windows=3), StripHead(6, 4)):
        head(frames(), LENGTHS).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_spatial_heads_do_not_see_the_padding():
    for head in (ClassHead(6, 4, windows=3), StripHead(6, 4)):
        values = frames()
        together = head(values, LENGTHS)
        alone = torch.cat(
            [head(line[None, :length], length[None]) for line, length in zip(values, LENGTHS, strict=True)]
        )
        torch.testing.assert_close(together, alone)


def test_a_strip_is_judged_by_its_own_frames_and_a_class_by_their_order_only_if_windows_are_kept_apart():
    torch.manual_seed(0)
    values, length = frames()[:1, :24], torch.tensor([24])
    halves = torch.cat([values[:, 12:], values[:, :12]], dim=1)
    strips = StripHead(6, 4)
    torch.testing.assert_close(strips(halves, length), strips(values, length).roll(2, dims=1))
    bag, kept = ClassHead(6, 4), ClassHead(6, 4, windows=2)
    torch.testing.assert_close(bag(halves, length), bag(values, length))
    assert (kept(halves, length) - kept(values, length)).abs().max() > 1e-3


def test_what_cannot_be_built_is_said():
    with pytest.raises(SettingsError, match="none, mlp, bilstm; got 'linear'"):
        build_head("linear", 4)
    with pytest.raises(SettingsError, match="at least one feature"):
        build_head("mlp", 0)
    with pytest.raises(SettingsError, match="two classes"):
        ClassHead(4, 1)
    with pytest.raises(SettingsError, match="two strips"):
        StripHead(4, 1)
    with pytest.raises(SettingsError, match="1 as windows; got 0"):
        ClassHead(4, 4, windows=0)
    with pytest.raises(SettingsError, match="one window; got 0"):
        window_means(frames(), LENGTHS, 0)
    with pytest.raises(SettingsError, match=r"\(5, 26, 6\) and lengths \(4,\)"):
        build_head("mlp", 6)(frames(), LENGTHS[:4])
