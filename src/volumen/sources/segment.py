"""Segment: a frozen handle on a lazy ZYX volume, its flat labels and masks, layer order and voxel size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from volumen.errors import LabelError, SourceError
from volumen.windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.labels.rasters import Raster

RASTERS = ("ink", "supervision", "held_out", "mask")


class LazyArray(Protocol):
    """What a reader returns: an array-like that touches the disk only when it is sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent along each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an element."""
        ...

    def __getitem__(self, key: tuple[slice, ...], /) -> NDArray[Any]:
        """Read a box; slices have no step and lie inside ``shape``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A flattened surface volume and what is known about it.

    Parameters
    ----------
    name
        Identity of the segment, such as ``20230827161847``; predictions and splits are filed under it.
    source
        The path or URL that was opened.
    levels
        Lazy ZYX arrays, full size first; Y and X halve from level to level, Z is kept.
    ink, supervision, held_out, mask
        Lazy YX rasters in [0, 1], each exactly as large as the volume: soft ink, where the label may be
        trusted, where to score only, where there is papyrus. None where the segment has none.
    voxel_um
        Edge of a voxel in micrometres, or None where it is unknown.
    reverse
        Whether layers are read last to first, so that the volume always runs in the model's order.
    """

    name: str
    source: str
    levels: tuple[LazyArray, ...]
    ink: Raster | None = None
    supervision: Raster | None = None
    held_out: Raster | None = None
    mask: Raster | None = None
    voxel_um: float | None = None
    reverse: bool = False

    def __post_init__(self) -> None:
        if not self.levels or len(self.levels[0].shape) != 3:
            shape = self.levels[0].shape if self.levels else None
            raise SourceError(f"A segment needs a ZYX volume of three axes; {self.source} has shape {shape}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Extent (Z, Y, X) at full size."""
        depth, height, width = self.levels[0].shape
        return (depth, height, width)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.shape[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel."""
        return self.levels[0].dtype

    @property
    def surface_index(self) -> int:
        """Layer of the writing surface: the middle one, ``depth // 2``."""
        return self.depth // 2

    @property
    def window(self) -> Window:
        """The whole segment."""
        return Window.whole(self.shape)

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        """Read the voxels of a window, ZYX, in the type of the volume; layers come in the segment's order.

        Parameters
        ----------
        window
            In voxels of that level.
        level
            0 for full size; Y and X halve from level to level.

        Raises
        ------
        SourceError
            The window reaches outside the level, the data are damaged, or floats among them are NaN or infinite.
        """
        array = self.levels[level]
        depth, height, width = array.shape
        if window.clip((depth, height, width)) != window:
            raise SourceError(f"{window} reaches outside level {level} of {self.name}, which has shape {array.shape}.")
        if self.reverse:
            flipped = window.layers(depth - window.z[1], depth - window.z[0])
            return self._checked(np.ascontiguousarray(array[flipped.zyx][::-1]), window)
        return self._checked(array[window.zyx], window)

    def _checked(self, voxels: NDArray[Any], window: Window) -> NDArray[Any]:
        """Refuse voxels that would poison a model; integers hold none."""
        if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
            raise SourceError(f"{self.source} holds NaN or infinity within {window}; repair or re-export the volume.")
        return voxels

    def raster(self, name: str) -> Raster:
        """Return a lazy YX raster in [0, 1]: ``ink``, ``supervision``, ``held_out`` or ``mask``; it must be there.

        Raises
        ------
        LabelError
            The segment has none of that name: a missing label is never zeros.
        """
        if name not in RASTERS:
            raise LabelError(f"A segment's rasters are {', '.join(RASTERS)}; got {name!r}.")
        raster: Raster | None = getattr(self, name)
        if raster is None:
            raise LabelError(
                f"Segment {self.name} has no {name} raster beside {self.source}; "
                f"give one with --{'held-out-mask' if name == 'held_out' else name}."
            )
        return raster

    def supervised(self, window: Window) -> NDArray[np.bool_]:
        """Return where the ink label may be trusted, bool, YX, of a window at full size.

        That is where the supervision raster says so (the mask, where there is none; everywhere, without either),
        and the ink raster's own extent reaches: padding beyond a label's edge is not background.
        """
        trusted = self.supervision or self.mask
        inside = np.ones(window.shape[1:], dtype=np.bool_) if self.ink is None else self.ink.covered(window)
        return inside if trusted is None else inside & (trusted.read(window) > 0.5)

    def papyrus(self, window: Window) -> NDArray[np.bool_]:
        """Return where the mask says that there is papyrus, bool, YX, of a window at full size; True without a mask."""
        if self.mask is None:
            return np.ones(window.shape[1:], dtype=np.bool_)
        return self.mask.read(window) > 0.5

    def reversed(self) -> Segment:
        """Return the same segment with its layers in the other order."""
        return replace(self, reverse=not self.reverse)
