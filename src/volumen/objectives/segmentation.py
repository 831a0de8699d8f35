"""BceDice: cross-entropy and Dice over the pixels whose label may be trusted, and over no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from volumen.errors import SettingsError
from volumen.objectives.terms import LossTerms
from volumen.objectives.together import summed

if TYPE_CHECKING:
    from torch import Tensor

BCE_WEIGHTS = {"dice": 0.0, "bce": 1.0, "bce_dice": 0.5}
"""Share of cross-entropy in each loss that has a name."""

_EPS = 1e-7  # keeps the Dice quotient defined; far below what one pixel contributes


@dataclass(frozen=True, kw_only=True)
class BceDice:
    """Weigh binary cross-entropy against soft Dice, over supervised pixels only.

    With p the predicted probability, t the soft target in [0, 1] and sums over the supervised pixels of the
    whole batch, of every process that trains on a part of it::

        total = w · mean(BCE(p, t′)) + (1 - w) · (1 - (2 Σ p t + ε) / (Σ p + Σ t + ε))
        t′    = t (1 - s) + (1 - t) s

    Smoothing s moves the targets of the cross-entropy towards one half; Dice keeps t, and a soft t is never
    thresholded (so a perfect prediction of soft labels leaves a Dice term above zero). On full supervision the
    terms equal ``SoftBCEWithLogitsLoss`` and, for labels of 0 and 1, ``DiceLoss`` of segmentation-models-pytorch;
    for soft labels that library has come to measure the overlap by ``|p - t|``, where the published ink recipes,
    and this, take ``p t``.

    Empty masks: without any supervised pixel the total is exactly 0 and so is every gradient. Without ink among
    the supervised pixels the Dice term is 0, because an overlap with nothing is not defined; cross-entropy alone
    then teaches the background.

    Parameters
    ----------
    bce_weight
        w, the share of cross-entropy in [0, 1].
    label_smoothing
        s in [0, 1); 0.25 is what the Grand Prize model used.

    Examples
    --------
    >>> loss = BceDice()
    >>> ink = torch.tensor([[[[1.0, 0.0]]]])
    >>> terms = loss(torch.tensor([[[[30.0, -30.0]]]]), ink, torch.ones_like(ink))
    >>> bool(terms.total < 1e-6)
    True
    """

    bce_weight: float = 0.5
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.bce_weight <= 1:
            raise SettingsError(f"bce_weight must lie in 0…1; got {self.bce_weight}.")
        if not 0 <= self.label_smoothing < 1:
            raise SettingsError(f"label_smoothing must lie in 0…1, 1 excluded; got {self.label_smoothing}.")

    def __call__(self, logits: Tensor, ink: Tensor, supervision: Tensor) -> LossTerms:
        """Score a batch.

        Parameters
        ----------
        logits
            N1HW, any float type; the arithmetic runs in float32.
        ink
            N1HW in [0, 1], soft.
        supervision
            N1HW; above one half where the label may be trusted. What ``ink`` holds elsewhere is never looked at.

        Returns
        -------
        LossTerms
            ``terms`` holds ``bce`` (as it stands in the total), ``dice`` and ``bce_unsmoothed``, all detached.

        Raises
        ------
        SettingsError
            If the three differ in shape.
        """
        if not logits.shape == ink.shape == supervision.shape:
            shapes = f"logits {tuple(logits.shape)}, ink {tuple(ink.shape)}, supervision {tuple(supervision.shape)}"
            raise SettingsError(f"Logits, ink and supervision must have one shape, N1HW; got {shapes}.")
        trusted = supervision > 0.5
        logits = logits.float()
        # Selecting before the arithmetic keeps NaN under unsupervised labels out of sums and gradients alike.
        target = torch.where(trusted, ink.float(), 0.0)
        smooth = target * (1 - self.label_smoothing) + (1 - target) * self.label_smoothing

        entropy = F.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
        with torch.no_grad():
            plain = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        probability = torch.sigmoid(logits) * trusted
        parts = (entropy * trusted, plain * trusted, probability * target, probability, target, trusted)
        of_entropy, of_plain, common, predicted, ink, count = summed(torch.stack([part.sum() for part in parts]))
        bce, unsmoothed = of_entropy / count.clamp_min(1), of_plain / count.clamp_min(1)
        # An overlap with nothing is not defined.
        dice = (1 - (2 * common + _EPS) / (predicted + ink + _EPS)) * (ink > 0)
        total = self.bce_weight * bce + (1 - self.bce_weight) * dice
        return LossTerms(
            total=total, terms={"bce": bce.detach(), "dice": dice.detach(), "bce_unsmoothed": unsmoothed.detach()}
        )
