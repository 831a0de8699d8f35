"""Settings of bringing segments from servers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from volumen.settings.base import LayerRange, Region
from volumen.settings.servers import Servers
from volumen.settings.source import Path


class Download(Servers):
    """Bring segments from a server: volume, mask and labels, verified; interrupted, the same command goes on."""

    example: ClassVar[str] = "volumen download 20230827161847 --to segments"
    positional: ClassVar[tuple[str, ...]] = ("segments",)

    segments: tuple[str, ...] = Field(min_length=1, description="Id of a segment, such as 20230827161847")
    to: Path = Field(".", description="Folder in which each segment gets a folder of its name")
    layers: LayerRange | None = Field(None, description="Only these layers; of a zarr, the chunks they touch")
    region: Region | None = Field(None, description="Only the chunks of a zarr that this box touches")
