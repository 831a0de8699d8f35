"""Forward: the same numbers as normalising with numpy and calling the network by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from volumen.crops.normalize import Normalization
from volumen.errors import SettingsError
from volumen.prediction.forward import Forward

NORMALIZATIONS = [
    Normalization(),
    Normalization(kind="clip", ceiling=200 / 255),
    Normalization(kind="percentile", low=0.2, high=0.7, ceiling=0.7),
    Normalization(kind="robust", low=-0.1, high=0.8, ceiling=0.8),
    Normalization(kind="percentile", low=0.2, high=0.7, ceiling=0.7, outside=(0.1, 0.5, 0.9)),
]


def noise(dtype: str) -> np.ndarray:
    uniform = np.random.default_rng(0).random((2, 3, 16, 32))
    voxels = uniform * (np.iinfo(dtype).max if dtype.startswith("uint") or dtype == "int16" else 1)
    voxels[:, :, :4] = 0
    return voxels.astype(dtype)


@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_equals_normalising_by_hand(normalization: Normalization, dtype: str) -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 1, 3, padding=1)
    voxels = noise(dtype)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(normalization(voxels)))[:, 0].sigmoid().numpy()
    got = Forward(network, normalization=normalization)(voxels)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, atol=2e-6)


def test_norms_and_dropout_are_in_evaluation_mode() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1), torch.nn.BatchNorm2d(1), torch.nn.Dropout(0.9))
    forward = Forward(network, normalization=Normalization())
    first, second = forward(noise("uint8")), forward(noise("uint8"))
    np.testing.assert_array_equal(first, second)
    assert int(network[1].num_batches_tracked) == 0


def test_reduced_precision_is_near_and_is_reduced() -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 1, 3, padding=1)
    full = Forward(network, normalization=Normalization())(noise("uint8"))
    reduced = Forward(network, normalization=Normalization(), precision="bf16")(noise("uint8"))
    assert reduced.dtype == np.float32
    assert 0 < np.abs(full - reduced).max() < 0.02


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(SettingsError, match="32, bf16, 16; got '8'"):
        Forward(torch.nn.Conv2d(3, 1, 1), normalization=Normalization(), precision="8")  # type: ignore[arg-type]


class Failing(torch.nn.Module):
    """Raise what an allocator raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    ],
)
def test_every_allocators_complaint_is_a_memory_error(error: Exception) -> None:
    with pytest.raises(MemoryError):
        Forward(Failing(error), normalization=Normalization())(noise("uint8"))


def test_a_real_allocation_that_cannot_be_is_a_memory_error() -> None:
    class Greedy(torch.nn.Module):
        def forward(self, voxels: torch.Tensor) -> torch.Tensor:
            return voxels.new_empty(2**60)

    with pytest.raises(MemoryError):
        Forward(Greedy(), normalization=Normalization())(noise("uint8"))


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="weight of size"):
        Forward(torch.nn.Conv2d(4, 1, 1), normalization=Normalization())(noise("uint8"))
