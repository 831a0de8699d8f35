"""Tiled prediction: any callable over a volume of any size, read, computed and written at the same time."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import SettingsError
from volumen.events import Finished, Started, Stepped, TileWritten
from volumen.prediction.order import SQUARE, near_first
from volumen.prediction.stream import Done, Opened, stream
from volumen.prediction.sums import Sums
from volumen.windows import height_width

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from volumen.events import Event, Warned
    from volumen.prediction.order import Batch
    from volumen.prediction.plan import Tile, TilePlan
    from volumen.prediction.stream import Predictor
    from volumen.sources.pyramids.probability_map import ProbabilityMap
    from volumen.windows import Size, Window

    Compute = Callable[[Sums, Sequence[Batch]], Generator[Warned | Done]]


def predict_tiles(
    model: Predictor,
    read: Callable[[Window], NDArray[Any]],
    *,
    plan: TilePlan,
    output: ProbabilityMap,
    mask: Callable[[Window], NDArray[Any]] | None = None,
    batch: int = 1,
    cell: Size = 256,
    near: tuple[int, int] | None = None,
) -> Iterator[Event]:
    """Predict the plan's region into ``output``, block by block, in memory that does not grow with the area.

    One thread reads ahead, every piece of the source once; the caller's thread computes; one thread joins,
    quantises and writes each block as soon as its last tile is computed. Blocks that are done already are left,
    and the tiles of the others are computed again in the same batches and added in the same order: a map that
    was interrupted at any moment, or begun at another place, ends with the same bytes as an unbroken one.

    Parameters
    ----------
    model
        Voxels (N, layers, h, w) in the source's type to probabilities (N, h, w) in [0, 1].
    read
        Reads voxels (layers, h, w) of a window inside the volume, such as `Segment.read`.
    plan
        The tiles.
    output
        Where to write; a map as large as the volume. All that decides its pixels belongs into its settings.
    mask
        Reads where there is papyrus, YX in [0, 1], such as `Raster.read`. Tiles whose pixels are all at most
        one half are neither read nor computed; pixels that no computed tile covers stay 0.
    batch
        Tiles in a call of ``model``; those of one batch lie in one row.
    cell
        Height and width in pixels of the pieces in which the source is read, see `cell_size`.
    near
        A point (Y, X) in pixels to begin at, see `near_first`; row by row if not given. It changes no pixel.

    Yields
    ------
    Event
        `Started`; `TileWritten` for each block; `Stepped` after each batch, with ``pixels_per_second`` of the
        map; `Warned` where a batch did not fit into memory and was halved, from which on the last digits of the
        probabilities may differ; `Finished`.

    Raises
    ------
    SettingsError
        When map and volume differ in size, or the batch or cell is not positive.
    SourceError
        When the source is damaged or holds NaN.
    CheckpointError
        When the model's answer has another shape, or values outside [0, 1].
    OutOfMemoryError
        When a single tile does not fit into memory.
    OutOfSpaceError
        When the disk is full.
    """

    def here(sums: Sums, todo: Sequence[Batch]) -> Generator[Warned | Done]:
        def write(group: Batch, probability: NDArray[np.float32]) -> list[Window]:
            written = []
            for tile, tile_probability in zip(group, probability, strict=True):
                for block, values in sums.add(tile, tile_probability):
                    output.write(block, values)
                    written.append(block)
            return written

        return stream(Opened(model, read, cell), plan, todo, write)

    wide = height_width(cell)[1] > SQUARE * plan.shape[2]
    yield from carry_out(here, plan=plan, output=output, mask=mask, batch=batch, near=near, rows_only=wide)


def carry_out(
    compute: Compute,
    *,
    plan: TilePlan,
    output: ProbabilityMap,
    mask: Callable[[Window], NDArray[Any]] | None,
    batch: int,
    near: tuple[int, int] | None,
    rows_only: bool = False,
) -> Iterator[Event]:
    """Find out which batches are left to do, have them computed, and finish the map; see `predict_tiles`.

    Parameters
    ----------
    compute
        Computes the batches, and writes every block that becomes complete: this process, or workers of a cluster.
    near, rows_only
        Where to begin, see `near_first`.
    """
    if output.window.shape[1:] != plan.volume[1:] or batch < 1:
        raise SettingsError(
            f"The map must be as large as the volume, the batch at least 1; got a map of shape "
            f"{output.window.shape[1:]} for a volume of {plan.volume}, batch {batch}."
        )
    tiles = tuple(tile for tile in plan.tiles if mask is None or bool(np.any(mask(tile.keep) > 0.5)))
    sums = Sums(plan, tiles, output, done=output.done())
    todo = [group for group in _batches(tiles, batch) if any(map(sums.needs, group))]
    if near is not None:
        todo = near_first(todo, near, rows_only=rows_only)
    remaining = sum(map(len, todo))
    yield Started(
        work="predict",
        total=len(tiles),
        unit="tiles",
        detail={"tile": plan.shape, "skipped": len(plan.tiles) - len(tiles), "done": len(tiles) - remaining},
    )
    _, height, width = plan.region.shape
    progress = _Progress(
        done=len(tiles) - remaining,
        total=len(tiles),
        blocks=sums.total - sums.todo,
        blocks_total=sums.total,
        pixels_per_tile=height * width / len(plan.tiles),
    )
    # Nobody pulls any more, or an error: what is under way is seen to its end before this returns.
    with closing(compute(sums, todo)) as news:
        for each in news:
            if isinstance(each, Done):
                yield from progress.written(each.blocks)
                if each.tiles:
                    yield progress.computed(each.tiles)
            else:
                yield each
    if not output.finished:
        output.finish()
    yield Finished(
        result={
            "path": str(output.path),
            "tiles": len(tiles),
            "skipped": len(plan.tiles) - len(tiles),
            "seconds": progress.seconds,
            "pixels_per_second": progress.rate,
        }
    )


class _Progress:
    """What is done, and how fast."""

    def __init__(self, *, done: int, total: int, blocks: int, blocks_total: int, pixels_per_tile: float) -> None:
        self._before = self._done = done
        self._total = total
        self._blocks = blocks
        self._blocks_total = blocks_total
        self._pixels_per_tile = pixels_per_tile
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    @property
    def rate(self) -> float:
        """Pixels of the map a second, in this process."""
        return (self._done - self._before) * self._pixels_per_tile / max(self.seconds, 1e-9)

    def computed(self, tiles: int) -> Stepped:
        self._done += tiles
        return Stepped(done=self._done, total=self._total, values={"pixels_per_second": self.rate})

    def written(self, blocks: Iterable[Window]) -> Iterator[TileWritten]:
        for block in blocks:
            self._blocks += 1
            yield TileWritten(done=self._blocks, total=self._blocks_total, box=block.box)


def _batches(tiles: Sequence[Tile], size: int) -> Iterator[Batch]:
    """Cut each row of tiles into batches; which tiles are together never depends on what is done already."""
    for _, row in groupby(tiles, key=lambda tile: tile.window.y):
        tiles_of_row = tuple(row)
        for start in range(0, len(tiles_of_row), size):
            yield tiles_of_row[start : start + size]
