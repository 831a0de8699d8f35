"""Settings of the report."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from volumen.settings.base import Count, Settings
from volumen.settings.source import Path, Paths


class Report(Settings):
    """Write one self-contained page about one run or several: curves, pictures, tables, settings."""

    example: ClassVar[str] = "volumen report runs/first --out report --predictions ink.zarr"
    positional: ClassVar[tuple[str, ...]] = ("runs",)

    runs: Paths = Field(min_length=1, description="Run folders")
    out: Path = Field(description="Folder to write report.html and its tables to; a report that is there is replaced")
    predictions: Paths = Field((), description="Ink maps to show; found beside the runs if not given")
    places: Count = Field(4, description="How many places to show in pictures")
