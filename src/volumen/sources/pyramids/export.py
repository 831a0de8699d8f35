"""A probability map as one picture file, with a sidecar that says what made it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import tifffile
from PIL import Image

from volumen.drafts import draft_of
from volumen.whole_files import out_of_space, refuse_existing

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from volumen.sources.pyramids.probability_map import ProbabilityMap

_BIGTIFF = 2**32 - 2**25  # bytes before compression; tifffile's own margin for offsets


def export_tiff(
    source: ProbabilityMap,
    path: str | os.PathLike[str],
    *,
    compression: Literal["zlib", "lzw"] = "zlib",
    overwrite: bool = False,
) -> Path:
    """Write the map as a tiled, compressed, grey 8-bit TIFF, one tile in memory at a time.

    Returns
    -------
    Path
        The TIFF; ``PATH.json`` beside it holds the map's settings and provenance.

    Raises
    ------
    OutputExistsError
        When ``path`` exists and is not to be overwritten.
    OutOfSpaceError
        When the disk is full.
    """
    side = source.block
    micrometres = source.pyramid.voxel_um
    with _written(source, Path(path), overwrite) as draft:
        tifffile.imwrite(
            draft,
            data=_tiles(source),
            shape=source.window.shape[1:],
            dtype=np.uint8,
            tile=(side, side),
            compression=compression,
            photometric="minisblack",
            metadata=None,
            bigtiff=source.window.shape[1] * source.window.shape[2] > _BIGTIFF,
            resolution=None if micrometres is None else (1e4 / micrometres, 1e4 / micrometres),
            resolutionunit=None if micrometres is None else "CENTIMETER",
        )
    return Path(path)


def export_png(source: ProbabilityMap, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write the map as a grey 8-bit PNG; it is held in memory whole, one byte a pixel.

    Returns, raises and leaves a sidecar as `export_tiff` does.
    """
    with _written(source, Path(path), overwrite) as draft:
        Image.fromarray(source.read(source.window)).save(draft, format="PNG")
    return Path(path)


def check_free(path: Path) -> None:
    """Raise an `OutputExistsError` where `export_tiff` and `export_png` would not write a map."""
    for existing in (path, _sidecar(path)):
        refuse_existing(existing)


@contextmanager
def _written(source: ProbabilityMap, path: Path, overwrite: bool) -> Iterator[Path]:
    """Lend a name to write to; the picture and its sidecar appear when it is complete, or not at all."""
    if not overwrite:
        check_free(path)
    sidecar = _sidecar(path)
    draft, draft_sidecar = draft_of(path), draft_of(sidecar)
    with out_of_space(path):
        try:
            yield draft
            draft_sidecar.write_text(json.dumps({"map": str(source.path), **source.attributes}, indent=2) + "\n")
            draft_sidecar.replace(sidecar)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
            draft_sidecar.unlink(missing_ok=True)


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _tiles(source: ProbabilityMap) -> Iterator[NDArray[np.uint8]]:
    """Yield the map's blocks row by row, those at the edges filled up with zeros."""
    side = source.block
    for block in source.blocks(source.window):
        _, height, width = block.shape
        values = source.read(block)
        yield values if values.shape == (side, side) else np.pad(values, ((0, side - height), (0, side - width)))
