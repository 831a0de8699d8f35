"""InkMap: a prediction on disk, whoever made it, laid on its segment, with what is recorded about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from volumen.errors import LabelError, SourceError
from volumen.settings.base import Region
from volumen.sources.arrays.zarr_volume import open_zarr
from volumen.sources.labels.beside import open_raster
from volumen.sources.labels.rasters import PADDING
from volumen.sources.location import Location
from volumen.sources.pyramids.probability_map import open_map
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from volumen.sources.labels.rasters import Raster
    from volumen.sources.segment import Segment

_BOX: TypeAdapter[tuple[int, int, int, int]] = TypeAdapter(Region)


@dataclass(frozen=True, kw_only=True)
class InkMap:
    """An ink map and its provenance.

    Parameters
    ----------
    raster
        The probabilities, lazy YX.
    record
        What its maker wrote into its attributes, settings and provenance together; empty for a TIFF, a PNG or a
        stranger's zarr.
    done
        The blocks that are finished, where the prediction is not; None where all are.
    """

    raster: Raster
    record: Mapping[str, Any]
    done: tuple[Window, ...] | None = None

    @classmethod
    def open(cls, path: str) -> InkMap:
        """Open an OME-Zarr, TIFF, PNG, JPEG or ``.npy`` map; only headers are read.

        Raises
        ------
        SourceNotFoundError
            When nothing is at ``path``.
        SourceError, LabelError
            When it is damaged, or not flat.
        """
        location = Location.of(path)
        raster = open_raster(location)
        image = open_zarr(location, axes=2) if path.rstrip("/").endswith(".zarr") else None
        own = (image.attributes.get("volumen") if image else None) or {}
        record = {**own.get("settings", {}), **own.get("provenance", {}), **own}
        unfinished = record.get("finished") is False
        return cls(raster=raster, record=record, done=tuple(sorted(open_map(path).done())) if unfinished else None)

    def on(self, segment: Segment) -> InkMap:
        """Lay the map on its segment, top left on top left.

        Raises
        ------
        LabelError
            When its size is neither the segment's nor that padded to a multiple of 256 px: it belongs to another.
        """
        (height, width), (high, wide) = self.raster.extent, segment.shape[1:]
        if height not in (high, -(-high // PADDING) * PADDING) or width not in (wide, -(-wide // PADDING) * PADDING):
            raise LabelError(
                f"The ink map {self.raster.source} is {height} x {width} px (H x W) but the segment {segment.source} "
                f"is {high} x {wide}. Give the segment that it was made of."
            )
        return replace(self, raster=self.raster.fit((high, wide), segment.source))

    @property
    def segment(self) -> str | None:
        """Name of the segment that it says it was made of."""
        name = self.record.get("segment")
        if isinstance(name, dict):
            name = name.get("name")
        return name if isinstance(name, str) else None

    @property
    def predicted(self) -> Window:
        """The box that was predicted: its recorded region, else all of it."""
        height, width = self.raster.extent
        whole = Window((0, 1), (0, height), (0, width))
        region = self.record.get("region")
        return whole if region is None else self._window(region) & whole

    def layer(self, segment: Segment) -> int:
        """Return the middle of the layers that were read, as recorded, else the segment's surface."""
        try:
            start, stop = self.record["plan"]["region"]["z"]
        except (KeyError, TypeError, ValueError):
            return segment.surface_index
        return min((int(start) + int(stop)) // 2, segment.depth - 1)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of its scores and pictures should know."""
        if self.done is None:
            return ()
        return (
            f"The prediction {self.raster.source} is not finished: only its {len(self.done)} finished blocks count.",
        )

    def predicted_pixels(self, window: Window) -> NDArray[np.bool_]:
        """Return which pixels of a window inside the segment were predicted, YX."""
        there = np.zeros(window.shape[1:], dtype=np.bool_)
        for box in (self.predicted,) if self.done is None else self.done:
            there[(box & self.predicted & window.layers(0, 1)).inside(window).yx] = True
        return there

    def held_out(self, name: str) -> tuple[Window, ...]:
        """Return the boxes of the segment ``name`` that the model never learned from, as its training recorded."""
        recorded = self.record.get("held_out")
        boxes = recorded.get(name, []) if isinstance(recorded, dict) else []
        return tuple(self._window(box) for box in boxes)

    def levels(self, window: Window) -> NDArray[np.uint8]:
        """Read the 8-bit probabilities, 0…255, of a window inside the segment, YX."""
        return np.rint(self.raster.read(window) * 255).astype(np.uint8)

    def _window(self, box: object) -> Window:
        try:
            y0, y1, x0, x1 = _BOX.validate_python(box)
        except ValidationError as error:
            raise SourceError(f"{self.raster.source} records the box {box!r}; expected [y0, y1, x0, x1].") from error
        return Window((0, 1), (y0, y1), (x0, x1))
