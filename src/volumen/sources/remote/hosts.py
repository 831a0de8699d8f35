"""Layouts: where the known servers keep segments, and how their files are called; a table, all bases replaceable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPEN = "Creative Commons Attribution-NonCommercial 4.0 (CC BY-NC 4.0), unless the data say otherwise"
_EDUCELAB = """\
Scrolls 1 to 4 and fragments 1 to 6 are of EduceLab-Scrolls, whose terms hold as well: cite it (Parsons et al., 2023,
arXiv 2304.02084); do not pass the data on without written approval; do not make hidden text public without it."""

_DATA = "https://dl.ash2txt.org"
_PACKAGES = {
    "Scroll1": "PHercParis4",
    "Scroll2": "PHercParis3",
    "Scroll3": "PHerc332",
    "Scroll4": "PHerc1667",
    "Scroll5": "PHerc172",
}
_PATHS = {scroll: f"full-scrolls/{scroll}/{name}.volpkg/paths" for scroll, name in _PACKAGES.items()}
_CORPUS = ("phercparis4", "0009b", "0139", "0500p2", "1667", "814", "841", "man5", "unused")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way of keeping segments on a server.

    Parameters
    ----------
    base
        URL below which everything lies.
    folders
        By scroll, the folder of its segments below the base.
    homes
        Where a segment's files may lie: ``{folder}`` and ``{id}`` are put in.
    volume
        The surface volume: a folder of layers, or a zarr; ``{home}`` and ``{id}`` are put in.
    rasters
        By raster, the files that may hold it, best first, without what ``endings`` and versions add.
    endings
        Forms in which a raster may be kept.
    versions
        Whether rasters may have versions, ``_v2`` and so on, of which the highest counts.
    catalogue
        File below the base that lists the segments, where folders cannot be listed.
    terms
        Under what terms the data are given.
    """

    base: str
    folders: Mapping[str, str]
    homes: tuple[str, ...]
    volume: str
    rasters: Mapping[str, tuple[str, ...]]
    endings: tuple[str, ...] = (".png",)
    versions: bool = False
    catalogue: str = ""
    terms: str = _OPEN

    @property
    def zarr(self) -> bool:
        """Whether the volume is a zarr, so that part of it can be fetched."""
        return self.volume.endswith(".zarr")


LAYOUTS = {
    "volpkg": Layout(
        base=_DATA,
        folders=_PATHS,
        homes=("{folder}/{id}", "{folder}/{id}_superseded"),
        volume="{home}/layers",
        rasters={"ink": ("{home}/{id}_inklabels",), "mask": ("{home}/{id}_mask",)},
        terms=f"{_OPEN}.\n{_EDUCELAB}",
    ),
    "dev-zarr": Layout(
        base=_DATA,
        folders={"Scroll1": "other/dev/scrolls/1/segments/54keV_7.91um"},
        homes=("{folder}",),
        volume="{home}/{id}.zarr",
        rasters={
            "ink": ("{home}/{id}_inklabels",),
            "mask": (f"{_PATHS['Scroll1']}/{{id}}/{{id}}_mask", f"{_PATHS['Scroll1']}/{{id}}_superseded/{{id}}_mask"),
        },
        terms=f"{_OPEN}.\n{_EDUCELAB}",
    ),
    "open-data": Layout(
        base="https://vesuvius-challenge-open-data.s3.us-east-1.amazonaws.com",
        folders={},
        homes=("{folder}/{id}",),
        volume="{home}/surface-volumes/{volume}.zarr",
        rasters={"ink": ("{home}/{id}_inklabels",), "mask": ("{home}/{id}_mask",)},
        endings=(".png", ".tif"),
        catalogue="metadata.json",
    ),
    "ink-corpus": Layout(
        base="https://huggingface.co/buckets/scrollprize/datasets/resolve",
        folders={scroll: f"ink/{scroll}" for scroll in _CORPUS},
        homes=("{folder}/{id}",),
        volume="{home}/{id}.zarr",
        rasters={
            "ink": ("{home}/{id}_inklabels",),
            "supervision": ("{home}/{id}_supervision_mask",),
            "held_out": ("{home}/{id}_validation_mask",),
            "mask": ("{home}/{id}_mask",),
        },
        endings=(".tif", ".zarr", ".png"),
        versions=True,
        terms=f"{_OPEN}.\n{_EDUCELAB}",
    ),
}
"""Layouts by name, in the order in which a segment is looked for."""
