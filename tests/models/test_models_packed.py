import copy
import threading

import pytest
import segmentation_models_pytorch as smp
import torch
from timm.layers import DropPath, LayerNorm2d
from torch import nn

from volumen.errors import SettingsError
from volumen.models.layout import Layout
from volumen.models.packed import Packed, check_packable, encode, pack, unpack

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
    # encoder, channels, grid, visible patches of each image (None: any number of them, also none), patch
    ("resnet18", 1, (2, 3), 2, 32),
    ("resnet18", 20, (3, 2), None, 32),
    ("resnet18", 3, (1, 2), 1, 64),
    ("resnet50", 20, (2, 2), None, 32),
    ("tu-resnet26d", 1, (2, 2), 3, 32),
    ("tu-convnext_atto", 20, (4, 3), None, 32),
]
MANY = [
    *((name, channels, (2, 3), None, 32) for name in ("resnet18", "resnet34", "resnet50") for channels in (1, 3, 20)),
    # Not fewer: norms over two or three positions divide by next to nothing, and make rounding larger than 1e-9.
    *((name, 3, (4, 5), count, 32) for name in ("resnet50", "tu-convnext_femto") for count in (4, 8, 19)),
    *((name, 20, (3, 1), 2, 64) for name in ("resnet50", "resnext50_32x4d", "tu-resnet18", "tu-convnext_atto")),
    *(
        (name, 3, (2, 3), None, 32)
        for name in (
            *(
                "resnext50_32x4d",
                "tu-resnet26",
                "tu-resnetv2_50",
                "tu-res2net50_26w_4s",
                "tu-regnetx_002",
                "densenet121",
            ),
            *("mobilenet_v2", "vgg11_bn", "xception", "tu-cspresnet50", "tu-darknet53", "tu-dla34", "tu-repvgg_a0"),
            *("densenet121", "tu-inception_next_tiny", "tu-fasternet_t0", "tu-mobilenetv1_100"),
        )
    ),
]


def check_against_oracle(name, channels, grid, count, patch, training, seed):
    encoder = make_encoder(name, channels, seed=seed).train(training)
    visible = draw_mask(2, *grid, count=count, seed=seed)
    image = torch.randn(2, channels, grid[0] * patch, grid[1] * patch, dtype=torch.float64)
    assert_equal_runs(encoder, masked_dense(encoder, visible), image, visible, patch)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "channels", "grid", "count", "patch"), CASES)
def test_packed_patches_give_the_numbers_of_the_masked_dense_form(name, channels, grid, count, patch, training):
    check_against_oracle(name, channels, grid, count, patch, training, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 5])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "channels", "grid", "count", "patch"), MANY)
def test_many_encoders_and_masks(name, channels, grid, count, patch, training, seed):
    check_against_oracle(name, channels, grid, count, patch, training, seed)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["resnet18", "tu-convnext_atto"])
def test_with_all_visible_it_is_the_plain_encoder(name, training):
    encoder = make_encoder(name, 3).train(training)
    image = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    assert_equal_runs(encoder, copy.deepcopy(encoder), image, torch.ones(2, 2, 3, dtype=torch.bool))


def test_hidden_pixels_are_never_seen():
    encoder = make_encoder("resnet18", 3).train()
    visible = draw_mask(2, 2, 3, count=2)
    image = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    other = torch.where(spread(visible, 64, 96), image, torch.nan)
    for seen, expected in zip(encode(encoder, other, visible), encode(encoder, image, visible), strict=True):
        assert torch.equal(seen.blocks, expected.blocks)


def test_threads_with_other_masks_do_not_meet():
    encoder = make_encoder("resnet18", 3).eval()
    jobs = []
    for seed in range(4):
        torch.manual_seed(seed)
        image = torch.randn(1, 3, 64, 32 * (seed + 2), dtype=torch.float64)
        jobs.append((image, draw_mask(1, 2, seed + 2, count=seed + 1, seed=seed)))
    expected = [[unpack(feature) for feature in encode(encoder, *job)] for job in jobs]

    seen = [[] for _ in jobs]
    barrier = threading.Barrier(len(jobs))

    def run(index):
        barrier.wait()
        for _ in range(5):
            seen[index].append([unpack(feature) for feature in encode(encoder, *jobs[index])])

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found, wanted in zip(seen, expected, strict=True):
        assert len(found) == 5
        assert all(torch.equal(a, b) for features in found for a, b in zip(features, wanted, strict=True))


def test_mixed_precision():
    encoder = make_encoder("resnet18", 3).float().train()
    visible = draw_mask(2, 2, 3, count=3)
    image = torch.randn(2, 3, 64, 96)
    exact = encode(encoder, image, visible)[-1].blocks.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = encode(encoder, image, visible)[-1]
    assert rough.dtype == torch.bfloat16
    assert float((rough.blocks.detach().float() - exact).norm() / exact.norm()) < 0.1  # 8 bits through 20 layers
    rough.blocks.float().square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_unpacking_takes_packing_back():
    visible = draw_mask(3, 2, 4, seed=1)
    layout = Layout.of(visible)
    image = torch.randn(3, 2, 8, 16, dtype=torch.float64, requires_grad=True)
    token = torch.randn(1, 2, 1, 1, dtype=torch.float64, requires_grad=True)
    packed = pack(image, layout, 4)
    assert packed.shape == (int(visible.sum()), 2, 4, 4)
    inside = spread(visible, 8, 16)
    assert torch.equal(unpack(packed, fill=token), torch.where(inside, image, token))
    assert torch.equal(unpack(packed, fill=7), torch.where(inside, image, 7.0))
    assert torch.autograd.gradcheck(lambda image, token: unpack(pack(image, layout, 4), token), (image, token))


def make_packed(**options):
    return pack(torch.randn(1, 4, 4, 4, **options), Layout.of(torch.tensor([[[True, False], [True, True]]])), 2)


def test_what_keeps_patches_apart_returns_patches():
    packed = make_packed()
    blocks = packed.blocks.clone()
    assert not isinstance(blocks, Packed)
    assert len(packed) == 3
    assert "Packed" in repr(packed)
    for seen, expected in [
        (packed + packed, blocks + blocks),
        (2 - packed * 0.5, 2 - blocks * 0.5),
        (packed * torch.arange(4.0).view(1, 4, 1, 1), blocks * torch.arange(4.0).view(1, 4, 1, 1)),
        (nn.functional.gelu(packed), nn.functional.gelu(blocks)),
        (nn.PReLU(4)(packed), nn.PReLU(4)(blocks)),
        (torch.cat([packed, packed.neg()], 1), torch.cat([blocks, -blocks], 1)),
        (packed.chunk(2, dim=1)[1], blocks[:, 2:]),
        (torch.split(packed, 3, 1)[0], blocks[:, :3]),
        (packed.detach().double(), blocks.double()),
    ]:
        assert isinstance(seen, Packed)
        assert seen.patch_layout is packed.patch_layout
        assert torch.equal(seen.blocks, expected)
    last = packed.permute(0, 2, 3, 1)
    assert torch.equal(
        nn.LayerNorm(4)(last).permute(0, 3, 1, 2).blocks[0, :, 1, 1], nn.LayerNorm(4)(blocks[0, :, 1, 1])
    )
    assert nn.ReLU(inplace=True)(packed) is packed
    assert torch.equal(packed.blocks, blocks.relu())
    assert packed.to("meta").patch_layout.places.is_meta


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (lambda packed: packed.mean((2, 3), keepdim=True), r"mean\(\)"),
        (lambda packed: packed[:, :2], r"getitem\(\)"),
        (lambda packed: packed.flatten(1), r"flatten\(\)"),
        (lambda packed: packed.new_empty(3, 1, 1, 1), r"new_empty\(\)"),
        (lambda packed: nn.functional.interpolate(packed, scale_factor=2), r"interpolate\(\)"),
        (lambda packed: nn.GroupNorm(2, 4)(packed), r"group_norm\(\)"),
        (lambda packed: packed + torch.randn(3, 4, 2, 2), r"\(3, 4, 2, 2\) and others of \(3, 4, 2, 2\)"),
        (lambda packed: packed * torch.ones(3, 1, 1, 1), r"others of \(3, 1, 1, 1\)"),
        (lambda packed: packed + make_packed(), "joins packed patches"),
        (lambda packed: packed + nn.functional.avg_pool2d(packed, 2), r"others of \(3, 4, 1, 1\)"),
        (lambda packed: torch.cat([packed, packed], 0), "cat needs packed patches with channels on axis 0"),
        (lambda packed: torch.cat([packed, packed.blocks], 1), "cat needs packed patches"),
        (lambda packed: packed.chunk(2, dim=2), "chunk needs packed patches with channels on axis 2"),
        (lambda packed: packed.permute(0, 3, 2, 1), r"permute\(0, 3, 2, 1\)"),
        (lambda packed: nn.Linear(2, 2)(packed), "linear needs packed patches with channels on axis 3"),
        (lambda packed: nn.LayerNorm([2, 4])(packed.permute(0, 2, 3, 1)), "spans positions"),
        (lambda packed: nn.Conv2d(2, 2, 1)(packed.permute(0, 2, 3, 1)), "conv2d needs packed patches"),
    ],
)
def test_what_may_mix_patches_is_refused(mix, message):
    with pytest.raises(SettingsError, match=message):
        mix(make_packed())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("se_resnet50", r"layer 'layer1.0.se_module.avg_pool' \(AdaptiveAvgPool2d\): it calls adaptive_avg_pool2d\(\)"),
        ("tu-seresnet18", r"layer 'model.layer1.0.se' \(SEModule\): it calls mean\(\)"),
        ("efficientnet-b0", r"layer '_conv_stem.static_padding' \(ZeroPad2d\): it calls pad\(\)"),
        ("inceptionresnetv2", r"layer 'mixed_5b.branch3.0' \(AvgPool2d\): it averages fewer values"),
        ("mit_b0", r"layer 'patch_embed1.norm' \(LayerNorm\)"),
        ("tu-convnextv2_atto", r"layer 'model.stages_0.blocks.0.mlp.grn' \(GlobalResponseNorm\)"),
    ],
)
def test_a_layer_that_cannot_run_on_patches_is_named(name, message):
    encoder = smp.encoders.get_encoder(name, in_channels=3, weights=None)
    with pytest.raises(SettingsError, match=message) as caught:
        check_packable(encoder, 3)
    assert "such as resnet50" in str(caught.value)
    with pytest.raises(SettingsError, match=message):
        encode(encoder, torch.zeros(1, 3, 64, 64), torch.ones(1, 2, 2, dtype=torch.bool))


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleDict({"path": DropPath(0.1)})

    def forward(self, image):
        return [self.inner["path"](image)]


def test_layers_that_only_training_calls_are_found():
    encoder = Dropping().eval()
    with pytest.raises(SettingsError, match=r"layer 'inner.path' \(DropPath\): it calls new_empty\(\)"):
        check_packable(encoder, 3)
    assert not encoder.training


def test_checking_changes_nothing():
    encoder = make_encoder("resnet18", 20).train()
    encoder.layer1.eval()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    modes = [module.training for module in encoder.modules()]
    state = torch.get_rng_state()
    check_packable(encoder, 20)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in encoder.modules()] == modes
    after = encoder.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert all(parameter.grad is None and not parameter.is_meta for parameter in encoder.parameters())


@pytest.mark.parametrize(
    ("channels", "patch", "message"),
    [
        (4, 32, r"4 channels .* layer 'conv1' \(Conv2d\): Invalid channel dimensions"),
        (3, 16, r"layer 'layer4.0.conv1' \(Conv2d\): its stride 2 does not divide the 1 px .* take larger patches"),
        (3, 48, r"layer 'layer4.0.conv1' \(Conv2d\): its stride 2 does not divide the 3 px"),
    ],
)
def test_channels_and_patches_that_do_not_fit_are_found(channels, patch, message):
    with pytest.raises(SettingsError, match=message):
        check_packable(smp.encoders.get_encoder("resnet18", weights=None), channels, patch)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (2, 3, 64, 96), (3, 64, 64)])
def test_a_mask_of_another_grid_is_refused(shape):
    encoder = smp.encoders.get_encoder("resnet18", weights=None)
    with pytest.raises(SettingsError, match=r"needs images of shape \(2, \d, 64, 64\), NCHW; got"):
        encode(encoder, torch.zeros(shape), torch.ones(2, 2, 2, dtype=torch.bool))


def test_an_encoder_that_leaves_the_patches_is_refused():
    with pytest.raises(SettingsError, match="the encoder needs packed patches"):
        encode(lambda image: [image.blocks], torch.zeros(1, 3, 64, 64), torch.ones(1, 2, 2, dtype=torch.bool))
