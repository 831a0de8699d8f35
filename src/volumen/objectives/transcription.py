"""Transcription: how far a decoder is from the texts of its lines, a character of each weighing the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumen.objectives.terms import LossTerms

if TYPE_CHECKING:
    from torch import Tensor

    from volumen.models.recognizer.decoder import Decoder
    from volumen.models.recognizer.frames import Frames


@dataclass(frozen=True, kw_only=True)
class Transcription:
    """Score the texts of lines under a decoder.

    With p a decoder's probability of a text of n characters, over the lines whose text fits their frames::

        total = mean of -log p / max(n, 1)

    which for CTC is torch's ``CTCLoss(reduction="mean")``. A line whose text is longer than its frames allow is
    left out of sums and gradients, and counted. Where none fits the total is exactly 0, and so is every gradient.

    Examples
    --------
    >>> import torch
    >>> from volumen.models.recognizer.ctc import CtcDecoder
    >>> from volumen.models.recognizer.frames import Frames
    >>> decoder, frames = CtcDecoder(8, 3), Frames(torch.randn(2, 2, 8), torch.tensor([2, 2]))
    >>> terms = Transcription()(decoder, frames, torch.tensor([[1, 2], [1, 1]]), torch.tensor([2, 2])).terms
    >>> float(terms["left_out"])
    1.0
    """

    def __call__(self, decoder: Decoder, frames: Frames, targets: Tensor, target_lengths: Tensor) -> LossTerms:
        """Score a batch.

        Parameters
        ----------
        decoder
            Any that `volumen.models.recognizer.decoder.Decoder` describes.
        frames
            Of N lines.
        targets
            int64 (N, L), characters 1…classes - 1; what stands beyond their lengths is never looked at.
        target_lengths
            int64 (N,).

        Returns
        -------
        LossTerms
            ``terms`` holds ``left_out``, how many lines did not count, and ``nats_per_character``, of all that did
            taken together, long lines weighing more.

        Raises
        ------
        SettingsError
            If targets do not fit the lines or the alphabet of the decoder.
        """
        nats = decoder.loss(frames, targets, target_lengths)
        fits = decoder.fits(frames, targets, target_lengths)
        characters = target_lengths.to(nats.device)
        total = (nats / characters.clamp_min(1)).sum() / fits.sum().clamp_min(1)
        counted = (characters * fits).sum().clamp_min(1)
        terms = {"left_out": (~fits).sum().to(nats.dtype), "nats_per_character": nats.detach().sum() / counted}
        return LossTerms(total=total, terms=terms)
