from __future__ import annotations

import pytest
import torch
from torch import nn

from volumen.errors import SettingsError
from volumen.training.optimizers import adamw, cosine


def test_only_kernels_decay_and_every_trained_parameter_is_there_once() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    model[2].weight.requires_grad_(False)
    optimizer = adamw(model, learning_rate=0.1, weight_decay=0.5)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(decay)
    expected = {"0.weight": 0.5, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0, "2.bias": 0.0}
    assert {name: decay[id(p)] for name, p in model.named_parameters() if id(p) in decay} == expected


def test_all_frozen() -> None:
    with pytest.raises(SettingsError, match="frozen"):
        adamw(nn.Conv2d(1, 1, 1).requires_grad_(False))


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(51):
        assert cosine(step, steps=50, peak=0.3) == pytest.approx(oracle.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        oracle.step()
