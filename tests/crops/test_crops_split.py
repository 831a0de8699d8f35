from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from volumen.crops.blocks import disjoint, touched
from volumen.crops.shares import Shares
from volumen.crops.split import Split, split_segment
from volumen.errors import LabelError, SettingsError
from volumen.sources.labels.rasters import Raster
from volumen.sources.segment import Segment
from volumen.windows import Window


def blobs(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Letter-like ink: some rectangles over a clean ground."""
    rng = np.random.default_rng(seed)
    ink = np.zeros(shape, np.float32)
    for _ in range(max(3, shape[0] * shape[1] // 1500)):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        ink[y : y + rng.integers(3, 14), x : x + rng.integers(3, 14)] = 1
    return ink


def segment_of(ink: np.ndarray, depth: int = 24, **rasters: np.ndarray) -> Segment:
    flat = {name: Raster.of(array) for name, array in rasters.items()}
    volume = np.broadcast_to(np.uint8(1), (depth, *ink.shape))
    return Segment(name="s", source="s", levels=(volume,), ink=Raster.of(ink), **flat)


def painted(windows: tuple[Window, ...], shape: tuple[int, int]) -> np.ndarray:
    """Count, voxel by voxel, in how many of the windows it lies."""
    counts = np.zeros(shape, int)
    for window in windows:
        counts[window.yx] += 1
    return counts


@given(
    st.integers(0, 10**6),
    st.integers(60, 330),
    st.integers(60, 330),
    st.sampled_from([16, 20, 32]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["ink", "mask"]),
    st.floats(0.05, 0.5),
)
@settings(max_examples=80)
def test_no_voxel_is_shared_and_both_sides_have_ink_and_background(
    seed: int, height: int, width: int, size: int, overlap: int, sampling: str, share: float
) -> None:
    ink = blobs((height, width), seed)
    segment = segment_of(ink)
    try:
        split = split_segment(
            segment, layers=20, size=size, stride=max(1, size // overlap), sampling=sampling, share=share, seed=seed
        )
    except LabelError as error:
        if "cannot be parted" in str(error) or "windows to learn from" in str(error):
            reject()  # too small for these windows; hypothesis fails if that is common
        raise
    learned, scored = painted(split.train, ink.shape), painted(split.held_out, ink.shape)
    assert scored.max() == 1, "a pixel is scored once"
    assert not (learned & scored).any()
    guard = size // 8
    for box in split.held_out:  # nor anything nearer than the guard band
        near = box.halo(guard).clip(segment.shape)
        assert not learned[near.yx].any()
    for side in (learned > 0, scored > 0):
        assert 0 < ink[side].sum() < side.sum()
    assert all(window.shape == (20, size, size) and window.z == (2, 22) for window in split.train)
    assert split.shares.ink == sum(int(ink[window.yx].sum()) for window in split.train)
    assert split.shares.pixels == len(split.train) * size * size


def test_the_share_is_about_what_was_asked_and_the_seed_decides() -> None:
    ink = blobs((640, 640), 1)
    segment = segment_of(ink)
    splits = [split_segment(segment, size=32, stride=16, share=0.2, seed=seed) for seed in (1, 1, 2)]
    assert splits[0] == splits[1]
    assert splits[0].held_out != splits[2].held_out
    for split in splits:
        scored = painted(split.held_out, ink.shape) > 0
        assert 0.15 <= scored.mean() <= 0.25
        assert ink[scored].mean() == pytest.approx(ink.mean(), rel=0.4)


def test_ordered_is_the_reports_cut_and_says_that_it_leaks() -> None:
    ink = blobs((200, 200), 2)
    segment = segment_of(ink)
    split = split_segment(segment, size=40, stride=20, sampling="mask", split="ordered", share=0.1)
    order = [(y, x) for y in range(0, 161, 20) for x in range(0, 161, 20)]
    cut = int(len(order) * 0.9)
    assert [(window.y[0], window.x[0]) for window in split.train] == order[:cut]
    expected = np.zeros(ink.shape, int)
    for y, x in order[cut:]:
        expected[y : y + 40, x : x + 40] = 1
    assert np.array_equal(painted(split.held_out, ink.shape), expected)
    leaking = sum(bool(expected[y : y + 40, x : x + 40].any()) for y, x in order[:cut])
    assert split.warnings[-1].startswith(f"{leaking} of {cut} training windows share voxels")


def test_a_region_is_held_out_and_nothing_near_it_is_learned() -> None:
    ink = blobs((200, 300), 3)
    segment = segment_of(ink)
    split = split_segment(
        segment, size=32, stride=16, sampling="mask", region=(0, 160, 0, 300), held_out_region=(0, 200, 150, 300)
    )
    assert split.by == "region"
    assert [box.box for box in split.held_out] == [(0, 160, 150, 300)]
    assert max(window.x[1] for window in split.train) <= 150 - 4
    assert max(window.y[1] for window in split.train) <= 160
    for outside in ((0, 20, 400, 500), (0, 201, 150, 300)):
        with pytest.raises(SettingsError, match="held-out region inside s, rows 0:200 and columns 0:300; got 0:20"):
            split_segment(segment, size=32, stride=16, held_out_region=outside)
    with pytest.raises(SettingsError, match="Expected a region inside s, rows 0:200 and columns 0:300"):
        split_segment(segment, size=32, stride=16, region=(0, 200, 0, 301))
    with pytest.raises(SettingsError, match="held-out region inside the region of s, rows 0:160 and columns 0:300"):
        split_segment(segment, size=32, stride=16, region=(0, 160, 0, 300), held_out_region=(160, 200, 0, 300))
    with pytest.raises(LabelError, match="touch what is held out"):
        split_segment(segment, size=32, stride=16, held_out_region=(0, 200, 0, 300))


def test_a_raster_is_held_out_and_only_its_pixels_are_scored() -> None:
    ink = blobs((200, 300), 4)
    held_out = np.zeros_like(ink)
    rows, columns = np.mgrid[:200, :300]
    held_out[(rows - 100) ** 2 + (columns - 200) ** 2 < 50**2] = 1
    supervision = np.ones_like(ink)
    supervision[:, 180:190] = 0
    segment = segment_of(ink, held_out=held_out, supervision=supervision)
    split = split_segment(segment, size=32, stride=16, sampling="mask")
    assert split.by == "raster"
    assert not held_out[painted(split.train, ink.shape) > 0].any()
    scored = np.zeros(ink.shape, int)
    for box in split.held_out:
        scored[box.yx] += split.scored(segment, box)
    assert np.array_equal(scored, (held_out * supervision).astype(int))
    # a region given besides decides where to score, and still nothing held out is learned
    besides = split_segment(segment, size=32, stride=16, sampling="mask", held_out_region=(0, 60, 0, 60))
    assert not held_out[painted(besides.train, ink.shape) > 0].any()
    assert [box.box for box in besides.held_out] == [(0, 60, 0, 60)]


@pytest.mark.parametrize(
    ("ink", "supervision", "words"),
    [(0, 1, "Paint ink"), (1, 1, "every supervised pixel is ink"), (None, 0, "there are none")],
)
def test_labels_that_teach_nothing(ink: int | None, supervision: int, words: str) -> None:
    label = blobs((100, 100), 0) if ink is None else np.full((100, 100), ink, np.float32)
    segment = segment_of(label, supervision=np.full((100, 100), supervision, np.float32))
    with pytest.raises(LabelError, match=words):
        split_segment(segment, size=20, stride=10)


def test_a_missing_label_is_an_error() -> None:
    segment = Segment(name="s", source="s", levels=(np.zeros((20, 50, 50), np.uint8),))
    with pytest.raises(LabelError, match="no ink raster"):
        split_segment(segment, size=20, stride=10)


def test_too_few_blocks_say_what_to_do() -> None:
    ink = np.zeros((40, 40), np.float32)
    ink[:4, :20] = 1
    with pytest.raises(LabelError, match="Give a held-out region or mask"):
        split_segment(segment_of(ink), size=40, stride=40)


def test_little_background_is_warned_about() -> None:
    many = Shares(ink=995, background=5, unsupervised=9000)
    assert "0.50%" in many.warnings[0]
    assert Shares(ink=98, background=2).warnings == ()
    ink = np.ones((200, 200), np.float32)
    ink[::50, ::7] = 0
    split = split_segment(segment_of(ink), size=20, stride=20, split="ordered", share=0.5)
    assert any("ink everywhere" in warning for warning in split.warnings)


boxes = st.lists(st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 8)] * 2), min_size=1, max_size=8)


@given(boxes)
def test_disjoint_covers_the_same_pixels_once(drawn: list[tuple[int, int, int, int]]) -> None:
    windows = [Window((0, 3), (y, y + h), (x, x + w)) for y, x, h, w in drawn]
    before, after = painted(tuple(windows), (20, 20)), painted(disjoint(windows), (20, 20))
    assert np.array_equal(before > 0, after == 1)
    assert after.max() == 1


@given(boxes, boxes)
def test_touched_is_overlap(first: list[tuple[int, int, int, int]], second: list[tuple[int, int, int, int]]) -> None:
    a, b = ([Window((0, 3), (y, y + h), (x, x + w)) for y, x, h, w in drawn] for drawn in (first, second))
    assert touched(a, b).tolist() == [any(window.overlaps(box) for box in b) for window in a]
    assert not touched(a, []).any()


def test_scored_without_a_raster_is_what_is_supervised() -> None:
    supervision = np.zeros((40, 40), np.float32)
    supervision[:10] = 1
    segment = segment_of(blobs((40, 40), 0), supervision=supervision)
    split = Split(train=(), held_out=(), shares=Shares(), by="blocks")
    assert np.array_equal(split.scored(segment, Window((0, 1), (0, 40), (0, 40))), supervision == 1)
