"""LineForm and collate: any image becomes grey of one height, and lies in its batch without touching the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from volumen.crops.alphabet import Alphabet
from volumen.crops.line_images import FRAME, PAPER, LineForm, LineSample, collate, to_tensor
from volumen.errors import SettingsError, SourceError


def grey(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def sample(width: int, seed: int = 0, height: int = 16) -> LineSample:
    return LineSample(image=to_tensor(grey(height, width, seed)), text=f"text {seed}", name=f"line {seed}")


def test_an_image_of_the_right_height_is_taken_as_it_is() -> None:
    pixels = grey(64, 181)
    image = LineForm()(pixels)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image[0].numpy(), pixels / np.float32(255))
    np.testing.assert_array_equal(PAPER(grey(32, 100))[0].numpy(), grey(32, 100) / np.float32(255))


def test_every_mode_of_image_becomes_the_same_grey() -> None:
    pixels = grey(64, 90)
    rgb = np.dstack([pixels] * 3)
    modes = {
        "channel": pixels[..., None],
        "grey and alpha": np.dstack([pixels, np.full_like(pixels, 255)]),
        "rgb": rgb,
        "rgba": np.dstack([rgb, np.full_like(pixels, 255)]),
        "16 bit": pixels.astype(np.uint16) * 257,
        "float": pixels / np.float32(255),
        "float rgb": rgb / 255,
    }
    for mode, image in modes.items():
        assert torch.equal(LineForm()(image), LineForm()(pixels)), mode
    assert torch.equal(LineForm()(pixels > 127), (torch.from_numpy(pixels) > 127).float()[None])
    colour = np.zeros((64, 8, 3), np.uint8)
    colour[..., 0] = 255
    assert float(LineForm()(colour).unique()) == pytest.approx(76 / 255)
    clear = np.zeros((64, 8, 4), np.uint8)
    assert float(LineForm()(clear).min()) == 1, "what is transparent is white"


@pytest.mark.parametrize(
    ("size", "height", "width"),
    [((32, 100), 64, 200), ((128, 101), 64, 51), ((100, 1000), 32, 320), ((3, 9), 64, 192), ((64, 4), 64, 4)],
)
def test_aspect_is_kept(size: tuple[int, int], height: int, width: int) -> None:
    form = LineForm(height=height)
    image = form(grey(*size))
    assert image.shape == (1, height, width)
    assert form.width_of(size) == width
    assert 0 <= float(image.min()) <= float(image.max()) <= 1


@pytest.mark.parametrize("size", [(20, 50), (200, 90), (32, 3), (7, 900)])
def test_the_papers_stretch_every_line_alike(size: tuple[int, int]) -> None:
    assert PAPER(grey(*size)).shape == (1, 32, 100)


def test_a_word_stays_what_it_shows_when_it_is_made_smaller() -> None:
    """Dark strokes on white stay dark, in the place that they have, and nothing is aliased away."""
    pixels = np.full((128, 400), 255, np.uint8)
    pixels[:, 100:140] = 0
    pixels[::2, 300:] = 0
    image = LineForm(height=32)(pixels)[0].numpy()
    assert image.shape == (32, 100)
    assert image[:, 26:34].max() < 0.05
    assert image[:, :20].min() > 0.95
    assert image[:, 80:].mean() == pytest.approx(0.5, abs=0.02)
    reference = np.asarray(Image.fromarray(pixels).reduce(4)) / 255
    assert np.abs(image - reference).mean() < 0.02


def test_the_rows_that_are_kept_are_those_with_ink_and_fill_the_height() -> None:
    pixels = np.full((64, 90), 200, np.uint8)
    pixels[10:34, 20:60] = 30
    form = LineForm(height=32, rows=0.5)
    assert form.width_of((64, 90)) == 90
    assert (form(pixels)[0, :24, 25:55] < 0.2).all(), "of bands with all ink the most central"
    assert torch.equal(form(pixels), LineForm(height=32)(pixels[10:42]))
    assert torch.equal(form(np.full((64, 90), 200, np.uint8)), torch.full((1, 32, 90), 200 / 255)), "blank"
    assert torch.equal(LineForm(height=32, rows=1.0)(pixels), LineForm(height=32)(pixels))
    odd = LineForm(height=32, rows=0.7)
    assert odd(pixels).shape[2] == odd.width_of((64, 90)) == 64  # 45 rows are kept
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(SettingsError, match="share of the rows"):
            LineForm(rows=wrong)


def test_images_that_are_no_lines_are_refused() -> None:
    for size in ((64, 3), (640, 30), (1000, 10)):
        with pytest.raises(SourceError, match=rf"of {size[0]} x {size[1]} px .* narrower than a frame of 4 px"):
            LineForm()(grey(*size))
    with pytest.raises(SourceError, match="wider than 8192 px, at height 64"):
        LineForm()(grey(2, 300))
    assert LineForm(widest=9600)(grey(2, 300)).shape == (1, 64, 9600)
    for wrong in (np.zeros((4, 4, 5), np.uint8), np.zeros(9, np.uint8), np.zeros((0, 9), np.uint8)):
        with pytest.raises(SourceError, match="Expected an image YX"):
            LineForm()(wrong)
    for wrong in (np.full((64, 9), 255.0), np.full((64, 9), np.nan), np.full((64, 9), -0.1)):
        with pytest.raises(SourceError, match=r"greys in \[0, 1\]"):
            LineForm()(wrong)
    with pytest.raises(SourceError, match="got int64"):
        LineForm()(np.zeros((64, 9), np.int64))
    for settings in ({"height": 0}, {"width": 3}, {"widest": 2}):
        with pytest.raises(SettingsError, match="at least 1 px high"):
            LineForm(**settings)


def test_a_batch_is_left_aligned_and_zero_beyond_each_width() -> None:
    samples = [sample(width, seed) for seed, width in enumerate((21, 5, 40, 38))]
    batch = collate(samples)
    assert batch.images.shape == (4, 1, 16, 40)
    assert batch.images.dtype == torch.float32
    assert batch.widths.dtype == torch.int64
    assert batch.widths.tolist() == [21, 5, 40, 38]
    for row, width, one in zip(batch.images, batch.widths.tolist(), samples, strict=True):
        assert torch.equal(row[..., :width], one.image)
        assert not row[..., width:].any()
    assert batch.texts == ("text 0", "text 1", "text 2", "text 3")
    assert batch.names == ("line 0", "line 1", "line 2", "line 3")


@pytest.mark.parametrize("width", range(4, 13))
def test_a_batch_is_as_wide_as_whole_frames(width: int) -> None:
    images = collate([sample(width), sample(4)]).images
    assert images.shape[-1] % FRAME == 0
    assert 0 <= images.shape[-1] - width < FRAME


def test_another_view_lies_in_a_batch_of_its_own() -> None:
    samples = [sample(21, 0), sample(9, 1)]
    others = [sample(21, 2), sample(9, 3)]
    batch = collate(samples, others)
    assert torch.equal(batch.images, collate(samples).images)
    assert batch.again is not None
    assert torch.equal(batch.again, collate(others).images)
    assert batch.names == ("line 0", "line 1")
    assert collate(samples).again is None


def test_training_takes_tensors_that_share_their_first_axis() -> None:
    batch = collate([sample(21, 1), sample(9, 12)], [sample(21, 2), sample(9, 3)])
    alphabet = Alphabet.of(["text 1"])
    tensors = batch.tensors(alphabet)
    assert {name: len(tensor) for name, tensor in tensors.items()} == dict.fromkeys(
        ("images", "widths", "again", "targets", "target_lengths"), 2
    )
    assert [
        alphabet.decode(row[:length]) for row, length in zip(tensors["targets"], tensors["target_lengths"], strict=True)
    ] == ["text 1", "text 1"]
    assert {*collate([sample(9)]).tensors()} == {"images", "widths"}


def test_no_batch_is_made_of_unlike_samples() -> None:
    for samples in ([], [sample(9), sample(9, height=8)]):
        with pytest.raises(SettingsError, match="images of one height"):
            collate(samples)
    for others in ([sample(9)], [sample(9), sample(8)], [sample(9), sample(9, height=8)]):
        with pytest.raises(SettingsError, match="of one size"):
            collate([sample(9), sample(9)], others)


def test_stretched_greys_go_from_ink_to_paper_whatever_they_were():
    pale = np.full((64, 200), 180, np.uint8)
    pale[20:40, 30:150] = 120
    for greys in (pale, (pale.astype(np.float64) / 2 + 60).astype(np.uint8)):
        stretched = LineForm(stretched=True).resize(greys)
        assert set(np.unique(stretched)) == {0, 255}
        assert np.array_equal(stretched == 0, pale == 120)
    even = np.full((64, 200), 90, np.uint8)
    assert np.array_equal(LineForm(stretched=True).resize(even), even)
