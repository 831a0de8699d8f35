"""SparkTask: paint what is masked of a photograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import torch

from volumen.crops.select import spread
from volumen.models.spark import Spark, build_spark
from volumen.objectives.reconstruction import Reconstruction
from volumen.recipes.photos.photo_start import encoder_of
from volumen.recipes.photos.photo_task import PlainTask
from volumen.recipes.unseen import Unseen
from volumen.views.masking import draw_visible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.models.standard import Standard
    from volumen.objectives.terms import LossTerms
    from volumen.settings.pretrain_photos import PretrainPhotos

_COLOURS = 3
_SCORED = 64  # held-out photographs that are reconstructed while it learns


@dataclass(frozen=True, kw_only=True, eq=False)
class SparkTask(PlainTask):
    """Masked reconstruction as `volumen pretrain spark` learns it, of photographs as they are, every patch counting."""

    labels: ClassVar[Literal["tags", "none"]] = "none"
    standard: ClassVar[Standard] = "none"

    model: Spark
    unseen: Unseen
    masked: float

    @classmethod
    def of(cls, settings: PretrainPhotos, held_out: PhotoDataset, fabric: Fabric) -> SparkTask:
        """Build the model, random weights."""
        name = encoder_of(settings, settings.encoder)["encoder_name"]
        model = build_spark(name, _COLOURS, width=settings.decoder_width, patch=settings.patch)
        unseen = Unseen.of(
            _Whole(held_out),
            masked=settings.masked,
            loss=Reconstruction(patch=settings.patch),
            fabric=fabric,
            seed=settings.seed,
        )
        return cls(model=model, unseen=unseen, masked=settings.masked)

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Hide patches, drawn from the step's own random state, and score what the model makes of them."""
        image, patch = batch["image"], self.model.patch
        grid = (image.shape[2] // patch, image.shape[3] // patch)
        visible = draw_visible(len(image), grid, masked=self.masked)
        with self.unseen.fabric.autocast():
            painted = model(image, visible)
        return self.unseen.loss(painted, image, visible, torch.ones_like(image[:, :1]))

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Return the scores of `volumen.recipes.unseen.Unseen`."""
        return self.unseen.scores(cast("Spark", model))

    def conclude(self, run: Path, epochs: int) -> None:
        """Draw what the last weights make of some held-out photographs."""
        sheet = run / "reconstructions" / f"epoch_{epochs:04d}.png"
        self.unseen.draw(self.model, sheet, f"epoch {epochs}")


class _Whole:
    """Photographs as samples all of which counts: some of them, spread evenly."""

    def __init__(self, photos: PhotoDataset) -> None:
        self._photos, self._chosen = photos, spread(range(len(photos)), _SCORED)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int, /) -> Mapping[str, Tensor]:
        image = self._photos[self._chosen[index]]["image"]
        return {"image": image, "papyrus": torch.ones_like(image[:1])}
