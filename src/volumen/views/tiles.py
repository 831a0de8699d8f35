"""Jigsaw and Sorting: pretext tasks that cut a line up, mix the parts and ask where they were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from volumen.errors import SettingsError
from volumen.views.ink import ink, is_written, written_columns, written_rows
from volumen.views.paper import like_paper_of, margined, set_down, standing
from volumen.views.permutations import distant_permutations
from volumen.views.pretext import Puzzle
from volumen.views.squares import Square

FRAME = 4
"""Columns of pixels of one frame of the recogniser; strips are a whole number of frames wide."""


@dataclass(frozen=True, kw_only=True)
class JigsawDrawn:
    """All random choices of one jigsaw: the square, the order by its number, and each tile's place in its cell.

    ``places`` holds (down, along) of each tile, in px, tiles in reading order.
    """

    square: Square
    order: int
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Jigsaw:
    """Ask in which of some orders the tiles of a square are shown.

    Noroozi & Favaro, "Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles", ECCV 2016, on
    squares that are cut out of handwriting and put together again (the *input adaptation* of arXiv 2404.11585, whose
    numbers are not public: those here are ours). A gap between tiles, each of which is moved by chance besides, keeps
    strokes from meeting at the seams; and all tiles are given the same paper, so that shading does not tell.

    Parameters
    ----------
    tiles
        n: the square is cut into n × n tiles. Ours 3, as published for photographs.
    orders
        P, the number of classes; ours 100, of 362,880 orders of nine tiles. The same ones every time, see
        `volumen.views.permutations.distant_permutations`.
    tile
        Side of a tile in px; tiles together have n times that. Ours 16: four frames. `volumen pretrain jigsaw` takes 15
        at 64 px, with a gap and a jitter of 3, so that three cells fill the height of a line.
    gap
        The least that is left out between tiles, in px. Ours 3.
    jitter
        The most by which a tile may be moved, in px. Ours 3; with tile and gap a cell has 22 px, and three of them
        have about the height of our lines, 64 px.
    written
        Share of the tiles that must show ink for the puzzle to count: blank tiles have no order among themselves.
        Ours a third: any two of our orders differ in six places of nine at least, so that three tiles nearly always
        tell.
    height
        Least height of what is shown, in px: tiles that together are lower have paper above and below. Ours 0.
    least
        A square whose side in the line is below ``least`` of what is shown of it is shown but not counted.
    seed
        Of the choice of orders.

    Raises
    ------
    SettingsError
        If there are fewer than 2 × 2 tiles, fewer orders than asked for, or a length is too small.

    Examples
    --------
    >>> task = Jigsaw()
    >>> puzzle = task.apply(task.draw(np.random.default_rng(0)), torch.rand(1, 64, 200))
    >>> puzzle.images[0].shape, puzzle.targets.shape
    (torch.Size([1, 48, 48]), torch.Size([1]))
    """

    tiles: int = 3
    orders: int = 100
    tile: int = 16
    gap: int = 3
    jitter: int = 3
    written: float = 1 / 3
    height: int = 0
    least: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tiles < 2 or self.tile < 1 or self.gap < 0 or self.jitter < 0:
            raise SettingsError(
                "A jigsaw has at least 2 × 2 tiles of 1 px, and gap and jitter of 0 px or more; "
                f"got {self.tiles} × {self.tiles} tiles of {self.tile} px, {self.gap} and {self.jitter}."
            )
        _ = self.permutations

    @property
    def permutations(self) -> tuple[tuple[int, ...], ...]:
        """The orders by their number: which tile, in reading order, is shown at each place."""
        return distant_permutations(self.tiles**2, self.orders, self.seed)

    def draw(self, generator: np.random.Generator) -> JigsawDrawn:
        """Make all random choices for a line; the generator alone decides them."""
        square = Square.draw(generator)
        order = int(generator.integers(self.orders))
        places = generator.integers(0, self.jitter + 1, size=(self.tiles**2, 2))
        return JigsawDrawn(square=square, order=order, places=tuple((int(y), int(x)) for y, x in places))

    def apply(self, drawn: JigsawDrawn, image: Tensor) -> Puzzle:
        """Make the puzzle of a line, 1HW float32 in [0, 1], without padding."""
        cell = self.tile + self.gap + self.jitter
        pixels = self.tiles * cell
        patch = drawn.square.cut(image, pixels)
        inked = ink(patch)
        corners = [
            (row * cell + down, column * cell + along)
            for (row, column), (down, along) in zip(np.ndindex(self.tiles, self.tiles), drawn.places, strict=True)
        ]
        boxes = [(slice(y, y + self.tile), slice(x, x + self.tile)) for y, x in corners]
        written = sum(is_written(inked[box]) for box in boxes)
        pieces = [like_paper_of(patch, patch[:, rows, columns]) for rows, columns in boxes]
        ordered = [pieces[tile] for tile in self.permutations[drawn.order]]
        rows = [torch.cat(ordered[start : start + self.tiles], dim=2) for start in range(0, len(ordered), self.tiles)]
        counted = written >= self.written * len(boxes) and drawn.square.side(image) >= self.least * pixels
        together = torch.cat(rows, dim=1)
        missing = max(0, self.height - together.shape[1])
        around = (0, 0, missing // 2, missing - missing // 2)
        shown = F.pad(together, around, value=float(patch.median()))
        return Puzzle(images=(shown,), targets=torch.tensor([drawn.order]), counted=torch.tensor([counted]))


@dataclass(frozen=True, kw_only=True)
class SortingDrawn:
    """All random choices of one sorting puzzle.

    Parameters
    ----------
    left, right
        Px that are cut off from the first written column on, and up to the last.
    order
        The strip that is shown at each place.
    places
        Where each strip is cut, from 0 (first) to 1 (last) of the places that leave the gap.
    downs
        Where what is written in each stands, from 0 (highest) to 1 (lowest).
    """

    left: int
    right: int
    order: tuple[int, ...]
    places: tuple[float, ...]
    downs: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Sorting:
    """Ask for each strip of a line, shown in a mixed order, where it stood.

    A line is cut into upright strips over its whole height: the task of arXiv 2404.11585 that uses a line's order
    (*method adaptation*; its numbers are not public: those here are ours). Margins are cut off first, and a little
    of what is written, so that the first and the last strip have no blank border either; a gap is left out between
    strips, so that strokes do not meet at the seams; all strips are given the same paper, so that shading does not
    tell; what is written in each stands at a drawn height, so that a sloping line does not tell; all are equally wide,
    a whole number of frames. Strips with nothing on them are shown, but do not count.

    Parameters
    ----------
    strips
        N. Ours 3: words of our corpora have 65 px of ink in the median, at a height of 64, so that a strip of theirs
        shows a letter, and two thirds of all words are wide enough. Lines can do with more.
    gap
        The least that is left out between strips, in px. Ours 4.
    margin
        The most that is cut off both ends of what is written, in px. Ours 7: the blocks of eight pixels that a
        compressed file is made of then begin anywhere in the first strip, as in all others.
    least
        A strip narrower than this, in px, does not count, and none of its line; by default 8, two frames.

    Raises
    ------
    SettingsError
        If there are fewer than two strips, or a length is too small.

    Examples
    --------
    >>> task = Sorting()
    >>> puzzle = task.apply(task.draw(np.random.default_rng(0)), torch.rand(1, 64, 200))
    >>> puzzle.images[0].shape, sorted(puzzle.targets[0].tolist())
    (torch.Size([1, 64, 168]), [0, 1, 2])
    """

    strips: int = 3
    gap: int = 4
    margin: int = 7
    least: int = 8

    def __post_init__(self) -> None:
        if self.strips < 2 or self.gap < 0 or self.margin < 0 or self.least < 1:
            raise SettingsError(
                "Sorting takes at least two strips of 1 px, and gap and margin of 0 px or more; "
                f"got {self.strips} strips of {self.least} px, {self.gap} and {self.margin}."
            )

    def draw(self, generator: np.random.Generator) -> SortingDrawn:
        """Make all random choices for a line; the generator alone decides them."""
        left, right = (int(move) for move in generator.integers(0, self.margin + 1, size=2))
        order = tuple(int(strip) for strip in generator.permutation(self.strips))
        places, downs = (tuple(float(place) for place in generator.random(self.strips)) for _ in range(2))
        return SortingDrawn(left=left, right=right, order=order, places=places, downs=downs)

    def apply(self, drawn: SortingDrawn, image: Tensor) -> Puzzle:
        """Make the puzzle of a line, 1HW float32 in [0, 1], without padding; its height stays."""
        columns = margined(written_columns(ink(image)), -drawn.left, -drawn.right)
        line = image[:, :, columns.clamp(0, image.shape[2] - 1)]
        cell = line.shape[2] / self.strips
        width = int((cell - self.gap) // FRAME) * FRAME
        enough = width >= self.least
        width = max(width, FRAME)
        seen = ink(line)
        pieces, written = [], []
        for strip, (place, down) in enumerate(zip(drawn.places, drawn.downs, strict=True)):
            first = round(strip * cell + place * max(cell - width - self.gap, 0.0))
            columns = torch.arange(first, first + width).clamp_max(line.shape[2] - 1)
            piece, rows = like_paper_of(line, line[:, :, columns]), written_rows(seen[:, columns])
            where = standing(rows, line.shape[1], down)
            pieces.append(set_down(piece, (rows, (0, width)), where, torch.arange(width)))
            written.append(enough and is_written(seen[:, columns]))
        return Puzzle(
            images=(torch.cat([pieces[strip] for strip in drawn.order], dim=2),),
            targets=torch.tensor([drawn.order]),
            counted=torch.tensor([[written[strip] for strip in drawn.order]]),
        )
