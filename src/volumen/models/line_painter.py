"""LinePainter: from frames of lines, and maps on the way to them, to pixels; it goes when pretraining is done."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from volumen.errors import SettingsError
from volumen.models.recognizer.resnet29 import CELL, LineConv
from volumen.models.recognizer.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from volumen.models.recognizer.frames import Frames, LineMap

_LEVELS = 4  # maps of 8, 4, 2 and 1 px a row


class LinePainter(nn.Module):
    """Paint lines from what an encoder saw of them, coarse to fine, with a light U-shaped decoder.

    The decoder of SparK (Tian et al., ICLR 2023, arXiv 2301.03580, §3.2) for lines: frames give the first map, a row
    for every 8 px; the encoder's own maps join by addition where it is as fine as they are, with a learned token
    wherever they were masked. So frames need not hold every pixel, only what the finer maps cannot know.

    Parameters
    ----------
    features
        F of the frames.
    height
        H of the lines in px, a multiple of 8.
    channels
        Of the maps that join, finest first, 2 and 4 px apart.
    width
        Channels of the coarsest map, a multiple of 4; halved at 2 px and again at 1 px.

    Raises
    ------
    SettingsError
        If a number does not fit.

    Examples
    --------
    >>> from volumen.models.recognizer.recognizer import Recognizer
    >>> encoder = Recognizer(1 / 16)
    >>> masked = torch.zeros(2, 1, 32, 100, dtype=torch.bool)
    >>> painter = LinePainter(encoder.visual_features, 32, encoder.resnet.map_channels)
    >>> painter(encoder.visual(torch.rand(2, 1, 32, 100), torch.tensor([100, 60]), masked)).shape
    torch.Size([2, 1, 32, 100])
    """

    def __init__(self, features: int, height: int, channels: Sequence[int], width: int = 64) -> None:
        super().__init__()
        if features < 1 or height < CELL or height % CELL or width < 4 or width % 4 or len(channels) != _LEVELS - 2:
            raise SettingsError(
                f"A painter needs frames with features, rows in multiples of {CELL} px, {_LEVELS - 2} maps, and a "
                f"width that is a multiple of 4; got {features}, {height}, {len(channels)} and {width}."
            )
        self.rows = height // CELL
        widths = (width, width, width // 2, width // 4)
        self.first = nn.Linear(2 * features, width * self.rows)
        self.joins = nn.ModuleList(_Join(*both) for both in zip(reversed(channels), widths[1:], strict=False))
        self.blocks = nn.ModuleList(LineConv(*both) for both in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], 1, kernel_size=1)
        self.to(memory_format=torch.channels_last)

    def forward(self, frames: Frames) -> Tensor:
        """Return pixels (N, 1, H, 4 · (T - 1)), of masked lines' frames (N, T, F); anything beyond the lines."""
        count, found, _ = frames.values.shape
        pairs = torch.cat([frames.values[:, :-1], frames.values[:, 1:]], dim=2)  # N T-1 2F
        x = self.first(pairs).view(count, found - 1, -1, self.rows).permute(0, 2, 3, 1)  # N C rows T-1
        lines = Seen.of(frames.lengths - 1, found - 1)
        for level, block in enumerate(self.blocks):
            across = 1 if level == 0 else 2  # frames are as far apart as the coarsest map that joins
            x = F.interpolate(x.masked_fill(lines.hidden, 0), scale_factor=(2, across))
            lines = Seen.of((frames.lengths - 1) * across**level, x.shape[-1])
            x = block(x, lines)
            if level < len(self.joins):
                x = x + self.joins[level](frames.maps[-1 - level], lines)
        pixels: Tensor = self.last(x)
        return pixels


class _Join(nn.Module):
    """Fill what is masked of a map with a token, and project all to the channels of the decoder."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(channels))
        nn.init.trunc_normal_(self.token, std=0.02, a=-0.02, b=0.02)
        self.projection = nn.Conv2d(channels, out_channels, kernel_size=3, padding=1)

    def forward(self, found: LineMap, lines: Seen) -> Tensor:
        filled = torch.where(found.hidden, self.token[:, None, None], found.values).masked_fill(lines.hidden, 0)
        dense: Tensor = self.projection(filled)
        return dense
