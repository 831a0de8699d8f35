"""Contrast: the symmetric NCE loss over two views' instances, in chunks, so that memory stays small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

CHUNK = 2**22
"""Similarities held at a time: 16 MiB of float32, and two or three times that while they are worked on."""


def symmetric_nce(
    first: Tensor, second: Tensor, *, temperature: float = 0.1, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """Tell each instance of one view from all others of both, given its own in the other view.

    With sim the cosine and U all 2M instances of both views::

        ℓ(u, u′) = -log( exp(sim(u, u′) / τ) / Σ_{v in U, v ≠ u} exp(sim(u, v) / τ) )
        loss     = (Σ_r ℓ(a_r, b_r) + Σ_r ℓ(b_r, a_r)) / 2M

    That is SeqCLR's loss (Aberdam et al., CVPR 2021, arXiv 2012.10873) over the number of its terms, which the paper
    leaves in; so it equals NT-Xent (Chen et al., SimCLR, 2020) on the instances. Rows of similarities are made
    ``chunk // 2M`` at a time, both forwards and, again, backwards; the 2M × 2M matrix never exists.

    Parameters
    ----------
    first, second
        (M, F) each, the same instances in two views; any float type. The arithmetic runs in float32 (float64 stays),
        also under autocast, and logarithms of sums are taken of differences from the largest: any temperature is
        safe.
    temperature
        τ, above 0.
    chunk
        Similarities held at a time.

    Returns
    -------
    tuple
        The loss, a scalar, and the share of instances that are more alike to their own in the other view than to
        any other instance; that one carries no gradient.

    Raises
    ------
    SettingsError
        If the views differ in shape, hold nothing, or a number is not above 0.

    Examples
    --------
    >>> a, b = torch.eye(4), torch.eye(4)
    >>> loss, matched = symmetric_nce(a, b)
    >>> round(float(loss), 5), float(matched)
    (0.00027, 1.0)
    """
    if first.shape != second.shape or first.ndim != 2 or not len(first):
        raise SettingsError(
            f"Two views hold the same instances, (M, F) each, at least one; got {tuple(first.shape)} and "
            f"{tuple(second.shape)}."
        )
    if temperature <= 0 or chunk < 1:
        raise SettingsError(f"Temperature and chunk must be above 0; got {temperature} and {chunk}.")
    exact = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    with torch.autocast(first.device.type, enabled=False):
        unit = F.normalize(torch.cat([first.to(exact), second.to(exact)]), dim=1)
        loss, matched = _Nce.apply(unit, temperature, max(1, chunk // len(unit)))
    return loss, matched


class _Nce(torch.autograd.Function):
    """Loss and share matched of unit vectors (2M, F), the second view's after the first's; ``rows`` at a time."""

    @staticmethod
    def forward(ctx: Any, unit: Tensor, temperature: float, rows: int) -> tuple[Tensor, Tensor]:
        count = len(unit)
        positive = (unit * unit.roll(count // 2, dims=0)).sum(dim=1) / temperature
        spread = torch.empty_like(positive)
        matched = torch.zeros((), dtype=torch.int64, device=unit.device)
        for chunk, similar in _similarities(unit, temperature, rows):
            spread[chunk] = similar.logsumexp(dim=1)
            partner = (torch.arange(chunk.start, chunk.stop, device=unit.device) + count // 2) % count
            similar.scatter_(1, partner[:, None], -torch.inf)
            matched += (positive[chunk] > similar.amax(dim=1)).sum()
        ctx.save_for_backward(unit, spread)
        ctx.temperature, ctx.rows = temperature, rows
        share = matched.to(unit.dtype) / count
        ctx.mark_non_differentiable(share)
        # A sum of differences, not a difference of sums: terms near 0 keep their digits.
        return (spread - positive).mean(), share

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _share: Tensor) -> tuple[Tensor, None, None]:
        unit, spread = ctx.saved_tensors
        count = len(unit)
        with torch.autocast(unit.device.type, enabled=False):
            # Each pair of partners stands in two terms, once from either side.
            slope = -2 * unit.roll(count // 2, dims=0)
            for chunk, similar in _similarities(unit, ctx.temperature, ctx.rows):
                weight = similar.sub_(spread[chunk, None]).exp_()  # softmax over all but oneself
                slope[chunk].addmm_(weight, unit)
                slope.addmm_(weight.T, unit[chunk])
        return slope.mul_(grad / (ctx.temperature * count)), None, None


def _similarities(unit: Tensor, temperature: float, rows: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows of cosines over the temperature, (rows, 2M), with -inf for an instance and itself."""
    for start in range(0, len(unit), rows):
        chunk = slice(start, min(start + rows, len(unit)))
        similar = (unit[chunk] @ unit.T).div_(temperature)
        similar[:, chunk].fill_diagonal_(-torch.inf)
        yield chunk, similar
