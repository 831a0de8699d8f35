import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from volumen.views.intensity import Adjust, GaussianBlur, Holes, MotionBlur, Noise


def image(seed=0):
    return torch.rand(4, 37, 41, generator=torch.Generator().manual_seed(seed))


def test_adjusting_is_a_gain_and_an_offset_cut_to_the_range():
    given = torch.tensor([0.0, 0.25, 0.5, 1.0]).reshape(1, 2, 2)
    seen = Adjust(gain=1.2, offset=-0.1)(given)
    torch.testing.assert_close(seen.flatten(), torch.tensor([0.0, 0.2, 0.5, 1.0]))
    drawn = [Adjust.draw(np.random.default_rng(seed)) for seed in range(300)]
    assert 0.8 <= min(change.gain for change in drawn) < 0.81
    assert 1.19 < max(change.gain for change in drawn) <= 1.2
    assert 0.19 < max(abs(change.offset) for change in drawn) <= 0.2


def test_noise_is_as_strong_as_it_says_in_every_layer():
    grey = torch.full((6, 300, 300), 0.5)
    noise = Noise.draw(np.random.default_rng(1))
    seen = noise(grey) - grey
    assert 10 <= (noise.sigma * 255) ** 2 <= 50
    for layer in seen:
        assert float(layer.std()) == pytest.approx(noise.sigma, rel=0.02)
        assert abs(float(layer.mean())) < 4 * noise.sigma / 300
    assert abs(np.corrcoef(seen[0].flatten(), seen[1].flatten())[0, 1]) < 0.02


def test_noise_is_the_same_for_the_same_seed_only():
    assert torch.equal(Noise(sigma=0.02, seed=5)(image()), Noise(sigma=0.02, seed=5)(image()))
    assert not torch.equal(Noise(sigma=0.02, seed=5)(image()), Noise(sigma=0.02, seed=6)(image()))


def test_noise_leaves_the_global_random_state_alone():
    state = torch.random.get_rng_state()
    Noise(sigma=0.02, seed=5)(image())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("side", "sigma"), [(3, 0.8), (5, 1.1), (7, 1.4)])
def test_gaussian_blur_equals_scipy(side, sigma):
    blur = GaussianBlur(side=side)
    assert blur.sigma == pytest.approx(sigma)
    for seen, given in zip(blur(image()), image(), strict=True):
        expected = ndimage.gaussian_filter(given.numpy().astype(float), sigma, mode="mirror", radius=side // 2)
        np.testing.assert_allclose(seen, expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_motion_blur_is_a_centred_line_of_weight_one(seed):
    blur = MotionBlur.draw(np.random.default_rng(seed))
    impulse = torch.zeros(1, 31, 31)
    impulse[0, 15, 15] = 1
    response = blur(impulse)[0].numpy()
    hit = np.argwhere(response)
    length = max(abs(blur.dy), abs(blur.dx)) + 1
    assert 2 <= length <= 7
    assert len(hit) == length
    np.testing.assert_allclose(response[response > 0], 1 / length, rtol=1e-6)
    assert np.abs(hit.mean(axis=0) - 15).max() <= 0.5
    assert np.ptp(hit, axis=0).tolist() == [abs(blur.dy), abs(blur.dx)]
    # Every point lies within half a pixel of the straight line, measured along the minor axis.
    across = np.abs((hit - 15) @ np.array([blur.dx, -blur.dy])) / (length - 1)
    assert across.max() <= 1

    expected = ndimage.correlate(image()[0].numpy().astype(float), response[::-1, ::-1], mode="mirror")
    np.testing.assert_allclose(blur(image())[0], expected, atol=1e-6)


def test_blurs_are_drawn_from_all_sides():
    generator = np.random.default_rng(0)
    assert {GaussianBlur.draw(generator).side for _ in range(60)} == {3, 5, 7}
    lengths = {max(abs(blur.dy), abs(blur.dx)) for blur in (MotionBlur.draw(generator) for _ in range(400))}
    assert lengths == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("blur", [GaussianBlur(side=7), MotionBlur(dy=6, dx=-3)])
def test_a_blurred_constant_is_the_constant(blur):
    torch.testing.assert_close(blur(torch.full((2, 20, 20), 0.7)), torch.full((2, 20, 20), 0.7))


def test_holes_blank_every_layer_and_leave_the_loss():
    holes = Holes.draw(np.random.default_rng(3), 40)
    assert len(holes.boxes) == 2
    given, supervision = torch.full((5, 40, 40), 0.5), torch.ones(1, 40, 40)
    seen, trusted = holes(given, supervision)
    inside = np.zeros((40, 40), bool)
    for y0, y1, x0, x1 in holes.boxes:
        assert y1 - y0 == x1 - x0 == 8
        assert min(y0, x0) >= 0
        assert max(y1, x1) <= 40
        inside[y0:y1, x0:x1] = True
    np.testing.assert_array_equal(seen, np.broadcast_to(np.where(inside, 0, 0.5), (5, 40, 40)))
    np.testing.assert_array_equal(trusted[0], ~inside)


def test_nothing_given_is_changed():
    given, supervision = image(), torch.ones(1, 37, 41)
    for change in (
        Adjust(gain=1.1, offset=0.1),
        Noise(sigma=0.1, seed=0),
        GaussianBlur(side=5),
        MotionBlur(dy=1, dx=4),
    ):
        change(given)
    Holes(boxes=((0, 9, 0, 9),))(given, supervision)
    assert torch.equal(given, image())
    assert math.isclose(float(supervision.min()), 1.0)


def test_holes_of_a_long_image_have_its_shape():
    generator = np.random.default_rng(3)
    for _ in range(50):
        holes = Holes.draw(generator, (64, 256))
        for y0, y1, x0, x1 in holes.boxes:
            assert (y1 - y0, x1 - x0) == (12, 51)
            assert 0 <= y0 < y1 <= 64
            assert 0 <= x0 < x1 <= 256
