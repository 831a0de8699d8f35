"""Settings of the synthetic segment."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from volumen.settings.base import Settings, Size
from volumen.settings.source import Path


class Phantom(Settings):
    """Make a synthetic segment with known ink: papyrus fibres, uneven surface, cracks, noise, letters."""

    example: ClassVar[str] = "volumen phantom phantom.zarr --size 512,768 --seed 3"
    positional: ClassVar[tuple[str, ...]] = ("out",)

    out: Path = Field(description="OME-Zarr to write, such as phantom.zarr")
    size: Size = Field((1024, 1024), description="Height and width in pixels")
    layers: int = Field(32, ge=8, description="Number of layers; the surface is the middle one")
    dtype: Literal["uint8", "uint16"] = Field("uint8", description="Type of a voxel")
    contrast: float = Field(1.0, ge=0, le=8, description="Strength of the ink, 1 being hard but solvable; 0 hides it")
    ink_depth: float = Field(3.0, gt=0, description="How many layers the ink goes down into the papyrus")
    label: Path | None = Field(None, description="Raster whose ink to write instead of rendered letters")
    ink_share: float = Field(0.12, ge=0.01, le=0.25, description="About how much of the papyrus the letters cover")
    voxel_um: float = Field(7.91, gt=0, description="Edge of a voxel in µm")
    seed: int = Field(0, ge=0, description="Same seed, same bytes")
    overwrite: bool = Field(False, description="Replace what is at the output path")
