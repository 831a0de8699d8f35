"""predict_on_cluster: the tiles of a prediction in parts, each computed by one of the processes of a cluster."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from volumen.errors import SettingsError, SourceError, SourceNotFoundError
from volumen.events import Warned
from volumen.prediction.stream import Done, stream
from volumen.prediction.sums import Piece, Sums
from volumen.prediction.tiles import carry_out
from volumen.sources.pyramids.probability_map import open_map

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from volumen.cluster import Cluster
    from volumen.events import Event
    from volumen.prediction.order import Batch
    from volumen.prediction.plan import Tile, TilePlan
    from volumen.prediction.stream import Opened
    from volumen.sources.pyramids.probability_map import ProbabilityMap
    from volumen.windows import Window

_PARTS = 8  # for each worker, at least, where there are as many tiles: nobody waits long at the end
_MOST = 2  # tiles a side of a part: neighbours read less twice, and who is killed loses some seconds of a CPU

_ALONE = Lock()  # a process has one model, whose memory is planned for one batch at a time


@dataclass(frozen=True)
class Part:
    """What one process computes at a time: batches, and the blocks of the map that they give something to.

    Every tile belongs to one part, so that nothing is computed twice. Blocks that only its tiles touch are ``own``:
    whoever computes the part writes them. Those that it shares with other parts are summed up where all parts meet.
    """

    batches: tuple[Batch, ...]
    own: frozenset[Window]
    shared: frozenset[Window]

    def __str__(self) -> str:
        kept = [tile.keep for tile in self.tiles]
        top, left = min(keep.y[0] for keep in kept), min(keep.x[0] for keep in kept)
        bottom, right = max(keep.y[1] for keep in kept), max(keep.x[1] for keep in kept)
        return f"region {top}:{bottom},{left}:{right}"

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """Its tiles, in the plan's order."""
        tiles = (tile for batch in self.batches for tile in batch)
        return tuple(sorted(tiles, key=lambda tile: (tile.window.y, tile.window.x)))


@dataclass(frozen=True)
class Computed:
    """What became of a part.

    ``halves`` are its own blocks, written at full size, and their copies of half the size; ``pieces`` what its tiles
    give to the blocks that it shares.
    """

    halves: list[tuple[Window, NDArray[np.uint8] | None]] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)


@dataclass(frozen=True)
class PartWork:
    """How any process computes a part.

    Parameters
    ----------
    open
        Opens the model and the source, once in a process: it keeps what it opened.
    plan
        Where tiles lie.
    path, settings
        The map, and what its record must say: one that was replaced meanwhile is not written to.
    """

    open: Callable[[], Opened]
    plan: TilePlan
    path: str
    settings: Mapping[str, Any]

    def __call__(self, part: Part) -> Computed:
        """Compute the part's tiles, and write its own blocks at full size."""
        with _ALONE:
            opened, output, computed = self.open(), self._map(), Computed()
            touched = {block for tile in part.tiles for block in output.blocks(tile.keep)}
            sums = Sums(self.plan, part.tiles, output, done=touched - part.own - part.shared)

            def write(batch: Batch, probability: NDArray[np.float32]) -> list[Window]:
                for tile, tile_probability in zip(batch, probability, strict=True):
                    for piece in sums.cut(tile, tile_probability):
                        if piece.block in part.shared:
                            computed.pieces.append(piece._replace(fine=piece.fine.copy()))
                        elif (values := sums.put(piece)) is not None:
                            self._check(output)
                            computed.halves.append((piece.block, output.write_full(piece.block, values)))
                return []

            for news in stream(opened, self.plan, part.batches, write):
                if isinstance(news, Warned):
                    computed.warnings.append(news)
            return computed

    def _map(self) -> ProbabilityMap:
        try:
            return open_map(self.path, "r+")
        except (SourceNotFoundError, SourceError) as error:
            raise SourceError(
                f"A worker cannot open the map at {self.path}: it was replaced, or workers do not see the same files. "
                f"{error}"
            ) from error

    def _check(self, output: ProbabilityMap) -> None:
        if output.attributes["settings"] != self.settings:
            raise SettingsError(f"{self.path} was replaced while it was being predicted; start again.")


def predict_on_cluster(
    cluster: Cluster,
    open_here: Callable[[], Opened],
    *,
    plan: TilePlan,
    output: ProbabilityMap,
    mask: Callable[[Window], NDArray[Any]] | None = None,
    batch: int = 1,
    near: tuple[int, int] | None = None,
) -> Iterator[Event]:
    """Predict as `predict_tiles` does, the same bytes, by the processes of a cluster.

    Workers write the blocks that they alone have to do with, at full size. What two parts share comes back, is added
    up here in the plan's order, and is written here; so are the coarser levels, whose chunks several blocks share, and
    the marks of what is done: the map has one writer wherever two could meet. A map that was begun in one process can
    be gone on with by many, and the reverse.

    Parameters
    ----------
    cluster
        Whose workers see the map and the source at the same paths.
    open_here
        Opens the model and the source on a worker; can be pickled, and keeps what it opened.
    plan, output, mask, batch, near
        As `predict_tiles` takes them.

    Yields
    ------
    Event
        What `predict_tiles` yields; progress comes part by part.

    Raises
    ------
    ClusterError
        The scheduler is lost, or workers died of the same part again and again.
    VolumenError
        What `predict_tiles` raises, from whichever worker.
    """
    bare = replace(plan)  # without the tiles that it has worked out, which every part would carry
    work = PartWork(open_here, bare, str(output.path.absolute()), output.attributes["settings"])

    def there(sums: Sums, todo: Sequence[Batch]) -> Generator[Warned | Done]:
        told: set[str] = set()
        with closing(cluster.spread(work, cut_parts(sums, todo, cluster.threads))) as parts:
            for part, computed in parts:
                for warning in computed.warnings:
                    if warning.message not in told:  # every part of a run finds out for itself what does not fit
                        told.add(warning.message)
                        yield warning
                yield Done(len(part.tiles), _write(sums, output, computed))

    yield from carry_out(there, plan=plan, output=output, mask=mask, batch=batch, near=near)


def _write(sums: Sums, output: ProbabilityMap, computed: Computed) -> tuple[Window, ...]:
    """Finish the blocks that a part wrote, and those that are complete with it."""
    written = []
    for block, half in computed.halves:
        output.write_copies(block, half)
        written.append(block)
    for piece in computed.pieces:
        if (values := sums.put(piece)) is not None:
            output.write(piece.block, values)
            written.append(piece.block)
    return tuple(written)


def cut_parts(sums: Sums, todo: Sequence[Batch], workers: int) -> list[Part]:
    """Group batches that lie close to each other, some groups for each worker, in the order of the first of each."""
    tiles = [tile for batch in todo for tile in batch]
    side = max(1, min(_MOST, math.isqrt(len(tiles) // (_PARTS * workers))))
    rows, columns = (sorted({getattr(tile.window, axis) for tile in tiles}) for axis in ("y", "x"))
    down, right = ({place: rank for rank, place in enumerate(places)} for places in (rows, columns))
    groups: dict[tuple[int, int], list[Batch]] = {}
    for batch in todo:
        place = batch[0].window
        groups.setdefault((down[place.y] // side, right[place.x] // side), []).append(batch)
    touched = {
        key: {block for batch in batches for tile in batch for block in sums.blocks(tile)}
        for key, batches in groups.items()
    }
    times: dict[Window, int] = {}
    for blocks in touched.values():
        for block in blocks:
            times[block] = times.get(block, 0) + 1
    return [
        Part(
            tuple(batches),
            own=frozenset(block for block in touched[key] if times[block] == 1),
            shared=frozenset(block for block in touched[key] if times[block] > 1),
        )
        for key, batches in groups.items()
    ]
