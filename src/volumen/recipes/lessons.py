"""Lessons: what a training learns from and is scored on, opened, split and measured before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from volumen.crops.datasets import voxel_samples
from volumen.crops.label_share import keep_share
from volumen.crops.normalize import Normalization
from volumen.crops.split import Split, split_segment
from volumen.errors import SettingsError
from volumen.recipes.opening import open_all
from volumen.recipes.volume_survey import slow_layout
from volumen.sources.segment import RASTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.crops.datasets import Item
    from volumen.crops.shares import Shares
    from volumen.settings import Finetune
    from volumen.sources.labels.rasters import Raster
    from volumen.sources.segment import Segment
    from volumen.windows import Window


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What a training learns from and is scored on: segments, their splits, the normalisation.

    Parameters
    ----------
    segments, splits
        In the same order; of a share of the labels, the splits hold the windows of that share only.
    normalization
        Fitted on all that may be learned from, whatever the share: voxels need no labels.
    windows
        Every window that may be learned from, whatever the share of the labels. An epoch shows as many crops: a
        training takes the same number of steps at every share, and a share's windows come several times an epoch,
        each time augmented anew.
    """

    segments: tuple[Segment, ...]
    splits: tuple[Split, ...]
    normalization: Normalization
    windows: tuple[Item, ...]

    @classmethod
    def of(cls, settings: Finetune) -> Lessons:
        """Open, split and measure the segments; what does not fit is an error of `volumen.errors`."""
        segments = open_all(settings.segments, settings)
        splits = tuple(
            split_segment(
                segment,
                layers=settings.layers,
                size=settings.window,
                stride=settings.crop_stride,
                sampling=settings.sampling,
                min_ink=settings.min_ink,
                region=settings.region,
                held_out_region=settings.held_out_region,
                split=settings.split,
                share=settings.held_out_share,
                seed=settings.seed if settings.split_seed is None else settings.split_seed,
            )
            for segment in segments
        )
        names = [segment.name for segment in segments]
        if len(set(names)) < len(names):
            raise SettingsError(f"Segments are told apart by their names, which must differ; got {', '.join(names)}.")
        windows = tuple(_windows(segments, splits))
        normalization = Normalization.fit(settings.normalization, voxel_samples(windows), outside=settings.outside)
        kept = keep_share(segments, splits, share=settings.label_share, seed=settings.seed)
        return cls(segments=segments, splits=kept, normalization=normalization, windows=windows)

    @property
    def train(self) -> list[Item]:
        """Every crop of an epoch: each window to learn from, with its segment, as often as it is shown."""
        windows = _windows(self.segments, self.splits)
        return [windows[index % len(windows)] for index in range(len(self.windows))]

    @property
    def held_out_boxes(self) -> dict[str, list[list[int]]]:
        """The boxes to score in, (y0, y1, x0, x1) in pixels, by segment."""
        pairs = zip(self.segments, self.splits, strict=True)
        return {segment.name: [list(box.box) for box in split.held_out] for segment, split in pairs}

    @property
    def label_hashes(self) -> dict[str, str]:
        """Digest of each segment's ink label."""
        return {segment.name: segment.raster("ink").digest() for segment in self.segments}

    @property
    def layer_count(self) -> int:
        """How many layers the model sees."""
        return self.train[0][1].shape[0]

    @property
    def shares(self) -> Shares:
        """What all training windows hold together."""
        return reduce(add, (split.shares for split in self.splits))

    @property
    def warnings(self) -> list[str]:
        """What the person should know before training."""
        told = [text for split in self.splits for text in split.warnings]
        crop = self.windows[0][1].shape
        told += [slow for segment in self.segments if (slow := slow_layout(segment, crop)) is not None]
        windows = [window for split in self.splits for window in split.train]
        if len(windows) < len(self.windows):
            told.append(
                f"Learning from {len(windows)} of {len(self.windows)} windows, as a share of the labels; an epoch has "
                "as many steps as with all of them."
            )
        return told

    @property
    def identities(self) -> list[dict[str, Any]]:
        """What the data are, by the hashes of their labels; a run resumes only on the same."""
        return [
            {
                "name": segment.name,
                "source": segment.source,
                "shape": list(segment.shape),
                "dtype": str(segment.dtype),
                **{f"{name}_hash": raster and raster.digest() for name, raster in _rasters(segment)},
            }
            for segment in self.segments
        ]


def _windows(segments: Sequence[Segment], splits: Sequence[Split]) -> list[tuple[Segment, Window]]:
    return [(segment, window) for segment, split in zip(segments, splits, strict=True) for window in split.train]


def _rasters(segment: Segment) -> list[tuple[str, Raster | None]]:
    return [(name, getattr(segment, name)) for name in RASTERS]
