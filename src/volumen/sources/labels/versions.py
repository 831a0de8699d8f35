"""LabelHome: where the versions of a segment's labels are kept, and how one begins without altering another."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr

from volumen.errors import SourceError
from volumen.settings.command import full_path
from volumen.sources.labels.inside import list_inner_rasters
from volumen.sources.open import find_label_home
from volumen.sources.pyramids.pyramid import create_pyramid, level_count, open_pyramid
from volumen.sources.raster_names import NAMES
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from volumen.sources.segment import Segment

PAINTING = "painting"
"""Kind of the stores that are painted on, in their attributes."""

# Supervision comes first: ink alone would be read as trusted everywhere, supervision alone as no label yet.
_RASTERS = ("supervision", "ink")
_CHUNK = 512
_BAND = 1024  # rows copied at a time


@dataclass(frozen=True)
class LabelHome:
    """The folder that keeps every version of one segment's ink and supervision.

    Parameters
    ----------
    folder
        ``labels/`` inside an OME-Zarr of ours, the folder beside any other volume, or one elsewhere.
    identity
        The segment's name, with which files beside it start; empty inside a store.
    """

    folder: Path
    identity: str = ""

    @classmethod
    def of(cls, segment: Segment, *, elsewhere: Path) -> LabelHome:
        """Choose the place where `open_segment` looks first; ``elsewhere``, where nothing can be written there."""
        location, identity = find_label_home(segment.source)
        if location.local and os.access(location.path, os.W_OK):
            folder = Path(location.path).absolute()
            return cls(folder, identity) if identity else cls(folder / "labels")
        mark = hashlib.sha256(full_path(segment.source).encode()).hexdigest()[:12]
        return cls(elsewhere / f"{segment.name}_{mark}", segment.name)

    def path(self, raster: str, version: int) -> Path:
        """Return where a version of ``ink`` or ``supervision`` is kept."""
        if self.identity:
            return self.folder / f"{self.identity}_{NAMES[raster]}_v{version}.zarr"
        return self.folder / f"{raster}_v{version}"

    def highest(self) -> int:
        """Return the highest version of either raster, in any form; 0 for labels without a number, or none."""
        if not self.folder.is_dir():
            return 0
        words = "|".join(NAMES[raster] if self.identity else raster for raster in _RASTERS)
        prefix = f"(?:{re.escape(self.identity)}_)?" if self.identity else ""
        found = re.compile(rf"{prefix}(?:{words})_v(\d+)(?:\.\w+)?")
        matches = (found.fullmatch(name) for name in os.listdir(self.folder))
        return max((int(match[1]) for match in matches if match), default=0)

    def kind(self, version: int) -> str:
        """Return what the stores of a version say they are: `PAINTING`, or something else."""
        for raster in _RASTERS:
            path = self.path(raster, version)
            if path.is_dir():
                with suppress(SourceError):  # a zarr of somebody else's is no painting
                    return str(open_pyramid(path).attributes.get("kind", ""))
        return ""


def begin_version(home: LabelHome, version: int, segment: Segment) -> None:
    """Make what a version lacks: from the painted version before it, else from the segment's labels, else empty.

    Each raster appears complete or not at all, in an order that reads right if the second never comes.
    """
    for raster in _RASTERS:
        if home.path(raster, version).exists():
            continue
        before = home.path(raster, version - 1)
        if home.kind(version - 1) == PAINTING and before.is_dir():
            _link(before, home.path(raster, version), version)
        else:
            _copy(home.path(raster, version), raster, version, segment)
    _list(home, version)


def link_version(home: LabelHome, version: int) -> int:
    """Begin the version after a painted one, chunk by chunk a second name of the same file; return its number.

    A chunk is never written in place but replaced, so that either version keeps its own from then on.
    """
    following = home.highest() + 1
    for raster in _RASTERS:
        _link(home.path(raster, version), home.path(raster, following), following)
    _list(home, following)
    return following


def _link(source: Path, path: Path, version: int) -> None:
    draft = _draft(path)
    try:
        shutil.copytree(
            source, draft, copy_function=_link_file, ignore=shutil.ignore_patterns("*.partial", "*unfinished*")
        )
        group = zarr.open_group(draft, mode="r+")
        recorded = open_pyramid(draft).attributes
        group.attrs["volumen"] = {**recorded, "version": version, "kept": False, "from": source.name}
        draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _link_file(source: str, target: str) -> str:
    """Give a chunk a second name; copy the metadata, and everything where a file system knows no hard links."""
    if not source.endswith(".json"):
        with suppress(OSError):
            os.link(source, target)
            return target
    return str(shutil.copy2(source, target))


def _copy(path: Path, raster: str, version: int, segment: Segment) -> None:
    _, height, width = segment.shape
    draft = _draft(path)
    origin = getattr(segment, raster)
    attributes = {
        "kind": PAINTING,
        "raster": raster,
        "version": version,
        "kept": False,
        "from": None if origin is None else origin.source,
    }
    try:
        pyramid = create_pyramid(
            draft,
            shape=(height, width),
            dtype="uint8",
            chunks=(_CHUNK, _CHUNK),
            axes="yx",
            voxel_um=segment.voxel_um,
            downsampling="nearest",
            attributes=attributes,
            name=path.name,
        )
        for window, pixels in _bands(raster, segment, max(_BAND, 1 << (level_count((height, width)) - 1))):
            pyramid.write(window, pixels)
        draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _bands(raster: str, segment: Segment, rows: int) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    """Yield the segment's label band by band, where it says something; without ink there is no label."""
    if segment.ink is None:
        return
    _, height, width = segment.shape
    for top in range(0, height, rows):
        window = Window((0, 1), (top, min(top + rows, height)), (0, width))
        if raster == "supervision":
            pixels = np.where(segment.supervised(window), np.uint8(255), np.uint8(0))
        else:
            pixels = np.zeros(window.shape[1:], np.uint8)
            there = window.clip((1, *segment.ink.extent))
            pixels[there.inside(window).yx] = segment.ink.pixels[there.yx]
        if pixels.any():
            yield window, pixels


def _draft(path: Path) -> Path:
    """Return a name that no reader looks at, free of what a killed program left there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    return draft


def _list(home: LabelHome, version: int) -> None:
    """Name the version in the store that holds it, as OME-Zarr readers expect it."""
    if home.identity:
        return
    listed = zarr.open_group(home.folder, mode="a", zarr_format=3).attrs.get("ome", {})
    names = listed.get("labels", []) if isinstance(listed, dict) else []
    present = [str(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
    mine = {home.path(raster, version).name for raster in _RASTERS}
    if not mine <= set(present):
        list_inner_rasters(home.folder.parent, {*present, *mine})
