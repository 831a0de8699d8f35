"""Held-out scoring while training: the boxes that no crop touches, predicted amid what lies around them and scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from volumen.crops.select import spread
from volumen.evaluation.calibration import best_threshold
from volumen.evaluation.counts import LevelCounts
from volumen.evaluation.masks import score_counts
from volumen.models.unet import STRIDE
from volumen.windows import Window, grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lightning_fabric import Fabric
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from volumen.crops.normalize import Normalization
    from volumen.crops.split import Split
    from volumen.objectives.segmentation import BceDice
    from volumen.sources.segment import Segment

_TILE = 512
_MOST_TILES = 64  # 16.8 Mpx an epoch; of larger held-out parts, evenly spaced tiles are scored
_CONTEXT = 64  # px of the volume shown around a tile: a box cut out alone scores otherwise than in a predicted map


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Score a model on tiles of the held-out boxes; `volumen evaluate` scores them whole afterwards.

    Parameters
    ----------
    tiles
        Segment, its split and a window, already cut to the held-out boxes, over the layers that the model sees.
    normalization
        How voxels come to [0, 1].
    loss
        The training's loss; its sum over tiles, weighted by their supervised pixels, is the score ``loss``.
    fabric
        Where and in which precision to compute.
    """

    tiles: tuple[tuple[Segment, Split, Window], ...]
    normalization: Normalization
    loss: BceDice
    fabric: Fabric

    @classmethod
    def of(
        cls,
        parts: Iterable[tuple[Segment, Split]],
        *,
        normalization: Normalization,
        loss: BceDice,
        fabric: Fabric,
    ) -> HeldOut:
        """Cut the held-out boxes of segments into tiles and keep those with pixels to score."""
        tiles = [
            (segment, split, tile & box)
            for segment, split in parts
            for box in split.held_out
            for tile in grid(box, _TILE, _TILE)
            if split.scored(segment, tile & box).any()
        ]
        return cls(tiles=spread(tiles, _MOST_TILES), normalization=normalization, loss=loss, fabric=fabric)

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        """Return every score of `volumen.evaluation.masks`, the loss, and the threshold that suits the model best."""
        levels = np.zeros(65536)
        counts = LevelCounts(ink=levels, background=levels, soft=levels)
        loss = pixels = 0.0
        for segment, split, window in self.tiles:
            ink = segment.raster("ink").read(window)
            trusted = split.scored(segment, window)
            with torch.inference_mode(), self.fabric.autocast():
                logits = self._logits(model, segment, window)
                terms = self.loss(logits, self._flat(ink), self._flat(trusted.astype(np.float32)))
            weight = float(trusted.sum())
            loss, pixels = loss + weight * float(terms.total), pixels + weight
            counts += LevelCounts.of(torch.sigmoid(logits)[0, 0].cpu().numpy(), ink, trusted)
        threshold = best_threshold(counts)
        scores = {name: float(value) for name, value in score_counts(counts, threshold=threshold).items()}
        return {**scores, "loss": loss / pixels, "threshold": threshold}

    def _logits(self, model: nn.Module, segment: Segment, window: Window) -> Tensor:
        """Predict a tile amid its context, 1 × 1 × H × W."""
        around = window.halo(_CONTEXT).clip(segment.shape)
        logits: Tensor = model(self._image(segment, around))
        return logits[..., *window.inside(around).yx].float()

    def _image(self, segment: Segment, window: Window) -> Tensor:
        """Read a window as 1 × layers × H × W in [0, 1], its sides padded to what the model takes."""
        image = self.normalization(segment.read(window))
        _, height, width = image.shape
        padded = np.pad(image, ((0, 0), (0, -height % STRIDE), (0, -width % STRIDE)), mode="edge")
        return self.fabric.to_device(torch.from_numpy(padded)[None])  # CHW -> 1CHW

    def _flat(self, values: NDArray[np.float32]) -> Tensor:
        return self.fabric.to_device(torch.from_numpy(values)[None, None])  # HW -> 11HW
