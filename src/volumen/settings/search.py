"""Settings of finding places that look alike."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from volumen.settings.base import Count, Settings, Share
from volumen.settings.source import Path


def _parse_spot(value: Any) -> Any:
    """Read ``SEGMENT:Y,X``; the segment may hold colons itself."""
    if not isinstance(value, str):
        return value
    name, _, point = value.rpartition(":")
    try:
        y, x = (int(part) for part in point.split(","))
    except ValueError:
        name = ""
    if not name:
        raise ValueError(f"expected SEGMENT:Y,X, such as 20230827161847:4096,1024; got {value!r}")
    return (name, y, x)


def _spot_as_text(value: tuple[str, int, int]) -> str:
    return f"{value[0]}:{value[1]},{value[2]}"


Spot = Annotated[
    tuple[str, Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]],
    BeforeValidator(_parse_spot),
    PlainSerializer(_spot_as_text),
    Field(json_schema_extra={"metavar": "SEGMENT:Y,X", "unit": "pixels at full size"}),
]
"""A place in pixels of a segment, which is named or given by the path that was indexed."""


class Search(Settings):
    """Find the places of an index that look most like a given one, as scores, coordinates and a contact sheet."""

    example: ClassVar[str] = "volumen search index --at 20230827161847:4096,1024 --out alike"
    positional: ClassVar[tuple[str, ...]] = ("index",)

    index: Path = Field(description="Index folder, as `volumen index` makes it")
    at: tuple[Spot, ...] = Field(
        min_length=1, description="Place to find more of; of several, a place that looks like any of them is found"
    )
    k: Count = Field(50, title="How many", description="How many places to find")
    comparison: Literal["local", "standardized", "unit", "plain"] = Field(
        "local",
        description="How vectors are compared: by how a window differs from those around it; each number by its spread "
        "over the index; by direction alone; or as they are",
    )
    overlap: Share = Field(
        0.25, description="Largest share of a window that two places, or a place and a given one, may have in common"
    )
    out: Path | None = Field(None, description="Folder to write places.json, places.csv and sheet.png to")
    overwrite: bool = Field(False, description="Replace what is at the output path")
