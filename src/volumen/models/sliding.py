"""Sliding windows over packed patches: convolution and pooling, as if over the whole image with zeros where masked.

Each function takes what its namesake in `torch.nn.functional` takes, with the layout of the patches behind the
patches. The grid of patches must survive: a window at stride t turns patches of side s into patches of side s / t.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from volumen.errors import SettingsError
from volumen.models.halo import Margins, widen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from volumen.models.layout import Layout

    Pair = int | Sequence[int]

_FEW = 4
"""Up to so many pixels a patch, a convolution is slower on a CPU than the product of matrices that it is."""


def conv2d(
    blocks: Tensor,
    layout: Layout,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve visible patches, (V, C, s, s), looking into visible neighbours; zeros elsewhere."""
    kernel = weight.shape[2:]
    margins = _margins(blocks, kernel, stride, padding, dilation)
    wide = widen(_cast(blocks), layout, margins)
    (down, right), (height, width) = _pair(stride), blocks.shape[2:]
    if groups > 1 or _pair(dilation) != (1, 1) or height // down * (width // right) > _FEW:
        return functional.conv2d(wide, weight, bias, stride, 0, dilation, groups)
    windows = wide.permute(0, 2, 3, 1).unfold(1, kernel[0], down).unfold(2, kernel[1], right)
    columns = windows.permute(0, 1, 2, 4, 5, 3).flatten(3)  # V h w C k k -> V h w (k k C)
    rows = weight.permute(0, 2, 3, 1).flatten(1)  # out C k k -> out (k k C)
    return functional.linear(columns, rows, bias).permute(0, 3, 1, 2)


def max_pool2d(
    blocks: Tensor,
    layout: Layout,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,  # the form that returns them goes by another name
) -> Tensor:
    """Take the largest value in each window; masked neighbours hold zeros, as in published SparK, outsides nothing."""
    stride = stride or kernel_size
    margins = _margins(blocks, kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)
    wide = widen(blocks, layout, margins, outside=-torch.inf)
    return functional.max_pool2d(wide, _pair(kernel_size), _pair(stride), 0, _pair(dilation))


def avg_pool2d(
    blocks: Tensor,
    layout: Layout,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average each window; masked neighbours and what lies outside the image count as zeros."""
    stride = stride or kernel_size
    margins = _margins(blocks, kernel_size, stride, padding, 1, ceil_mode=ceil_mode)
    before = _pair(padding)
    if any(margins) and (not count_include_pad or margins.bottom > before[0] or margins.right > before[1]):
        raise SettingsError("it averages fewer values at the image's edge")
    wide = widen(blocks, layout, margins)
    return functional.avg_pool2d(wide, _pair(kernel_size), _pair(stride), 0, divisor_override=divisor_override)


def _margins(
    blocks: Tensor, kernel: Pair, stride: Pair, padding: Pair | str, dilation: Pair, *, ceil_mode: bool = False
) -> Margins:
    """Work out the margins with which patches give what the padded image would."""
    sides = []
    for axis, (window, step, spread) in enumerate(zip(*map(_pair, (kernel, stride, dilation)), strict=True)):
        reach = spread * (window - 1)  # from the first pixel of a window to its last
        if isinstance(padding, str):
            before, both = (reach // 2, reach) if padding == "same" else (0, 0)
        else:
            before = _pair(padding)[axis]
            both = 2 * before
        side = blocks.shape[2 + axis]
        if side % step:
            raise SettingsError(
                f"its stride {step} does not divide the {side} px that a patch measures there; take larger patches"
            )
        missing = reach - both
        lowest, highest = (step - 1, 2 * step - 2) if ceil_mode else (0, step - 1)
        if not lowest <= missing <= highest:
            raise SettingsError(
                f"its window of {reach + 1} px with stride {step} and {both} px of padding in all "
                f"does not turn n px into n / {step}"
            )
        sides.append((before, max(0, reach + 1 - step - before)))
    (top, bottom), (left, right) = sides
    return Margins(top, bottom, left, right)


def _cast(blocks: Tensor) -> Tensor:
    """Cast as autocast is about to, so that margins are copied in the smaller type."""
    kind = blocks.device.type
    if blocks.dtype == torch.float32 and kind != "meta" and torch.is_autocast_enabled(kind):
        return blocks.to(torch.get_autocast_dtype(kind))
    return blocks


def _pair(value: Pair) -> tuple[int, int]:
    """Return (vertical, horizontal)."""
    if isinstance(value, int):
        return value, value
    first, *rest = value
    return first, rest[0] if rest else first
