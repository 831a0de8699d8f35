"""VolumeSurvey: what the voxels of a few windows say about a whole volume: range, depth profile, where ink shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import uniform_filter

from volumen.sources.decoded import decoded_at_once, layer_by_layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from volumen.sources.segment import Segment
    from volumen.windows import Window

_BUDGET = 3_000_000_000  # voxels that may be decoded: most of a minute for LZW on one core
_LEAST_PIXELS = 2000  # of ink and of background, to compare the two
# Decoded for a crop, and times what the crop holds. Chunks of 16 × 256 × 256, which conversion makes, need 28 million
# at worst for 20 × 320 × 320.
_SLOW_VOXELS, _SLOW_RATIO = 30_000_000, 8


@dataclass(frozen=True, kw_only=True, eq=False)
class VolumeSurvey:
    """Numbers of the sampled voxels; greys are shares of the dtype's range, or as they are for floats.

    Parameters
    ----------
    windows
        How many windows were read.
    layers
        Which layers were read, increasing.
    blank
        Share of the sampled papyrus where every layer is zero.
    saturated
        Share of voxels, not blank, at the top of the range.
    span
        Distance between the 1st and the 99th percentile.
    profile
        Mean grey of each layer read, blank places left out.
    texture
        Standard deviation within a layer, averaged over the layers.
    repeated
        Layers that equal the layer read before them, and are not zero.
    empty
        Layers that are zero wherever others are not.
    ink_evidence, chance_evidence
        By layer, how much ink differs from papyrus beside it: squared difference of means over the spread, plus
        squared log ratio of the fine texture's variance; and the same for the label turned upside down in each
        window, which tells what chance gives. None without enough ink.
    ink_on_blank
        Share of the sampled ink on papyrus that lies where every layer is zero.
    """

    windows: int
    layers: tuple[int, ...]
    blank: float
    saturated: float
    span: float
    profile: NDArray[np.float64]
    texture: float
    repeated: tuple[int, ...]
    empty: tuple[int, ...]
    ink_evidence: NDArray[np.float64] | None
    chance_evidence: NDArray[np.float64] | None
    ink_on_blank: float


def decoded_voxels(segment: Segment, box: tuple[int, int, int]) -> int:
    """Return how many voxels are decoded, at worst, to read a box of (Z, Y, X) voxels."""
    decoded = 1
    for length, piece, wanted in zip(segment.shape, decoded_at_once(segment), box, strict=True):
        whole = -(-wanted // piece) * piece + (piece if piece > 1 else 0)
        decoded *= min(whole, -(-length // piece) * piece)
    return decoded


def slow_layout(segment: Segment, crop: tuple[int, int, int]) -> str | None:
    """Say what it costs to read crops of (Z, Y, X) voxels, and the cure, where it costs too much to train on them."""
    if math.prod(segment.shape) <= _SLOW_VOXELS:
        return None
    decoded, wanted = decoded_voxels(segment, crop), math.prod(crop)
    if decoded <= _SLOW_VOXELS or decoded <= _SLOW_RATIO * wanted:
        return None
    return (
        f"To read a crop of {crop[0]} x {crop[1]} x {crop[2]} voxels of {segment.name}, {decoded / wanted:.0f} times "
        "as many must be decoded. Convert the volume first: volumen convert SRC DST.zarr."
    )


def affordable(segment: Segment, side: int, count: int) -> int:
    """Return how many windows of ``side`` px can be read in most of a minute, at least two."""
    if layer_by_layer(segment):
        return count
    return int(np.clip(_BUDGET // decoded_voxels(segment, (segment.depth, side, side)), 2, count))


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Voxels of some windows, empty until `fill` has run to its end.

    Parameters
    ----------
    segment
        Where they come from.
    windows
        Equally large, inside the segment.
    layers
        Which layers are read, increasing: all, or every second or third where all would take too long.
    values
        (window, layer, Y, X).
    """

    segment: Segment
    windows: tuple[Window, ...]
    layers: tuple[int, ...]
    values: NDArray[Any]

    @classmethod
    def of(cls, segment: Segment, windows: Sequence[Window]) -> Samples:
        """Make room for the voxels of ``windows``."""
        step = -(-math.prod(segment.shape) // _BUDGET) if layer_by_layer(segment) else 1
        layers = tuple(range(segment.depth // 2 % step, segment.depth, step))
        shape = (len(windows), len(layers), *windows[0].shape[1:])
        return cls(segment=segment, windows=tuple(windows), layers=layers, values=np.zeros(shape, dtype=segment.dtype))

    def fill(self) -> Iterator[int]:
        """Read in the order that suits the files; yield how many steps are done."""
        if not layer_by_layer(self.segment):
            for index, window in enumerate(self.windows):
                self.values[index] = self.segment.read(window)
                yield index + 1
            return
        for place, layer in enumerate(self.layers):
            for index, window in enumerate(self.windows):
                self.values[index, place] = self.segment.read(window.layers(layer, layer + 1))[0]
            yield place + 1


def survey_volume(samples: Samples) -> VolumeSurvey:
    """Measure the samples of a segment."""
    segment, values, layers = samples.segment, samples.values, samples.layers
    flat = [window.layers(0, 1) for window in samples.windows]
    everywhere = np.ones(values.shape[-2:], dtype=np.bool_)
    papyrus = np.stack([everywhere if segment.mask is None else segment.mask.read(each) > 0.5 for each in flat])
    supervised = np.stack([segment.supervised(each) for each in flat])
    ink = np.stack([~everywhere if segment.ink is None else segment.ink.read(each) > 0.5 for each in flat])
    there = (values != 0).any(axis=1) & papyrus
    evidence, chance = _ink_evidence(values, ink & supervised & there, supervised & ~ink & there)
    # (window, layer, Y, X) -> (layer, place); where nothing is there, one zero stands for it.
    greys = np.concatenate([window[:, place] for window, place in zip(values, there, strict=True)], axis=1)
    if not greys.size:
        greys = np.zeros((len(layers), 1), dtype=values.dtype)
    full = float(np.iinfo(values.dtype).max) if values.dtype.kind in "ui" else 1.0
    low, high = np.percentile(greys, (1, 99))
    return VolumeSurvey(
        windows=len(samples.windows),
        layers=layers,
        blank=1 - float(there.sum() / max(1, papyrus.sum())),
        saturated=float((greys == (full if values.dtype.kind in "ui" else greys.max())).mean()),
        span=float(high - low) / full,
        profile=np.array([layer.mean(dtype=np.float64) for layer in greys]) / full,
        texture=float(np.mean([layer.std(dtype=np.float64) for layer in greys])) / full,
        repeated=tuple(
            each for each, a, b in zip(layers[1:], greys, greys[1:], strict=False) if b.any() and (a == b).all()
        ),
        empty=tuple(each for each, layer in zip(layers, greys, strict=True) if not layer.any()),
        ink_evidence=evidence,
        chance_evidence=chance,
        ink_on_blank=float((ink & papyrus & ~there).sum() / max(1, (ink & papyrus).sum())),
    )


def _ink_evidence(
    samples: NDArray[Any], ink: NDArray[np.bool_], background: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | tuple[None, None]:
    """Compare ink with the background of the same windows, layer by layer; once more with the label turned."""
    both = ink.any(axis=(1, 2)) & background.any(axis=(1, 2))
    samples, ink, background = samples[both], ink[both], background[both]
    known = ink | background
    turned = ink[:, ::-1, ::-1] & known
    turned_background = known & ~turned
    if min(part.sum() for part in (ink, background, turned, turned_background)) < _LEAST_PIXELS:
        return None, None
    evidence, chance = [], []
    for layer in range(samples.shape[1]):
        greys = samples[:, layer].astype(np.float32)
        fine = (greys - uniform_filter(greys, size=(0, 7, 7))) ** 2
        evidence.append(_difference(greys, fine, ink, background))
        chance.append(_difference(greys, fine, turned, turned_background))
    return np.asarray(evidence), np.asarray(chance)


def _difference(
    greys: NDArray[np.float32], fine: NDArray[np.float32], ink: NDArray[np.bool_], background: NDArray[np.bool_]
) -> float:
    """Return the squared difference of two places in grey, over its spread, plus that in log texture."""
    spread = float(greys[ink | background].std()) or 1.0
    grey = (float(greys[ink].mean()) - float(greys[background].mean())) / spread
    texture = np.log((float(fine[ink].mean()) + 1e-12) / (float(fine[background].mean()) + 1e-12))
    return float(grey**2 + texture**2)
