"""Spatial heads: from frames to the answer of a spatial pretext task; they go when the task is learned."""

from __future__ import annotations

from torch import Tensor, nn

from volumen.errors import SettingsError
from volumen.models.frame_pooling import window_means


class ClassHead(nn.Module):
    """Say which of some classes a whole image belongs to: Rotation, Flip, Jigsaw.

    The valid frames are averaged over windows, left to right; the windows side by side go through a linear layer, a
    ReLU and a linear layer. The head is our choice, since arXiv 2404.11585 is only known in summary here.

    Parameters
    ----------
    features
        F of the frames.
    classes
        K: 4 for Rotation and Flip, the number of permutations for Jigsaw.
    windows
        Windows that are kept apart. 1, the average over the whole line, does for Rotation and Flip. A permutation of
        tiles is a matter of where things are, so give Jigsaw as many windows as it has columns of tiles.
    hidden
        Width of the hidden layer; None for F.

    Raises
    ------
    SettingsError
        If a number is below 1, or there are fewer than two classes.

    Examples
    --------
    >>> import torch
    >>> head = ClassHead(8, 4)
    >>> head(torch.rand(2, 26, 8), torch.tensor([26, 11])).shape
    torch.Size([2, 4])
    """

    def __init__(self, features: int, classes: int, *, windows: int = 1, hidden: int | None = None) -> None:
        super().__init__()
        hidden = features if hidden is None else hidden
        _check(features=features, windows=windows, hidden=hidden)
        if classes < 2:
            raise SettingsError(f"There must be at least two classes to tell apart; got {classes}.")
        self.windows = windows
        self.layers = nn.Sequential(nn.Linear(windows * features, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (N, K) of values (N, T, F) with lengths int64 (N,)."""
        pooled = window_means(values, lengths, self.windows).flatten(1)  # N n F -> N n·F
        logits: Tensor = self.layers(pooled)
        return logits


class StripHead(nn.Module):
    """Say for each strip of a shuffled line where it came from: Sorting.

    The valid frames are averaged over as many windows as there are strips, which are equally wide; each goes through
    the same linear layer. Give it frames that know of their neighbours (after the BiLSTM): a strip by itself
    hardly tells where it stood.

    Parameters
    ----------
    features
        F of the frames.
    strips
        S, at least 2.

    Raises
    ------
    SettingsError
        If there is no feature, or there are fewer than two strips.

    Examples
    --------
    >>> import torch
    >>> head = StripHead(8, 4)
    >>> head(torch.rand(2, 26, 8), torch.tensor([26, 11])).shape
    torch.Size([2, 4, 4])
    """

    def __init__(self, features: int, strips: int) -> None:
        super().__init__()
        _check(features=features)
        if strips < 2:
            raise SettingsError(f"There must be at least two strips to sort; got {strips}.")
        self.strips = strips
        self.linear = nn.Linear(features, strips)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (N, S, S), strip as shown × place it came from, of values (N, T, F) with lengths (N,)."""
        logits: Tensor = self.linear(window_means(values, lengths, self.strips))
        return logits


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise SettingsError(f"A head needs at least 1 as {name}; got {number}.")
