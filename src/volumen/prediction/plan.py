"""TilePlan: which tiles a prediction computes, and which pixels of each it keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

from volumen.errors import SettingsError
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.windows import Range

Tiling = Literal["blend", "halo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One forward pass: the network sees ``window``, and ``keep``, a part of it, goes into the map.

    ``window`` may reach past the right and bottom end of the volume by less than a stride; ``keep`` lies inside
    the region that is predicted. Both run over the layers that the network sees.
    """

    window: Window
    keep: Window


@dataclass(frozen=True, kw_only=True)
class TilePlan:
    """Tiles of one shape over a region, row by row.

    Every tile starts on a multiple of the network's stride, counted from the volume's corner: off that grid the
    phase of strided convolutions differs from tile to tile, and the error at seams never decays. The grid
    reaches past the region by ``overlap`` where there is volume, so that a region comes out as it does in the
    whole map. Tiles are no larger than it takes to cover the grid with as few of them, so that nothing is
    computed for the sake of a round number.

    Parameters
    ----------
    volume
        Extent (Z, Y, X) of the volume in voxels.
    region
        What to predict: the layers that the network sees, and a YX box inside the volume.
    tile
        Largest side of a tile in pixels, a multiple of ``stride``.
    overlap
        Pixels. ``blend``: what neighbours share, at least. ``halo``: the margin that is cut off, at least.
    tiling
        ``blend`` weights neighbours together where they overlap; ``halo`` keeps each tile's core only, so that
        every pixel of the map comes from one tile.
    stride
        The network's coarsest stride in pixels; 32 for encoders of five halvings.

    Examples
    --------
    >>> region = Window((22, 42), (0, 1000), (0, 2000))
    >>> plan = TilePlan(volume=(65, 1000, 2000), region=region, tile=512, overlap=64)
    >>> plan.shape, len(plan.tiles)
    ((20, 384, 480), 15)
    """

    volume: tuple[int, int, int]
    region: Window
    tile: int
    overlap: int
    tiling: Tiling = "blend"
    stride: int = 32

    def __post_init__(self) -> None:
        if self.tiling not in get_args(Tiling):
            raise SettingsError(f"Tiling must be one of {', '.join(get_args(Tiling))}; got {self.tiling!r}.")
        if self.stride < 1 or self.overlap < 0:
            raise SettingsError(
                f"Stride must be at least 1 and overlap at least 0; got {self.stride} and {self.overlap}."
            )
        if self.tile < 1 or self.tile % self.stride:
            raise SettingsError(
                f"A tile's side must be a multiple of the network's stride of {self.stride} px; got {self.tile}."
            )
        if self.tile <= self.shared:
            raise SettingsError(
                f"A tile of {self.tile} px has nothing left beside {self.shared} px shared with its neighbours; "
                f"take a larger tile or a smaller overlap than {self.overlap} px."
            )
        if self.region.empty or self.region.clip(self.volume) != self.region:
            raise SettingsError(
                f"The region must hold pixels and lie inside the volume of shape {self.volume}; got {self.region}."
            )

    @property
    def shared(self) -> int:
        """Pixels that neighbouring tiles share, at least; a multiple of the stride."""
        return _up(self.overlap if self.tiling == "blend" else 2 * self.overlap, self.stride)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Extent (layers, height, width) of every tile."""
        return (self.region.shape[0], self._rows.size, self._columns.size)

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles that keep a pixel, row by row."""
        return tuple(self._tiles())

    @property
    def computed(self) -> float:
        """Pixels computed for each pixel of the region."""
        _, height, width = self.shape
        return len(self.tiles) * height * width / (self.region.shape[1] * self.region.shape[2])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that say everything about the plan, for a map's record."""
        return asdict(self)

    @cached_property
    def _rows(self) -> _Axis:
        return self._axis(self.volume[1], self.region.y)

    @cached_property
    def _columns(self) -> _Axis:
        return self._axis(self.volume[2], self.region.x)

    def _tiles(self) -> Iterator[Tile]:
        for top, keep_y in zip(self._rows.starts, self._rows.keeps, strict=True):
            for left, keep_x in zip(self._columns.starts, self._columns.keeps, strict=True):
                window = Window(self.region.z, (top, top + self._rows.size), (left, left + self._columns.size))
                keep = Window(self.region.z, keep_y, keep_x) & self.region
                if not keep.empty:
                    yield Tile(window=window, keep=keep)

    def _axis(self, length: int, region: Range) -> _Axis:
        """Lay tiles along one axis of ``length`` px so that they cover ``region`` and its surroundings."""
        first = max(0, region[0] - self.overlap) // self.stride * self.stride
        span = min(length, region[1] + self.overlap) - first
        if span <= self.tile:
            size = _up(span, self.stride)
            return _Axis(size=size, starts=(first,), keeps=((first, first + size),))
        count = -(-(span - self.shared) // (self.tile - self.shared))
        size = _up(-(-(span + (count - 1) * self.shared) // count), self.stride)
        # Steps of the stride's grid, spread evenly: none is longer than size - shared, see the tests.
        steps = _up(span - size, self.stride) // self.stride
        starts = tuple(first + index * steps // (count - 1) * self.stride for index in range(count))
        return _Axis(size=size, starts=starts, keeps=self._keeps(starts, size))

    def _keeps(self, starts: tuple[int, ...], size: int) -> tuple[Range, ...]:
        if self.tiling == "blend":
            return tuple((start, start + size) for start in starts)
        seams = [(left + size + right) // 2 for left, right in pairwise(starts)]
        return tuple(pairwise([starts[0], *seams, starts[-1] + size]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """Tiles along one axis: their common size, their starts, and the range that each keeps, in pixels."""

    size: int
    starts: tuple[int, ...]
    keeps: tuple[Range, ...]


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
