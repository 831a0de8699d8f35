"""stream: tiles computed while the next are read and the last are written; what every process that predicts does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from volumen.errors import CheckpointError
from volumen.prediction.ahead import read_ahead
from volumen.prediction.cells import Cells
from volumen.prediction.halving import compute_halving

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from volumen.events import Warned
    from volumen.prediction.order import Batch
    from volumen.prediction.plan import TilePlan
    from volumen.windows import Size, Window

_SLACK = 1e-3  # by which averaged probabilities may leave [0, 1]


class Predictor(Protocol):
    """What can be predicted with: voxels in the source's type, NCHW, to probabilities in [0, 1], NHW.

    It runs in the thread that pulls the events, raises `MemoryError` where a batch is too large for it, and gives
    the same numbers for the same batch.
    """

    def __call__(self, voxels: NDArray[Any], /) -> NDArray[np.float32]:
        """Predict one batch."""
        ...


@dataclass(frozen=True)
class Opened:
    """What a process needs to predict: the model, and what reads voxels (layers, h, w) of a window of the volume."""

    model: Predictor
    read: Callable[[Window], NDArray[Any]]
    cell: Size
    """Height and width in px of the pieces in which the source is read, see `cell_size`."""


@dataclass(frozen=True)
class Done:
    """Progress since the last: tiles that were computed, and blocks that were written since."""

    tiles: int
    blocks: tuple[Window, ...]


def stream(
    opened: Opened,
    plan: TilePlan,
    todo: Sequence[Batch],
    write: Callable[[Batch, NDArray[np.float32]], list[Window]],
) -> Generator[Warned | Done]:
    """Compute batches in order, in bounded memory; ``write`` runs in a thread, and returns the blocks that it finished.

    Closing the generator, also by an error, waits for the one read and write under way.
    """
    cells = Cells(opened.read, volume=plan.volume, tiles=(tile for group in todo for tile in group), size=opened.cell)
    writing: Future[list[Window]] | None = None
    limit = max(map(len, todo), default=1)
    with (
        ThreadPoolExecutor(1, "volumen-write") as writer,
        closing(read_ahead(lambda group: _read(cells, group), todo)) as batches,
    ):
        for group, voxels in batches:
            probability, limit = yield from compute_halving(
                lambda part: _checked(opened.model(part), part), voxels, limit
            )
            # One write at a time: none is begun after one that failed, whose sums may be incomplete.
            written = () if writing is None else tuple(writing.result())
            writing = writer.submit(write, group, probability)
            yield Done(len(group), written)
        if writing is not None:
            yield Done(0, tuple(writing.result()))


def _read(cells: Cells, group: Batch) -> NDArray[Any]:
    voxels = [cells.tile(tile) for tile in group]
    return voxels[0][None] if len(voxels) == 1 else np.stack(voxels)


def _checked(probability: NDArray[np.float32], voxels: NDArray[Any]) -> NDArray[np.float32]:
    wanted = (len(voxels), *voxels.shape[2:])
    if probability.shape != wanted:
        raise CheckpointError(
            f"The model must give one probability a pixel, shape {wanted} (N, H, W); got {probability.shape}."
        )
    low, high = float(probability.min()), float(probability.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # NaN fails both
        raise CheckpointError(
            f"The model must give probabilities in [0, 1]; got {low:g} to {high:g}. Its weights are damaged, or "
            "overflow in the precision used: try precision 32."
        )
    return probability
