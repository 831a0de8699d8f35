"""Boxes against a flood fill over single pixels, and found block by block against found at once."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.errors import LabelError, SettingsError
from volumen.evaluation.boxes import Box, BoxFinder, find_boxes


def flood(probability: np.ndarray, threshold: float, gap: int) -> list[Box]:
    """Boxes by their definition: pixels at most ``gap`` apart, one after another."""
    left = {(int(y), int(x)) for y, x in np.argwhere(probability >= threshold)}
    boxes = []
    while left:
        queue = [left.pop()]
        whole = list(queue)
        while queue:
            y, x = queue.pop()
            near = {(v, u) for v, u in left if max(abs(v - y), abs(u - x)) <= gap + 1}
            left -= near
            queue += near
            whole += near
        ys, xs = zip(*whole, strict=True)
        score = float(np.mean([probability[at] for at in whole]))
        boxes.append(Box(min(ys), max(ys) + 1, min(xs), max(xs) + 1, len(whole), score))
    return sorted(boxes)


def check_alike(found: list[Box], expected: list[Box]) -> None:
    assert [(b.y0, b.y1, b.x0, b.x1, b.area) for b in found] == [(b.y0, b.y1, b.x0, b.x1, b.area) for b in expected]
    assert [b.score for b in found] == pytest.approx([b.score for b in expected], abs=1e-5)  # of 65,536 levels


@given(
    seed=st.integers(0, 10_000),
    density=st.floats(0.02, 0.6),
    gap=st.integers(0, 5),
    block=st.integers(1, 14),
    shape=st.tuples(st.integers(1, 22), st.integers(1, 22)),
)
@settings(max_examples=150, deadline=None)
def test_boxes_equal_a_flood_fill_whatever_the_blocks(
    seed: int, density: float, gap: int, block: int, shape: tuple[int, int]
) -> None:
    random = np.random.default_rng(seed)
    probability = np.where(random.random(shape) < density, 0.5 + 0.5 * random.random(shape), 0.4 * random.random(shape))
    expected = flood(probability, 0.5, gap)
    whole = find_boxes(probability, gap=gap)
    check_alike(whole, expected)
    assert find_boxes(probability, gap=gap, block=block) == whole


def test_a_letter_across_four_blocks_is_one_box() -> None:
    letter = np.zeros((64, 64), np.uint8)
    letter[20:44, 30:34] = letter[30:34, 20:44] = 200
    (box,) = find_boxes(letter, block=32)
    assert (box.y0, box.y1, box.x0, box.x1) == (20, 44, 20, 44)
    assert box.area == 2 * 24 * 4 - 16
    assert box.score == pytest.approx(200 / 255)


def test_parts_that_meet_only_far_below_are_one_box() -> None:
    comb = np.zeros((40, 33), np.uint8)
    comb[:, ::4] = comb[39] = 255  # nine teeth, joined in the last row
    (box,) = find_boxes(comb, block=8)
    assert (box.y0, box.y1, box.x0, box.x1, box.area) == (0, 40, 0, 33, int((comb > 0).sum()))


def test_small_ones_are_left_out_by_their_called_pixels() -> None:
    image = np.zeros((8, 8))
    image[0, 0] = image[4, 4:7] = 0.9
    assert [box.area for box in find_boxes(image)] == [1, 3]
    assert [box.area for box in find_boxes(image, min_area=2, block=5)] == [3]
    # a bridged gap adds to the box, not to the area
    (box,) = find_boxes(np.array([[0.9, 0.0, 0.0, 0.7]]), gap=2, block=2)
    assert box == Box(0, 1, 0, 4, 2, pytest.approx(0.8, abs=1e-5))


def test_the_threshold_counts_what_is_equal_to_it_and_never_what_is_zero() -> None:
    image = np.array([[0, 127, 0, 128, 0, 255]], np.uint8)
    assert [box.x0 for box in find_boxes(image, threshold=128 / 255)] == [3, 5]
    assert [box.x0 for box in find_boxes(image, threshold=1e-9)] == [1, 3, 5]
    assert find_boxes(np.zeros((0, 0))) == []


def test_memory_does_not_grow_with_the_height() -> None:
    random = np.random.default_rng(0)
    noise = (random.random((128, 256)) < 0.3).astype(np.uint8) * 255
    noise[:, 100] = 255  # one that never ends

    def peak(rows: int) -> int:
        finder = BoxFinder(256, min_area=50, gap=1)
        tracemalloc.start()
        for top in range(0, 128 * rows, 128):
            for left in (0, 128):
                y, x = finder.reach(top, left)
                above = np.concatenate([noise[-1:], noise])[y - top + 1 :]
                list(finder.add(above[:, x : left + 128], top, left))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(1)
    assert peak(24) < 1.5 * peak(3)


def test_bad_input_is_refused() -> None:
    with pytest.raises(SettingsError, match="threshold"):
        find_boxes(np.zeros((2, 2)), threshold=0)
    with pytest.raises(SettingsError, match="gap"):
        find_boxes(np.zeros((2, 2)), gap=-1)
    with pytest.raises(LabelError, match="sigmoid"):
        find_boxes(np.full((2, 2), 3.0))
