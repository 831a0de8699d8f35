"""Settings of pretraining a recogniser on images of text lines, a class for each pretext task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count, Share
from volumen.settings.lines import PAPER, LineTraining, LineViews, OneEncoder


class PretrainLines(OneEncoder, LineTraining):
    """How lines are shown; transcripts are not looked at."""

    views: LineViews = "handwriting"


class PretrainSeqclr(PretrainLines):
    """Pretrain a recogniser by telling parts of lines apart across two views (SeqCLR), without transcripts."""

    example: ClassVar[str] = "volumen pretrain seqclr lines.tsv --out runs/seqclr"
    modes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {**PAPER, "views": "seqclr"}}

    views: LineViews = "handwriting_strong"
    head: Literal["none", "mlp", "bilstm"] = Field("bilstm", description="Projection head, thrown away afterwards")
    mapping: Literal["all", "window", "frame"] = Field(
        "window", description="What is told apart: whole lines (SimCLR), windows of them, or single frames"
    )
    windows: Count = Field(5, description="Windows in a line, left to right, for --mapping window")
    temperature: float = Field(0.1, gt=0, description="Temperature of the contrastive loss")


class PretrainPuzzle(PretrainLines):
    """How lines are shown to tasks that turn or reorder parts of them.

    As they are: changes that act along one axis, such as slant and blur, tell how a part was turned, and those that
    vary along a line where it stood.
    """

    views: LineViews = "none"


class PretrainRotation(PretrainPuzzle):
    """Pretrain a recogniser by telling how far squares cut out of lines were turned, without transcripts."""

    example: ClassVar[str] = "volumen pretrain rotation lines.tsv --out runs/rotation"

    every: bool = Field(True, description="Show all four turns of a square in one step, so that a batch is 4 times it")


class PretrainFlip(PretrainLines):
    """Pretrain a recogniser by telling how whole lines were flipped, without transcripts."""

    example: ClassVar[str] = "volumen pretrain flip lines.tsv --out runs/flip"

    every: bool = Field(False, description="Show all four flips of a line in one step, so that a batch is 4 times it")
    margin: int | None = Field(
        None,
        ge=0,
        description="Most pixels that margins and the move up or down may be; a 16th of the height if not given",
    )


class PretrainJigsaw(PretrainPuzzle):
    """Pretrain a recogniser by telling the order of tiles of squares cut out of lines, without transcripts."""

    example: ClassVar[str] = "volumen pretrain jigsaw lines.tsv --out runs/jigsaw"

    tiles: int = Field(3, ge=2, le=4, description="Tiles along each side of a square")
    orders: int = Field(100, ge=2, description="How many orders of the tiles to tell apart, far from each other")


class PretrainSorting(PretrainPuzzle):
    """Pretrain a recogniser by putting strips of lines back in order, without transcripts."""

    example: ClassVar[str] = "volumen pretrain sorting lines.tsv --out runs/sorting"

    strips: int = Field(3, ge=2, description="Strips that a line is cut into")
    gap: int | None = Field(
        None, ge=0, description="Least pixels that are left out between strips; a 16th of the height if not given"
    )


class PretrainReconstruction(PretrainLines):
    """Pretrain a recogniser by painting what is masked of lines, without transcripts."""

    example: ClassVar[str] = "volumen pretrain reconstruction lines.tsv --out runs/reconstruction"

    masked: Share = Field(0.6, gt=0, lt=1, description="Share of the cells that are masked")
    cell: Count = Field(
        8, multiple_of=8, description="Side of a masked cell in pixels, a multiple of 8 and less than the height"
    )
    decoder_width: Count = Field(
        64, multiple_of=4, description="Channels of the decoder at its deepest, a multiple of 4; thrown away afterwards"
    )

    @model_validator(mode="after")
    def _check_cell(self) -> Self:
        if self.cell >= self.height:
            raise ValueError(
                f"cell must be less than height, for something to be seen; got {self.cell} and {self.height}"
            )
        if self.height % 8:
            raise ValueError(f"height must be a multiple of 8, as cells are; got {self.height}")
        return self
