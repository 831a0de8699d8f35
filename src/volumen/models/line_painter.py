"""LinePainter: from frames of lines to their pixels, for pretraining by painting; it goes when that is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from volumen.errors import SettingsError
from volumen.models.frame_pooling import blank_padding, check_frames
from volumen.models.recognizer.resnet29 import STRIDE

if TYPE_CHECKING:
    from torch import Tensor


class LinePainter(nn.Module):
    """Paint each block of four columns from the two frames beside it, by one linear layer.

    A head no larger than that leaves the work to the encoder, as in SimMIM (Xie et al., CVPR 2022, arXiv 2111.09886),
    which found a linear layer as good as deeper ones.

    Parameters
    ----------
    features
        F of the frames.
    height
        H of the lines in px.

    Raises
    ------
    SettingsError
        If a number is below 1.

    Examples
    --------
    >>> painter = LinePainter(8, 32)
    >>> painter(torch.rand(2, 26, 8), torch.tensor([26, 11])).shape
    torch.Size([2, 1, 32, 100])
    """

    def __init__(self, features: int, height: int) -> None:
        super().__init__()
        if features < 1 or height < 1:
            raise SettingsError(f"A painter needs a feature and a row to paint; got {features} and {height}.")
        self.height = height
        self.linear = nn.Linear(2 * features, height * STRIDE)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return pixels (N, 1, H, 4 · (T - 1)), 0 beyond the lines, of frames (N, T, F) with lengths int64 (N,)."""
        check_frames(values, lengths)
        count, frames, _ = values.shape
        pairs = torch.cat([values[:, :-1], values[:, 1:]], dim=2)  # N T-1 2F
        blocks = blank_padding(self.linear(pairs), lengths - 1).view(count, frames - 1, self.height, STRIDE)
        return blocks.transpose(1, 2).flatten(2)[:, None]  # N T-1 H 4 -> N H T-1 4 -> N 1 H 4(T-1)
