"""Settings of comparing pretext tasks by the handwriting that is read after them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count
from volumen.settings.comparing import (
    Comparison,
    LabelShares,
    check_one_device,
    check_told_apart,
    weight_names,
    words,
)
from volumen.settings.source import Paths
from volumen.settings.train_reader import DecoderName, ReaderTraining

Decoders = Annotated[tuple[DecoderName, ...], *words("NAME,NAME")]
"""Decoders, separated by commas."""

Trainings = Annotated[tuple[Literal["frozen", "full"], ...], *words("MODE,MODE")]
"""Ways to train, separated by commas."""


class CompareHandwriting(Comparison, ReaderTraining):
    """Train readers from random and from pretrained weights, by decoder and share of the labels: one table, one report.

    A path of pretrained weights may hold ``{seed}``, which is the seed of the run, so that pretraining has seeds too.
    """

    example: ClassVar[str] = (
        "volumen compare handwriting lines.tsv --pretext runs/seqclr --share 0.1,1 --out runs/comparison"
    )
    positional: ClassVar[tuple[str, ...]] = ("lines",)

    pretext: Paths = Field(
        (),
        description="Pretrained weights to compare with random ones: runs of pretraining, or files; {seed} in a path "
        "is the run's seed. Named in the table by the file or its run",
    )
    decoder: Decoders = Field(("ctc", "transformer"), description="Decoders to train")
    training: Trainings = Field(
        ("frozen", "full"), description="Teach the decoder alone above a frozen recogniser, or all of the reader"
    )
    frozen_learning_rate: float | None = Field(
        None, gt=0, description="Peak learning rate above a frozen recogniser; that of whole readers if not given"
    )
    share: LabelShares = Field((0.05, 0.1, 1.0), min_length=1, description="Shares of the lines to learn from")
    examples: Count = Field(4, description="How many lines of each kind to show in pictures: right, disputed, wrong")
    patience: int = Field(0, ge=0, description="Stop after so many scorings without a better one; 0 never stops")

    @model_validator(mode="after")
    def _check_comparison(self) -> Self:
        check_one_device(self)
        check_told_apart(self.pretext_names)
        return self

    @property
    def pretext_names(self) -> tuple[str, ...]:
        """Name of each of the pretrained weights in the table."""
        return weight_names(self.pretext)
