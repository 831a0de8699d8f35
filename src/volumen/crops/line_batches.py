"""line_batches: the batches of an epoch over lines, made by threads while the model computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.crops.batches import made_ahead
from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from volumen.crops.line_dataset import LineDataset
    from volumen.crops.line_images import LineBatch


def line_batches(
    dataset: LineDataset,
    rows: Sequence[NDArray[np.int64]],
    *,
    epoch: int,
    twice: bool = False,
    full: bool = False,
    start_step: int = 0,
    rank: int = 0,
    world_size: int = 1,
    threads: int = 1,
    ahead: int = 2,
    pin: bool = False,
) -> Iterator[LineBatch]:
    """Yield an epoch's batches from ``start_step`` on, made by threads while the model computes.

    Parameters
    ----------
    rows
        Indices of the lines of each batch, as `width_buckets` and `by_width` return them.
    twice, full
        As for `LineDataset.batch`: two views of each line; and another line in the place of a broken one, as a
        training needs it, whose steps are counted beforehand.
    rank, world_size
        This process takes every ``world_size``-th line of a batch.
    threads, ahead
        How many batches are made at a time, and how many at most are ready or being made: memory is bounded.
    pin
        Put them in page-locked memory, from which a CUDA device copies while it computes.

    Raises
    ------
    SettingsError
        If the rank is none of ``world_size``.

    Yields
    ------
    LineBatch
        Unless ``full``, smaller where images are broken; a batch without any is passed over.
    """
    if not 0 <= rank < world_size:
        raise SettingsError(f"A device's rank is 0 to {world_size - 1}; got {rank}.")

    def make(indices: NDArray[np.int64]) -> LineBatch | None:
        made = dataset.batch(indices.tolist(), epoch=epoch, twice=twice, full=full)
        return made.pin() if made is not None and pin else made

    todo = (row[rank::world_size] for row in rows[start_step:])
    yield from (made for made in made_ahead(make, todo, threads=threads, ahead=ahead) if made is not None)
