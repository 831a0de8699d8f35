"""Unet: a convolutional encoder of any kind under a U-Net decoder; the one import of segmentation-models-pytorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import segmentation_models_pytorch as smp
import torch.fx
from torch import nn

from volumen.errors import SettingsError
from volumen.models.encoders import check_name
from volumen.models.input_shape import check_shape
from volumen.models.standard import Standard, standardise

if TYPE_CHECKING:
    from torch import Tensor

torch.fx.wrap("check_shape")
torch.fx.wrap("standardise")

STRIDE = 32
"""How far the deepest features lie apart, in input pixels; input sides are multiples of it."""

LEAST_CROP = 128
"""Side in pixels from which on a model may be shown larger tiles than the crops that it learned from.

Of smaller crops the deepest features are mostly rim, where a convolution sees zeros; a model that only knows those does
not know what it sees in the middle of a tile. ``docs/comparison.md`` has what that costs.
"""


# What building an encoder that was made for something else runs into.
_UNFIT = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


def build_unet(encoder_name: str, in_channels: int, classes: int = 1, *, standard: Standard = "none") -> Unet:
    """Build a U-Net with random weights; nothing is downloaded.

    Parameters
    ----------
    encoder_name
        Any encoder of segmentation-models-pytorch, such as ``resnet50``, or any convolutional one of timm behind
        ``tu-``, such as ``tu-convnext_tiny``.
    in_channels
        Number of layers that the model sees.
    classes
        Number of output channels.
    standard
        What the encoder sees of an image in [0, 1]: the image as it is, or, of three channels, standardised as
        ImageNet's were for the weights that are published.

    Raises
    ------
    SettingsError
        If there is no such encoder, or it cannot stand under a U-Net.

    Examples
    --------
    >>> import torch
    >>> build_unet("resnet18", in_channels=20)(torch.zeros(2, 20, 64, 96)).shape
    torch.Size([2, 1, 64, 96])
    """
    if in_channels < 1 or classes < 1:
        raise SettingsError(f"A U-Net needs at least one input and one output channel; got {in_channels}, {classes}.")
    if standard not in get_args(Standard) or (standard == "imagenet" and in_channels != 3):
        raise SettingsError(f"Images of {in_channels} channels are not standardised by {standard!r}; say 'none'.")
    check_name(encoder_name, smp.encoders.get_encoder_names())
    try:
        parts = smp.Unet(encoder_name, encoder_weights=None, in_channels=in_channels, classes=classes)
    except _UNFIT as error:
        raise _refusal(encoder_name, f"cannot stand under a U-Net with {in_channels} input channels", error) from error
    return Unet(parts, encoder_name=encoder_name, in_channels=in_channels, classes=classes, standard=standard)


def build_encoder(encoder_name: str, in_channels: int) -> nn.Module:
    """Build the encoder of a U-Net alone, with random weights; nothing is downloaded.

    Parameters
    ----------
    encoder_name, in_channels
        As for `build_unet`.

    Returns
    -------
    torch.nn.Module
        From an image NCHW to six feature maps at strides 1 to 32, the channels of which are its ``out_channels``.

    Raises
    ------
    SettingsError
        If there is no such encoder, or it has no such features.
    """
    if in_channels < 1:
        raise SettingsError(f"An encoder needs at least one input channel; got {in_channels}.")
    check_name(encoder_name, smp.encoders.get_encoder_names())
    try:
        encoder: nn.Module = smp.encoders.get_encoder(encoder_name, in_channels=in_channels, depth=5, weights=None)
    except _UNFIT as error:
        raise _refusal(encoder_name, f"cannot be built for {in_channels} input channels", error) from error
    return encoder


class Unet(nn.Module):
    """Map a stack of layers, NCHW in [0, 1], to logits of the same height and width, N × classes × H × W.

    H and W are multiples of `STRIDE`. Make one with `build_unet`.

    Attributes
    ----------
    encoder
        Features at strides 1 to 32. For ResNets its state-dict keys are those of timm and torchvision.
    decoder, head
        From features to logits.
    """

    stride = STRIDE

    def __init__(
        self, parts: smp.Unet, *, encoder_name: str, in_channels: int, classes: int, standard: Standard = "none"
    ) -> None:
        super().__init__()
        # The parts, not the whole: smp's own model changes what train() and load_state_dict() mean.
        self.encoder: nn.Module = parts.encoder
        self.decoder: nn.Module = parts.decoder
        self.head: nn.Module = parts.segmentation_head
        self.encoder_name = encoder_name
        self.in_channels = in_channels
        self.classes = classes
        self.standard = standard

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of `build_unet` that make this model again."""
        said = {"encoder_name": self.encoder_name, "in_channels": self.in_channels, "classes": self.classes}
        return said if self.standard == "none" else {**said, "standard": self.standard}

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, N × classes × H × W."""
        check_shape(image, self.in_channels, self.stride)
        seen = standardise(image) if self.standard == "imagenet" else image
        logits: Tensor = self.head(self.decoder(self.encoder(seen)))
        return logits


def _refusal(encoder_name: str, what: str, error: Exception) -> SettingsError:
    why = str(error).strip().partition("\n")[0] or type(error).__name__
    return SettingsError(f"Encoder {encoder_name!r} {what} ({why}); take a convolutional one, such as resnet50.")
