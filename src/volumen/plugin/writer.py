"""Writer: a Labels layer becomes a segment's ink and supervision, in its store or as two pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.viewer import current_viewer
from PIL import Image

from volumen.errors import LabelError, OutputExistsError
from volumen.plugin.painting import painting_of, painting_shown
from volumen.settings.command import full_path
from volumen.sources.labels.painted import INK, PaintedLabels, Patch, open_painted
from volumen.sources.open import open_segment
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.sources.raster_names import NAMES
from volumen.whole_files import whole_file
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

_BAND = 1024  # rows read and written at a time
_CHUNK = 512


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write labels as the flat rasters that training takes: ink, and where it may be trusted.

    Parameters
    ----------
    path
        ``NAME.png``: two pictures, ``NAME_inklabels.png`` and ``NAME_supervision_mask.png``; a name that ends like
        one of the two is taken for both. ``SEGMENT.zarr`` of a segment that is there: the next version of its
        labels. Any other ``NAME.zarr``: two flat stores, named like the pictures.
    data
        YX classes: 0 not labelled, 1 background, 2 ink. Of a layer that is being painted, the whole segment's
        labels are written, not only the part that is in memory.
    meta
        The layer's other attributes, as napari hands them over.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    LabelError
        When the layer holds something else than these classes, does not fit the segment, or the segment is painted on.
    OutputExistsError
        When there is a store already that is no segment.
    """
    source = _source(data, meta)
    target = Path(path)
    if target.suffix.lower() == ".zarr" and target.exists():
        return _into_segment(target, source)
    suffix = ".zarr" if target.suffix.lower() == ".zarr" else ".png"
    stem = _stem(target)
    places = [target.with_name(f"{stem}_{NAMES[raster]}{suffix}") for raster in ("ink", "supervision")]
    write = _write_store if suffix == ".zarr" else _write_picture
    for place, pick in zip(places, (_ink, _supervision), strict=True):
        write(place, source, pick)
    return [str(place) for place in places]


class _Classes:
    """A layer's pixels as both rasters."""

    def __init__(self, data: Any) -> None:
        if np.ndim(data) != 2 or np.max(data, initial=0) > INK or np.min(data, initial=0) < 0:
            raise LabelError(
                "Labels of a segment are flat (YX) and hold 0 where nothing is labelled, 1 for background and 2 for "
                f"ink; this layer has shape {np.shape(data)} and values up to {np.max(data, initial=0)}. Paint on "
                "the segment with the Paint widget, or give the classes these numbers."
            )
        self._data = np.asarray(data)
        height, width = self._data.shape
        self.shape = (height, width)

    def read(self, window: Window) -> Patch:
        classes = self._data[window.yx].astype(np.uint8)
        nothing = np.zeros_like(classes)
        return Patch(nothing, nothing).repainted(classes)


_Source = _Classes | PaintedLabels


def _source(data: Any, meta: Mapping[str, Any]) -> _Source:
    """Take all that was painted, for a layer that shows a part of it; for any other, its own pixels."""
    painting = painting_shown(data, meta.get("metadata", {}))
    if painting is None:
        return _Classes(data)
    if not painting.closed:
        painting.flush()
    return painting.labels


def _into_segment(target: Path, source: _Source) -> list[str]:
    """Begin the next version of a segment's labels, with these pixels."""
    segment = open_segment(target)
    labels = open_painted(segment, elsewhere=target.parent)
    if source.shape != labels.shape:
        raise LabelError(
            f"The labels are {source.shape[0]} × {source.shape[1]} px (H × W), but {target} is "
            f"{labels.shape[0]} × {labels.shape[1]}. Save them into the segment they were painted on."
        )
    if isinstance(source, PaintedLabels) and source.labels == labels.labels:
        return [str(path) for path in (labels.labels.ink, labels.labels.supervision)]  # saved as they were painted
    _refuse_painted(target)
    labels.keep()
    for window in _bands(source.shape):
        wanted = source.read(window)
        before = labels.read(window)
        labels.write(window, wanted, (wanted.ink != before.ink) | (wanted.supervision != before.supervision))
    return [str(path) for path in (labels.labels.ink, labels.labels.supervision)]


def _refuse_painted(target: Path) -> None:
    """Raise a `LabelError` where a segment is painted on just now: its next strokes would go to the former version."""
    viewer = current_viewer()
    paintings = [painting_of(layer) for layer in viewer.layers] if viewer is not None else []
    path = full_path(str(target))
    if any(each is not None and not each.closed and full_path(each.origin.path) == path for each in paintings):
        raise LabelError(
            f"{target} is being painted on in this window, so other labels cannot be saved into it. Remove the layer "
            "that is painted on first, whose strokes are kept, or give another name."
        )


def _write_store(path: Path, source: _Source, pick: Callable[[Patch], NDArray[np.uint8]]) -> None:
    if path.exists():
        raise OutputExistsError(f"{path} is already there; give another name, or remove it first.")
    pyramid = create_pyramid(
        path, shape=source.shape, dtype="uint8", chunks=(_CHUNK, _CHUNK), axes="yx", downsampling="nearest"
    )
    for window in _bands(source.shape):
        pixels = pick(source.read(window))
        if pixels.any():
            pyramid.write(window, pixels)


def _write_picture(path: Path, source: _Source, pick: Callable[[Patch], NDArray[np.uint8]]) -> None:
    """Write a grey picture; over one that is there, since napari has asked for that already."""
    pixels = np.empty(source.shape, np.uint8)
    for window in _bands(source.shape):
        pixels[window.yx] = pick(source.read(window))
    with whole_file(path) as draft:
        Image.fromarray(pixels).save(draft, format="PNG")


def _bands(shape: tuple[int, int]) -> Iterator[Window]:
    for top in range(0, shape[0], _BAND):
        yield Window((0, 1), (top, min(top + _BAND, shape[0])), (0, shape[1]))


def _stem(target: Path) -> str:
    stem = target.name.removesuffix(target.suffix) if target.suffix else target.name
    for raster in ("ink", "supervision"):
        stem = stem.removesuffix(f"_{NAMES[raster]}")
    return stem


def _ink(patch: Patch) -> NDArray[np.uint8]:
    return patch.ink


def _supervision(patch: Patch) -> NDArray[np.uint8]:
    return patch.supervision
