"""One image as a segment: every form of a page reads as grey of one layer, from its header until it is read."""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from volumen.crops.datasets import CropDataset
from volumen.crops.normalize import Normalization
from volumen.crops.unlabelled import split_unlabelled
from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.arrays.images import FlatImage, open_image
from volumen.sources.arrays.luminance import luminance
from volumen.sources.location import Location
from volumen.sources.open import open_segment

if TYPE_CHECKING:
    from pathlib import Path


def luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.601, in whole thousandths, so that a half is a half."""
    return ((rgb.astype(np.int64) @ np.array([299, 587, 114]) + 500) // 1000).astype(rgb.dtype)


def grey(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (50, 70), dtype=np.uint8)


def colour() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)


def write_every_form(folder: Path) -> dict[str, np.ndarray]:
    """Write pages; return what each should read as."""
    pixels, rgb, wide = grey(), colour(), grey().astype(np.uint16) * 251 + 3
    faint, black = np.full((50, 70), 128, np.uint8), pixels > 127
    palette = Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE)
    pages = {
        "grey.png": pixels,
        "sixteen.png": wide,
        "one_bit.png": black,
        "colour.png": rgb,
        "alpha.png": np.dstack([pixels, pixels, pixels, faint]),
        "grey_alpha.png": np.dstack([pixels, faint]),
    }
    for name, page in pages.items():
        Image.fromarray(page).save(folder / name)
    palette.save(folder / "palette.png")
    tifffile.imwrite(folder / "grey.tif", pixels)
    tifffile.imwrite(folder / "sixteen.tif", wide, compression="lzw", rowsperstrip=7)
    tifffile.imwrite(folder / "colour.tif", rgb, photometric="rgb", compression="zlib")
    tifffile.imwrite(folder / "planes.tif", np.moveaxis(rgb, -1, 0), photometric="rgb", planarconfig="separate")
    tifffile.imwrite(folder / "deep_colour.tif", rgb.astype(np.uint16) * 257, photometric="rgb")
    Image.fromarray(black).save(folder / "fax.tiff", compression="group4")
    palette.save(folder / "palette.tif")
    over_white = np.rint(pixels * (128 / 255) + 255 * (127 / 255)).astype(np.uint8)
    shown = luma(np.asarray(palette.convert("RGB")))
    return {
        **dict.fromkeys(("grey.png", "grey.tif"), pixels),
        **dict.fromkeys(("sixteen.png", "sixteen.tif"), wide),
        **dict.fromkeys(("one_bit.png", "fax.tiff"), np.where(black, np.uint8(255), np.uint8(0))),
        **dict.fromkeys(("colour.png", "colour.tif", "planes.tif"), luma(rgb)),
        **dict.fromkeys(("alpha.png", "grey_alpha.png"), over_white),
        **dict.fromkeys(("palette.png", "palette.tif"), shown),
        "deep_colour.tif": luma(rgb.astype(np.uint16) * 257),
    }


def test_every_form_of_page_reads_as_grey_of_one_layer(tmp_path: Path) -> None:
    for name, expected in write_every_form(tmp_path).items():
        segment = open_segment(tmp_path / name)
        assert (segment.name, segment.shape, segment.surface_index) == (name.split(".")[0], (1, 50, 70), 0), name
        assert segment.dtype == expected.dtype, name
        read = segment.read(segment.window)
        assert read.dtype == expected.dtype, name
        off = np.abs(read[0].astype(np.int64) - expected.astype(np.int64)).max()
        assert off <= (1 if name.startswith("palette") else 0), name
        box = (slice(0, 1), slice(11, 40), slice(3, 60))
        np.testing.assert_array_equal(segment.levels[0][box], read[box], err_msg=name)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(segment)).levels[0][box], read[box], err_msg=name)


def test_a_jpeg_reads_near_enough(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    for name, page in (("grey.jpg", smooth), ("colour.jpeg", np.dstack([smooth] * 3))):
        Image.fromarray(page).save(tmp_path / name, quality=95)
        segment = open_segment(tmp_path / name)
        read = segment.read(segment.window)[0].astype(int)
        assert np.abs(read - smooth).max() < 8
        assert segment.dtype == np.uint8


@pytest.mark.parametrize("turned", [False, True], ids=["", "bits-turned"])
@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "f4"])
def test_lzw_is_unpacked_as_it_was_packed(
    tmp_path: Path, dtype: str, predictor: bool, tile: tuple[int, int] | None, turned: bool
) -> None:
    path, order = tmp_path / "a.tif", dtype[0] if dtype[0] in "<>" else "<"
    pixels = (np.random.default_rng(5).random((37, 53)) * 200).astype(dtype)
    how: dict[str, Any] = {"tile": tile} if tile else {"rowsperstrip": 7}
    tag = (65000, 3, 1, 2, True)  # becomes FillOrder, 266, which tifffile does not write
    tifffile.imwrite(path, pixels, byteorder=order, compression="lzw", predictor=predictor, extratags=[tag], **how)
    if turned:
        ours, theirs = (struct.pack(f"{order}HHI", number, 3, 1) for number in (65000, 266))
        raw = bytearray(path.read_bytes().replace(ours, theirs))
        with tifffile.TiffFile(path) as file:
            for start, length in zip(file.pages[0].dataoffsets, file.pages[0].databytecounts, strict=True):
                raw[start : start + length] = imagecodecs.bitorder_decode(bytes(raw[start : start + length]))
        path.write_bytes(raw)
    np.testing.assert_array_equal(open_image(Location.of(path)).read(), pixels)
    np.testing.assert_array_equal(open_segment(path).levels[0][0:1, 0:37, 0:53][0], pixels)


def test_luma_of_large_values_does_not_run_over() -> None:
    top = np.full((1, 1, 3), 65535, np.uint16)
    top[0, 0, 2] = 65534
    assert luminance(top)[0, 0] == 65535  # 65534.886 rounded
    assert luminance(np.array([[[9, 0]]], np.uint16), ground=1)[0, 0] == 65535


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_luma_of_floats_is_a_fraction(dtype: type[np.floating[Any]]) -> None:
    colours = np.array([[[0.2, 0.6, 0.4], [0.3, 0.3, 0.3]]], dtype)
    expected = np.array([[0.2 * 0.299 + 0.6 * 0.587 + 0.4 * 0.114, dtype(0.3)]])
    read = luminance(colours)
    assert read.dtype == dtype
    np.testing.assert_allclose(read, expected, atol=1e-3 if dtype == np.float16 else 1e-7)
    assert read[0, 1] == dtype(0.3)
    half = np.dstack([colours, np.full((1, 2), 0.5, dtype)])
    np.testing.assert_allclose(luminance(half), expected / 2, atol=1e-3)
    np.testing.assert_allclose(luminance(half, ground=1), expected / 2 + 0.5, atol=1e-3)


def test_luminance_of_many_pixels_is_that_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for channels in (2, 3, 4):
        pixels = rng.integers(0, 256, (7, 11, channels), dtype=np.uint8)
        pixels[:3, :, :3] = pixels[:3, :, :1]  # some stretches are grey
        whole = luminance(pixels, ground=1)
        monkeypatch.setattr("volumen.sources.arrays.luminance._AT_ONCE", 5)
        np.testing.assert_array_equal(luminance(pixels, ground=1), whole)
        monkeypatch.undo()


def test_only_the_header_is_read_until_pixels_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_every_form(tmp_path)
    read = FlatImage.read
    calls: list[str] = []

    def counted(image: FlatImage) -> np.ndarray:
        calls.append(image.location.name)
        return read(image)

    monkeypatch.setattr(FlatImage, "read", counted)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow's own opener would refuse every page
    for name in ("colour.png", "grey.png", "colour.tif"):
        segment = open_segment(tmp_path / name)
        assert segment.shape == (1, 50, 70)
        assert calls == []
        for _ in range(3):
            segment.read(segment.window)
        assert calls == [name], "decoded once"
        calls.clear()


def test_only_rasters_that_bear_its_name_belong_to_a_page(tmp_path: Path) -> None:
    np.save(tmp_path / "77.npy", np.ones((3, 9, 9), np.uint8))
    Image.fromarray(np.full((9, 9), 255, np.uint8)).save(tmp_path / "mask.png")
    for name in ("page", "other"):
        Image.fromarray(grey()).save(tmp_path / f"{name}.png")
    Image.fromarray(np.where(grey(2) > 99, np.uint8(255), np.uint8(0))).save(tmp_path / "page_mask.png")
    page = open_segment(tmp_path / "page.png")
    np.testing.assert_array_equal(page.papyrus(page.window), grey(2) > 99)
    assert open_segment(tmp_path / "other.png").mask is None
    assert open_segment(tmp_path / "77.npy").mask is not None


def test_missing_and_damaged_pages_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"gone\.png"):
        open_segment(tmp_path / "gone.png")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(SourceError, match=r"text\.jpg is damaged"):
        open_segment(tmp_path / "text.jpg")
    Image.fromarray(grey()).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:900])
    segment = open_segment(tmp_path / "cut.png")
    with pytest.raises(SourceError, match=r"cut\.png is damaged"):
        segment.read(segment.window)
    tifffile.imwrite(tmp_path / "film.tif", np.zeros((4, 20, 20, 3), np.uint8), photometric="rgb")
    with pytest.raises(SourceError, match=r"film\.tif is in colour .* Convert it to grey"):
        open_segment(tmp_path / "film.tif")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(SourceError, match="holds no volume that is understood"):
        open_segment(tmp_path / "notes.txt")


def test_crops_of_a_page_go_the_way_of_a_volume(tmp_path: Path) -> None:
    page = np.random.default_rng(4).integers(1, 256, (300, 400), dtype=np.uint8)
    Image.fromarray(page).save(tmp_path / "page.png")
    segment = open_segment(tmp_path / "page.png")
    split = split_unlabelled(segment, layers=1, size=(32, 96), stride=(32, 48))
    dataset = CropDataset([(segment, window) for window in split.train], normalization=Normalization(), labelled=False)
    for index, window in enumerate(split.train):
        sample = dataset[index]
        np.testing.assert_array_equal(sample["image"][0].numpy(), page[window.yx] / np.float32(255))
        assert sample["papyrus"].shape == (1, 32, 96)
        assert float(sample["papyrus"].min()) == 1
