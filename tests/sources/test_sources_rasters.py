"""Rasters: every form that people keep labels in reads as the same numbers, on the volume's grid."""

from __future__ import annotations

import csv
import os
import pickle
import tracemalloc
from pathlib import Path

import fsspec
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from volumen.errors import LabelError, SourceError, SourceNotFoundError
from volumen.sources.labels.beside import find_rasters, open_raster
from volumen.sources.labels.rasters import Raster, to_uint8
from volumen.sources.location import Location
from volumen.windows import Window

LABELS = Path(__file__).parents[3] / "shared/data/ink_labels"
needs_labels = pytest.mark.skipif(not LABELS.exists(), reason="the real ink labels are not beside the repository")


@pytest.fixture
def grey() -> np.ndarray:
    """A soft label, YX uint8."""
    return np.random.default_rng(0).integers(0, 256, (37, 53), dtype=np.uint8)


def test_every_form_of_one_label_reads_alike(tmp_path: Path, grey: np.ndarray) -> None:
    alpha = np.full_like(grey, 255)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "rgb.png")
    Image.fromarray(np.stack([grey] * 3 + [alpha], -1)).save(tmp_path / "rgba.png")
    Image.fromarray(np.stack([grey, alpha], -1)).save(tmp_path / "grey_alpha.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "sixteen.png")
    tifffile.imwrite(tmp_path / "lzw.tif", grey, compression="lzw", tile=(16, 16))
    tifffile.imwrite(tmp_path / "inverted.tif", 255 - grey, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "rgb.tif", np.stack([grey] * 3, -1), photometric="rgb")
    tifffile.imwrite(tmp_path / "planes.tif", np.stack([grey] * 3), photometric="rgb", planarconfig="separate")
    np.save(tmp_path / "soft.npy", grey.astype(np.float32) / 255)
    zarr.save_array(tmp_path / "flat.zarr", grey, zarr_format=2)
    deep = np.zeros((65, *grey.shape), dtype=np.uint8)
    deep[32] = grey
    zarr.save_array(tmp_path / "deep.zarr", deep)
    expected = grey.astype(np.float32) / 255
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 12
    for path in paths:
        raster = open_raster(Location.of(path))
        assert raster.shape == grey.shape, path.name
        np.testing.assert_array_equal(raster.read(Window((0, 1), (0, 37), (0, 53))), expected, err_msg=path.name)


def test_binary_forms_read_as_zero_and_one(tmp_path: Path) -> None:
    ink = np.random.default_rng(1).random((20, 30)) > 0.7
    Image.fromarray(ink).save(tmp_path / "one_bit.png")
    Image.fromarray(ink.astype(np.uint8)).save(tmp_path / "zero_one.png")
    Image.fromarray(ink.astype(np.uint8) * 255).save(tmp_path / "zero_255.png")
    palette = Image.fromarray(ink.astype(np.uint8)).convert("P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(ink).save(tmp_path / "fax.tif", compression="group4")
    tifffile.imwrite(tmp_path / "zero_one.tif", ink.astype(np.uint16))
    for path in sorted(tmp_path.iterdir()):
        read = open_raster(Location.of(path)).read(Window((0, 1), (0, 20), (0, 30)))
        np.testing.assert_array_equal(read, ink.astype(np.float32), err_msg=path.name)


def test_a_palette_in_colours_is_painted_wherever_it_is_neither_black_nor_clear(tmp_path: Path) -> None:
    numbers = np.random.default_rng(2).integers(0, 4, (20, 30), dtype=np.uint8)
    picture = Image.fromarray(numbers, mode="P")
    picture.putpalette([0, 0, 0, 0, 0, 128, 255, 255, 255, 200, 30, 0])  # black, navy, white, red
    for name in ("a.png", "b.tif"):
        picture.save(tmp_path / name)
    picture.save(tmp_path / "clear.png", transparency=3)
    wide = np.zeros((3, 256), np.uint16)
    wide[:, :4] = np.array([[0, 0, 0], [0, 0, 32896], [65535, 65535, 65535], [51400, 7710, 0]]).T
    for name, colormap in (("deep.tif", wide), ("shallow.tif", wide >> 8)):
        tifffile.imwrite(tmp_path / name, numbers, photometric="palette", colormap=colormap)
    for path in sorted(tmp_path.iterdir()):
        expected = numbers % 3 > 0 if path.stem == "clear" else numbers > 0
        read = open_raster(Location.of(path)).read(Window((0, 1), (0, 20), (0, 30)))
        np.testing.assert_array_equal(read, expected.astype(np.float32), err_msg=path.name)


def test_of_a_colour_the_brightest_channel_counts_and_alpha_is_laid_over_black(tmp_path: Path) -> None:
    colours = np.random.default_rng(4).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    colours[0, 0], colours[0, 1] = (255, 0, 0, 255), (0, 40, 255, 0)
    bright = colours[:, :, :3].max(axis=2)
    Image.fromarray(colours[:, :, :3]).save(tmp_path / "rgb.png")
    Image.fromarray(colours).save(tmp_path / "rgba.png")
    tifffile.imwrite(tmp_path / "rgb.tif", colours[:, :, :3], photometric="rgb")
    for name, expected in {"rgb.png": bright, "rgb.tif": bright, "rgba.png": bright * (colours[:, :, 3] / 255)}.items():
        read = open_raster(Location.of(tmp_path / name)).read(Window((0, 1), (0, 20), (0, 30)))
        np.testing.assert_allclose(read, expected / 255, atol=0.51 / 255, err_msg=name)


def test_a_palette_of_greys_is_as_soft_as_they(tmp_path: Path, grey: np.ndarray) -> None:
    order = np.random.default_rng(3).permutation(256).astype(np.uint8)
    picture = Image.fromarray(np.argsort(order).astype(np.uint8)[grey], mode="P")
    picture.putpalette(np.repeat(order, 3).tolist())
    for name in ("a.png", "a.tif"):
        picture.save(tmp_path / name)
        read = open_raster(Location.of(tmp_path / name)).read(Window((0, 1), (0, 37), (0, 53)))
        np.testing.assert_array_equal(read, grey.astype(np.float32) / 255, err_msg=name)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("top", [0, 1, 127, 255, 65535])
def test_every_type_becomes_eight_bit_as_the_formula_says(
    monkeypatch: pytest.MonkeyPatch, dtype: str, top: int
) -> None:
    if dtype[0] == "f" and top > 255:
        top = 254
    top = min(top, {"i1": 127, "u1": 255, "i2": 32767}.get(dtype, top))
    pixels = np.random.default_rng(0).uniform(0, top, (13, 7))
    pixels.flat[:2] = 0, top
    pixels = (pixels if dtype[0] == "f" else np.rint(pixels)).astype(dtype)
    if top <= 1:
        expected = np.rint(pixels * np.float32(255))
    else:
        expected = np.rint(pixels) if top <= 255 else (pixels.astype(np.uint32) + 128) // 257
    monkeypatch.setattr("volumen.sources.labels.rasters._AT_ONCE", 20)
    read = to_uint8(pixels, "label")
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == np.uint8
    assert not np.shares_memory(read, pixels)


def test_eight_bit_labels_take_no_more_than_their_own_size() -> None:
    for top in (1, 255):
        pixels = np.random.default_rng(0).integers(0, top, (2000, 2000), dtype=np.uint8, endpoint=True)
        tracemalloc.start()
        to_uint8(pixels, "label")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2.5 * pixels.nbytes


def test_jpeg_reads_near_enough(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "label.jpg", quality=95)
    read = open_raster(Location.of(tmp_path / "label.jpg")).read(Window((0, 1), (0, 64), (0, 64)))
    assert np.abs(read - smooth / 255).max() < 0.03


def test_transparent_pixels_are_no_ink() -> None:
    white = np.full((4, 4, 4), 255, dtype=np.uint8)
    white[:, 2:, 3] = 0
    np.testing.assert_array_equal(to_uint8(white, "rgba"), [[255, 255, 0, 0]] * 4)


@pytest.mark.parametrize(
    "bad",
    [
        np.full((3, 3), np.nan),
        np.full((3, 3), -1.0),
        np.full((3, 3), 300.0),
        np.full((3, 3), 70000, dtype=np.int32),
        np.zeros((3, 3, 5)),
        np.zeros((3, 3), dtype=complex),
    ],
)
def test_what_is_no_label_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(LabelError):
        to_uint8(bad, "label.tif")


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    volume=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    corner=st.tuples(st.integers(0, 39), st.integers(0, 39)),
)
def test_top_left_anchoring_against_a_padded_copy(
    size: tuple[int, int], volume: tuple[int, int], corner: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, size, dtype=np.uint8)
    reference = np.zeros((80, 80))
    reference[: size[0], : size[1]] = pixels / 255
    raster = Raster.of(pixels / np.float32(255)).fit(volume, "volume")
    y, x = (min(corner[axis], volume[axis] - 1) for axis in (0, 1))
    window = Window((0, 9), (y, volume[0]), (x, volume[1]))
    np.testing.assert_allclose(raster.read(window), reference[window.yx], atol=1e-6)
    np.testing.assert_array_equal(raster.covered(window), reference[window.yx] > 0)


def test_padding_up_to_256_fits_and_more_names_both_sizes() -> None:
    raster = Raster.of(np.ones((600, 700)), "ink.png")
    assert raster.fit((856, 444), "v").extent == (600, 444)
    with pytest.raises(LabelError, match=r"600 x 700 px .* 857 x 700"):
        raster.fit((857, 700), "v")
    with pytest.raises(LabelError, match="443"):
        raster.fit((600, 443), "v")


def test_reading_outside_the_volume_is_an_error() -> None:
    with pytest.raises(LabelError, match="outside"):
        Raster.of(np.ones((4, 4))).read(Window((0, 1), (0, 5), (0, 4)))


def test_pixels_are_decoded_once_and_only_when_read(tmp_path: Path, grey: np.ndarray) -> None:
    calls = []

    def decode() -> np.ndarray:
        calls.append(1)
        return grey

    raster = Raster(source="x", shape=grey.shape, extent=grey.shape, decode=decode).fit((40, 40), "v")
    assert not calls
    raster.read(Window((0, 1), (0, 4), (0, 4)))
    raster.digest()
    assert len(calls) == 1


def test_digest_knows_pixels_and_size_but_not_the_file_form(tmp_path: Path, grey: np.ndarray) -> None:
    Image.fromarray(grey).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", grey, compression="zlib")
    digests = {open_raster(Location.of(tmp_path / name)).digest() for name in ("a.png", "a.tif")}
    assert len(digests) == 1
    changed = grey.copy()
    changed[0, 0] ^= 1
    assert Raster.of(changed).digest() not in digests
    assert Raster.of(np.zeros((2, 8))).digest() != Raster.of(np.zeros((4, 4))).digest()


def test_a_raster_survives_pickling_without_its_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    raster = open_raster(Location.of(tmp_path / "a.png"))
    raster.read(Window((0, 1), (0, 1), (0, 1)))
    message = pickle.dumps(raster)
    assert len(message) < 2000
    np.testing.assert_array_equal(pickle.loads(message).pixels[:, :], pixels)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_on_disk_is_read_when_its_pixels_are_and_never_pickled(tmp_path: Path, order: str) -> None:
    pixels = np.asarray(np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8), order=order)
    np.save(tmp_path / "a.npy", pixels)
    raster = open_raster(Location.of(tmp_path / "a.npy"))
    assert len(pickle.dumps(raster)) < 2000
    window = Window((0, 1), (0, 300), (0, 400))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(raster)).read(window), pixels / np.float32(255))
    assert len(pickle.dumps(raster)) < 2000
    with fsspec.open("memory://labels/a.npy", "wb") as file:
        np.save(file, pixels)
    np.testing.assert_array_equal(open_raster(Location.of("memory://labels/a.npy")).read(window), raster.read(window))
    os.truncate(tmp_path / "a.npy", 1000)
    with pytest.raises(SourceError, match=r"a\.npy is truncated"):
        open_raster(Location.of(tmp_path / "a.npy"))


def test_missing_damaged_and_odd_files_are_named(tmp_path: Path, grey: np.ndarray) -> None:
    with pytest.raises(SourceNotFoundError, match=r"gone\.png"):
        open_raster(Location.of(tmp_path / "gone.png"))
    with pytest.raises(SourceNotFoundError, match=r"gone\.zarr"):
        open_raster(Location.of(tmp_path / "gone.zarr"))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(SourceError, match=r"text\.png"):
        open_raster(Location.of(tmp_path / "text.png"))
    Image.fromarray(np.repeat(grey, 9, 0)).save(tmp_path / "cut.png")
    os.truncate(tmp_path / "cut.png", (tmp_path / "cut.png").stat().st_size // 2)
    cut = open_raster(Location.of(tmp_path / "cut.png"))
    with pytest.raises(SourceError, match=r"cut\.png"):
        cut.read(Window((0, 1), (0, 4), (0, 4)))


def test_names_versions_and_strangers(tmp_path: Path) -> None:
    for name in (
        "77_inklabels.png",
        "77_inklabels_v2.tif",
        "77_inklabels_v10.zarr",
        "88_inklabels_v11.png",
        "77_mask.png",
        "77_supervision_mask.tif",
        "77_validation_mask.jpg",
        "77_inklabels_val.png",
        "supervision_mask.png",
    ):
        (tmp_path / name).touch()
    folder = Location.of(tmp_path)
    found = {key: location.name for key, location in find_rasters(folder, "77", own=False).items()}
    assert found == {
        "ink": "77_inklabels_v10.zarr",
        "mask": "77_mask.png",
        "supervision": "77_supervision_mask.tif",
        "held_out": "77_validation_mask.jpg",
    }
    assert find_rasters(folder, "99", own=False) == {}
    assert {key: found.name for key, found in find_rasters(folder, "99", own=True).items()} == {
        "supervision": "supervision_mask.png"
    }


@needs_labels
def test_the_six_real_labels_read_on_their_volumes() -> None:
    with open(LABELS / "labels.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    guard = Image.MAX_IMAGE_PIXELS
    for row in rows:
        height, width = int(row["height"]), int(row["width"])
        raster = open_raster(Location.of(LABELS / row["file"]))
        assert raster.shape == (height, width)
        volume = (height - 53, width - 72)  # as 20230827161847 is 9163 x 5048 under a label of 9216 x 5120
        fitted = raster.fit(volume, "volume")
        ink, band = 0, 2048
        for top in range(0, volume[0], band):
            window = Window((0, 1), (top, min(top + band, volume[0])), (0, volume[1]))
            ink += int((fitted.read(window) > 0.5).sum())
        assert ink / (height * width) == pytest.approx(float(row["ink_fraction"]), abs=2e-3), row["file"]
    assert guard == Image.MAX_IMAGE_PIXELS


@needs_labels
def test_118_of_448_tiles_hold_five_per_cent_of_ink() -> None:
    raster = open_raster(Location.of(LABELS / "20230827161847_inklabels.png"))
    height, width = raster.shape
    shares = [
        (raster.read(Window((0, 1), (y, y + 320), (x, x + 320))) > 0.5).mean()
        for y in range(0, height - 319, 320)
        for x in range(0, width - 319, 320)
    ]
    assert len(shares) == 448
    assert sum(share >= 0.05 for share in shares) == 118
