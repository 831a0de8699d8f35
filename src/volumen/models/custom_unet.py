"""CustomUNet: a plain U-Net of five levels with dropout that grows towards its bottleneck, which serves as features."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch.fx
from torch import nn

from volumen.errors import SettingsError
from volumen.models.input_shape import check_shape
from volumen.models.segnet import scaled

if TYPE_CHECKING:
    from torch import Tensor

torch.fx.wrap("check_shape")

_CHANNELS = (32, 64, 128, 256, 512)
_DROPOUT = (0.1, 0.1, 0.2, 0.2, 0.3)


class CustomUNet(nn.Module):
    """Map an image, NCHW in [0, 1], to logits, N × classes × H × W; H and W are multiples of 16.

    The U-Net (Ronneberger et al., 2015) of an assignment on Chinese characters (CTW): five levels of 32, 64,
    128, 256 and 512 channels, the fifth of which is the bottleneck, so that there are four poolings; each level two
    convolutions with dropout between them, 0.1, 0.1, 0.2, 0.2 and 0.3 from the top to the bottleneck; transposed
    convolutions up, skips concatenated, He initialisation of all convolutions. The text names dropout for the encoder
    only, so the decoder has none; it says nothing of norms, and each convolution has a batch norm here, as in
    SimpleSegNet.

    Parameters
    ----------
    in_channels, classes
        Of the image and of the logits.
    width
        Multiplies all channels; 1 is the published size.

    Attributes
    ----------
    encoder
        Features at strides 1 to 16, the channels of which are its ``out_channels``.

    Raises
    ------
    SettingsError
        If there are no channels.

    Examples
    --------
    >>> model = CustomUNet(width=0.25)
    >>> model(torch.zeros(2, 3, 32, 48)).shape, model.extract_features(torch.zeros(2, 3, 32, 48)).shape
    (torch.Size([2, 1, 32, 48]), torch.Size([2, 128, 2, 3]))
    """

    stride = 16

    def __init__(self, in_channels: int = 3, classes: int = 1, *, width: float = 1.0) -> None:
        super().__init__()
        if classes < 1:
            raise SettingsError(f"A U-Net needs at least one output channel; got {classes}.")
        self.in_channels, self.classes, self.width = in_channels, classes, width
        self.encoder = CustomEncoder(in_channels, width=width)
        channels = self.encoder.out_channels[::-1]  # from the bottleneck up
        pairs = list(pairwise(channels))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(deep, high, 2, stride=2) for deep, high in pairs)
        self.decoder = nn.ModuleList(_block(2 * high, high, 0.0) for _, high in pairs)
        self.head = nn.Conv2d(channels[-1], classes, 1)
        for part in (self.ups, self.decoder, self.head):
            _initialise(part)

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of `volumen.models.segmenters.build_segmenter` that make this model again."""
        return {"model": "custom_unet", "in_channels": self.in_channels, "classes": self.classes, "width": self.width}

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, N × classes × H × W."""
        check_shape(image, self.in_channels, self.stride)
        *skips, features = self.encoder(image)
        for up, block, skip in zip(self.ups, self.decoder, reversed(skips), strict=True):
            features = block(torch.cat([skip, up(features)], dim=1))
        logits: Tensor = self.head(features)
        return logits

    def extract_features(self, image: Tensor) -> Tensor:
        """Return the bottleneck, N × 512 · width × H / 16 × W / 16."""
        features: list[Tensor] = self.encoder(image)
        return features[-1]


class CustomEncoder(nn.Module):
    """The way down of a `CustomUNet`: from an image to the features of its five levels, the bottleneck last.

    Parameters
    ----------
    in_channels, width
        As for `CustomUNet`.

    Raises
    ------
    SettingsError
        If there are no channels.
    """

    def __init__(self, in_channels: int = 3, *, width: float = 1.0) -> None:
        super().__init__()
        if in_channels < 1 or width <= 0:
            raise SettingsError(
                f"An encoder has one input channel at least, and a width above 0; got {in_channels} and {width}."
            )
        self.out_channels = scaled(_CHANNELS, width)
        pairs = zip((in_channels, *self.out_channels), self.out_channels, _DROPOUT, strict=False)
        self.levels = nn.ModuleList(_block(*each) for each in pairs)
        self.pool = nn.MaxPool2d(2)
        _initialise(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return features at strides 1, 2, 4, 8 and 16."""
        features = [self.levels[0](image)]
        for block in self.levels[1:]:
            features.append(block(self.pool(features[-1])))
        return features


def _block(inner: int, outer: int, dropout: float) -> nn.Sequential:
    first = [nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
    second = [nn.Conv2d(outer, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
    return nn.Sequential(*first, *([nn.Dropout(dropout)] if dropout else []), *second)


def _initialise(module: nn.Module) -> None:
    """Draw all convolutions as He et al., "Delving Deep into Rectifiers", 2015, equation 10; biases are 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
