"""Probe: finds what the features hold and nothing else, and leaves the encoder as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional

from volumen.crops.normalize import Normalization
from volumen.crops.shares import Shares
from volumen.crops.split import Split
from volumen.errors import DivergedError, LabelError
from volumen.models.encoders import freeze
from volumen.recipes.probe import Probe, solve_ridge
from volumen.recipes.spots import Spots
from volumen.sources.labels.rasters import Raster
from volumen.sources.segment import Segment
from volumen.windows import Window, grid

HEIGHT, WIDTH, DEPTH, INKED = 192, 512, 4, 2
DIVIDE = Normalization(kind="divide")


def make_part(*, seed: int = 0, contrast: int = 0, ink: bool = True, **rasters: Raster) -> tuple[Segment, Split]:
    """Noise whose layer `INKED` is brighter under ink, by ``contrast`` of 255; the right part is held out."""
    random = np.random.default_rng(seed)
    strokes = random.random((HEIGHT // 16, WIDTH // 16)).repeat(16, 0).repeat(16, 1) < 0.3
    volume = random.integers(1, 200, (DEPTH, HEIGHT, WIDTH)).astype(np.uint8)
    volume[INKED] += (contrast * strokes).astype(np.uint8)
    rasters |= {"ink": Raster.of(255 * strokes.astype(np.uint8))} if ink else {}
    segment = Segment(name="paper", source="array", levels=(volume,), **rasters)
    train = tuple(grid(Window((0, DEPTH), (0, HEIGHT), (0, 320)), 64, 64))
    held_out = (Window((0, DEPTH), (0, 180), (352, WIDTH)),)  # no multiple of 32 px high: it has to be padded
    return segment, Split(train=train, held_out=held_out, shares=Shares(), by="region")


class Pyramid(nn.Module):
    """An encoder whose feature at each stride is the mean of one layer there, or noise of many channels."""

    def __init__(self, layer: int | None, *, noise: int = 0, strides: tuple[int, ...] = (1, 2, 4)) -> None:
        super().__init__()
        self.layer, self.noise, self.strides = layer, noise, strides

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = []
        for stride in self.strides:
            small = functional.avg_pool2d(image, stride)
            parts = [] if self.layer is None else [small[:, self.layer : self.layer + 1]]
            if self.noise:
                generator = torch.Generator().manual_seed(int(1e6 * small.mean()) + stride)
                parts.append(torch.randn((1, self.noise, *small.shape[2:]), generator=generator))
            maps.append(torch.cat(parts, dim=1))
        return maps


@pytest.fixture(scope="module")
def probe() -> Probe:
    return Probe.of([make_part(contrast=50)], normalization=DIVIDE, pixels=1200)


def test_features_that_hold_the_label_are_told_from_those_that_do_not(probe: Probe) -> None:
    holding, other, mixed = (probe(Pyramid(layer, noise=noise)) for layer, noise in ((INKED, 0), (0, 0), (INKED, 40)))
    assert holding["auc"] > 0.85
    assert holding["average_precision"] > 0.85
    assert abs(other["auc"] - 0.5) < 0.05
    assert abs(other["average_precision"] - 0.5) < 0.07
    assert mixed["auc"] > holding["auc"] - 0.05
    assert holding["pixels"] == 1200


def test_more_channels_than_pixels_are_no_trouble(probe: Probe) -> None:
    assert probe(Pyramid(INKED, noise=2000, strides=(4,)))["auc"] > 0.6
    assert abs(probe(Pyramid(None, noise=2000, strides=(4,)))["auc"] - 0.5) < 0.06


def test_bare_voxels_are_the_baseline(probe: Probe) -> None:
    voxels = probe.voxels()
    assert 0.6 < voxels["auc"] < probe(Pyramid(INKED))["auc"]
    blind = Probe.of([make_part()], normalization=DIVIDE, pixels=1200)
    assert abs(blind.voxels()["auc"] - 0.5) < 0.05


def test_constant_features_are_guessing(probe: Probe) -> None:
    class Constant(nn.Module):
        def forward(self, image: Tensor) -> list[Tensor]:
            return [image, torch.full((1, 3, image.shape[2] // 2, image.shape[3] // 2), 0.1)]

    assert probe(Constant())["auc"] == 0.5


def test_the_draw_is_balanced_seeded_supervised_and_the_same_each_time() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, ::2] = 255
    parts = [make_part(supervision=Raster.of(mask))]
    segment, split = parts[0]
    probe = Probe.of(parts, normalization=DIVIDE, pixels=500, seed=3)
    for spots, boxes in ((probe.train, split.train), (probe.held_out, split.held_out)):
        assert len(spots.ink) == 500
        assert spots.ink.sum() == 250
        seen = []
        for (of, window), places in zip(spots.tiles, spots.places, strict=True):
            assert of is segment
            assert any(window & box == window for box in boxes)
            seen += [(window.y[0] + int(y), window.x[0] + int(x)) for y, x in places]
        assert len(set(seen)) == 500
        ink = segment.raster("ink").read(segment.window) > 0.5
        np.testing.assert_array_equal(spots.ink.numpy(), [ink[place] for place in seen])
        assert all(x % 2 == 0 for _, x in seen)
    again, other = (Probe.of(parts, normalization=DIVIDE, pixels=500, seed=seed) for seed in (3, 4))
    encoder = Pyramid(INKED, noise=3)
    assert probe(encoder) == again(encoder) == probe(encoder)
    assert probe(encoder) != other(encoder)


def test_only_what_the_split_holds_out_is_scored() -> None:
    raster = np.zeros((HEIGHT, WIDTH), np.uint8)
    raster[:60, 400:] = 255
    segment, split = make_part(held_out=Raster.of(raster))
    by_raster = Split(train=split.train, held_out=split.held_out, shares=split.shares, by="raster")
    spots = Probe.of([(segment, by_raster)], normalization=DIVIDE).held_out
    for (_, window), places in zip(spots.tiles, spots.places, strict=True):
        assert ((places[:, 0] + window.y[0]) < 60).all()
        assert ((places[:, 1] + window.x[0]) >= 400).all()


def test_a_map_is_read_at_the_pixel() -> None:
    """Maps that hold their own coordinates give them back, whatever their stride."""
    segment, split = make_part()
    spots = Spots.draw(
        [(segment, split, split.held_out[0])],
        normalization=DIVIDE,
        pixels=300,
        tiles=4,
        held_out=True,
        generator=np.random.default_rng(0),
    )

    def coordinates(image: Tensor) -> list[Tensor]:
        maps = []
        for stride in (1, 2, 8):
            y, x = (torch.arange(side // stride) for side in image.shape[2:])
            centres = torch.stack(torch.meshgrid(y, x, indexing="ij"))[None]
            maps.append((centres + 0.5) * stride - 0.5)  # of each cell, in pixels
        return maps

    places = torch.cat(spots.places).double()
    image = segment.read(split.held_out[0]) / 255
    for stride, read in zip((1, 2, 8), spots.read(coordinates), strict=True):
        edge = stride / 2  # beyond the outermost cells' centres there is nothing to interpolate
        inner = ((places >= edge) & (places <= torch.tensor(image.shape[1:]) - 1 - edge)).all(dim=1)
        assert inner.sum() > 200
        torch.testing.assert_close(read[inner], places[inner], atol=2e-3, rtol=0)
    (voxels,) = spots.read(lambda image: [image])
    y, x = torch.cat(spots.places).numpy().T
    np.testing.assert_allclose(voxels.numpy(), image[:, y, x].T, atol=1e-4)


def test_the_encoder_is_left_as_it_was(probe: Probe) -> None:
    torch.manual_seed(0)
    encoder = smp.encoders.get_encoder("resnet18", in_channels=DEPTH, weights=None)
    encoder.train()
    freeze(encoder.layer1)
    encoder.layer2.eval()
    before = copy.deepcopy(encoder.state_dict())
    modes = [part.training for part in encoder.modules()]
    first = probe(encoder)
    assert [part.training for part in encoder.modules()] == modes
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(weight.grad is None for weight in encoder.parameters())
    assert probe(encoder) == first
    assert probe(encoder.eval()) == first


def test_a_failing_encoder_is_left_as_it_was_too(probe: Probe) -> None:
    encoder = nn.Sequential(nn.BatchNorm2d(DEPTH + 1))
    with pytest.raises(RuntimeError):
        probe(encoder)
    assert encoder[0].training


@pytest.mark.parametrize("channels", [5, 60])
@pytest.mark.parametrize("penalty", [1e-3, 10.0])
def test_ridge_minimises_what_it_says(channels: int, penalty: float) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((30, channels), generator=generator, dtype=torch.float64)
    target = torch.randn(30, generator=generator, dtype=torch.float64)
    (weights,) = solve_ridge(features, target, (penalty,))
    stacked = np.concatenate([features.numpy(), np.sqrt(30 * penalty) * np.eye(channels)])
    expected = np.linalg.lstsq(stacked, np.concatenate([target.numpy(), np.zeros(channels)]), rcond=None)[0]
    np.testing.assert_allclose(weights.numpy(), expected, atol=1e-9)


def test_segments_without_ink_are_passed_over_and_without_any_it_is_an_error() -> None:
    labelled, bare = make_part(contrast=50), make_part(ink=False)
    both = Probe.of([bare, labelled], normalization=DIVIDE, pixels=200)
    assert both.voxels()["pixels"] == 200
    for parts in ([bare], []):
        with pytest.raises(LabelError, match="0 px of ink"):
            Probe.of(parts, normalization=DIVIDE)
    blank, split = make_part(ink=False)
    blank = Segment(name="b", source="b", levels=blank.levels, ink=Raster.of(np.zeros((HEIGHT, WIDTH), np.uint8)))
    with pytest.raises(LabelError, match="another region"):
        Probe.of([(blank, split)], normalization=DIVIDE)


def test_features_that_are_no_numbers_are_an_error(probe: Probe) -> None:
    class Diverged(nn.Module):
        def forward(self, image: Tensor) -> list[Tensor]:
            return [functional.avg_pool2d(image, 2) * torch.nan]

    with pytest.raises(DivergedError, match="NaN"):
        probe(Diverged())
