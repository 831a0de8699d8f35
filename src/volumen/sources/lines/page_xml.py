"""PAGE XML: the lines of a page as Transkribus, eScriptorium, OCR4all and Aletheia export them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.sources.lines.marked_page import MarkedLine, MarkedPage, size_of
from volumen.sources.numerals import whole

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def page_xml_pages(root: Element) -> list[MarkedPage]:
    """Read a PAGE tree, its outermost element ``PcGts``, of any year's schema; it holds one page.

    A line's text is its own ``TextEquiv``, the one of lowest index where there are several; where it has none, that of
    its words. Pletschacher and Antonacopoulos, "The PAGE (Page Analysis and Ground-Truth Elements) Format
    Framework", ICPR 2010.
    """
    return [
        MarkedPage(
            image=page.get("imageFilename", ""),
            size=size_of(page.get("imageHeight"), page.get("imageWidth")),
            pixels=True,
            lines=tuple(_line(line) for line in page.iter("TextLine")),
        )
        for page in root.iter("Page")
    ]


def _line(line: Element) -> MarkedLine:
    text = _text(line) or " ".join(filter(None, (_text(word) for word in line.findall("Word"))))
    return MarkedLine(name=line.get("id", ""), text=text, points=_points(line))


def _text(element: Element) -> str:
    readings = sorted(element.findall("TextEquiv"), key=_index)
    found = (reading.findtext("Unicode") or reading.findtext("PlainText") or "" for reading in readings)
    return next((" ".join(text.split()) for text in found if text.strip()), "")


def _index(reading: Element) -> int:
    return whole(reading.get("index", "")) or 0


def _points(line: Element) -> str:
    coordinates = line.find("Coords")
    if coordinates is None:
        return ""
    listed = [f"{point.get('x')},{point.get('y')}" for point in coordinates.findall("Point")]  # schemas before 2013
    return coordinates.get("points") or " ".join(listed)
