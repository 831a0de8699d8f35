"""ProbabilityMap: the ink map on disk, written block by block, resumable after a kill with the same bytes."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import zarr

from volumen.drafts import clear_drafts, draft_of
from volumen.errors import OutputExistsError, SettingsError, SourceError, SourceNotFoundError
from volumen.sources.pyramids.halving import halve
from volumen.sources.pyramids.pyramid import Pyramid, create_pyramid, halved, open_pyramid
from volumen.whole_files import out_of_space
from volumen.windows import Window, grid

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

_KIND = "probability_map"
_JOURNAL = "blocks.done"
_BLOCK = 512  # px; 16 levels of halving stay on its grid


@dataclass(frozen=True, kw_only=True)
class ProbabilityMap:
    """A uint8 YX image of ink probability times 255, as an OME-Zarr pyramid; 0 also where nothing was predicted.

    The unit of work is a square block that owns its chunk at full size, which any process may write. A coarser chunk
    is shared by several blocks, so one thread of one process writes those. The same thread marks a block done, in a
    journal of one byte a block, after all its levels are written; whoever resumes writes the others, an interrupted
    one again. That a chunk is there says nothing: chunks of zeros are not stored. The journal goes when the map is
    finished.

    What made the map is kept in one place, the map's own attributes under ``volumen``: ``settings``, which a
    resumed prediction must share, and ``provenance``, which is recorded only.
    """

    pyramid: Pyramid

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.pyramid.path

    @property
    def window(self) -> Window:
        """The whole map, one layer deep."""
        return Window.whole(self.pyramid.volume)

    @property
    def block(self) -> int:
        """Side of a block in pixels."""
        return self.pyramid.levels[0].chunks[-1]

    @property
    def attributes(self) -> dict[str, Any]:
        """``kind``, ``settings``, ``provenance`` and ``finished``, as on disk now; an error where nothing is."""
        try:
            attributes = dict(zarr.open_group(self.path, mode="r").attrs)
            return cast("dict[str, Any]", attributes["volumen"])
        except (FileNotFoundError, KeyError) as error:
            raise SourceNotFoundError(
                f"The map at {self.path} is gone, or something else is in its place; predict it again."
            ) from error

    @property
    def finished(self) -> bool:
        """Whether every block that should be predicted is."""
        return bool(self.attributes["finished"])

    def blocks(self, within: Window) -> Iterator[Window]:
        """Yield the blocks that share a pixel with ``within``, row by row, cut to the map."""
        side = self.block
        top, left = within.y[0] // side * side, within.x[0] // side * side
        around = Window((0, 1), (top, max(top, within.y[1])), (left, max(left, within.x[1])))
        for block in grid(around, side, side):
            yield block.clip(self.pyramid.volume)

    def done(self) -> frozenset[Window]:
        """Return the blocks that are written at every level."""
        everything = list(self.blocks(self.window))
        if self.finished:
            return frozenset(everything)
        journal = self.path / _JOURNAL
        marks = journal.read_bytes() if journal.exists() else b""
        return frozenset(block for block, mark in zip(everything, marks, strict=False) if mark)

    def read(self, window: Window, level: int = 0) -> NDArray[np.uint8]:
        """Read a YX box of ``level`` that lies inside it."""
        array = self.pyramid.levels[level]
        height, width = array.shape
        if window.clip((1, height, width)) != window:
            raise SourceError(f"{window} reaches outside level {level} of {self.path}, which has shape {array.shape}.")
        return np.asarray(array[window.yx], dtype=np.uint8)

    def write(self, block: Window, values: NDArray[np.uint8]) -> None:
        """Write one of `blocks` at every level, then mark it done.

        Raises
        ------
        SettingsError
            When ``block`` is not one of `blocks`.
        OutOfSpaceError
            When the disk is full; blocks that are marked stay valid.
        """
        self.write_copies(block, self.write_full(block, values))

    def write_full(self, block: Window, values: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Write one of `blocks` at full size only; return its copy of half the size, None where there is no such level.

        Processes that have different blocks may do this at the same time. Raises what `write` does.
        """
        if next(self.blocks(block)) != block:
            raise SettingsError(f"The map's blocks are {self.block} px a side; got {block}.")
        self.pyramid.write(block, values, top=0)
        return None if len(self.pyramid.levels) == 1 else halve(values, self.pyramid.downsampling)

    def write_copies(self, block: Window, half: NDArray[np.uint8] | None) -> None:
        """Write the coarser levels of a block that `write_full` wrote, and returned ``half`` of, then mark it done."""
        if half is not None:
            self.pyramid.write(halved(block), half, base=1)
        with out_of_space(self.path):
            self._mark(block)

    def finish(self) -> None:
        """Record that the map is complete."""
        attributes = self.attributes
        with out_of_space(self.path):
            group = zarr.open_group(self.path, mode="r+")
            group.attrs["volumen"] = {**attributes, "finished": True}
        (self.path / _JOURNAL).unlink(missing_ok=True)

    def _mark(self, block: Window) -> None:
        rows, columns = (-(-length // self.block) for length in self.pyramid.shape)
        journal = self.path / _JOURNAL
        if not journal.exists():
            journal.write_bytes(bytes(rows * columns))
        with journal.open("r+b") as marks:
            marks.seek(block.y[0] // self.block * columns + block.x[0] // self.block)
            marks.write(b"\1")


def create_map(
    path: str | os.PathLike[str],
    *,
    shape: tuple[int, int],
    settings: Mapping[str, Any],
    provenance: Mapping[str, Any] | None = None,
    voxel_um: float | None = None,
    block: int = _BLOCK,
    resume: bool = False,
    overwrite: bool = False,
) -> ProbabilityMap:
    """Create an empty map of ``shape`` YX, or open the unfinished one that is there to go on with it.

    Parameters
    ----------
    path
        Folder to make, such as ``prediction.zarr``.
    shape
        Height and width in pixels: the volume's.
    settings
        All that decides the map's pixels: checkpoint and label hashes, tiles, region, directions, batch. Plain
        values. Resuming with others is an error.
    provenance
        What else to record, such as the version.
    voxel_um
        Edge of a pixel in micrometres, if known.
    block
        Side of a block, and of a chunk at every level, in pixels.
    resume, overwrite
        Go on with what is at ``path``, or replace it; without either it must not exist.

    Raises
    ------
    OutputExistsError
        When something is at ``path`` and neither ``resume`` nor ``overwrite`` is given, or when overwriting
        would remove what is not an OME-Zarr of ours.
    SettingsError
        When the map at ``path`` was made with other settings; the message names each difference.
    """
    path = Path(path)
    wanted = _plain(settings)
    if path.exists() and resume:
        return _resume(path, shape, wanted)
    attributes = {"kind": _KIND, "settings": wanted, "provenance": _plain(provenance or {}), "finished": False}
    laid_out = partial(
        create_pyramid,
        shape=shape,
        dtype=np.uint8,
        chunks=(block, block),
        axes="yx",
        voxel_um=voxel_um,
        attributes=attributes,
    )
    if not (path.exists() and overwrite):
        return ProbabilityMap(pyramid=laid_out(path))
    _check_ours(path)
    draft = draft_of(path)  # a kill leaves one folder, whatever was being made or replaced
    fresh = draft / "fresh" / path.name  # a name that its metadata tell
    laid_out(fresh)
    path.replace(draft / "replaced")
    fresh.replace(path)
    shutil.rmtree(draft)
    return open_map(path, "r+")


def open_map(path: str | os.PathLike[str], mode: Literal["r", "r+"] = "r") -> ProbabilityMap:
    """Open a map to read it, finished or not, or to write blocks into it.

    Raises
    ------
    SourceError
        When ``path`` holds something else.
    """
    return _checked(open_pyramid(path, mode))


def _checked(pyramid: Pyramid) -> ProbabilityMap:
    if pyramid.attributes.get("kind") != _KIND:
        raise SourceError(
            f"{pyramid.path} is not a probability map that volumen wrote; give one that `volumen predict` made."
        )
    return ProbabilityMap(pyramid=pyramid)


def _resume(path: Path, shape: tuple[int, int], wanted: dict[str, Any]) -> ProbabilityMap:
    found = _checked(open_pyramid(path, mode="r+"))
    differences = list(_differences(found.attributes["settings"], wanted))
    if found.pyramid.shape != shape:
        differences.append(f"shape is {found.pyramid.shape} there and {shape} here")
    if differences:
        raise SettingsError(
            f"{path} cannot be resumed, it was begun with other settings: {'; '.join(differences)}. "
            "Give the same settings, another path, or --overwrite."
        )
    clear_drafts(path)
    for leftover in path.rglob("*.partial"):  # of a write that a kill cut short
        leftover.unlink()
    if found.finished:
        (path / _JOURNAL).unlink(missing_ok=True)
    return found


def _check_ours(path: Path) -> None:
    """Raise an `OutputExistsError` where something is that is not ours to remove."""
    try:
        _checked(open_pyramid(path))
    except SourceError as error:
        raise OutputExistsError(
            f"{path} is not a probability map that volumen wrote, so it is not replaced; give another path, or "
            "remove it first."
        ) from error


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` as they will be read back from JSON."""
    return cast("dict[str, Any]", json.loads(json.dumps(values)))


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], under: str = "") -> Iterator[str]:
    for name in sorted({*there, *here}):
        old, new = there.get(name), here.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{under}{name}.")
        elif old != new:
            yield f"{under}{name} is {old!r} there and {new!r} here"
