"""Settings of reading text lines."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from volumen.settings.base import Count, Device, MemoryFraction, Precision, Settings
from volumen.settings.source import Path, Paths


class Read(Settings):
    """Read images of text lines: streamed, in their order, with a confidence each; scored where transcripts are."""

    example: ClassVar[str] = "volumen read runs/reader page.xml --out transcripts.tsv"
    positional: ClassVar[tuple[str, ...]] = ("checkpoint", "images")

    checkpoint: Path = Field(description="Checkpoint (.safetensors) or run folder of `volumen train reader`")
    images: Paths = Field(
        min_length=1,
        description="Text lines: images, folders of them, a .tsv list, IAM's words.txt or lines.txt, PAGE or ALTO XML",
    )
    out: Path | None = Field(
        None,
        description="TSV to write the texts to, beside transcripts where there are any; what a stop leaves unfinished "
        "goes into NAME.part.tsv",
    )
    overwrite: bool = Field(False, description="Replace what is at the output path")

    beams: Count = Field(
        1, description="Texts that a CTC reader weighs against each other; 1 takes the best character of each frame"
    )
    batch: Count = Field(16, description="Lines in a forward pass")
    device: Device = "auto"
    memory_fraction: MemoryFraction = 1.0
    precision: Precision = "auto"
