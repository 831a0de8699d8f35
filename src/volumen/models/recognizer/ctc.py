"""CtcDecoder: a character or nothing in each frame, every alignment counted; read greedily or by prefix beams."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from volumen.errors import SettingsError
from volumen.models.recognizer.bilstm import BiLstm
from volumen.models.recognizer.ctc_search import best_path, best_prefix
from volumen.models.recognizer.decoder import NOTHING, Reading, check_targets

if TYPE_CHECKING:
    from torch import Tensor

    from volumen.models.recognizer.frames import Frames


class CtcDecoder(nn.Module):
    """A linear layer over frames, under connectionist temporal classification (Graves et al., ICML 2006).

    A text of n characters, r of which repeat the one before, takes n + r frames or more; what takes more than its
    line has is left out of the loss. The loss is torch's, in float32.

    Before anything is learned the blank is as likely as all characters together. As layers are drawn it would be one
    among many, the loss begin two to three times as high, and the first steps go into saying less.

    Parameters
    ----------
    features
        F of the frames.
    classes
        Characters, and one more for the blank, index 0.
    hidden
        Features of a BiLSTM of its own, one layer of it, between the frames and the linear layer; none if not given.
        Above a frozen encoder it tells what frames lack from what they merely say in another way than a linear layer
        can hear: Garrido-Munoz and Calvo-Zaragoza, 2026, arXiv 2609.35473, probe with both.
    beams
        Prefixes kept when reading; 1 takes the best character of each frame.

    Examples
    --------
    >>> from volumen.models.recognizer.frames import Frames
    >>> decoder, frames = CtcDecoder(8, 3), Frames(torch.randn(1, 2, 8), torch.tensor([2]))
    >>> decoder.fits(frames, torch.tensor([[1, 1]]), torch.tensor([2])).item()
    False
    """

    def __init__(self, features: int, classes: int, *, hidden: int | None = None, beams: int = 1) -> None:
        super().__init__()
        if classes < 2 or beams < 1:
            raise SettingsError(
                f"A decoder needs a character besides the blank, and a beam; got {classes} classes and {beams} beams."
            )
        self.classes = classes
        self.beams = beams
        self.around = None if hidden is None else BiLstm(features, hidden, layers=1)
        self.linear = nn.Linear(hidden or features, classes)
        nn.init.zeros_(self.linear.bias)
        nn.init.constant_(self.linear.bias[:1], math.log(classes - 1))

    def log_probabilities(self, frames: Frames) -> Tensor:
        """Return log probabilities of every class in every frame, float32 (N, T, classes)."""
        seen = frames if self.around is None else self.around(frames)
        return F.log_softmax(self.linear(seen.values), dim=-1, dtype=torch.float32)

    def fits(self, frames: Frames, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Say which lines have a frame for each character, and one between those that repeat; bool (N,)."""
        targets, lengths = check_targets(frames, targets, target_lengths, self.classes)
        repeats = ((targets[:, 1:] == targets[:, :-1]) & (targets[:, 1:] != NOTHING)).sum(dim=1)
        return lengths + repeats <= frames.lengths

    def loss(self, frames: Frames, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Return -log p(target | frames) over all alignments, in nats, (N,); 0 where it cannot fit."""
        fits = self.fits(frames, targets, target_lengths)
        targets, lengths = check_targets(frames, targets, target_lengths, self.classes)
        # A target of nothing always has an alignment: no infinity ever enters the arithmetic.
        nats = _ctc(self.log_probabilities(frames), frames.lengths, targets, lengths * fits)
        return torch.where(fits, nats, 0)

    @torch.no_grad()
    def read(self, frames: Frames) -> list[Reading]:
        """Return the text of each line, with its probability over all alignments."""
        logs = self.log_probabilities(frames).cpu()
        lengths = frames.lengths.cpu()
        lines = [line[:length].numpy() for line, length in zip(logs, lengths.tolist(), strict=True)]
        texts = [best_path(line) if self.beams == 1 else best_prefix(line, self.beams) for line in lines]
        written = torch.tensor([len(text) for text in texts], dtype=torch.int64)
        targets = torch.zeros(len(texts), max([1, *map(len, texts)]), dtype=torch.int64)
        for target, text in zip(targets, texts, strict=True):
            target[: len(text)] = torch.tensor(text, dtype=torch.int64)
        nats = _ctc(logs, lengths, targets, written)
        return [Reading(text, float(p)) for text, p in zip(texts, nats.double().neg().exp(), strict=True)]


def _ctc(logs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Return -log p of each target, (N,), from log probabilities (N, T, C)."""
    if not len(logs):
        return logs.new_zeros(0)
    if not targets.shape[1]:
        targets = F.pad(targets, (0, 1))  # torch wants a column, read or not
    return F.ctc_loss(logs.transpose(0, 1), targets, lengths, target_lengths, blank=NOTHING, reduction="none")
