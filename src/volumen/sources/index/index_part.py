"""IndexPart: the windows of one segment in an index and their vectors, written batch by batch, resumable."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.lib import format as npy

from volumen.errors import DivergedError, SourceError
from volumen.sources.arrays.npy_volume import HEADER
from volumen.sources.damage import DAMAGE
from volumen.sources.pyramids.journal import Journal
from volumen.whole_files import out_of_space

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

UNFINISHED = ".unfinished"
"""Ending of the folder of a part that is being made."""


@dataclass(frozen=True, eq=False)
class IndexPart:
    """The windows of a segment, or of a region of it, and their vectors.

    Parameters
    ----------
    folder
        Where it is.
    job
        What it is: ``segment`` (name, shape, dtype), ``source``, ``layers``, ``reverse``, ``region``, ``mask``,
        ``windows`` (their number), ``batch`` (windows in a unit of work).
    corners
        y and x of each window's top left pixel, int32 (windows, 2).
    vectors
        (windows, channels), mapped from the disk; those of units that are not done are zeros.
    """

    folder: Path
    job: Mapping[str, Any]
    corners: NDArray[np.int32]
    vectors: NDArray[Any]

    @classmethod
    def open(cls, folder: Path) -> IndexPart:
        """Open a part, finished or not."""
        journal = Journal.read(folder)
        if journal is None:
            raise SourceError(f"{folder} holds no part of an index; make the index again.")
        try:
            corners, vectors = (
                npy.open_memmap(folder / name, mode="r", max_header_size=HEADER)
                for name in ("windows.npy", "vectors.npy")
            )
        except DAMAGE as error:
            raise SourceError(f"{folder} is damaged ({error}); remove it, and index its segment again.") from error
        said = fault(journal, corners, vectors)
        if said:
            raise SourceError(f"{folder} is damaged: {said}. Remove it, and index its segment again.")
        return cls(folder, journal.job, np.asarray(corners), vectors)

    @property
    def name(self) -> str:
        """Of the segment."""
        return str(self.job["segment"]["name"])

    @property
    def finished(self) -> bool:
        """Whether every vector is there."""
        return not self.folder.name.endswith(UNFINISHED)

    def todo(self) -> list[range]:
        """Return the rows of every batch that is not done."""
        batch, count = int(self.job["batch"]), len(self.corners)
        done = cast("Journal", Journal.read(self.folder)).done()
        starts = range(0, count, batch)
        return [
            range(start, min(start + batch, count)) for start, is_done in zip(starts, done, strict=True) if not is_done
        ]

    def write(self, rows: range, vectors: NDArray[Any]) -> None:
        """Write the vectors of a batch that `todo` named, then mark it done.

        Raises
        ------
        DivergedError
            A vector holds NaN, infinity or more than its type can.
        OutOfSpaceError
            The disk is full; batches that are marked stay valid.
        """
        with np.errstate(over="ignore"):
            kept = np.ascontiguousarray(vectors, dtype=self.vectors.dtype)
        if not np.isfinite(kept).all():
            raise DivergedError(
                f"Expected vectors that {kept.dtype} can hold; got NaN, infinity or more. Take --numbers float32, or "
                "another encoder."
            )
        file = self.folder / "vectors.npy"
        with out_of_space(file), file.open("r+b") as out:
            out.seek(file.stat().st_size - (len(self.corners) - rows.start) * kept[0].nbytes)
            out.write(kept.data)
        Journal(self.folder, self.job, 0).mark(rows.start // int(self.job["batch"]))

    def finish(self) -> IndexPart:
        """Make it a part of the index; return it at its place."""
        place = self.folder.with_name(self.folder.name.removesuffix(UNFINISHED))
        self.folder.replace(place)
        return IndexPart.open(place)


def fault(journal: Journal, corners: NDArray[Any], vectors: NDArray[Any]) -> str:
    """Say what is wrong with a part's files; empty where they are as `begin_part` makes them."""
    job, segment = journal.job, journal.job.get("segment")
    if not isinstance(segment, dict) or not isinstance(segment.get("name"), str):
        return "it does not say of which segment it is"
    if not isinstance(job.get("source"), str):
        return "it does not say where its segment was read from"
    if not isinstance(job.get("batch"), int) or job["batch"] < 1:
        return "it does not say how many windows are a batch"
    if vectors.ndim != 2 or corners.dtype != np.int32 or corners.shape != (len(vectors), 2):
        return f"it has windows {corners.shape} of {corners.dtype} and vectors {vectors.shape}"
    if vectors.dtype.kind != "f":
        return f"its vectors are {vectors.dtype}"
    if len(corners) != job.get("windows") or journal.total != -(-len(corners) // job["batch"]):
        return "its files disagree"
    return ""


def begin_part(
    folder: Path, job: Mapping[str, Any], corners: NDArray[np.int32], *, channels: int, numbers: np.dtype[Any]
) -> IndexPart:
    """Make the folder of a part, none of its vectors done, whole or not at all.

    Parameters
    ----------
    folder
        Where, ending in `UNFINISHED`.
    job, corners
        As `IndexPart` has them.
    channels, numbers
        Length and type of the vectors.

    Raises
    ------
    OutOfSpaceError
        The disk is full.
    """
    draft = folder.with_name(f".{folder.name}")
    with out_of_space(folder):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        np.save(draft / "windows.npy", corners)
        _reserve(draft / "vectors.npy", (len(corners), channels), numbers)
        Journal.start(draft, job, -(-len(corners) // int(job["batch"])))
        draft.replace(folder)
    return IndexPart.open(folder)


def _reserve(file: Path, shape: tuple[int, int], kind: np.dtype[Any]) -> None:
    """Write the header of a .npy file and room for its numbers, which read as zeros until they are written."""
    with file.open("wb") as out:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        out.truncate(out.tell() + shape[0] * shape[1] * kind.itemsize)
