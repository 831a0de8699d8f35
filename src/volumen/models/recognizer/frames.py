"""Frames: what a recogniser sees of each line from left to right, and how many of them see the line at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from volumen.errors import SettingsError
from volumen.models.frame_pooling import blank_padding, valid_frames

if TYPE_CHECKING:
    from torch import Tensor


class LineMap(NamedTuple):
    """A map of lines that leads to their frames, as a masked encoder has it on the way.

    Parameters
    ----------
    values
        NCHW; 0 where hidden.
    hidden
        Bool (N, 1, H, W): True beyond a line, and where it is masked.
    """

    values: Tensor
    hidden: Tensor


@dataclass(frozen=True, eq=False)
class Frames:
    """Features of a batch of lines.

    Parameters
    ----------
    values
        (N, T, F), left to right; exactly 0 beyond the length of a line, see `within`.
    lengths
        int64 (N,), on the same device: how many frames see the image of each line, 1…T.
    maps
        What led to them, finest first; none but of lines that are masked.

    Raises
    ------
    SettingsError
        If the shapes or types are others.

    Examples
    --------
    >>> frames = Frames.within(torch.ones(2, 3, 1), torch.tensor([3, 2]))
    >>> frames.values[..., 0].tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]
    """

    values: Tensor
    lengths: Tensor
    maps: tuple[LineMap, ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.lengths.shape != self.values.shape[:1] or self.lengths.dtype != torch.int64:
            raise SettingsError(
                "Frames are values (N, T, F) with lengths (N,) in int64; "
                f"got {tuple(self.values.shape)} with {tuple(self.lengths.shape)} in {self.lengths.dtype}."
            )

    @classmethod
    def within(cls, values: Tensor, lengths: Tensor) -> Frames:
        """Return frames from values (N, T, F) that may hold anything beyond the lengths (N,)."""
        return cls(blank_padding(values, lengths), lengths)

    @property
    def seen(self) -> Tensor:
        """Bool (N, T): True where a frame sees the image of its line."""
        return valid_frames(self.lengths, self.values.shape[1])
