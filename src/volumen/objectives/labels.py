"""LabelBce: cross-entropy over tags that an image can have any number of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from volumen.errors import SettingsError
from volumen.objectives.terms import LossTerms

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LabelBce:
    """Score logits of tags against the tags that an image has, each tag a question of its own.

    With p the predicted probability of a tag, y 1 where the image has it and 0 where not, and w the tag's weight::

        total = mean over images and tags of -(w · y · log p + (1 - y) · log(1 - p))

    Parameters
    ----------
    pos_weight
        w, one a tag, each above 0; empty means 1. `balanced_weights` makes having a tag count as much as lacking it.

    Raises
    ------
    SettingsError
        If a weight is not above 0.

    Examples
    --------
    >>> loss = LabelBce(pos_weight=(3.0, 1.0))
    >>> terms = loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    >>> round(float(terms.total), 4), round(float(terms.terms["bce"]), 4)
    (1.3863, 0.6931)
    """

    pos_weight: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if any(not weight > 0 for weight in self.pos_weight):
            raise SettingsError(f"Weights of tags are above 0; got {min(self.pos_weight)}.")

    def __call__(self, logits: Tensor, tags: Tensor) -> LossTerms:
        """Score a batch.

        Parameters
        ----------
        logits
            (N, L), any float type; the arithmetic runs in float32.
        tags
            (N, L), 1 or True where an image has a tag.

        Returns
        -------
        LossTerms
            ``terms`` holds ``bce``, the total without weights.

        Raises
        ------
        SettingsError
            If the shapes differ, or there are not as many weights as tags.
        """
        if logits.shape != tags.shape or logits.ndim != 2 or len(self.pos_weight) not in (0, logits.shape[-1]):
            raise SettingsError(
                "Logits and tags have one shape, (N, L), and weights are L or none; "
                f"got {tuple(logits.shape)}, {tuple(tags.shape)} and {len(self.pos_weight)} weights."
            )
        logits, truth = logits.float(), tags.float()
        bce = F.binary_cross_entropy_with_logits(logits, truth)
        if not self.pos_weight:
            return LossTerms(total=bce, terms={"bce": bce.detach()})
        weights = torch.tensor(self.pos_weight, device=logits.device)
        total = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=weights)
        return LossTerms(total=total, terms={"bce": bce.detach()})


def balanced_weights(tags: Tensor) -> tuple[float, ...]:
    """Return for each tag how many images lack it over how many have it; 1 where all do or none does.

    Parameters
    ----------
    tags
        (N, L), 1 or True where an image has a tag.

    Examples
    --------
    >>> balanced_weights(torch.tensor([[1, 0], [0, 0], [0, 0]]))
    (2.0, 1.0)
    """
    having = tags.bool().sum(dim=0).double()
    lacking = len(tags) - having
    return tuple(torch.where((having > 0) & (lacking > 0), lacking / having.clamp_min(1), 1.0).tolist())
