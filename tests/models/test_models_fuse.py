import pytest
import torch
from torch import nn

from volumen.models.fuse import fuse_norms
from volumen.models.unet import build_unet


def trained(name, in_channels=20):
    """A model whose norms are far from the identity, as training leaves them."""
    torch.manual_seed(0)
    model = build_unet(name, in_channels)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return model


def norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("resnet18", 0),
        ("resnet50", 0),
        ("resnext50_32x4d", 0),
        ("mobilenet_v2", 0),
        ("tu-mobilenetv3_small_100", 0),
        ("tu-efficientnet_b0", 0),
        ("tu-convnext_atto", 0),
        ("tu-resnetv2_50", 16),  # norms before convolutions cannot be folded
        ("densenet121", 62),
        ("efficientnet-b0", 49),  # a convolution type of its own, not looked into
    ],
)
def test_a_fused_model_says_the_same(name, left):
    model = trained(name).train()
    fused = fuse_norms(model)
    assert norms(fused) == left < norms(model)
    assert not any(module.training for module in fused.modules())
    image = torch.rand(2, 20, 64, 96)
    with torch.inference_mode():
        expected, seen = model.eval()(image), fused(image)
        # The same arithmetic in another order: in float32 sixty layers of rounding lie between the two, ...
        assert float((seen - expected).abs().max()) <= 5e-5 * max(1.0, float(expected.std()))
        # ... in float64 nothing does.
        expected, seen = model.double()(image.double()), fuse_norms(model)(image.double())
    torch.testing.assert_close(seen, expected, atol=1e-9, rtol=1e-9)


def test_the_model_itself_is_left_alone():
    model = trained("resnet18").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fuse_norms(model)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class Shared(nn.Module):
    """A convolution whose output is used twice, and one that is called twice: neither may take a norm over."""

    def __init__(self):
        super().__init__()
        self.twice_used, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.twice_called, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.plain, self.last = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, image):
        raw = self.twice_used(image)
        image = self.norm(raw) + raw
        image = self.other(self.twice_called(self.twice_called(image)))
        return self.last(self.plain(image))


def test_a_convolution_that_somebody_else_needs_is_left_alone():
    torch.manual_seed(0)
    model = Shared().eval()
    for norm in (model.norm, model.other, model.last):
        nn.init.uniform_(norm.running_mean, -1, 1)
        nn.init.uniform_(norm.weight, 0.5, 2)
    fused = fuse_norms(model)
    assert norms(fused) == 2
    assert isinstance(fused.last, nn.Identity)
    image = torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(fused(image), model(image))


class Branching(nn.Module):
    """Its own flow cannot be traced, but that of its parts can."""

    def __init__(self):
        super().__init__()
        self.part = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

    def forward(self, image):
        return self.part(image) if float(image.sum()) > 0 else image


def test_what_cannot_be_traced_is_fused_in_parts():
    torch.manual_seed(0)
    model = Branching().eval()
    nn.init.uniform_(model.part[1].running_mean, -1, 1)
    fused = fuse_norms(model)
    assert norms(fused) == 0
    image = torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(fused(image), model(image))
