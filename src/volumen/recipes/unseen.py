"""Unseen: crops that a pretraining never learns from, reconstructed, scored and drawn while it learns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch

from volumen.crops.select import spread
from volumen.evaluation.baselines import inpaint, mean_level, mean_patch, nearest_patch
from volumen.evaluation.spread import feature_spread
from volumen.objectives.reconstruction import Reconstruction
from volumen.recipes.reporting.reconstructions import reconstruction_sheet
from volumen.views.masking import draw_visible
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from lightning_fabric import Fabric
    from numpy.typing import NDArray
    from torch import Tensor

    from volumen.models.spark import Spark

_BATCH = 8
_SHOWN = 4
_POSITIONS = 512  # of the deepest map, to measure their spread on


class Crops(Protocol):
    """What is held out: samples with ``image`` CHW in [0, 1] and ``papyrus`` 1HW, the same each time."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Mapping[str, Tensor]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Unseen:
    """Score a model on the same crops under the same masks each time.

    Parameters
    ----------
    images
        NCHW float32 in [0, 1].
    papyrus
        N1HW, 1 where there is papyrus.
    visible
        (N, H / patch, W / patch) bool: which patches the model sees.
    loss
        The training's loss.
    fabric
        Where and in which precision to compute.
    """

    images: Tensor
    papyrus: Tensor
    visible: Tensor
    loss: Reconstruction
    fabric: Fabric

    @classmethod
    def of(cls, crops: Crops, *, masked: float, loss: Reconstruction, fabric: Fabric, seed: int) -> Unseen:
        """Cut the crops, and draw a mask for each from ``seed``."""
        samples = [crops[index] for index in range(len(crops))]
        images = torch.stack([sample["image"] for sample in samples])
        height, width = images.shape[2:]
        visible = draw_visible(
            len(samples),
            (height // loss.patch, width // loss.patch),
            masked=masked,
            generator=torch.Generator().manual_seed(seed),
        )
        papyrus = torch.stack([sample["papyrus"] for sample in samples])
        return cls(images=images, papyrus=papyrus, visible=visible, loss=loss, fabric=fabric)

    def scores(self, model: Spark) -> dict[str, float]:
        """Return the loss, the error in voxels, the spread of the features, and the loss of guesses without learning.

        ``loss`` is the mean squared error of masked patches in the space of the targets, over papyrus;
        ``pixel_error``, where those are voxels, the root mean squared error there in units of [0, 1], each patch
        brought to its own mean and contrast where the targets are without them; ``spread`` and ``effective_rank`` are
        those of `volumen.evaluation.spread` at the deepest map; ``mean_level``, ``mean_patch``, ``nearest_patch`` and
        ``inpaint`` are the loss of `volumen.evaluation.baselines`.
        """
        total = squares = weight = 0.0
        features = []
        voxels = Reconstruction(patch=self.loss.patch, targets="pixels")
        for part in self._parts():
            images, papyrus, visible = self.images[part], self.papyrus[part], self.visible[part]
            predicted, deepest = self._reconstruct(model, images, visible)
            terms = self.loss(predicted, images, visible, papyrus)
            patches = float(terms.terms["patches"]) * len(images)
            total, weight = total + patches * float(terms.total), weight + patches
            if self.loss.of_voxels:
                error = voxels(self.loss.restore(predicted, images), images, visible, papyrus).total
                squares += patches * float(error)
            features.append(deepest)
        rows = torch.cat(features)
        width = feature_spread(rows[list(spread(range(len(rows)), _POSITIONS))].numpy())
        return {
            "loss": total / max(weight, 1.0),
            **({"pixel_error": math.sqrt(squares / max(weight, 1.0))} if self.loss.of_voxels else {}),
            **self.baselines,
            "spread": width["spread"],
            "effective_rank": width["effective_rank"],
        }

    @cached_property
    def baselines(self) -> dict[str, float]:
        """Loss of guesses that learn nothing; the same in every epoch."""
        target, visible = self.loss.target(self.images).numpy(), self.visible.numpy()
        guesses = {
            "mean_level": mean_level,
            "mean_patch": mean_patch,
            "nearest_patch": nearest_patch,
            "inpaint": inpaint,
        }
        return {name: self._loss_of(guess(target, visible, self.loss.patch)) for name, guess in guesses.items()}

    def draw(self, model: Spark, path: Path, title: str) -> None:
        """Draw the first few crops: what was shown to the model, what it made of it, what there was."""
        images, visible = self.images[:_SHOWN], self.visible[:_SHOWN]
        predicted, _ = self._reconstruct(model, images, visible)
        sheet = reconstruction_sheet(
            self.loss.shown(images).numpy(),
            visible.numpy(),
            self.loss.restore(predicted, images).numpy(),
            patch=self.loss.patch,
            title=title,
        )
        write_whole(path, sheet)

    def _loss_of(self, guess: NDArray[np.float32]) -> float:
        return float(self.loss(torch.from_numpy(guess), self.images, self.visible, self.papyrus).total)

    def _parts(self) -> Iterator[slice]:
        for start in range(0, len(self.images), _BATCH):
            yield slice(start, start + _BATCH)

    def _reconstruct(self, model: Spark, images: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction, NCHW, and the deepest features of the whole crops, positions × C; on the CPU."""
        with torch.inference_mode(), self.fabric.autocast():
            shown = self.fabric.to_device(images)
            predicted = model(shown, visible).float().cpu()
            deepest = model.encoder(shown)[-1].float().cpu()
        return predicted, deepest.permute(0, 2, 3, 1).flatten(0, 2)  # NCHW -> (N·H·W) × C
