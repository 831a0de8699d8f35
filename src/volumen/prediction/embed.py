"""embed_windows: any callable over windows of a volume, a vector each, read and computed at the same time."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from volumen.errors import CheckpointError
from volumen.events import Finished, Started, Stepped, Warned
from volumen.prediction.ahead import read_ahead
from volumen.prediction.cells import Cells
from volumen.prediction.halving import compute_halving
from volumen.prediction.plan import Tile
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from volumen.events import Event
    from volumen.sources.index.index_part import IndexPart
    from volumen.windows import Range, Size


class Embedder(Protocol):
    """What makes a vector of a window: voxels in the source's type, NCHW, to float32 (N, channels).

    It runs in the thread that pulls the events, raises `MemoryError` where a batch is too large for it, and gives the
    same numbers for the same batch.
    """

    def __call__(self, voxels: NDArray[Any], /) -> NDArray[np.float32]:
        """Embed one batch."""
        ...


@dataclass(frozen=True)
class Opened:
    """What a process needs to embed windows of a volume.

    Parameters
    ----------
    embedder
        Voxels (N, layers, side, side) to vectors (N, channels).
    read
        Reads voxels (layers, h, w) of a window inside the volume, such as `Segment.read`.
    volume
        Its extent (Z, Y, X).
    layers
        Half-open range of layers to read.
    side
        Of a window in px.
    cell
        Height and width in pixels of the pieces in which the source is read, see `cell_size`.
    """

    embedder: Embedder
    read: Callable[[Window], NDArray[Any]]
    volume: tuple[int, int, int]
    layers: Range
    side: int
    cell: Size = 256


@dataclass(frozen=True)
class Embedded:
    """The vectors of a batch: ``rows`` among all windows, and (windows, channels)."""

    rows: range
    vectors: NDArray[np.float32]


def embed_windows(opened: Opened, part: IndexPart) -> Iterator[Event]:
    """Embed the windows of a part that are not done, batch by batch, and finish the part.

    One thread reads ahead, every piece of the source once; memory grows with the width of the volume, neither with its
    height nor with the number of windows. A part that was interrupted at any moment ends with the same bytes as an
    unbroken one.

    Parameters
    ----------
    opened
        The embedder and the source.
    part
        Corners of the windows, and where their vectors go.

    Yields
    ------
    Event
        `Started`; `Stepped` after each batch, with ``windows_per_second``; `Warned` where a batch did not fit into
        memory and was halved; `Finished` with ``windows``, ``added`` and ``seconds``.

    Raises
    ------
    SourceError
        When the source is damaged or holds NaN.
    CheckpointError
        When the answer has another shape than the part.
    DivergedError
        When a vector holds what the part's type cannot.
    OutOfMemoryError
        When a single window does not fit into memory.
    OutOfSpaceError
        When the disk is full.
    """
    channels = part.vectors.shape[1]
    yield from carry_out(lambda todo: embed_batches(opened, part.corners, channels, todo), part)


def carry_out(compute: Callable[[Sequence[range]], Generator[Warned | Embedded]], part: IndexPart) -> Iterator[Event]:
    """Have the batches of a part that are not done computed, keep their vectors, and finish it; see `embed_windows`.

    Parameters
    ----------
    compute
        From the rows of batches to their vectors, in any order: this process, or workers of a cluster.
    """
    began, total = time.perf_counter(), len(part.corners)
    todo = [] if part.finished else part.todo()
    before = done = total - sum(map(len, todo))
    yield Started(work="index", total=total, unit="windows", detail={"segment": part.name, "done": done})
    with closing(compute(todo)) as news:
        for each in news:
            if isinstance(each, Warned):
                yield each
                continue
            part.write(each.rows, each.vectors)
            done += len(each.rows)
            rate = (done - before) / max(time.perf_counter() - began, 1e-9)
            yield Stepped(done=done, total=total, values={"windows_per_second": rate})
    if not part.finished:
        part.finish()
    yield Finished(result={"windows": total, "added": total - before, "seconds": time.perf_counter() - began})


def embed_batches(
    opened: Opened, corners: NDArray[np.int32], channels: int, todo: Sequence[range]
) -> Generator[Warned | Embedded]:
    """Embed batches of windows in order; what every process that embeds does.

    Parameters
    ----------
    opened
        The embedder and the source.
    corners
        y and x of each window's top left pixel, (windows, 2).
    channels
        Length of a vector.
    todo
        Rows of ``corners`` that make up each batch.
    """

    def tile(row: int) -> Tile:
        y, x = map(int, corners[row])
        window = Window(opened.layers, (y, y + opened.side), (x, x + opened.side))
        return Tile(window=window, keep=window)

    tiles = (tile(row) for rows in todo for row in rows)
    cells = Cells(opened.read, volume=opened.volume, tiles=tiles, size=opened.cell)
    limit = max(map(len, todo), default=1)

    def cut(rows: range) -> NDArray[Any]:
        return np.stack([cells.tile(tile(row)) for row in rows])

    with closing(read_ahead(cut, todo)) as batches:
        for rows, voxels in batches:
            vectors, limit = yield from compute_halving(opened.embedder, voxels, limit, unit="window")
            if vectors.shape != (len(rows), channels):
                raise CheckpointError(
                    f"Expected a vector of {channels} numbers a window, shape {(len(rows), channels)}; got "
                    f"{vectors.shape}."
                )
            yield Embedded(rows, vectors)
