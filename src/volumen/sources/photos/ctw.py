"""CTW: photographs of street text as the Chinese Text in the Wild dataset lists them, a JSON object a line.

Yuan et al., "A Large Chinese Text Dataset in the Wild", 2019, whose annotations have ``file_name``, ``width``,
``height``, ``annotations`` (texts, each a list of characters with ``polygon``, ``text`` and ``is_chinese``) and
``ignore`` (regions with ``polygon``). As there, a character with ``is_chinese`` false (a digit, a Latin letter) is
neither marked nor ignored: it is background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.errors import SourceError
from volumen.plain_json import parse_object
from volumen.sources.photos.photo import Character, Listed, Polygons

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.sources.location import Location
    from volumen.sources.outlines import Outline

_FOLDERS = ("", "images", "../images")  # where the images of a list may lie, from its folder on


def read_ctw(location: Location) -> list[Listed]:
    """Read a list in CTW's form; the images lie beside it, or in ``images`` beside it or beside its folder.

    Raises
    ------
    SourceNotFoundError
        When there is no such file.
    SourceError
        When a line of it is no JSON, or lacks what it should say.
    """
    raw = location.contents()
    places = [location.parent / folder if folder else location.parent for folder in _FOLDERS]
    where = {name: place / name for place in reversed(places) for name in place.listing() or ()}
    return [_listed(location, number, line, where) for number, line in _lines(location, raw)]


def corners(said: Any) -> Outline:
    """Return a polygon of [x, y] pairs; what is no number becomes NaN, which is counted as damage later.

    Examples
    --------
    >>> corners([[0, 0], [4, None]])
    ((0.0, 0.0), (4.0, nan))
    """
    return tuple((_number(x), _number(y)) for x, y in said)


def _number(said: Any) -> float:
    return float(said) if isinstance(said, int | float) else float("nan")


def _lines(location: Location, raw: bytes) -> Iterator[tuple[int, str]]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{location} should be JSON lines in UTF-8 ({error}).") from error
    yield from ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _listed(location: Location, number: int, line: str, where: dict[str, Location]) -> Listed:
    try:
        said = parse_object(line)
        file = str(said["file_name"])
        characters = tuple(
            Character(corners(character["polygon"]), str(character.get("text", "")))
            for text in said.get("annotations", ())
            for character in text
            if character.get("is_chinese", True)
        )
        ignore = tuple(corners(region["polygon"]) for region in said.get("ignore", ()))
        size = (int(said["height"]), int(said["width"])) if {"height", "width"} <= said.keys() else None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise SourceError(
            f"Line {number} of {location} should be a JSON object with file_name, annotations and ignore, as CTW "
            f"writes them ({type(error).__name__}: {error})."
        ) from error
    return Listed(
        file=file, location=where.get(file), size=size, polygons=Polygons(characters=characters, ignore=ignore)
    )
