from __future__ import annotations

import pytest
import torch

from volumen.errors import SettingsError
from volumen.training.devices import first_process, limit_memory, open_fabric


def test_cpu_is_there_in_32_and_bf16() -> None:
    assert open_fabric(device="cpu").device.type == "cpu"
    assert open_fabric(device="cpu").strategy.precision.precision == "32-true"
    assert open_fabric(device="cpu", precision="bf16").strategy.precision.precision == "bf16-mixed"


def test_what_is_not_there() -> None:
    with pytest.raises(SettingsError, match="precision 16"):
        open_fabric(device="cpu", precision="16")
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="Expected a cuda device; this machine has"):
            open_fabric(device="cuda")
    else:
        with pytest.raises(SettingsError, match="CUDA devices"):
            open_fabric(device="cuda", devices=99)


def test_only_a_cuda_device_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, int | None]] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *limit: asked.append(limit))
    for device in ("cpu", "mps", "cuda:1", "cuda"):
        limit_memory(device, 0.5)
    assert asked == [(0.5, 1), (0.5, None)]


@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"])
def test_every_launcher_tells_the_first_process_from_the_others(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(each, raising=False)
    assert first_process()
    monkeypatch.setenv(name, "0")
    assert first_process()
    monkeypatch.setenv(name, "1")
    assert not first_process()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_no_more_memory_is_taken_than_allowed() -> None:
    fabric = open_fabric(device="cuda", memory_fraction=0.01)
    allowed = torch.cuda.get_device_properties(fabric.device).total_memory // 100
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(2 * allowed, dtype=torch.uint8, device=fabric.device)
    finally:
        limit_memory(fabric.device, 1.0)
