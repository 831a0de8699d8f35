from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from volumen.errors import SettingsError
from volumen.objectives.reconstruction import Reconstruction

TARGETS = ("patch", "layer", "pixels", "gradient")


def batch(seed: int = 0, *, count: int = 3, layers: int = 4, patch: int = 8, grid: tuple[int, int] = (3, 5)):
    """Return prediction, image, visible and papyrus; layers differ in brightness and contrast."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, layers, grid[0] * patch, grid[1] * patch)
    scale = torch.linspace(0.1, 1.0, layers).view(1, layers, 1, 1)
    image = torch.rand(shape, generator=generator) * scale
    prediction = torch.randn(shape, generator=generator)
    visible = torch.rand(count, *grid, generator=generator) < 0.4
    return prediction, image, visible, torch.ones(count, 1, *shape[2:])


def published(prediction, image, visible, patch: int) -> float:
    """SparK's loss as its paper words it, one patch and one number at a time, in double precision."""
    losses = []
    count, layers, height, width = image.shape
    for index in range(count):
        for row in range(height // patch):
            for column in range(width // patch):
                if visible[index, row, column]:
                    continue
                ys = range(row * patch, (row + 1) * patch)
                xs = range(column * patch, (column + 1) * patch)
                places = [(index, layer, y, x) for layer in range(layers) for y in ys for x in xs]
                values = [float(image[place]) for place in places]
                mean = sum(values) / len(values)
                variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
                errors = [
                    (float(prediction[place]) - (value - mean) / math.sqrt(variance + 1e-6)) ** 2
                    for place, value in zip(places, values, strict=True)
                ]
                losses.append(sum(errors) / len(errors))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("patch", "grid"), [(8, (3, 5)), (4, (2, 2)), (16, (1, 3))])
def test_the_published_loss(patch: int, grid: tuple[int, int]) -> None:
    prediction, image, visible, papyrus = batch(patch, count=2, layers=3, patch=patch, grid=grid)
    got = Reconstruction(patch=patch)(prediction, image, visible, papyrus)
    assert float(got.total) == pytest.approx(published(prediction, image, visible, patch), rel=1e-5)
    assert float(got.terms["patches"]) == pytest.approx(float((~visible).sum()) / 2)


def test_layer_targets_are_the_published_ones_of_each_layer_alone() -> None:
    prediction, image, visible, papyrus = batch()
    loss = Reconstruction(patch=8, targets="layer")
    layers = [published(prediction[:, [i]], image[:, [i]], visible, 8) for i in range(4)]
    assert float(loss(prediction, image, visible, papyrus).total) == pytest.approx(sum(layers) / 4, rel=1e-5)


def test_pixel_targets_are_the_image() -> None:
    prediction, image, visible, papyrus = batch()
    loss = Reconstruction(patch=8, targets="pixels")
    hidden = ~visible.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, None].expand_as(image)
    expected = (prediction - image)[hidden].square().mean()
    torch.testing.assert_close(loss(prediction, image, visible, papyrus).total, expected)
    assert torch.equal(loss.target(image), image)
    assert torch.equal(loss.restore(prediction, image), prediction)


def test_gradient_targets_are_how_steep_the_cells_of_each_patch_are() -> None:
    prediction, image, visible, papyrus = batch(count=2, layers=2, patch=16, grid=(2, 3))
    loss = Reconstruction(patch=16, targets="gradient")
    target, shown, errors = torch.zeros_like(image), torch.zeros_like(image), []
    for number, layer, row, column in np.ndindex(2, 2, 2, 3):
        ys, xs = slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16)
        steep = np.hypot(*np.gradient(image[number, layer, ys, xs].double().numpy()))
        for y, x in np.ndindex(2, 2):
            cell = np.s_[
                number, layer, 16 * row + 8 * y : 16 * row + 8 * y + 8, 16 * column + 8 * x : 16 * column + 8 * x + 8
            ]
            shown[cell] = steep[8 * y : 8 * y + 8, 8 * x : 8 * x + 8].mean()
            target[cell] = math.log(float(shown[cell][0, 0]) / 0.1 + 0.01)
            if not visible[number, row, column]:
                errors.append((float(prediction[cell].mean()) - float(target[cell][0, 0])) ** 2)
    torch.testing.assert_close(loss.target(image), target)
    torch.testing.assert_close(loss.shown(image), shown)
    assert float(loss(prediction, image, visible, papyrus).total) == pytest.approx(np.mean(errors), rel=1e-5)


def test_targets_have_no_mean_and_unit_deviation() -> None:
    image = batch(layers=5)[1]
    cut = Reconstruction(patch=8).target(image).unfold(2, 8, 8).unfold(3, 8, 8)  # N, C, gh, gw, 8, 8
    assert cut.mean(dim=(1, 4, 5)).abs().max() < 1e-6
    torch.testing.assert_close(cut.var(dim=(1, 4, 5)), torch.ones(3, 3, 5), rtol=1e-3, atol=0)
    by_layer = Reconstruction(patch=8, targets="layer").target(image).unfold(2, 8, 8).unfold(3, 8, 8)
    assert by_layer.mean(dim=(4, 5)).abs().max() < 1e-6
    torch.testing.assert_close(by_layer.var(dim=(4, 5)), torch.ones(3, 5, 3, 5), rtol=1e-2, atol=0)


@pytest.mark.parametrize("targets", TARGETS)
def test_restore_undoes_target_and_a_perfect_prediction_costs_nothing(targets) -> None:
    _, image, visible, papyrus = batch()
    loss = Reconstruction(patch=8, targets=targets)
    torch.testing.assert_close(loss.restore(loss.target(image), image), loss.shown(image))
    if targets != "gradient":
        assert torch.equal(loss.shown(image), image)
    assert float(loss(loss.target(image), image, visible, papyrus).total) < 1e-12


@pytest.mark.parametrize("targets", TARGETS)
def test_a_flat_patch_is_defined(targets) -> None:
    image = torch.full((1, 2, 16, 16), 0.7)
    loss = Reconstruction(patch=8, targets=targets)
    visible = torch.zeros(1, 2, 2, dtype=torch.bool)
    prediction = torch.zeros_like(image, requires_grad=True)
    terms = loss(prediction, image, visible, torch.ones(1, 1, 16, 16))
    terms.total.backward()
    assert torch.isfinite(terms.total)
    assert torch.isfinite(prediction.grad).all()
    if targets in ("patch", "layer"):
        # bounded by float32's rounding of 0.7, some 6e-8, over the square root of 1e-6
        assert loss.target(image).abs().max() < 1e-3
        torch.testing.assert_close(loss.restore(torch.zeros_like(image), image), image)


@pytest.mark.parametrize("targets", TARGETS)
def test_what_does_not_count_does_not_matter_not_even_as_nan(targets) -> None:
    prediction, image, visible, papyrus = batch()
    papyrus[:, :, :16, 24:] = 0
    loss = Reconstruction(patch=8, targets=targets)
    inside = torch.ones(3, 3, 5, dtype=torch.bool)
    inside[:, :2, 3:] = False
    ignored = (visible | ~inside).repeat_interleave(8, 1).repeat_interleave(8, 2)[:, None].expand_as(image)
    results = []
    for spoiled in (False, True):
        painted = torch.where(ignored, float("nan"), prediction) if spoiled else prediction.clone()
        shown = torch.where(ignored, float("nan"), image) if spoiled else image
        painted.requires_grad_(True)
        total = loss(painted, shown, visible, papyrus).total
        total.backward()
        results.append((total.detach(), painted.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert torch.equal(results[0][1] == 0, ignored), "every other number is taught, these are not"


def test_a_patch_counts_from_half_papyrus_on_and_then_wholly() -> None:
    prediction, image, _, _ = batch(count=1, grid=(1, 2))
    visible = torch.zeros(1, 1, 2, dtype=torch.bool)
    papyrus = torch.zeros(1, 1, 8, 16)
    papyrus[..., :4, :8] = 1  # half of the first patch
    papyrus[..., :4, 8:] = 1
    papyrus[..., 0, 8] = 0  # a pixel less of the second
    loss = Reconstruction(patch=8)
    prediction.requires_grad_(True)
    terms = loss(prediction, image, visible, papyrus)
    terms.total.backward()
    assert float(terms.terms["patches"]) == 1
    first = published(prediction.detach()[..., :8], image[..., :8], visible[..., :1], 8)
    assert float(terms.total.detach()) == pytest.approx(first, rel=1e-5)
    assert bool((prediction.grad[..., :8] != 0).all())
    assert bool((prediction.grad[..., 8:] == 0).all())


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("why", ["all visible", "no papyrus"])
def test_nothing_counts(targets, why: str) -> None:
    prediction, image, visible, papyrus = batch()
    if why == "all visible":
        visible = torch.ones_like(visible)
    else:
        papyrus = torch.zeros_like(papyrus)
    prediction.requires_grad_(True)
    terms = Reconstruction(patch=8, targets=targets)(prediction, torch.full_like(image, math.nan), visible, papyrus)
    terms.total.backward()
    assert float(terms.total.detach()) == 0.0
    assert float(terms.terms["patches"]) == 0.0
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))


@pytest.mark.parametrize("targets", TARGETS)
def test_the_order_in_memory_does_not_matter(targets) -> None:
    prediction, image, visible, papyrus = batch()
    loss = Reconstruction(patch=8, targets=targets)
    turned = [tensor.to(memory_format=torch.channels_last) for tensor in (prediction, image)]
    torch.testing.assert_close(loss(*turned, visible, papyrus).total, loss(prediction, image, visible, papyrus).total)
    torch.testing.assert_close(loss.target(turned[1]), loss.target(image))
    torch.testing.assert_close(loss.restore(*turned), loss.restore(prediction, image))


def test_half_precision_is_scored_in_single() -> None:
    prediction, image, visible, papyrus = batch()
    loss = Reconstruction(patch=8)
    rough = prediction.bfloat16()
    got = loss(rough, image, visible, papyrus).total
    assert got.dtype == torch.float32
    assert torch.equal(got, loss(rough.float(), image, visible, papyrus).total)


def test_shapes_that_do_not_fit() -> None:
    prediction, image, visible, papyrus = batch()
    loss = Reconstruction(patch=8)
    for broken in (
        (prediction[:, :3], image, visible, papyrus),
        (prediction, image, visible[:, :2], papyrus),
        (prediction, image, visible.float(), papyrus),
        (prediction, image, visible, papyrus[..., 1:]),
    ):
        with pytest.raises(SettingsError, match=r"\(3, 4, 24, 40\)"):
            loss(*broken)
    with pytest.raises(SettingsError, match="multiples of the patch, 7 px"):
        Reconstruction(patch=7)(prediction, image, visible, papyrus)
    with pytest.raises(SettingsError, match="cells of 8 px; got 12"):
        Reconstruction(patch=12, targets="gradient")
    with pytest.raises(SettingsError, match="patch, layer, pixels"):
        Reconstruction(targets="voxels")
    with pytest.raises(SettingsError, match="at least 2 px"):
        Reconstruction(patch=1)
