"""compute_halving: a batch that is too large for the memory is halved, and so are those after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import OutOfMemoryError
from volumen.events import Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray


def compute_halving(
    model: Callable[[NDArray[Any]], NDArray[np.float32]], voxels: NDArray[Any], limit: int, *, unit: str = "tile"
) -> Generator[Warned, None, tuple[NDArray[np.float32], int]]:
    """Compute a batch, at most ``limit`` at a time; say so where that turned out to be too many.

    Parameters
    ----------
    model
        Voxels NCHW to an answer whose first axis is N; raises `MemoryError` where they are too many.
    voxels
        The batch.
    limit
        How many fitted into memory so far.
    unit
        What one of them is called.

    Returns
    -------
    tuple
        The answers, N first, and how many fit into memory.

    Raises
    ------
    OutOfMemoryError
        One alone does not fit.
    """
    parts: list[NDArray[np.float32]] = []
    start = 0
    while start < len(voxels):
        part = voxels[start : start + limit]
        try:
            parts.append(model(part))
        except MemoryError as error:
            if len(part) == 1:
                raise OutOfMemoryError(
                    f"A single {unit} of {part.shape[1:]} (layers, height, width) does not fit into memory; "
                    f"take a smaller {unit}, or another device."
                ) from error
            limit = len(part) // 2
            yield Warned(message=f"{len(part)} {unit}s at a time do not fit into memory; going on with {limit}.")
        else:
            start += len(part)
    return (parts[0] if len(parts) == 1 else np.concatenate(parts)), limit
