import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from volumen.errors import SettingsError
from volumen.views.geometry import (
    Affine,
    draw_crop,
    draw_flips,
    draw_resized_crop,
    draw_shift_scale_rotate,
    warp,
)

SEEDS = range(8)


def sample(seed, height=61, width=47, layers=3):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(layers, height, width, generator=generator)
    ink = torch.rand(1, height, width, generator=generator)
    supervision = (torch.rand(1, height, width, generator=generator) > 0.1).float()
    return image, ink, supervision


def composed(seed, size, source=(61, 47)):
    generator = np.random.default_rng(seed)
    affine = draw_resized_crop(generator, source, size) @ draw_flips(generator, size)
    return affine @ draw_shift_scale_rotate(generator, size)


def slow(affine, size, layer):
    """Scipy's spline interpolation of order 1; its 'mirror' is reflection about the outermost pixels."""
    matrix = [[affine.yy, affine.yx], [affine.xy, affine.xx]]
    return ndimage.affine_transform(
        layer.numpy().astype(np.float64), matrix, (affine.y0, affine.x0), (size, size), order=1, mode="mirror"
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_warp_equals_scipy(seed):
    image, ink, supervision = sample(seed)
    affine = composed(seed, 40)
    seen, seen_ink, _ = warp(affine, 40, image, ink, supervision)
    for layer, expected in [*zip(seen, image, strict=True), (seen_ink[0], ink[0])]:
        np.testing.assert_allclose(layer, slow(affine, 40, expected), atol=2e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pixel_is_supervised_only_if_all_its_sources_are(seed):
    image, ink, supervision = sample(seed)
    affine = composed(seed, 40)
    seen = warp(affine, 40, image, ink, supervision)[2][0].numpy()
    distrust = slow(affine, 40, 1 - supervision[0])
    clear = (distrust < 0.5e-3) | (distrust > 2e-3)
    np.testing.assert_array_equal(seen[clear], distrust[clear] < 1e-3)
    assert set(np.unique(seen)) == {0.0, 1.0}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_layer_that_shows_the_ink_stays_on_the_ink(seed):
    _, ink, supervision = sample(seed)
    seen, seen_ink, _ = warp(composed(seed, 40), 40, ink.repeat(2, 1, 1), ink, supervision)
    for layer in seen:
        torch.testing.assert_close(layer, seen_ink[0], atol=1e-6, rtol=0)


def test_composition_is_one_map_after_the_other():
    first, second = composed(1, 32), composed(2, 32)
    for x, y in [(0.0, 0.0), (31.0, 3.5), (-7.0, 12.0)]:
        assert (first @ second)(x, y) == pytest.approx(first(*second(x, y)), abs=1e-9)


def test_the_identity_changes_nothing_and_shares_no_memory():
    arguments = sample(0, 32, 32)
    for seen, given in zip(warp(Affine(), 32, *arguments), arguments, strict=True):
        assert torch.equal(seen, given)
        assert seen.data_ptr() != given.data_ptr()


@pytest.mark.parametrize(("horizontal", "vertical", "axes"), [(1, 0, [2]), (0, 1, [1]), (1, 1, [1, 2])])
def test_flips_are_exact_and_undo_themselves(horizontal, vertical, axes):
    flip = draw_flips(np.random.default_rng(0), 32, horizontal=horizontal, vertical=vertical)
    arguments = sample(0, 32, 32)
    once = warp(flip, 32, *arguments)
    for seen, given in zip(once, arguments, strict=True):
        assert torch.equal(seen, given.flip(axes))
    for seen, given in zip(warp(flip, 32, *once), arguments, strict=True):
        assert torch.equal(seen, given)
    assert flip @ flip == Affine()


@pytest.mark.parametrize("seed", SEEDS)
def test_cutting_out_equals_interpolating_at_whole_pixels(seed):
    generator = np.random.default_rng(seed)
    affine = draw_crop(generator, (61, 47), 32) @ draw_flips(generator, 32)
    exact = warp(affine, 32, *sample(seed))
    nearly = warp(affine @ Affine(x0=1e-9), 32, *sample(seed))
    for cut, interpolated in zip(exact, nearly, strict=True):
        torch.testing.assert_close(cut, interpolated, atol=1e-4, rtol=0)


def test_whole_pixels_outside_the_source_are_reflected():
    image, ink, supervision = sample(0, 32, 32)
    seen = warp(Affine(x0=-3.0), 32, image, ink, supervision)[0]
    torch.testing.assert_close(seen[..., :3], image[..., 1:4].flip(-1), atol=1e-5, rtol=0)


def test_crops_reach_every_place():
    generator = np.random.default_rng(0)
    places = {(crop.x0, crop.y0) for crop in (draw_crop(generator, (5, 4), 3) for _ in range(200))}
    assert places == {(x, y) for x in (0.0, 1.0) for y in (0.0, 1.0, 2.0)}


def test_a_crop_larger_than_the_window_is_refused():
    with pytest.raises(SettingsError, match="224 px cannot be cut from a window of 320 x 200"):
        draw_crop(np.random.default_rng(0), (320, 200), 224)


def test_resized_crops_keep_to_area_ratio_and_window():
    generator = np.random.default_rng(0)
    size, height, width = 224, 320, 300
    for _ in range(300):
        crop = draw_resized_crop(generator, (height, width), size)
        w, h = crop.xx * size, crop.yy * size
        left, top = crop(-0.5, -0.5)
        assert left > -0.5 - 1e-9
        assert top > -0.5 - 1e-9
        assert left + w < width - 0.5 + 1e-9
        assert top + h < height - 0.5 + 1e-9
        assert 0.66 < w * h / (height * width) <= 1
        assert 0.74 < w / h < 1.35


def test_a_long_window_falls_back_to_its_largest_allowed_box():
    crop = draw_resized_crop(np.random.default_rng(0), (100, 1000), 64, area=(0.9, 1.0))
    assert crop.yy * 64 == pytest.approx(100)
    assert crop.xx * 64 == pytest.approx(133)


def test_stretching_equals_torch_resizing():
    image, ink, supervision = sample(3, 60, 60)
    generator = np.random.default_rng(5)
    crop = draw_resized_crop(generator, (60, 60), 44)
    w, h = round(crop.xx * 44), round(crop.yy * 44)
    x, y = (round(edge + 0.5) for edge in crop(-0.5, -0.5))
    expected = F.interpolate(image[None, :, y : y + h, x : x + w], size=(44, 44), mode="bilinear")[0]
    seen = warp(crop, 44, image, ink, supervision)[0]
    torch.testing.assert_close(seen[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_turning_equals_scipy_turning(seed):
    turn = draw_shift_scale_rotate(np.random.default_rng(seed), 51, shift=0, scale=0)
    image, ink, supervision = sample(seed, 51, 51)
    angle = math.degrees(math.atan2(turn.xy, turn.xx))
    expected = ndimage.rotate(image[0].numpy(), -angle, reshape=False, order=1, mode="mirror")
    np.testing.assert_allclose(warp(turn, 51, image, ink, supervision)[0][0], expected, atol=5e-4)


def test_turns_keep_to_their_limits():
    generator = np.random.default_rng(0)
    zooms, shifts = [], []
    for _ in range(500):
        turn = draw_shift_scale_rotate(generator, 101, shift=0.15, scale=0.15)
        zooms.append(1 / math.hypot(turn.xx, turn.xy))
        # The view position that shows the source's centre has moved by the shift.
        away = np.linalg.solve([[turn.xx, turn.xy], [turn.yx, turn.yy]], [50 - turn.x0, 50 - turn.y0]) - 50
        shifts.append(away / 101)
        assert turn.xx == pytest.approx(turn.yy)
        assert turn.xy == pytest.approx(-turn.yx)
    assert 0.85 <= min(zooms) < 0.86
    assert 1.14 < max(zooms) <= 1.15
    assert 0.14 < np.abs(shifts).max() <= 0.15
    nothing = draw_shift_scale_rotate(generator, 101, degrees=0, shift=0, scale=0)
    assert (nothing.x0, nothing.y0) == pytest.approx((0, 0), abs=1e-12)


# ---- views that are not square ---------------------------------------------------------------------------------------

LONG = (24, 90)


def long_affine(seed, source=(61, 147)):
    generator = np.random.default_rng(seed)
    affine = draw_resized_crop(generator, source, LONG) @ draw_flips(generator, LONG)
    return affine @ draw_shift_scale_rotate(generator, LONG)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_warp_equals_scipy(seed):
    image, ink, supervision = sample(seed, 61, 147)
    affine = long_affine(seed)
    seen, seen_ink, _ = warp(affine, LONG, image, ink, supervision)
    matrix = [[affine.yy, affine.yx], [affine.xy, affine.xx]]
    for layer, given in [*zip(seen, image, strict=True), (seen_ink[0], ink[0])]:
        expected = ndimage.affine_transform(
            given.numpy().astype(float), matrix, (affine.y0, affine.x0), LONG, order=1, mode="mirror"
        )
        np.testing.assert_allclose(layer, expected, atol=3e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_flats_are_shown_one_by_one_as_together(seed):
    image, ink, supervision = sample(seed, 61, 147)
    affine = long_affine(seed)
    _, seen_ink, seen_supervision = warp(affine, LONG, image, ink, supervision)
    alone, papyrus = warp(affine, LONG, image, supervision)
    assert torch.equal(papyrus, seen_supervision)
    assert torch.equal(alone, warp(affine, LONG, image, ink, supervision)[0])
    first, second, third, last = warp(affine, LONG, image, ink, ink, supervision)[0:4]
    assert torch.equal(second, seen_ink)
    assert torch.equal(third, seen_ink)
    assert torch.equal(last, seen_supervision)
    assert torch.equal(first, alone)


@pytest.mark.parametrize(("horizontal", "vertical", "axes"), [(1, 0, [2]), (0, 1, [1]), (1, 1, [1, 2])])
def test_long_flips_are_exact(horizontal, vertical, axes):
    flip = draw_flips(np.random.default_rng(0), LONG, horizontal=horizontal, vertical=vertical)
    arguments = sample(0, *LONG)
    for seen, given in zip(warp(flip, LONG, *arguments), arguments, strict=True):
        assert torch.equal(seen, given.flip(axes))
    assert flip @ flip == Affine()


@pytest.mark.parametrize("seed", SEEDS)
def test_long_crops_are_cut_out_exactly_at_every_place(seed):
    crop = draw_crop(np.random.default_rng(seed), (26, 93), LONG)
    arguments = sample(seed, 26, 93)
    y, x = int(crop.y0), int(crop.x0)
    assert 0 <= y <= 2
    assert 0 <= x <= 3
    for seen, given in zip(warp(crop, LONG, *arguments), arguments, strict=True):
        assert torch.equal(seen, given[:, y : y + 24, x : x + 90])


@pytest.mark.parametrize("source", [(23, 200), (200, 89)])
def test_a_long_crop_larger_than_its_window_is_refused(source):
    with pytest.raises(SettingsError, match=f"24 x 90 px cannot be cut from a window of {source[0]} x {source[1]}"):
        draw_crop(np.random.default_rng(0), source, LONG)


@pytest.mark.parametrize("source", [(64, 256), (100, 100), (256, 64), (24, 90)])
def test_long_resized_crops_keep_the_aspect_and_the_window(source):
    """A box is no more than 4 / 3 out of the view's own shape, and lies inside the window."""
    generator = np.random.default_rng(0)
    stretches = []
    for _ in range(300):
        crop = draw_resized_crop(generator, source, LONG)
        left, top = crop(-0.5, -0.5)
        right, bottom = crop(LONG[1] - 0.5, LONG[0] - 0.5)
        assert min(left, top) > -0.5 - 1e-9
        assert right < source[1] - 0.5 + 1e-9
        assert bottom < source[0] - 0.5 + 1e-9
        stretches.append(crop.xx / crop.yy)
    assert 0.72 < min(stretches) <= max(stretches) < 1.39  # 3 / 4 … 4 / 3, and whole pixels
    if source == (24, 90):
        assert max(stretches) / min(stretches) > 1.3


def test_a_long_view_is_turned_so_far_only_that_its_middle_line_stays():
    generator = np.random.default_rng(0)
    height, width = 64, 256
    angles, rises = [], []
    for _ in range(400):
        turn = draw_shift_scale_rotate(generator, (height, width), shift=0, scale=0)
        angles.append(math.degrees(math.asin(turn.xy)))
        rises.append(abs(turn((width - 1) / 2 + width / 2, (height - 1) / 2)[1] - (height - 1) / 2))
        assert turn((width - 1) / 2, (height - 1) / 2) == pytest.approx(((width - 1) / 2, (height - 1) / 2))
    assert max(rises) <= height / 2 + 1e-9
    assert max(rises) > 0.95 * height / 2
    assert -14.5 < min(angles) < -13
    assert 13 < max(angles) < 14.5
    shifts = [draw_shift_scale_rotate(generator, (height, width), degrees=0, scale=0) for _ in range(300)]
    assert 0.14 * width < max(abs(turn.x0) for turn in shifts) <= 0.15 * width + 1e-9
    assert 0.14 * height < max(abs(turn.y0) for turn in shifts) <= 0.15 * height + 1e-9
