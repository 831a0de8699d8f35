"""Encoders: which names there are, and holding one still while the rest of a model learns."""

from __future__ import annotations

import difflib
from types import MethodType
from typing import TYPE_CHECKING

import timm
import torch
from torch.nn import BatchNorm2d

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

TIMM_PREFIX = "tu-"
"""What stands before a timm name, as in ``tu-convnext_tiny``, to tell it from the encoders that smp has itself."""


def check_name(name: str, known: Iterable[str]) -> None:
    """Say whether an encoder exists, without building it or touching the network.

    Parameters
    ----------
    name
        One of ``known``, or any timm architecture behind ``tu-``.
    known
        Names that the model library has itself.

    Raises
    ------
    SettingsError
        If there is none of that name; the message offers the nearest ones.

    Examples
    --------
    >>> check_name("resnet18", ["resnet18", "resnet50"])
    >>> check_name("resnet19", ["resnet18", "resnet50"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    volumen.errors.SettingsError: There is no encoder 'resnet19'. Near it: resnet18, resnet50...
    """
    known = list(known)
    if name in known:
        return
    if name.startswith(TIMM_PREFIX):
        # A pretraining tag after the dot names weights, not an architecture. No weights are ever fetched here.
        if timm.is_model(name.removeprefix(TIMM_PREFIX).partition(".")[0]):
            return
        known = [TIMM_PREFIX + model for model in timm.list_models()]
    elif timm.is_model(name.partition(".")[0]):
        raise SettingsError(f"There is no encoder {name!r}, but timm has one: write {TIMM_PREFIX}{name}.")
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    nearest = f"Near it: {', '.join(near)}" if near else f"Some there are: {', '.join(known[:5])}"
    raise SettingsError(
        f"There is no encoder {name!r}. {nearest}. Any timm architecture works too, as {TIMM_PREFIX}NAME."
    )


def freeze(module: nn.Module) -> nn.Module:
    """Hold a module still: no gradients, and no change of norm statistics or dropout, whatever its parent does.

    Every parameter stops asking for gradients, and the module goes into evaluation mode for good: its ``train``
    is replaced on this one object by a method that leaves it there, so ``parent.train()`` passes it by.
    Copies made by ``copy.deepcopy`` stay frozen. A state dict does not carry the freezing: freeze again after
    rebuilding a model. `thaw` takes it back.

    Returns
    -------
    torch.nn.Module
        The same module.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1))
    >>> _ = freeze(model[0])
    >>> _ = model.train()
    >>> model[0].training, model[1].training
    (False, True)
    """
    module.requires_grad_(False)
    module.eval()
    module.train = MethodType(_stay, module)  # type: ignore[method-assign]
    return module


def measure_norms(module: nn.Module, inputs: Iterable[tuple[Tensor, ...]]) -> nn.Module:
    """Set the running statistics of batch norms to those of some images, and leave every weight as it is.

    For an encoder that is to be frozen. Random weights have no statistics yet, and those of masked pretraining are of
    patches with nothing around them: under statistics that are not their own, features drift from layer to layer.

    Parameters
    ----------
    module
        Run on the images as in evaluation, but for the batch norms; training modes are restored.
    inputs
        What the module is called with, batch by batch, on its device: images NCHW, and what else it takes; every batch
        weighs the same.

    Returns
    -------
    torch.nn.Module
        The same module.
    """
    modes = [(part, part.training) for part in module.modules()]
    norms = [part for part, _ in modes if isinstance(part, BatchNorm2d) and part.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    try:
        for part, _ in modes:
            part.training = False
        for norm in norms:
            norm.training = True
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
        with torch.no_grad():
            for given in inputs:
                module(*given)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for part, mode in modes:
            part.training = mode
    return module


def thaw(module: nn.Module) -> nn.Module:
    """Let a module that `freeze` holds learn again; it comes back in training mode."""
    if is_frozen(module):
        del module.train
    return module.requires_grad_(True).train()


def is_frozen(module: nn.Module) -> bool:
    """Say whether `freeze` holds this module."""
    return "train" in vars(module)


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    """Stand in for ``module.train``: stay in evaluation mode."""
    return module
