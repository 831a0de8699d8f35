"""Encoding: what objectives over lines ask of a recogniser, its frames and how many of them see the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class FramesLike(Protocol):
    """Frames of a batch of lines, left to right.

    Attributes
    ----------
    values
        (N, T, F).
    lengths
        int64 (N,): frames that see the image; what stands beyond them counts nowhere.
    """

    @property
    def values(self) -> Tensor: ...  # noqa: D102

    @property
    def lengths(self) -> Tensor: ...  # noqa: D102


Encoder = Callable[[Tensor, Tensor], FramesLike]
"""Images (N, 1, H, W) in [0, 1], padded on the right, and their widths int64 (N,) -> frames."""

Head = Callable[[Tensor, Tensor], Tensor]
"""Values (N, T, F) and lengths int64 (N,) -> what a head makes of them."""
