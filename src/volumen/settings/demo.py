"""Settings of the demo."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from volumen.settings.base import Device, Settings
from volumen.settings.source import Path


class Demo(Settings):
    """Run the main job on a synthetic segment: make it, learn, predict, score, report."""

    example: ClassVar[str] = "volumen demo --out volumen-demo"

    out: Path = Field("volumen-demo", description="Folder for everything it makes")
    overwrite: bool = Field(False, description="Replace what is at the output path")
    seed: int = Field(0, ge=0, description="Seed of the segment and of the training")
    device: Device = "auto"
