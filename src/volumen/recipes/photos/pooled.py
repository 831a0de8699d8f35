"""Pooled: what an encoder sees of photographs, a vector each, computed once; samples for a head above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from volumen.memory import out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_fabric import Fabric
    from numpy.typing import NDArray
    from torch import Tensor

    from volumen.crops.photo_dataset import PhotoDataset


class Pooled:
    """Vectors of photographs as they are, without views, with their tags where the dataset has them.

    Parameters
    ----------
    photos
        Broken ones are left out.
    look
        From images N3HW, on the device, to vectors (N, C).
    batch
        Photographs to look at at a time.
    fabric
        Where, and in which number format, to compute.
    seed
        Of the order of an epoch.

    Attributes
    ----------
    features
        float32 (photographs, C), on the CPU.
    index
        Which photograph of the dataset each row is of, int64.
    tags
        (photographs, T), or of no tags.
    """

    def __init__(
        self, photos: PhotoDataset, look: Callable[[Tensor], Tensor], *, batch: int, fabric: Fabric, seed: int = 0
    ) -> None:
        vectors, index, tags = [], [], []
        lack = out_of_memory("photographs were seen", "Use a smaller batch, or a smaller input size.")
        with torch.inference_mode(), fabric.autocast(), lack:
            for each in photos.in_order(batch):
                vectors.append(look(fabric.to_device(each["image"])).float().cpu())
                index.append(each["photo"])
                tags.append(each.get("tags", torch.zeros(len(each["photo"]), 0)))
        self.features, self.index, self.tags = (torch.cat(parts).clone() for parts in (vectors, index, tags))
        self._seed = seed

    def __len__(self) -> int:
        return len(self.features)

    def sample(self, index: int, *, epoch: int) -> dict[str, Tensor]:
        """Return a photograph's vector and tags, the same in every epoch."""
        return {"features": self.features[index], "tags": self.tags[index]}

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return every index once, in the order of an epoch."""
        return np.random.default_rng([self._seed, epoch]).permutation(len(self))
