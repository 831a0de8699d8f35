from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from volumen.crops.blocks import partition
from volumen.crops.unlabelled import split_unlabelled
from volumen.errors import SettingsError
from volumen.sources.labels.rasters import Raster
from volumen.sources.open import open_segment
from volumen.sources.segment import Segment
from volumen.windows import Size, Window, height_width

MICROCT = Path(__file__).parents[3] / "shared" / "data" / "microct"


def segment_of(shape: tuple[int, int, int], mask: np.ndarray | None = None, **rasters: Raster) -> Segment:
    volume = np.broadcast_to(np.uint8(1), shape)
    return Segment(name="s", source="s", levels=(volume,), mask=None if mask is None else Raster.of(mask), **rasters)


def untouchable(shape: tuple[int, int]) -> Raster:
    def decode() -> np.ndarray:
        raise AssertionError("a label was touched")

    return Raster(source="label", shape=shape, extent=shape, decode=decode)


def island(shape: tuple[int, int], seed: int) -> np.ndarray:
    """A ragged piece of papyrus with a hole in it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    y, x = rng.uniform(0.3, 0.7, 2) * shape
    around = np.hypot((rows - y) / shape[0], (columns - x) / shape[1])
    return ((around < rng.uniform(0.4, 0.9)) & (around > rng.uniform(0, 0.15))).astype(np.float32)


def every_window(extent: tuple[int, int], size: Size, stride: Size) -> set[tuple[int, int]]:
    """Corners, slowly: all that fit on the grid, and the end of either axis."""
    ys, xs = (
        {at for at in range(length) if at + side <= length and (at % step == 0 or at + side == length)}
        if length >= side
        else {0}
        for length, side, step in zip(extent, height_width(size), height_width(stride), strict=True)
    )
    return {(y, x) for y in ys for x in xs}


sides = st.one_of(st.sampled_from([16, 24, 32]), st.tuples(st.integers(8, 32), st.integers(8, 40)))


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(70, 260), st.integers(70, 260)),
    sides,
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 9)),
    st.floats(0.01, 0.4),
)
@settings(max_examples=50)
def test_all_windows_on_papyrus_but_none_near_what_is_held_out(
    seed: int,
    extent: tuple[int, int],
    size: Size,
    overlap: int,
    masked: bool,
    layer_stride: int | None,
    share: float,
) -> None:
    mask = island(extent, seed) if masked else np.ones(extent, np.float32)
    label = untouchable(extent)
    segment = segment_of((24, *extent), mask if masked else None, ink=label, supervision=label, held_out=label)
    (height, width), guard = height_width(size), max(height_width(size)) // 8
    stride = (-(-height // overlap), -(-width // overlap))
    try:
        split = split_unlabelled(
            segment,
            layers=6,
            size=size,
            stride=stride,
            layer_stride=layer_stride,
            share=share,
            held_out_crops=10**6,
            seed=seed,
        )
    except SettingsError as error:
        if "cannot be parted" in str(error) or "Expected papyrus" in str(error):
            reject()  # hypothesis fails if that is common
        raise
    scored = np.zeros(extent, int)
    near = np.zeros(extent, bool)
    for box in split.held_out:
        assert box.clip(segment.shape) == box
        scored[box.yx] += 1
        near[box.halo(guard).clip(segment.shape).yx] = True
    assert scored.max() == 1
    expected = {
        (y, x)
        for y, x in every_window(extent, size, stride)
        if mask[y : y + height, x : x + width].mean() >= 0.5 and not near[y : y + height, x : x + width].any()
    }
    step = layer_stride or 1
    depths = {z for z in range(19) if z % step == 0 or z == 18} if layer_stride else {9}
    assert {(w.z[0], w.y[0], w.x[0]) for w in split.train} == {(z, *corner) for z in depths for corner in expected}
    assert len(split.train) == len(expected) * len(depths)
    assert {window.shape for window in split.train + split.held_out_crops} == {(6, height, width)}
    assert len({*split.held_out_crops}) == len(split.held_out_crops)
    for crop in split.held_out_crops:
        assert scored[crop.yx].all(), "a crop to reconstruct lies wholly in a held-out box"
        assert mask[crop.yx].mean() >= 0.5
        assert crop.z[0] in depths
    for box in split.held_out:
        assert any(crop & box == crop for crop in split.held_out_crops), "every box holds one"


def test_the_seed_decides_and_labels_change_nothing() -> None:
    extent = (400, 400)
    segment = segment_of((24, *extent))
    labelled = replace(segment, ink=untouchable(extent), supervision=untouchable(extent))
    splits = [split_unlabelled(one, size=32, stride=16, seed=seed) for one, seed in ((segment, 1), (labelled, 1))]
    assert splits[0] == splits[1]
    assert split_unlabelled(segment, size=32, stride=16, seed=2).held_out != splits[0].held_out
    held_out = sum(box.shape[1] * box.shape[2] for box in splits[0].held_out)
    assert 0.07 <= held_out / (400 * 400) <= 0.13


def test_blocks_to_hold_out_are_spread_over_the_segment() -> None:
    split = split_unlabelled(segment_of((20, 640, 640)), size=32, stride=32, share=0.08, seed=4)
    corners = np.array([(box.y[0], box.x[0]) for box in split.held_out])
    assert len(corners) == 2
    assert corners[0, 0] < 320 <= corners[1, 0]


def test_crops_to_reconstruct_are_few_and_spread() -> None:
    segment = segment_of((60, 512, 512))
    many = split_unlabelled(segment, layers=6, layer_stride=6, size=32, stride=32, share=0.2, held_out_crops=10**6)
    few = split_unlabelled(segment, layers=6, layer_stride=6, size=32, stride=32, share=0.2, held_out_crops=12)
    assert len(few.held_out_crops) == 12 == len({*few.held_out_crops})
    assert {*few.held_out_crops} < {*many.held_out_crops}
    assert few.held_out_crops[0] == many.held_out_crops[0]
    assert few.held_out_crops[-1] == many.held_out_crops[-1]
    assert len({box for box in few.held_out for crop in few.held_out_crops if crop & box == crop}) == len(few.held_out)
    assert few.train == many.train


def test_a_region_is_held_out_and_nothing_near_it_is_learned() -> None:
    segment = segment_of((24, 200, 300))
    split = split_unlabelled(
        segment, size=32, stride=16, region=(0, 160, 20, 300), held_out_region=(0, 200, 150, 300), layers=(2, 8)
    )
    assert split.by == "region"
    assert [(box.z, box.box) for box in split.held_out] == [((2, 8), (0, 160, 150, 300))]
    assert max(window.x[1] for window in split.train) <= 150 - 4
    assert min(window.x[0] for window in split.train) == 20
    assert {window.y[1] for window in split.train + split.held_out_crops} == set(range(32, 161, 16))
    assert {window.z for window in split.train + split.held_out_crops} == {(2, 8)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 101}, r"extent of s to hold a crop of 101 x 101 px .* 100 x 120"),
        ({"size": (64, 121)}, r"64 x 121 px .* 100 x 120"),
        ({"region": (0, 30, 0, 120)}, r"region of s to hold a crop of 32 x 32 px .* 30 x 120"),
        ({"held_out_region": (0, 90, 0, 31)}, r"held-out region of s to hold a crop of 32 x 32 px .* 90 x 31"),
        ({"held_out_region": (0, 100, 0, 120)}, "cannot be parted"),
        ({"held_out_region": (0, 9, 200, 220)}, "held-out region inside s"),
        ({"held_out_region": (0, 90, 60, 121)}, "held-out region inside s, rows 0:100 and columns 0:120; got 0:90,60"),
        ({"region": (0, 101, 0, 120)}, "Expected a region inside s, rows 0:100 and columns 0:120; got 0:101,0:120"),
        ({"layers": 25}, "crop of 25 layers; it has 24"),
        ({"layers": 25, "layer_stride": 5}, "crop of 25 layers; it has 24"),
        ({"layers": (20, 26)}, "20:26"),
        ({"layers": (2, 8), "layer_stride": 2}, "Give a number of layers"),
        ({"layer_stride": 0}, "at least 1"),
        ({"size": 0}, "at least 1"),
        ({"size": 64, "stride": 64}, "cannot be parted"),
    ],
)
def test_what_cannot_be_split_is_said(options: dict[str, object], words: str) -> None:
    asked = {"size": 32, "stride": 16, "layers": 20, **options}
    with pytest.raises(SettingsError, match=words):
        split_unlabelled(segment_of((24, 100, 120)), **asked)


def test_no_papyrus_is_said() -> None:
    mask = np.zeros((100, 120), np.float32)
    mask[:40, :6] = 1
    with pytest.raises(SettingsError, match="Expected papyrus in s; none of its 42 windows of 32 x 32 px"):
        split_unlabelled(segment_of((24, 100, 120), mask), size=32, stride=16)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 60), st.integers(1, 60), st.integers(0, 9))
def test_parts_cover_all_once_and_none_is_too_small(height: int, width: int, h: int, w: int, at: int) -> None:
    within = Window((0, 2), (at, at + height), (2 * at, 2 * at + width))
    boxes = partition(within, (h, w))
    painted = np.zeros((height, width), int)
    for box in boxes:
        painted[box.inside(within).yx] += 1
        assert box.shape[1] >= min(h, height)
        assert box.shape[2] >= min(w, width)
    assert (painted == 1).all()
    assert max(box.shape[1] for box in boxes) - min(box.shape[1] for box in boxes) <= 1


@pytest.mark.skipif(not MICROCT.exists(), reason="the real micro-CT volumes are not beside the repository")
def test_a_real_ct_cube_is_learned_from_at_every_depth() -> None:
    segment = open_segment(MICROCT / "fibers.tif")
    assert segment.shape == (150, 150, 150)
    split = split_unlabelled(segment, layers=20, size=64, stride=32, layer_stride=10)
    learned = np.zeros(segment.shape, bool)
    for window in split.train:
        learned[window.zyx] = True
    for box in split.held_out:
        assert box.z == (0, 150)
        assert not learned[box.zyx].any()
    assert learned.any(axis=(1, 2)).all(), "every layer"
    assert learned.mean() > 0.4
    assert {crop.z for crop in split.held_out_crops} == {window.z for window in split.train}
