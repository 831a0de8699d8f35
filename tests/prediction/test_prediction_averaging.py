"""Averaging: means over views are what a loop over them gives, and do not depend on the view one starts with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from volumen.crops.normalize import Normalization
from volumen.prediction.averaging import BothDirections, Mirrored
from volumen.prediction.forward import Forward


@pytest.fixture
def model() -> Forward:
    torch.manual_seed(0)
    return Forward(torch.nn.Conv2d(3, 1, 3, padding=1), normalization=Normalization())


@pytest.fixture
def voxels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 3, 8, 12), dtype=np.uint8)


def test_mirrored_is_the_mean_of_four_views(model: Forward, voxels: np.ndarray) -> None:
    views = [
        model(voxels),
        model(np.ascontiguousarray(voxels[:, :, ::-1]))[:, ::-1],
        model(np.ascontiguousarray(voxels[:, :, :, ::-1]))[:, :, ::-1],
        model(np.ascontiguousarray(voxels[:, :, ::-1, ::-1]))[:, ::-1, ::-1],
    ]
    np.testing.assert_allclose(Mirrored(model)(voxels), np.mean(views, axis=0), atol=1e-6)
    assert np.abs(views[0] - views[1]).max() > 0.01


def test_mirrored_input_gives_the_mirrored_answer(model: Forward, voxels: np.ndarray) -> None:
    average = Mirrored(model)
    mirrored = average(np.ascontiguousarray(voxels[:, :, ::-1]))
    np.testing.assert_allclose(mirrored, average(voxels)[:, ::-1], atol=1e-6)


def test_both_directions_do_not_know_the_order_of_the_layers(model: Forward, voxels: np.ndarray) -> None:
    average = BothDirections(model)
    backwards = np.ascontiguousarray(voxels[:, ::-1])
    np.testing.assert_allclose(average(voxels), (model(voxels) + model(backwards)) / 2, atol=1e-6)
    np.testing.assert_allclose(average(voxels), average(backwards), atol=1e-6)
    assert np.abs(model(voxels) - model(backwards)).max() > 0.01
