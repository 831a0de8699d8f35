"""Settings of making an index of windows."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count, Device, Layers, MemoryFraction, Precision, Region, Share
from volumen.settings.sharing import Sharing
from volumen.settings.source import LabelPaths, Path, Paths
from volumen.settings.voxels import Outside, Range, Voxels


class Index(LabelPaths, Voxels, Sharing):
    """Index the windows of segments by what an encoder sees in them; more segments, and stopped work, are added."""

    example: ClassVar[str] = "volumen index 20230827161847.zarr --encoder runs/spark --out index"
    positional: ClassVar[tuple[str, ...]] = ("segments",)

    segments: Paths = Field(
        min_length=1,
        description="Segments to index: layer folders, TIFF, .npy or zarr, local or URLs; what is there is left",
    )
    encoder: Path = Field(description="Encoder, checkpoint or run whose features are compared")
    out: Path = Field(description="Index folder to make, or to add to")
    overwrite: bool = Field(False, description="Replace the index at the output path")

    window: int = Field(
        64,
        ge=32,
        title="Window (px)",
        description="Side of a window in pixels, a multiple of 32: about what to find",
    )
    stride: Count | None = Field(
        None, title="Stride (px)", description="Distance between windows in pixels; half the window if not given"
    )
    layers: Layers | None = Field(None, description="Layers to read; those that the encoder was made for if not given")
    region: Region | None = Field(None, description="Index only inside this box")
    normalization: Range = Field(
        "percentile", description="How voxels are brought to 0…1, where the encoder's file does not say it"
    )
    outside: Outside = Field(
        "papyrus",
        description="What the encoder sees where every layer is 0, where its file does not say it: papyrus as it is on "
        "average, layer by layer, or 0",
    )
    min_papyrus: Share = Field(0.95, gt=0, description="Least share of a window that lies on papyrus")

    stage: Count = Field(
        3, le=5, description="Which of the encoder's maps to pool: 1 at stride 2, 3 at 8, and 5, the deepest, at 32"
    )
    norms: Literal["auto", "measured", "kept"] = Field(
        "auto",
        description="Norm statistics of the encoder: measured once on the first segment, or those it came with; auto "
        "measures for an encoder alone, which pretraining leaves with statistics of masked crops",
    )
    encoder_name: str | None = Field(None, description="Which encoder the file holds, where the file does not say it")
    numbers: Literal["float16", "float32"] = Field("float16", description="Number format of the vectors on disk")

    batch: Count = Field(32, description="Windows in a forward pass")
    device: Device = "auto"
    memory_fraction: MemoryFraction = 1.0
    precision: Precision = "auto"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.window % 32:
            raise ValueError(f"window must be a multiple of 32; got {self.window}")
        return self

    @property
    def window_stride(self) -> int:
        """Distance between windows in pixels."""
        return self.stride or self.window // 2
