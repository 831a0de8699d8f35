"""The plan: what tiles must be, for any size, tile, overlap and region."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.errors import SettingsError
from volumen.prediction.plan import TilePlan
from volumen.windows import Window


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    stride = draw(st.sampled_from([1, 4, 32]))
    tiling = draw(st.sampled_from(["blend", "halo"]))
    tile = stride * draw(st.integers(2, 8))
    most = (tile - stride) // (1 if tiling == "blend" else 2) // stride * stride
    overlap = draw(st.integers(0, most))
    height, width = draw(st.integers(1, 6 * tile)), draw(st.integers(1, 6 * tile))
    y0, x0 = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    y1, x1 = draw(st.integers(y0 + 1, height)), draw(st.integers(x0 + 1, width))
    return TilePlan(
        volume=(9, height, width),
        region=Window((2, 7), (y0, y1), (x0, x1)),
        tile=tile,
        overlap=overlap,
        tiling=tiling,
        stride=stride,
    )


@given(plans())
@settings(max_examples=400)
def test_tiles_have_one_shape_on_the_strides_grid_and_hardly_leave_the_volume(plan: TilePlan) -> None:
    for tile in plan.tiles:
        assert tile.window.shape == plan.shape
        assert tile.window.z == plan.region.z
        assert max(plan.shape[1:]) <= plan.tile
        for (start, stop), length in zip((tile.window.y, tile.window.x), plan.volume[1:], strict=True):
            assert start >= 0
            assert start % plan.stride == 0
            assert stop < length + plan.stride
    corners = [(tile.window.y[0], tile.window.x[0]) for tile in plan.tiles]
    assert corners == sorted(corners)


@given(plans())
@settings(max_examples=400)
def test_every_pixel_is_kept_and_halo_keeps_it_once(plan: TilePlan) -> None:
    kept = np.zeros(plan.volume[1:], int)
    for tile in plan.tiles:
        assert tile.keep & tile.window == tile.keep
        kept[tile.keep.yx] += 1
    inside = kept[plan.region.yx]
    assert inside.min() >= 1
    assert inside.sum() == kept.sum()
    if plan.tiling == "halo":
        assert inside.max() == 1


@given(plans())
@settings(max_examples=400)
def test_no_kept_pixel_of_a_halo_tile_is_near_an_edge_that_has_volume_beyond(plan: TilePlan) -> None:
    if plan.tiling == "blend":
        for axis in ("y", "x"):
            ranges = sorted({getattr(tile.window, axis) for tile in plan.tiles})
            assert all(left[1] - right[0] >= plan.shared for left, right in pairwise(ranges))
        return
    for tile in plan.tiles:
        for (start, stop), (first, last), length in zip(
            (tile.window.y, tile.window.x), (tile.keep.y, tile.keep.x), plan.volume[1:], strict=True
        ):
            assert start == 0 or first - start >= plan.overlap
            assert stop >= length or stop - last >= plan.overlap


def test_nothing_is_computed_for_a_round_number() -> None:
    plan = TilePlan(volume=(20, 2048, 2048), region=Window.whole((20, 2048, 2048)), tile=512, overlap=64)
    assert plan.shape == (20, 480, 480)
    assert plan.computed == pytest.approx(25 * 480**2 / 2048**2)
    small = TilePlan(volume=(20, 33, 1000), region=Window.whole((20, 33, 1000)), tile=512, overlap=64)
    assert small.shape == (20, 64, 384)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tile": 100}, "multiple of the network's stride of 32 px; got 100"),
        ({"tile": 64, "overlap": 64}, "larger tile or a smaller overlap than 64"),
        ({"tile": 128, "overlap": 64, "tiling": "halo"}, "larger tile or a smaller overlap than 64"),
        ({"overlap": -1}, "overlap at least 0"),
        ({"tiling": "gauss"}, "blend, halo"),
        ({"region": Window((0, 9), (0, 101), (0, 100))}, "inside the volume"),
        ({"region": Window((0, 9), (5, 5), (0, 100))}, "must hold pixels"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object], message: str) -> None:
    region = Window((0, 9), (0, 100), (0, 100))
    fields: dict[str, object] = {"volume": (9, 100, 100), "region": region, "tile": 512, "overlap": 64}
    with pytest.raises(SettingsError, match=message):
        TilePlan(**{**fields, **wrong})  # type: ignore[arg-type]
