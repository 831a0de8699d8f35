"""Window: the one type that owns slicing arithmetic; training crops and prediction tiles are both Windows.

Axes are ZYX, ranges are half-open ``[start, stop)`` in voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

Range = tuple[int, int]

Size = int | tuple[int, int]
"""Height and width in pixels; one number says both."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A box of voxels; ranges may reach outside a volume until `clip` cuts them.

    Parameters
    ----------
    z, y, x
        Half-open ranges (start, stop) in voxels: layers, rows, columns.

    Examples
    --------
    >>> w = Window((0, 20), (-8, 24), (0, 32))
    >>> w.shape
    (20, 32, 32)
    >>> w.clip((65, 20, 30)).yx
    (slice(0, 20, None), slice(0, 30, None))
    """

    z: Range
    y: Range
    x: Range

    def __post_init__(self) -> None:
        for axis, (start, stop) in (("z", self.z), ("y", self.y), ("x", self.x)):
            if stop < start:
                raise SettingsError(f"A window's {axis} range must not end before it starts; got {start}:{stop}.")

    @classmethod
    def whole(cls, shape: tuple[int, int, int]) -> Window:
        """Cover a volume of ``shape`` ZYX."""
        return cls((0, shape[0]), (0, shape[1]), (0, shape[2]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Extent (Z, Y, X) in voxels."""
        return (self.z[1] - self.z[0], self.y[1] - self.y[0], self.x[1] - self.x[0])

    @property
    def zyx(self) -> tuple[slice, slice, slice]:
        """Slices for a ZYX array."""
        return (slice(*self.z), slice(*self.y), slice(*self.x))

    @property
    def yx(self) -> tuple[slice, slice]:
        """Slices for a YX array."""
        return (slice(*self.y), slice(*self.x))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(y0, y1, x0, x1) in pixels, as events carry it."""
        return (*self.y, *self.x)

    @property
    def empty(self) -> bool:
        """Whether it holds no voxel."""
        return 0 in self.shape

    def layers(self, start: int, stop: int) -> Window:
        """Return the same YX box over layers ``start:stop``."""
        return replace(self, z=(start, stop))

    def halo(self, pixels: int) -> Window:
        """Grow by ``pixels`` on every YX side; the result may reach outside the volume."""
        return replace(self, y=(self.y[0] - pixels, self.y[1] + pixels), x=(self.x[0] - pixels, self.x[1] + pixels))

    def clip(self, shape: tuple[int, int, int]) -> Window:
        """Cut to a volume of ``shape`` ZYX."""
        return self & Window.whole(shape)

    def __and__(self, other: Window) -> Window:
        """Return the common part; ranges without one come out empty."""
        return Window(_common(self.z, other.z), _common(self.y, other.y), _common(self.x, other.x))

    def __or__(self, other: Window) -> Window:
        """Return the smallest box that holds both."""
        return Window(_around(self.z, other.z), _around(self.y, other.y), _around(self.x, other.x))

    def inside(self, outer: Window) -> Window:
        """Express this window in the coordinates of ``outer``, whose corner becomes (0, 0, 0)."""
        return Window(
            (self.z[0] - outer.z[0], self.z[1] - outer.z[0]),
            (self.y[0] - outer.y[0], self.y[1] - outer.y[0]),
            (self.x[0] - outer.x[0], self.x[1] - outer.x[0]),
        )

    def overlaps(self, other: Window) -> bool:
        """Whether the two share a voxel."""
        return not (self & other).empty


def height_width(size: Size) -> tuple[int, int]:
    """Return (H, W) in pixels of a size that may be given as one number.

    Examples
    --------
    >>> height_width(224), height_width((64, 256))
    ((224, 224), (64, 256))
    """
    return (size, size) if isinstance(size, int) else size


def starts(length: int, size: int, stride: int) -> list[int]:
    """Return the starts of windows of ``size`` every ``stride`` that together reach the end of ``length``.

    The last start is the first at or after ``length - size`` on the stride's grid, so every start is a
    multiple of ``stride`` and the last window may reach over the end.

    Examples
    --------
    >>> starts(100, 40, 30)
    [0, 30, 60]
    >>> starts(10, 40, 30)
    [0]
    """
    if size < 1 or stride < 1:
        raise SettingsError(f"Window size and stride must be at least 1; got size {size}, stride {stride}.")
    count = 1 + max(0, -(-(length - size) // stride))
    return [index * stride for index in range(count)]


def grid(within: Window, size: Size, stride: Size) -> Iterator[Window]:
    """Yield windows of ``size`` px every ``stride`` px, row by row, over all layers of ``within``.

    Together they cover ``within``; those on its right and bottom edge may reach outside it.
    """
    (height, width), (down, right) = height_width(size), height_width(stride)
    for y in starts(within.shape[1], height, down):
        for x in starts(within.shape[2], width, right):
            top, left = within.y[0] + y, within.x[0] + x
            yield Window(within.z, (top, top + height), (left, left + width))


def _around(a: Range, b: Range) -> Range:
    return (min(a[0], b[0]), max(a[1], b[1]))


def _common(a: Range, b: Range) -> Range:
    start = max(a[0], b[0])
    return (start, max(start, min(a[1], b[1])))
