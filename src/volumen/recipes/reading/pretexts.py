"""Pretext: a task over lines without transcripts, as a head, the batches that it learns from, and its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from volumen.errors import SettingsError
from volumen.models.heads import build_head
from volumen.models.line_painter import LinePainter
from volumen.models.recognizer.resnet29 import LEAST_HEIGHT
from volumen.models.spatial_heads import ClassHead, StripHead
from volumen.objectives.painting import Painting
from volumen.objectives.seqclr import SeqClr
from volumen.objectives.spatial import Spatial
from volumen.settings.pretrain_lines import (
    PretrainFlip,
    PretrainJigsaw,
    PretrainLines,
    PretrainReconstruction,
    PretrainRotation,
    PretrainSeqclr,
    PretrainSorting,
)
from volumen.views.pretext import Puzzle, gather
from volumen.views.tiles import Jigsaw, Sorting
from volumen.views.turns import CLASSES, Flip, Rotation

if TYPE_CHECKING:
    from volumen.crops.line_images import LineBatch
    from volumen.models.recognizer.recognizer import Recognizer
    from volumen.objectives.terms import LossTerms

Batch = Mapping[str, Tensor]


class Task(Protocol):
    """A puzzle maker: drawn, then applied to a line, 1HW in [0, 1], without padding."""

    def draw(self, generator: np.random.Generator, /) -> Any:
        """Make all random choices for a line."""
        ...

    def apply(self, drawn: Any, image: Tensor, /) -> Puzzle:
        """Make the puzzle of a line."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretext:
    """What to learn from lines alone.

    Parameters
    ----------
    name
        As the command line calls it.
    head
        Above the recogniser while pretraining; it goes afterwards.
    score
        From the encoder, the head and a batch to the loss.
    task
        Makes puzzles of lines; None where the lines themselves are learned from.
    twice
        Whether two views of each line are.
    classes
        Of which an answer is one; None where no question is asked.
    """

    name: str
    head: nn.Module
    score: Callable[[Any, Any, Batch], LossTerms]
    task: Task | None = None
    twice: bool = False
    classes: int | None = None

    def guessing(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the share that who guesses gets right, beside the terms of a batch; empty where nothing is told."""
        others = 2 * terms["instances"] - 1 if "instances" in terms else self.classes  # in both views, but for itself
        return {} if others is None else {"guessing": 1 / float(others)}

    def tensors(self, batch: LineBatch, seed: tuple[int, ...]) -> dict[str, Tensor]:
        """Return what is learned from a batch of lines; puzzles are drawn from the seed."""
        if self.task is None:
            return batch.tensors()
        puzzles = []
        for number, (image, width) in enumerate(zip(batch.images, batch.widths.tolist(), strict=True)):
            drawn = self.task.draw(np.random.default_rng([*seed, number]))
            puzzles.append(self.task.apply(drawn, image[:, :, :width]))
        made = gather(puzzles)
        return {"images": made.images, "widths": made.widths, "targets": made.targets, "counted": made.counted}


def build_pretext(settings: PretrainLines, recognizer: Recognizer) -> Pretext:
    """Build the task that settings are of, its head above the frames of a recogniser, random weights.

    Raises
    ------
    SettingsError
        If a number does not fit, or there is no such task.
    """
    features = recognizer.features if settings.features == "contextual" else recognizer.visual_features
    match settings:
        case PretrainSeqclr():
            loss = SeqClr(mapping=settings.mapping, windows=settings.windows, temperature=settings.temperature)
            return Pretext(
                name="seqclr",
                head=build_head(settings.head, features),
                score=lambda encoder, head, batch: loss(
                    encoder, head, batch["images"], batch["again"], batch["widths"], look=not torch.is_grad_enabled()
                ),
                twice=True,
            )
        case PretrainRotation():
            rotation = Rotation(side=settings.height, every=settings.every)
            return _puzzling("rotation", rotation, ClassHead(features, CLASSES), CLASSES)
        case PretrainFlip():
            flip = Flip(every=settings.every, margin=_or_sixteenth(settings.margin, settings.height))
            return _puzzling("flip", flip, ClassHead(features, CLASSES), CLASSES)
        case PretrainJigsaw():
            jigsaw = _jigsaw(settings)
            head = ClassHead(features, jigsaw.orders, windows=jigsaw.tiles)
            return _puzzling("jigsaw", jigsaw, head, jigsaw.orders)
        case PretrainSorting():
            # lengths as `Sorting` has them for 64 px
            sorting = Sorting(
                strips=settings.strips,
                gap=_or_sixteenth(settings.gap, settings.height),
                margin=-(-7 * settings.height // 64),
                least=max(4, settings.height // 8),
            )
            return _puzzling("sorting", sorting, StripHead(features, settings.strips), settings.strips)
        case PretrainReconstruction():
            painting = Painting(cell=settings.cell, masked=settings.masked)
            return Pretext(
                name="reconstruction",
                head=LinePainter(
                    features, settings.height, recognizer.resnet.map_channels, width=settings.decoder_width
                ),
                score=lambda encoder, head, batch: painting(encoder, head, batch["images"], batch["widths"]),
            )
    raise SettingsError(f"Expected the settings of a pretext task over lines; got {type(settings).__name__}.")


def _puzzling(name: str, task: Task, head: nn.Module, classes: int) -> Pretext:
    loss = Spatial()
    return Pretext(
        name=name,
        head=head,
        score=lambda encoder, head, batch: loss(
            encoder, head, batch["images"], batch["widths"], batch["targets"], batch["counted"]
        ),
        task=task,
        classes=classes,
    )


def _or_sixteenth(given: int | None, height: int) -> int:
    return height // 16 if given is None else given


def _jigsaw(settings: PretrainJigsaw) -> Jigsaw:
    """Return a jigsaw whose cells fill the height of a line, as `Jigsaw` has them for 64 px and 3 x 3 tiles.

    Writing is about as large as it is when read, whatever the height; the recogniser takes 32 px at least.
    """
    apart = max(1, round(settings.height / 21))
    tile = max(4, round(settings.height / settings.tiles) - 2 * apart)
    return Jigsaw(tiles=settings.tiles, orders=settings.orders, tile=tile, gap=apart, jitter=apart, height=LEAST_HEIGHT)
