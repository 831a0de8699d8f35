"""Seen: what of a batch of maps there is to see, lines and not padding, and a batch norm that measures that alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from volumen.models.frame_pooling import valid_frames

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What there is to see of the lines of a batch, on maps NCHW of one width.

    Parameters
    ----------
    hidden
        Bool, True beyond a line and, where parts of lines are masked, there: (N, 1, 1, W), or (N, 1, H, W).
    count
        Scalar int64: how often ``hidden`` is False.
    """

    hidden: Tensor
    count: Tensor

    @classmethod
    def of(cls, lengths: Tensor, width: int, masked: Tensor | None = None) -> Seen:
        """Return what is seen of lines of some lengths, int64 (N,), on maps of a width.

        Parameters
        ----------
        lengths
            Columns of each line.
        width
            W.
        masked
            Bool (N, 1, H, W), True where a line is masked; None where none is.
        """
        beyond = ~valid_frames(lengths, width)[:, None, None, :]
        if masked is None:
            return cls(hidden=beyond, count=lengths.sum())
        hidden = beyond | masked
        return cls(hidden=hidden, count=hidden.numel() - hidden.sum())


class SeenNorm(nn.BatchNorm2d):
    """Batch normalisation over what is seen of lines, NCHW; what it returns is 0 elsewhere.

    In training, mean and variance are those of what is seen, so padding does not thin them out; in evaluation it is
    plain batch normalisation. Where all is seen it is `torch.nn.BatchNorm2d` throughout, and its state dict is that of
    one.

    What padding leaves is rounding: the variance comes from sums over the whole batch, so that it loses digits where
    lines fill little of it and values stand far from 0; in float32 it was seen to be off by 1.3 thousandths.

    Examples
    --------
    >>> lines = torch.randn(2, 1, 1, 4)
    >>> norm = SeenNorm(1)
    >>> padded = norm(torch.nn.functional.pad(lines, (0, 3)), Seen.of(torch.tensor([4, 4]), 7)).detach()
    >>> torch.allclose(padded[..., :4], torch.nn.BatchNorm2d(1)(lines), atol=1e-6), float(padded[..., 4:].abs().max())
    (True, 0.0)
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, input: Tensor, seen: Seen | None = None) -> Tensor:
        """Return what came, normalised, in its shape and type. What came is blanked where nothing is seen."""
        if seen is None:
            plain: Tensor = super().forward(input)
            return plain
        if not self.training:
            known: Tensor = super().forward(input)
            return known.masked_fill_(seen.hidden, 0)
        input.detach().masked_fill_(seen.hidden, 0)  # past autograd: nothing that made it looks at it again
        mean, variance, surplus = _statistics(input.detach(), self.weight.detach(), seen)
        self._remember(mean, variance, seen.count * (input.shape[2] // seen.hidden.shape[2]))
        normed: Tensor = _Normalised.apply(
            input, self.weight, self.bias, seen.hidden, mean, variance, surplus, self.eps
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


def _statistics(values: Tensor, weight: Tensor, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance of what is seen, (C,), and r, from values NCHW that are 0 elsewhere.

    With r the positions of the batch over those that are seen, m and v mean and variance over all of them::

        mean = r m        variance = r v - r (r - 1) m²
    """
    # of all that gives mean and variance torch's own batch norm is the fastest; with a weight it sums in its type
    _, middle, scale = torch.native_batch_norm(values, weight, weight, None, None, True, 0.0, 0.0)
    surplus = seen.hidden.numel() / seen.count.to(middle)
    spread = torch.where(scale == 0, 0, scale.pow(-2))  # torch's scale is 0, not infinite, where nothing varies
    variance = surplus * spread - surplus * (surplus - 1) * middle.square()
    return surplus * middle, variance.clamp_min(0), surplus


class _Normalised(torch.autograd.Function):
    """Normalise by the statistics of what is seen. Torch's own gradient, which divides by all positions, is corrected.

    With r as in `_statistics`, M positions in the batch, σ deviation, w weight, g gradient, x̂ normalised, and sums over
    what is seen, since g is 0 elsewhere::

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
        variance: Tensor,
        surplus: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(values, weight, hidden, mean, torch.rsqrt(variance + eps), surplus)
        ctx.eps = eps
        normed = F.batch_norm(values, mean, variance, weight, bias, training=False, eps=eps)
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
