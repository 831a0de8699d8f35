"""Spatial: cross-entropy over the answers to a spatial pretext task, where there is a right one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from volumen.errors import SettingsError
from volumen.objectives.terms import LossTerms

if TYPE_CHECKING:
    from torch import Tensor

    from volumen.objectives.encoding import Encoder, Head


@dataclass(frozen=True, kw_only=True)
class Spatial:
    """Learn from where things are: Rotation, Flip, Jigsaw or Sorting.

    The total is the mean cross-entropy over the answers that count; with Sorting an answer is the place of one strip.
    Where none counts the total is exactly 0, and so is every gradient. Penarrubia et al., "Spatial Context-based
    Self-Supervised Learning for Handwritten Text Recognition", 2025, arXiv 2404.11585.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def encoder(images, widths):
    ...     return SimpleNamespace(values=images[:, 0, :, ::4].transpose(1, 2), lengths=widths // 4)
    >>> def head(values, lengths):
    ...     return values.mean(dim=1)[:, :4]
    >>> lines, widths, targets = torch.zeros(2, 1, 32, 100), torch.tensor([100, 80]), torch.tensor([3, 0])
    >>> terms = Spatial()(encoder, head, lines, widths, targets, torch.tensor([True, False])).terms
    >>> float(terms["counted"])
    0.5
    """

    def __call__(
        self, encoder: Encoder, head: Head, images: Tensor, widths: Tensor, targets: Tensor, counted: Tensor
    ) -> LossTerms:
        """Score a batch of puzzles, `volumen.views.pretext.PuzzleBatch`.

        Parameters
        ----------
        encoder
            From images and widths to frames.
        head
            From frames to logits, (N, K) or (N, S, S): `volumen.models.spatial_heads`.
        images
            (N, 1, H, W) in [0, 1].
        widths
            int64 (N,), valid pixels of each image.
        targets
            int64, (N,) the class, or (N, S) the place that each strip came from.
        counted
            Bool of the shape of ``targets``, True where there is a right answer.

        Returns
        -------
        LossTerms
            ``terms`` holds ``accuracy`` (share right of the answers that count) and ``counted`` (share that count);
            with strips also ``exact_order``, the share of lines with all strips that count right, of lines with two
            at least. NaN where there is nothing to take a share of.

        Raises
        ------
        SettingsError
            If the shapes do not fit each other.
        """
        frames = encoder(images, widths)
        return score_answers(head(frames.values, frames.lengths), targets, counted)


def score_answers(logits: Tensor, targets: Tensor, counted: Tensor) -> LossTerms:
    """Score logits (…, K) against targets (…), as `Spatial` does; any float type, the arithmetic runs in float32.

    Raises
    ------
    SettingsError
        If the shapes do not fit each other.
    """
    if logits.shape[:-1] != targets.shape or counted.shape != targets.shape or targets.ndim not in (1, 2):
        raise SettingsError(
            "Answers are logits (N, K) to targets (N,), or (N, S, S) to (N, S), with counted of the targets' shape; "
            f"got {tuple(logits.shape)}, {tuple(targets.shape)} and {tuple(counted.shape)}."
        )
    exact = logits.dtype if logits.dtype == torch.float64 else torch.float32
    # Selecting before the arithmetic keeps NaN in what does not count out of sums and gradients alike.
    chosen = torch.where(counted[..., None], logits.to(exact), 0.0)
    losses = F.cross_entropy(chosen.flatten(0, -2), targets.flatten(), reduction="none").view(targets.shape)
    number = counted.sum()
    total = torch.where(counted, losses, 0.0).sum() / number.clamp_min(1)
    with torch.no_grad():
        right = (chosen.argmax(dim=-1) == targets) & counted
        terms = {"accuracy": right.sum() / number, "counted": number / max(counted.numel(), 1)}
        if targets.ndim == 2:
            orders = counted.sum(dim=1) >= 2
            terms["exact_order"] = ((right == counted).all(dim=1) & orders).sum() / orders.sum()
    return LossTerms(total=total, terms=terms)
