from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumen.errors import SettingsError
from volumen.windows import Window, grid, starts

SHAPE = (6, 12, 14)


def ranges(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda pair: (min(pair), max(pair)))


anywhere = st.builds(Window, ranges(-4, 9), ranges(-4, 16), ranges(-4, 18))
within = st.builds(Window, ranges(0, 6), ranges(0, 12), ranges(0, 14))


def voxels(window: Window) -> set[tuple[int, int, int]]:
    return {(z, y, x) for z in range(*window.z) for y in range(*window.y) for x in range(*window.x)}


@given(anywhere, anywhere)
def test_and_is_the_set_of_shared_voxels(a: Window, b: Window) -> None:
    assert voxels(a & b) == voxels(a) & voxels(b)
    assert a.overlaps(b) == bool(voxels(a) & voxels(b)) == b.overlaps(a)
    assert (a & b).empty == (not voxels(a & b))


@given(anywhere, anywhere)
def test_or_is_the_smallest_box_around_both(a: Window, b: Window) -> None:
    both = a | b
    assert both & a == a
    assert both & b == b
    for axis in ("z", "y", "x"):
        edges = [*getattr(a, axis), *getattr(b, axis)]
        assert getattr(both, axis) == (min(edges), max(edges))


@given(anywhere)
def test_clip_cuts_to_the_volume(window: Window) -> None:
    assert voxels(window.clip(SHAPE)) == voxels(window) & voxels(Window.whole(SHAPE))


@given(within)
def test_slices_read_the_window(window: Window) -> None:
    volume = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    read = volume[window.zyx]
    assert read.shape == window.shape
    assert set(read.ravel().tolist()) == {int(np.ravel_multi_index(voxel, SHAPE)) for voxel in voxels(window)}
    assert volume[0][window.yx].shape == window.shape[1:]
    assert window.box == (*window.y, *window.x)


@given(within, anywhere)
def test_inside_finds_the_same_voxels_in_a_part(window: Window, outer: Window) -> None:
    part = window & outer
    if part.empty:
        return
    volume = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    padded = np.pad(volume, 8)
    shifted = Window(*((start + 8, stop + 8) for start, stop in (outer.z, outer.y, outer.x)))
    assert np.array_equal(padded[shifted.zyx][part.inside(outer).zyx], volume[part.zyx])


@given(anywhere, st.integers(0, 5))
def test_halo_is_undone_by_its_inside(window: Window, pixels: int) -> None:
    grown = window.halo(pixels)
    assert grown.shape == (window.shape[0], window.shape[1] + 2 * pixels, window.shape[2] + 2 * pixels)
    at = window.inside(grown)
    assert (at.z[0], at.y[0], at.x[0]) == (0, pixels, pixels)
    assert at.shape == window.shape


def test_layers_and_order() -> None:
    window = Window((0, 20), (4, 8), (0, 2))
    assert window.layers(3, 5) == Window((3, 5), (4, 8), (0, 2))
    assert sorted([window, Window((0, 20), (0, 8), (9, 10))])[1] == window


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_range_that_ends_before_it_starts(axis: str) -> None:
    bounds = {"z": (0, 1), "y": (0, 1), "x": (0, 1)} | {axis: (5, 3)}
    with pytest.raises(SettingsError, match=f"{axis} range .* got 5:3"):
        Window(**bounds)


@given(st.integers(0, 200), st.integers(1, 60), st.integers(1, 60))
def test_starts_reach_the_end_and_not_further_than_needed(length: int, size: int, stride: int) -> None:
    got = starts(length, size, stride)
    assert got == [index * stride for index in range(len(got))]
    assert got[-1] + size >= length
    assert len(got) == 1 or got[-2] + size < length


@given(ranges(-5, 40), ranges(-5, 40), st.integers(1, 15), st.integers(1, 15))
def test_grid_covers_everything_when_windows_touch(y: tuple, x: tuple, size: int, stride: int) -> None:
    area = Window((1, 3), y, x)
    windows = list(grid(area, size, min(stride, size)))
    assert {window.shape for window in windows} == {(2, size, size)}
    assert len(set(windows)) == len(windows)
    assert windows == sorted(windows)
    covered = set().union(*(voxels(window) for window in windows))
    assert voxels(area) <= covered


@pytest.mark.parametrize(("size", "stride"), [(0, 1), (1, 0), (-3, 2)])
def test_sizes_below_one(size: int, stride: int) -> None:
    with pytest.raises(SettingsError, match="at least 1"):
        starts(10, size, stride)
