"""ALTO: the lines of a page as libraries, ABBYY, kraken and eScriptorium export them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.sources.lines.marked_page import MarkedLine, MarkedPage, size_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def alto_pages(root: Element) -> list[MarkedPage]:
    """Read an ALTO tree, its outermost element ``alto``, of version 2 to 4.

    A line's outline is its polygon, or its rectangle where it has none. Its text is its strings and hyphens, parted
    by spaces where the file says so, and everywhere where it says so nowhere in the line. Library of Congress,
    "ALTO: Technical Metadata for Layout and Text Objects".
    """
    unit = root.findtext("Description/MeasurementUnit", "pixel").strip()
    image = root.findtext("Description/sourceImageInformation/fileName", "").strip()
    return [
        MarkedPage(
            image=image,
            size=size_of(page.get("HEIGHT"), page.get("WIDTH")),
            pixels=unit == "pixel",
            lines=tuple(_line(line) for line in page.iter("TextLine")),
        )
        for page in root.iter("Page")
    ]


def _line(line: Element) -> MarkedLine:
    parts = [element for element in line if element.tag in ("String", "SP", "HYP")]
    spaced = any(element.tag == "SP" for element in parts)
    text = ""
    for element in parts:
        apart = element.tag == "SP" or (element.tag == "String" and not spaced)
        text += (" " if apart else "") + element.get("CONTENT", "") * (element.tag != "SP")
    return MarkedLine(name=line.get("ID", ""), text=" ".join(text.split()), points=_points(line))


def _points(line: Element) -> str:
    polygon = line.find("Shape/Polygon")
    if polygon is not None and polygon.get("POINTS"):
        return polygon.get("POINTS", "")
    box = size_of(line.get("HEIGHT"), line.get("WIDTH"))
    try:
        left, top = float(line.get("HPOS", "")), float(line.get("VPOS", ""))
    except ValueError:
        return ""
    if box is None:
        return ""
    bottom, right = top + box[0] - 1, left + box[1] - 1  # last pixels: an outline's own corners belong to it
    return f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}"
