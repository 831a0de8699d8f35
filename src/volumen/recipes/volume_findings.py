"""What a survey of the voxels says against training: damage, blank places, depth, order of the layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter1d

from volumen.recipes.findings import Finding, broken, doubtful

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from volumen.recipes.volume_survey import VolumeSurvey
    from volumen.windows import Range

_MOST_BLANK = 0.5
_MOST_SATURATED = 0.02
_LEAST_SPAN = 0.03  # of the dtype's range
_LEAST_RELIEF = 0.25  # of the depth profile, in standard deviations within a layer
_LEAST_STEP = 0.2  # between the two sides of the surface, of the profile's range
_LEAST_EVIDENCE = 3.0  # times what chance gives


def range_findings(survey: VolumeSurvey, dtype: np.dtype[np.generic]) -> Iterator[Finding]:
    """Yield what is wrong with the voxels as they are, wherever they lie."""
    if survey.blank == 1:
        yield broken(
            "blank",
            f"All voxels of {survey.windows} sampled windows are zero. The volume may be a header without data, or a "
            "failed download; render or copy it again.",
        )
        return
    if survey.blank > _MOST_BLANK:
        yield doubtful(
            "mostly_blank",
            f"{survey.blank:.0%} of the papyrus sampled is zero in every layer. Render or copy the volume again, or "
            "give a --mask that leaves the blank places out.",
        )
    if survey.ink_on_blank > 0.05:
        yield doubtful(
            "ink_on_blank",
            f"{survey.ink_on_blank:.1%} of the sampled ink lies where every layer is zero: label and volume may not "
            "belong together. Lay one over the other and look.",
        )
    if survey.saturated > _MOST_SATURATED:
        yield doubtful(
            "saturated",
            f"{survey.saturated:.1%} of the voxels are at the top of the range: detail is lost there. "
            "Export the volume with a wider window of greys.",
        )
    if dtype.kind in "ui" and survey.span < _LEAST_SPAN:
        yield doubtful(
            "narrow_range",
            f"98 % of the voxels lie within {survey.span:.2%} of the range of {dtype}: nearly constant, or 8-bit "
            "values in a wider type. Export the volume with its greys stretched.",
        )


def depth_findings(survey: VolumeSurvey, depth: int, layers: Range) -> Iterator[Finding]:
    """Yield what is wrong along Z: empty or repeated layers, no profile, surface or ink elsewhere, order.

    Parameters
    ----------
    survey
        Of the volume in the order it is read.
    depth
        Number of layers.
    layers
        Which are meant to be used, half-open.
    """
    if survey.blank == 1:
        return
    # Zero layers at the ends may be air; between others, or among those to be used, they are missing.
    filled = sorted(set(survey.layers) - set(survey.empty))
    empty = tuple(z for z in survey.empty if filled[0] < z < filled[-1] or layers[0] <= z < layers[1])
    if empty:
        yield broken(
            "layers_empty", f"Layers {_listed(empty)} are zero throughout. Copy or render them again, or choose others."
        )
    if survey.repeated:
        yield doubtful(
            "layers_repeated",
            f"Layers {_listed(survey.repeated)} equal the layer before them. Render the volume again.",
        )
    relief = float(np.ptp(survey.profile))
    if relief == 0 or relief < _LEAST_RELIEF * survey.texture:
        yield doubtful(
            "flat_profile",
            f"The layers are equally bright: their means differ by {relief:.4f}, the spread within a layer is "
            f"{survey.texture:.4f}. No surface and no order can be seen; the mesh may lie deep inside a solid lump, or "
            "the layers may be mixed up. Look at a cut along Z.",
        )
        return
    seen = DepthProfile.of(survey, depth)
    yield from _surface_findings(seen, layers)
    yield from _order_findings(seen)


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthProfile:
    """What the layers' brightness and the label say about the sheet.

    Parameters
    ----------
    grey
        Mean of each layer, a running mean of three.
    sheet
        Bright layers nearest to the middle, half-open.
    before, after
        Mean grey on the two sides of the middle.
    ink
        Layer around which ink shows, or None where it shows no more than chance does.
    inked
        Layers between which it shows at least half as much as where it shows best, half-open.
    strength
        How many times stronger than chance the label's evidence is; 0 without enough ink.
    """

    grey: NDArray[np.float64]
    sheet: Range
    before: float
    after: float
    ink: float | None
    inked: Range
    strength: float

    @classmethod
    def of(cls, survey: VolumeSurvey, depth: int) -> DepthProfile:
        """Read the profile; layers that were not sampled are interpolated."""
        grey = uniform_filter1d(np.interp(np.arange(depth), survey.layers, survey.profile), 3, mode="nearest")
        middle, side = depth // 2, max(2, round(depth / 6))
        ink, inked, strength = _ink_layers(survey)
        return cls(
            grey=grey,
            sheet=_bright_run(grey, middle),
            before=float(grey[max(0, middle - side) : middle].mean()),
            after=float(grey[middle + 1 : middle + 1 + side].mean()),
            ink=ink,
            inked=inked,
            strength=strength,
        )

    @property
    def middle(self) -> int:
        """Layer where the surface is expected."""
        return len(self.grey) // 2

    @property
    def step(self) -> float:
        """How much brighter it is after the middle than before, as a share of the profile's range."""
        return (self.after - self.before) / float(np.ptp(self.grey))


def _surface_findings(seen: DepthProfile, layers: Range) -> Iterator[Finding]:
    depth, (first, stop) = len(seen.grey), seen.sheet
    away = max(first - seen.middle, seen.middle - (stop - 1), 0)
    if away > max(2, round(depth / 10)):
        yield doubtful(
            "surface_elsewhere",
            f"The bright layers nearest to the middle are {first}:{stop}, {away} layers off layer {seen.middle}, where "
            f"the writing surface should be. Render the volume again around the sheet, or choose --layers around "
            f"{first} or {stop - 1}.",
        )
    if not layers[0] <= seen.middle < layers[1]:
        yield doubtful(
            "layers_off_surface",
            f"The chosen layers {layers[0]}:{layers[1]} leave out the surface, layer {seen.middle} of {depth}. "
            "Choose layers around it, unless you know that the surface lies elsewhere.",
        )
    elif seen.ink is not None and not (layers[0] < seen.inked[1] and seen.inked[0] < layers[1]):
        yield doubtful(
            "layers_off_ink",
            f"The label's ink shows in layers {seen.inked[0]}:{seen.inked[1]} ({seen.strength:.0f} times chance), "
            f"outside the chosen {layers[0]}:{layers[1]}. Choose --layers around it.",
        )


def _order_findings(seen: DepthProfile) -> Iterator[Finding]:
    """Judge the order by where ink shows in the sheet, else by which side of the surface is air."""
    first, stop = seen.sheet
    centre, reach = (first + stop - 1) / 2, (stop - first) / 2
    greys = f"mean grey {seen.before:.3f} before and {seen.after:.3f} after layer {seen.middle}"
    if seen.ink is not None and 0.25 * reach < abs(seen.ink - centre) < reach + 3:
        if seen.ink > centre:
            yield doubtful(
                "layers_reversed",
                f"The layers look reversed: the label's ink shows around layer {seen.ink:.1f} ({seen.strength:.0f} "
                f"times chance), on the far side of the sheet at layers {first}:{stop} ({greys}). Read them with "
                "--reverse and check again.",
            )
        return
    why = "no label" if seen.strength == 0 else f"the label's ink shows {seen.strength:.1f} times as much as chance"
    if seen.ink is not None:
        why = f"the label's ink shows in the middle of the sheet, layer {seen.ink:.1f}"
    if seen.step < -_LEAST_STEP:
        yield doubtful(
            "layers_reversed",
            f"The layers may be reversed: it gets darker through the surface ({greys}), while layers should run from "
            f"the gap above the writing into the sheet. Brightness is the only evidence ({why}); compare a prediction "
            "with --reverse, or use --direction both.",
        )
    elif seen.step < _LEAST_STEP:
        yield doubtful(
            "layer_order_unknown",
            f"The order of the layers cannot be seen: {greys}, and {why}. Compare predictions with and without "
            "--reverse.",
        )


def _ink_layers(survey: VolumeSurvey) -> tuple[float | None, Range, float]:
    """Return around which layer ink shows, between which, and how many times stronger than by chance."""
    if survey.ink_evidence is None or survey.chance_evidence is None:
        return None, (0, 0), 0.0
    strength = float(survey.ink_evidence.max()) / max(float(survey.chance_evidence.max()), 1e-9)
    if strength < _LEAST_EVIDENCE:
        return None, (0, 0), strength
    over = np.clip(survey.ink_evidence - 0.5 * survey.ink_evidence.max(), 0, None)
    layers = np.asarray(survey.layers)
    shown = layers[over > 0]
    return float((over * layers).sum() / over.sum()), (int(shown[0]), int(shown[-1]) + 1), strength


def _bright_run(grey: NDArray[np.float64], middle: int) -> Range:
    """Return the run of layers above the profile's mid-range that is nearest to the middle."""
    bright = np.concatenate([[False], grey > (grey.min() + grey.max()) / 2, [False]])
    edges = np.flatnonzero(bright[1:] != bright[:-1])
    runs = [(int(first), int(stop)) for first, stop in zip(edges[::2], edges[1::2], strict=True)]
    return min(runs, key=lambda run: max(run[0] - middle, middle - run[1] + 1, 0))


def _listed(layers: tuple[int, ...]) -> str:
    return ", ".join(map(str, layers[:8])) + (" …" if len(layers) > 8 else "")
