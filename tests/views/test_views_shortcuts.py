"""The shortcut suite: on lines that show no writing, only what a pipeline leaves behind, no answer can be read off.

Each probe is a linear one on features made for the shortcut; what it can find is proved on pipelines that have it.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from volumen.views.pretext import Puzzle, gather
from volumen.views.sequence import SequenceView
from volumen.views.tiles import Jigsaw, Sorting
from volumen.views.turns import Flip, Rotation

HEIGHT, LINES, CHANCE = 32, 300, 0.25
BOUND = 0.39  # four standard deviations above chance, for the half of the lines that is tested on
ORDERS = Jigsaw(tiles=2, orders=4, tile=10, gap=4, jitter=2)
TASKS = {
    "rotation": Rotation(side=HEIGHT),
    "flip": Flip(),
    "jigsaw": ORDERS,
}


def blank(generator, width):
    return np.full((HEIGHT, width), generator.uniform(0.2, 0.9))


def noise(generator, width):
    return generator.uniform(size=(HEIGHT, width))


def smooth(generator, width):
    """Noise whose neighbouring pixels are alike, and no others: what meets at a seam can be seen."""
    field = gaussian_filter(generator.normal(size=(HEIGHT + 16, width + 16)), 1.0)[8:-8, 8:-8]  # alike at its ends
    return (0.5 + 0.15 * field / field.std()).clip(0, 1)


def margins(generator, width):
    """Noise on paper that is wide on the right and narrow on the left, as segmentation often leaves it."""
    page = np.full((HEIGHT, width), 0.9)
    left, right = generator.integers(1, 6), generator.integers(12, 24)
    page[:, left : width - right] = np.where(generator.random((HEIGHT, width - left - right)) < 0.3, 0.1, 0.9)
    return page


def bands(generator, width):
    """Noise with a few blank rows above and many below, as lines cut along their base often have them."""
    page = np.full((HEIGHT, width), 0.9)
    above, below = generator.integers(1, 5), generator.integers(8, 13)
    page[above : HEIGHT - below] = np.where(generator.random((HEIGHT - above - below, width)) < 0.3, 0.1, 0.9)
    return page


def compressed(generator, width):
    """Noise from a file of blocks of eight pixels, which begin at its left and top border."""
    file = io.BytesIO()
    Image.fromarray((255 * smooth(generator, width)).astype(np.uint8)).save(file, "JPEG", quality=5)
    return np.asarray(Image.open(file), dtype=float) / 255


KINDS = {
    "blank": blank,
    "noise": noise,
    "smooth": smooth,
    "margins": margins,
    "bands": bands,
    "compressed": compressed,
}


@cache
def lines(kind, step=1):
    generator = np.random.default_rng(0)
    widths = (step * generator.integers(70 // step, 130 // step, size=LINES)).tolist()
    return [torch.from_numpy(KINDS[kind](generator, width)[None]).float() for width in widths]


def puzzles(task, kind, **options):
    generator = np.random.default_rng(1)
    return [task.apply(task.draw(generator), line) for line in lines(kind, **options)]


def look(image, width):
    """Describe a padded image, 1HW, by all that a shortcut could stand in: places, borders, blocks, padding."""
    image, inner = image[0].numpy(), image[0, :, :width].numpy()
    coarse = image.reshape(4, HEIGHT // 4, -1, 8).mean(axis=(1, 3)) if image.shape[0] == HEIGHT else np.zeros((4, 0))
    steps = [np.abs(np.diff(inner, axis=axis)).mean(axis=1 - axis) for axis in (0, 1)]
    blocks = [
        np.resize(step, 8 * (len(step) // 8)).reshape(-1, 8).mean(axis=0)
        for line in steps
        for step in (line, line[::-1])
    ]
    sides = [
        side for depth in (1, 3, 6) for side in (inner[:depth], inner[-depth:], inner[:, :depth], inner[:, -depth:])
    ]
    return np.concatenate([coarse.flatten(), *blocks, [f(side) for side in sides for f in (np.mean, np.std)], [width]])


def probe(features, targets, groups):
    """Return the accuracy of a ridge classifier on the half of the lines that it was not fitted to."""
    features, targets, held_out = np.array(features), np.array(targets), np.array(groups) % 2 == 1
    features = features - features[~held_out].mean(axis=0)
    features /= features[~held_out].std(axis=0) + 1e-6
    features = np.hstack([features, np.ones((len(features), 1))])
    seen, wanted = features[~held_out], np.eye(targets.max() + 1)[targets[~held_out]]
    weights = np.linalg.solve(seen.T @ seen + 10 * np.eye(seen.shape[1]), seen.T @ wanted)
    return float(((features[held_out] @ weights).argmax(axis=1) == targets[held_out]).mean())


def probe_images(made):
    batch = gather(made, multiple=8)
    groups = [index for index, puzzle in enumerate(made) for _ in puzzle.images]
    described = [look(image, width) for image, width in zip(batch.images, batch.widths.tolist(), strict=True)]
    return probe(described, batch.targets.tolist(), groups)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_classes_cannot_be_told_without_writing(task, kind):
    assert abs(probe_images(puzzles(TASKS[task], kind)) - CHANCE) < BOUND - CHANCE


@pytest.mark.parametrize("kind", KINDS)
def test_flips_cannot_be_told_without_writing_by_their_usual_views(kind):
    """Rotation, Jigsaw and Sorting have none."""
    generator, view, task, made = np.random.default_rng(4), SequenceView(name="handwriting"), Flip(), []
    for line in lines(kind):
        seen = view.apply(view.draw(generator, tuple(line.shape)), line)
        made.append(task.apply(task.draw(generator), seen))
    assert abs(probe_images(made) - CHANCE) < BOUND - CHANCE


def naively_flipped(images):
    """Return puzzles of images that were flipped as they are."""
    generator, made = np.random.default_rng(2), []
    for image in images:
        kind = int(generator.integers(4))
        flipped = torch.flip(image, [axis for axis, bit in ((2, 1), (1, 2)) if kind & bit])
        made.append(Puzzle(images=(flipped,), targets=torch.tensor([kind]), counted=torch.tensor([True])))
    return made


def test_the_probe_finds_padding_that_came_before_the_flip():
    wide = [torch.nn.functional.pad(line, (0, 136 - line.shape[2])) for line in lines("noise")]
    assert probe_images(naively_flipped(wide)) > 0.42


def test_the_probe_finds_margins_that_were_not_cut_off():
    assert probe_images(naively_flipped(lines("margins"))) > 0.45
    assert probe_images(puzzles(Flip(trim=False), "margins")) > BOUND


def test_the_probe_finds_rows_that_were_not_cut_off():
    assert probe_images(naively_flipped(lines("bands"))) > 0.45


def test_the_probe_finds_compression_blocks_that_begin_where_the_file_did():
    assert probe_images(puzzles(Flip(trim=False, margin=0), "compressed")) > BOUND


def seams(parts):
    """Return how well the right border of each part, HW, goes with the left border of each other one."""
    cost = np.array([[np.abs(a[:, -1] - b[:, 0]).mean() for b in parts] for a in parts])
    np.fill_diagonal(cost, cost.max())
    return cost


def strips_of(made, number):
    """Return features of all strips, the place each came from, and its line: itself, and how it goes with others."""
    features, targets, groups = [], [], []
    for index, puzzle in enumerate(made):
        parts = np.split(puzzle.images[0][0].numpy(), number, axis=1)
        cost = seams(parts)
        for place, part in enumerate(parts):
            columns, rows = np.abs(np.diff(part, axis=1)).mean(axis=0), part.reshape(8, -1).mean(axis=1)
            sides = [f(side) for side in (part[:, :2], part[:, -2:]) for f in (np.mean, np.std)]
            blocks = np.resize(columns, 8)
            features.append([part.mean(), part.std(), *sides, *rows, *blocks, cost[place].min(), cost[:, place].min()])
        targets += puzzle.targets[0].tolist()
        groups += [index] * number
    return features, targets, groups


@pytest.mark.parametrize("kind", KINDS)
def test_strips_cannot_be_told_without_writing(kind):
    assert abs(probe(*strips_of(puzzles(Sorting(strips=4), kind), 4)) - CHANCE) < 0.06


def test_the_probe_finds_strips_that_meet_at_their_seams():
    bare = Sorting(strips=4, gap=0, margin=0)
    assert probe(*strips_of(puzzles(bare, "smooth", step=16), 4)) > 0.45
    assert probe(*strips_of(puzzles(Sorting(strips=4, margin=0), "smooth", step=16), 4)) < 0.31


def shaded(generator, width):
    """Return paper that grows darker from left to right, with strokes on it."""
    strokes = 0.3 * (generator.random((HEIGHT, width)) < 0.2)
    return np.linspace(0.9, 0.7, width) - strokes


def test_strips_and_tiles_of_shaded_paper_cannot_be_told_by_their_grey(monkeypatch):
    monkeypatch.setitem(KINDS, "shaded", shaded)
    generator, naive = np.random.default_rng(3), []
    for line in lines("shaded", step=16):
        order = generator.permutation(4)
        parts = torch.chunk(line, 4, dim=2)
        targets = torch.tensor([order.tolist()])
        naive.append(
            Puzzle(images=(torch.cat([parts[i] for i in order], dim=2),), targets=targets, counted=targets >= 0)
        )
    greys = [(made, strips_of(made, 4)) for made in (naive, puzzles(Sorting(strips=4), "shaded"))]
    means = [probe([feature[:1] for feature in strips[0]], *strips[1:]) for _, strips in greys]
    assert means[0] > 0.45
    assert abs(means[1] - CHANCE) < 0.05


def sloping(generator, width):
    """Return noise between two lines that go down from left to right."""
    page, rows = np.full((HEIGHT, width), 0.9), np.arange(HEIGHT)[:, None]
    top = 4 + 12 * np.arange(width) / width
    page[(rows >= top) & (rows < top + 12) & (generator.random((HEIGHT, width)) < 0.4)] = 0.1
    return page


def test_strips_of_a_sloping_line_cannot_be_told_by_their_height(monkeypatch):
    monkeypatch.setitem(KINDS, "sloping", sloping)
    middles, targets, groups = [], [], []
    for index, line in enumerate(lines("sloping", step=16)):
        for place, part in enumerate(torch.chunk(line, 4, dim=2)):
            middles.append([float((part[0] < 0.5).nonzero()[:, 0].float().mean())])
            targets.append(place)
            groups.append(index)
    assert probe(middles, targets, groups) > 0.45
    assert abs(probe(*strips_of(puzzles(Sorting(strips=4), "sloping"), 4)) - CHANCE) < 0.06


def tiles_of(made, tiles):
    """Return features of each jigsaw: how borders of its tiles go with each other, and the class."""
    features, targets = [], []
    for puzzle in made:
        rows = np.split(puzzle.images[0][0].numpy(), tiles, axis=0)
        parts = [part for row in rows for part in np.split(row, tiles, axis=1)]
        features.append(np.concatenate([seams(parts).flatten(), seams([part.T for part in parts]).flatten()]))
        targets += puzzle.targets.tolist()
    return features, targets, range(len(made))


def test_jigsaws_cannot_be_told_by_their_seams_but_could_without_a_gap():
    bare = Jigsaw(tiles=2, orders=4, tile=12, gap=0, jitter=0)
    assert probe(*tiles_of(puzzles(bare, "smooth"), 2)) > 0.6
    assert probe(*tiles_of(puzzles(ORDERS, "smooth"), 2)) < BOUND


@pytest.mark.parametrize("task", [Flip(), Flip(every=True)])
def test_width_and_padding_say_nothing_of_a_flip_of_real_looking_words(task):
    made = puzzles(task, "margins")
    batch = gather(made)
    groups = [index for index, puzzle in enumerate(made) for _ in puzzle.images]
    beyond = [
        [width, width % 4, float(row[0, :, width:].sum())]
        for row, width in zip(batch.images, batch.widths.tolist(), strict=True)
    ]
    assert abs(probe(beyond, batch.targets.tolist(), groups) - CHANCE) < BOUND - CHANCE
