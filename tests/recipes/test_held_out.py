"""Held-out scores of a training: those that the predicted map will have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from volumen.crops.normalize import Normalization
from volumen.crops.split import split_segment
from volumen.objectives.segmentation import BceDice
from volumen.recipes.held_out import HeldOut
from volumen.sources.labels.rasters import Raster
from volumen.sources.segment import Segment


@pytest.fixture
def segment() -> Segment:
    draw = np.random.default_rng(0)
    return Segment(
        name="noise",
        source="memory",
        levels=(draw.integers(0, 255, (3, 320, 320), dtype=np.uint8),),
        ink=Raster.of((draw.random((320, 320)) > 0.7).astype(np.uint8)).fit((320, 320), "noise"),
    )


@pytest.fixture
def far_sighted() -> torch.nn.Module:
    """A model whose logit is the mean over 3 layers of 63 × 63 px, which a box of 96 px alone cannot give."""
    model = torch.nn.Conv2d(3, 1, 63, padding=31, bias=False)
    torch.nn.init.constant_(model.weight, 8 / model.weight.numel())
    return model.requires_grad_(False)


def test_boxes_are_scored_amid_their_context(segment: Segment, far_sighted: torch.nn.Module) -> None:
    split = split_segment(segment, layers=3, size=32, held_out_region=(96, 192, 96, 192), sampling="mask")
    normalization, loss = Normalization(kind="divide", high=255.0), BceDice()
    fabric = Fabric(accelerator="cpu", devices=1)
    held_out = HeldOut.of([(segment, split)], normalization=normalization, loss=loss, fabric=fabric)
    (box,) = split.held_out
    whole = far_sighted(torch.from_numpy(normalization(segment.read(segment.window)))[None])
    ink = torch.from_numpy(segment.raster("ink").read(box))[None, None]

    expected = loss(whole[..., *box.yx], ink, torch.ones_like(ink))

    assert held_out(far_sighted)["loss"] == pytest.approx(float(expected.total), rel=1e-5)
