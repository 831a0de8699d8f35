"""convert: every voxel at every level, whatever the cut; the same bytes after any interruption; nothing half made."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from volumen.errors import LabelError, OutOfSpaceError, OutputExistsError, SettingsError, SourceError
from volumen.events import Finished, Saved, Started, Stepped, Warned, result
from volumen.settings import Convert
from volumen.sources.arrays.tiff import TiffLayer
from volumen.sources.open import open_segment
from volumen.sources.pyramids.blocks import Cut
from volumen.sources.pyramids.convert import convert
from volumen.sources.pyramids.halving import halve
from volumen.sources.pyramids.journal import Journal
from volumen.windows import Window

SHAPE = (7, 1100, 90)  # tall enough for two levels


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, SHAPE, dtype=np.uint8)


@pytest.fixture(scope="module")
def source(volume: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LZW layers in strips of 100 rows, an ink label larger than the volume and a mask smaller."""
    folder = tmp_path_factory.mktemp("source") / "77"
    (folder / "layers").mkdir(parents=True)
    for index, layer in enumerate(volume):
        tifffile.imwrite(folder / f"layers/{index:02}.tif", layer, compression="lzw", rowsperstrip=100)
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (1280, 256), dtype=np.uint8)).save(folder / "77_inklabels.png")
    Image.fromarray(np.full((1000, 80), 255, np.uint8)).save(folder / "77_mask.png")
    return folder


def chosen(source: Path, out: Path, **more: Any) -> Convert:
    # So little memory that the conversion takes several blocks in two passes.
    return Convert(**{"source": str(source), "out": str(out), "chunk": (4, 32, 32), "memory_gb": 1.5e-4, **more})


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file, by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ---- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [1e-9, 1.5e-4, 1.0])
@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_every_voxel_at_every_level(
    source: Path, volume: np.ndarray, tmp_path: Path, memory: float, compression: str
) -> None:
    events = list(
        convert(chosen(source, tmp_path / "a.zarr", memory_gb=memory, compression=compression, voxel_um=7.91))
    )
    segment = open_segment(tmp_path / "a.zarr")
    assert [level.shape for level in segment.levels] == [SHAPE, (7, 550, 45)]
    np.testing.assert_array_equal(segment.levels[0][:, :, :], volume)
    np.testing.assert_array_equal(segment.levels[1][:, :, :], halve(volume))
    assert segment.voxel_um == 7.91
    assert isinstance(events[0], Started)
    assert isinstance(events[-2], Saved)
    assert isinstance(events[-1], Finished)
    steps = [event for event in events if isinstance(event, Stepped)]
    assert [step.done for step in steps] == list(range(1, events[0].total + 1))
    assert steps[0].values["megabytes_per_second"] > 0
    assert events[-1].result["shape"] == list(SHAPE)
    assert events[-1].result["rasters"] == ["ink", "mask"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr"]


def test_the_cut_does_not_change_the_bytes(source: Path, tmp_path: Path) -> None:
    trees = []
    for index, memory in enumerate((1e-9, 1.5e-4, 1.0)):
        result(convert(chosen(source, tmp_path / f"{index}.zarr", memory_gb=memory)))
        trees.append(tree(tmp_path / f"{index}.zarr"))
    names = [{key for key in one if key != "zarr.json"} for one in trees]  # the root names the image after its folder
    assert names[0] == names[1] == names[2]
    assert all(trees[0][key] == trees[1][key] == trees[2][key] for key in names[0])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("kind", ["npy", "zarr", "one strip", "png"])
def test_sources_of_every_kind_and_type(tmp_path: Path, dtype: str, kind: str) -> None:
    if kind == "png" and dtype == "float32":
        pytest.skip("PNG holds no floats")
    small = np.random.default_rng(0).integers(0, 250, (5, 130, 70)).astype(dtype)
    match kind:
        case "npy":
            path = tmp_path / "s.npy"
            np.save(path, small)
        case "zarr":
            path = tmp_path / "s.zarr"
            zarr.create_array(path, shape=small.shape, dtype=dtype, chunks=(5, 48, 48))[...] = small
        case _:
            path = tmp_path / "s"
            path.mkdir()
            for index, layer in enumerate(small):
                if kind == "png":
                    Image.fromarray(layer).save(path / f"{index}.png")
                else:
                    tifffile.imwrite(path / f"{index}.tif", layer, compression="lzw", rowsperstrip=130)
    result(convert(chosen(path, tmp_path / "a.zarr", memory_gb=1e-5, chunk=(2, 16, 16))))
    segment = open_segment(tmp_path / "a.zarr")
    assert segment.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(segment.read(segment.window), small)


def test_layers_of_one_strip_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").mkdir()
    for index in range(6):
        tifffile.imwrite(
            tmp_path / f"s/{index}.tif", np.eye(200, 50, dtype=np.uint8), compression="lzw", rowsperstrip=200
        )
    decoded: list[str] = []
    decode = TiffLayer.decode

    def spy(layer: TiffLayer, index: int) -> np.ndarray:
        decoded.append(layer.location.name)
        return decode(layer, index)

    monkeypatch.setattr(TiffLayer, "decode", spy)
    events = list(convert(chosen(tmp_path / "s", tmp_path / "a.zarr", memory_gb=1e-5, chunk=(4, 16, 16))))
    assert isinstance(events[0], Started)
    assert events[0].total > 10
    assert sorted(decoded) == [f"{index}.tif" for index in range(6)]


def test_reverse_is_applied_and_recorded(source: Path, volume: np.ndarray, tmp_path: Path) -> None:
    result(convert(chosen(source, tmp_path / "a.zarr", reverse=True)))
    segment = open_segment(tmp_path / "a.zarr")
    assert not segment.reverse
    np.testing.assert_array_equal(segment.read(segment.window), volume[::-1])
    assert zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["volumen"]["reversed"] is True  # type: ignore[index, call-overload]


def test_rasters_come_along_with_their_own_extent(source: Path, tmp_path: Path) -> None:
    result(convert(chosen(source, tmp_path / "a.zarr", supervision=(str(source / "77_mask.png"),))))
    before = open_segment(source, supervision=source / "77_mask.png")
    after = open_segment(tmp_path / "a.zarr")
    for name in ("ink", "mask", "supervision"):
        np.testing.assert_array_equal(after.raster(name).read(after.window), before.raster(name).read(after.window))
        assert after.raster(name).extent == before.raster(name).extent
        assert after.raster(name).digest() == before.raster(name).digest()
    assert after.raster("mask").extent == (1000, 80)
    assert after.held_out is None
    listed = zarr.open_group(tmp_path / "a.zarr/labels", mode="r").attrs["ome"]
    assert listed == {"version": "0.5", "labels": ["ink", "mask", "supervision"]}


# ---- the cut ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 300), st.integers(1, 300)),
    chunks=st.tuples(st.integers(1, 16), st.integers(1, 32), st.integers(1, 32)),
    source=st.tuples(st.integers(1, 70), st.integers(1, 300), st.integers(1, 300)),
    levels=st.integers(1, 4),
    voxels=st.integers(1, 2_000_000),
)
def test_each_chunk_of_each_level_belongs_to_one_block(
    shape: Any, chunks: Any, source: Any, levels: int, voxels: int
) -> None:
    chunks = tuple(map(min, chunks, shape))
    cut = Cut(shape=shape, chunks=chunks, source=source, levels=levels, voxels=voxels)
    assert Cut.of(cut.fields()) == cut
    written = [np.zeros((shape[0], -(-shape[1] >> k), -(-shape[2] >> k)), dtype=np.uint8) for k in range(levels)]
    reached = 0
    for block in cut.blocks():
        assert block.base == 0 or block.base <= reached  # later passes read what stands
        for level in range(block.first, block.top + 1):
            shift = level - block.base
            window = Window(
                block.window.z,
                (block.window.y[0] >> shift, -(-block.window.y[1] >> shift)),
                (block.window.x[0] >> shift, -(-block.window.x[1] >> shift)),
            )
            assert block.window.y[0] % (1 << shift) == block.window.x[0] % (1 << shift) == 0
            for (start, stop), chunk, length in zip(
                (window.z, window.y, window.x), chunks, written[level].shape, strict=True
            ):
                assert start % chunk == 0
                assert stop % chunk == 0 or stop == length
            written[level][window.zyx] += 1
        reached = max(reached, block.top)
    for level in written:
        assert (level == 1).all()


@pytest.mark.parametrize("width", [2_000, 20_000, 60_000])
@pytest.mark.parametrize("source", [(1, 1, 1), (64, 256, 256), (1, 64, 60_000)])
def test_blocks_stay_within_memory_whatever_the_size(width: int, source: tuple[int, int, int]) -> None:
    cut = Cut(shape=(65, width, width), chunks=(16, 128, 128), source=source, levels=7, voxels=250_000_000)
    assert max(math.prod(block.window.shape) for block in cut.blocks()) <= 250_000_000


# ---- interruptions ---------------------------------------------------------------------------------------------------


def test_stopped_after_any_block_it_goes_on_to_the_same_bytes(source: Path, tmp_path: Path) -> None:
    whole = chosen(source, tmp_path / "a.zarr")
    total = next(event.total for event in convert(whole) if isinstance(event, Started))
    (tmp_path / "a.zarr.partial").rename(tmp_path / "gone")
    result(convert(whole))
    expected = tree(tmp_path / "a.zarr")
    assert total >= 8
    for stop in {1, 2, total // 2, *range(total - 3, total + 1)}:
        (tmp_path / "a.zarr").rename(tmp_path / f"done{stop}")
        events = convert(whole)
        for event in events:
            if isinstance(event, Stepped) and event.done == stop:
                break
        events.close()  # type: ignore[attr-defined]
        assert not (tmp_path / "a.zarr").exists()
        again = list(convert(chosen(source, tmp_path / "a.zarr", resume=True)))
        assert sum(isinstance(event, Stepped) for event in again) == total - stop  # nothing is done twice
        assert tree(tmp_path / "a.zarr") == expected


def kill_and_resume(source: Path, out: Path, seconds: float) -> bool:
    """Convert in a child process that is killed after a while; return whether it was still at work."""
    settings = chosen(source, out, resume=True).model_dump_json()
    code = (
        "from volumen.sources.pyramids.convert import convert\n"
        "from volumen.settings import Convert\n"
        f"settings = Convert.model_validate_json({settings!r})\n"
        "for event in convert(settings):\n    print(event, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()  # it has begun
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.stdout.close()
    return child.wait() == -signal.SIGKILL


def kills(source: Path, folder: Path, count: int) -> None:
    result(convert(chosen(source, folder / "a.zarr")))
    expected = tree(folder / "a.zarr")
    (folder / "a.zarr").rename(folder / "unbroken")
    rng = np.random.default_rng(count)
    killed = 0
    while killed < count:
        killed += kill_and_resume(source, folder / "a.zarr", rng.uniform(0, 0.08))
        if (folder / "a.zarr").exists():
            (folder / "a.zarr").rename(folder / f"finished{killed}")
            assert tree(folder / f"finished{killed}") == expected
    result(convert(chosen(source, folder / "a.zarr", resume=True)))
    assert tree(folder / "a.zarr") == expected
    assert not (folder / "a.zarr.partial").exists()


def test_two_kills_end_with_the_same_bytes(source: Path, tmp_path: Path) -> None:
    kills(source, tmp_path, 2)


def test_resuming_what_is_finished_does_nothing(source: Path, tmp_path: Path) -> None:
    result(convert(chosen(source, tmp_path / "a.zarr")))
    before = tree(tmp_path / "a.zarr")
    events = list(convert(chosen(source, tmp_path / "a.zarr", resume=True)))
    assert [type(event) for event in events] == [Finished]
    assert tree(tmp_path / "a.zarr") == before


def test_a_resumed_conversion_keeps_its_cut_and_says_so(source: Path, tmp_path: Path) -> None:
    stopped = convert(chosen(source, tmp_path / "a.zarr"))
    for _ in range(4):
        next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    events = list(convert(chosen(source, tmp_path / "a.zarr", resume=True, memory_gb=1.0)))
    assert isinstance(events[0], Warned)
    assert isinstance(events[-1], Finished)


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_touched_unasked(source: Path, tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr/mine").write_text("mine")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        next(convert(chosen(source, tmp_path / "a.zarr")))
    with pytest.raises(OutputExistsError):
        next(convert(chosen(source, tmp_path / "a.zarr", resume=True)))
    with pytest.raises(OutputExistsError, match="no OME-Zarr"):
        next(convert(chosen(source, tmp_path / "a.zarr", overwrite=True)))
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zarr", "mine"]
    (tmp_path / "a.zarr/zarr.json").write_text("{}")
    result(convert(chosen(source, tmp_path / "a.zarr", overwrite=True)))
    assert open_segment(tmp_path / "a.zarr").shape == SHAPE
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_what_is_no_zarr_is_not_replaced(source: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/recipe.json").write_text("mine")
    with pytest.raises(OutputExistsError, match="no OME-Zarr"):
        next(convert(chosen(source, tmp_path / "run", overwrite=True)))
    assert (tmp_path / "run/recipe.json").read_text() == "mine"


def test_an_unfinished_conversion_is_neither_lost_nor_mixed_up(source: Path, tmp_path: Path) -> None:
    events = convert(chosen(source, tmp_path / "a.zarr"))
    for _ in range(3):
        next(events)
    events.close()  # type: ignore[attr-defined]
    done = Journal.read(tmp_path / "a.zarr.partial")
    assert done is not None
    assert sum(done.done()) > 0
    with pytest.raises(OutputExistsError, match="--resume"):
        next(convert(chosen(source, tmp_path / "a.zarr")))
    with pytest.raises(OutputExistsError, match="another compression"):
        next(convert(chosen(source, tmp_path / "a.zarr", resume=True, compression="lz4")))
    with pytest.raises(OutputExistsError, match="another source"):
        next(convert(chosen(source / "layers", tmp_path / "a.zarr", resume=True)))
    assert Journal.read(tmp_path / "a.zarr.partial") == done
    result(convert(chosen(source, tmp_path / "a.zarr", overwrite=True, compression="lz4")))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_full_disk_keeps_what_is_finished(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result(convert(chosen(source, tmp_path / "whole.zarr")))
    import zarr.storage._local as local

    put, left = local._put, [60]

    def filling(*args: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(*args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(local, "_put", filling)
        with pytest.raises(OutOfSpaceError, match="--resume"):
            result(convert(chosen(source, tmp_path / "a.zarr")))
    assert not (tmp_path / "a.zarr").exists()
    events = list(convert(chosen(source, tmp_path / "a.zarr", resume=True)))
    assert isinstance(events[0], Started)
    assert sum(isinstance(event, Stepped) for event in events) < events[0].total
    whole, resumed = tree(tmp_path / "whole.zarr"), tree(tmp_path / "a.zarr")
    assert whole.keys() == resumed.keys()
    assert {key for key in whole if whole[key] != resumed[key]} <= {"zarr.json"}  # named after its folder


def test_bad_input_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / "in"
    broken.mkdir()
    for index in range(3):
        tifffile.imwrite(broken / f"{index}.tif", np.eye(64, dtype=np.uint8) * 99, compression="lzw")
    raw = bytearray((broken / "1.tif").read_bytes())
    with tifffile.TiffFile(broken / "1.tif") as tiff:
        page = tiff.pages[0]
        start, length = page.dataoffsets[0], page.databytecounts[0]
    raw[start : start + length] = b"\xff" * length
    (broken / "1.tif").write_bytes(raw)
    with pytest.raises(SourceError, match=r"1\.tif"):
        result(convert(chosen(broken, tmp_path / "a.zarr", memory_gb=1.0)))
    nan = np.zeros((3, 40, 40), dtype=np.float32)
    nan[1, 20, 20] = np.nan
    np.save(tmp_path / "nan.npy", nan)
    with pytest.raises(SourceError, match="NaN"):
        result(convert(chosen(tmp_path / "nan.npy", tmp_path / "a.zarr", memory_gb=1.0)))
    np.save(tmp_path / "fine.npy", np.zeros((3, 40, 40), dtype=np.uint8))
    Image.fromarray(np.zeros((400, 40), np.uint8)).save(tmp_path / "large.png")
    with pytest.raises(LabelError, match="400 x 40"):
        result(convert(chosen(tmp_path / "fine.npy", tmp_path / "a.zarr", ink=(str(tmp_path / "large.png"),))))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fine.npy", "in", "large.png", "nan.npy"]


def test_settings_that_make_no_sense(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="on this machine"):
        next(convert(chosen(source, Path("a")).model_copy(update={"out": "s3://bucket/a.zarr"})))
    with pytest.raises(SettingsError, match="the source"):
        next(convert(chosen(source, source, overwrite=True)))
    with pytest.raises(SettingsError, match="one --ink"):
        next(convert(chosen(source, tmp_path / "a.zarr", ink=("a", "b"))))


def test_a_damaged_journal_is_named(source: Path, tmp_path: Path) -> None:
    events = convert(chosen(source, tmp_path / "a.zarr"))
    next(events)
    events.close()  # type: ignore[attr-defined]
    os.truncate(tmp_path / "a.zarr.partial/done", 1)
    with pytest.raises(SourceError, match="--overwrite"):
        next(convert(chosen(source, tmp_path / "a.zarr", resume=True)))
