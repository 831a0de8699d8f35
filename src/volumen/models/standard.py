"""Standard: how images are brought to what an encoder was made to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

Standard = Literal["imagenet", "none"]
"""Less the mean and over the deviation of ImageNet's channels, as published weights were trained; or as they are."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's training images, red, green, blue


def standardise(image: Tensor) -> Tensor:
    """Return images N3HW in [0, 1] less the mean and over the deviation of ImageNet's channels."""
    mean, std = (torch.tensor(each, dtype=image.dtype, device=image.device).view(1, 3, 1, 1) for each in (_MEAN, _STD))
    return (image - mean) / std
