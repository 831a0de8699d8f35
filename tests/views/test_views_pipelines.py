from dataclasses import replace

import numpy as np
import pytest
import torch

from volumen.errors import SettingsError
from volumen.views.depth import LayerCrop, Tilt
from volumen.views.geometry import Affine
from volumen.views.intensity import Adjust, GaussianBlur, MotionBlur, Noise
from volumen.views.pipelines import pipeline

NAMES = ("none", "flips", "mild", "grand_prize")
SHAPE = (20, 72, 80)


def sample(seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(SHAPE, generator=generator)
    image[image < 0.2], image[image > 0.8] = 0, 1
    ink = torch.rand(1, *SHAPE[1:], generator=generator)
    return image, ink, (torch.rand(1, *SHAPE[1:], generator=generator) > 0.05).float()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("resized_crop", [False, True])
def test_views_keep_range_size_and_arguments(name, resized_crop):
    view = pipeline(name, 64, resized_crop)
    generator = np.random.default_rng(0)
    arguments = sample()
    for _ in range(40):
        image, ink, supervision = view.apply(view.draw(generator, SHAPE), *arguments)
        assert image.shape == (20, 64, 64)
        assert ink.shape == supervision.shape == (1, 64, 64)
        for tensor in (image, ink, supervision):
            assert tensor.dtype == torch.float32
            assert float(tensor.min()) >= 0
            assert float(tensor.max()) <= 1
        assert set(supervision.unique().tolist()) <= {0.0, 1.0}
    for given, untouched in zip(arguments, sample(), strict=True):
        assert torch.equal(given, untouched)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("resized_crop", [False, True])
@pytest.mark.parametrize("size", [(32, 72), (64, 24), 64])
def test_papyrus_alone_is_shown_as_supervision_is(name, resized_crop, size):
    view = pipeline(name, size, resized_crop)
    generator = np.random.default_rng(0)
    image, ink, supervision = sample()
    for _ in range(15):
        drawn = view.draw(generator, SHAPE)
        shown, papyrus = view.apply(drawn, image, supervision)
        with_ink = view.apply(drawn, image, ink, supervision)
        assert shown.shape == (20, *(size if isinstance(size, tuple) else (size, size)))
        assert torch.equal(shown, with_ink[0])
        assert torch.equal(papyrus, with_ink[2])
        for y0, y1, x0, x1 in drawn.holes.boxes if drawn.holes else ():
            assert not papyrus[:, y0:y1, x0:x1].any()
            assert not shown[:, y0:y1, x0:x1].any()


def test_a_line_of_text_is_flipped_and_cut_only():
    """One layer, 64 × 256 from 64 × 300: what is seen is a piece of the line, or of one of its mirror images."""
    view = pipeline("flips", (64, 256), False)
    generator = np.random.default_rng(0)
    line = torch.rand(1, 64, 300, generator=torch.Generator().manual_seed(1))
    mirrored = [line.flip(axes) for axes in ([], [1], [2], [1, 2])]
    places = set()
    for _ in range(60):
        seen, papyrus = view.apply(view.draw(generator, tuple(line.shape)), line, torch.ones_like(line))
        assert papyrus.min() == 1
        places.add(
            next(
                (index, x)
                for index, other in enumerate(mirrored)
                for x in range(45)
                if torch.equal(seen, other[:, :, x : x + 256])
            )
        )
    assert {index for index, _ in places} == {0, 1, 2, 3}
    assert len({x for _, x in places}) > 20


def test_mild_views_leave_depth_and_sharpness_alone():
    view = pipeline("mild", 64, False)
    generator = np.random.default_rng(0)
    kinds = {type(change) for _ in range(60) for change in view.draw(generator, SHAPE).changes}
    assert kinds == {Adjust, Noise}


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_view_and_applying_twice_is_the_same(name):
    view = pipeline(name, 48, True)
    first, second = np.random.default_rng(7), np.random.default_rng(7)
    draws = [view.draw(first, SHAPE) for _ in range(20)]
    assert draws == [view.draw(second, SHAPE) for _ in range(20)]
    assert len(set(draws)) == 20
    for drawn in draws:
        torch.random.manual_seed(len(drawn.changes))
        once = view.apply(drawn, *sample())
        for a, b in zip(once, view.apply(drawn, *sample()), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("resized_crop", [False, True])
def test_image_ink_and_supervision_move_together(resized_crop):
    view = pipeline("grand_prize", 64, resized_crop)
    generator = np.random.default_rng(3)
    _, ink, supervision = sample()
    for _ in range(20):
        drawn = replace(view.draw(generator, SHAPE), changes=(), holes=None)
        image, seen_ink, _ = view.apply(drawn, ink.repeat(20, 1, 1), ink, supervision)
        torch.testing.assert_close(image, seen_ink.repeat(20, 1, 1), atol=1e-6, rtol=0)
        trust, _, seen_trust = view.apply(drawn, supervision.repeat(20, 1, 1), ink, supervision)
        assert torch.equal((trust[:1] > 0.9985).float(), seen_trust) or float((trust[:1] - seen_trust).abs().max()) < 1


def centre_of_brightest(layer):
    weight = torch.where(layer > layer.max() / 2, layer, 0).numpy()
    return np.array([(weight * axis).sum() / weight.sum() for axis in np.mgrid[:64, :64]])


def test_the_middle_layer_stays_on_its_label_through_the_whole_list():
    """Ink in the middle layer of an else empty image: what is left of it lies where the label is."""
    view = pipeline("grand_prize", 64, True)
    generator = np.random.default_rng(11)
    rows, columns = np.meshgrid(np.arange(72), np.arange(80), indexing="ij")
    blob = torch.from_numpy(np.exp(-((rows - 36) ** 2 + (columns - 34) ** 2) / 40)).float()[None]
    compared = 0
    for _ in range(60):
        drawn = replace(view.draw(generator, SHAPE), holes=None)
        drawn = replace(drawn, changes=tuple(step for step in drawn.changes if not isinstance(step, LayerCrop | Noise)))
        image = torch.zeros(SHAPE)
        image[9:11] = blob
        seen, ink, _ = view.apply(drawn, image, blob, torch.ones_like(blob))
        flat = (seen - seen.min()).amax(dim=0)
        if float(ink.sum()) < 60 or float(flat.max()) < 0.2:
            continue
        places = [centre_of_brightest(layer) for layer in (flat, ink[0])]
        assert np.abs(places[0] - places[1]).max() < 1.5
        compared += 1
    assert compared > 30


def test_choices_fall_as_often_as_published():
    view = pipeline("grand_prize", 64, False)
    generator = np.random.default_rng(0)
    draws = [view.draw(generator, (20, 64, 64)) for _ in range(3000)]

    def share(kind):
        return sum(any(isinstance(step, kind) for step in drawn.changes) for drawn in draws) / len(draws)

    assert share(Tilt) == share(LayerCrop) == 1
    assert share(Adjust) == pytest.approx(0.75, abs=0.035)
    for kind in (Noise, GaussianBlur, MotionBlur):
        assert share(kind) == pytest.approx(0.4 / 3, abs=0.03)
    assert sum(drawn.holes is not None for drawn in draws) / 3000 == pytest.approx(0.5, abs=0.04)
    turned = sum(drawn.affine.xy != 0 for drawn in draws) / 3000
    assert turned == pytest.approx(0.75, abs=0.035)
    mirrored = sum(drawn.affine.xx * drawn.affine.yy < drawn.affine.xy * drawn.affine.yx for drawn in draws) / 3000
    assert mirrored == pytest.approx(0.5, abs=0.04)


def test_flips_alone_give_the_four_mirror_images():
    view = pipeline("flips", 72, False)
    generator = np.random.default_rng(0)
    image = sample()[0][:, :, :72]
    rest = torch.zeros(1, 72, 72)
    seen = [view.apply(view.draw(generator, (20, 72, 72)), image, rest, rest)[0] for _ in range(40)]
    expected = [image.flip(axes) for axes in ([], [1], [2], [1, 2])]
    assert {next(index for index, one in enumerate(expected) if torch.equal(one, view)) for view in seen} == {
        0,
        1,
        2,
        3,
    }


def test_no_view_at_the_window_s_own_size_is_the_identity():
    view = pipeline("none", 64, False)
    drawn = view.draw(np.random.default_rng(0), (20, 64, 64))
    assert drawn.affine == Affine()
    image = torch.rand(20, 64, 64)
    assert torch.equal(view.apply(drawn, image, image[:1], image[:1])[0], image)


def test_wrong_settings_are_refused():
    with pytest.raises(SettingsError, match="none, flips, mild, grand_prize"):
        pipeline("heavy", 64, True)
    for size in (0, (64, 0), (-1, 64)):
        with pytest.raises(SettingsError, match="at least 1 px"):
            pipeline("none", size, True)
    view = pipeline("none", 64, False)
    with pytest.raises(SettingsError, match="cannot be cut"):
        view.draw(np.random.default_rng(0), (20, 32, 64))
    with pytest.raises(SettingsError, match="drawn for an image"):
        view.apply(view.draw(np.random.default_rng(0), SHAPE), torch.rand(20, 64, 64), *sample()[1:])
    with pytest.raises(SettingsError, match="one flat raster"):
        view.apply(view.draw(np.random.default_rng(0), SHAPE), sample()[0])
