"""Settings of training a reader of text lines on transcripts."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from volumen.settings.lines import LineTraining, LineViews, OneEncoder

DecoderName = Literal["ctc", "bilstm_ctc", "attention", "transformer"]


class ReaderTraining(LineTraining):
    """How a reader is trained.

    Shared by a single run and by a comparison of several.
    """

    views: LineViews = "handwriting"
    frozen_norms: Literal["measured", "kept"] = Field(
        "measured",
        description="Norm statistics of a frozen recogniser: measured once, without transcripts, or those it came with",
    )
    encoder_lr_mult: float = Field(
        1.0, gt=0, description="Learning rate of a recogniser that starts from weights, over that of the decoder"
    )
    score: Literal["cer", "loss"] = Field("cer", description="Held-out score that says which weights are best")


class TrainReader(OneEncoder, ReaderTraining):
    """Train a reader on transcribed lines, from random or pretrained weights; the run folder can be resumed."""

    example: ClassVar[str] = "volumen train reader lines.tsv --encoder runs/seqclr --out runs/reader"
    positional: ClassVar[tuple[str, ...]] = ("lines",)

    decoder: DecoderName = Field(
        "ctc",
        description="From frames to text: connectionist temporal classification (ctc), the same above a BiLSTM of its "
        "own (bilstm_ctc), or a decoder that writes character by character (attention, transformer)",
    )
    freeze: bool = Field(False, description="Keep the recogniser as it is, and teach the decoder alone, without views")
    label_share: float = Field(1.0, gt=0, le=1, description="Share of the lines to learn from, drawn by the seed")
