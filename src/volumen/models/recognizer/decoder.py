"""Decoder: what every way from frames to text offers, and the Reading that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from volumen.models.recognizer.frames import Frames

NOTHING = 0
"""The index that is no character: the blank of CTC, and the end of a text to decoders that write."""


@dataclass(frozen=True)
class Reading:
    """A text as a decoder reads it.

    Parameters
    ----------
    indices
        Of the characters, 1…classes - 1.
    confidence
        Probability that the decoder gives to this text as a whole, in [0, 1]: ``exp(-loss)`` of it.

    Examples
    --------
    >>> Reading((3, 1), 0.81).per_character
    0.9
    """

    indices: tuple[int, ...]
    confidence: float

    @property
    def per_character(self) -> float:
        """The geometric mean of the confidence over characters, for lines of unlike length; as it is for no text."""
        return float(self.confidence ** (1 / max(len(self.indices), 1)))


class Decoder(Protocol):
    """From frames to text. Targets are int64 (N, L), characters 1…classes - 1, anything beyond their lengths (N,)."""

    classes: int

    def fits(self, frames: Frames, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Say which targets can be written with the frames of their line at all, bool (N,)."""
        ...

    def loss(self, frames: Frames, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Return -log p(target | frames) in nats, float32 (N,); exactly 0, as is its gradient, where it cannot fit."""
        ...

    def read(self, frames: Frames) -> list[Reading]:
        """Return the text of each line. Call it in evaluation mode."""
        ...


def check_targets(frames: Frames, targets: Tensor, target_lengths: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return targets, blanked beyond their lengths, and lengths, both on the device of the frames.

    Raises
    ------
    SettingsError
        If there are not as many as lines, or characters lie outside 1…classes - 1 (looked at on the CPU only, where
        that takes no time).
    """
    count = len(frames.values)
    if targets.ndim != 2 or len(targets) != count or target_lengths.shape != (count,):
        raise SettingsError(
            f"{count} lines need targets ({count}, L) with lengths ({count},); got {tuple(targets.shape)} with "
            f"{tuple(target_lengths.shape)}."
        )
    columns = torch.arange(targets.shape[1], device=targets.device)
    written = columns < target_lengths.to(targets.device)[:, None]  # (N, L)
    if targets.device.type == "cpu" and written.any():
        least, most = (int(end) for end in targets[written].aminmax())
        if least <= NOTHING or most >= classes or int(target_lengths.max()) > targets.shape[1]:
            raise SettingsError(
                f"Targets of this decoder are characters 1…{classes - 1}, {targets.shape[1]} or fewer in a line; got "
                f"{least}…{most}, up to {int(target_lengths.max())} in a line. Use the alphabet it was built for."
            )
    device = frames.values.device
    return targets.masked_fill(~written, NOTHING).to(device), target_lengths.to(device)
