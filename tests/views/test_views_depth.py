import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from volumen.views.depth import LayerCrop, Tilt


def image(layers=9, height=33, width=40, seed=0):
    return torch.rand(layers, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("x", "y"), [(0.05, 0.0), (-0.08, 0.03), (0.4, -0.3)])
@pytest.mark.parametrize("layers", [2, 9, 20])
def test_tilt_moves_each_column_by_its_plane(x, y, layers):
    given = image(layers)
    z, row, column = np.meshgrid(*(np.arange(length) for length in given.shape), indexing="ij")
    depth = z + y * (row - 16) + x * (column - 19.5)
    expected = ndimage.map_coordinates(given.numpy(), [depth, row, column], order=1, mode="mirror")
    np.testing.assert_allclose(Tilt(x=x, y=y)(given), expected, atol=1e-5)


def test_no_tilt_changes_nothing():
    assert torch.equal(Tilt(x=0.0, y=0.0)(image()), image())
    assert torch.equal(Tilt(x=0.1, y=0.1)(image(layers=1)), image(layers=1))


def test_a_small_tilt_is_a_small_turn():
    z, row, column = np.meshgrid(np.arange(21), np.arange(40), np.arange(40), indexing="ij")
    smooth = 0.5 + 0.4 * np.sin(z / 2) * np.cos(column / 40) * np.cos(row / 40)
    angle = math.radians(4)
    centre = np.array([10, 19.5, 19.5])
    turn = np.array([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
    turned = ndimage.affine_transform(smooth, turn, centre - turn @ centre, order=1, mode="mirror")
    tilted = Tilt(x=math.tan(angle), y=0.0)(torch.from_numpy(smooth).float()).numpy()
    inner = (slice(4, -4), slice(4, -4), slice(4, -4))
    moved = np.abs(turned - smooth)[inner].mean()
    assert np.abs(tilted - turned)[inner].mean() < 0.1 * moved


def test_tilts_keep_to_their_limit_at_every_size():
    generator = np.random.default_rng(0)
    small = [Tilt.draw(generator, 64) for _ in range(300)]
    large = [Tilt.draw(generator, 320) for _ in range(300)]
    tangent = math.tan(math.radians(5))
    assert 0.98 * tangent < max(abs(tilt.x) for tilt in small) <= tangent
    assert 0.98 * tangent < max(abs(tilt.y) for tilt in small) <= tangent
    assert 2.7 < max(abs(tilt.x) for tilt in large) * 160 < 2.81


@pytest.mark.parametrize(("layers", "least"), [(26, 18), (20, 14), (65, 45), (3, 2), (1, 1)])
def test_layer_crops_never_repeat_a_layer_and_zero_what_they_say(layers, least):
    generator = np.random.default_rng(layers)
    named = torch.arange(1.0, layers + 1)[:, None, None].expand(layers, 2, 2)
    counts = set()
    for _ in range(600):
        crop = LayerCrop.draw(generator, layers)
        counts.add(crop.count)
        seen = crop(named)[:, 0, 0].tolist()
        kept = [int(name) for name in seen if name]
        assert kept == sorted(set(kept))
        expected = [0.0] * layers
        for offset in range(crop.count):
            if crop.paste + offset not in crop.lost:
                expected[crop.paste + offset] = float(crop.start + offset + 1)
        assert seen == expected
        assert len(kept) == crop.count - len(crop.lost) >= 1
        assert all(crop.paste <= layer < crop.paste + crop.count for layer in crop.lost)
    assert counts == set(range(least, layers + 1))


def test_layers_are_lost_as_often_as_published():
    generator = np.random.default_rng(0)
    crops = [LayerCrop.draw(generator, 26) for _ in range(3000)]
    shares = [sum(len(crop.lost) == number for crop in crops) / 3000 for number in range(4)]
    # 0.4 for sure none, and a third of the other 0.6 each for none, one and two.
    assert shares == pytest.approx([0.6, 0.2, 0.2, 0], abs=0.035)
    first_pasted = sum(crop.paste in crop.lost for crop in crops)
    last_pasted = sum(crop.paste + crop.count - 1 in crop.lost for crop in crops)
    assert first_pasted > 40
    assert last_pasted > 40


def test_nothing_given_is_changed():
    given = image()
    Tilt(x=0.1, y=0.1)(given)
    LayerCrop(start=0, count=5, paste=3, lost=(4,))(given)
    assert torch.equal(given, image())


def test_a_long_image_is_tilted_by_as_many_layers_either_way():
    generator = np.random.default_rng(0)
    tilts = [Tilt.draw(generator, (64, 320)) for _ in range(300)]
    assert 2.7 < max(abs(tilt.x) for tilt in tilts) * 160 < 2.81
    assert 2.7 < max(abs(tilt.y) for tilt in tilts) * 32 < 2.81
