"""Facts: what is known about an opened segment, and what its preflight found, in words for people."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from volumen.plugin.field_names import for_forms
from volumen.sources.arrays.zarr_volume import ZarrVolume
from volumen.sources.location import Location
from volumen.sources.segment import RASTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volumen.sources.labels.rasters import Raster
    from volumen.sources.segment import Segment

Severity = Literal["error", "warning", "note"]

_NAMES = {"ink": "Ink labels", "supervision": "Supervision", "held_out": "Held out", "mask": "Papyrus mask"}
_ABSENT = {
    "ink": "none yet: paint some",
    "supervision": "none: labels count everywhere within the mask",
    "held_out": "none: chosen when training",
    "mask": "none: all of it counts as papyrus",
}
_LARGE = 4096  # px: beyond it a volume without levels is slow to look at
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Fact:
    """One thing that is known: its name, and the words for it."""

    name: str
    words: str


@dataclass(frozen=True)
class Told:
    """One thing that a preflight says, and how much it matters.

    Parameters
    ----------
    severity
        ``error`` where training cannot work, ``warning`` where it may be in vain, ``note`` where nothing is wrong.
    words
        What was seen, and the cure.
    """

    severity: Severity
    words: str


def facts_of(segment: Segment) -> list[Fact]:
    """Say what an opened segment is, from its headers alone."""
    depth, height, width = segment.shape
    edge = segment.voxel_um
    size = f"{height:,} × {width:,} px (height × width)"
    if edge:
        size += f", {_millimetres(height * edge)} × {_millimetres(width * edge)} mm"
    order = ", read last to first" if segment.reverse else ""
    return [
        Fact("Size", size),
        Fact("Layers", f"{depth}, writing surface in layer {segment.surface_index}{order}"),
        Fact("Voxel", f"{edge:g} µm, {segment.dtype}" if edge else f"size unknown, {segment.dtype}"),
        Fact("Stored as", _form(segment)),
        *(Fact(_NAMES[name], _raster(name, getattr(segment, name), segment.source)) for name in RASTERS),
    ]


def reason_to_convert(segment: Segment) -> str:
    """Say why a copy as chunked OME-Zarr would be better to work with; empty where it would not.

    Examples
    --------
    >>> import numpy as np
    >>> from volumen.sources.segment import Segment
    >>> reason_to_convert(Segment(name="a", source="a.npy", levels=(np.zeros((3, 8, 8)),)))[:36]
    'Every step reads whole rows or layer'
    """
    volume = segment.levels[0]
    if not Location.of(segment.source).local:
        return "Every step waits for the network. A copy on this machine is fast to look at and to learn from."
    if not isinstance(volume, ZarrVolume):
        return "Every step reads whole rows or layers. A chunked copy with a pyramid is many times as fast."
    if len(segment.levels) == 1 and max(volume.shape[1:]) > _LARGE:
        return "The store has no pyramid, so that looking at all of it is slow. A copy with one is fast at every zoom."
    return ""


def output_of(segment: Segment, cache: Path) -> Path:
    """Return where to put a converted copy: beside the source where that can be written, else in the cache folder."""
    location = Location.of(segment.source)
    folder = Path(location.parent.path) if location.local else cache
    if not os.access(folder, os.W_OK):
        folder = cache
    beside = folder / f"{segment.name}.zarr"
    return folder / f"{segment.name}_converted.zarr" if str(beside) == location.path else beside


def findings_of(result: Mapping[str, Any]) -> list[Told]:
    """Say what a preflight's result holds, what matters most first.

    Options of the command line are named as the forms name them.
    """
    told = [Told(found.get("severity", "warning"), for_forms(found["message"])) for found in result["findings"]]
    told += [Told("note", for_forms(str(note))) for note in result.get("notes", ())]
    if not result["findings"]:
        told.insert(0, Told("note", "Nothing speaks against training on this segment."))
    return sorted(told, key=lambda one: _SEVERITIES.index(one.severity))


def _raster(name: str, raster: Raster | None, source: str) -> str:
    if raster is None:
        return _ABSENT[name]
    height, width = raster.extent
    cut = "" if raster.extent == raster.shape else f", for {height:,} × {width:,} px from the top left"
    where = "in the store" if raster.source.startswith(f"{source}/") else Location.of(raster.source).name
    return f"found, {where}{cut}"


def _form(segment: Segment) -> str:
    volume = segment.levels[0]
    if not isinstance(volume, ZarrVolume):
        return "layer images or one file, no pyramid"
    levels = f"pyramid of {len(segment.levels)} levels" if len(segment.levels) > 1 else "one level"
    return f"zarr in chunks of {' × '.join(map(str, volume.chunks))} voxels, {levels}"


def _millimetres(micrometres: float) -> str:
    return f"{micrometres / 1000:,.3g}"
