from __future__ import annotations

import pytest
import torch

from volumen.errors import SettingsError
from volumen.training.devices import open_fabric


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
