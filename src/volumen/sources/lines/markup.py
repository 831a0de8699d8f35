"""Markup: XML from strangers as a tree without namespaces; whatever declares a document type is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import TreeBuilder
from xml.parsers import expat

from volumen.errors import SourceError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from volumen.sources.location import Location

_DEEPEST = 200  # elements inside each other; PAGE and ALTO need about ten


def read_xml(location: Location) -> Element:
    """Parse an XML file; tags and attributes lose their namespaces.

    Raises
    ------
    SourceNotFoundError
        When there is no such file.
    SourceError
        When it is damaged, declares a document type (entities could then grow without end, or read other files), or
        nests deeper than any page does.
    """
    raw = location.contents()
    parser = expat.ParserCreate()
    builder = _Tree(location, parser)
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{location} is damaged or no XML ({error}); export it again.") from error
    return builder.root


class _Tree:
    """Build a tree from what a parser meets."""

    def __init__(self, location: Location, parser: Any) -> None:
        self._location, self._builder, self._depth = location, TreeBuilder(), 0
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._builder.data

    @property
    def root(self) -> Element:
        return self._builder.close()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise SourceError(f"{self._location} nests more than {_DEEPEST} elements; no page does. Export it again.")
        self._builder.start(_local(tag), {_local(name): value for name, value in attributes.items()})

    def _end(self, tag: str) -> None:
        self._depth -= 1
        self._builder.end(_local(tag))

    def _doctype(self, name: str, *_: Any) -> None:
        raise SourceError(
            f"{self._location} declares a document type ({name}), which PAGE and ALTO do not need and which can make "
            "a reader expand entities without end. Remove its <!DOCTYPE …> if you trust the file."
        )


def _local(name: str) -> str:
    return name.rpartition(":")[2]
