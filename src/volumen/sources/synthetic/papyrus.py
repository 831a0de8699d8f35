"""Papyrus: what a micro-CT scan of a flattened, written sheet looks like, window by window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, auto
from typing import TYPE_CHECKING

import numpy as np

from volumen.sources.synthetic.noise import Noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.synthetic.letters import Letters
    from volumen.sources.synthetic.repeated import Repeated
    from volumen.windows import Window

    Layer = NDArray[np.float32]

# Greys, in [0, 1] of the dtype's range.
_AIR, _PAPER = 0.20, 0.50
_FIBRE, _PITH = 0.075, 0.035
_WHITE, _SCANNER = 0.055, 0.055
_DRIFT = 0.06
# Ink at contrast 1: a shift of grey and a pattern of plates and cracks around it.
_INK_GREY, _INK_CRACKLE = 0.05, 0.12
# Layers: thickness of the sheet, room between the sheets of a scroll, how far the surface may lie off the middle.
_THICKNESS, _GAP = 11.0, 11.0
_SURFACE, _HIGHEST = 0.9, 3.0
# Pixels: how far fibres wander sideways, side of a plate of the crackle.
_WANDER = 10
_PLATE = 7
_MARGIN = 0.04


class _Field(IntEnum):
    """Numbers of the random fields."""

    SURFACE = auto()
    ROUGHNESS = auto()
    THICKNESS = auto()
    NEIGHBOUR = auto()
    HORIZONTAL = auto()
    VERTICAL = auto()
    BUNDLES = auto()
    WANDER = auto()
    PITH = auto()
    CRACKS = auto()
    CRACKED = auto()
    PLATES = auto()
    STROKES = auto()
    STAINED = auto()
    DEEP_STROKES = auto()
    DEEP_STAINED = auto()
    FADING = auto()
    DRIFT = auto()
    WHITE = auto()
    SCANNER = auto()
    EDGE = auto()
    UNLABELLED = auto()


@dataclass(frozen=True, kw_only=True)
class Papyrus:
    """A synthetic segment of ``shape`` ZYX that can be cut into any windows without a seam.

    Parameters
    ----------
    shape
        Extent (Z, Y, X); the writing surface lies around layer ``Z // 2``, and layers run from the air into
        the sheet.
    ink
        Where there is ink: letters or a raster, read in windows.
    contrast
        Strength of the ink, in grey and in texture.
    ink_depth
        How many layers the ink goes down into the sheet.
    seed
        Seed of everything but the ink's place.
    """

    shape: tuple[int, int, int]
    ink: Letters | Repeated
    contrast: float
    ink_depth: float
    seed: int

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return where there is papyrus, YX: a sheet with a frayed edge."""
        margin = max(8.0, _MARGIN * min(self.shape[1:]))
        flat = window.layers(0, 1)
        fray = margin * 0.35 * self._field(_Field.EDGE).rolling(flat, scale=max(8.0, margin))[0]
        fray += margin * 0.08 * self._field(_Field.EDGE).smooth(flat, sigma=(0, 3, 3))[0]
        y, x = (np.arange(*axis, dtype=np.float32) for axis in (window.y, window.x))
        down = np.minimum(y, self.shape[1] - 1 - y)[:, None]
        across = np.minimum(x, self.shape[2] - 1 - x)[None, :]
        return np.asarray(np.minimum(down, across) > margin + fray)

    def label(self, window: Window) -> Layer:
        """Return the ink that is really there, YX in [0, 1]."""
        return self.ink.read(window) * self.mask(window)

    def supervision(self, window: Window) -> NDArray[np.bool_]:
        """Return where the label may be trusted, YX: the papyrus but for a few patches nobody has looked at."""
        patches = self._field(_Field.UNLABELLED).rolling(window.layers(0, 1), scale=80.0)[0]
        return np.asarray(self.mask(window) & (patches < 1.5))

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return voxels of a window over all layers, ZYX in [0, 1]; zero outside the papyrus."""
        flat = window.layers(0, 1)
        depth = self._depth(window)
        voxels = self._material(window, depth)
        voxels += self._written(flat, depth)
        voxels += _AIR
        voxels *= 1 + _DRIFT * self._field(_Field.DRIFT).rolling(flat, scale=200.0)
        voxels += _WHITE * self._field(_Field.WHITE).white(window)
        voxels += _SCANNER * self._field(_Field.SCANNER).smooth(window, sigma=(0.8, 1.0, 1.0))
        # Zero is kept for "no papyrus here".
        return np.clip(voxels, 1 / 255, 1) * self.mask(window)

    def _field(self, field: _Field) -> Noise:
        return Noise(seed=self.seed, stream=int(field))

    def _depth(self, window: Window) -> NDArray[np.float32]:
        """Return how many layers each voxel lies below the surface, ZYX; negative above it."""
        flat = window.layers(0, 1)
        surface = _SURFACE * self._field(_Field.SURFACE).rolling(flat, scale=90.0)[0]
        surface += 0.35 * self._field(_Field.ROUGHNESS).smooth(flat, sigma=(0, 2.5, 2.5))[0]
        np.clip(surface, -_HIGHEST, _HIGHEST, out=surface)
        layers = np.arange(*window.z, dtype=np.float32) - self.shape[0] // 2
        return np.asarray(layers[:, None, None] - surface)

    def _material(self, window: Window, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the grey of the sheets above air: fibres crosswise, uneven thickness, cracks; ZYX."""
        flat = window.layers(0, 1)
        thickness = _THICKNESS * (1 + 0.10 * self._field(_Field.THICKNESS).rolling(flat, scale=120.0)[0])
        grey = _PITH * self._field(_Field.PITH).smooth(window, sigma=(0.8, 1.6, 1.6)) + (_PAPER - _AIR)
        share = np.zeros_like(depth)
        upper = np.zeros_like(depth)
        pitch = _THICKNESS + _GAP
        reach = self.shape[0] // 2
        first, last = -int((reach + pitch) // pitch), int((reach + _GAP) // pitch)
        for number in range(first, last + 1):
            top = np.float32(number * pitch)
            if number:
                far = Noise(seed=self.seed, stream=int(_Field.NEIGHBOUR) + 1000 + number - first)
                top = top + 1.5 * far.rolling(flat, scale=150.0)[0]
            below = depth - top
            np.maximum(share, np.minimum(_step(below), _step(thickness - below)), out=share)
            np.maximum(upper, np.minimum(_step(below + 1), _step(thickness / 2 - below)), out=upper)
        horizontal, vertical = self._fibres(window, depth, along=2), self._fibres(window, depth, along=1)
        grey += _FIBRE * (vertical + upper * (horizontal - vertical))
        return grey * share * (1 - self._cracks(flat))

    def _fibres(self, window: Window, depth: NDArray[np.float32], *, along: int) -> NDArray[np.float32]:
        """Return fibres that run along an axis, wander sideways and follow the surface, ZYX."""
        across = 3 - along
        stream = _Field.HORIZONTAL if along == 2 else _Field.VERTICAL
        # The field's own layers count from below the surface, so that fibres follow it.
        lift = self.shape[0] // 2 + int(_HIGHEST) + 1
        wide = window.halo(_WANDER + 1).layers(0, self.shape[0] + 2 * int(_HIGHEST) + 3)
        field = self._field(stream).fibres(wide, sigma=1.3, length=140.0, along=along)
        field += 0.8 * Noise(seed=self.seed, stream=int(_Field.BUNDLES) * 100 + along).fibres(
            wide, sigma=4.0, length=260.0, along=along
        )
        wander = Noise(seed=self.seed, stream=int(_Field.WANDER) * 100 + along).rolling(
            window.layers(0, 1), scale=110.0
        )
        shift = np.clip(3.5 * wander[0], -_WANDER, _WANDER)
        return _gather(field, depth + np.float32(lift), shift, across, _WANDER + 1)

    def _cracks(self, flat: Window) -> Layer:
        """Return thin dark cracks through the sheet, YX in [0, 1]."""
        wide = flat.halo(1)
        ridge = self._field(_Field.CRACKS).rolling(wide, scale=70.0)[0]
        ridge += 0.03 * self._field(_Field.CRACKS).smooth(wide, sigma=(0, 3, 3))[0]
        distance = _distance(ridge)[flat.inside(wide).yx]
        open_here = self._field(_Field.CRACKED).rolling(flat, scale=60.0)[0]
        width = 0.5 + 1.2 * np.clip(open_here - 0.9, 0, 1)
        return _step(width - distance) * _step(4 * (open_here - 0.9)) * np.float32(0.8)

    def _written(self, flat: Window, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what ink and stains add to the grey, ZYX.

        Stains at the surface have the ink's grey without its texture; stains below it have both.
        """
        crackle = self._crackle(flat)
        ink = self.label(flat) * (1 + 0.2 * np.clip(self._field(_Field.FADING).rolling(flat, scale=100.0)[0], -2, 2))
        stain = self._strokes(flat, _Field.STROKES, _Field.STAINED) * (1 - np.clip(ink, 0, 1))
        deep = self._strokes(flat, _Field.DEEP_STROKES, _Field.DEEP_STAINED)
        at_surface = np.minimum(_step(depth), _step(np.float32(self.ink_depth) - depth))
        lower = np.float32(self.ink_depth + 2)
        below = np.minimum(_step(depth - lower), _step(lower + np.float32(self.ink_depth) - depth))
        written = at_surface * ((ink + stain) * _INK_GREY + ink * crackle * _INK_CRACKLE)
        written += below * (deep * (_INK_GREY + crackle * _INK_CRACKLE))
        return np.asarray(written * np.float32(self.contrast), dtype=np.float32)

    def _strokes(self, flat: Window, strokes: _Field, where: _Field) -> Layer:
        """Return curves as wide as a letter's strokes in some places, YX in [0, 1]."""
        wide = flat.halo(1)
        distance = _distance(self._field(strokes).rolling(wide, scale=48.0)[0])[flat.inside(wide).yx]
        return _step(7 - distance) * _step(6 * (self._field(where).rolling(flat, scale=70.0)[0] - 0.1))

    def _crackle(self, flat: Window) -> Layer:
        """Return plates of dried ink with dark cracks between them, YX, of about zero mean and unit variance."""
        nearest, second, shade = _plates(self._field(_Field.PLATES), flat)
        lines = _step(1.6 - (second - nearest))
        # The last two numbers are the mean and spread of the pattern, so that it adds no grey of its own.
        return np.asarray((0.55 * shade - 2.2 * lines + 1.054) / np.float32(1.145), dtype=np.float32)


def _step(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a soft step one voxel wide: 0 below -1/2, 1 above 1/2."""
    return np.asarray(np.clip(distance + np.float32(0.5), 0, 1), dtype=np.float32)


def _distance(values: Layer) -> Layer:
    """Return about how many pixels each place lies off the zero line of a smooth field, YX; the rim is not exact."""
    down, across = np.gradient(values)
    return np.asarray(np.abs(values) / np.sqrt(down * down + across * across + np.float32(1e-6)), dtype=np.float32)


def _gather(
    field: NDArray[np.float32], layer: NDArray[np.float32], shift: Layer, across: int, halo: int
) -> NDArray[np.float32]:
    """Read ``field`` ZYX at fractional layers, moved sideways by ``shift`` px along an axis; linear between voxels.

    ``field`` is ``halo`` px larger than ``layer`` on each YX side.
    """
    depth, height, width = layer.shape
    plane, row = field.shape[1] * field.shape[2], field.shape[2]
    stride = row if across == 1 else 1
    whole = np.floor(shift)
    part = shift - whole
    # Flat index of the voxel at layer 0, YX.
    start = (np.arange(height)[:, None] + halo) * row + (np.arange(width)[None, :] + halo)
    start = start + whole.astype(np.intp) * stride
    values = field.reshape(-1)
    result = np.empty_like(layer)
    for z in range(depth):  # a layer at a time keeps the index arrays small
        below = np.floor(layer[z])
        index = start + below.astype(np.intp) * plane
        rest = layer[z] - below
        upper = values[index] * (1 - part) + values[index + stride] * part
        index += plane
        lower = values[index] * (1 - part) + values[index + stride] * part
        result[z] = upper + (lower - upper) * rest
    return result


def _plates(field: Noise, flat: Window) -> tuple[Layer, Layer, Layer]:
    """Return distances to the nearest and second plate centre in pixels, and the nearest's shade, each YX.

    Plates are the cells around one centre in each square of ``_PLATE`` px.
    """
    cells = replace(
        flat,
        z=(0, 3),
        y=(flat.y[0] // _PLATE - 1, (flat.y[1] - 1) // _PLATE + 2),
        x=(flat.x[0] // _PLATE - 1, (flat.x[1] - 1) // _PLATE + 2),
    )
    drawn = field.white(cells)
    jitter, shade = np.clip(0.28 * drawn[:2], -0.5, 0.5), drawn[2]
    y, x = np.arange(*flat.y), np.arange(*flat.x)
    row, column = (y // _PLATE - cells.y[0])[:, None], (x // _PLATE - cells.x[0])[None, :]
    inner_y = ((y % _PLATE + 0.5) / _PLATE).astype(np.float32)[:, None]
    inner_x = ((x % _PLATE + 0.5) / _PLATE).astype(np.float32)[None, :]
    nearest = np.full(flat.shape[1:], np.inf, dtype=np.float32)
    second, colour = nearest.copy(), np.zeros_like(nearest)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            here = (row + down, column + across)
            off_y = jitter[0][here] + np.float32(0.5 + down) - inner_y
            off_x = jitter[1][here] + np.float32(0.5 + across) - inner_x
            distance = np.float32(_PLATE) * np.sqrt(off_y * off_y + off_x * off_x)
            closer = distance < nearest
            second = np.minimum(second, np.maximum(distance, nearest))
            colour = np.where(closer, shade[here], colour)
            nearest = np.where(closer, distance, nearest)
    return nearest, second, colour
