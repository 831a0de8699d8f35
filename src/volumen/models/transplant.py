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
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

Shape = tuple[int, ...]

_MOST = 2**28  # numbers of a kernel that is adapted; one that repeats its numbers may have any count in a small file


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
    adapted
        Keys among ``loaded`` whose kernels were made for another number of input channels, as ``misshapen`` lists
        them; they were averaged over the channels and scaled.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[tuple[str, Shape, Shape], ...]
    loaded_share: float
    adapted: tuple[tuple[str, Shape, Shape], ...] = ()

    def check(self, path: str | os.PathLike[str], *, least: float = 0.5) -> None:
        """Refuse weights that are not those of this encoder: for other input channels, or for too little of it.

        Parameters
        ----------
        path
            The weight file, for the message.
        least
            Least share of the encoder's numbers that must have been loaded, in [0, 1].

        Raises
        ------
        CheckpointError
            The first convolution sees another number of channels and was not adapted, or ``loaded_share`` is smaller.
        """
        channels = [each for each in self.misshapen if _other_channels(*each[1:])]
        if channels:
            key, theirs, ours = channels[0]
            raise CheckpointError(
                f"The encoder weights of {os.fspath(path)} see {theirs[1]} input channels ({key}); this model sees "
                f"{ours[1]}. Choose {theirs[1]} layers, or have the weights adapted (--adapt-channels, where the "
                f"command has it)."
            )
        if self.loaded_share < least:
            raise CheckpointError(
                f"{os.fspath(path)} fills only {self.loaded_share:.1%} of the encoder's weights, where at least "
                f"{least:.1%} are asked for: {self}. Take a file of the same architecture, or ask for less "
                f"(--least-loaded, where the command has it)."
            )

    def __str__(self) -> str:
        text = f"{len(self.loaded)} keys loaded ({self.loaded_share:.1%} of the encoder's weights)"
        for key, theirs, ours in self.adapted:
            text += f", {key} adapted from {theirs[1]} to {ours[1]} input channels (their mean, repeated)"
        for word, keys in (("missing", self.missing), ("unexpected", self.unexpected)):
            if keys:
                text += f", {len(keys)} {word} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        if self.misshapen:
            key, theirs, ours = self.misshapen[0]
            text += f", {len(self.misshapen)} misshapen ({key} is {theirs} in the file, {ours} in the encoder"
            text += ", …)" if len(self.misshapen) > 1 else ")"
        return text


def load_encoder(model: nn.Module, path: str | os.PathLike[str], *, adapt_channels: bool = False) -> KeyReport:
    """Put weights from a file into a model's encoder, in place.

    Volumen's checkpoints, encoder-only .safetensors, and .pth/.pt state dicts with the keys of timm, torchvision
    or SparK's published export are understood, under whatever prefix the encoder's keys stand (``encoder.``,
    ``module.``, ``sparse_encoder.sp_cnn.`` …): the prefix under which most of the encoder's numbers fit is taken.
    Tensors of another shape are reported and left out, never cut or padded; `KeyReport.check` refuses what is amiss.

    Parameters
    ----------
    model
        A model with an ``encoder``, or an encoder.
    path
        The weight file.
    adapt_channels
        Adapt kernels that differ in their input channels only, with C in the file and D in the encoder: the mean over
        the C channels, times C / D, for each of the D. Channels that hold the same then give the same features as
        before; what the file knew of differences between channels is lost.

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
    other = {key: theirs[name] for key, name in partner.items() if _other_channels(theirs[name].shape, ours[key].shape)}
    small = {key: kernel for key, kernel in other.items() if adapt_channels and kernel.numel() <= _MOST}
    adapted = {key: _adapt(kernel, ours[key].shape[1]) for key, kernel in small.items()}
    if partner and not any(tensor.ndim for tensor in fitting.values()):
        key, name = max(partner.items(), key=lambda item: ours[item[0]].ndim)
        raise CheckpointError(
            f"None of the {len(theirs)} keys of {os.fspath(path)} fits this encoder, though {len(partner)} are called "
            f"alike: {name} is {tuple(theirs[name].shape)} there, and {tuple(ours[key].shape)} was expected. Is it of "
            "another width (of a reader: --model-width), or made for other input?"
        )
    if not any(tensor.ndim for tensor in fitting.values()):
        raise CheckpointError(
            f"None of the {len(theirs)} keys of {os.fspath(path)} fits this encoder: "
            f"it holds {_few(theirs)}, and {_few(ours)} were expected. Is it another architecture?"
        )
    fitting |= adapted
    with torch.no_grad():
        for key, tensor in fitting.items():
            ours[key].copy_(tensor)
    used = set(partner.values())
    return KeyReport(
        loaded=tuple(key for key in ours if key in fitting),
        missing=tuple(key for key in ours if key not in partner),
        unexpected=tuple(name for name in theirs if name not in used),
        misshapen=tuple(
            (key, tuple(theirs[name].shape), tuple(ours[key].shape))
            for key, name in partner.items()
            if key not in fitting
        ),
        loaded_share=sum(ours[key].numel() for key in fitting) / sum(tensor.numel() for tensor in ours.values()),
        adapted=tuple((key, tuple(other[key].shape), tuple(ours[key].shape)) for key in adapted),
    )


def _other_channels(theirs: Sequence[int], ours: Sequence[int]) -> bool:
    """Whether two shapes, out × in × height × width, are of kernels that differ in their input channels only."""
    alike = theirs[:1] == ours[:1] and theirs[2:] == ours[2:]
    return len(theirs) == len(ours) == 4 and alike and theirs[1] != ours[1]


def _adapt(kernel: Tensor, channels: int) -> Tensor:
    """Spread the sum over a kernel's input channels evenly over another number of them."""
    return kernel.sum(dim=1, keepdim=True).div(channels).expand(-1, channels, -1, -1)


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
