"""Settings of the preflight."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from volumen.settings.base import Layers
from volumen.settings.source import LabelPaths, Path


class Check(LabelPaths):
    """Look a segment over before paying for training: order, depth, blank areas, labels; exit code 1 with findings."""

    example: ClassVar[str] = "volumen check 20230827161847 --layers 20 --window 320"
    positional: ClassVar[tuple[str, ...]] = ("path",)

    path: Path = Field(description="Segment to look at: layer folder, TIFF, .npy or zarr, local or a URL")
    layers: Layers = Field(20, description="How many centre layers, or which layers, are meant to be used")
    window: int = Field(320, ge=32, title="Window (px)", description="Side of a training crop in pixels")
