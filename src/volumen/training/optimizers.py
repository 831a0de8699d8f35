"""Rates: how far a step goes and how much weights decay, step by step; and the optimizers that obey them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from timm.optim.lamb import Lamb

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

_DECAYS = "decays"  # marks the parameter groups whose weight decay a schedule may set
_LR_SCALE = "lr_scale"  # of a group, by the name that timm gives it


@dataclass(frozen=True)
class Rates:
    """What an optimizer is told before a step.

    Parameters
    ----------
    learning_rate
        For every parameter group, times its ``lr_scale``.
    weight_decay
        For the groups that decay at all; None leaves it as the optimizer was made.
    """

    learning_rate: float
    weight_decay: float | None = None

    def tell(self, optimizer: torch.optim.Optimizer) -> None:
        """Set them; groups that `adamw` or `lamb` made without decay stay without."""
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate * group.get(_LR_SCALE, 1.0)
            if self.weight_decay is not None and group.get(_DECAYS, True):
                group["weight_decay"] = self.weight_decay

    @property
    def values(self) -> dict[str, float]:
        """Their names and numbers, those that are set."""
        decay = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        return {"learning_rate": self.learning_rate, **decay}


def adamw(
    model: nn.Module,
    *,
    learning_rate: float = 1e-4,
    weight_decay: float = 1e-2,
    lr_scales: Mapping[str, float] | None = None,
) -> torch.optim.AdamW:
    """Make AdamW over the parameters that ask for a gradient.

    Matrices and kernels decay; biases, norm scales and mask tokens, which have one axis, do not. Decoupled weight
    decay is Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.

    Parameters
    ----------
    model
        What is trained.
    learning_rate, weight_decay
        At first; `Rates.tell` sets them from then on.
    lr_scales
        What the rate of some children of the model is multiplied by, by their names.

    Raises
    ------
    SettingsError
        Every parameter is frozen.
    """
    return torch.optim.AdamW(_groups(model, weight_decay, lr_scales or {}), lr=learning_rate)


def lamb(
    model: nn.Module, *, learning_rate: float, weight_decay: float, max_grad_norm: float | None = 5.0
) -> torch.optim.Optimizer:
    """Make timm's LAMB over the parameters that ask for a gradient, as SparK trains with it.

    The step of each kernel is scaled by the norm of its weights over that of its update: You et al., "Large Batch
    Optimization for Deep Learning", 2020, algorithm 2, with momenta 0.9 and 0.95. What does not decay (see `adamw`)
    is not scaled either. LAMB cuts gradients to ``max_grad_norm`` itself, so `volumen.training.loop.fit` is given
    ``clip_norm=None`` with it; cutting in both places would do no more than the smaller of the two.

    Raises
    ------
    SettingsError
        Every parameter is frozen.
    """
    optimizer: torch.optim.Optimizer = Lamb(
        _groups(model, weight_decay, {}), lr=learning_rate, betas=(0.9, 0.95), max_grad_norm=max_grad_norm
    )
    return optimizer


def warm_up_cosine(
    step: int, *, steps: int, warm_up: int, peak: float, first: float = 0.005, last: float = 0.001
) -> float:
    """Return the learning rate of ``step`` (from 0) of ``steps``: up in a line, then down in half a cosine.

    It begins at ``first`` · peak, reaches the peak after ``warm_up`` steps and ends, in the last step, at ``last`` ·
    peak. The defaults are those of SparK (Tian et al., ICLR 2023, arXiv 2301.03580), which warms up for 40 of its
    1600 epochs.

    Examples
    --------
    >>> [round(warm_up_cosine(step, steps=7, warm_up=2, peak=1.0), 4) for step in range(7)]
    [0.005, 0.5025, 1.0, 0.8537, 0.5005, 0.1473, 0.001]
    """
    if step < warm_up:
        return peak * (first + (1 - first) * step / warm_up)
    return peak * (last + (1 - last) * _fall((step - warm_up) / max(1, steps - 1 - warm_up)))


def plateau(
    losses: Sequence[float], *, peak: float, patience: int, factor: float = 0.1, tolerance: float = 1e-4
) -> float:
    """Return the learning rate after epochs with these held-out losses: cut each time that they have levelled off.

    It is that of torch's ``ReduceLROnPlateau``, as a function of the losses so far, so that a resumed run needs no
    state of it but the scores that it recorded.

    Parameters
    ----------
    losses
        One an epoch, in order; one that is not a number is no improvement.
    peak
        Rate at first.
    patience
        After more than so many epochs in a row without a lower loss the rate is cut, and counting begins anew.
    factor
        What the rate is multiplied by each time, in (0, 1).
    tolerance
        Share of the lowest loss that a loss must be lower by to count as lower.

    Examples
    --------
    >>> [plateau(losses, peak=1.0, patience=1) for losses in ([], [2.0, 1.0], [2.0, 1.0, 1.5, 1.2])]
    [1.0, 1.0, 0.1]
    """
    rate, best, waited = peak, math.inf, 0
    for loss in losses:
        if loss < best * (1 - tolerance):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            rate, waited = rate * factor, 0
    return rate


def decay_cosine(step: int, *, steps: int, first: float = 0.04, last: float = 0.2) -> float:
    """Return the weight decay of ``step`` (from 0) of ``steps``: ``first`` to ``last`` in half a cosine, as in SparK.

    Examples
    --------
    >>> [round(decay_cosine(step, steps=5), 3) for step in range(5)]
    [0.04, 0.063, 0.12, 0.177, 0.2]
    """
    return last + (first - last) * _fall(step / max(1, steps - 1))


def _fall(done: float) -> float:
    """Return half a cosine, from 1 where nothing is ``done`` to 0 where all is."""
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _groups(model: nn.Module, weight_decay: float, lr_scales: Mapping[str, float]) -> list[dict[str, Any]]:
    trained: dict[tuple[float, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = lr_scales.get(name.partition(".")[0], 1.0)
            trained[-scale, parameter.ndim <= 1].append(parameter)
    if not trained:
        raise SettingsError("Expected a model with something to train; every parameter of it is frozen.")
    return [
        {"params": params, "weight_decay": 0.0 if flat else weight_decay, _DECAYS: not flat, _LR_SCALE: -negative}
        for (negative, flat), params in sorted(trained.items(), key=lambda item: item[0])
    ]
