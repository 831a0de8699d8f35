"""Columns: which columns of a batch of maps belong to a line, and a batch norm that measures those alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from volumen.models.frame_pooling import valid_frames

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Where the lines of a batch end, on maps NCHW of one width.

    Parameters
    ----------
    hidden
        Bool (N, 1, 1, W): True beyond a line.
    lines
        Scalar int64: columns of the lines, all together.
    """

    hidden: Tensor
    lines: Tensor

    @classmethod
    def of(cls, lengths: Tensor, width: int) -> Columns:
        """Return the columns of lines of some lengths, int64 (N,), on maps of a width."""
        return cls(hidden=~valid_frames(lengths, width)[:, None, None, :], lines=lengths.sum())


class ColumnNorm(nn.BatchNorm2d):
    """Batch normalisation over the columns of lines, NCHW; what it returns is 0 beyond them.

    In training, mean and variance are those of the columns that belong to a line, so padding does not thin them out;
    in evaluation it is plain batch normalisation. Without columns it is `torch.nn.BatchNorm2d` throughout, and its
    state dict is that of one.

    Examples
    --------
    >>> lines = torch.randn(2, 1, 1, 4)
    >>> norm = ColumnNorm(1)
    >>> padded = norm(torch.nn.functional.pad(lines, (0, 3)), Columns.of(torch.tensor([4, 4]), 7)).detach()
    >>> torch.allclose(padded[..., :4], torch.nn.BatchNorm2d(1)(lines), atol=1e-6), float(padded[..., 4:].abs().max())
    (True, 0.0)
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, input: Tensor, columns: Columns | None = None) -> Tensor:
        """Return what came, normalised, in its shape and type. With columns, what came is blanked beyond them."""
        if columns is None:
            plain: Tensor = super().forward(input)
            return plain
        if not self.training:
            known: Tensor = super().forward(input)
            return known.masked_fill_(columns.hidden, 0)
        input.detach().masked_fill_(columns.hidden, 0)  # past autograd: nothing that made it looks at it again
        mean, variance, surplus = _statistics(input.detach(), self.weight.detach(), columns)
        self._remember(mean, variance, columns.lines * input.shape[2])
        scale = torch.rsqrt(variance + self.eps)
        normed: Tensor = _Normalised.apply(
            input, self.weight, self.bias, columns.hidden, mean, scale, surplus, self.eps
        )
        return normed

    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics as `torch.nn.BatchNorm2d` does, the variance without bias."""
        tracked = (self.num_batches_tracked, self.running_mean, self.running_var)
        batches, means, variances = (cast("Tensor", buffer) for buffer in tracked)
        batches.add_(1)
        share = 1 / batches.to(means) if self.momentum is None else means.new_tensor(self.momentum)
        exactly = count.to(variance)
        unbiased = variance * exactly / (exactly - 1).clamp_min(1)
        means.lerp_(mean.to(means), share)
        variances.lerp_(unbiased.to(variances), share)


def _statistics(values: Tensor, weight: Tensor, columns: Columns) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance of lines, (C,), and r, from values NCHW that are 0 beyond them.

    With r the columns of the batch over those of its lines, m and v mean and variance over all of them::

        mean = r m        variance = r v - r (r - 1) m²
    """
    # of all that gives mean and variance torch's own batch norm is the fastest; with a weight it sums in its type
    _, middle, scale = torch.native_batch_norm(values, weight, weight, None, None, True, 0.0, 0.0)
    surplus = columns.hidden.numel() / columns.lines.to(middle)
    variance = surplus * scale.pow(-2) - surplus * (surplus - 1) * middle.square()
    return surplus * middle, variance.clamp_min(0), surplus


class _Normalised(torch.autograd.Function):
    """Normalise by the statistics of lines. Torch's own gradient, which divides by all columns, is corrected.

    With r as in `_statistics`, M columns in the batch, σ deviation, w weight, g gradient, x̂ normalised, and sums over
    lines, since g is 0 beyond them::

        torch's = w/σ (g - Σ g / M - x̂ Σ (g x̂) / M)        ours = r · torch's + (1 - r) w/σ g
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor,
        bias: Tensor,
        hidden: Tensor,
        mean: Tensor,
        scale: Tensor,
        surplus: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(values, weight, hidden, mean, scale, surplus)
        ctx.eps = eps
        slope = weight * scale
        shift = bias - mean * slope
        normed = torch.addcmul(shift[:, None, None], values, slope[:, None, None]).to(values.dtype)
        return normed.masked_fill_(hidden, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, hidden, mean, scale, surplus = ctx.saved_tensors
        gradient = gradient.clone().masked_fill_(hidden, 0)  # a clone keeps the order of its axes in memory
        of_values, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, values, weight, None, None, mean, scale, True, ctx.eps, [True, True, True]
        )
        slope = ((1 - surplus) * weight * scale)[:, None, None].to(gradient.dtype)
        of_values = of_values.mul_(surplus.to(gradient.dtype)).addcmul_(gradient, slope).masked_fill_(hidden, 0)
        return of_values, of_weight, of_bias, None, None, None, None, None
