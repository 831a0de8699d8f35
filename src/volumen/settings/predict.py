"""Settings of tiled prediction."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count, Device, Layers, MemoryFraction, Point, Precision, Region
from volumen.settings.sharing import Sharing
from volumen.settings.source import LabelPaths, Path


class Predict(LabelPaths, Sharing):
    """Predict ink over a whole segment: streamed, in bounded memory, resumable.

    With a model of photographs, predict what it learned to mark over a photograph.
    """

    example: ClassVar[str] = "volumen predict runs/first 20230827161847.zarr --out ink.zarr --export png"
    positional: ClassVar[tuple[str, ...]] = ("checkpoint", "segment")

    checkpoint: Path = Field(
        description="Checkpoint (.safetensors) or run folder of `volumen finetune` or `volumen train segmenter`"
    )
    segment: Path = Field(
        description="Segment to read: layer folder, TIFF, .npy or zarr, local or a URL; a photograph, for models of "
        "photographs"
    )
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
    tile: int = Field(1088, ge=64, title="Tile (px)", description="Largest side of a tile in pixels, a multiple of 32")
    overlap: int = Field(
        64,
        ge=0,
        title="Overlap (px)",
        description="Pixels that neighbouring tiles share (blend), or the margin (halo)",
    )
    mirror: bool = Field(False, description="Average over the four mirrored views")
    batch: Count = Field(1, description="Tiles in a forward pass")
    device: Device = "auto"
    memory_fraction: MemoryFraction = 1.0
    precision: Precision = "auto"
    export: tuple[Literal["tiff", "png"], ...] = Field((), description="Also write the map as TIFF or PNG beside it")

    @model_validator(mode="after")
    def _check_out(self) -> Self:
        name, _, ending = self.out.rpartition(".")
        kind = {"png": "png", "tif": "tiff", "tiff": "tiff"}.get(ending.lower())
        if kind:
            raise ValueError(
                f"the map is an OME-Zarr, with a picture beside it where export asks for one; got {self.out!r}. Give "
                f"--out {name}.zarr --export {kind}"
            )
        return self
