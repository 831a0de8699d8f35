"""Order: the nearest tiles first, and memory that grows with the width of the map, not with its area."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.prediction.cells import Cells
from volumen.prediction.order import near_first
from volumen.prediction.plan import TilePlan
from volumen.prediction.sums import Sums
from volumen.sources.pyramids.probability_map import create_map
from volumen.windows import Window


def plan_of(height: int, width: int, tiling: str = "blend") -> TilePlan:
    shape = (2, height, width)
    return TilePlan(volume=shape, region=Window.whole(shape), tile=64, overlap=16, stride=16, tiling=tiling)


SHARES = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 900), st.integers(1, 900), st.tuples(SHARES, SHARES))
@settings(max_examples=50)
def test_every_batch_comes_once_and_the_first_holds_the_point(
    height: int, width: int, share: tuple[float, float]
) -> None:
    plan, near = plan_of(height, width), (int(share[0] * height), int(share[1] * width))
    batches = [(tile,) for tile in plan.tiles]
    ordered = near_first(batches, near)
    assert sorted(ordered, key=batches.index) == batches
    first = ordered[0][0].keep
    assert first.overlaps(Window(first.z, (near[0], near[0] + 1), (near[1], near[1] + 1)))


@pytest.mark.parametrize("tiling", ["blend", "halo"])
def test_what_is_kept_does_not_grow_with_the_height(tmp_path, tiling: str) -> None:
    def most(height: int) -> tuple[int, int]:
        plan = plan_of(height, 640, tiling)
        tiles = [tile for (tile,) in near_first([(tile,) for tile in plan.tiles], (height // 2, 320))]
        cells = Cells(lambda w: np.zeros(w.shape, np.uint8), volume=plan.volume, tiles=tiles, size=32)
        output = create_map(tmp_path / f"{height}.zarr", shape=plan.volume[1:], settings={}, block=32)
        sums = Sums(plan, plan.tiles, output)
        probability = np.zeros(plan.shape[1:], np.float32)
        held = []
        for tile in tiles:
            cells.tile(tile)
            list(sums.add(tile, probability))
            held.append((cells.held_bytes, sums.held_bytes))
        assert held[-1] == (0, 0)
        return max(source for source, _ in held), max(total for _, total in held)

    def most_of_wide_cells(height: int) -> int:
        plan = plan_of(height, 640, tiling)
        batches = near_first([(tile,) for tile in plan.tiles], (height // 2, 320), rows_only=True)
        tiles = [tile for (tile,) in batches]
        size = (32, 640)
        cells = Cells(lambda w: np.zeros(w.shape, np.uint8), volume=plan.volume, tiles=tiles, size=size)
        held = []
        for tile in tiles:
            cells.tile(tile)
            held.append(cells.held_bytes)
        return max(held)

    assert most_of_wide_cells(1000) <= most_of_wide_cells(2000) < 2 * 2 * (64 + 2 * 32) * 640

    two_rows_and_a_square = 2 * 640 + 4 * 7 * 64  # px along which something is kept
    for source, total in (most(1000), most(2000), most(6000)):
        assert source < 2 * (16 + 2 * 32) * two_rows_and_a_square
        assert total < 2 * 4 * (16 + 2 * 32) * two_rows_and_a_square  # float32 sums and their weights
