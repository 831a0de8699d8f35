from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from volumen.errors import SettingsError
from volumen.views.ink import ink, is_written, written_columns
from volumen.views.permutations import distant_permutations
from volumen.views.pretext import Puzzle, gather
from volumen.views.squares import Square
from volumen.views.tiles import Jigsaw, Sorting
from volumen.views.turns import Flip, Rotation

TASKS = (Rotation(), Flip(), Flip(every=True), Jigsaw(), Sorting())
SIZES = [(64, 200), (64, 13), (32, 700), (64, 1), (3, 3)]


def paper(height: int = 64, width: int = 200, grey: float = 0.9) -> torch.Tensor:
    return torch.full((1, height, width), grey)


def scribble(height: int = 64, width: int = 200, seed: int = 0) -> torch.Tensor:
    """Return dark strokes all over light paper."""
    noise = torch.rand(1, height, width, generator=torch.Generator().manual_seed(seed))
    return torch.where(noise < 0.25, 0.1, 0.9)


def solve(task, image, seed=0):
    return task.apply(task.draw(np.random.default_rng(seed)), image)


def test_ink_is_what_differs_from_the_paper_darker_or_lighter():
    image = paper()
    image[:, 20:30, 50:90] = 0.2
    image[:, 10:14, 100:120] = 1.0  # too faint
    assert ink(image).nonzero().amin(dim=0).tolist() == [20, 50]
    assert written_columns(ink(image)) == written_columns(ink(1 - image)) == (50, 90)
    assert int(ink(image).sum()) == 400
    assert is_written(ink(image))
    assert not is_written(ink(image)[:, 90:])
    assert written_columns(ink(paper())) == (0, 200)


def test_a_speck_is_neither_ink_to_trim_to_nor_writing():
    image = paper()
    image[:, 20:30, 50:90] = 0.2
    image[0, 5, 3] = 0
    assert written_columns(ink(image)) == (50, 90)
    assert not is_written(ink(image)[:, :40])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("size", SIZES)
def test_puzzles_of_lines_of_any_size_keep_range_and_leave_their_input_alone(task, size):
    for image in (scribble(*size), torch.rand(1, *size)):
        before = image.clone()
        puzzle = solve(task, image)
        assert torch.equal(image, before)
        assert len(puzzle.images) == len(puzzle.targets)
        assert puzzle.counted.shape == puzzle.targets.shape
        for shown in puzzle.images:
            assert shown.dtype == torch.float32
            assert 0 <= float(shown.min()) <= float(shown.max()) <= 1


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_decides_all_and_the_processs_own_draws_are_left_alone(task):
    image = torch.rand(1, 64, 200)
    state = torch.random.get_rng_state()
    first, again = solve(task, image, 3), solve(task, image, 3)
    others = [solve(task, image, seed) for seed in range(4, 8)]
    assert all(map(torch.equal, first.images, again.images))
    assert torch.equal(first.targets, again.targets)
    assert any(
        other.images[0].shape != first.images[0].shape or not torch.equal(other.images[0], first.images[0])
        for other in others
    )
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("task", TASKS)
def test_nothing_counts_on_blank_paper(task):
    assert not solve(task, paper()).counted.any()
    assert solve(task, scribble()).counted.all()


def test_rotations_are_quarter_turns_of_one_square_of_the_line():
    puzzle = solve(Rotation(side=32), scribble())
    upright = puzzle.images[0]
    assert puzzle.targets.tolist() == [0, 1, 2, 3]
    for turns, shown in zip(puzzle.targets.tolist(), puzzle.images, strict=True):
        expected = np.rot90(upright[0].numpy(), turns)
        np.testing.assert_array_equal(shown[0], expected)
    single = [solve(Rotation(side=32, every=False), scribble(), seed) for seed in range(200)]
    counts = Counter(int(puzzle.targets) for puzzle in single)
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 30


def test_squares_are_cut_from_what_is_written_and_show_it_upright():
    image = paper(64, 400)
    image[:, :, 200:300] = torch.linspace(0.0, 0.5, 100)
    seen = [Square.draw(np.random.default_rng(seed)).cut(image, 64) for seed in range(50)]
    for patch in seen:
        # at the ends a square may reach half a block out of what is written
        assert float(patch[0, :, 6:-6].max()) <= 0.5 + 1e-6
        assert float(patch[0, :, 6:-6].diff(dim=1).min()) >= 0
        torch.testing.assert_close(patch[0, 0], patch[0, -1])
    slopes = [float(patch[0, 0].diff().median()) for patch in seen]
    assert 0.75 <= min(slopes) / (0.5 / 99) * (1 + 1e-3) < max(slopes) / (0.5 / 99) < 0.95 * (1 + 1e-3)
    lefts = [float(patch[:, :, 6:-6].min()) for patch in seen]
    assert min(lefts) < 0.04
    assert max(lefts) > 0.12


def test_a_square_of_a_narrow_word_is_centred_on_it():
    image = paper(64, 300)
    image[:, :, 200:210] = 0.1
    patch = Square(zoom=1.0, along=0.5, down=0.5, aside=0.5).cut(image, 64)
    dark = (patch[0, 32] < 0.5).nonzero().flatten()
    assert int(dark[-1]) - int(dark[0]) == 9
    assert abs(int(dark[0]) - 27) <= 4  # half a block


def test_squares_of_lines_much_smaller_than_them_do_not_count():
    assert not solve(Rotation(), scribble(64, 20)).counted.any()
    assert solve(Rotation(side=32), scribble(64, 20)).counted.all()
    assert not solve(Jigsaw(), scribble(64, 20)).counted.any()


def test_flips_are_flips_of_one_line():
    puzzle = solve(Flip(every=True), scribble())
    plain = puzzle.images[0].numpy()
    expected = [plain, plain[:, :, ::-1], plain[:, ::-1], plain[:, ::-1, ::-1]]
    for kind, shown in zip(puzzle.targets.tolist(), puzzle.images, strict=True):
        np.testing.assert_array_equal(shown, expected[kind])
    counts = Counter(int(solve(Flip(), scribble(16, 16), seed).targets) for seed in range(200))
    assert min(counts[kind] for kind in range(4)) > 30


def test_a_flip_keeps_height_and_pixels_and_draws_its_margins_alike_on_both_sides():
    image = paper(32, 300)
    image[:, 8:24, 50:150] = 0.1
    margins = []
    for seed in range(300):
        task = Flip(every=True)
        shown = solve(task, image, seed).images[0]
        dark = (shown[0] < 0.5).nonzero()
        margins.append((int(dark[:, 1].min()), shown.shape[2] - 1 - int(dark[:, 1].max()), int(dark[:, 0].min())))
        assert shown.shape[1] == 32
        assert set(shown.unique().tolist()) == set(image.unique().tolist())
    left, right, top = np.array(margins).T
    assert set(left) == set(right) == {0, 1, 2, 3, 4}
    assert set(top) == set(range(21))  # 16 rows that are written, of which 4 may be cut off
    assert np.bincount(left).tolist() == pytest.approx(np.bincount(right).tolist(), abs=40)


def test_distant_permutations_are_different_everywhere_while_they_can_be():
    for places in (3, 4, 5, 9):
        orders = np.array(distant_permutations(places, places))
        assert all(sorted(order) == list(range(places)) for order in orders)
        assert all(sorted(column) == list(range(places)) for column in orders.T)


def test_distant_permutations_are_farther_apart_than_drawn_ones_and_the_same_every_time():
    def nearest(orders):
        distance = (orders[:, None] != orders).sum(axis=2) + 99 * np.eye(len(orders), dtype=int)
        return distance.min(axis=1)

    orders = np.array(distant_permutations(9, 100))
    drawn = np.array([np.random.default_rng(seed).permutation(9) for seed in range(100)])
    assert nearest(orders).min() >= 6 > nearest(drawn).min()
    assert len({tuple(order) for order in orders.tolist()}) == 100
    few = distant_permutations(7, 10)
    assert few == distant_permutations(7, 30)[:10]
    assert few != distant_permutations(7, 10, seed=1)
    distant_permutations.cache_clear()
    assert few == distant_permutations(7, 10)


def test_all_orders_can_be_had_and_no_more():
    assert len(set(distant_permutations(3, 6))) == 6
    with pytest.raises(SettingsError, match="7 different orders of 3 places"):
        distant_permutations(3, 7)


@pytest.mark.parametrize("tiles", [2, 3])
def test_a_jigsaw_shows_the_tiles_of_a_square_in_its_order(tiles):
    task = Jigsaw(tiles=tiles, orders=6, tile=16, gap=3, jitter=2)
    image = 0.3 + 0.4 * scribble(64, 64)  # so that no shift of a tile's paper is cut off
    drawn = task.draw(np.random.default_rng(5))
    puzzle = task.apply(drawn, image)
    patch = drawn.square.cut(image, tiles * 21)
    shown = puzzle.images[0]
    assert shown.shape == (1, 16 * tiles, 16 * tiles)
    order = task.permutations[int(puzzle.targets)]
    for place, source in enumerate(order):
        row, column = divmod(place, tiles)
        y, x = (21 * step for step in divmod(source, tiles))
        down, along = drawn.places[source]
        tile = shown[0, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        cut = patch[0, y + down : y + down + 16, x + along : x + along + 16]
        torch.testing.assert_close(tile, cut - cut.median() + patch.median())


def test_a_low_jigsaw_lies_in_the_middle_of_paper():
    image = 0.3 + 0.4 * scribble(32, 64)
    low, bare = Jigsaw(tile=7, gap=2, jitter=2, orders=6, height=32), Jigsaw(tile=7, gap=2, jitter=2, orders=6)
    drawn = low.draw(np.random.default_rng(5))
    shown, tiles = low.apply(drawn, image).images[0], bare.apply(drawn, image).images[0]
    assert shown.shape == (1, 32, 21)
    torch.testing.assert_close(shown[:, 5:26], tiles)
    paper = drawn.square.cut(image, 33).median()
    assert (shown[:, :5] == paper).all()
    assert (shown[:, 26:] == paper).all()


def test_tiles_are_moved_by_chance_and_orders_are_drawn_alike():
    places = np.array([Jigsaw().draw(np.random.default_rng(seed)).places for seed in range(300)])
    assert set(places.flatten()) == {0, 1, 2, 3}
    counts = Counter(Jigsaw(tiles=2, orders=4).draw(np.random.default_rng(seed)).order for seed in range(400))
    assert min(counts[order] for order in range(4)) > 60


def test_a_jigsaw_with_mostly_blank_tiles_does_not_count():
    image = paper(64, 64)
    image[:, :, 29:35] = 0.1  # the middle column of tiles
    assert not any(bool(solve(Jigsaw(written=0.5), image, seed).counted) for seed in range(20))
    assert all(bool(solve(Jigsaw(written=0.1), image, seed).counted) for seed in range(20))
    image[:, 26:60] = 0.1
    assert any(bool(solve(Jigsaw(written=0.5), image, seed).counted) for seed in range(20))


def test_sorting_shows_strips_of_the_line_in_its_order():
    task = Sorting(strips=4, gap=4, margin=0)
    image = scribble(32, 100)
    drawn = task.draw(np.random.default_rng(2))
    puzzle = task.apply(drawn, image)
    assert tuple(puzzle.targets[0].tolist()) == drawn.order
    assert puzzle.images[0].shape == (1, 32, 80)  # cells of 25 px, strips of 20
    starts = []
    for place, strip in enumerate(drawn.order):
        shown = puzzle.images[0][:, :, 20 * place : 20 * place + 20]
        found = [x for x in range(81) if torch.equal(image[:, :, x : x + 20], shown)]
        assert len(found) == 1
        assert 25 * strip <= found[0] <= 25 * strip + 1
        starts.append((strip, found[0]))
    ordered = [start for _, start in sorted(starts)]
    assert all(later - earlier >= 24 for earlier, later in itertools.pairwise(ordered))


def test_blank_strips_do_not_count_and_short_lines_have_none_that_do():
    image = paper(32, 200)
    image[:, :, :50] = scribble(32, 50)
    image[:, :, 150:] = scribble(32, 50)
    for seed in range(10):
        puzzle = solve(Sorting(strips=4), image, seed)
        assert puzzle.counted[0].tolist() == [strip in (0, 3) for strip in puzzle.targets[0].tolist()]
    assert not solve(Sorting(strips=4), scribble(32, 40)).counted.any()
    assert solve(Sorting(strips=4), scribble(32, 64)).counted.all()


def test_strips_have_a_whole_number_of_frames_and_all_orders_occur():
    for width in (60, 77, 131, 402):
        shown = solve(Sorting(strips=4), scribble(32, width)).images[0]
        assert shown.shape[2] % (4 * 4) == 0
        assert shown.shape[2] <= width - 4 * 4
    orders = Counter(Sorting(strips=3).draw(np.random.default_rng(seed)).order for seed in range(600))
    assert len(orders) == 6
    assert min(orders.values()) > 60


def test_batches_are_padded_on_the_right_after_all_that_was_done():
    puzzles = [solve(Flip(every=True), scribble(32, width), width) for width in (50, 81)]
    batch = gather(puzzles)
    assert batch.images.shape[:3] == (8, 1, 32)
    assert batch.images.shape[3] % 4 == 0
    assert batch.targets.tolist() == [0, 1, 2, 3] * 2
    images = [image for puzzle in puzzles for image in puzzle.images]
    for row, width, image in zip(batch.images, batch.widths.tolist(), images, strict=True):
        assert torch.equal(row[:, :, :width], image)
        assert not row[:, :, width:].any()


def test_batches_of_other_heights_or_tasks_or_of_nothing_are_refused():
    two = [solve(Flip(), scribble(32, 50)), solve(Flip(), scribble(48, 50))]
    with pytest.raises(SettingsError, match=r"heights \[32, 48\]"):
        gather(two)
    with pytest.raises(SettingsError, match="at least one"):
        gather([])
    with pytest.raises(SettingsError, match="one task"):
        gather([solve(Sorting(), scribble(32, 50)), two[0]])


def test_bad_settings_are_named():
    for make, words in (
        (lambda: Rotation(side=1), "at least 2 px"),
        (lambda: Flip(margin=-1), "not below 0"),
        (lambda: Jigsaw(tiles=1), "2 × 2"),
        (lambda: Jigsaw(tiles=2, orders=25), "25 different orders"),
        (lambda: Sorting(strips=1), "two strips"),
    ):
        with pytest.raises(SettingsError, match=words):
            make()


def test_a_puzzle_is_what_it_was_made_of():
    one = Puzzle(images=(paper(8, 8),), targets=torch.tensor([1]), counted=torch.tensor([False]))
    batch = gather([one, one])
    assert not batch.counted.any()
    assert batch.widths.tolist() == [8, 8]
