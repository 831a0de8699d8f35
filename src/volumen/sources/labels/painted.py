"""PaintedLabels: what a person paints, on disk as versions of the flat rasters ``ink`` and ``supervision``."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from volumen.errors import OutOfSpaceError, SourceNotFoundError
from volumen.sources.labels.versions import PAINTING, LabelHome, begin_version, link_version
from volumen.sources.pyramids.pyramid import Pyramid, open_pyramid
from volumen.whole_files import out_of_space, write_whole
from volumen.windows import Window, grid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from volumen.sources.segment import Segment

UNLABELLED, BACKGROUND, INK = 0, 1, 2
"""The classes of a painting; unlabelled is not background."""

_HALF = 128  # the first value above one half, where 255 is one
_UNFINISHED = "unfinished.json"


@dataclass(frozen=True)
class Labels:
    """One version of the labels on disk.

    Parameters
    ----------
    ink, supervision
        Flat OME-Zarr images that ``--ink`` and ``--supervision`` take.
    """

    ink: Path
    supervision: Path


@dataclass(frozen=True)
class Patch:
    """The two rasters over one window, uint8 YX: soft ink, and 255 where it may be trusted."""

    ink: NDArray[np.uint8]
    supervision: NDArray[np.uint8]

    @property
    def classes(self) -> NDArray[np.uint8]:
        """Class of each pixel: 0 not labelled, 1 background, 2 ink."""
        return classes_of(self.ink, self.supervision)

    def repainted(self, classes: NDArray[np.uint8]) -> Patch:
        """Return the rasters that say ``classes``; where the class is the same, they keep their values."""
        kept = classes == self.classes
        ink = np.where(kept, self.ink, np.where(classes == INK, np.uint8(255), np.uint8(0)))
        supervision = np.where(kept, self.supervision, np.where(classes > UNLABELLED, np.uint8(255), np.uint8(0)))
        return Patch(ink, supervision)


def classes_of(ink: NDArray[np.uint8], supervision: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the class of each pixel of two rasters.

    Examples
    --------
    >>> classes_of(np.uint8([0, 255, 0, 200]), np.uint8([0, 0, 255, 255])).tolist()
    [0, 0, 1, 2]
    """
    return np.where(supervision >= _HALF, np.uint8(1) + (ink >= _HALF), np.uint8(0)).astype(np.uint8)


class PaintedLabels:
    """The labels of a whole segment at any size: chunks that were never painted take no disk and no time.

    A chunk of ink and one of supervision are written one after the other, each at once or not at all, in an
    order that leaves every pixel with its former class or its present one, whenever the program is killed.
    What halves of them lag behind is noted before, and made up for when the labels are opened again.

    One thread writes; any may read.
    """

    def __init__(self, home: LabelHome, version: int) -> None:
        self._home = home
        self._open(version)
        self._repair()

    @property
    def version(self) -> int:
        """Number of the version that is shown, and painted on unless it is kept."""
        return self._version

    @property
    def kept(self) -> bool:
        """Whether this version stays as it is, so that the next stroke begins another."""
        return self._kept

    @property
    def labels(self) -> Labels:
        """Where this version is."""
        return Labels(self._ink.path, self._supervision.path)

    @property
    def shape(self) -> tuple[int, int]:
        """Extent (H, W) in pixels, the segment's."""
        height, width = self._ink.shape
        return (height, width)

    @property
    def chunk(self) -> int:
        """Side of a chunk in pixels."""
        return int(self._ink.levels[0].chunks[0])

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]:
        """Extent (H, W) of each level of the pyramid, full size first."""
        return tuple((level.shape[0], level.shape[1]) for level in self._ink.levels)

    def read(self, window: Window) -> Patch:
        """Read both rasters over a window inside the segment."""
        return self.read_level(0, window.yx)

    def read_level(self, level: int, key: Any) -> Patch:
        """Read both rasters at a level of the pyramid; ``key`` is what a YX array may be indexed with."""
        ink, supervision = self._ink.levels[level], self._supervision.levels[level]
        return Patch(np.asarray(ink[key], np.uint8), np.asarray(supervision[key], np.uint8))

    def write(self, window: Window, patch: Patch, changed: NDArray[np.bool_]) -> None:
        """Write the changed pixels of a window, at every level; on a kept version, begin the next one first.

        Parameters
        ----------
        window
            Where ``patch`` lies, inside the segment.
        patch
            Both rasters over the window.
        changed
            Which of its pixels to write, YX; chunks without one are left alone.

        Raises
        ------
        OutOfSpaceError
            When the disk is full. What could not be written is still in ``patch``: write it again.
        SourceNotFoundError
            When the labels have been deleted meanwhile.
        """
        boxes = [box for box in self._chunks(window) if changed[(box & window).inside(window).yx].any()]
        if not boxes:
            return
        with _room(self._ink.path):
            self._check_there()
            self._repair()  # what a full disk had kept from being halved: its note makes way for that of this write
            if self._kept:
                self._open(link_version(self._home, self._version))
            self._note(boxes)
            for box in boxes:
                part = box & window
                self._write_chunk(box, part, _cut(patch, part.inside(window)), changed[part.inside(window).yx])
            (self._ink.path / _UNFINISHED).unlink(missing_ok=True)

    def keep(self) -> Labels:
        """Keep this version as it is: whoever reads it reads the same for ever; later strokes go to the next."""
        with _room(self._ink.path):
            self._check_there()
            self._repair()
            for pyramid in (self._supervision, self._ink):
                group = zarr.open_group(pyramid.path, mode="r+")
                group.attrs["volumen"] = {**dict(pyramid.attributes), "kept": True}
        self._kept = True
        return self.labels

    def _write_chunk(self, box: Window, part: Window, patch: Patch, changed: NDArray[np.bool_]) -> None:
        """Write the changed pixels of one chunk, in the order that a kill cannot turn into a wrong label.

        Ink where it will be trusted comes first, then trust, then ink where trust was taken away: between two
        of these steps no pixel is trusted that was not, or will not be, with the ink it then has.
        """
        was = self.read(box)
        ink, supervision = was.ink.copy(), was.supervision.copy()
        place = part.inside(box).yx
        ink[place][changed] = patch.ink[changed]
        supervision[place][changed] = patch.supervision[changed]
        trusted = np.where(supervision >= _HALF, ink, was.ink)
        steps = ((self._ink, trusted, was.ink), (self._supervision, supervision, was.supervision))
        for pyramid, pixels, before in (*steps, (self._ink, ink, trusted)):
            if not np.array_equal(pixels, before):
                pyramid.write(box, pixels)

    def _chunks(self, window: Window) -> Iterator[Window]:
        """Yield the chunks that share a pixel with a window, cut to the segment."""
        side = self.chunk
        top, left = window.y[0] // side * side, window.x[0] // side * side
        for box in grid(Window((0, 1), (top, window.y[1]), (left, window.x[1])), side, side):
            yield box.clip(self._ink.volume)

    def _open(self, version: int) -> None:
        self._version = version
        self._ink = open_pyramid(self._home.path("ink", version), mode="r+")
        self._supervision = open_pyramid(self._home.path("supervision", version), mode="r+")
        self._kept = any(bool(pyramid.attributes.get("kept")) for pyramid in (self._ink, self._supervision))

    def _note(self, boxes: list[Window]) -> None:
        write_whole(self._ink.path / _UNFINISHED, json.dumps([box.box for box in boxes]))

    def _repair(self) -> None:
        """Halve again what was written at full size only, when the program was killed or the disk full."""
        note = self._ink.path / _UNFINISHED
        if not note.exists():
            return
        with _room(self._ink.path):
            for y0, y1, x0, x1 in json.loads(note.read_text()):
                box = Window((0, 1), (y0, y1), (x0, x1))
                patch = self.read(box)
                _halve_again(self._ink, box, patch.ink)
                _halve_again(self._supervision, box, patch.supervision)
            note.unlink()

    def _check_there(self) -> None:
        for pyramid in (self._ink, self._supervision):
            if not (pyramid.path / "zarr.json").exists():
                raise SourceNotFoundError(
                    f"The labels at {pyramid.path} are gone: expected them where painting began. Put them back, or "
                    "save the painted layer elsewhere; the strokes in the window are still in memory."
                )


def open_painted(segment: Segment, *, elsewhere: Path) -> PaintedLabels:
    """Open the labels of a segment to paint on them.

    The highest version that was painted goes on. Labels of any other form or origin stay as they are, and a
    version of their content begins, ``_v<N + 1>``; `open_segment` finds it from then on, without any option.

    Parameters
    ----------
    segment
        As `open_segment` returns it.
    elsewhere
        Folder to keep the labels in where there can be none with the segment: it is remote, or read-only.

    Raises
    ------
    OutOfSpaceError
        When the disk is too full for the copy; nothing is left behind.
    """
    home = LabelHome.of(segment, elsewhere=elsewhere)
    highest = home.highest()
    version = highest if home.kind(highest) == PAINTING else highest + 1
    with _room(home.folder):
        begin_version(home, version, segment)
    return PaintedLabels(home, version)


def _cut(patch: Patch, inside: Window) -> Patch:
    return Patch(patch.ink[inside.yx], patch.supervision[inside.yx])


def _halve_again(pyramid: Pyramid, box: Window, pixels: NDArray[np.uint8]) -> None:
    if len(pyramid.levels) > 1:
        pyramid.write(box, pixels, first=1)


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """Say of a full disk what a painter can do."""
    try:
        with out_of_space(path):
            yield
    except OutOfSpaceError as error:
        raise OutOfSpaceError(
            f"The disk that holds {path} is full. Free some space: the strokes are kept in memory and are saved then."
        ) from error
