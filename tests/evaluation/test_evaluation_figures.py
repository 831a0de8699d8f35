"""Figures and pictures: readable PNGs, reproducible, and pixels that mean what the legend says."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from volumen.evaluation import figures, pictures
from volumen.evaluation.counts import LevelCounts

BAND = figures.Band(name="full", x=[0.1, 0.5, 1], y=[0.8, 0.6, 0.5], low=[0.7, 0.5, 0.45], high=[0.9, 0.7, 0.6])


@pytest.fixture
def counts() -> LevelCounts:
    random = np.random.default_rng(0)
    ink = random.random((64, 64)) < 0.3
    level = np.clip(random.normal(90 + 60 * ink, 40), 0, 255).astype(np.uint8)
    return LevelCounts.of(level, ink, np.ones((64, 64), bool))


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)))


def drawings(counts: LevelCounts, theme: figures.Theme) -> list[bytes]:
    curves = [
        figures.Curve(name="train", x=[1, 2, 3], y=[0.8, float("nan"), 0.5], dashed=True),
        figures.Curve(name="held out", x=[1, 2, 3], y=[0.9, 0.7, 0.6], series=1, best=3),
    ]
    return [
        figures.plot_curves(curves, title="Loss", theme=theme),
        figures.plot_curves(
            curves, title="Loss", levels=[figures.Level(name="guess", y=1.2, series=2)], from_zero=True, theme=theme
        ),
        figures.plot_bands([BAND], title="Loss", theme=theme),
        figures.plot_bands([BAND], title="Loss", x_label="share", shares=True, theme=theme),
        figures.plot_reliability(counts, title="Reliability", theme=theme),
        figures.plot_levels(counts, threshold=0.5, title="Levels", theme=theme),
        figures.plot_threshold(counts, threshold=float("nan"), title="Threshold", theme=theme),
    ]


def test_figures_are_transparent_pngs_that_differ_by_theme_only_in_colour(counts: LevelCounts) -> None:
    light, dark = drawings(counts, figures.LIGHT), drawings(counts, figures.DARK)
    assert light == drawings(counts, figures.LIGHT)
    for one, other in zip(light, dark, strict=True):
        pixels, twin = opened(one), opened(other)
        assert pixels.shape == twin.shape
        assert pixels[0, 0, 3] == 0
        np.testing.assert_allclose(pixels[..., 3], twin[..., 3], atol=2)
        assert (pixels[pixels[..., 3] == 255] != twin[twin[..., 3] == 255][: (pixels[..., 3] == 255).sum()]).any()


def test_a_level_is_a_line_across_the_plot_at_its_height() -> None:
    curve = figures.Curve(name="loss", x=[1, 2], y=[0.0, 1.0])
    heights = []
    for y in (0.25, 0.5, 0.75):
        level = figures.Level(name="guess", y=y, series=1)
        pixels = opened(figures.plot_curves([curve], title="Loss", levels=[level], from_zero=True)).astype(int)
        orange = (pixels[..., 0] > pixels[..., 2] + 100) & (pixels[..., 3] > 200)
        across = orange.sum(axis=1) > 100  # dotted, so not every pixel of the line
        heights.append(np.flatnonzero(across[: 3 * len(across) // 4]).mean())  # the rest is the legend
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=3)
    assert heights[0] > heights[2] + 50


@pytest.mark.parametrize("huge", [1.7e308, -1.7e308, float("inf")])
def test_values_that_no_axis_can_hold_are_left_out(huge: float) -> None:
    def drawn(value: float, *, from_zero: bool) -> bytes:
        curve = figures.Curve(name="first", x=[1, 2, 3], y=[0.5, value, value], best=2)
        level = figures.Level(name="guess", y=value)
        return figures.plot_curves([curve], title="Loss", levels=[level], from_zero=from_zero)

    for from_zero in (False, True):
        assert drawn(huge, from_zero=from_zero) == drawn(float("nan"), from_zero=from_zero)


def test_a_band_is_as_high_as_its_range_and_missing_where_it_is_not_known() -> None:
    def shaded(low: list[float], high: list[float]) -> int:
        band = figures.Band(name="full", x=[1, 2], y=[0.5, 0.5], low=low, high=high)
        rest = figures.Band(name="axis", x=[1, 2], y=[0.0, 1.0], low=[0.0, 1.0], high=[0.0, 1.0], series=1)
        pixels = opened(figures.plot_bands([band, rest], title="Loss"))
        return int(((pixels[..., 3] > 40) & (pixels[..., 3] < 60)).sum())  # a fifth of 255, over nothing

    nan = float("nan")
    none, narrow, wide = shaded([nan, nan], [nan, nan]), shaded([0.4, 0.4], [0.6, 0.6]), shaded([0.3, 0.3], [0.7, 0.7])
    assert none < 0.1 * narrow
    assert (wide - none) / (narrow - none) == pytest.approx(2, rel=0.1)


def test_a_peak_does_not_press_the_rest_flat() -> None:
    def gap(peak: float) -> float:
        """Return how far apart lines at 0.4 and 0.8 are where one of them begins with a peak, in pixels."""
        x = list(range(1, 11))
        flat = figures.Band(name="flat", x=x, y=[0.4] * 10, low=[0.4] * 10, high=[0.4] * 10, series=1)
        y = [peak, *[0.8] * 9]
        steep = figures.Band(name="steep", x=x, y=y, low=y, high=y)
        pixels = opened(figures.plot_bands([flat, steep], title="Loss"))[:345].astype(int)  # the legend is below
        solid = pixels[..., 3] > 200
        orange = solid & (pixels[..., 0] > pixels[..., 2] + 100)
        blue = (solid & (pixels[..., 2] > pixels[..., 0] + 100))[:, 400:]
        return float(np.argwhere(orange)[:, 0].mean() - np.argwhere(blue)[:, 0].mean())

    assert gap(20.0) > 20  # on a linear axis it would be 6
    assert gap(0.8) > 100


def test_agreement_has_the_legends_hues_and_hides_what_is_not_scored() -> None:
    surface = np.full((1, 5), 120, np.uint8)
    ink = np.array([[True, True, False, False, True]])
    called = np.array([[True, False, True, False, True]])
    scored = np.array([[True, True, True, True, False]])
    found, missed, false, clean, dark = pictures.agreement(surface, ink, called, scored)[0].astype(int)
    for pixel, colour in ((found, pictures.FOUND), (missed, pictures.MISSED), (false, pictures.FALSE)):
        assert np.argmax(pixel) == np.argmax(colour)
        assert np.argmin(pixel) == np.argmin(colour)
    assert len(set(clean)) == len(set(dark)) == 1
    assert dark[0] < 0.5 * clean[0]


def test_stretch_ignores_what_is_outside_the_papyrus() -> None:
    voxels = np.zeros((10, 100), np.uint16)
    voxels[2:8] = np.linspace(30_000, 40_000, 600).reshape(6, 100)
    grey = pictures.stretch(voxels)
    assert (grey[:2] == 0).all()
    assert grey[7, -1] == 255
    assert abs(int(grey[5, 0]) - 127) < 4
    assert (pictures.stretch(np.zeros((3, 3))) == 0).all()
    assert (pictures.stretch(np.full((3, 3), 7.0)) == 0).all()


def test_a_section_shows_layers_top_down_and_strips_below() -> None:
    voxels = np.repeat(np.array([[10], [20], [30], [40]], np.uint8), 32, axis=1)
    ink = np.zeros(32)
    ink[:16] = 1
    drawn = pictures.section(voxels, ink, [np.full(32, 255, np.uint8)], surface=2)
    assert drawn.shape[1:] == (32, 3)
    assert (drawn[4:6, :6] == pictures.FALSE).all()
    assert (drawn[4:6, -6:] == pictures.FALSE).all()
    column = drawn[:8, 10, 0].astype(int)  # two rows a layer make it a quarter as high as wide
    assert (np.diff(column) >= 0).all()
    assert column[0] < column[2] < column[4] < column[7]
    assert tuple(drawn[11, 0]) == pictures.MISSED
    assert tuple(drawn[11, 31]) == (0, 0, 0)
    assert tuple(drawn[-1, 0]) == pictures.FALSE


def test_a_frame_leaves_what_it_encloses() -> None:
    canvas = np.zeros((20, 30, 3), np.uint8)
    canvas[..., 0] = 9
    pictures.frame(canvas, (5, 15, -3, 10), (1, 2, 3))
    assert tuple(canvas[5, 5]) == tuple(canvas[14, 9]) == tuple(canvas[10, 8]) == (1, 2, 3)
    assert tuple(canvas[10, 5]) == tuple(canvas[4, 5]) == tuple(canvas[10, 10]) == (9, 0, 0)
    reopened = opened(pictures.png(canvas))
    np.testing.assert_array_equal(reopened, canvas)
