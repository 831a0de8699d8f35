"""SimpleSegNet and CustomUNet as their paper says, and checkpoints that hold any of the three models."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
import safetensors.torch
import torch
from torch import nn

from volumen.errors import CheckpointError, SettingsError
from volumen.models.checkpoint import load_checkpoint, save_checkpoint
from volumen.models.custom_unet import CustomUNet
from volumen.models.fuse import fuse_norms
from volumen.models.segmenters import build_segmenter
from volumen.models.segnet import SimpleSegNet
from volumen.models.transplant import load_encoder
from volumen.models.unet import build_unet

if TYPE_CHECKING:
    from pathlib import Path

MODELS = {
    "simple_segnet": {"width": 0.25},
    "custom_unet": {"width": 0.125},
    "unet": {"encoder_name": "resnet18", "in_channels": 3},
}


def channels(module: nn.Module) -> list[tuple[int, int]]:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return [(part.in_channels, part.out_channels) for part in module.modules() if isinstance(part, kinds)]


def test_segnet_has_the_channels_of_its_paper() -> None:
    model = SimpleSegNet()
    assert channels(model.encoder) == [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    assert channels(model.bottleneck) == [(128, 128), (128, 128)]
    assert channels(model.decoder) == [(128, 64), (64, 64), (64, 32), (32, 32), (32, 16), (16, 16)]
    assert channels(model.head) == [(16, 1)]
    assert model.head.kernel_size == (3, 3)
    assert model.pool.return_indices
    deepest = []
    model.bottleneck.register_forward_hook(lambda *given: deepest.append(given[2].shape))
    assert model(torch.zeros(1, 3, 512, 512)).shape == (1, 1, 512, 512)
    assert deepest == [(1, 128, 64, 64)]  # three poolings


def test_unpooling_puts_maxima_back_where_they_were() -> None:
    """With blocks that do nothing, what remains is the pooled maxima at their own places, and zeros elsewhere."""
    model = SimpleSegNet(in_channels=4, width=1 / 8)
    for parts in (model.encoder, model.decoder):
        for index in range(len(parts)):
            parts[index] = nn.Identity()
    model.bottleneck, model.head = nn.Identity(), nn.Identity()
    image = torch.rand(2, 4, 16, 24, generator=torch.Generator().manual_seed(0))
    shown = model(image)
    blocks = image.reshape(2, 4, 2, 8, 3, 8).permute(0, 1, 2, 4, 3, 5).reshape(2, 4, 2, 3, 64)
    expected = torch.where(blocks == blocks.amax(dim=-1, keepdim=True), blocks, 0.0)
    expected = expected.reshape(2, 4, 2, 3, 8, 8).permute(0, 1, 2, 4, 3, 5).reshape(2, 4, 16, 24)
    assert torch.equal(shown, expected)


def test_custom_unet_has_the_channels_and_dropouts_of_its_paper() -> None:
    model = CustomUNet()
    down = [
        (3, 32),
        (32, 32),
        (32, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        (256, 256),
        (256, 512),
        (512, 512),
    ]
    assert channels(model.encoder) == down
    assert channels(model.ups) == [(512, 256), (256, 128), (128, 64), (64, 32)]
    up = [(512, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64), (64, 32), (32, 32)]
    assert channels(model.decoder) == up
    rates = [part.p for part in model.modules() if isinstance(part, nn.Dropout)]
    assert rates == [0.1, 0.1, 0.2, 0.2, 0.3]
    image = torch.rand(1, 3, 64, 96)
    model.eval()
    assert model.extract_features(image).shape == (1, 512, 4, 6)
    assert [tuple(each.shape[1:]) for each in model.encoder(image)] == [
        (32, 64, 96),
        (64, 32, 48),
        (128, 16, 24),
        (256, 8, 12),
        (512, 4, 6),
    ]
    assert torch.equal(model.extract_features(image), model.encoder(image)[-1])
    assert model(image).shape == (1, 1, 64, 96)


def test_custom_unet_begins_as_he_says() -> None:
    torch.manual_seed(0)
    for name, part in CustomUNet().named_modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d) and part.weight.numel() > 10_000:
            # torch counts the second axis of a kernel as what comes in, also of transposed convolutions
            expected = math.sqrt(2 / (part.weight.shape[1] * part.weight[0, 0].numel()))
            assert part.weight.std().item() == pytest.approx(expected, rel=0.05), name
            assert not part.bias.any()


def test_skips_are_concatenated() -> None:
    model = CustomUNet(width=0.125).eval()
    seen = {}
    model.decoder[-1].register_forward_pre_hook(lambda _, given: seen.update(given=given[0]))
    image = torch.rand(1, 3, 32, 32)
    model(image)
    assert torch.equal(seen["given"][:, :4], model.encoder(image)[0])


@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint_holds_any_model(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = build_segmenter(name, **MODELS[name])
    image = torch.rand(2, 3, 64, 96)
    model(image)  # moves the norm statistics
    model.eval()
    save_checkpoint(tmp_path / "a.safetensors", model, {"layer_count": 3})
    rebuilt, header = load_checkpoint(tmp_path / "a.safetensors")
    assert type(rebuilt) is type(model)
    assert header["architecture"] == model.architecture
    assert header["architecture"].get("model", "unet") == name
    assert torch.equal(rebuilt(image), model(image))
    fused = fuse_norms(model)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fused.modules())
    torch.testing.assert_close(fused(image), model(image), rtol=1e-4, atol=1e-4)


def test_older_checkpoints_say_no_model_and_hold_a_unet(tmp_path: Path) -> None:
    model = build_unet("resnet18", 5)
    said = {"architecture": {"encoder_name": "resnet18", "in_channels": 5, "classes": 1}, "volumen": "0.1"}
    safetensors.torch.save_file(model.state_dict(), tmp_path / "a.safetensors", {"volumen": json.dumps(said)})
    rebuilt, _ = load_checkpoint(tmp_path / "a.safetensors")
    assert rebuilt.architecture == model.architecture
    said["architecture"]["model"] = "other"
    safetensors.torch.save_file(model.state_dict(), tmp_path / "b.safetensors", {"volumen": json.dumps(said)})
    with pytest.raises(CheckpointError, match="do not fit the architecture"):
        load_checkpoint(tmp_path / "b.safetensors")


def test_the_encoder_of_a_custom_unet_moves_into_another(tmp_path: Path) -> None:
    model, other = CustomUNet(width=0.125), CustomUNet(width=0.125)
    save_checkpoint(tmp_path / "a.safetensors", model, {})
    report = load_encoder(other, tmp_path / "a.safetensors")
    assert report.loaded_share == 1
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(other.eval().extract_features(image), model.eval().extract_features(image))
    assert not torch.equal(other(image), model(image))


@pytest.mark.parametrize(("model", "stride"), [(SimpleSegNet(width=0.25), 8), (CustomUNet(width=0.125), 16)])
def test_what_does_not_fit_is_said(model: nn.Module, stride: int) -> None:
    assert model.stride == stride
    with pytest.raises(SettingsError, match=f"multiples of {stride}; got 32 x 36"):
        model(torch.zeros(1, 3, 32, 36))
    with pytest.raises(SettingsError, match="sees 3 layers"):
        model(torch.zeros(1, 1, 32, 32))
    with pytest.raises(SettingsError, match="width above 0"):
        type(model)(width=0)
    with pytest.raises(SettingsError, match="Models are"):
        build_segmenter("segnet")
