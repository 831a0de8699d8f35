"""Settings of tiled prediction."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from volumen.settings.base import Count, Layers, MemoryFraction, Point, Region
from volumen.settings.sharing import Sharing
from volumen.settings.source import LabelPaths, Path


class Predict(LabelPaths, Sharing):
    """Predict ink over a whole segment: streamed, in bounded memory, resumable."""

    positional: ClassVar[tuple[str, ...]] = ("checkpoint", "segment")

    checkpoint: Path = Field(description="Checkpoint (.safetensors) or run folder")
    segment: Path = Field(description="Segment to read; a photograph, for models of photographs")
    out: Path = Field(description="OME-Zarr to write the ink map to")
    resume: bool = Field(False, description="Go on where an interrupted prediction stopped")
    overwrite: bool = Field(False, description="Replace what is at the output path")

    layers: Layers | None = Field(None, description="Layers to read; those the model was trained on if not given")
    direction: Literal["forward", "reverse", "both"] = Field(
        "forward", description="Order of the layers; both averages"
    )
    region: Region | None = Field(None, description="Predict only inside this box")
    near: Point | None = Field(None, description="Begin with what lies near this point; changes the order, no pixel")
    skip_mask: bool = Field(True, description="Leave out tiles without papyrus, where the segment has a mask")
    tiling: Literal["blend", "halo"] = Field(
        "blend", description="Overlapping tiles weighted together, or tiles with a margin that is cut off"
    )
    tile: int = Field(1088, ge=64, description="Largest side of a tile in pixels, a multiple of 32")
    overlap: int = Field(64, ge=0, description="Pixels that neighbouring tiles share (blend), or the margin (halo)")
    mirror: bool = Field(False, description="Average over the four mirrored views")
    batch: Count = Field(1, description="Tiles in a forward pass")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to compute")
    memory_fraction: MemoryFraction = 1.0
    precision: Literal["auto", "32", "bf16", "16"] = Field("auto", description="Number format of the arithmetic")
    export: tuple[Literal["tiff", "png"], ...] = Field((), description="Also write the map as TIFF or PNG beside it")
