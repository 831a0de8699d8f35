"""Instances: what a contrastive loss takes apart, made of the frames of lines by one of three mappings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch

from volumen.errors import SettingsError
from volumen.models.frame_pooling import check_frames, valid_frames, window_means

if TYPE_CHECKING:
    from torch import Tensor

Mapping = Literal["all", "window", "frame"]


@dataclass(frozen=True, kw_only=True)
class Instances:
    """Parts of lines, in the order of the lines and from left to right.

    Parameters
    ----------
    values
        (M, F), float32 or float64.
    owner
        int64 (M,): the line that each is a part of.
    """

    values: Tensor
    owner: Tensor


def map_instances(mapping: Mapping, values: Tensor, lengths: Tensor, *, windows: int = 5) -> Instances:
    """Make instances of frames; padding is in none of them.

    Parameters
    ----------
    mapping
        Those of SeqCLR (Aberdam et al., CVPR 2021, arXiv 2012.10873). ``all``: the mean of a line, one a line.
        ``window``: adaptive average pooling, left to right. ``frame``: each valid frame by itself.
    values
        (N, T, F), any float type.
    lengths
        int64 (N,), valid frames of each line. A line without any has no instance.
    windows
        T' of the window mapping; published 5. A line with fewer frames has an instance a frame, because the windows
        of torch's pooling would repeat frames, and a repeated positive stands among its own negatives.

    Raises
    ------
    SettingsError
        If there is no such mapping, no window, or the shapes do not fit each other.

    Examples
    --------
    >>> frames = torch.arange(12.0).reshape(2, 6, 1)
    >>> map_instances("window", frames, torch.tensor([6, 1]), windows=3).owner.tolist()
    [0, 0, 0, 1]
    """
    check_frames(values, lengths)
    match mapping:
        case "all":
            pooled, number = window_means(values, lengths, 1), lengths.clamp_max(1)
        case "window":
            pooled = window_means(values, lengths, windows, split_frames=False)
            number = lengths.clamp_max(windows)
        case "frame":
            pooled = values if values.dtype == torch.float64 else values.float()
            number = lengths
        case _:
            raise SettingsError(f"Instance mappings are {', '.join(get_args(Mapping))}; got {mapping!r}.")
    chosen = valid_frames(number, pooled.shape[1])
    return Instances(values=pooled[chosen], owner=chosen.nonzero()[:, 0])
