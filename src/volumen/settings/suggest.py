"""Settings of saying where to label next."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count, Device, MemoryFraction, Precision, Region
from volumen.settings.source import LabelPaths, Path


class Suggest(LabelPaths):
    """Say where labels would teach a model most: where it is unsure, unlike what it knows, and spread out."""

    example: ClassVar[str] = "volumen suggest runs/first 20230827161847.zarr --out next"
    positional: ClassVar[tuple[str, ...]] = ("checkpoint", "segment")

    checkpoint: Path = Field(description="Checkpoint (.safetensors) or run folder of `volumen finetune`")
    segment: Path = Field(description="Segment to label more of; what is labelled or held out is left alone")
    out: Path = Field(description="Folder to write suggestions.json, suggestions.csv and sheet.png to")
    resume: bool = Field(False, description="Go on where an interrupted suggestion stopped")
    overwrite: bool = Field(False, description="Replace what is at the output path")
    prediction: Path | None = Field(
        None, description="Ink map that the checkpoint made of the segment; it is made if not given"
    )

    n: Count = Field(20, title="How many", description="How many windows to suggest")
    window: int = Field(128, ge=32, title="Window (px)", description="Side of a window in pixels, a multiple of 32")
    stride: Count | None = Field(
        None, title="Stride (px)", description="Distance between candidates in pixels; half the window if not given"
    )
    region: Region | None = Field(None, description="Suggest only inside this box")
    uncertainty: Literal["entropy", "margin"] = Field(
        "entropy", description="How unsure the map is: binary entropy, or nearness to one half"
    )
    novelty: float = Field(
        1.0, ge=0, le=8, description="Weight of the distance to what is labelled or suggested; 0 goes by doubt alone"
    )
    mirror: bool = Field(False, description="Average the map over the four mirrored views")

    batch: Count = Field(32, description="Windows in a forward pass of the encoder")
    device: Device = "auto"
    memory_fraction: MemoryFraction = 1.0
    precision: Precision = "auto"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.window % 32:
            raise ValueError(f"window must be a multiple of 32; got {self.window}")
        return self
