"""Settings of the demo."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from volumen.settings.base import Settings
from volumen.settings.source import Path


class Demo(Settings):
    """Run the main job on a synthetic segment: make it, learn, predict, score, report."""

    out: Path = Field("volumen-demo", description="Folder for everything it makes")
    overwrite: bool = Field(False, description="Replace what is at the output path")
    seed: int = Field(0, ge=0, description="Seed of the segment and of the training")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to compute")
