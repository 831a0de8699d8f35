"""Spark: an encoder that sees some patches of an image, and a decoder that paints the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from timm.layers.norm import LayerNorm2d
from torch import nn

from volumen.errors import SettingsError
from volumen.models.light_decoder import LightDecoder
from volumen.models.packed import check_packable, encode, unpack
from volumen.models.unet import STRIDE, build_encoder

if TYPE_CHECKING:
    from torch import Tensor

    from volumen.models.packed import Packed

_LEVELS = 4  # features at strides 32, 16, 8 and 4 are handed to the decoder


def build_spark(encoder_name: str, in_channels: int, *, width: int = 768, patch: int = STRIDE) -> Spark:
    """Build a SparK model with random weights; nothing is downloaded.

    Parameters
    ----------
    encoder_name
        As for `volumen.models.unet.build_unet`; every layer of it must be able to run on patches.
    in_channels
        Number of layers that the model sees, and reconstructs.
    width
        Channels of the decoder at its deepest, a multiple of 32. Published 768; the cost of the decoder goes with
        its square.
    patch
        Side of the patches that are shown or hidden, in px; a multiple of 32, which is the published one.

    Raises
    ------
    SettingsError
        If there is no such encoder or it cannot run on patches, with the layer that cannot; or if a number does not
        fit.

    Examples
    --------
    >>> from volumen.views.masking import draw_visible
    >>> model = build_spark("resnet18", 20, width=64)
    >>> model(torch.zeros(2, 20, 64, 96), draw_visible(2, (2, 3))).shape
    torch.Size([2, 20, 64, 96])
    """
    if patch < STRIDE or patch % STRIDE:
        raise SettingsError(f"Patches are as long as the encoder's stride, {STRIDE} px, or a multiple; got {patch}.")
    encoder = build_encoder(encoder_name, in_channels)
    check_packable(encoder, in_channels)
    decoder = LightDecoder(width, in_channels)
    return Spark(encoder, decoder, encoder_name=encoder_name, in_channels=in_channels, width=width, patch=patch)


class Spark(nn.Module):
    """Reconstruct an image, NCHW in [0, 1], from its visible patches.

    The encoder runs on the visible patches only (`volumen.models.packed.encode`). Its features at four strides are
    normalised, laid out again with a learned mask token wherever nothing was seen, projected and decoded. Tian et
    al., "Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked Modeling" (SparK), ICLR 2023,
    arXiv 2301.03580. Make one with `build_spark`.

    Attributes
    ----------
    encoder
        The one that `volumen.models.unet.build_unet` builds, with the same state-dict keys.
    densify
        From packed features to dense maps of the decoder's widths, deepest first.
    decoder
        From those to pixels.
    """

    def __init__(
        self, encoder: nn.Module, decoder: LightDecoder, *, encoder_name: str, in_channels: int, width: int, patch: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        norm = LayerNorm2d if _normalises_layers(encoder) else nn.BatchNorm2d
        channels: list[int] = list(encoder.out_channels)[: -_LEVELS - 1 : -1]  # type: ignore[arg-type]
        self.densify = nn.ModuleList(
            _Densify(norm(found), found, wanted, kernel_size=3 if level else 1)
            for level, (found, wanted) in enumerate(zip(channels, decoder.widths, strict=False))
        )
        self.decoder = decoder
        self.encoder_name = encoder_name
        self.in_channels = in_channels
        self.width = width
        self.patch = patch

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of `build_spark` that make this model again."""
        return {
            "encoder_name": self.encoder_name,
            "in_channels": self.in_channels,
            "width": self.width,
            "patch": self.patch,
        }

    def forward(self, image: Tensor, visible: Tensor) -> Tensor:
        """Return the reconstruction in the space of the targets, N × in_channels × H × W.

        Parameters
        ----------
        image
            N × in_channels × H × W; H and W are multiples of the patch. Pixels of hidden patches are never read.
        visible
            Bool (N, H / patch, W / patch), True where a patch is visible; best on the CPU, where it was drawn.

        Raises
        ------
        SettingsError
            If the shapes are others, or too few patches are visible to train with.
        """
        self._check(image, visible)
        packed = encode(self.encoder, image, visible, patch=self.patch)
        deepest_first = packed[: -_LEVELS - 1 : -1]
        dense = [densify(features) for densify, features in zip(self.densify, deepest_first, strict=True)]
        reconstruction: Tensor = self.decoder(dense)
        return reconstruction

    def _check(self, image: Tensor, visible: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != self.in_channels:
            raise SettingsError(
                f"This model sees {self.in_channels} layers and expects an image N × {self.in_channels} × H × W; "
                f"got shape {tuple(image.shape)}. Choose as many layers as it was built for."
            )
        count, _, height, width = image.shape
        if height % self.patch or width % self.patch:
            raise SettingsError(
                f"Height and width of what is pretrained on must be multiples of the patch, {self.patch} px; "
                f"got {height} x {width}. Cut or pad it."
            )
        grid = (count, height // self.patch, width // self.patch)
        if visible.dtype != torch.bool or tuple(visible.shape) != grid:
            raise SettingsError(
                f"Expected a mask of visible patches, bool of shape {grid}; "
                f"got {visible.dtype} of shape {tuple(visible.shape)}."
            )
        if self.training and int(visible.sum()) * (self.patch // STRIDE) ** 2 < 2:
            raise SettingsError(
                "Training needs at least two visible patches in a batch, since statistics of one are none; "
                "use larger crops, more of them in a batch, or a lower share masked."
            )


class _Densify(nn.Module):
    """Normalise packed features over what is visible, fill the rest with a token, project."""

    def __init__(self, norm: nn.Module, channels: int, out_channels: int, *, kernel_size: int) -> None:
        super().__init__()
        self.norm = norm
        self.token = nn.Parameter(torch.empty(channels))  # one axis: what has one axis does not decay
        nn.init.trunc_normal_(self.token, std=0.02, a=-0.02, b=0.02)
        self.projection = nn.Conv2d(channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, features: Packed) -> Tensor:
        """Return N × out_channels × h × w."""
        token = self.token.view(1, -1, 1, 1)  # C -> 1 C 1 1
        dense: Tensor = self.projection(unpack(self.norm(features), fill=token))
        return dense


def _normalises_layers(encoder: nn.Module) -> bool:
    """Say whether an encoder normalises each position over its channels, as ConvNeXt does, and not each channel."""
    modules = list(encoder.modules())
    by_channel = any(isinstance(module, nn.BatchNorm2d) for module in modules)
    return not by_channel and any(isinstance(module, nn.LayerNorm) for module in modules)
