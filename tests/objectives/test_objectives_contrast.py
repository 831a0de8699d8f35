from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from volumen.errors import SettingsError
from volumen.objectives.collapse import read_outs
from volumen.objectives.contrast import symmetric_nce


def pair(count: int = 7, features: int = 5, seed: int = 0, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(count, features, generator=generator, dtype=dtype)
    return first, first + 0.5 * torch.randn(count, features, generator=generator, dtype=dtype)


def written(first, second, temperature: float) -> float:
    """The sum of SeqCLR's equations, one number at a time, over the number of its terms."""
    everything = [*first.tolist(), *second.tolist()]

    def sim(u, v):
        dot = sum(x * y for x, y in zip(u, v, strict=True))
        return dot / math.sqrt(sum(x * x for x in u)) / math.sqrt(sum(x * x for x in v))

    def nce(anchor: int, own: int) -> float:
        top = math.exp(sim(everything[anchor], everything[own]) / temperature)
        others = [index for index in range(len(everything)) if index != anchor]
        return -math.log(
            top / sum(math.exp(sim(everything[anchor], everything[other]) / temperature) for other in others)
        )

    count = len(first)
    forth = sum(nce(r, count + r) for r in range(count))
    back = sum(nce(count + r, r) for r in range(count))
    return (forth + back) / (2 * count)


def nt_xent(first, second, temperature: float):
    """SimCLR's loss in the usual form: cross-entropy over the rows of one similarity matrix."""
    unit = F.normalize(torch.cat([first, second]), dim=1)
    logits = (unit @ unit.T / temperature).masked_fill(torch.eye(len(unit), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(unit)).roll(len(first)))


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("chunk", [1, 30, 10**6])
def test_the_loss_is_the_one_written(temperature, chunk):
    first, second = pair()
    loss, _ = symmetric_nce(first, second, temperature=temperature, chunk=chunk)
    assert float(loss) == pytest.approx(written(first, second, temperature), abs=1e-9, rel=1e-9)
    assert float(loss) == pytest.approx(float(nt_xent(first, second, temperature)), abs=1e-9, rel=1e-9)


@pytest.mark.parametrize("chunk", [1, 45, 10**6])
def test_gradients_are_those_of_the_naive_form(chunk):
    grads = []
    for loss_of in (lambda a, b: 3 * symmetric_nce(a, b, chunk=chunk)[0], lambda a, b: 3 * nt_xent(a, b, 0.1)):
        first, second = (view.requires_grad_() for view in pair())
        loss_of(first, second).backward()
        grads.append((first.grad, second.grad))
    torch.testing.assert_close(grads[0], grads[1], atol=1e-12, rtol=1e-9)


def test_gradients_are_those_of_finite_differences():
    first, second = (view.requires_grad_() for view in pair(4, 3))
    assert torch.autograd.gradcheck(lambda a, b: symmetric_nce(a, b, chunk=20)[0], (first, second))


def test_permuting_the_instances_permutes_the_gradients_and_nothing_else():
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    results = []
    for index in (torch.arange(7), order):
        first, second = (view[index].clone().requires_grad_() for view in pair())
        loss, matched = symmetric_nce(first, second, chunk=28)
        loss.backward()
        results.append((loss.detach(), matched, first.grad, second.grad))
    (loss, matched, a, b), (loss2, matched2, a2, b2) = results
    torch.testing.assert_close((loss2, matched2, a2, b2), (loss, matched, a[order], b[order]))


def test_swapping_the_views_changes_nothing():
    first, second = pair()
    torch.testing.assert_close(symmetric_nce(second, first), symmetric_nce(first, second))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-2, 1e3])
def test_half_precision_and_a_low_temperature_stay_finite_and_right(dtype, scale):
    first, second = ((scale * view).to(dtype).requires_grad_() for view in pair(50, 16))
    with torch.autocast("cpu", dtype=dtype):
        loss, _ = symmetric_nce(first, second, temperature=0.05)
        loss.backward()
    assert loss.dtype == torch.float32
    assert first.grad.isfinite().all()
    assert first.grad.abs().sum() > 0
    exact = nt_xent(first.detach().double(), second.detach().double(), 0.05)
    assert float(loss.detach()) == pytest.approx(float(exact), rel=1e-4)


def test_all_alike_at_a_temperature_that_overflows_halves_is_the_logarithm_of_the_number_of_others():
    alike = torch.ones(9, 4, dtype=torch.float16)
    loss, matched = symmetric_nce(alike, alike, temperature=0.01)
    assert float(loss) == pytest.approx(math.log(17), rel=1e-4)
    assert float(matched) <= 1


def test_backward_holds_no_matrix_of_all_similarities():
    """The largest tensor that is made, forwards or backwards, is as large as a chunk or the instances."""
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple | list) else [out]:
                if isinstance(tensor, torch.Tensor):
                    largest = max(largest, tensor.numel())
            return out

    first, second = (view.requires_grad_() for view in pair(300, 4, dtype=torch.float32))
    with Watch():
        symmetric_nce(first, second, chunk=20 * 600)[0].backward()
    assert largest == 20 * 600 < 600 * 600


def test_matched_is_the_share_of_instances_nearest_to_their_own():
    first, second = pair(40, 3, dtype=torch.float32)
    unit = F.normalize(torch.cat([first, second]), dim=1)
    similar = (unit @ unit.T).fill_diagonal_(-2)
    expected = (similar.argmax(dim=1) == torch.arange(80).roll(40)).float().mean()
    _, matched = symmetric_nce(first, second, chunk=7 * 80)
    assert 0.05 < float(expected) < 0.95
    assert float(matched) == pytest.approx(float(expected))


def test_bad_arguments_are_named():
    first, second = pair()
    with pytest.raises(SettingsError, match=r"\(7, 5\) and \(6, 5\)"):
        symmetric_nce(first, second[:6])
    with pytest.raises(SettingsError, match="at least one"):
        symmetric_nce(first[:0], second[:0])
    with pytest.raises(SettingsError, match="above 0; got 0"):
        symmetric_nce(first, second, temperature=0)


def test_collapse_shows():
    generator = torch.Generator().manual_seed(0)
    spread = torch.randn(400, 16, generator=generator)
    point = torch.ones(400, 16) * torch.rand(400, 1, generator=generator)
    plane = torch.randn(400, 2, generator=generator) @ torch.randn(2, 16, generator=generator)
    ranks = [float(read_outs(view, view)["effective_rank"]) for view in (point, plane, spread)]
    assert ranks[0] == pytest.approx(1, abs=1e-4)
    assert 1.5 < ranks[1] <= 2 + 1e-4
    assert 14 < ranks[2] <= 16
    assert float(read_outs(point, point)["uniformity"]) == pytest.approx(0, abs=1e-4)
    assert float(read_outs(spread, spread)["uniformity"]) < -3


def test_read_outs_are_those_of_their_papers():
    first, second = pair(30, 6)
    a, b = (F.normalize(view, dim=1) for view in (first, second))
    singular = torch.linalg.svdvals(a)
    share = singular / singular.sum()
    potential = [math.exp(-2 * float((a[i] - a[j]).square().sum())) for i in range(30) for j in range(30) if i != j]
    seen = read_outs(first, second)
    assert float(seen["alignment"]) == pytest.approx(float((a - b).square().sum(dim=1).mean()), rel=1e-5)
    assert float(seen["uniformity"]) == pytest.approx(math.log(sum(potential) / len(potential)), rel=1e-5)
    assert float(seen["effective_rank"]) == pytest.approx(float((-share * share.log()).sum().exp()), rel=1e-5)
    wide = read_outs(first.T.contiguous(), first.T.contiguous())  # fewer instances than features
    assert 1 < float(wide["effective_rank"]) <= 6


def test_read_outs_of_many_instances_look_at_some_of_them_and_of_one_have_no_uniformity():
    first, second = pair(5000, 4)
    assert float(read_outs(first, second)["uniformity"]) == float(read_outs(first[::5], second[::5])["uniformity"])
    assert math.isnan(float(read_outs(first[:1], second[:1])["uniformity"]))
    with pytest.raises(SettingsError, match="the same instances"):
        read_outs(first, second[:3])
