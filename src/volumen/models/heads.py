"""Projection heads: what stands between frames and a contrastive loss while pretraining, and goes afterwards."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from volumen.errors import SettingsError
from volumen.models.frame_pooling import blank_padding, check_frames
from volumen.models.recognizer.bilstm import BiLstm
from volumen.models.recognizer.frames import Frames

HeadName = Literal["none", "mlp", "bilstm"]


def build_head(name: HeadName, features: int) -> nn.Module:
    """Build a projection head, from frames of ``features`` numbers to frames of as many.

    All heads take a line of any length, since a window or a frame of the line is to be contrasted after them
    (SeqCLR, Aberdam et al., CVPR 2021, arXiv 2012.10873; sizes as in the authors' later code, which the paper does
    not give). They are called with ``values`` (N, T, F) and ``lengths`` int64 (N,), the valid frames of each line,
    and return (N, T, F), exactly 0 beyond the lengths. Padding a line changes nothing in its frames.

    Parameters
    ----------
    name
        ``none``: frames as they are. ``mlp``: two linear layers with a ReLU between, of each frame by itself.
        ``bilstm``: one layer of LSTM in both directions, then a linear layer; frames learn of their neighbours.
    features
        F, at least 1.

    Raises
    ------
    SettingsError
        If there is no such head, or it would be empty.

    Examples
    --------
    >>> import torch
    >>> head = build_head("bilstm", 8)
    >>> head(torch.rand(2, 26, 8), torch.tensor([26, 11])).shape
    torch.Size([2, 26, 8])
    """
    if features < 1:
        raise SettingsError(f"A head projects at least one feature; got {features}.")
    match name:
        case "none":
            return NoHead()
        case "mlp":
            return MlpHead(features)
        case "bilstm":
            return BiLstmHead(features)
    raise SettingsError(f"Projection heads are {', '.join(get_args(HeadName))}; got {name!r}.")


class NoHead(nn.Module):
    """Hand frames on as they are, (N, T, F)."""

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the values, 0 beyond the lengths."""
        return blank_padding(values, lengths)


class MlpHead(nn.Module):
    """Project each frame by itself: linear, ReLU, linear, all ``features`` wide."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features))

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return (N, T, F), 0 beyond the lengths."""
        return blank_padding(self.layers(values), lengths)


class BiLstmHead(nn.Module):
    """Project frames amid their neighbours: an LSTM in both directions, ``features`` wide each, and a linear layer.

    The backward direction starts at a line's own last frame, not in its padding.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.around = BiLstm(features, features, layers=1)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return (N, T, F), 0 beyond the lengths."""
        check_frames(values, lengths)
        some = lengths.clamp_min(1)  # an LSTM takes no line of no frames: such a line is blanked afterwards
        return blank_padding(self.around(Frames(values, some)).values, lengths)
