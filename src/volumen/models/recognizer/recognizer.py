"""Recognizer: from images of lines to frames, visual or contextual, for a decoder or a pretext task above it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from volumen.models.recognizer.bilstm import BiLstm
from volumen.models.recognizer.resnet29 import ResNet29

if TYPE_CHECKING:
    from torch import Tensor

    from volumen.models.recognizer.frames import Frames

_HIDDEN = 256  # published


class Recognizer(nn.Module):
    """A ResNet-29 with a two-layer BiLSTM above it, random weights.

    The encoder that SeqCLR (Aberdam et al., CVPR 2021, arXiv 2012.10873) and spatial context (Penarrubia et al.,
    arXiv 2404.11585) pretrain: 47.16 M parameters at width 1, and 5.12 GMAC for an image of 32 × 100 px. It has no
    rectification of its own (SeqCLR's scene-text models begin with one).

    Parameters
    ----------
    width
        Share of the published channels, in both parts.
    in_channels
        1 for grey.

    Attributes
    ----------
    resnet
        From images to visual frames V.
    bilstm
        From visual frames to contextual ones H.
    visual_features, features
        F of V, 512 · width, and of H, 256 · width.

    Examples
    --------
    >>> import torch
    >>> model = Recognizer(0.125).eval()
    >>> images, widths = torch.rand(2, 1, 32, 100), torch.tensor([100, 60])
    >>> model.visual(images, widths).values.shape, model(images, widths).values.shape
    (torch.Size([2, 26, 64]), torch.Size([2, 26, 32]))
    """

    def __init__(self, width: float = 1.0, in_channels: int = 1) -> None:
        super().__init__()
        self.width = width
        self.in_channels = in_channels
        self.resnet = ResNet29(width, in_channels)
        self.bilstm = BiLstm(self.resnet.features, max(round(_HIDDEN * width), 1))
        self.visual_features = self.resnet.features
        self.features = self.bilstm.features
        self.to(memory_format=torch.channels_last)  # a third faster on a CPU

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments that make this model again."""
        return {"width": self.width, "in_channels": self.in_channels}

    def visual(self, images: Tensor, widths: Tensor, masked: Tensor | None = None) -> Frames:
        """Return visual frames V, (N, T, visual_features); images, widths and what is masked as for `ResNet29`."""
        frames: Frames = self.resnet(images, widths, masked)
        return frames

    def contextual(self, images: Tensor, widths: Tensor, masked: Tensor | None = None) -> Frames:
        """Return contextual frames H, (N, T, features), as many as there are visual ones."""
        visual = self.visual(images, widths, masked)
        frames: Frames = self.bilstm(visual)
        return replace(frames, maps=visual.maps)

    def forward(self, images: Tensor, widths: Tensor, masked: Tensor | None = None) -> Frames:
        """Return contextual frames."""
        return self.contextual(images, widths, masked)
