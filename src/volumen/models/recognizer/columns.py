"""Columns: which columns of a batch of maps belong to a line, and a batch norm that measures those alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

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
        beyond = torch.arange(width, device=lengths.device) >= lengths[:, None]  # (N, W)
        return cls(hidden=beyond[:, None, None, :], lines=lengths.sum())


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
        normed: Tensor = self._of_lines(input, columns) if self.training else super().forward(input)
        return normed.masked_fill_(columns.hidden, 0)

    def _of_lines(self, input: Tensor, columns: Columns) -> Tensor:
        """Normalise by the statistics of lines: those of everything, corrected for zeros that are only padding.

        With r the columns of the batch over those of its lines, m and v mean and variance over all of them, the
        padding being 0::

            mean = r m        variance = r v - r (r - 1) m²
        """
        exact = torch.promote_types(input.dtype, torch.float32)  # half precision cannot hold the sums
        values = input.masked_fill_(columns.hidden, 0).to(exact)
        spread, middle = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        lines = columns.lines.to(exact)
        surplus = columns.hidden.numel() / lines
        mean = surplus * middle
        variance = (surplus * spread - surplus * (surplus - 1) * middle.square()).clamp_min(0)
        self._remember(mean.detach(), variance.detach(), lines * input.shape[2])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, None, None], values, scale[:, None, None]).to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics as `torch.nn.BatchNorm2d` does, the variance without bias."""
        tracked = (self.num_batches_tracked, self.running_mean, self.running_var)
        batches, means, variances = (cast("Tensor", buffer) for buffer in tracked)
        batches.add_(1)
        means.lerp_(mean.to(means.dtype), cast("float", self.momentum))
        unbiased = variance * (count / (count - 1).clamp_min(1))
        variances.lerp_(unbiased.to(variances.dtype), cast("float", self.momentum))
