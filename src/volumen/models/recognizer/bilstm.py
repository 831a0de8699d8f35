"""BiLstm: frames that know their neighbours on both sides, as far as the line goes and no further."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from volumen.models.recognizer.frames import Frames

if TYPE_CHECKING:
    from collections.abc import Sequence


class BiLstm(nn.Module):
    """Two-way LSTMs one above another, each followed by a linear layer from both directions to as many features.

    The sequence model of Baek et al., ICCV 2019, arXiv 1904.01906 (after Shi et al., CRNN, 2017), with two of 256
    there: 2.89 M parameters on frames of 512 features. The backward direction begins at the last frame of each line,
    not of the batch, so padding changes nothing, in training as in evaluation.

    Parameters
    ----------
    features
        F of the frames that come.
    hidden
        F of the frames that go, and of each direction inside.
    layers
        How many.

    Examples
    --------
    >>> import torch
    >>> frames = Frames.within(torch.rand(2, 5, 8), torch.tensor([5, 3]))
    >>> BiLstm(8, 4)(frames).values.shape
    torch.Size([2, 5, 4])
    """

    def __init__(self, features: int, hidden: int, layers: int = 2) -> None:
        super().__init__()
        self.features = hidden
        sides: Sequence[int] = (features, *([hidden] * (layers - 1)))
        self.lstms = nn.ModuleList(nn.LSTM(side, hidden, bidirectional=True, batch_first=True) for side in sides)
        self.linears = nn.ModuleList(nn.Linear(2 * hidden, hidden) for _ in sides)

    def forward(self, frames: Frames) -> Frames:
        """Return as many frames of as many lines, (N, T, hidden)."""
        count, lengths = frames.values.shape[1], frames.lengths.cpu()
        ragged = bool((lengths < count).any())
        for lstm, linear in zip(self.lstms, self.linears, strict=True):
            values: Tensor
            if ragged:
                packed = pack_padded_sequence(frames.values, lengths, batch_first=True, enforce_sorted=False)
                values, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=count)
                frames = Frames.within(linear(values), frames.lengths)
            else:
                values, _ = lstm(frames.values)
                frames = Frames(linear(values), frames.lengths)
        return frames
