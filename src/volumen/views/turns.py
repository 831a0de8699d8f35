"""Rotation and Flip: pretext tasks that turn or mirror what is written and ask how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from volumen.errors import SettingsError
from volumen.views.ink import ink, is_written, written_columns, written_rows
from volumen.views.paper import margined, set_down, standing
from volumen.views.pretext import Puzzle
from volumen.views.squares import Square

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

CLASSES = 4


@dataclass(frozen=True, kw_only=True)
class RotationDrawn:
    """All random choices of one rotation puzzle: the square, and the quarter turns it is shown with."""

    square: Square
    turns: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """Ask by how many quarter turns, anticlockwise, a square of a line was turned: 0, 1, 2 or 3.

    Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018, on squares that
    are cut out of handwriting (the *input adaptation* of arXiv 2404.11585, whose numbers are not public: those here
    are ours). Turns are exact, and come after all resampling.

    Parameters
    ----------
    side
        Height and width of what is shown, in px; by default 64, the height of our lines.
    every
        Show all four turns of a square in one batch, as published there; otherwise one of them.
    least
        A square of fewer than ``least · side`` px a side is shown but not counted: it would be little but its own
        enlargement.

    Raises
    ------
    SettingsError
        If the side is below 2.

    Examples
    --------
    >>> import numpy as np
    >>> task = Rotation(side=32)
    >>> puzzle = task.apply(task.draw(np.random.default_rng(0)), torch.rand(1, 64, 200))
    >>> [tuple(image.shape) for image in puzzle.images], puzzle.targets.tolist()
    ([(1, 32, 32), (1, 32, 32), (1, 32, 32), (1, 32, 32)], [0, 1, 2, 3])
    """

    side: int = 64
    every: bool = True
    least: float = 0.5

    def __post_init__(self) -> None:
        if self.side < 2:
            raise SettingsError(f"A square that can be turned has at least 2 px a side; got {self.side}.")

    def draw(self, generator: np.random.Generator) -> RotationDrawn:
        """Make all random choices for a line; the generator alone decides them."""
        return RotationDrawn(square=Square.draw(generator), turns=_kinds(generator, self.every))

    def apply(self, drawn: RotationDrawn, image: Tensor) -> Puzzle:
        """Make the puzzle of a line, 1HW float32 in [0, 1], without padding."""
        patch = drawn.square.cut(image, self.side)
        counted = is_written(ink(patch)) and drawn.square.side(image) >= self.least * self.side
        return _puzzle([torch.rot90(patch, turns, (1, 2)) for turns in drawn.turns], drawn.turns, counted)


@dataclass(frozen=True, kw_only=True)
class FlipDrawn:
    """All random choices of one flip puzzle.

    Parameters
    ----------
    left, right
        Px that are left before the first and after the last written column; below 0, columns are cut off.
    down
        Where what is written stands, from 0 (highest) to 1 (lowest).
    kinds
        Flips it is shown with: 0 none, 1 left-right, 2 top-bottom, 3 both.
    """

    left: int
    right: int
    down: float
    kinds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Ask how a whole line was flipped: not at all, left-right, top-bottom, or both.

    The *method adaptation* of arXiv 2404.11585: size and direction of the text stay, as CTC reads it. Both flips
    together are a half turn.

    The margins of a line, wider on one side in many collections, would answer for the text. They are therefore
    cut off where ink begins, and drawn afresh, alike on both sides; what is written stands anywhere in the height
    that it leaves. Around it is paper of one grey. Whole pixels are taken, so that nothing is interpolated.

    Parameters
    ----------
    every
        Show all four flips of a line in one batch; otherwise one of them, so that a batch holds more lines.
    margin
        The most that is left before and after what is written, in px; as much of it may be cut off, on all sides. 4
        makes the blocks of eight pixels that a compressed file is made of begin anywhere.
    trim
        Cut margins off where ink begins. Without, they are drawn around the whole image.

    Raises
    ------
    SettingsError
        If the margin is below 0.

    Examples
    --------
    >>> import numpy as np
    >>> task = Flip(every=True, margin=0)
    >>> line = torch.ones(1, 4, 12)
    >>> line[:, :2, 3:8] = 0
    >>> puzzle = task.apply(task.draw(np.random.default_rng(0)), line)
    >>> puzzle.targets.tolist(), puzzle.images[2][0, :, 0].tolist()
    ([0, 1, 2, 3], [1.0, 0.0, 0.0, 1.0])
    """

    every: bool = False
    margin: int = 4
    trim: bool = True

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise SettingsError(f"A margin is not below 0 px; got {self.margin}.")

    def draw(self, generator: np.random.Generator) -> FlipDrawn:
        """Make all random choices for a line; the generator alone decides them."""
        left, right = (int(move) for move in generator.integers(-self.margin, self.margin + 1, size=2))
        return FlipDrawn(left=left, right=right, down=float(generator.random()), kinds=_kinds(generator, self.every))

    def apply(self, drawn: FlipDrawn, image: Tensor) -> Puzzle:
        """Make the puzzle of a line, 1HW float32 in [0, 1], without padding; its height stays."""
        inked = ink(image)
        seen = inked if self.trim else torch.ones_like(inked)
        written = rows, columns = written_rows(seen), written_columns(seen)
        shown = set_down(
            image,
            written,
            standing(rows, image.shape[1], drawn.down, cut=self.margin),
            margined(columns, drawn.left, drawn.right),
        )
        flips = [torch.flip(shown, [axis for axis, bit in ((2, 1), (1, 2)) if kind & bit]) for kind in drawn.kinds]
        return _puzzle(flips, drawn.kinds, is_written(inked))


def turn(images: Tensor, turns: Tensor) -> Tensor:
    """Turn each of some square images, NCSS, by its own number of quarter turns anticlockwise, int64 (N,), exactly.

    Raises
    ------
    SettingsError
        If the images are not square, or there are not as many turns.

    Examples
    --------
    >>> turn(torch.tensor([[[[1, 2], [3, 4]]]]), torch.tensor([1]))[0, 0].tolist()
    [[2, 4], [1, 3]]
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3] or turns.shape != images.shape[:1]:
        raise SettingsError(
            f"Square images NCSS are turned by as many turns (N,); got {tuple(images.shape)} and {tuple(turns.shape)}."
        )
    turned = images.clone()
    for quarter in range(1, CLASSES):
        chosen = turns.to(images.device) % CLASSES == quarter
        turned[chosen] = torch.rot90(images[chosen], quarter, (2, 3))
    return turned


def _kinds(generator: np.random.Generator, every: bool) -> tuple[int, ...]:
    kind = int(generator.integers(CLASSES))
    return tuple(range(CLASSES)) if every else (kind,)


def _puzzle(images: list[Tensor], kinds: tuple[int, ...], counted: bool) -> Puzzle:
    return Puzzle(
        images=tuple(images), targets=torch.tensor(kinds), counted=torch.full((len(kinds),), counted, dtype=torch.bool)
    )
