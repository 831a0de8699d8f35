"""Pyramid: an OME-Zarr 0.5 image of ours, halved in Y and X from level to level, written block by block."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from volumen.drafts import draft_of
from volumen.errors import OutputExistsError, SettingsError, SourceError, SourceNotFoundError
from volumen.sources.arrays.zarr_names import NODES
from volumen.sources.damage import DAMAGE, described
from volumen.sources.pyramids.halving import Downsampling, halve
from volumen.whole_files import out_of_space
from volumen.windows import Window

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import DTypeLike, NDArray

Axes = Literal["zyx", "yx"]
Compression = Literal["zstd", "lz4", "none"]

_COARSEST = 1024  # the longer side of the last level is at most this: one screen


@dataclass(frozen=True, kw_only=True)
class Pyramid:
    """An image of ours on disk: `levels` are zarr arrays, full size first, ZYX or YX; Z is kept.

    Level k has ``ceil(H / 2**k)`` rows and ``ceil(W / 2**k)`` columns.
    """

    path: Path
    levels: tuple[zarr.Array[Any], ...]
    axes: Axes
    downsampling: Downsampling = "mean"
    voxel_um: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent at full size."""
        return self.levels[0].shape

    @property
    def block(self) -> int:
        """Side in px of a YX block at full size that owns whole chunks at every level."""
        return max(self.levels[0].chunks[-2:]) << (len(self.levels) - 1)

    @property
    def volume(self) -> tuple[int, int, int]:
        """Extent (Z, Y, X) at full size; a flat image is one layer deep."""
        return _deep(self.shape)

    def write(
        self, window: Window, block: NDArray[Any], *, base: int = 0, first: int | None = None, top: int | None = None
    ) -> None:
        """Write a block and its halved copies.

        Parameters
        ----------
        window
            Where it goes, in voxels of level ``base``. Y and X start on multiples of ``2**(top - base)``, and
            stop on such multiples or at the image's edge, so that no pixel of a copy mixes two blocks.
        block
            ZYX, or YX for a flat image.
        base
            Level that the block belongs to.
        first, top
            First and last level to write; from ``base`` to the coarsest if not given.

        Raises
        ------
        SettingsError
            When the window lies outside the image or off the grid, or the block has another shape.
        OutOfSpaceError
            When the disk is full.
        """
        top = len(self.levels) - 1 if top is None else top
        flat = self.axes == "yx"
        self._check(window, block, base, top)
        for level in range(base, top + 1):
            if level > base:
                block = halve(block, self.downsampling)
                window = halved(window)
            if level >= (base if first is None else first):
                with out_of_space(self.path):
                    self.levels[level][window.yx if flat else window.zyx] = block

    def _check(self, window: Window, block: NDArray[Any], base: int, top: int) -> None:
        shape = _deep(self.levels[base].shape)
        if window.clip(shape) != window:
            raise SettingsError(f"{window} reaches outside level {base} of {self.path}, which has shape {shape}.")
        if _deep(block.shape) != window.shape:
            raise SettingsError(f"A block for {window} must have shape {window.shape}; got {block.shape}.")
        step = 1 << (top - base)
        for (start, stop), length in zip((window.y, window.x), shape[1:], strict=True):
            if start % step or (stop % step and stop != length):
                raise SettingsError(
                    f"Blocks must start and stop on multiples of {step} px or at the edge; got {window}."
                )


def check_replaceable(path: Path) -> None:
    """Raise an `OutputExistsError` where something is that is no zarr: nobody means a folder of scans or a run."""
    there = {each.name for each in path.iterdir()} if path.is_dir() else {path.name} if path.exists() else set()
    if there and not there & set(NODES):
        raise OutputExistsError(f"{path} is no OME-Zarr, so it is not replaced; give another path, or remove it first.")


def create_pyramid(
    path: str | os.PathLike[str],
    *,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    chunks: tuple[int, ...],
    axes: Axes = "zyx",
    voxel_um: float | None = None,
    levels: int | None = None,
    compression: Compression = "zstd",
    downsampling: Downsampling = "mean",
    attributes: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Pyramid:
    """Create an empty OME-Zarr 0.5 image; it appears at ``path`` complete with its metadata, or not at all.

    Parameters
    ----------
    path
        Folder to make.
    shape, chunks
        Extent and chunk shape in voxels, along ``axes``.
    dtype
        Type of a voxel.
    axes
        ``zyx`` or ``yx``.
    voxel_um
        Edge of a voxel in micrometres, if known.
    levels
        Number of levels; if not given, as many as bring the longer side to 1024 px.
    compression
        Codec of the chunks.
    downsampling
        ``mean`` of 2 x 2 pixels, or ``nearest`` (the top left one) for labels that must not turn grey.
    attributes
        What else to record, under ``volumen`` beside ``ome``.
    name
        What the image is called inside; the folder's name if not given.

    Raises
    ------
    OutputExistsError
        When something is at ``path``.

    References
    ----------
    OME-NGFF 0.5, https://ngff.openmicroscopy.org/0.5/
    """
    path = Path(path)
    if len(shape) != len(axes) or len(chunks) != len(axes):
        raise SettingsError(f"Axes {axes} need a shape and chunks of {len(axes)} numbers; got {shape} and {chunks}.")
    if path.exists():
        raise OutputExistsError(
            f"{path} is already there; go on with --resume, give another path, or replace it with --overwrite."
        )
    count = level_count(shape) if levels is None else levels
    draft = draft_of(path)
    with out_of_space(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            ome = _ome(name or path.name, axes, count, voxel_um, downsampling)
            group = zarr.create_group(draft, attributes={"ome": ome, "volumen": dict(attributes or {})})
            for level in range(count):
                group.create_array(
                    str(level),
                    shape=_level_shape(shape, level),
                    dtype=np.dtype(dtype),
                    chunks=chunks,
                    compressors=_compressors(compression, np.dtype(dtype)),
                    dimension_names=tuple(axes),
                )
            draft.replace(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return open_pyramid(path, mode="r+")


def open_pyramid(path: str | os.PathLike[str], mode: Literal["r", "r+"] = "r") -> Pyramid:
    """Open an image that `create_pyramid` made, to read it or to write blocks into it."""
    path = Path(path)
    if not path.exists():
        raise SourceNotFoundError(f"There is no image at {path}.")
    try:
        group = zarr.open_group(path, mode=mode, zarr_format=3)
        attributes = dict(group.attrs)
        image = cast("dict[str, Any]", attributes["ome"])["multiscales"][0]
        levels = tuple(cast("zarr.Array[Any]", group[dataset["path"]]) for dataset in image["datasets"])
        axes = "".join(axis["name"] for axis in image["axes"])
        unit = image["axes"][-1].get("unit")
        edge = float(image["datasets"][0]["coordinateTransformations"][0]["scale"][-1])
        ours = attributes.get("volumen", {})
        if not isinstance(ours, dict) or any(level.ndim != len(axes) for level in levels):
            raise ValueError("its metadata contradict each other")
    except DAMAGE as error:
        raise SourceError(f"{path} is not an OME-Zarr 0.5 image that volumen wrote: {described(error)}") from error
    return Pyramid(
        path=path,
        levels=levels,
        axes="yx" if axes == "yx" else "zyx",
        downsampling="nearest" if image.get("type") == "nearest" else "mean",
        voxel_um=edge if unit == "micrometer" else None,
        attributes=cast("dict[str, Any]", ours),
    )


def level_count(shape: tuple[int, ...]) -> int:
    """Return how many levels bring the longer side of an image to one screen, 1024 px."""
    count = 1
    while max(_level_shape(shape, count - 1)[-2:]) > _COARSEST:
        count += 1
    return count


def _deep(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return (1, shape[0], shape[1]) if len(shape) == 2 else (shape[0], shape[1], shape[2])


def halved(window: Window) -> Window:
    """Return where a window lies one level further, in its pixels."""
    return Window(window.z, (window.y[0] // 2, -(-window.y[1] // 2)), (window.x[0] // 2, -(-window.x[1] // 2)))


def _level_shape(shape: tuple[int, ...], level: int) -> tuple[int, ...]:
    return (*shape[:-2], -(-shape[-2] >> level), -(-shape[-1] >> level))


def _compressors(compression: Compression, dtype: np.dtype[Any]) -> Any:
    if compression == "none":
        return None
    if dtype.itemsize == 1:
        return ZstdCodec(level=3) if compression == "zstd" else BloscCodec(cname="lz4", clevel=3, shuffle="noshuffle")
    # Sorting the bytes of wider voxels about halves their compressed size.
    return BloscCodec(cname=compression, clevel=3, shuffle="shuffle", typesize=dtype.itemsize)


def _ome(name: str, axes: Axes, levels: int, voxel_um: float | None, downsampling: Downsampling) -> dict[str, Any]:
    unit = {} if voxel_um is None else {"unit": "micrometer"}
    edge = 1.0 if voxel_um is None else voxel_um
    datasets = []
    for level in range(levels):
        factor = 2**level
        scale = [edge] * (len(axes) - 2) + [edge * factor] * 2
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if downsampling == "mean" and level:
            # The centre of a mean lies between the pixels that it was made of.
            shift = edge * (factor - 1) / 2
            steps.append({"type": "translation", "translation": [0.0] * (len(axes) - 2) + [shift] * 2})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": name.split(".")[0],
                "axes": [{"name": axis, "type": "space", **unit} for axis in axes],
                "datasets": datasets,
                "type": downsampling,
            }
        ],
    }
