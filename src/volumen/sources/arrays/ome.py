"""OmeImage: what OME-Zarr metadata say of an image: where its levels are, and how large a voxel is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

from volumen.errors import SourceError
from volumen.sources.arrays.zarr_names import METADATA
from volumen.sources.damage import described

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_LEVELS = 16
"""Most levels of an image that are looked for: each halves the last, and a store may name arrays without end."""

_MICROMETRES = {
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "nm": 1e-3,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "mm": 1e3,
}
_LARGEST = 1e9  # µm, beyond any voxel
_LONGEST = 200  # bytes of a path: what is downloaded must have room for it below any folder


@dataclass(frozen=True, kw_only=True)
class OmeImage:
    """An image of OME-Zarr 0.4 or 0.5.

    Parameters
    ----------
    paths
        Its arrays from the store on, full size first, `MOST_LEVELS` of them at most; none where the metadata name none.
    voxel_um
        Edge of a voxel in micrometres, where it is said as one can be.
    """

    paths: tuple[str, ...]
    voxel_um: float | None


def read_ome(attributes: Mapping[str, Any], source: str) -> OmeImage | None:
    """Read the first image that a group's attributes describe, under ``ome`` (0.5) or not (0.4); None without any.

    Raises
    ------
    SourceError
        When the metadata are out of shape, have other axes than ZYX last, or name arrays outside of the store.
    """
    try:
        images = (attributes.get("ome") or attributes).get("multiscales")
        if not isinstance(images, list) or not images or not isinstance(images[0], dict):
            return None
        image = images[0]
        _check_axes(image, source)
        named = [_inside(str(dataset["path"]), source) for dataset in image.get("datasets", [])]
        paths = tuple(dict.fromkeys(named))[:MOST_LEVELS]  # one that is named twice is there once
        _check_apart(paths, source)
        return OmeImage(paths=paths, voxel_um=_voxel_um(image) if paths else None)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise SourceError(
            f"{source} has OME-Zarr metadata that are not understood ({described(error)}); write them again."
        ) from error


def edge_um(said: Any) -> float | None:
    """Return the edge of a voxel as somebody says it, in µm; None where it is no positive number.

    Examples
    --------
    >>> edge_um(7.91), edge_um("7.91"), edge_um(-1), edge_um(10**400)
    (7.91, None, None, None)
    """
    number = isinstance(said, int | float) and not isinstance(said, bool)
    return float(said) if number and 0 < said <= _LARGEST else None


def _check_axes(image: Mapping[str, Any], source: str) -> None:
    names = [str(axis["name"]) if isinstance(axis, dict) else str(axis) for axis in image.get("axes", [])]
    if names and [name.lower() for name in names[-3:]] != list("zyx"[-len(names[-3:]) :]):
        raise SourceError(f"{source} has axes {', '.join(names)}; the last ones must be z, y, x. Transpose it.")


def _inside(path: str, source: str) -> str:
    """Return a path that a store names, if it stays inside the store: somebody else must not choose what is read."""
    parts = path.split("/")
    unfit = not path.isprintable() or len(path.encode()) > _LONGEST
    if unfit or any(part.lower() in METADATA for part in parts):
        raise SourceError(f"{source} names an array {path[:_LONGEST]!r}, as no folder can be called; it is not opened.")
    # a colon parts drive or stream from name on Windows, where "C:x" leaves the folder that it is put below
    if "\\" in path or ":" in path or any(part in ("", ".", "..") for part in parts):
        raise SourceError(f"{source} names an array outside of itself, {path!r}; it is not opened.")
    return path


def _check_apart(paths: Sequence[str], source: str) -> None:
    for outer, inner in permutations(paths, 2):
        if inner.startswith(f"{outer}/"):
            raise SourceError(f"{source} names an array {inner!r} inside of another, {outer!r}; it is not opened.")


def _voxel_um(image: Mapping[str, Any]) -> float | None:
    axes = image.get("axes") or [None]
    factor = _MICROMETRES.get(str(axes[-1].get("unit"))) if isinstance(axes[-1], dict) else None
    if factor is None:
        return None
    edge = 1.0
    dataset = image["datasets"][0]
    for step in [*dataset.get("coordinateTransformations", []), *image.get("coordinateTransformations", [])]:
        if step.get("type") == "scale":
            edge *= float(step["scale"][-1])
    return edge_um(edge * factor) if math.isfinite(edge) else None
