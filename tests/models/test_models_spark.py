from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from volumen.errors import SettingsError
from volumen.models.light_decoder import LightDecoder
from volumen.models.packed import encode
from volumen.models.spark import build_spark
from volumen.models.unet import build_encoder, build_unet
from volumen.objectives.reconstruction import Reconstruction
from volumen.views.masking import draw_visible


def million(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def gmac(module: nn.Module, *arguments) -> float:
    with FlopCounterMode(display=False) as counter:
        module(*arguments)
    return counter.get_total_flops() / 2e9


@pytest.fixture(scope="module")
def published():
    """Build the published model: ResNet-50, 3 channels, width 768."""
    return build_spark("resnet50", 3)


def test_parameters_are_the_published_ones(published) -> None:
    assert million(published.encoder) == pytest.approx(23.5, abs=0.05)
    assert million(published.densify) == pytest.approx(6.2, abs=0.05)
    assert million(published.decoder) == pytest.approx(23.2, abs=0.05)
    assert million(published) == pytest.approx(52.9, abs=0.05)
    # Width 512 is mmpretrain's, which publishes its total.
    assert million(build_spark("resnet50", 3, width=512)) == pytest.approx(37.97, abs=0.005)


def test_cost_is_the_published_one(published) -> None:
    """Multiplications of a forward pass at 224²: 10.12 G in the decoder, 2.16 G between it and the encoder."""
    sides = [7, 14, 28, 56]
    model = copy.deepcopy(published).to("meta")
    dense = [torch.empty(1, 768 // 2**level, side, side, device="meta") for level, side in enumerate(sides)]
    assert gmac(model.decoder, dense) == pytest.approx(10.12, abs=0.005)
    between = [
        gmac(level.projection, torch.empty(1, len(level.token), side, side, device="meta"))
        for level, side in zip(model.densify, sides, strict=True)
    ]
    assert sum(between) == pytest.approx(2.16, abs=0.005)
    assert [level.projection.kernel_size for level in model.densify] == [(1, 1), (3, 3), (3, 3), (3, 3)]


@pytest.mark.parametrize(
    ("encoder_name", "in_channels", "width", "patch", "size"),
    [
        ("resnet18", 1, 64, 32, (64, 64)),
        ("resnet18", 20, 32, 32, (32, 160)),
        ("resnet18", 3, 64, 64, (128, 192)),
        ("resnet50", 7, 32, 32, (96, 64)),
        ("resnext50_32x4d", 3, 32, 32, (64, 96)),
        ("tu-convnext_atto", 20, 64, 32, (96, 64)),
        ("tu-convnext_atto", 2, 32, 64, (64, 128)),
    ],
)
def test_any_encoder_size_and_width_reconstructs_and_learns(encoder_name, in_channels, width, patch, size) -> None:
    model = build_spark(encoder_name, in_channels, width=width, patch=patch)
    visible = draw_visible(3, (size[0] // patch, size[1] // patch), masked=0.5)
    reconstruction = model(torch.rand(3, in_channels, *size), visible)
    assert type(reconstruction) is torch.Tensor
    assert reconstruction.shape == (3, in_channels, *size)
    reconstruction.square().mean().backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert build_spark(**model.architecture).state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize("encoder_name", ["resnet18", "resnext50_32x4d", "tu-convnext_atto"])
@pytest.mark.parametrize("training", [False, True])
def test_hidden_pixels_cannot_influence_the_reconstruction(encoder_name: str, training: bool) -> None:
    torch.manual_seed(0)
    model = build_spark(encoder_name, 3, width=32).train(training)
    image, visible = torch.rand(2, 3, 96, 128), draw_visible(2, (3, 4))
    hidden = ~visible.repeat_interleave(32, 1).repeat_interleave(32, 2)[:, None]
    before = model(image, visible)
    for filler in (0.0, 1.0, float("nan")):
        assert torch.equal(model(torch.where(hidden, filler, image), visible), before)
    assert not torch.equal(model(torch.where(hidden, image, image + 0.1), visible), before)


def test_norms_see_visible_positions_only_and_tokens_fill_the_rest() -> None:
    """Against BatchNorm1d over gathered positions and `where` on dense maps."""
    torch.manual_seed(0)
    model = build_spark("resnet18", 2, width=32).double()
    image, visible = torch.rand(2, 2, 64, 96, dtype=torch.float64), draw_visible(2, (2, 3))
    features = encode(model.encoder, image, visible)
    for level, (densify, packed, side) in enumerate(zip(model.densify, features[:1:-1], [1, 2, 4, 8], strict=True)):
        shown = visible.repeat_interleave(side, 1).repeat_interleave(side, 2)
        gathered = packed.blocks.permute(0, 2, 3, 1).flatten(0, 2)  # (V · s · s, C)
        norm = nn.BatchNorm1d(gathered.shape[1]).double()
        # The same positions, patch by patch instead of image by image: brought into an image's order by sorting.
        patches = torch.arange(visible.numel()).view_as(visible)
        order = [(int(patches[n, y // side, x // side]), y % side, x % side) for n, y, x in shown.nonzero().tolist()]
        index = {place: i for i, place in enumerate(sorted(order))}
        normed = norm(gathered)[[index[place] for place in order]]
        dense = densify.token.detach().view(1, 1, 1, -1).expand(*shown.shape, -1).clone()
        dense[shown] = normed.detach()
        projection = densify.projection
        expected = F.conv2d(dense.permute(0, 3, 1, 2), projection.weight, projection.bias, padding=1 if level else 0)
        torch.testing.assert_close(densify(packed), expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(densify.norm.running_var, norm.running_var, rtol=1e-9, atol=0)


def test_layer_norms_follow_encoders_of_layer_norms() -> None:
    for encoder_name, kind in [("resnet18", nn.BatchNorm2d), ("tu-convnext_atto", nn.LayerNorm)]:
        model = build_spark(encoder_name, 1, width=32)
        assert all(isinstance(level.norm, kind) for level in model.densify)


def test_the_decoder_is_its_description() -> None:
    """Against the layers written out as functions."""
    torch.manual_seed(0)
    decoder = LightDecoder(64, 3).double()
    maps = [torch.randn(2, 64 // 2**i, 2**i, 2 * 2**i, dtype=torch.float64) for i in range(4)]
    x = torch.zeros_like(maps[0])
    for level, block in enumerate(decoder.blocks):
        if level < 4:
            x = x + maps[level]
        up, first, norm, _, second, last_norm = block
        x = F.conv_transpose2d(x, up.weight, up.bias, stride=2, padding=1)
        x = F.conv2d(x, first.weight, padding=1)
        x = F.batch_norm(x, None, None, norm.weight, norm.bias, training=True).clamp(0, 6)
        x = F.conv2d(x, second.weight, padding=1)
        x = F.batch_norm(x, None, None, last_norm.weight, last_norm.bias, training=True)
    expected = F.conv2d(x, decoder.head.weight, decoder.head.bias)
    torch.testing.assert_close(decoder(maps), expected)
    assert decoder.widths == (64, 32, 16, 8, 4, 3)


def test_first_weights_are_drawn_as_published(published) -> None:
    tokens = torch.cat([level.token.detach() for level in published.densify])
    assert float(tokens.abs().max()) <= 0.02
    # a normal distribution cut at one standard deviation keeps a standard deviation of 0.5396
    assert float(tokens.std()) == pytest.approx(0.02 * 0.5396, rel=0.05)
    up, first = (layer.weight.detach() for layer in list(published.decoder.blocks[0])[:2])
    assert float(first.std()) == pytest.approx(0.02, rel=0.01)
    # Kaiming's normal distribution for ReLU, over the 4 · 4 window and what PyTorch takes for the fan out
    assert float(up.std()) == pytest.approx((2 / (768 * 16)) ** 0.5, rel=0.01)


def test_the_encoder_is_that_of_a_unet() -> None:
    for encoder_name, in_channels in [("resnet18", 20), ("tu-convnext_atto", 3)]:
        torch.manual_seed(0)
        alone = build_encoder(encoder_name, in_channels).state_dict()
        torch.manual_seed(0)
        under = build_unet(encoder_name, in_channels).encoder.state_dict()
        assert (
            alone.keys() == under.keys() == build_spark(encoder_name, in_channels, width=32).encoder.state_dict().keys()
        )
        assert all(torch.equal(alone[key], under[key]) for key in alone)


def test_one_small_batch_is_learnt() -> None:
    """Guessing the mean of each patch costs 1."""
    torch.manual_seed(0)
    model = build_spark("resnet18", 2, width=64)
    loss, visible = Reconstruction(), draw_visible(2, (2, 2), masked=0.5)
    image, papyrus = F.interpolate(torch.rand(2, 2, 5, 5), size=64, mode="bicubic"), torch.ones(2, 1, 64, 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        total = loss(model(image, visible), image, visible, papyrus).total
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[0] > 0.95
    assert losses[-1] < 0.6


def test_half_precision_trains_too() -> None:
    model = build_spark("resnet18", 3, width=32)
    image, visible = torch.rand(2, 3, 64, 96), draw_visible(2, (2, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reconstruction = model(image, visible)
    Reconstruction()(reconstruction, image, visible, torch.ones(2, 1, 64, 96)).total.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_bad_input_is_told() -> None:
    model = build_spark("resnet18", 3, width=32)
    visible = torch.ones(1, 2, 3, dtype=torch.bool)
    with pytest.raises(SettingsError, match="sees 3 layers"):
        model(torch.rand(1, 4, 64, 96), visible)
    with pytest.raises(SettingsError, match="got 64 x 95"):
        model(torch.rand(1, 3, 64, 95), visible)
    with pytest.raises(SettingsError, match=r"bool of shape \(1, 2, 3\)"):
        model(torch.rand(1, 3, 64, 96), visible[:, :, :2])
    with pytest.raises(SettingsError, match="bool"):
        model(torch.rand(1, 3, 64, 96), visible.float())
    with pytest.raises(SettingsError, match="two visible patches"):
        model(torch.rand(1, 3, 64, 96), torch.eye(2, 3, dtype=torch.bool)[None] & torch.tensor([True, False, False]))


def test_bad_settings_are_told() -> None:
    with pytest.raises(SettingsError, match="no encoder 'resnet19'"):
        build_spark("resnet19", 3)
    with pytest.raises(SettingsError, match="multiple of 32; got 100"):
        build_spark("resnet18", 3, width=100)
    with pytest.raises(SettingsError, match="at least one input channel; got 0"):
        build_spark("resnet18", 0)
    for patch in (0, 16, 48):
        with pytest.raises(SettingsError, match=f"got {patch}"):
            build_spark("resnet18", 3, patch=patch)
    with pytest.raises(SettingsError, match=r"layer '.*' \(\w+\)"):
        build_spark("se_resnet50", 3)
