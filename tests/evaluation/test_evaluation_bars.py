from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageColor

from volumen.evaluation.bars import Bars, plot_bars
from volumen.evaluation.figures import LIGHT, Level


def pixels(png):
    return np.asarray(Image.open(BytesIO(png)).convert("RGBA")).astype(int)


def of_colour(image, colour):
    return (np.abs(image[..., :3] - ImageColor.getrgb(colour)).max(axis=-1) < 40) & (image[..., 3] > 150)


def test_bars_are_as_long_as_their_values_and_the_first_is_at_the_top():
    bars = Bars(name="whole", values=[1.0, 0.5], reach=[0.0, 0.0])
    found = of_colour(pixels(plot_bars(["long", "short"], [bars], title="", x_label="")), LIGHT.series[0])
    lengths = found.sum(axis=1)
    rows = np.flatnonzero(lengths > 20)
    first, last = lengths[rows[0] + 3], lengths[rows[-1] - 3]
    assert 0.45 < last / first < 0.55


def test_what_is_undefined_draws_no_bar_and_levels_are_drawn():
    bars = Bars(name="whole", values=[float("nan")], reach=[float("nan")])
    image = pixels(plot_bars(["none"], [bars], title="", x_label="", levels=[Level(name="chance", y=0.5, series=2)]))
    assert of_colour(image, LIGHT.series[2]).sum() > 20
    assert of_colour(image, LIGHT.series[0]).sum(axis=1).max() < 60  # a key in the legend, and no bar
