"""StackedRows: several arrays of rows as one long array, read when it is sliced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Rows(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: slice, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class StackedRows:
    """Arrays of rows, one under the other.

    Parameters
    ----------
    arrays
        Each (rows, columns), such as memory maps; anything of this shape that reads what is sliced.
    columns
        Of all of them.

    Examples
    --------
    >>> import numpy as np
    >>> rows = StackedRows((np.array([[1], [2]]), np.array([[3]])), 1)
    >>> rows.shape, rows[1:3].tolist()
    ((3, 1), [[2], [3]])
    """

    arrays: tuple[_Rows, ...]
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return (sum(array.shape[0] for array in self.arrays), self.columns)

    def __getitem__(self, key: slice) -> NDArray[Any]:
        """Read the rows of a slice without a step."""
        start, stop, _ = key.indices(self.shape[0])
        parts: list[NDArray[Any]] = []
        above = 0
        for array in self.arrays:
            first, last = max(start - above, 0), min(stop - above, array.shape[0])
            if first < last:
                parts.append(array[first:last])
            above += array.shape[0]
        if not parts:
            return np.empty((0, self.columns), np.float16)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
