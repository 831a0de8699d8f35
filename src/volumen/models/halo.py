"""Halo: packed patches, widened by what their visible neighbours hold at the common borders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from volumen.models.layout import Layout, Step


class Margins(NamedTuple):
    """By how many pixels patches are widened on each side."""

    top: int
    bottom: int
    left: int
    right: int


def widen(blocks: Tensor, layout: Layout, margins: Margins, *, outside: float = 0.0) -> Tensor:
    """Give every visible patch a margin from its neighbours.

    Parameters
    ----------
    blocks
        Visible patches, (V, C, h, w), in the order of the layout.
    margins
        Width of the margins in px; wider than a patch where they must be.
    outside
        What lies outside the image. Inside it, masked neighbours hold zeros.

    Returns
    -------
    torch.Tensor
        (V, C, top + h + bottom, left + w + right). Gradients flow back to the patches that the margins came from.
    """
    if not any(margins):
        return blocks
    widened: Tensor = _Widen.apply(blocks, layout, margins, outside)
    return widened


class _Widen(torch.autograd.Function):
    """Strips copied from neighbour to neighbour.

    In one step no patch is a source twice, so that the backward pass adds strip by strip without accumulating
    at equal indices: it is fast, and always sums in the same order.
    """

    @staticmethod
    def forward(ctx: Any, blocks: Tensor, layout: Layout, margins: Margins, outside: float) -> Tensor:
        top, bottom, left, right = margins
        ctx.strips = list(_strips(layout, margins, *blocks.shape[2:]))
        ctx.inner = (slice(top, top + blocks.shape[2]), slice(left, left + blocks.shape[3]))
        widened = functional.pad(blocks, (left, right, top, bottom))
        for step, (y, x), (source_y, source_x) in ctx.strips:
            widened[step.to, :, y, x] = blocks[step.source, :, source_y, source_x]
            if outside:
                widened[step.outside, :, y, x] = outside
        return widened

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        y, x = ctx.inner
        inner = gradient[:, :, y, x].clone(memory_format=torch.channels_last)
        for step, (y, x), (source_y, source_x) in ctx.strips:
            inner[step.source, :, source_y, source_x] += gradient[step.to, :, y, x]
        return inner, None, None, None


def _strips(
    layout: Layout, margins: Margins, height: int, width: int
) -> Iterator[tuple[Step, tuple[slice, slice], tuple[slice, slice]]]:
    """Yield each step to a neighbour, the strip of the widened patch that it fills, and the strip that it has there."""
    top, bottom, left, right = margins
    reach = max(-(-max(top, bottom) // height), -(-max(left, right) // width))
    for step in layout.steps(reach):
        y, source_y = _overlap(step.dy, height, top, bottom)
        x, source_x = _overlap(step.dx, width, left, right)
        if y.start < y.stop and x.start < x.stop:
            yield step, (y, x), (source_y, source_x)


def _overlap(offset: int, side: int, before: int, after: int) -> tuple[slice, slice]:
    """Cut the neighbour ``offset`` patches away to a widened patch: where in the widened one, where in itself."""
    start, stop = max(offset * side, -before), min((offset + 1) * side, side + after)
    return slice(start + before, stop + before), slice(start - offset * side, stop - offset * side)
