"""Background: the masks that a seed's segmenter predicts of photographs, kept packed, and what they take away."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import torch

from volumen.models.checkpoint import load_checkpoint
from volumen.recipes.first_weights import digest
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric
    from numpy.typing import NDArray
    from torch import Tensor

    from volumen.crops.photo_dataset import PhotoDataset

_HALF = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Foreground:
    """Where something other than background was predicted, in photographs of one size.

    Parameters
    ----------
    packed
        uint8, (photographs, bytes): a bit a pixel, row by row.
    size
        (H, W) in px.
    """

    packed: NDArray[np.uint8]
    size: tuple[int, int]

    @classmethod
    def predict(cls, weights: Path, photos: PhotoDataset, *, batch: int, fabric: Fabric) -> Foreground:
        """Predict every photograph; one that is broken has no foreground."""
        model, _ = load_checkpoint(weights)
        fabric.to_device(model)
        height, width = photos.size
        packed = np.zeros((len(photos), -(-height * width // 8)), np.uint8)
        for each in photos.in_order(batch):
            with torch.inference_mode(), fabric.autocast():
                likely = torch.sigmoid(model(fabric.to_device(each["image"])).float()) >= _HALF
            packed[each["photo"].numpy()] = np.packbits(likely.flatten(1).cpu().numpy(), axis=1)
        return cls(packed=packed, size=photos.size)

    @classmethod
    def kept(cls, file: Path, weights: Path, photos: PhotoDataset, *, batch: int, fabric: Fabric) -> Foreground:
        """Return what a file holds of these weights, or predict and write it, whole or not at all."""
        weights_hash = digest(weights)
        if file.exists():
            with np.load(file, allow_pickle=False) as found:
                if "weights" in found and str(found["weights"]) == weights_hash:
                    return cls(packed=found["packed"], size=photos.size)
        made = cls.predict(weights, photos, batch=batch, fabric=fabric)
        out = BytesIO()
        np.savez_compressed(out, packed=made.packed, weights=np.array(weights_hash))
        write_whole(file, out.getvalue())
        return made

    def of(self, index: Tensor) -> Tensor:
        """Return the masks of some photographs, bool N1HW."""
        height, width = self.size
        bits = np.unpackbits(self.packed[index.numpy()], axis=1, count=height * width)
        return torch.from_numpy(bits.reshape(-1, 1, height, width).astype(np.bool_))

    @property
    def share(self) -> float:
        """Share of the pixels that it keeps."""
        return float(np.bitwise_count(self.packed).sum()) / (len(self.packed) * self.size[0] * self.size[1])
