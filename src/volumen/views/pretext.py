"""Puzzle: a line made into a question whose answer is known, and batches of puzzles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Puzzle:
    """One line, shown once or more often, and the right answer to each.

    Parameters
    ----------
    images
        1HW float32 each in [0, 1], without padding.
    targets
        int64, one an image: the class (images,), or the place that each strip came from (images, strips).
    counted
        Bool of the shape of ``targets``: False where there is no right answer, because nothing is written there.
    """

    images: tuple[Tensor, ...]
    targets: Tensor
    counted: Tensor


@dataclass(frozen=True, kw_only=True)
class PuzzleBatch:
    """Puzzles side by side.

    Parameters
    ----------
    images
        N1HW float32 in [0, 1], left-aligned, zeros beyond the widths.
    widths
        int64 (N,): pixels of each row that count.
    targets, counted
        As in `Puzzle`, N × ….
    """

    images: Tensor
    widths: Tensor
    targets: Tensor
    counted: Tensor


def gather(puzzles: Sequence[Puzzle], *, multiple: int = 4) -> PuzzleBatch:
    """Put puzzles into a batch; this is where lines are padded, after all that was done to them.

    A puzzle that was padded before it was flipped or cut would show its answer: padding is always on the right.

    Parameters
    ----------
    puzzles
        At least one, of images of one height and of one pretext task.
    multiple
        The width of the batch is one of this, in px; 4 is a frame of the recogniser.

    Raises
    ------
    SettingsError
        If there are none, or their heights or answers differ in shape.

    Examples
    --------
    >>> one = Puzzle(images=(torch.ones(1, 8, 6),), targets=torch.tensor([3]), counted=torch.tensor([True]))
    >>> two = Puzzle(images=(torch.ones(1, 8, 9),), targets=torch.tensor([0]), counted=torch.tensor([True]))
    >>> batch = gather([one, two])
    >>> batch.images.shape, batch.widths.tolist(), batch.targets.tolist()
    (torch.Size([2, 1, 8, 12]), [6, 9], [3, 0])
    """
    images = [image for puzzle in puzzles for image in puzzle.images]
    heights = {image.shape[1] for image in images}
    answers = {tuple(puzzle.targets.shape[1:]) for puzzle in puzzles}
    if len(heights) != 1 or len(answers) != 1:
        raise SettingsError(
            "A batch takes puzzles of one height and one task, at least one; "
            f"got heights {sorted(heights)} and answers of shape {sorted(answers)}."
        )
    widths = torch.tensor([image.shape[2] for image in images])
    width = -(-int(widths.max()) // multiple) * multiple
    return PuzzleBatch(
        images=torch.stack([F.pad(image, (0, width - image.shape[2])) for image in images]),
        widths=widths,
        targets=torch.cat([puzzle.targets for puzzle in puzzles]),
        counted=torch.cat([puzzle.counted for puzzle in puzzles]),
    )
