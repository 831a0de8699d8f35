from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.crops.counts import PixelCounts
from volumen.crops.select import centre_layers, place_windows, select_crops, spread
from volumen.crops.shares import Shares
from volumen.errors import LabelError, SettingsError
from volumen.sources.labels.beside import open_raster
from volumen.sources.labels.rasters import Raster
from volumen.sources.location import Location
from volumen.sources.segment import Segment
from volumen.windows import Size, Window, height_width

LABELS = Path(__file__).parents[3] / "shared" / "data" / "ink_labels"


def segment_of(ink: np.ndarray, *, depth: int = 20, **rasters: np.ndarray) -> Segment:
    volume = np.broadcast_to(np.uint8(1), (depth, *ink.shape))
    flat = {name: Raster.of(array) for name, array in rasters.items()}
    return Segment(name="s", source="s", levels=(volume,), ink=Raster.of(ink), **flat)


def noise(shape: tuple[int, int], seed: int, share: float = 0.5) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) < share).astype(np.float32)


@pytest.mark.parametrize(
    ("depth", "layers", "expected"),
    [
        (65, 20, (22, 42)),
        (65, 65, (0, 65)),
        (21, 20, (0, 20)),
        (33, 17, (8, 25)),
        (109, 26, (41, 67)),
        (21, (3, 9), (3, 9)),
    ],
)
def test_centre_layers(depth: int, layers: int | tuple[int, int], expected: tuple[int, int]) -> None:
    assert centre_layers(depth, layers) == expected


@pytest.mark.parametrize("layers", [22, (5, 22), (-1, 4), (4, 4)])
def test_layers_that_are_not_there(layers: int | tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match=r"volume's 21; got .*(22|-1|4)"):
        centre_layers(21, layers)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 30), st.integers(1, 40), st.integers(0, 9))
@settings(max_examples=200)
def test_placed_windows_are_all_that_fit_on_the_grid(height: int, width: int, size: int, stride: int, at: int) -> None:
    within = Window((0, 2), (at, at + height), (2 * at, 2 * at + width))
    got = {(window.y[0] - at, window.x[0] - 2 * at) for window in place_windows(within, size, stride)}
    ys = [y for y in range(0, height, stride) if y + size <= height] or [0]
    xs = [x for x in range(0, width, stride) if x + size <= width] or [0]
    assert got == {(y, x) for y in ys for x in xs}


sides = st.one_of(st.integers(1, 30), st.tuples(st.integers(1, 30), st.integers(1, 30)))


@given(st.integers(1, 90), st.integers(1, 90), sides, sides)
@settings(max_examples=200)
def test_windows_to_the_end_are_those_that_fit_and_the_last_place(
    height: int, width: int, size: Size, stride: Size
) -> None:
    within = Window((0, 2), (0, height), (0, width))
    (h, w), (down, right) = height_width(size), height_width(stride)
    inner, all_of_it = (place_windows(within, size, stride, to_end=to_end) for to_end in (False, True))
    ys = {*range(0, max(1, height - h + 1), down), max(0, height - h)}
    xs = {*range(0, max(1, width - w + 1), right), max(0, width - w)}
    assert {(window.y[0], window.x[0]) for window in all_of_it} == {(y, x) for y in ys for x in xs}
    assert {window.shape for window in all_of_it} == {(2, h, w)}
    assert len({*all_of_it}) == len(all_of_it)
    assert {*inner} <= {*all_of_it}
    covered = np.zeros((height, width), bool)
    for window in all_of_it:
        covered[window.clip((2, height, width)).yx] = True
    if down <= h and right <= w:
        assert covered.all()


@given(st.integers(0, 40), st.integers(0, 60))
def test_spread_keeps_first_and_last_and_no_item_twice(count: int, length: int) -> None:
    chosen = spread(range(length), count)
    assert len({*chosen}) == len(chosen) == min(count, length)
    if len(chosen) > 1:
        assert (chosen[0], chosen[-1]) == (0, length - 1)
        gaps = np.diff(chosen)
        assert gaps.max() - gaps.min() <= 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 700), st.integers(1, 60))
@settings(max_examples=60)
def test_counts_are_those_of_the_pixels(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    ink, mask, supervision = (noise((height, width), seed + k) for k in range(3))
    segment = segment_of(ink, mask=mask, supervision=supervision)
    ys, xs = np.sort(rng.integers(0, height + 1, 2)), np.sort(rng.integers(0, width + 20, 2))
    within = Window((0, 20), (0, height), (0, width))
    window = Window((0, 20), (int(ys[0]), int(ys[1])), (int(xs[0]), int(xs[1])))
    got = PixelCounts.of(segment, within, window.y).shares(window)
    trusted = supervision[window.yx] > 0.5
    label = ink[window.yx] > 0.5
    inked, clean = int((label & trusted).sum()), int((~label & trusted).sum())
    area = window.shape[1] * window.shape[2]
    assert got == Shares(
        ink=inked, background=clean, unsupervised=area - inked - clean, papyrus=int(mask[window.yx].sum())
    )


def test_the_five_per_cent_rule_counts_supervised_ink_above_one_half() -> None:
    ink = np.zeros((20, 120), np.float32)
    ink[:2, 0:10] = 1  # exactly 5 % of the window's 400 px
    ink[:2, 40:49] = 1  # less
    ink[:, 80:100] = 0.45  # a mean far above 5 %, but no pixel above one half
    ink[:5, 100:120] = 1  # plenty, not supervised
    supervision = np.ones_like(ink)
    supervision[:5, 100:120] = 0
    segment = segment_of(ink, supervision=supervision)
    within = segment.window
    counts = PixelCounts.of(segment, within, (0, 20))
    windows = place_windows(within, 20, 20)
    kept = select_crops(counts, windows, sampling="ink", min_ink=0.05)
    assert [crop.window.x for crop in kept] == [(0, 20)]
    assert len(select_crops(counts, windows, sampling="mask")) == 6


def test_the_mask_rule() -> None:
    ink = noise((20, 80), 1)
    mask = np.ones_like(ink)
    mask[:, :11], mask[0, 20], mask[:, 60:] = 0, 0, 0
    segment = segment_of(ink, mask=mask)
    counts = PixelCounts.of(segment, segment.window, (0, 20))
    windows = place_windows(segment.window, 20, 20)
    assert [c.window.x[0] for c in select_crops(counts, windows, sampling="mask")] == [20, 40]
    assert [c.window.x[0] for c in select_crops(counts, windows, sampling="mask", min_papyrus=1)] == [40]
    with pytest.raises(LabelError, match="of 1, 0 are supervised papyrus"):
        select_crops(counts, windows[3:], sampling="mask")


@pytest.mark.skipif(not LABELS.exists(), reason="the real ink labels are not beside the repository")
def test_the_reports_segment_has_118_tiles_of_448() -> None:
    ink = open_raster(Location.of(str(LABELS / "20230827161847_inklabels.png")))
    height, width = ink.shape
    segment = Segment(name="r", source="r", levels=(np.broadcast_to(np.uint8(1), (65, height, width)),), ink=ink)
    windows = place_windows(segment.window, 320, 320)
    counts = PixelCounts.of(segment, segment.window, [row for window in windows for row in window.y])
    assert len(windows) == 448
    assert len(select_crops(counts, windows, min_ink=0.05, min_papyrus=1)) == 118
