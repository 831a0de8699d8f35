"""Intact: whether a file is whole by its own form, for servers that say its size wrongly and no checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.plain_json import parse
from volumen.sources.arrays.tiff_file import open_tiff
from volumen.sources.damage import DAMAGE

if TYPE_CHECKING:
    from pathlib import Path

_TAIL = 64  # bytes in which a picture's last marker must be


def flaw(path: Path, name: str) -> str:
    """Return what a file lacks, for the end of a sentence; empty where nothing, or where its form does not say.

    Parameters
    ----------
    path
        The file, whatever it is called now.
    name
        What it will be called; the ending says its form.
    """
    ending = name.lower().rpartition(".")[2]
    if ending in ("tif", "tiff"):
        return "" if _whole_tiff(path) else "it is no whole TIFF"
    if ending == "png":
        return "" if b"IEND\xaeB`\x82" in _tail(path) else "it is no whole PNG"
    if ending in ("jpg", "jpeg"):
        return "" if b"\xff\xd9" in _tail(path) else "it is no whole JPEG"
    if ending in ("json", "zarray", "zattrs", "zgroup", "zmetadata"):
        return "" if _is_json(path) else "it is no whole JSON"
    return ""


def _whole_tiff(path: Path) -> bool:
    """Say whether all that a TIFF's pages point to lies inside the file; nothing is decoded."""
    size = path.stat().st_size
    try:
        with open_tiff(path) as tiff:
            ends = [
                offset + count
                for page in tiff.pages
                for offset, count in zip(page.aspage().dataoffsets, page.aspage().databytecounts, strict=True)
            ]
    except DAMAGE:
        return False
    return bool(ends) and max(ends) <= size


def _is_json(path: Path) -> bool:
    try:
        parse(path.read_bytes())
    except ValueError:
        return False
    return True


def _tail(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return file.read()
