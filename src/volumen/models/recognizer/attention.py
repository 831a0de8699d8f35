"""AttentionDecoder: a recurrent cell that writes a character a step, looking at the frames that it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from volumen.errors import SettingsError
from volumen.models.recognizer.decoder import check_targets
from volumen.models.recognizer.spelling import after_start, spell, text_nats

if TYPE_CHECKING:
    from torch import Tensor

    from volumen.models.recognizer.decoder import Reading
    from volumen.models.recognizer.frames import Frames


class AttentionDecoder(nn.Module):
    """A GRU cell with content attention (Bahdanau et al., ICLR 2015, arXiv 1409.0473).

    With h the frames of a line, s the state and y what was written::

        e_i = v · tanh(W h_i + U s)        c = Σ softmax(e)_i h_i        s' = GRU([y, c], s)
        p(next) = softmax(O [s', c])

    It learns with the true text before each step. A text has at most as many characters as its line has frames: a
    longer one is left out of the loss, and reading ends there.

    Parameters
    ----------
    features
        F of the frames.
    classes
        Characters, and one more for the end of the text, index 0.
    hidden
        Width of the state, of the question and of the embedded characters.

    Examples
    --------
    >>> from volumen.models.recognizer.frames import Frames
    >>> decoder, frames = AttentionDecoder(8, 3), Frames(torch.randn(1, 5, 8), torch.tensor([5]))
    >>> bool(decoder.loss(frames, torch.tensor([[1, 2]]), torch.tensor([2])) > 0)
    True
    """

    def __init__(self, features: int, classes: int, *, hidden: int = 256) -> None:
        super().__init__()
        if classes < 2 or hidden < 1:
            raise SettingsError(
                f"A decoder needs a character besides the end, and a state; got {classes} classes and {hidden} wide."
            )
        self.classes = classes
        self.keys = nn.Linear(features, hidden, bias=False)
        self.question = nn.Linear(hidden, hidden)
        self.weigh = nn.Linear(hidden, 1, bias=False)
        self.characters = nn.Embedding(classes + 1, hidden)  # the last is the start
        self.cell = nn.GRUCell(hidden + features, hidden)
        self.output = nn.Linear(hidden + features, classes)

    def fits(self, frames: Frames, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Say which lines have a frame for each character, bool (N,)."""
        _, lengths = check_targets(frames, targets, target_lengths, self.classes)
        return lengths <= frames.lengths

    def loss(self, frames: Frames, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Return -log p(target and its end | frames) in nats, (N,); 0 where it cannot fit."""
        targets, lengths = check_targets(frames, targets, target_lengths, self.classes)
        state = self._begin(frames)
        steps = []
        for last in after_start(targets, self.classes).unbind(dim=1):
            logits, state = self._step(last, *state)
            steps.append(logits)
        return torch.where(lengths <= frames.lengths, text_nats(torch.stack(steps, dim=1), targets, lengths), 0)

    @torch.no_grad()
    def read(self, frames: Frames) -> list[Reading]:
        """Return the text of each line, the likeliest character at each step."""
        return spell(self._step, self._begin(frames), frames.lengths, self.classes)

    def _begin(self, frames: Frames) -> tuple[Tensor, ...]:
        """Return what `_step` takes at first."""
        state = frames.values.new_zeros(len(frames.values), self.cell.hidden_size)
        return state, self.keys(frames.values), frames.values, frames.seen

    def _step(
        self, last: Tensor, state: Tensor, keys: Tensor, values: Tensor, seen: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return logits (N, classes), and the next state (N, hidden) beside what stays as it is."""
        asked = self.weigh(torch.tanh(keys + self.question(state)[:, None]))[..., 0]  # N T hidden -> N T
        weights = asked.masked_fill(~seen, -torch.inf).softmax(dim=1)
        context = torch.bmm(weights[:, None].to(values.dtype), values)[:, 0]  # N 1 T, N T F -> N F
        state = self.cell(torch.cat([self.characters(last), context], dim=1), state)
        return self.output(torch.cat([state, context], dim=1)), (state, keys, values, seen)
