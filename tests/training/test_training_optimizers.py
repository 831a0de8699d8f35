from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from volumen.errors import SettingsError
from volumen.models.spark import build_spark
from volumen.training.optimizers import Rates, adamw, decay_cosine, lamb, plateau, warm_up_cosine


@pytest.mark.parametrize("make", [adamw, lamb])
def test_only_kernels_decay_and_every_trained_parameter_is_there_once(make) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    model[2].weight.requires_grad_(False)
    optimizer = make(model, learning_rate=0.1, weight_decay=0.5)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(decay)
    expected = {"0.weight": 0.5, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0, "2.bias": 0.0}
    assert {name: decay[id(p)] for name, p in model.named_parameters() if id(p) in decay} == expected


@pytest.mark.parametrize("make", [adamw, lamb])
def test_of_a_spark_biases_norms_and_mask_tokens_do_not_decay(make) -> None:
    model = build_spark("resnet18", 1, width=32)
    groups = make(model, learning_rate=0.1, weight_decay=0.5).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decays, stays = ([names[id(parameter)] for parameter in group["params"]] for group in groups)
    assert {name.rpartition(".")[2] for name in decays} == {"weight"}
    assert not [name for name in decays if "bn" in name or "norm" in name]
    assert sum(name.endswith("token") for name in stays) == 4
    assert len(decays) + len(stays) == len(names)


@pytest.mark.parametrize("make", [adamw, lamb])
def test_all_frozen(make) -> None:
    with pytest.raises(SettingsError, match="frozen"):
        make(nn.Conv2d(1, 1, 1).requires_grad_(False), learning_rate=0.1, weight_decay=0.5)


@pytest.mark.parametrize("make", [adamw, lamb])
@pytest.mark.parametrize("began_with", [0.0, 0.5])
def test_scheduled_decay_leaves_what_never_decays(make, began_with: float) -> None:
    model = nn.Conv2d(3, 4, 3)
    optimizer = make(model, learning_rate=0.1, weight_decay=began_with)
    Rates(0.3).tell(optimizer)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.3, began_with), (0.3, 0)]
    Rates(0.2, 0.07).tell(optimizer)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.2, 0.07), (0.2, 0)]
    assert Rates(0.3).values == {"learning_rate": 0.3}
    assert Rates(0.2, 0.07).values == {"learning_rate": 0.2, "weight_decay": 0.07}


def test_a_child_may_learn_more_slowly() -> None:
    model = nn.ModuleDict({"encoder": nn.Conv2d(3, 4, 3), "encoders": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    optimizer = adamw(model, learning_rate=0.1, weight_decay=0.5, lr_scales={"encoder": 0.25})
    Rates(0.2, 0.07).tell(optimizer)
    told = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    rates = {"encoder": 0.05, "encoders": 0.2, "head": 0.2}
    expected = {
        name: (rates[name.partition(".")[0]], 0.07 if p.ndim > 1 else 0) for name, p in model.named_parameters()
    }
    assert {name: told[id(p)] for name, p in model.named_parameters()} == expected


def test_lamb_is_the_algorithm_of_the_paper() -> None:
    """Against algorithm 2 of You et al., with global clipping at 5, written out for one kernel and one bias."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(4, 3).double()
    optimizer = lamb(model, learning_rate=0.1, weight_decay=0.04)
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    means, squares = [torch.zeros_like(w) for w in weights], [torch.zeros_like(w) for w in weights]
    for step in range(1, 5):
        scale = 20.0 if step % 2 else 0.1  # above and below the largest norm
        gradients = [torch.randn(w.shape, generator=generator, dtype=torch.float64) * scale for w in weights]
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        Rates(0.1 / step, 0.04 * step).tell(optimizer)
        optimizer.step()

        norm = torch.sqrt(sum(gradient.square().sum() for gradient in gradients))
        assert (norm > 5) == (step % 2 == 1)
        for index, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            gradient = gradient * min(1.0, 5 / float(norm))
            means[index] = 0.9 * means[index] + 0.1 * gradient
            squares[index] = 0.95 * squares[index] + 0.05 * gradient**2
            update = (means[index] / (1 - 0.9**step)) / ((squares[index] / (1 - 0.95**step)).sqrt() + 1e-6)
            if weight.ndim > 1:
                update = update + 0.04 * step * weight
                update = update * weight.norm() / update.norm()
            weights[index] = weight - 0.1 / step * update
    for parameter, weight in zip(model.parameters(), weights, strict=True):
        torch.testing.assert_close(parameter.detach(), weight, rtol=1e-9, atol=1e-12)


def test_the_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(51):
        rate = warm_up_cosine(step, steps=51, warm_up=0, peak=0.3, last=0.0)
        assert rate == pytest.approx(oracle.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        oracle.step()


@pytest.mark.parametrize(("steps", "warm_up"), [(1600, 40), (50, 0), (7, 2), (3, 1)])
def test_warm_up_climbs_in_a_line_and_falls_to_the_end(steps: int, warm_up: int) -> None:
    rates = [warm_up_cosine(step, steps=steps, warm_up=warm_up, peak=2e-4) for step in range(steps)]
    assert rates[0] == pytest.approx(2e-4 * (0.005 if warm_up else 1))
    assert rates[warm_up] == pytest.approx(2e-4) == pytest.approx(max(rates))
    assert rates[-1] == pytest.approx(2e-4 * 0.001)
    up = [after - before for before, after in itertools.pairwise(rates[: warm_up + 1])]
    assert up == pytest.approx([2e-4 * 0.995 / max(1, warm_up)] * warm_up)
    down = rates[warm_up:]
    assert down == sorted(down, reverse=True)
    for before, after in zip(down, reversed(down), strict=True):  # half a cosine is odd about its middle
        assert before + after == pytest.approx(2e-4 * 1.001)


def test_weight_decay_rises_over_all_steps() -> None:
    decays = [decay_cosine(step, steps=101) for step in range(101)]
    assert (decays[0], decays[50], decays[100]) == pytest.approx((0.04, 0.12, 0.2))
    assert decays == sorted(decays)


def test_schedules_of_one_step_are_defined() -> None:
    assert warm_up_cosine(0, steps=1, warm_up=0, peak=1.0) == pytest.approx(1.0)
    assert warm_up_cosine(0, steps=1, warm_up=1, peak=1.0) == pytest.approx(0.005)
    assert decay_cosine(0, steps=1) == pytest.approx(0.04)


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_a_plateau_cuts_the_rate_when_torch_does(patience) -> None:
    losses = [1.0, 0.8, 0.9, 0.79999, 0.81, 0.7, float("nan"), 0.71, 0.72, 0.9, 0.69, 0.69, 0.69, 0.69, 0.69, 0.6]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=patience, eps=0)
    for epoch, loss in enumerate(losses, start=1):
        theirs.step(loss)
        ours = plateau(losses[:epoch], peak=0.5, patience=patience)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
    assert ours < 0.5
