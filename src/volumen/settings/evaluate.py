"""Settings of scoring a prediction."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from volumen.settings.base import Count, Region, Share
from volumen.settings.source import LabelPaths, Path


class Evaluate(LabelPaths):
    """Score an ink map against labels: held-out pixels, whole mask and ink tiles, with confidence intervals."""

    example: ClassVar[str] = "volumen evaluate ink.zarr 20230827161847.zarr"
    positional: ClassVar[tuple[str, ...]] = ("prediction", "segment")

    prediction: Path = Field(description="Ink map (OME-Zarr, TIFF or PNG)")
    segment: Path = Field(description="Segment with the labels, that the map was made of")
    region: Region | None = Field(None, description="Score only inside this box, and call it held out")
    tile: Count = Field(320, description="Side of the tiles that the ink-tile score counts, in pixels")
    min_ink: Share = Field(0.05, description="Least share of ink in such a tile")
    block: Count = Field(128, description="Side of the blocks that the bootstrap draws, in pixels")
    resamples: Count = Field(200, description="Draws of the bootstrap")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap and of the calibration's folds")
    out: Path | None = Field(None, description="JSON file to write the scores to; one that is there is replaced")
