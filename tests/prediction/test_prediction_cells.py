"""Cells: tiles come out as if read at once, and nothing is held that no tile needs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.prediction.cells import Cells, cell_size
from volumen.prediction.plan import TilePlan
from volumen.windows import Window


@given(st.integers(1, 90), st.integers(1, 90), st.tuples(st.integers(1, 50), st.integers(1, 100)), st.integers(0, 12))
@settings(max_examples=200)
def test_tiles_equal_reading_at_once(height: int, width: int, size: tuple[int, int], overlap: int) -> None:
    volume = np.random.default_rng(0).integers(0, 2**16, (4, height, width), dtype=np.uint16)
    plan = TilePlan(volume=volume.shape, region=Window.whole(volume.shape), tile=24, overlap=overlap, stride=8)
    cells = Cells(lambda w: volume[w.zyx], volume=volume.shape, tiles=plan.tiles, size=size)
    padded = np.pad(volume, ((0, 0), (0, 8), (0, 8)), mode="reflect") if min(height, width) > 8 else None
    for tile in plan.tiles:
        got = cells.tile(tile)
        assert got.shape == plan.shape
        inside = tile.window.clip(volume.shape)
        np.testing.assert_array_equal(got[:, : inside.shape[1], : inside.shape[2]], volume[inside.zyx])
        if padded is not None:
            np.testing.assert_array_equal(got, padded[tile.window.zyx])
    assert cells.held_bytes == 0


def test_memory_does_not_grow_with_the_height() -> None:
    def most(height: int) -> int:
        shape = (2, height, 256)
        plan = TilePlan(volume=shape, region=Window.whole(shape), tile=64, overlap=16, stride=16)
        cells = Cells(lambda w: np.zeros(w.shape, np.uint8), volume=shape, tiles=plan.tiles, size=32)
        held = []
        for tile in plan.tiles:
            cells.tile(tile)
            held.append(cells.held_bytes)
        return max(held)

    assert most(4000) == most(1000) < 2 * (64 + 2 * 32) * 256


def test_a_cell_holds_whole_chunks() -> None:
    sides = [cell_size((side, side))[0] for side in (1, 64, 100, 128, 256, 300, 1000)]
    assert sides == [256, 256, 300, 256, 256, 300, 1000]
    assert cell_size((64, 96)) == (256, 288)
    assert cell_size((1, 40_000)) == (256, 40_000)
    assert cell_size((4096, 4096)) == (1024, 4096)


def test_nothing_is_read_beyond_the_tiles() -> None:
    shape = (2, 300, 300)
    plan = TilePlan(volume=shape, region=Window((0, 2), (70, 190), (80, 210)), tile=64, overlap=8, stride=8)
    read = np.zeros(shape, np.uint8)

    def count(window: Window) -> np.ndarray:
        read[window.zyx] += 1
        return np.zeros(window.shape, np.uint8)

    cells = Cells(count, volume=shape, tiles=plan.tiles, size=(50, 300))
    seen = np.zeros(shape, np.bool_)
    for tile in plan.tiles:
        cells.tile(tile)
        seen[tile.window.zyx] = True
    np.testing.assert_array_equal(read, seen)
