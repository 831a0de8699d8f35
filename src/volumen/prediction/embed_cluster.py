"""embed_on_cluster: the windows of an index in runs of batches, each embedded by one of the processes of a cluster."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from volumen.events import Warned
from volumen.prediction.embed import Embedded, carry_out, embed_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from volumen.cluster import Cluster
    from volumen.events import Event
    from volumen.prediction.embed import Opened
    from volumen.sources.index.index_part import IndexPart

_RUNS = 64  # at least, where there are as many batches
_MOST = 64  # batches in a run: long enough that what is read for one batch serves the next

_ALONE = Lock()  # a process has one encoder, whose memory is planned for one batch at a time


@dataclass(frozen=True)
class Windows:
    """Batches that one process embeds at a time: their rows among all windows, and the corners of theirs in turn."""

    batches: tuple[range, ...]
    corners: NDArray[np.int32]

    def __str__(self) -> str:
        return f"windows {self.batches[0].start} to {self.batches[-1].stop - 1}"

    def rows(self) -> dict[range, range]:
        """Return which rows of ``corners`` each batch has, and which rows they are among all windows."""
        rows, start = {}, 0
        for batch in self.batches:
            rows[range(start, start + len(batch))] = batch
            start += len(batch)
        return rows


@dataclass(frozen=True)
class WindowWork:
    """How any process embeds windows: ``open`` opens the encoder and the source, once in a process."""

    open: Callable[[], Opened]
    channels: int

    def __call__(self, windows: Windows) -> list[Warned | Embedded]:
        """Embed a run of batches."""
        rows = windows.rows()
        with _ALONE:
            told = list(embed_batches(self.open(), windows.corners, self.channels, list(rows)))
        return [each if isinstance(each, Warned) else Embedded(rows[each.rows], each.vectors) for each in told]


def embed_on_cluster(cluster: Cluster, open_there: Callable[[], Opened], part: IndexPart) -> Iterator[Event]:
    """Embed as `embed_windows` does, the same bytes, by the processes of a cluster.

    Vectors come back and are kept here: those of a batch are some kilobytes in the middle of one file, which many
    machines could not write side by side on every file system.

    Parameters
    ----------
    cluster
        Whose workers see the source and the index at the same paths.
    open_there
        Opens the encoder and the source on a worker; can be pickled, and keeps what it opened.
    part
        Corners of the windows, and where their vectors go.

    Raises
    ------
    ClusterError
        The scheduler is lost, or workers died of the same windows again and again.
    VolumenError
        What `embed_windows` raises, from whichever worker.
    """
    work = WindowWork(open_there, part.vectors.shape[1])

    def there(todo: Sequence[range]) -> Generator[Warned | Embedded]:
        length = max(1, min(_MOST, len(todo) // _RUNS))
        runs = (tuple(todo[start : start + length]) for start in range(0, len(todo), length))
        items = (Windows(run, np.concatenate([part.corners[rows.start : rows.stop] for rows in run])) for run in runs)
        told: set[str] = set()
        with closing(cluster.spread(work, items)) as done:
            for _, batches in done:
                for each in batches:
                    if isinstance(each, Embedded):
                        yield each
                    elif each.message not in told:  # every run finds out for itself what does not fit
                        told.add(each.message)
                        yield each

    yield from carry_out(there, part)
