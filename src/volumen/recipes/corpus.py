"""Corpus: what a pretraining learns from and is scored on, opened, split and measured before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.crops.datasets import voxel_samples
from volumen.crops.lines import split_lines
from volumen.crops.normalize import Normalization
from volumen.crops.select import centre_layers, spread
from volumen.crops.shares import Shares
from volumen.crops.split import Split
from volumen.crops.unlabelled import UnlabelledSplit, split_unlabelled
from volumen.errors import SettingsError
from volumen.recipes.first_weights import digest
from volumen.recipes.opening import open_all
from volumen.recipes.probe import Probe
from volumen.recipes.volume_survey import slow_layout
from volumen.sources.lines.line import open_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.crops.datasets import Item
    from volumen.settings import PretrainSpark
    from volumen.sources.segment import Segment

_LAYERS = 20  # of a volume, as in the October report; an image has one


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """What a pretraining learns from and is scored on: segments, their splits, the normalisation.

    Parameters
    ----------
    segments, splits
        In the same order; a text line is a segment of one layer.
    normalization
        Fitted on what is learned from.
    layers
        How many centre layers, or which, as asked for or as it suits the data.
    held_out_count
        Most crops to score.
    identities
        What the data are; a run resumes only on the same.
    probe_seed
        Seed of the pixels that a probe draws.
    """

    segments: tuple[Segment, ...]
    splits: tuple[UnlabelledSplit, ...]
    normalization: Normalization
    layers: int | tuple[int, int]
    held_out_count: int
    identities: tuple[dict[str, Any], ...]
    probe_seed: int

    @classmethod
    def of(cls, settings: PretrainSpark) -> Corpus:
        """Open, split and measure; what does not fit is an error of `volumen.errors`."""
        lists = [path for path in settings.segments if path.endswith(".tsv")]
        volumes = open_all([path for path in settings.segments if path not in lists], settings)
        layers = settings.layers or (1 if lists or all(segment.depth == 1 for segment in volumes) else _LAYERS)
        parts = [(segment, _split(segment, layers, settings)) for segment in volumes]
        identities = [_identity(segment) for segment in volumes]
        for path in lists:
            parts += _lines(path, settings)
            identities.append(_list_identity(path))
        names = [segment.name for segment, _ in parts]
        if len(set(names)) < len(names):
            raise SettingsError(f"Segments are told apart by their names, which must differ; got {', '.join(names)}.")
        windows = [(segment, window) for segment, split in parts for window in split.train]
        if len(depths := {window.shape[0] for _, window in windows}) > 1:
            raise SettingsError(
                f"Crops must have one number of layers; these have {' and '.join(map(str, sorted(depths)))}. "
                "Give --layers, or learn from segments and images apart."
            )
        return cls(
            segments=tuple(segment for segment, _ in parts),
            splits=tuple(split for _, split in parts),
            normalization=Normalization.fit(settings.normalization, voxel_samples(windows), outside=settings.outside),
            layers=layers,
            held_out_count=settings.held_out_crops,
            identities=tuple(identities),
            probe_seed=settings.seed,
        )

    @property
    def train(self) -> list[Item]:
        """Every window to learn from, with its segment."""
        return [(segment, window) for segment, split in self._parts() for window in split.train]

    @property
    def held_out(self) -> list[Item]:
        """The crops to score, spread evenly over what is held out."""
        every = [(segment, window) for segment, split in self._parts() for window in split.held_out_crops]
        return list(spread(every, self.held_out_count))

    @property
    def held_out_boxes(self) -> dict[str, list[list[int]]]:
        """The boxes that nothing is learned from, (y0, y1, x0, x1) in pixels, by segment."""
        return {segment.name: [list(box.box) for box in split.held_out] for segment, split in self._parts()}

    @property
    def layer_count(self) -> int:
        """How many layers the model sees."""
        return self.train[0][1].shape[0]

    @property
    def warnings(self) -> list[str]:
        """What the person should know before training."""
        crop = self.train[0][1].shape
        return [slow for segment in self.segments if (slow := slow_layout(segment, crop)) is not None]

    @property
    def voxel_um(self) -> float | None:
        """Edge of a voxel in µm, where all segments have the same."""
        edges = {segment.voxel_um for segment in self.segments}
        return edges.pop() if len(edges) == 1 else None

    def probe(self) -> Probe:
        """Return a linear probe of encoders, on what is learned from and what is held out.

        Raises
        ------
        LabelError
            No segment has ink and background both among what is learned from and among what is held out.
        """
        parts = []
        for segment, split in self._parts():
            depth = centre_layers(segment.depth, self.layers)
            seen = tuple(dict.fromkeys(window.layers(*depth) for window in split.train))
            boxes = tuple(box.layers(*depth) for box in split.held_out)
            parts.append((segment, Split(train=seen, held_out=boxes, shares=Shares(), by="region")))
        return Probe.of(parts, normalization=self.normalization, seed=self.probe_seed)

    def _parts(self) -> Iterator[tuple[Segment, UnlabelledSplit]]:
        return zip(self.segments, self.splits, strict=True)


def _split(segment: Segment, layers: int | tuple[int, int], settings: PretrainSpark) -> UnlabelledSplit:
    return split_unlabelled(
        segment,
        layers=layers,
        size=settings.window,
        stride=settings.crop_stride,
        layer_stride=settings.layer_stride,
        region=settings.region,
        held_out_region=settings.held_out_region,
        share=settings.held_out_share,
        held_out_crops=settings.held_out_crops,
        seed=settings.seed,
    )


def _lines(path: str, settings: PretrainSpark) -> list[tuple[Segment, UnlabelledSplit]]:
    """Open a list of text lines and part it; lines of its test split are left out."""
    lines = open_lines(path)
    splits = split_lines(
        lines,
        size=settings.window,
        stride=settings.crop_stride,
        share=settings.held_out_share,
        held_out_crops=settings.held_out_crops,
        seed=settings.seed,
    )
    prefix = Path(path).stem
    return [
        (replace(line.segment, name=f"{prefix}/{line.name}"), split)
        for line, split in zip(lines, splits, strict=True)
        if split.train or split.held_out
    ]


def _identity(segment: Segment) -> dict[str, Any]:
    return {
        "name": segment.name,
        "source": segment.source,
        "shape": list(segment.shape),
        "dtype": str(segment.dtype),
        "mask_hash": segment.mask and segment.mask.digest(),
    }


def _list_identity(path: str) -> dict[str, Any]:
    return {"name": Path(path).stem, "source": path, "list_hash": digest(path)}
