"""KeyReport: weights from elsewhere put into an encoder, and an account of every key."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from volumen.errors import CheckpointError
from volumen.models.weights import read_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class KeyReport:
    """What became of every key when weights were put into an encoder.

    Parameters
    ----------
    loaded
        Keys of the encoder that now hold the file's numbers.
    missing
        Keys of the encoder that the file does not have; they keep what they held.
    unexpected
        Keys of the file that the encoder does not have, under the file's own names.
    misshapen
        Keys that both have in different shapes, as (key, shape in the file, shape in the encoder); they keep
        what they held. A first convolution for another number of layers is the usual one.
    loaded_share
        Share of the encoder's numbers that were loaded, 0…1.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[tuple[str, Shape, Shape], ...]
    loaded_share: float

    def __str__(self) -> str:
        text = f"{len(self.loaded)} keys loaded ({self.loaded_share:.1%} of the encoder's weights)"
        for word, keys in (("missing", self.missing), ("unexpected", self.unexpected)):
            if keys:
                text += f", {len(keys)} {word} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        if self.misshapen:
            key, theirs, ours = self.misshapen[0]
            text += f", {len(self.misshapen)} misshapen ({key} is {theirs} in the file, {ours} in the encoder"
            text += ", …)" if len(self.misshapen) > 1 else ")"
        return text


def load_encoder(model: nn.Module, path: str | os.PathLike[str]) -> KeyReport:
    """Put weights from a file into a model's encoder, in place.

    Volumen's checkpoints, encoder-only .safetensors, and .pth/.pt state dicts with the keys of timm, torchvision
    or SparK's published export are understood, under whatever prefix the encoder's keys stand (``encoder.``,
    ``module.``, ``sparse_encoder.sp_cnn.`` …): the prefix under which most of the encoder's numbers fit is taken.
    Tensors of another shape are reported and left out, never cut or padded.

    Parameters
    ----------
    model
        A model with an ``encoder``, or an encoder.
    path
        The weight file.

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    CheckpointError
        If it cannot be read safely, or none of its weights fits.
    """
    inner = getattr(model, "encoder", model)
    encoder: nn.Module = inner if isinstance(inner, torch.nn.Module) else model
    ours = encoder.state_dict()
    theirs = read_weights(path)
    partner = _pair(ours, theirs)

    fitting = {key: theirs[name] for key, name in partner.items() if theirs[name].shape == ours[key].shape}
    if not any(tensor.ndim for tensor in fitting.values()):
        raise CheckpointError(
            f"None of the {len(theirs)} keys of {os.fspath(path)} fits this encoder: "
            f"it holds {_few(theirs)}, and {_few(ours)} were expected. Is it another architecture?"
        )
    with torch.no_grad():
        for key, tensor in fitting.items():
            ours[key].copy_(tensor)
    used = set(partner.values())
    return KeyReport(
        loaded=tuple(fitting),
        missing=tuple(key for key in ours if key not in partner),
        unexpected=tuple(name for name in theirs if name not in used),
        misshapen=tuple(
            (key, tuple(theirs[name].shape), tuple(ours[key].shape))
            for key, name in partner.items()
            if key not in fitting
        ),
        loaded_share=sum(ours[key].numel() for key in fitting) / sum(tensor.numel() for tensor in ours.values()),
    )


def _pair(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, str]:
    """Map the encoder's keys to the file's, by the pair of prefixes that makes the most numbers fit."""
    best: dict[str, str] = {}
    best_score = (-1, -1)
    # smp keeps a timm encoder under one name of its own, ``model.``; a prefix is dropped only if all keys have it.
    wrapped = [prefix for prefix in _prefixes(ours) if all(key.startswith(prefix) for key in ours)]
    for stripped in wrapped:
        wanted = {_plain(key.removeprefix(stripped)): key for key in ours if key.startswith(stripped)}
        for prefix in _prefixes(theirs):
            names = {_plain(name.removeprefix(prefix)): name for name in theirs if name.startswith(prefix)}
            pairs = {key: names[plain] for plain, key in wanted.items() if plain in names}
            fitting = sum(ours[key].numel() for key, name in pairs.items() if ours[key].shape == theirs[name].shape)
            if (fitting, len(pairs)) > best_score:
                best, best_score = pairs, (fitting, len(pairs))
    return best


def _prefixes(names: Mapping[str, Tensor]) -> list[str]:
    """List what names may begin with, up to three parts deep, nothing first."""
    prefixes = {""}
    for name in names:
        parts = name.split(".")[:-1]
        prefixes.update(".".join(parts[:depth]) + "." for depth in range(1, min(3, len(parts)) + 1))
    return sorted(prefixes)


def _plain(key: str) -> str:
    """Undo timm's flattening of the first level: its feature extractors say ``stages_0.`` for ``stages.0.``."""
    return re.sub(r"^([a-z]+)_(\d+)\.", r"\1.\2.", key)


def _few(names: Mapping[str, Tensor]) -> str:
    return ", ".join(list(names)[:2]) + " …"
