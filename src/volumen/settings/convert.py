"""Settings of conversion to chunked OME-Zarr."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from volumen.settings.base import Shape
from volumen.settings.sharing import Sharing
from volumen.settings.source import LabelPaths, Path


class Convert(LabelPaths, Sharing):
    """Convert a segment to chunked OME-Zarr 0.5 with a pyramid, in bounded memory, labels carried along."""

    example: ClassVar[str] = "volumen convert 20230827161847 20230827161847.zarr"
    positional: ClassVar[tuple[str, ...]] = ("source", "out")

    source: Path = Field(description="Segment to convert: layer folder, TIFF, .npy or zarr, local or a URL")
    out: Path = Field(title="Write to", description="OME-Zarr to write")
    chunk: Shape = Field((16, 256, 256), title="Chunk (voxels)", description="Chunk shape in voxels")
    compression: Literal["zstd", "lz4", "none"] = Field("zstd", description="Codec of the chunks")
    memory_gb: float = Field(
        1.0, gt=0, title="Memory (GB)", description="About how much memory to use for voxels in flight, in GB"
    )
    resume: bool = Field(False, description="Go on where an interrupted conversion stopped")
    overwrite: bool = Field(False, description="Replace what is at the output path")
