"""Batches: samples stacked in the order of an epoch, made by threads while the model computes."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import torch

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

Item = TypeVar("Item")
Made = TypeVar("Made")


class Samples(Protocol):
    """What batches are made of, such as a `CropDataset` or a `PhotoDataset`."""

    def __len__(self) -> int: ...

    def sample(self, index: int, *, epoch: int) -> dict[str, Tensor]:
        """Return one sample as it is seen in an epoch."""
        ...

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return every index once, in the order of an epoch."""
        ...


def steps_per_epoch(samples: int, batch: int) -> int:
    """Return how many batches see every sample at least once.

    Examples
    --------
    >>> steps_per_epoch(33, 16)
    3
    """
    return -(-samples // batch)


def batches(
    dataset: Samples,
    *,
    epoch: int,
    start_step: int = 0,
    batch: int,
    rank: int = 0,
    world_size: int = 1,
    threads: int = 1,
    ahead: int = 2,
    pin: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """Yield an epoch's batches from ``start_step`` on.

    Every batch is full: the last is filled up from the beginning of the epoch's order, so that norm statistics
    and the devices' shares are alike in every step. Threads, not processes: decoding and copying let go of the
    interpreter, and passing crops between processes costs more than making them.

    Parameters
    ----------
    batch
        Samples in a batch over all devices.
    rank, world_size
        This process takes every ``world_size``-th sample of a batch.
    threads, ahead
        How many batches are made at a time, and how many at most are ready or being made: memory is bounded.
    pin
        Put them in page-locked memory, from which a CUDA device copies while it computes.

    Yields
    ------
    dict
        The samples' tensors by name, stacked: of a `CropDataset` ``image`` float32 NCHW in [0, 1] and the flat
        rasters, float32 N1HW.
    """
    if batch % world_size:
        raise SettingsError(f"Expected a batch that divides by {world_size} devices; got {batch}.")
    steps = steps_per_epoch(len(dataset), batch)
    order = np.resize(dataset.order(epoch), steps * batch).reshape(steps, batch)  # repeats from the beginning

    def make(indices: NDArray[np.int64]) -> dict[str, Tensor]:
        samples = [dataset.sample(int(index), epoch=epoch) for index in indices]
        stacked = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
        return {name: tensor.pin_memory() for name, tensor in stacked.items()} if pin else stacked

    todo = (row[rank::world_size] for row in order[start_step:])
    yield from made_ahead(make, todo, threads=threads, ahead=ahead)


def made_ahead(make: Callable[[Item], Made], todo: Iterable[Item], *, threads: int, ahead: int) -> Iterator[Made]:
    """Yield what is made of each item, such as a row of indices, in their order, while ``threads`` make the next.

    At most ``ahead`` are ready or being made, and no item is taken before its turn: memory is bounded.
    """
    rows = iter(todo)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="crops")
    try:
        making: deque[Future[Made]] = deque(pool.submit(make, row) for row in islice(rows, ahead))
        while making:
            ready = making.popleft().result()
            making.extend(pool.submit(make, row) for row in islice(rows, 1))
            yield ready
    finally:
        # also when the consumer stops pulling: what was not begun is dropped
        pool.shutdown(wait=True, cancel_futures=True)
