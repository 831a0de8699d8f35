"""Baselines: each fills as its slow reference does, and leaves visible patches alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.errors import SettingsError
from volumen.evaluation.baselines import inpaint, mean_level, mean_patch, nearest_patch

Fill = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def make(seed: int, *, count: int = 2, grid: tuple[int, int] = (3, 4), patch: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Random images of two channels, and for each image which patches are visible: at least one."""
    random = np.random.default_rng(seed)
    images = random.normal(size=(count, 2, grid[0] * patch, grid[1] * patch))
    visible = random.random((count, *grid)) < random.uniform(0.1, 0.9)
    visible[:, random.integers(grid[0]), random.integers(grid[1])] = True
    return images, visible


def slow_fill(name: str, image: np.ndarray, visible: np.ndarray, patch: int) -> np.ndarray:
    """Fill one CHW image patch by patch."""
    filled = image.copy()
    shown = [(y, x) for y in range(visible.shape[0]) for x in range(visible.shape[1]) if visible[y, x]]

    def cut(y: int, x: int) -> np.ndarray:
        return image[:, y * patch : (y + 1) * patch, x * patch : (x + 1) * patch]

    for y in range(visible.shape[0]):
        for x in range(visible.shape[1]):
            if visible[y, x]:
                continue
            target = filled[:, y * patch : (y + 1) * patch, x * patch : (x + 1) * patch]
            match name:
                case "mean_level":
                    target[:] = np.mean([cut(*place) for place in shown], axis=(0, 2, 3))[:, None, None]
                case "mean_patch":
                    target[:] = np.mean([cut(*place) for place in shown], axis=0)
                case "nearest_patch":
                    target[:] = cut(*min(shown, key=lambda place: ((place[0] - y) ** 2 + (place[1] - x) ** 2, place)))
    return filled


def slow_inpaint(image: np.ndarray, masked: np.ndarray, fade: float) -> np.ndarray:
    """Solve for all masked pixels of a YX image at once: the gradient of what they minimise is 0."""
    places = [tuple(place) for place in np.argwhere(masked)]
    matrix = np.eye(len(places)) / fade**2
    right = np.full(len(places), image[~masked].mean() / fade**2)
    for row, (y, x) in enumerate(places):
        for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= near[0] < image.shape[0] and 0 <= near[1] < image.shape[1]):
                continue
            matrix[row, row] += 1
            if masked[near]:
                matrix[row, places.index(near)] -= 1
            else:
                right[row] += image[near]
    filled = image.copy()
    filled[masked] = np.linalg.solve(matrix, right)
    return filled


@pytest.mark.parametrize("fill", [mean_level, mean_patch, nearest_patch])
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_patches_are_filled_as_by_hand(fill: Fill, seed: int) -> None:
    images, visible = make(seed)
    filled = fill(images, visible, 3)
    assert filled.dtype == np.float32
    for number, image in enumerate(images):
        expected = slow_fill(fill.__name__, image, visible[number], 3)
        np.testing.assert_allclose(filled[number], expected, atol=1e-6)


@pytest.mark.parametrize("fade", [0.5, 2.0, math.inf])
@pytest.mark.parametrize("seed", range(4))
def test_inpainting_minimises_what_it_says(seed: int, fade: float) -> None:
    images, visible = make(seed)
    filled = inpaint(images, visible, 3, fade=fade, tolerance=1e-6)
    for number, image in enumerate(images):
        masked = ~visible[number].repeat(3, axis=0).repeat(3, axis=1)
        for channel, flat in enumerate(image):
            np.testing.assert_allclose(filled[number, channel], slow_inpaint(flat, masked, fade), atol=1e-5)


@pytest.mark.parametrize("fill", [mean_level, mean_patch, nearest_patch, inpaint])
def test_what_is_visible_stays_and_what_is_masked_is_not_looked_at(fill: Fill) -> None:
    images, visible = make(3)
    shown = np.broadcast_to(visible.repeat(3, axis=1).repeat(3, axis=2)[:, None], images.shape)
    filled = fill(images, visible, 3)
    np.testing.assert_array_equal(filled[shown], images.astype(np.float32)[shown])
    np.testing.assert_array_equal(fill(np.where(shown, images, 1e6), visible, 3), filled)
    everything = np.ones_like(visible)
    np.testing.assert_array_equal(fill(images, everything, 3), images.astype(np.float32))


def test_inpainting_continues_a_slope_or_fades_to_the_mean() -> None:
    slope = np.broadcast_to(np.linspace(0, 1, 96), (1, 1, 64, 96)).copy()
    visible = np.array([[[True, False, True], [True, False, True]]])
    np.testing.assert_allclose(inpaint(slope, visible, 32, fade=math.inf), slope, atol=2e-3)
    one_sided = np.array([[[True, False, False], [True, False, False]]])
    step = np.where(np.arange(96) < 16, 0.0, 1.0) * np.ones((1, 1, 64, 1))
    distance = inpaint(step, one_sided, 32, fade=4)[0, 0, 30, 32:] - 0.5  # the mean of what is visible
    decay = np.arccosh(1 + 1 / 32)  # a pixel: u(k-1) - (2 + 1 / 4²) u(k) + u(k+1) = 0
    np.testing.assert_allclose(distance, 0.5 * np.exp(-decay * np.arange(1, 65)), atol=2e-3)


@pytest.mark.parametrize(("fade", "off"), [(None, 0.005), (math.inf, 0.02)])
def test_inpainting_stays_between_what_it_sees_and_its_tolerance_is_tight_enough(
    fade: float | None, off: float
) -> None:
    random = np.random.default_rng(0)
    images, visible = random.random((2, 3, 224, 224)), random.random((2, 7, 7)) < 0.4
    filled = inpaint(images, visible, 32, fade=fade)
    assert filled.min() >= -1e-3
    assert filled.max() <= 1 + 1e-3
    exact = inpaint(images, visible, 32, fade=fade, tolerance=1e-6)
    assert np.sqrt(np.mean((filled - exact) ** 2)) < off * images.std()


@pytest.mark.parametrize("fill", [mean_level, mean_patch, nearest_patch, inpaint])
def test_shapes_that_do_not_fit_are_errors(fill: Fill) -> None:
    images, visible = make(0)
    for wrong_images, wrong_visible, patch in (
        (images[0], visible, 3),
        (images, visible[:1], 3),
        (images, visible, 4),
        (images[..., :-1], visible, 3),
        (images, visible.repeat(3, axis=2), 3),
    ):
        with pytest.raises(SettingsError, match="NCHW"):
            fill(wrong_images, wrong_visible, patch)
    visible[1] = False
    with pytest.raises(SettingsError, match="at least one visible"):
        fill(images, visible, 3)
