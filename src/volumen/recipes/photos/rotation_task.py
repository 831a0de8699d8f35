"""RotationTask: tell by how many quarter turns a photograph was turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from volumen.models.photo_encoder import build_photo_encoder
from volumen.objectives.spatial import score_answers
from volumen.recipes.photos.photo_start import encoder_of
from volumen.recipes.photos.photo_task import PlainTask, shown
from volumen.views.turns import CLASSES, turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.models.photo_encoder import PhotoEncoder
    from volumen.models.standard import Standard
    from volumen.objectives.terms import LossTerms
    from volumen.settings.pretrain_photos import PretrainPhotos


@dataclass(frozen=True, kw_only=True, eq=False)
class RotationTask(PlainTask):
    """Predict image rotations: Gidaris et al., ICLR 2018, arXiv 1803.07728.

    A turn is drawn for each photograph of a batch; held-out photographs are scored in all four. Photographs that are
    brought to a square are resampled otherwise along each axis, which answers for what they show: of pure noise all
    turns are told right. The views ``flip_crop``, which resample each by another amount, leave a quarter of them, as
    guessing does; so do boxes at native scale.
    """

    labels: ClassVar[Literal["tags", "none"]] = "none"

    model: PhotoEncoder
    held_out: PhotoDataset
    fabric: Fabric
    batch_size: int

    @classmethod
    def of(cls, settings: PretrainPhotos, held_out: PhotoDataset, fabric: Fabric) -> RotationTask:
        """Build the model, random weights, and its head of four."""
        model = build_photo_encoder(outputs=CLASSES, **encoder_of(settings, settings.encoder))
        return cls(model=model, held_out=held_out, fabric=fabric, batch_size=settings.batch)

    @property
    def standard(self) -> Standard:
        """How images are shown to the encoder."""
        return self.model.standard

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Turn a batch, drawn from the step's own random state, and score what the model makes of it."""
        turns = torch.randint(CLASSES, (len(batch["image"]),))
        return self._answers(model, batch["image"], turns)

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Return the loss, and the share of turns that are told right, four of every photograph; and by guessing."""
        loss = right = count = 0.0
        for batch in shown(self.held_out, max(1, self.batch_size // CLASSES), self.fabric):
            image = batch["image"]
            turns = torch.arange(CLASSES).repeat(len(image))
            with torch.inference_mode():
                terms = self._answers(model, image.repeat_interleave(CLASSES, dim=0), turns)
            loss, count = loss + float(terms.total) * len(turns), count + len(turns)
            right += float(terms.terms["accuracy"]) * len(turns)
        return {"loss": loss / count, "accuracy": right / count, "guessing": 1 / CLASSES}

    def _answers(self, model: nn.Module, image: Tensor, turns: Tensor) -> LossTerms:
        with self.fabric.autocast():
            logits = model(turn(image, turns))
        return score_answers(logits, turns.to(image.device), torch.ones_like(turns, dtype=torch.bool).to(image.device))
