"""Normalization: how voxels become numbers in [0, 1]; fitted once, kept in the checkpoint, enforced at prediction."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from volumen.errors import CheckpointError, SettingsError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

Kind = Literal["divide", "clip", "percentile", "robust"]
Outside = Literal["papyrus", "zero"]

GRAND_PRIZE_CEILING = 200 / 255
"""Where the Grand Prize code cuts bright voxels: 200 of 255."""

_VALUES_PER_SAMPLE = 1_000_000  # enough for a percentile, and it bounds the memory of a fit
_TABLE_BITS = 16


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Map voxels to float32 in [0, 1].

    Integers are first taken as fractions of their type's range (uint8 / 255, uint16 / 65535); floats are taken
    as they are. Then ``(min(x, ceiling) - low) / (high - low)``, cut to [0, 1]. A voxel of exactly 0 stays 0, and
    NaN stays NaN. Where every layer is 0 there is no papyrus: with ``outside`` the layers come out as given there.

    Parameters
    ----------
    kind
        ``divide`` keeps the fraction; ``clip`` cuts it at 200 / 255, as the Grand Prize did; ``percentile``
        stretches the 1st…99th percentile to 0…1; ``robust`` the median ± 3 · 1.4826 · MAD.
    low, high
        Fractions that become 0 and 1.
    ceiling
        Fraction above which a voxel counts as the ceiling.
    outside
        What each layer becomes where there is no papyrus, in [0, 1]; empty leaves it 0. What papyrus is on average
        (`fit`) keeps the void beside a sheet from filling the norm statistics of a network, and from driving its
        features far beyond those that it was trained on.

    Examples
    --------
    >>> import numpy as np
    >>> Normalization(kind="clip", ceiling=200 / 255)(np.array([0, 100, 255], np.uint8)).round(3)
    array([0.   , 0.392, 0.784], dtype=float32)
    """

    kind: Kind = "divide"
    low: float = 0.0
    high: float = 1.0
    ceiling: float = 1.0
    outside: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise SettingsError(f"Normalization must be one of {', '.join(get_args(Kind))}; got {self.kind!r}.")
        if not all(map(math.isfinite, (self.low, self.high, self.ceiling, *self.outside))) or self.high <= self.low:
            raise SettingsError(
                f"Normalization needs finite numbers with low < high; got low {self.low}, high {self.high}, "
                f"ceiling {self.ceiling}."
            )

    def __call__(self, voxels: NDArray[Any]) -> NDArray[np.float32]:
        """Normalise an array of any shape; with ``outside``, one whose third axis from the end is the layers."""
        if voxels.dtype.kind == "u" and voxels.dtype.itemsize * 8 <= _TABLE_BITS:
            normalized = np.take(_table(self, voxels.dtype.str), voxels)
        else:
            normalized = self._map(voxels)
        if self.outside:
            void = ~voxels.any(axis=-3, keepdims=True)
            if void.any():
                np.copyto(normalized, np.array(self.outside, np.float32)[:, None, None], where=void)
        return normalized

    @classmethod
    def fit(cls, kind: Kind, samples: Iterable[NDArray[Any]], *, outside: Outside = "zero") -> Normalization:
        """Fit on samples of one dtype, zeros left out.

        With ``papyrus`` as the ``outside``, samples are ZYX, and their layers' means stand where there is none. A
        single layer is left as it is: there 0 may be ink.

        Raises
        ------
        SettingsError
            Float voxels reach outside [0, 1] and ``kind`` takes them as they are.
        SourceError
            The samples are blank (all zero, or all of one value), or hold NaN or infinity.
        """
        if outside == "papyrus":
            samples = tuple(samples)
            fitted = cls.fit(kind, samples)
            return fitted if samples[0].shape[0] == 1 else replace(fitted, outside=_layer_means(fitted, samples))
        values = np.concatenate([np.zeros(0, np.float32), *map(_papyrus, samples)])
        if not np.isfinite(values).all():
            raise SourceError("Expected finite voxels; got NaN or infinity. Repair or mask the volume first.")
        if kind in ("divide", "clip"):
            if values.size and not 0 <= values.min() <= values.max() <= 1:
                raise SettingsError(
                    f"Normalization {kind!r} takes float voxels as they are and expects them in [0, 1]; "
                    f"got {values.min():g} to {values.max():g}. Use 'percentile' or 'robust'."
                )
            return cls(kind=kind, ceiling=GRAND_PRIZE_CEILING if kind == "clip" else 1.0)
        if kind not in get_args(Kind):
            raise SettingsError(f"Normalization must be one of {', '.join(get_args(Kind))}; got {kind!r}.")
        if not values.size:
            raise _blank()
        low, high = _spread(kind, values)
        if high <= low:
            raise SourceError(
                f"Expected voxels that differ; every sampled voxel outside 0 is about {low:g}. See `volumen check`."
            )
        return cls(kind=kind, low=low, high=high, ceiling=high)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Normalization:
        """Rebuild from `to_dict`; a `CheckpointError` says what does not fit."""
        try:
            return cls(**{**fields, "outside": tuple(fields.get("outside", ()))})
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"The checkpoint's normalization {fields!r} cannot be used: {error}") from error

    def _map(self, voxels: NDArray[Any]) -> NDArray[np.float32]:
        fractions = np.minimum(_fractions(voxels), np.float32(self.ceiling))
        scaled = (fractions - np.float32(self.low)) / np.float32(self.high - self.low)
        return np.where(voxels == 0, np.float32(0), scaled.clip(0, 1))


@lru_cache(maxsize=16)
def _table(normalization: Normalization, dtype: str) -> NDArray[np.float32]:
    """Map every value of a small unsigned type once; indexing it is several times as fast as the arithmetic."""
    table = normalization._map(np.arange(np.iinfo(dtype).max + 1, dtype=dtype))
    table.flags.writeable = False
    return table


def _fractions(voxels: NDArray[Any]) -> NDArray[np.float32]:
    if voxels.dtype.kind in "ui":
        return voxels.astype(np.float32) / np.float32(np.iinfo(voxels.dtype).max)
    if voxels.dtype.kind in "fb":
        return voxels.astype(np.float32, copy=False)
    raise SourceError(f"Expected voxels of an integer or float type; got {voxels.dtype}.")


def _papyrus(sample: NDArray[Any]) -> NDArray[np.float32]:
    values = sample[sample != 0]
    return _fractions(values[:: max(1, values.size // _VALUES_PER_SAMPLE)])


def _layer_means(normalization: Normalization, samples: Iterable[NDArray[Any]]) -> tuple[float, ...]:
    """Return the mean of each layer where there is papyrus."""
    columns = [normalization(sample)[:, sample.any(axis=0)] for sample in samples]  # ZYX -> Z × columns
    count = sum(each.shape[1] for each in columns)
    if not count:
        raise _blank()
    sums = np.sum([each.sum(axis=1, dtype=np.float64) for each in columns], axis=0)
    return tuple((sums / count).tolist())


def _blank() -> SourceError:
    return SourceError("Expected papyrus to fit the normalization on; every sampled voxel is 0. See `volumen check`.")


def _spread(kind: Kind, values: NDArray[np.float32]) -> tuple[float, float]:
    if kind == "percentile":
        low, high = np.percentile(values, (1, 99))
        return float(low), float(high)
    median = float(np.median(values))
    deviation = 3 * 1.4826 * float(np.median(np.abs(values - median)))
    return median - deviation, median + deviation
