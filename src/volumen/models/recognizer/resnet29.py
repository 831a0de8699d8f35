"""ResNet29: from images of lines to visual frames, one every four pixels, that never see padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from volumen.errors import SettingsError
from volumen.models.recognizer.frames import Frames, LineMap
from volumen.models.recognizer.seen import Seen, SeenNorm

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 4
"""Pixels from one frame to the next."""

CELL = 8
"""Pixels of the least cell that can be masked: a row of the last maps of which parts can be."""

LEAST_HEIGHT = 32
"""Least height of an image in px: the encoder halves it four times, then takes two rows to one."""

_BLOCKS = (1, 2, 5, 3)  # in each stage; 2 · 11 convolutions there, 7 between and around them: 29
_CHANNELS = (128, 256, 512, 512)


def frame_counts(widths: Tensor) -> Tensor:
    """Return how many frames see lines of some widths in px, int64 (N,) both."""
    return -(-widths // STRIDE) + 1


class ResNet29(nn.Module):
    """The residual encoder of handwriting and scene text: height averaged away, width kept as frames.

    Two convolutions, then four stages of 1, 2, 5 and 3 residual blocks with 128, 256, 512 and 512 channels, a
    convolution after each. Height and width are halved twice, then height alone. It is the ResNet of Cheng et al.,
    "Focusing Attention", ICCV 2017, as Baek et al., ICCV 2019, arXiv 1904.01906, compare it and SeqCLR (Aberdam et
    al., CVPR 2021, arXiv 2012.10873) and spatial context (Penarrubia et al., arXiv 2404.11585) use it: 44.26 M
    parameters, and 26 frames of 512 features from an image of 32 × 100 px.

    A line of w px gives ``ceil(w / 4) + 1`` frames. Padding is blank to every layer, as what lies outside an image
    is, and never counts. In evaluation the frames of a line are therefore the same, to float error, whatever it is
    batched with and however far it is padded. In training the batch norms measure all lines of the batch together,
    so that frames do depend on the other lines, as ever; but not on the padding, nor does any gradient.

    Parameters
    ----------
    width
        Share of the published channels, such as 0.25 for a small machine; cost goes with its square.
    in_channels
        1 for grey.

    Attributes
    ----------
    features
        F, channels of a frame: 512 · width.
    map_channels
        Of the maps that lead to them where lines are masked, finest first: 128 and 256 · width.

    Raises
    ------
    SettingsError
        If the width leaves no channels.

    Examples
    --------
    >>> encoder = ResNet29(0.125).eval()
    >>> encoder(torch.rand(2, 1, 32, 100), torch.tensor([100, 60])).lengths.tolist()
    [26, 16]
    """

    def __init__(self, width: float = 1.0, in_channels: int = 1) -> None:
        super().__init__()
        stem, first, second, third, fourth = (_channels(width, count) for count in (64, *_CHANNELS))
        self.features = fourth
        self.map_channels = (first, second)
        self.stem = nn.ModuleList([LineConv(in_channels, stem // 2), LineConv(stem // 2, stem)])
        self.stage1 = _Stage(stem, first, _BLOCKS[0])
        self.conv1 = LineConv(first, first)
        self.stage2 = _Stage(first, second, _BLOCKS[1])
        self.conv2 = LineConv(second, second)
        self.stage3 = _Stage(second, third, _BLOCKS[2])
        self.conv3 = LineConv(third, third)
        self.stage4 = _Stage(third, fourth, _BLOCKS[3])
        self.conv4 = nn.ModuleList(
            [
                LineConv(fourth, fourth, kernel_size=2, stride=(2, 1), padding=(0, 1)),
                LineConv(fourth, fourth, kernel_size=2, padding=0),
            ]
        )

    def forward(self, images: Tensor, widths: Tensor, masked: Tensor | None = None) -> Frames:
        """Return visual frames, (N, ceil(W / 4) + 1, F).

        Parameters
        ----------
        images
            N × in_channels × H × W in [0, 1], lines left-aligned, H at least 32. What they hold beyond the widths is
            never looked at. Paper is taken as 1 and ink as 0, so that blank paper is like what lies outside.
        widths
            int64 (N,), px of each line, 1…W.
        masked
            Bool (N, 1, H, W), True for pixels not to look at, in cells whose sides are multiples of 8 px. Up to the
            last stage nothing is computed there: masked cells are 0 before each convolution and in no norm's
            statistics, which makes convolutions of dense maps those of sparse ones (SparK, Tian et al., ICLR 2023,
            arXiv 2301.03580, §3.1). The frames then hold the maps of strides 2 and 4 px too. H is a multiple of 8.

        Raises
        ------
        SettingsError
            If the shapes do not fit, or a width is out of bounds.
        """
        full = _check(images, widths, masked)
        widths = widths.to(images.device)
        x = F.pad(1 - images, (0, -images.shape[-1] % STRIDE))  # whole frames
        halves, quarters = -(-widths // 2), -(-widths // 4)
        full = full and images.shape[-1] % STRIDE == 0 and masked is None
        cells = None if masked is None else F.pad(masked, (0, x.shape[-1] - masked.shape[-1]), value=True)

        def seen(lengths: Tensor, down: int, right: int) -> Seen | None:
            """Return what is seen on maps of a stride, as large as x is now; None where that is all of it."""
            masked_there = None if cells is None else cells[..., ::down, ::right]
            return None if full else Seen.of(lengths, x.shape[-1], masked_there)

        def keep(there: Seen | None) -> None:
            """Keep x for a painter."""
            if cells is not None and there is not None:
                maps.append(LineMap(x, there.hidden))

        maps: list[LineMap] = []
        there = seen(widths, 1, 1)
        x = x if there is None else x.masked_fill(there.hidden, 0)
        cells = None if cells is None or there is None else there.hidden  # what lies beyond a line is masked, too
        for conv in self.stem:
            x = conv(x, there)
        x = F.max_pool2d(x, 2)  # of values above 0, so that what is blank beyond a line does not show
        there = seen(halves, 2, 2)
        x = self.conv1(self.stage1(x, there), there)
        keep(there)
        x = F.max_pool2d(x, 2)
        there = seen(quarters, 4, 4)
        x = self.conv2(self.stage2(x, there), there)
        keep(there)
        x = F.max_pool2d(x, 2, stride=(2, 1), padding=(0, 1))  # one column more
        cells = None if cells is None else _between(cells)
        there = seen(quarters + 1, 8, 4)
        x = self.conv3(self.stage3(x, there), there)
        x = self.stage4(x, there)
        first, last = self.conv4  # from here on a line is one row, of which nothing is masked
        x = first(x, None if full else Seen.of(quarters + 2, x.shape[-1] + 1))
        x = last(x, None if full else Seen.of(quarters + 1, x.shape[-1] - 1))
        return Frames(x.mean(dim=2).transpose(1, 2), frame_counts(widths), tuple(maps))  # N F H T -> N F T -> N T F


def _between(cells: Tensor) -> Tensor:
    """Return what is masked between the frames' columns: what is on both sides."""
    return F.pad(cells, (STRIDE, 0), value=True) & F.pad(cells, (0, STRIDE), value=True)


class LineConv(nn.Module):
    """Convolution, norm over what is seen of lines, ReLU."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] | int = 1,
    ) -> None:
        super().__init__()
        self.conv = _convolution(channels, out_channels, kernel_size, stride=stride, padding=padding)
        self.norm = SeenNorm(out_channels)

    def forward(self, x: Tensor, seen: Seen | None) -> Tensor:
        """Return N × out_channels × h × w, 0 where nothing is seen of the maps that it makes."""
        return F.relu_(self.norm(self.conv(x), seen))


class _Block(nn.Module):
    """Two convolutions beside a way past them."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = LineConv(channels, out_channels)
        self.second = _convolution(out_channels, out_channels, 3, padding=1)
        self.norm = SeenNorm(out_channels)
        self.past = None
        if channels != out_channels:
            self.past = _convolution(channels, out_channels, 1)
            self.past_norm = SeenNorm(out_channels)

    def forward(self, x: Tensor, seen: Seen | None) -> Tensor:
        past = x if self.past is None else self.past_norm(self.past(x), seen)
        return F.relu_(self.norm(self.second(self.first(x, seen)), seen).add_(past))


class _Stage(nn.Module):
    """Blocks one after another; the first changes the channels."""

    def __init__(self, channels: int, out_channels: int, count: int) -> None:
        super().__init__()
        first = _Block(channels, out_channels)
        self.blocks = nn.ModuleList([first, *(_Block(out_channels, out_channels) for _ in range(count - 1))])

    def forward(self, x: Tensor, seen: Seen | None) -> Tensor:
        for block in self.blocks:
            x = block(x, seen)
        return x


def _convolution(
    channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] | int = 0,
) -> nn.Conv2d:
    """Return a convolution without bias, since a norm follows, its weights drawn for ReLU."""
    conv = nn.Conv2d(channels, out_channels, kernel_size, stride=stride, padding=padding, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _channels(width: float, published: int) -> int:
    channels = round(width * published)
    if channels < 2:
        raise SettingsError(f"The width of a recogniser is a share of the published one, 1/32 or more; got {width}.")
    return channels


def _check(images: Tensor, widths: Tensor, masked: Tensor | None) -> bool:
    """Refuse what cannot be lines; say whether every line is as wide as its image."""
    if images.ndim != 4 or images.shape[2] < LEAST_HEIGHT or images.shape[3] < 1:
        raise SettingsError(
            f"Expected images of lines, N × C × H × W, at least {LEAST_HEIGHT} px high; got shape "
            f"{tuple(images.shape)}. Scale them to a greater height."
        )
    if widths.shape != images.shape[:1] or widths.dtype != torch.int64:
        raise SettingsError(
            f"Expected a width for each of {len(images)} lines, int64; got {widths.dtype} of shape "
            f"{tuple(widths.shape)}."
        )
    if masked is not None and (masked.shape != (len(images), 1, *images.shape[2:]) or images.shape[2] % CELL):
        raise SettingsError(
            f"Lines are masked by (N, 1, H, W) as they are, N × C × H × W, with H a multiple of {CELL} px; got "
            f"{tuple(masked.shape)} for {tuple(images.shape)}."
        )
    if len(images) == 0:
        return True
    least, most = (int(end) for end in torch.stack(widths.aminmax()).tolist())  # a sync on a GPU, the only one
    if least < 1 or most > images.shape[3]:
        raise SettingsError(
            f"Widths of lines must lie in 1…{images.shape[3]}, the width of their images; got {least}…{most} px."
        )
    return least == images.shape[3]
