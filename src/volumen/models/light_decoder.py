"""LightDecoder: from features of every stride up to the pixels, as wide as wanted."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

DOUBLINGS = 5
"""From features 32 px apart to pixels."""


class LightDecoder(nn.Module):
    """Double the resolution five times, halving the channels each time; features join by addition.

    The U-shaped decoder of SparK (Tian et al., ICLR 2023, arXiv 2301.03580, §3.2), weights begun as there. At its
    published width, 768, it is most of the cost of pretraining: 10.1 of 16.4 GMAC with a ResNet-50 at 224² px. Cost
    goes with the square of the width.

    Parameters
    ----------
    width
        Channels at the deepest level, a multiple of 32.
    out_channels
        Channels of the reconstruction.

    Attributes
    ----------
    widths
        Channels at each level, deepest first; the last is that of the pixels. No level is narrower than the
        reconstruction, as far as the width allows: 20 layers could not be told apart in 8 channels. At the published
        width and 3 channels that changes nothing.

    Raises
    ------
    SettingsError
        If the width cannot be halved five times.

    Examples
    --------
    >>> import torch
    >>> LightDecoder(64, 20)([torch.zeros(1, 64, 2, 3), torch.zeros(1, 32, 4, 6)]).shape
    torch.Size([1, 20, 64, 96])
    """

    def __init__(self, width: int, out_channels: int) -> None:
        super().__init__()
        smallest = 2**DOUBLINGS
        if width < smallest or width % smallest:
            raise SettingsError(
                f"The decoder's width is halved {DOUBLINGS} times, so it must be a multiple of {smallest}; got {width}."
            )
        least = min(out_channels, width)
        self.widths = tuple(max(width // 2**level, least) for level in range(DOUBLINGS + 1))
        self.blocks = nn.ModuleList(_Block(*channels) for channels in pairwise(self.widths))
        self.head = nn.Conv2d(self.widths[-1], out_channels, kernel_size=1)
        for module in self.modules():
            _begin(module)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return the reconstruction, N × out_channels × H × W.

        Parameters
        ----------
        features
            Deepest first, NCHW with the channels of `widths`; at least one, at most one a level.
        """
        x = features[0]
        for level, block in enumerate(self.blocks):
            if 0 < level < len(features):
                x = x + features[level]
            x = block(x)
        reconstruction: Tensor = self.head(x)
        return reconstruction


class _Block(nn.Sequential):
    """Twice the resolution, then two convolutions; no activation at the end, where features are added."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(channels, channels, kernel_size=4, stride=2, padding=1),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),  # the norm has one
            nn.BatchNorm2d(channels),
            nn.ReLU6(inplace=True),
            nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )


def _begin(module: nn.Module) -> None:
    """Draw a convolution's first weights; those of norms are right as they are."""
    match module:
        case nn.Conv2d():
            nn.init.trunc_normal_(module.weight, std=0.02)
        case nn.ConvTranspose2d():
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        case _:
            return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
