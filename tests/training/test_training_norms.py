from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from timm.layers import BatchNormAct2d
from torch import nn

from volumen.models.unet import build_unet
from volumen.training import norms
from volumen.training.norms import SharedNorm, share_norms

if TYPE_CHECKING:
    import pytest


def test_every_batch_norm_of_an_encoder_of_timm_is_shared() -> None:
    encoder = build_unet("tu-efficientnet_b0", 3).encoder
    share_norms(encoder)
    assert all(isinstance(part, SharedNorm) for part in encoder.modules() if isinstance(part, nn.BatchNorm2d))


def test_a_process_with_the_whole_batch_normalises_and_activates_as_it_would_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    alone = nn.Sequential(nn.BatchNorm2d(3), BatchNormAct2d(3, act_layer=nn.SiLU))
    shared = deepcopy(alone)
    share_norms(shared)
    image = torch.randn(4, 3, 5, 6) * 2 + 1
    monkeypatch.setattr(norms, "several_processes", lambda: True)
    for training in (True, False):
        torch.testing.assert_close(shared.train(training)(image), alone.train(training)(image))
    torch.testing.assert_close(list(shared.buffers()), list(alone.buffers()))
