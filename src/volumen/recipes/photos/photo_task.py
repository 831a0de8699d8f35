"""PhotoTask: what a pretraining on photographs learns, as a model, its loss, and what is scored of held-out ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.models.standard import Standard
    from volumen.objectives.terms import LossTerms


class PhotoTask(Protocol):
    """A task over photographs, ready to be taught."""

    @property
    def model(self) -> nn.Module:
        """The model, whose ``encoder`` is what is wanted."""
        ...

    @property
    def labels(self) -> Literal["tags", "none"]:
        """What samples hold beside the image."""
        ...

    @property
    def standard(self) -> Standard:
        """How images are shown to the encoder."""
        ...

    def batch(self, made: dict[str, Tensor], step: int, steps: int) -> dict[str, Tensor]:
        """Add to a batch what depends on how far the training is."""
        ...

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Score a batch."""
        ...

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Score what is held out: ``loss``, by which the best weights are chosen, and what else there is to know."""
        ...

    def save(self, path: Path) -> None:
        """Write beside the encoder's file what else is worth keeping."""
        ...

    def conclude(self, run: Path, epochs: int) -> None:
        """Draw what there is to see, once it is learned."""
        ...


def shown(photos: PhotoDataset, batch: int, fabric: Fabric) -> Iterator[dict[str, Tensor]]:
    """Yield held-out photographs on the device, in batches, the same each time, without augmentation.

    Of those that are cropped, one box each, inside the photograph.
    """
    if photos.fit == "resize":
        for made in photos.in_order(batch):
            yield fabric.to_device(made)
        return
    for start in range(0, len(photos), batch):
        samples = [photos[index] for index in range(start, min(start + batch, len(photos)))]
        yield fabric.to_device({name: torch.stack([each[name] for each in samples]) for name in samples[0]})


class PlainTask:
    """What most tasks do not need."""

    def batch(self, made: dict[str, Tensor], step: int, steps: int) -> dict[str, Tensor]:
        """Return a batch as it is."""
        return made

    def save(self, path: Path) -> None:
        """Keep nothing else."""

    def conclude(self, run: Path, epochs: int) -> None:
        """Draw nothing."""
