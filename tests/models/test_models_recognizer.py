"""Recogniser: the published counts, frames that padding cannot change, and norms that measure lines alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from volumen.errors import SettingsError
from volumen.models.recognizer.bilstm import BiLstm
from volumen.models.recognizer.frames import Frames
from volumen.models.recognizer.recognizer import Recognizer
from volumen.models.recognizer.resnet29 import ResNet29
from volumen.models.recognizer.seen import Seen, SeenNorm

WIDTHS = (37, 100, 4, 64, 1, 98)


def lines(height: int = 32, widths: tuple[int, ...] = WIDTHS, *, to: int | None = None, beyond: float = 0.0, seed=0):
    """Return images and widths; lines keep their pixels however wide the batch is, `beyond` fills the rest."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.full((len(widths), 1, height, to or max(widths)), beyond)
    for image, width in zip(images, widths, strict=True):
        image[:, :, :width] = torch.rand(1, height, width, generator=generator)
    return images, torch.tensor(widths)


def model(width: float = 0.125, *, seed: int = 0) -> Recognizer:
    """Return a small recogniser whose norms have seen lines, so that none of them is the identity."""
    torch.manual_seed(seed)
    recognizer = Recognizer(width)
    for module in recognizer.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    return recognizer


def test_the_published_counts() -> None:
    with torch.device("meta"):
        recognizer = Recognizer()
    resnet = sum(parameter.numel() for parameter in recognizer.resnet.parameters())
    assert round(resnet / 1e6, 2) == 44.26
    assert round(sum(parameter.numel() for parameter in recognizer.parameters()) / 1e6, 2) == 47.16
    assert (recognizer.visual_features, recognizer.features) == (512, 256)
    convolutions = [m for m in recognizer.resnet.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert len(convolutions) == 29


def test_frames_of_the_paper() -> None:
    recognizer = model().eval()
    frames = recognizer.visual(*lines(widths=(100, 100)))
    assert frames.values.shape == (2, 26, 64)
    assert frames.lengths.tolist() == [26, 26]
    assert recognizer(*lines(widths=(100, 100))).values.shape == (2, 26, 32)


@pytest.mark.parametrize(
    ("height", "kind", "close"), [(32, "float64", 1e-12), (45, "float64", 1e-12), (64, "float32", 1e-5)]
)
def test_padding_a_line_changes_nothing(height: int, kind: str, close: float) -> None:
    recognizer = model().eval().to(getattr(torch, kind))
    images, widths = lines(height, to=131, beyond=float("nan"))
    images = images.to(getattr(torch, kind))
    with torch.no_grad():
        for see in (recognizer.visual, recognizer.contextual):
            frames = see(images, widths)
            assert frames.lengths.tolist() == [-(-width // 4) + 1 for width in WIDTHS]
            largest = float(frames.values.abs().max())
            for image, width, values, seen in zip(images, WIDTHS, frames.values, frames.seen, strict=True):
                alone = see(image[None, :, :, :width], torch.tensor([width]))
                torch.testing.assert_close(values[seen], alone.values[0], rtol=0, atol=close * largest)
                assert values[~seen].eq(0).all()


def test_padding_changes_no_gradient_and_no_statistic_in_training() -> None:
    seen = []
    for to, beyond in ((100, 0.0), (140, 0.3)):
        recognizer = model().double().train()
        images, widths = lines(to=to, beyond=beyond)
        frames = recognizer(images.double(), widths)
        frames.values.square().sum().backward()
        gradients = [parameter.grad for parameter in recognizer.parameters()]
        seen.append([frames.values[:, :26], *gradients, *recognizer.buffers()])
    for one, other in zip(*seen, strict=True):  # each a sum of terms as large as its largest, which round
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10 * float(one.detach().abs().max()))


def test_frames_follow_their_lines_when_a_batch_is_permuted() -> None:
    images, widths = lines()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    images = images.double()  # norms in training sum over the batch in its order, which float32 would show
    for recognizer in (model().double().eval(), model().double().train()):
        with torch.no_grad():
            frames = copy.deepcopy(recognizer)(images, widths)
            permuted = recognizer(images[order], widths[order])
        torch.testing.assert_close(permuted.values, frames.values[order], rtol=0, atol=1e-10)
        assert permuted.lengths.tolist() == frames.lengths[order].tolist()


def test_a_gradient_reaches_every_parameter_and_every_pixel_of_a_line() -> None:
    recognizer = model().train()
    images, widths = lines(to=104)
    images.requires_grad_()
    (recognizer(images, widths).values * torch.randn(6, 27, 32)).sum().backward()
    for name, parameter in recognizer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    moved = images.grad.abs().amax(dim=(1, 2)) > 0
    assert moved.tolist() == [[column < width for column in range(104)] for width in WIDTHS]


def test_half_precision_pads_as_cleanly() -> None:
    recognizer = model().train()
    with torch.autocast("cpu", torch.bfloat16):
        frames = recognizer(*lines(beyond=float("nan")))
    frames.values.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in recognizer.parameters())
    assert frames.values.isfinite().all()
    assert frames.values[~frames.seen].eq(0).all()


@pytest.mark.parametrize("momentum", [0.1, None])  # none: the mean over batches, as in measuring a frozen encoder
def test_norm_of_lines_is_the_norm_of_their_columns_alone(momentum: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([3, 7, 1])
    x = torch.randn(3, 4, 5, 9, generator=generator, dtype=torch.float64) * 3 + 2
    norm, plain = SeenNorm(4).double(), nn.BatchNorm2d(4).double()
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    plain.load_state_dict(norm.state_dict())
    norm.momentum = plain.momentum = momentum
    packed = torch.cat([x[n, :, :, :length] for n, length in enumerate(lengths)], dim=-1)[None]  # 1 C H ΣW
    for training in (True, True, False):  # then in evaluation, with what was remembered
        norm.train(training)
        plain.train(training)
        given = x.clone().requires_grad_()
        wanted = packed.clone().requires_grad_()
        normed, truth = norm(given * 1, Seen.of(lengths, 9)), plain(wanted)
        got = torch.cat([normed[n, :, :, :length] for n, length in enumerate(lengths)], dim=-1)[None]
        torch.testing.assert_close(got, truth, rtol=1e-9, atol=1e-9)
        normed.sin().sum().backward()
        truth.sin().sum().backward()
        slope = torch.cat([given.grad[n, :, :, :length] for n, length in enumerate(lengths)], dim=-1)[None]
        torch.testing.assert_close(slope, wanted.grad, rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(list(norm.buffers()), list(plain.buffers()))
        torch.testing.assert_close(norm.weight.grad, plain.weight.grad)
        torch.testing.assert_close(norm.bias.grad, plain.bias.grad)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_blank_lines_are_normalised_as_by_torch(value: float) -> None:
    norm, plain = SeenNorm(2), nn.BatchNorm2d(2)
    given, wanted = (torch.full((3, 2, 4, 5), value, requires_grad=True) for _ in range(2))
    normed, truth = norm(given * 1, Seen.of(torch.tensor([5, 5, 5]), 5)), plain(wanted)
    torch.testing.assert_close(normed, truth, rtol=0, atol=1e-3)
    torch.testing.assert_close(list(norm.buffers()), list(plain.buffers()))
    normed.exp().sum().backward()
    truth.exp().sum().backward()
    torch.testing.assert_close(given.grad, wanted.grad)
    torch.testing.assert_close(norm.weight.grad, plain.weight.grad)


@pytest.mark.parametrize("training", [True, False])
def test_masked_lines_are_seen_as_if_each_layer_were_computed_where_they_are_visible(training: bool) -> None:
    """Against the rule itself: zeros before every convolution, and statistics of what is left, place by place."""
    torch.manual_seed(0)
    model = ResNet29(1 / 16).double().train(training)
    plain = copy.deepcopy(model)
    images, widths = torch.rand(3, 1, 32, 64, dtype=torch.float64), torch.tensor([64, 41, 20])
    masked = (torch.rand(3, 1, 4, 8) < 0.6).repeat_interleave(8, 2).repeat_interleave(8, 3)
    got = model(images, widths, masked)

    def within(lengths: torch.Tensor, width: int) -> torch.Tensor:
        return (torch.arange(width) < lengths[:, None])[:, None, None, :]

    def norm(layer: nn.BatchNorm2d, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        values = x.movedim(1, -1)[seen.expand(len(x), 1, *x.shape[2:])[:, 0]]  # places × C
        out = torch.zeros_like(x).movedim(1, -1).clone()
        out[seen.expand(len(x), 1, *x.shape[2:])[:, 0]] = nn.functional.batch_norm(
            values, layer.running_mean, layer.running_var, layer.weight, layer.bias, layer.training, 0.1, layer.eps
        )
        return out.movedim(-1, 1)

    def conv(layer: nn.Module, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        return norm(layer.norm, layer.conv(x), seen).relu()

    def stage(layers: nn.Module, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        for block in layers.blocks:
            past = x if block.past is None else norm(block.past_norm, block.past(x), seen)
            x = (norm(block.norm, block.second(conv(block.first, x, seen)), seen) + past).relu()
        return x

    visible = ~masked
    seen = [visible[..., ::step, ::step] & within(-(-widths // step), 64 // step) for step in (1, 2, 4)]
    x = torch.where(seen[0], 1 - images, 0.0)
    for layer in plain.stem:
        x = conv(layer, x, seen[0])
    half = x = conv(plain.conv1, stage(plain.stage1, nn.functional.max_pool2d(x, 2), seen[1]), seen[1])
    quarter = x = conv(plain.conv2, stage(plain.stage2, nn.functional.max_pool2d(x, 2), seen[2]), seen[2])
    x = nn.functional.max_pool2d(x, 2, stride=(2, 1), padding=(0, 1))
    between = torch.zeros(3, 1, 4, 17, dtype=torch.bool)
    for column in range(17):  # it stands between two columns of 4 px
        for side in {column - 1, column} & set(range(16)):
            between[..., column] |= seen[2][:, :, ::2, side]
    between &= within(-(-widths // 4) + 1, 17)
    x = stage(plain.stage4, conv(plain.conv3, stage(plain.stage3, x, between), between), between)
    first, last = plain.conv4
    x = conv(first, x, within(-(-widths // 4) + 2, 18))
    x = conv(last, x, within(-(-widths // 4) + 1, 17))
    torch.testing.assert_close(got.values, x.mean(dim=2).transpose(1, 2), rtol=1e-9, atol=1e-9)
    for one, wanted, there in zip(got.maps, (half, quarter), seen[1:], strict=True):
        torch.testing.assert_close(one.values, wanted, rtol=1e-9, atol=1e-9)
        assert torch.equal(one.hidden, ~there)
    statistics = [[each for each in one.buffers() if each.is_floating_point()] for one in (model, plain)]
    torch.testing.assert_close(*statistics, rtol=1e-9, atol=1e-9)


def test_two_way_frames_begin_at_the_end_of_each_line() -> None:
    torch.manual_seed(0)
    bilstm, lengths = BiLstm(6, 4), torch.tensor([7, 2, 5])
    values = torch.randn(3, 7, 6)
    frames = bilstm(Frames.within(values, lengths))
    for n, length in enumerate(lengths.tolist()):
        alone = bilstm(Frames(values[n : n + 1, :length], lengths[n : n + 1]))
        torch.testing.assert_close(frames.values[n, :length], alone.values[0])
        assert frames.values[n, length:].eq(0).all()
        assert not torch.equal(alone.values[0, 0], BiLstm(6, 4)(Frames(values[n : n + 1], lengths[:1])).values[0, 0])


def test_rebuilt_from_its_architecture() -> None:
    first = model(0.25).eval()
    second = Recognizer(**first.architecture).eval()
    second.load_state_dict(first.state_dict())
    batch = lines(widths=(40, 24))
    assert torch.equal(first(*batch).values, second(*batch).values)


@pytest.mark.parametrize(
    ("images", "widths", "message"),
    [
        (torch.zeros(2, 1, 24, 100), torch.tensor([100, 100]), "at least 32 px high"),
        (torch.zeros(2, 1, 32, 100), torch.tensor([100, 101]), r"1…100.*100…101"),
        (torch.zeros(2, 1, 32, 100), torch.tensor([0, 100]), r"1…100.*0…100"),
        (torch.zeros(2, 1, 32, 100), torch.tensor([100]), "width for each of 2 lines"),
        (torch.zeros(2, 1, 32, 100), torch.tensor([100.0, 100.0]), "int64"),
    ],
)
def test_what_cannot_be_lines_is_refused(images: torch.Tensor, widths: torch.Tensor, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ResNet29(0.125)(images, widths)


def test_frames_and_widths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"\(N, T, F\)"):
        Frames(torch.zeros(2, 3), torch.tensor([3, 3]))
    with pytest.raises(SettingsError, match="float32"):
        Frames(torch.zeros(2, 3, 4), torch.tensor([3.0, 3.0]))
    with pytest.raises(SettingsError, match="share of the published"):
        Recognizer(0.01)
