"""TripletTask: bring photographs with like tags together, and others apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from volumen.errors import LabelError
from volumen.evaluation.retrieval import retrieval_overlap
from volumen.models.photo_encoder import build_photo_encoder
from volumen.models.tagger_checkpoint import save_tagger
from volumen.objectives.collapse import read_outs
from volumen.objectives.triplet import Triplet, rising_margin
from volumen.recipes.photos.photo_start import encoder_of
from volumen.recipes.photos.photo_task import PlainTask, shown
from volumen.recipes.photos.vocabulary import tag_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.models.photo_encoder import PhotoEncoder
    from volumen.models.standard import Standard
    from volumen.objectives.terms import LossTerms
    from volumen.settings.pretrain_photos import Metric, PretrainPhotos

EMBEDDER = "embedder.safetensors"
"""The encoder with its embedding, beside a run's best weights."""

_NEIGHBOURS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class TripletTask(PlainTask):
    """Learn embeddings on the unit sphere by the triplet loss, its margin rising step by step.

    The best weights are those with the lowest held-out loss, a mean over all triplets: where embeddings have fallen
    together it is the margin. What neighbours they give is for others to score, not to choose by.
    """

    labels: ClassVar[Literal["tags", "none"]] = "tags"

    model: PhotoEncoder
    held_out: PhotoDataset
    fabric: Fabric
    settings: PretrainPhotos
    loss: Triplet

    @classmethod
    def of(cls, settings: PretrainPhotos, held_out: PhotoDataset, fabric: Fabric) -> TripletTask:
        """Build the model, random weights, and its embedding."""
        loss = triplets_of(settings)
        check_triplets(loss, held_out, settings.batch)
        built = encoder_of(settings, settings.encoder)
        model = build_photo_encoder(outputs=settings.embedding, head="embedding", **built)
        return cls(model=model, held_out=held_out, fabric=fabric, settings=settings, loss=loss)

    @property
    def standard(self) -> Standard:
        """How images are shown to the encoder."""
        return self.model.standard

    def batch(self, made: dict[str, Tensor], step: int, steps: int) -> dict[str, Tensor]:
        """Add the step's margin, for each photograph."""
        settings = self.settings
        margin = rising_margin(
            step, steps=steps, first=settings.first_margin, last=settings.margin, rise=settings.margin_rise
        )
        return {**made, "margin": torch.full((len(made["image"]),), margin)}

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Score a batch."""
        with self.fabric.autocast():
            embeddings = model(batch["image"])
        return self.loss(embeddings, batch["tags"], batch["margin"][0], look=False)

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Return the loss at the last margin, how alike neighbours are, and the read-outs of collapse.

        ``loss`` is the mean over all triplets, 0 where the margin is kept, whatever is mined to learn from: the mean
        over those that violate the margin stays near it, however few they are, and says nothing of learning.
        ``overlap`` is the mean overlap of a held-out photograph's tags with those of its five nearest among the
        others; alignment is that of its nearest neighbour.
        """
        every = replace(self.loss, miner="all")
        embeddings, tags, losses = [], [], []
        for batch in shown(self.held_out, self.settings.batch, self.fabric):
            with torch.inference_mode(), self.fabric.autocast():
                found = model(batch["image"])
            scored = every(found, batch["tags"], self.settings.margin, look=False)
            if triplets := float(scored.terms["triplets"]):
                losses.append((float(scored.total * scored.terms["violating"]), triplets))
            embeddings.append(found.float().cpu())
            tags.append(batch["tags"].cpu())
        all_embeddings, all_tags = torch.cat(embeddings), torch.cat(tags)
        distance = torch.cdist(all_embeddings, all_embeddings).fill_diagonal_(torch.inf)
        nearest = distance.topk(min(_NEIGHBOURS, len(distance) - 1), dim=1, largest=False).indices
        overlap = retrieval_overlap(all_tags.numpy(), all_tags.numpy(), nearest.numpy())
        looks = read_outs(all_embeddings, all_embeddings[nearest[:, 0]])
        weight = sum(triplets for _, triplets in losses)
        return {
            "loss": sum(loss * triplets for loss, triplets in losses) / max(weight, 1.0),
            "overlap": float(overlap[overlap == overlap].mean()) if (overlap == overlap).any() else float("nan"),
            **{name: float(value) for name, value in looks.items()},
        }

    def save(self, path: Path) -> None:
        """Keep the embedding above the encoder too: it is what distances were learned in."""
        save_tagger(path.with_name(EMBEDDER), self.model, {"tags": [], "input_size": list(self.settings.size)})


def triplets_of(settings: Metric) -> Triplet:
    """Return the loss that settings ask for."""
    return Triplet(miner=settings.miner, alike=settings.alike, unlike=settings.unlike)


def check_triplets(loss: Triplet, held_out: PhotoDataset, batch: int) -> None:
    """Raise a `LabelError` where no batch of the held-out photographs has a triplet to be scored by."""
    tags = tag_matrix(held_out.photos, held_out.tags)
    for start in range(0, len(tags), batch):
        alike, unlike = loss.pairs(tags[start : start + batch])
        if (alike.any(dim=1) & unlike.any(dim=1)).any():
            return
    raise LabelError(
        f"None of {len(tags)} held-out photographs has, in a batch of {batch}, one with like tags (overlap "
        f"{loss.alike:g} or more) and one with unlike tags ({loss.unlike:g} or less) beside it, so triplets cannot be "
        "scored. Hold out more (--held-out-share), take larger batches, or other --alike and --unlike."
    )
