"""Cells: tiles come out as if read at once, and nothing is held that no tile needs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.prediction.cells import Cells, cell_side
from volumen.prediction.plan import TilePlan
from volumen.windows import Window


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 50), st.integers(0, 12))
@settings(max_examples=200)
def test_tiles_equal_reading_at_once(height: int, width: int, side: int, overlap: int) -> None:
    volume = np.random.default_rng(0).integers(0, 2**16, (4, height, width), dtype=np.uint16)
    plan = TilePlan(volume=volume.shape, region=Window.whole(volume.shape), tile=24, overlap=overlap, stride=8)
    cells = Cells(lambda w: volume[w.zyx], volume=volume.shape, tiles=plan.tiles, side=side)
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
        cells = Cells(lambda w: np.zeros(w.shape, np.uint8), volume=shape, tiles=plan.tiles, side=32)
        held = []
        for tile in plan.tiles:
            cells.tile(tile)
            held.append(cells.held_bytes)
        return max(held)

    assert most(4000) == most(1000) < 2 * (64 + 2 * 32) * 256


def test_a_cell_holds_whole_chunks() -> None:
    sides = [cell_side((side, side)) for side in (1, 64, 100, 128, 256, 300, 1000)]
    assert sides == [256, 256, 300, 256, 256, 300, 1000]
    assert cell_side((64, 96)) == 384
    assert cell_side((1, 40_000)) == cell_side((4096, 4096)) == 1024
