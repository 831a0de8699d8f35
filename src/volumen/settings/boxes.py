"""Settings of putting boxes around what a map shows."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count, Settings
from volumen.settings.source import Path


class Boxes(Settings):
    """Put boxes around what a probability map shows, such as characters: its connected components, as JSON or CSV."""

    example: ClassVar[str] = "volumen boxes map.zarr --out boxes.json"
    positional: ClassVar[tuple[str, ...]] = ("prediction",)

    prediction: Path = Field(description="Probability map (OME-Zarr, TIFF or PNG)")
    out: Path = Field(description="File to write the boxes to, .json or .csv")
    overwrite: bool = Field(False, description="Replace what is at the output path")
    threshold: float | None = Field(
        None, gt=0, le=1, description="Probability from which a pixel is called; the map's own if it has one, else 0.5"
    )
    min_area: Count = Field(16, description="Fewest called pixels of a box")
    gap: int = Field(
        0, ge=0, description="Pixels between called ones that do not part them, so that the strokes of a letter are one"
    )

    @model_validator(mode="after")
    def _check_out(self) -> Self:
        if not self.out.lower().endswith((".json", ".csv")):
            raise ValueError(f"boxes are written as .json or .csv; got {self.out!r}")
        return self
