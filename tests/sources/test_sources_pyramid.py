"""The pyramid: levels equal a slow reference however the image was written, and nothing appears half made."""

from __future__ import annotations

import errno
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.errors import OutOfSpaceError, OutputExistsError, SettingsError, SourceError, SourceNotFoundError
from volumen.sources.open import open_segment
from volumen.sources.pyramids.halving import halve
from volumen.sources.pyramids.pyramid import create_pyramid, level_count, open_pyramid
from volumen.windows import Window


def halved_slowly(volume: np.ndarray) -> np.ndarray:
    """Average the pixels that exist of each 2 x 2, half up, one by one."""
    depth, height, width = volume.shape
    out = np.empty((depth, -(-height // 2), -(-width // 2)), dtype=volume.dtype)
    for z, y, x in np.ndindex(*out.shape):
        mean = volume[z, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(np.float64).mean()
        out[z, y, x] = mean if volume.dtype.kind == "f" else np.floor(mean + 0.5)
    return out


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1), (1, 8)])
def test_halving_equals_the_slow_mean(dtype: str, size: tuple[int, int]) -> None:
    low, high = (0, 1) if dtype == "float32" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    volume = np.random.default_rng(0).uniform(low, high, (3, *size)).astype(dtype)
    volume[0] = high
    tolerance = 1e-6 if dtype == "float32" else 0
    np.testing.assert_allclose(halve(volume), halved_slowly(volume), rtol=tolerance)
    np.testing.assert_allclose(halve(volume[1]), halved_slowly(volume)[1], rtol=tolerance)


def test_nearest_keeps_values_that_exist() -> None:
    label = np.random.default_rng(0).choice(np.array([0, 255], dtype=np.uint8), (9, 7))
    np.testing.assert_array_equal(halve(label, "nearest"), label[::2, ::2])


@settings(max_examples=15)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    levels=st.integers(1, 4),
    steps=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    dtype=st.sampled_from(["uint8", "uint16"]),
    compression=st.sampled_from(["zstd", "lz4", "none"]),
)
def test_block_by_block_equals_all_at_once(
    size: tuple[int, int], levels: int, steps: tuple[int, int], dtype: str, compression: str
) -> None:
    volume = np.random.default_rng(0).integers(0, 250, (3, *size)).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        pyramid = create_pyramid(
            Path(folder, "a.zarr"),
            shape=volume.shape,
            dtype=dtype,
            chunks=(2, 8, 8),
            levels=levels,
            compression=compression,  # type: ignore[arg-type]
        )
        rows, columns = (step << (levels - 1) for step in steps)
        for z in range(3):
            for y in range(0, size[0], rows):
                for x in range(0, size[1], columns):
                    window = Window((z, z + 1), (y, y + rows), (x, x + columns)).clip(pyramid.volume)
                    pyramid.write(window, volume[window.zyx])
        expected = volume
        for level in open_pyramid(Path(folder, "a.zarr")).levels:
            np.testing.assert_array_equal(level[:], expected)
            expected = halved_slowly(expected)


def test_blocks_own_whole_chunks_at_every_level(tmp_path: Path) -> None:
    pyramid = create_pyramid(tmp_path / "a", shape=(4, 300, 300), dtype="uint8", chunks=(4, 16, 32), levels=3)
    assert pyramid.block == 128
    for level, array in enumerate(pyramid.levels):
        assert (pyramid.block >> level) % array.chunks[1] == 0
        assert (pyramid.block >> level) % array.chunks[2] == 0


def test_flat_images_and_metadata(tmp_path: Path) -> None:
    label = np.random.default_rng(0).integers(0, 256, (33, 21), dtype=np.uint8)
    pyramid = create_pyramid(
        tmp_path / "map.zarr",
        shape=label.shape,
        dtype="uint8",
        chunks=(8, 8),
        axes="yx",
        voxel_um=7.91,
        levels=2,
        downsampling="nearest",
        attributes={"made": "here"},
    )
    pyramid.write(Window((0, 1), (0, 33), (0, 21)), label)
    again = open_pyramid(tmp_path / "map.zarr")
    assert (again.axes, again.voxel_um, again.downsampling, again.attributes) == (
        "yx",
        7.91,
        "nearest",
        {"made": "here"},
    )
    np.testing.assert_array_equal(again.levels[1][:], label[::2, ::2])
    ome = json.loads((tmp_path / "map.zarr/zarr.json").read_text())["attributes"]["ome"]
    assert ome["version"] == "0.5"
    (image,) = ome["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["y", "x"]
    assert {axis["unit"] for axis in image["axes"]} == {"micrometer"}
    assert image["datasets"][1]["coordinateTransformations"] == [{"type": "scale", "scale": [15.82, 15.82]}]


def test_means_lie_between_their_pixels(tmp_path: Path) -> None:
    create_pyramid(tmp_path / "a", shape=(1, 8, 8), dtype="uint8", chunks=(1, 8, 8), voxel_um=2.0, levels=3)
    (image,) = json.loads((tmp_path / "a/zarr.json").read_text())["attributes"]["ome"]["multiscales"]
    shift = image["datasets"][2]["coordinateTransformations"][1]
    # Level 2's first pixel averages pixels 0 to 3, whose centre is 1.5 voxels of 2 µm from the first centre.
    assert shift == {"type": "translation", "translation": [0.0, 3.0, 3.0]}


def test_the_longer_side_of_the_last_level_fits_a_screen() -> None:
    assert [level_count((65, side, 10)) for side in (1, 1024, 1025, 2049, 20_000)] == [1, 1, 2, 3, 6]


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(OutputExistsError):
        create_pyramid(tmp_path / "a", shape=(1, 8, 8), dtype="uint8", chunks=(1, 8, 8))
    assert (tmp_path / "a").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("window", "size"),
    [
        (Window((0, 1), (0, 9), (0, 8)), (1, 9, 8)),  # outside
        (Window((0, 1), (1, 4), (0, 8)), (1, 3, 8)),  # starts between
        (Window((0, 1), (0, 3), (0, 8)), (1, 3, 8)),  # stops between
        (Window((0, 1), (0, 4), (0, 8)), (1, 4, 7)),  # another shape
    ],
)
def test_blocks_off_the_grid_are_refused(tmp_path: Path, window: Window, size: tuple[int, int, int]) -> None:
    pyramid = create_pyramid(tmp_path / "a", shape=(1, 8, 8), dtype="uint8", chunks=(1, 4, 4), levels=3)
    with pytest.raises(SettingsError):
        pyramid.write(window, np.zeros(size, dtype=np.uint8))


def test_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyramid = create_pyramid(tmp_path / "a", shape=(1, 8, 8), dtype="uint8", chunks=(1, 8, 8))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zarr.storage._local._put", full)
    with pytest.raises(OutOfSpaceError, match="--resume"):
        pyramid.write(Window((0, 1), (0, 8), (0, 8)), np.ones((1, 8, 8), dtype=np.uint8))


def test_only_our_own_images_open_for_writing(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        open_pyramid(tmp_path / "gone")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(SourceError, match="other"):
        open_pyramid(tmp_path / "other")


@pytest.mark.parametrize(
    ("part", "said"),
    [("datasets", []), ("datasets", [{"path": "0"}]), ("axes", []), ("axes", "yx"), ("axes", None)],
)
def test_images_of_others_are_refused_in_words(tmp_path: Path, part: str, said: object) -> None:
    create_pyramid(tmp_path / "a.zarr", shape=(8, 8), dtype="uint8", chunks=(8, 8), axes="yx")
    metadata = json.loads((tmp_path / "a.zarr/zarr.json").read_text())
    metadata["attributes"]["ome"]["multiscales"][0][part] = said
    (tmp_path / "a.zarr/zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(SourceError, match=r"a\.zarr is not an OME-Zarr 0\.5 image that volumen wrote"):
        open_pyramid(tmp_path / "a.zarr")


def test_a_pyramid_opens_as_a_segment(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 256, (5, 40, 30), dtype=np.uint8)
    pyramid = create_pyramid(
        tmp_path / "s.zarr", shape=volume.shape, dtype="uint8", chunks=(2, 8, 8), voxel_um=3.24, levels=2
    )
    pyramid.write(Window.whole((5, 40, 30)), volume)
    segment = open_segment(tmp_path / "s.zarr")
    assert (segment.name, segment.shape, segment.voxel_um) == ("s", (5, 40, 30), 3.24)
    np.testing.assert_array_equal(segment.read(segment.window), volume)
    assert [level.shape for level in segment.levels] == [(5, 40, 30), (5, 20, 15)]
