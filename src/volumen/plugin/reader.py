"""Reader: a segment or an ink map that is dropped on the window opens as lazy layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.errors import VolumenError
from volumen.plugin.layers import prediction_data, segment_data
from volumen.settings.command import full_path
from volumen.sources.open import open_segment
from volumen.sources.pyramids.probability_map import open_map

if TYPE_CHECKING:
    from collections.abc import Callable

    from volumen.plugin.layers import LayerData


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return the reader of one segment or ink map at ``path``, None where neither is, so that others may try."""
    if not isinstance(path, str):
        return None
    if is_map(path):
        return read_map
    try:
        open_segment(path)
    except VolumenError:
        return None
    return read_segment


def read_segment(path: str | list[str]) -> list[LayerData]:
    """Open a segment as napari layers: the volume as ``<name>``, its rasters as ``<name>_ink``, ``<name>_mask``."""
    return segment_data(open_segment(_single(path)))


def read_map(path: str | list[str]) -> list[LayerData]:
    """Open an ink map as one napari layer."""
    return [prediction_data(_single(path))]


def is_map(path: str) -> bool:
    """Whether an ink map of ours is at a path."""
    try:
        open_map(path)
    except VolumenError:
        return False
    return True


def _single(path: str | list[str]) -> str:
    return full_path(path if isinstance(path, str) else path[0])
