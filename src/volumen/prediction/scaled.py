"""Scaled: a model that is shown its tiles at the scale that it learned at, its map brought back to theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from volumen.crops.photo_images import resize_pixels
from volumen.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.prediction.stream import Predictor


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Predict photographs smaller, or larger, than they are.

    Parameters
    ----------
    model
        Predicts batches whose sides are multiples of ``stride``.
    scale
        How many px of a tile, down and across, become one px of what the model sees.
    stride
        In px of what the model sees.

    Examples
    --------
    >>> red = Scaled(model=lambda voxels: voxels[:, 0] / np.float32(255), scale=(2.0, 2.0), stride=1)
    >>> red(np.full((1, 3, 4, 6), 51, np.uint8)).shape
    (1, 4, 6)
    """

    model: Predictor
    scale: tuple[float, float]
    stride: int

    def __call__(self, voxels: NDArray[Any], /) -> NDArray[np.float32]:
        """Predict one batch, N3HW of 8 bit to NHW.

        Raises
        ------
        SettingsError
            It is no batch of photographs.
        """
        if voxels.dtype != np.uint8 or voxels.shape[1] != 3:
            raise SettingsError(
                f"Photographs have three layers of uint8; got {voxels.shape[1]} of {voxels.dtype}. Give a photograph, "
                "or a model that learned at native size (--fit crop)."
            )
        sides = voxels.shape[2:]
        height, width = (max(1, round(side / factor)) for side, factor in zip(sides, self.scale, strict=True))
        small = np.stack([resize_pixels(np.moveaxis(each, 0, -1), (height, width)) for each in voxels])  # NCHW -> NHWC
        beyond = ((0, 0), (0, -height % self.stride), (0, -width % self.stride), (0, 0))
        shown = np.ascontiguousarray(np.moveaxis(np.pad(small, beyond, mode="edge"), -1, 1))  # NHWC -> NCHW
        found = torch.from_numpy(self.model(shown)[:, None, :height, :width])
        brought = F.interpolate(found, size=sides, mode="bilinear", align_corners=False)
        probability: NDArray[np.float32] = brought[:, 0].numpy()  # N1HW -> NHW
        return probability
