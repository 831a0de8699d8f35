"""Optimizers: AdamW whose norms and biases do not decay, and the cosine from peak to zero."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from torch import nn


def adamw(model: nn.Module, *, learning_rate: float = 1e-4, weight_decay: float = 1e-2) -> torch.optim.AdamW:
    """Make AdamW over the parameters that ask for a gradient.

    Matrices and kernels decay; biases and norm scales, which have one axis, do not. Decoupled weight decay is
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.

    Raises
    ------
    SettingsError
        Every parameter is frozen.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise SettingsError("Expected a model with something to train; every parameter of it is frozen.")
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate)


def cosine(step: int, *, steps: int, peak: float) -> float:
    """Return the learning rate of ``step`` (from 0) of ``steps``: ``peak`` at first, towards 0 at the end.

    A function of the step alone, so that a resumed run needs no scheduler state. Loshchilov and Hutter,
    "SGDR", 2017, equation 5, without restarts.

    Examples
    --------
    >>> [round(cosine(step, steps=4, peak=1.0), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    return peak * 0.5 * (1 + math.cos(math.pi * min(step, steps) / max(1, steps)))
