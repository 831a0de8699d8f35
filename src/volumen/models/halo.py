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
        Visible patches, (V, C, s, s), in the order of the layout.
    margins
        Width of the margins in px; wider than a patch where they must be.
    outside
        What lies outside the image. Inside it, masked neighbours hold zeros.

    Returns
    -------
    torch.Tensor
        (V, C, top + s + bottom, left + s + right). Gradients flow back to the patches that the margins came from.
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
        side = blocks.shape[-1]
        ctx.layout, ctx.margins, ctx.side = layout, margins, side
        top, bottom, left, right = margins
        widened = functional.pad(blocks, (left, right, top, bottom))
        for step, (y, x), (source_y, source_x) in _strips(layout, margins, side):
            widened[step.to, :, y, x] = blocks[step.source, :, source_y, source_x]
            if outside:
                widened[step.outside, :, y, x] = outside
        return widened

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        top, _, left, _ = ctx.margins
        inner = gradient[:, :, top : top + ctx.side, left : left + ctx.side].clone(memory_format=torch.channels_last)
        for step, (y, x), (source_y, source_x) in _strips(ctx.layout, ctx.margins, ctx.side):
            inner[step.source, :, source_y, source_x] += gradient[step.to, :, y, x]
        return inner, None, None, None


def _strips(
    layout: Layout, margins: Margins, side: int
) -> Iterator[tuple[Step, tuple[slice, slice], tuple[slice, slice]]]:
    """Yield each step to a neighbour, the strip of the widened patch that it fills, and the strip that it has there."""
    for step in layout.steps(-(-max(margins) // side)):
        y, source_y = _overlap(step.dy, side, margins.top, margins.bottom)
        x, source_x = _overlap(step.dx, side, margins.left, margins.right)
        if y.start < y.stop and x.start < x.stop:
            yield step, (y, x), (source_y, source_x)


def _overlap(offset: int, side: int, before: int, after: int) -> tuple[slice, slice]:
    """Cut the neighbour ``offset`` patches away to a widened patch: where in the widened one, where in itself."""
    start, stop = max(offset * side, -before), min((offset + 1) * side, side + after)
    return slice(start + before, stop + before), slice(start - offset * side, stop - offset * side)
