"""Tiled prediction: identity and constancy for any tiling, a slow reference, resuming, masks, and what goes wrong."""

from __future__ import annotations

import errno
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.crops.normalize import Normalization
from volumen.errors import CheckpointError, OutOfMemoryError, OutOfSpaceError, SettingsError, SourceError
from volumen.events import Event, Finished, Started, Stepped, TileWritten, Warned, result
from volumen.prediction.forward import Forward
from volumen.prediction.plan import TilePlan
from volumen.prediction.tiles import predict_tiles
from volumen.sources.pyramids.halving import halve
from volumen.sources.pyramids.probability_map import ProbabilityMap, create_map, open_map
from volumen.windows import Window


def identity(voxels: np.ndarray) -> np.ndarray:
    return voxels[:, voxels.shape[1] // 2] / np.float32(255)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def fresh(path: Path, plan: TilePlan, block: int = 64, **more: Any) -> ProbabilityMap:
    return create_map(path, shape=plan.volume[1:], settings=plan.to_dict(), block=block, **more)


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@st.composite
def tilings(draw: st.DrawFn, tiling: str) -> tuple[TilePlan, int, int, int]:
    """Draw a plan, a batch, a cell and a block."""
    stride = draw(st.sampled_from([1, 2, 8]))
    tile = stride * draw(st.integers(2, 8))
    most = (tile - stride) // (1 if tiling == "blend" else 2) // stride * stride
    height, width = draw(st.integers(1, 80)), draw(st.integers(1, 80))
    y0, x0 = (draw(st.one_of(st.just(0), st.integers(0, side - 1))) for side in (height, width))
    y1, x1 = (
        draw(st.one_of(st.just(side), st.integers(first + 1, side))) for first, side in ((y0, height), (x0, width))
    )
    plan = TilePlan(
        volume=(5, height, width),
        region=Window((1, 4), (y0, y1), (x0, x1)),
        tile=tile,
        overlap=draw(st.integers(0, most)),
        tiling=tiling,
        stride=stride,
    )
    return plan, draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.sampled_from([16, 32, 48]))


def check_identity(plan: TilePlan, batch: int, cell: int, block: int) -> None:
    volume = noise(*plan.volume)
    with tempfile.TemporaryDirectory() as folder:
        output = fresh(Path(folder) / "map.zarr", plan, block)
        result(predict_tiles(identity, lambda w: volume[w.zyx], plan=plan, output=output, batch=batch, cell=cell))
        wanted = np.zeros(plan.volume[1:], np.uint8)
        wanted[plan.region.yx] = volume[2][plan.region.yx]
        np.testing.assert_array_equal(output.read(output.window), wanted)


def check_constant(plan: TilePlan, batch: int, cell: int, block: int, constant: float) -> None:
    def model(voxels: np.ndarray) -> np.ndarray:
        return np.full((len(voxels), *voxels.shape[2:]), constant, np.float32)

    with tempfile.TemporaryDirectory() as folder:
        output = fresh(Path(folder) / "map.zarr", plan, block)
        source = np.zeros(plan.volume, np.uint8)
        result(predict_tiles(model, lambda w: source[w.zyx], plan=plan, output=output, batch=batch, cell=cell))
        inside = output.read(plan.region.layers(0, 1))
        assert np.unique(inside).size == 1
        assert abs(int(inside[0, 0]) - constant * 255) <= 0.5 + 1 / 256


@given(tilings("blend"))
@settings(max_examples=250)
def test_blended_identity_is_the_volume(drawn: tuple[TilePlan, int, int, int]) -> None:
    check_identity(*drawn)


@given(tilings("halo"))
@settings(max_examples=250)
def test_halo_identity_is_the_volume(drawn: tuple[TilePlan, int, int, int]) -> None:
    check_identity(*drawn)


# Odd tenths, 0.5 and the like lie on the border of two grey levels, where float error would show; so do the last.
CONSTANTS = st.one_of(
    st.floats(0, 1, width=32),
    st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]),
    st.integers(0, 254).map(lambda level: (level + 0.5) / 255),
    st.integers(0, 254).map(lambda level: (level + 0.5 - 0.5 / 256) / 255),
)


@given(tilings("blend"), CONSTANTS)
@settings(max_examples=250)
def test_blended_constant_is_constant(drawn: tuple[TilePlan, int, int, int], constant: float) -> None:
    check_constant(*drawn, constant)


@given(tilings("halo"), CONSTANTS)
@settings(max_examples=250)
def test_halo_constant_is_constant(drawn: tuple[TilePlan, int, int, int], constant: float) -> None:
    check_constant(*drawn, constant)


def small_plan(**changes: Any) -> TilePlan:
    fields = {"tile": 64, "overlap": 16, "stride": 16, "region": Window((1, 4), (0, 203), (0, 270)), **changes}
    return TilePlan(volume=(5, 203, 270), **fields)


def network() -> Forward:
    """Make a small strided network whose answer depends on a tile's surroundings, batch and all."""
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.ConvTranspose2d(8, 1, 2, 2))
    return Forward(torch.nn.Sequential(*layers), normalization=Normalization())


def test_blending_equals_the_slow_sum_of_weights(tmp_path: Path) -> None:
    plan, volume, model = small_plan(), noise(5, 203, 270), network()
    output = fresh(tmp_path / "map.zarr", plan)
    result(predict_tiles(model, lambda w: volume[w.zyx], plan=plan, output=output))

    total, weight = np.zeros((240, 320)), np.zeros((240, 320))
    padded = np.pad(volume, ((0, 0), (0, 37), (0, 50)), mode="reflect")
    _, height, width = plan.shape
    slope = [np.array([min(1, (min(d, n - 1 - d) + 0.5) / 16) ** 3 for d in range(n)]) for n in (height, width)]
    for tile in plan.tiles:
        probability = model(np.ascontiguousarray(padded[tile.window.zyx][None]))[0]
        total[tile.window.yx] += np.outer(*slope) * probability
        weight[tile.window.yx] += np.outer(*slope)
    wanted = (total / np.where(weight, weight, 1))[:203, :270] * 255
    assert np.abs(output.read(output.window) - wanted).max() <= 0.5 + 1 / 128
    assert wanted.std() > 1


def test_a_wide_halo_equals_one_pass_over_the_whole(tmp_path: Path) -> None:
    volume, model = noise(5, 192, 256), network()
    plan = TilePlan(
        volume=volume.shape, region=Window((1, 4), (0, 192), (0, 256)), tile=64, overlap=8, stride=2, tiling="halo"
    )
    output = fresh(tmp_path / "map.zarr", plan)
    result(predict_tiles(model, lambda w: volume[w.zyx], plan=plan, output=output, batch=2))
    whole = np.rint(model(volume[None, 1:4])[0] * 255)
    assert np.abs(output.read(output.window) - whole).max() <= 1  # a tie may go either way
    assert (output.read(output.window) == whole).mean() > 0.99


@pytest.mark.parametrize("tiling", ["blend", "halo"])
def test_a_region_comes_out_as_in_the_whole_map(tmp_path: Path, tiling: str) -> None:
    volume, model = noise(5, 203, 270), network()
    whole = small_plan(tile=80, overlap=16, tiling=tiling)
    part = small_plan(tile=80, overlap=16, tiling=tiling, region=Window((1, 4), (70, 133), (90, 250)))
    maps = []
    for name, plan in (("whole", whole), ("part", part)):
        output = fresh(tmp_path / f"{name}.zarr", plan)
        result(predict_tiles(model, lambda w: volume[w.zyx], plan=plan, output=output))
        maps.append(output.read(output.window).astype(int))
    inside = part.region.yx
    assert np.abs(maps[0][inside] - maps[1][inside]).max() <= 2
    maps[1][inside] = 0
    assert not maps[1].any()


def test_no_voxel_is_read_twice(tmp_path: Path) -> None:
    plan, volume = small_plan(), noise(5, 203, 270)
    reads = np.zeros(volume.shape, int)

    def read(window: Window) -> np.ndarray:
        reads[window.zyx] += 1
        return volume[window.zyx]

    result(predict_tiles(identity, read, plan=plan, output=fresh(tmp_path / "map.zarr", plan), cell=32))
    assert (reads[1:4] == 1).all()
    assert not reads[[0, 4]].any()


def test_what_is_decoded_by_whole_rows_is_decoded_once_for_each_row_of_cells(tmp_path: Path) -> None:
    plan = TilePlan(volume=(5, 96, 160), region=Window((1, 4), (0, 96), (0, 160)), tile=32, overlap=8, stride=8)
    volume = noise(*plan.volume)
    read: list[Window] = []

    def spy(window: Window) -> np.ndarray:
        read.append(window)
        return volume[window.zyx]

    maps = []
    for cell in (16, (32, 160)):
        read.clear()
        output = fresh(tmp_path / f"{len(maps)}.zarr", plan)
        result(predict_tiles(identity, spy, plan=plan, output=output, cell=cell))
        maps.append(output.read(output.window))
    np.testing.assert_array_equal(maps[0], maps[1])
    assert read == [Window((1, 4), (top, top + 32), (0, 160)) for top in (0, 32, 64)]


def test_tiles_without_papyrus_are_not_read_and_change_nothing_elsewhere(tmp_path: Path) -> None:
    plan, volume, model = small_plan(), noise(5, 203, 270), network()
    mask = np.zeros((203, 270), np.float32)
    mask[20:60, 30:200] = 1
    reads: list[Window] = []

    def read(window: Window) -> np.ndarray:
        reads.append(window)
        return volume[window.zyx]

    def papyrus(window: Window) -> np.ndarray:
        return mask[window.yx]

    full, masked = fresh(tmp_path / "full.zarr", plan), fresh(tmp_path / "masked.zarr", plan)
    result(predict_tiles(model, read, plan=plan, output=full))
    reads.clear()
    numbers = result(predict_tiles(model, read, plan=plan, output=masked, mask=papyrus, cell=16))
    computed = [tile for tile in plan.tiles if mask[tile.keep.yx].any()]
    assert numbers["tiles"] == len(computed) < len(plan.tiles)
    assert numbers["skipped"] == len(plan.tiles) - len(computed)
    assert all(any(window.overlaps(tile.window) for tile in computed) for window in reads)
    inside, covered = mask > 0, np.zeros(mask.shape, bool)
    for tile in computed:
        covered[tile.keep.yx] = True
    np.testing.assert_array_equal(masked.read(masked.window)[inside], full.read(full.window)[inside])
    assert not masked.read(masked.window)[~covered].any()


def test_nothing_inside_the_mask_is_an_empty_finished_map(tmp_path: Path) -> None:
    plan = small_plan()
    output = fresh(tmp_path / "map.zarr", plan)
    events = predict_tiles(identity, lambda w: noise(*w.shape), plan=plan, output=output, mask=lambda w: np.zeros(1))
    assert result(events)["tiles"] == 0
    assert output.finished
    assert not output.read(output.window).any()


def test_events_tell_the_whole_story(tmp_path: Path) -> None:
    plan, volume = small_plan(), noise(5, 203, 270)
    output = fresh(tmp_path / "map.zarr", plan)
    events = list(predict_tiles(identity, lambda w: volume[w.zyx], plan=plan, output=output, batch=2))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    steps = [event for event in events if isinstance(event, Stepped)]
    assert steps[-1].done == steps[-1].total == events[0].total == len(plan.tiles)
    assert all(step.values["pixels_per_second"] > 0 for step in steps)
    tiles = [event for event in events if isinstance(event, TileWritten)]
    assert [tile.done for tile in tiles] == list(range(1, len(tiles) + 1))
    assert {tile.box for tile in tiles} == {block.box for block in output.blocks(output.window)}


def test_a_block_is_on_disk_at_every_level_when_it_is_told(tmp_path: Path) -> None:
    plan = TilePlan(volume=(3, 2100, 64), region=Window((0, 3), (0, 2100), (0, 64)), tile=64, overlap=16, stride=16)
    volume = noise(3, 2100, 64)
    output = fresh(tmp_path / "map.zarr", plan)
    assert len(output.pyramid.levels) > 1
    for event in predict_tiles(identity, lambda w: volume[w.zyx], plan=plan, output=output):
        if isinstance(event, TileWritten):
            y0, y1, x0, x1 = event.box
            block = volume[1, y0:y1, x0:x1]
            seen = open_map(output.path)
            np.testing.assert_array_equal(seen.read(Window((0, 1), (y0, y1), (x0, x1))), block)
            half = Window((0, 1), (y0 // 2, -(-y1 // 2)), (x0 // 2, -(-x1 // 2)))
            np.testing.assert_array_equal(seen.read(half, level=1), halve(block))


@pytest.mark.parametrize("tiling", ["blend", "halo"])
@pytest.mark.parametrize("batch", [1, 3])
def test_stopped_anywhere_and_resumed_it_ends_with_the_same_bytes(tmp_path: Path, tiling: str, batch: int) -> None:
    plan, volume, model = small_plan(tiling=tiling), noise(5, 203, 270), network()

    def events(output: ProbabilityMap) -> Any:
        return predict_tiles(model, lambda w: volume[w.zyx], plan=plan, output=output, batch=batch)

    unbroken = list(events(fresh(tmp_path / "unbroken" / "map.zarr", plan)))
    wanted = files(tmp_path / "unbroken" / "map.zarr")
    rng = np.random.default_rng(0)
    for round_ in range(5):
        path = tmp_path / f"broken{round_}" / "map.zarr"
        for stop in sorted(rng.integers(1, len(unbroken), 4)):
            stream = events(fresh(path, plan, resume=True))
            for _ in range(stop):
                if isinstance(next(stream), Finished):
                    break
            stream.close()
        result(events(fresh(path, plan, resume=True)))
        assert files(path) == wanted


@pytest.mark.parametrize("batch", [1, 3])
def test_a_write_that_is_cut_short_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    plan = TilePlan(volume=(3, 1100, 130), region=Window((0, 3), (0, 1100), (0, 130)), tile=64, overlap=16, stride=16)
    volume, model, write_copies = noise(*plan.volume), network(), ProbabilityMap.write_copies

    def events(path: Path) -> Any:
        output = fresh(path, plan, block=32, resume=True)
        return predict_tiles(model, lambda w: volume[w.zyx], plan=plan, output=output, batch=batch)

    result(events(tmp_path / "unbroken" / "map.zarr"))
    blocks = len(open_map(tmp_path / "unbroken" / "map.zarr").done())
    for whole in (0, 1, 2, 3, 17, 100, blocks - 1):
        countdown = iter(range(whole))

        def cut_short(self: ProbabilityMap, block: Window, half: Any, countdown: Any = countdown) -> None:
            if next(countdown, None) is None:  # the first level is there: what a kill between levels leaves
                raise KeyboardInterrupt
            write_copies(self, block, half)

        path = tmp_path / f"broken{whole}" / "map.zarr"
        with monkeypatch.context() as patch:
            patch.setattr(ProbabilityMap, "write_copies", cut_short)
            with pytest.raises(KeyboardInterrupt):
                list(events(path))
        assert len(open_map(path).done()) == whole
        result(events(path))
        assert files(path) == files(tmp_path / "unbroken" / "map.zarr")


def test_where_it_begins_changes_no_pixel_though_float_sums_do_not_commute(tmp_path: Path) -> None:
    shape = (3, 480, 480)
    plan = TilePlan(volume=shape, region=Window.whole(shape), tile=64, overlap=48, stride=16)  # up to 16 tiles a pixel
    volume = noise(*shape)

    def differing(voxels: np.ndarray) -> np.ndarray:
        """Answer differently for the same pixel in different tiles."""
        rng = np.random.default_rng(int(voxels.sum()))
        return rng.random((1, *voxels.shape[2:]), np.float32)

    maps = []
    for name, near in (("rows", None), ("near", (300, 170))):
        output = fresh(tmp_path / f"{name}.zarr", plan)
        result(predict_tiles(differing, lambda w: volume[w.zyx], plan=plan, output=output, near=near))
        maps.append(output.read(output.window))
    np.testing.assert_array_equal(*maps)


@pytest.mark.parametrize("tiling", ["blend", "halo"])
def test_begun_near_one_place_and_resumed_near_others_it_has_the_bytes_of_row_order(
    tmp_path: Path, tiling: str
) -> None:
    plan, volume, model = small_plan(tiling=tiling), noise(5, 203, 270), network()

    def events(path: Path, near: tuple[int, int] | None) -> Any:
        output = fresh(path, plan, resume=True)
        return predict_tiles(model, lambda w: volume[w.zyx], plan=plan, output=output, batch=2, near=near)

    result(events(tmp_path / "rows" / "map.zarr", None))
    unbroken = list(events(tmp_path / "near" / "map.zarr", (150, 200)))
    assert files(tmp_path / "near" / "map.zarr") == files(tmp_path / "rows" / "map.zarr")
    rng = np.random.default_rng(0)
    path = tmp_path / "broken" / "map.zarr"
    for place in ((150, 200), None, (0, 0), (202, 0)):
        stream = events(path, place)
        for _ in range(int(rng.integers(3, len(unbroken) // 2))):
            if isinstance(next(stream), Finished):
                break
        stream.close()
    result(events(path, (99, 99)))
    assert files(path) == files(tmp_path / "rows" / "map.zarr")


def test_what_lies_near_is_written_first(tmp_path: Path) -> None:
    plan, volume = small_plan(), noise(5, 203, 270)
    output = fresh(tmp_path / "map.zarr", plan, block=32)
    boxes = [
        event.box
        for event in predict_tiles(identity, lambda w: volume[w.zyx], plan=plan, output=output, near=(150, 200))
        if isinstance(event, TileWritten)
    ]
    distance = [max(abs((y0 + y1) / 2 - 150), abs((x0 + x1) / 2 - 200)) for y0, y1, x0, x1 in boxes]
    assert max(distance[:4]) < 64
    assert distance[-1] > 100
    assert len(boxes) == len(set(boxes)) == 7 * 9


def test_a_finished_map_is_left_alone(tmp_path: Path) -> None:
    plan, volume = small_plan(), noise(5, 203, 270)
    output = fresh(tmp_path / "map.zarr", plan)
    result(predict_tiles(identity, lambda w: volume[w.zyx], plan=plan, output=output))

    def never(_: object) -> np.ndarray:
        raise RuntimeError("must not be called")

    again = fresh(tmp_path / "map.zarr", plan, resume=True)
    assert result(predict_tiles(never, never, plan=plan, output=again))["tiles"] == len(plan.tiles)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("volumen-")]


def test_not_pulling_any_more_stops_the_threads(tmp_path: Path) -> None:
    plan, volume = small_plan(), noise(5, 203, 270)
    stream = predict_tiles(identity, lambda w: volume[w.zyx], plan=plan, output=fresh(tmp_path / "map.zarr", plan))
    while not isinstance(next(stream), TileWritten):
        assert len(threads()) <= 2
    assert threads()
    stream.close()
    assert not threads()


def failing(tmp_path: Path, model: Any = identity, read: Any = None, **more: Any) -> list[Event]:
    plan, volume = small_plan(), noise(5, 203, 270)
    output = fresh(tmp_path / "map.zarr", plan)
    events: list[Event] = []
    try:
        for event in predict_tiles(model, read or (lambda w: volume[w.zyx]), plan=plan, output=output, **more):
            events.append(event)
    finally:
        assert not threads()
    return events


def test_errors_of_the_reader_surface(tmp_path: Path) -> None:
    def damaged(window: Window) -> np.ndarray:
        if window.y[0] > 64:
            raise SourceError("chunk 1.0.0 is truncated")
        return noise(*window.shape)

    with pytest.raises(SourceError, match="truncated"):
        failing(tmp_path, read=damaged, cell=64)
    assert not open_map(tmp_path / "map.zarr").finished


def test_nan_in_the_volume_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="NaN"):
        failing(tmp_path, read=lambda w: np.full(w.shape, np.nan, np.float32))


def test_a_reader_that_gives_another_shape_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="must give shape"):
        failing(tmp_path, read=lambda w: np.zeros((1, 2, 3), np.uint8))


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1, np.inf])
def test_a_model_that_gives_no_probabilities_is_an_error(tmp_path: Path, value: float) -> None:
    def model(voxels: np.ndarray) -> np.ndarray:
        answer = identity(voxels)
        answer[-1, -1, -1] = value
        return answer

    with pytest.raises(CheckpointError, match=r"\[0, 1\]"):
        failing(tmp_path, model)


def test_a_model_that_gives_another_shape_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"\(1, 64, 64\)"):
        failing(tmp_path, lambda voxels: np.zeros((1, 2, 2), np.float32))


def test_a_full_disk_says_so_and_leaves_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, volume = small_plan(), noise(5, 203, 270)
    output = fresh(tmp_path / "map.zarr", plan)
    stream = predict_tiles(identity, lambda w: volume[w.zyx], plan=plan, output=output)
    while not isinstance(next(stream), TileWritten):
        pass

    def full(self: ProbabilityMap, block: Window) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ProbabilityMap, "_mark", full)
        with pytest.raises(OutOfSpaceError, match="disk is full"):
            list(stream)
    assert not threads()
    done = open_map(output.path).done()
    assert done
    result(predict_tiles(identity, lambda w: volume[w.zyx], plan=plan, output=fresh(output.path, plan, resume=True)))
    np.testing.assert_array_equal(open_map(output.path).read(output.window), volume[2])


def test_out_of_memory_halves_the_batch_says_so_and_goes_on(tmp_path: Path) -> None:
    sizes: list[int] = []

    def narrow(voxels: np.ndarray) -> np.ndarray:
        sizes.append(len(voxels))
        if len(voxels) > 1:
            raise MemoryError
        return identity(voxels)

    events = failing(tmp_path, narrow, batch=4)
    assert [event.message.split()[0] for event in events if isinstance(event, Warned)] == ["4", "2"]
    assert sizes[:3] == [4, 2, 1]
    assert set(sizes[2:]) == {1}
    output = open_map(tmp_path / "map.zarr")
    np.testing.assert_array_equal(output.read(output.window), noise(5, 203, 270)[2])


def test_a_single_tile_that_does_not_fit_is_an_error_with_a_cure(tmp_path: Path) -> None:
    def never(_: np.ndarray) -> np.ndarray:
        raise MemoryError

    with pytest.raises(OutOfMemoryError, match="smaller tile"):
        failing(tmp_path, never)


def test_a_map_of_another_size_is_refused(tmp_path: Path) -> None:
    output = create_map(tmp_path / "map.zarr", shape=(100, 100), settings={})
    with pytest.raises(SettingsError, match="as large as the volume"):
        next(predict_tiles(identity, lambda w: noise(*w.shape), plan=small_plan(), output=output))
