"""Settings that every verb over text lines shares: where lines are, the form of their images, how they are parted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from volumen.settings.base import Count, Settings, Share
from volumen.settings.computing import Computing
from volumen.settings.source import Path, Paths

LineViews = Annotated[
    Literal["none", "light", "handwriting", "handwriting_strong", "seqclr"],
    Field(
        description="Augmentations of each line: SeqCLR's list, its first four, one for handwriting cut close, the "
        "same stronger, or none"
    ),
]

PAPER: dict[str, Any] = {"height": 32, "line_width": 100, "model_width": 1.0}
"""The form of images and the encoder of SeqCLR (CVPR 2021) and of spatial context (arXiv 2404.11585)."""


class LineSource(Settings):
    """Lists of text lines, and the size that their images are brought to."""

    lines: Paths = Field(
        min_length=1,
        description="Text lines: a .tsv list, a folder of images with .gt.txt files or without, IAM's words.txt or "
        "lines.txt, PAGE or ALTO XML",
    )
    height: int = Field(64, ge=32, description="Height in pixels that every line is brought to")
    line_width: int | None = Field(
        None, ge=4, description="Width in pixels that every line is stretched to; its aspect is kept if not given"
    )
    line_rows: Share = Field(
        1.0,
        gt=0,
        description="Share of an image's rows to keep, those with most ink; less than 1 for lines cut with much blank "
        "above and below",
    )
    greys: Literal["file", "stretched"] = Field(
        "stretched", description="Greys as they are in the file, or stretched so that every line goes from 0 to 1"
    )


class LineTraining(LineSource, Computing):
    """How a model of text lines is trained, with or without transcripts."""

    positional: ClassVar[tuple[str, ...]] = ("lines",)
    modes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": PAPER}

    out: Path = Field(description="Run folder to make")
    overwrite: bool = Field(False, description="Replace what is at the output path")
    mode: Literal["practical", "paper"] = Field(
        "practical",
        description="Where options are not given: what suits small machines, or the papers' 32 x 100 pixels and width",
    )

    split: Literal["auto", "list", "writer", "page", "line"] = Field(
        "auto",
        description="What is held out: as the list says, or whole writers, whole pages or single lines, drawn; "
        "auto takes the first of these that the lines allow. What the list marks as test is never learned from",
    )
    held_out_share: Share = Field(0.1, gt=0, lt=0.5, description="Share of the lines to hold out where they are drawn")
    held_out_lines: Count = Field(512, description="Most lines to score while training, spread over what is held out")
    split_seed: int = Field(0, ge=0, description="Seed of what is held out")

    model_width: float = Field(
        0.5, ge=1 / 32, le=2, description="Channels of the recogniser, as a share of the published ones"
    )
    features: Literal["contextual", "visual"] = Field(
        "contextual", description="Frames to learn on: after the BiLSTM, or before it"
    )
    least_loaded: Share = Field(0.5, description="Least share of the recogniser that its weight file must hold")

    batch: Count = Field(32, description="Lines in a step, over all devices")
    steps: Count = Field(10_000, description="Steps in all, whatever the number of lines")
    score_steps: Count = Field(500, description="Score the held-out lines every so many steps")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW")
    warm_up_steps: int = Field(200, ge=0, description="Steps in which the learning rate rises")
    weight_decay: float = Field(1e-2, ge=0, description="Weight decay of AdamW")
    clip_norm: float = Field(5.0, gt=0, description="Largest gradient norm")
    patience: int = Field(0, ge=0, description="Stop after so many scorings without a better one; 0 never stops")


class OneEncoder(Settings):
    """The weights that one training of a model of text lines starts from."""

    encoder: Path | None = Field(
        None, description="Weights to start the recogniser from, a file or a run; random if not given"
    )
