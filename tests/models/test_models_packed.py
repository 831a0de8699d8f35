import copy

import pytest
import segmentation_models_pytorch as smp
import torch
from timm.layers import LayerNorm2d
from torch import nn

from volumen.models.packed import encode, unpack

TOLERANCE = 1e-9


def draw_mask(*shape, count=None, seed=0):
    """A mask with ``count`` visible patches in each image, or any number of them, none included."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(shape[0], shape[1] * shape[2], generator=generator)
    if count is None:
        visible = order < torch.rand(shape[0], 1, generator=generator)
        visible[0, 0] = True
    else:
        visible = order.argsort().argsort() < count
    return visible.view(shape)


def spread(visible, height, width):
    """The mask at the resolution of a map, N1HW."""
    _, rows, columns = visible.shape
    return visible.repeat_interleave(height // rows, 1).repeat_interleave(width // columns, 2)[:, None]


def make_encoder(name, channels, *, seed=0):
    """An encoder in float64 whose parameters all matter: norms begin as identities, layer scales as 1e-6."""
    torch.manual_seed(seed)
    encoder = smp.encoders.get_encoder(name, in_channels=channels, weights=None).double()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.6, 1.4)
            nn.init.uniform_(module.bias, -0.5, 0.5)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    for key, parameter in encoder.named_parameters():
        if key.endswith("gamma"):
            nn.init.uniform_(parameter, 0.2, 0.8)
    return encoder


def masked_dense(encoder, visible):
    """The encoder as published SparK runs it: whole images, with the mask after every layer."""

    def mask_first(module, inputs, output):
        return output * spread(visible, *output.shape[2:])

    def mask_last(module, inputs, output):
        return output * spread(visible, *output.shape[1:3]).permute(0, 2, 3, 1)

    def norm(self, image):
        """Gather what is visible, norm it as a batch of single positions, scatter it into zeros."""
        places = spread(visible, *image.shape[2:])[:, 0].nonzero(as_tuple=True)
        rows = image.permute(0, 2, 3, 1)[places]
        normed = type(self).forward(self, rows[:, :, None, None])[:, :, 0, 0]
        canvas = torch.zeros_like(image).permute(0, 2, 3, 1)
        return canvas.index_put(places, normed).permute(0, 3, 1, 2)

    dense = copy.deepcopy(encoder)
    for module in dense.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.forward = norm.__get__(module)
        elif isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d | LayerNorm2d):
            module.register_forward_hook(mask_first)
        elif isinstance(module, nn.Linear | nn.LayerNorm):
            module.register_forward_hook(mask_last)
    return dense


def assert_close(seen, expected):
    """Agree to 1e-9 of the largest number."""
    scale = max(1.0, float(expected.detach().abs().max())) if expected.numel() else 1.0
    torch.testing.assert_close(seen, expected, rtol=0, atol=TOLERANCE * scale)


def assert_equal_runs(encoder, dense, image, visible, patch=32):
    """Features at visible places, every gradient and every statistic are those of the dense encoder."""
    ours, theirs = image.clone().requires_grad_(), image.clone().requires_grad_()
    packed, whole = encode(encoder, ours, visible, patch), dense(theirs * spread(visible, *image.shape[2:]))
    assert len(packed) == len(whole)
    loss, dense_loss = 0, 0
    for seen, expected in zip(map(unpack, packed), whole, strict=True):
        inside = spread(visible, *expected.shape[2:]) if expected.shape[1] else 1
        assert_close(seen, expected * inside)
        weights = torch.randn_like(expected)
        loss = loss + (seen * weights).sum()
        dense_loss = dense_loss + (expected * inside * weights).sum()
    loss.backward()
    dense_loss.backward()
    assert_close(ours.grad, theirs.grad)
    for (key, seen), expected in zip(encoder.named_parameters(), dense.parameters(), strict=True):
        assert (seen.grad is None) == (expected.grad is None), key
        if seen.grad is not None:
            assert_close(seen.grad, expected.grad)
    assert list(encoder.state_dict()) == list(dense.state_dict())
    for seen, expected in zip(encoder.buffers(), dense.buffers(), strict=True):
        assert_close(seen, expected)


CASES = [
    # encoder, channels, grid, visible of each image (None: any number, also none), patch
    ("resnet18", 1, (2, 3), 2, 32),
    ("resnet18", 20, (3, 2), None, 32),
    ("resnet18", 3, (1, 2), 1, 64),
    ("resnet34", 20, (2, 2), 3, 32),
    ("resnet50", 20, (2, 3), None, 32),
    ("resnext50_32x4d", 3, (2, 2), 2, 32),
    ("tu-resnet26d", 1, (2, 2), 3, 32),
    ("tu-convnext_atto", 20, (3, 2), 3, 32),
    ("tu-convnext_atto", 3, (4, 5), None, 32),
    ("tu-regnetx_002", 3, (2, 2), None, 32),
    ("densenet121", 3, (2, 2), 2, 32),
    ("mobilenet_v2", 3, (2, 3), 4, 32),
    ("vgg11_bn", 3, (2, 2), 2, 32),
    ("tu-res2net50_26w_4s", 3, (2, 2), 2, 32),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "channels", "grid", "count", "patch"), CASES)
def test_packed_patches_give_the_numbers_of_the_masked_dense_form(name, channels, grid, count, patch, training):
    encoder = make_encoder(name, channels).train(training)
    visible = draw_mask(2, *grid, count=count, seed=3)
    image = torch.randn(2, channels, grid[0] * patch, grid[1] * patch, dtype=torch.float64)
    assert_equal_runs(encoder, masked_dense(encoder, visible), image, visible, patch)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["resnet18", "tu-convnext_atto", "tu-resnet26d", "xception"])
def test_with_all_visible_it_is_the_plain_encoder(name, training):
    encoder = make_encoder(name, 3).train(training)
    image = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    assert_equal_runs(encoder, copy.deepcopy(encoder), image, torch.ones(2, 2, 3, dtype=torch.bool))
