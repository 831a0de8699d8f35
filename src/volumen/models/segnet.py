"""SimpleSegNet: an encoder whose poolings remember where their maxima were, and a decoder that puts them back there."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch.fx
from torch import nn

from volumen.errors import SettingsError
from volumen.models.input_shape import check_shape

if TYPE_CHECKING:
    from torch import Tensor

torch.fx.wrap("check_shape")

_ENCODER = (32, 64, 128)
_DECODER = (64, 32, 16)


class SimpleSegNet(nn.Module):
    """Map an image, NCHW in [0, 1], to logits, N × classes × H × W; H and W are multiples of 8.

    After SegNet (Badrinarayanan et al., 2017), as an assignment on Chinese characters (CTW) makes it small:
    encoder blocks of two convolution-norm-ReLU, 32, 64 and 128 channels, each with a 2 × 2 max pooling whose indices
    are kept; a fourth at 128 channels without pooling; decoder blocks that begin with a max unpooling by the indices
    of their partner, to 64, 32 and 16 channels; a 3 × 3 convolution to the logits. The text counts four decoder
    blocks, but names three pairs of channels and three poolings to undo: the fourth is the last convolution here.
    Weights begin as torch makes them.

    Parameters
    ----------
    in_channels, classes
        Of the image and of the logits.
    width
        Multiplies all channels; 1 is the published size.

    Raises
    ------
    SettingsError
        If there are no channels.

    Examples
    --------
    >>> SimpleSegNet(width=0.25)(torch.zeros(2, 3, 32, 48)).shape
    torch.Size([2, 1, 32, 48])
    """

    stride = 8

    def __init__(self, in_channels: int = 3, classes: int = 1, *, width: float = 1.0) -> None:
        super().__init__()
        if in_channels < 1 or classes < 1 or width <= 0:
            raise SettingsError(
                f"A SegNet has one input and one output channel at least, and a width above 0; got {in_channels}, "
                f"{classes} and {width}."
            )
        self.in_channels, self.classes, self.width = in_channels, classes, width
        down = [in_channels, *scaled(_ENCODER, width)]
        up = [down[-1], *scaled(_DECODER, width)]
        self.encoder = nn.ModuleList(_block(*pair) for pair in pairwise(down))
        self.bottleneck = _block(down[-1], down[-1])
        self.decoder = nn.ModuleList(_block(*pair) for pair in pairwise(up))
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        self.head = nn.Conv2d(up[-1], classes, 3, padding=1)

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of `volumen.models.segmenters.build_segmenter` that make this model again."""
        return {
            "model": "simple_segnet",
            "in_channels": self.in_channels,
            "classes": self.classes,
            "width": self.width,
        }

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, N × classes × H × W."""
        check_shape(image, self.in_channels, self.stride)
        features, taken = image, []
        for block in self.encoder:
            features, indices = self.pool(block(features))
            taken.append(indices)
        features = self.bottleneck(features)
        for block, indices in zip(self.decoder, reversed(taken), strict=True):
            features = block(self.unpool(features, indices))
        logits: Tensor = self.head(features)
        return logits


def scaled(channels: tuple[int, ...], width: float) -> list[int]:
    """Return numbers of channels, multiplied, one at least.

    Examples
    --------
    >>> scaled((32, 64), 0.25)
    [8, 16]
    """
    return [max(1, round(width * count)) for count in channels]


def _block(inner: int, outer: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inner, outer):
        layers += [nn.Conv2d(channels, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
