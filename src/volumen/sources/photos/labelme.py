"""Polygon files: a JSON beside each photograph, as the annotation program labelme writes it.

The one form: ``imagePath`` (from the JSON's folder on), ``imageWidth`` and ``imageHeight`` in px, ``flags`` (those that
are true are tags of the photograph), and ``shapes``, each with ``label`` (what is written, or ``ignore``), ``points``
([x, y] pairs in px) and ``shape_type``: ``polygon``, or ``rectangle`` with two opposite corners. Other shapes are no
areas and are passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.errors import SourceError
from volumen.plain_json import parse_object
from volumen.sources.photos.ctw import corners
from volumen.sources.photos.photo import Character, Listed, Polygons

if TYPE_CHECKING:
    from volumen.sources.location import Location
    from volumen.sources.outlines import Outline

IGNORE = "ignore"
"""Label of the regions that never count."""


def read_labelme(location: Location) -> Listed:
    """Read one polygon file.

    Raises
    ------
    SourceNotFoundError
        When there is no such file.
    SourceError
        When it is damaged, or in another form.
    """
    raw = location.contents()
    try:
        said = parse_object(raw)
        drawn = [(str(shape["label"]), _outline(shape)) for shape in said["shapes"]]
        file = str(said["imagePath"]).replace("\\", "/")
        height, width = said.get("imageHeight"), said.get("imageWidth")
        size = (int(height), int(width)) if height and width else None
        tags = tuple(str(name) for name, true in (said.get("flags") or {}).items() if true)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise SourceError(
            f"{location} should be a JSON object with imagePath and shapes, as labelme writes it "
            f"({type(error).__name__}: {error})."
        ) from error
    areas = [(label, outline) for label, outline in drawn if outline is not None]
    image = location.parent / file
    return Listed(
        file=file,
        location=image if image.exists() else None,
        size=size,
        polygons=Polygons(
            characters=tuple(Character(outline, label) for label, outline in areas if label != IGNORE),
            ignore=tuple(outline for label, outline in areas if label == IGNORE),
        ),
        tags=tags,
    )


def is_labelme(raw: bytes) -> bool:
    """Whether a JSON file is such a one, rather than a settings file or another program's."""
    try:
        said = parse_object(raw)
    except ValueError:
        return False
    return {"imagePath", "shapes"} <= said.keys()


def _outline(shape: dict[str, Any]) -> Outline | None:
    points = corners(shape["points"])
    match shape.get("shape_type", "polygon"):
        case "polygon":
            return points
        case "rectangle":
            (left, top), (right, bottom) = points
            return ((left, top), (right, top), (right, bottom), (left, bottom))
    return None
