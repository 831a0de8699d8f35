"""TransformerDecoder: writes a character a step, looking back at the text and across at the frames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from volumen.errors import SettingsError
from volumen.models.recognizer.decoder import check_targets
from volumen.models.recognizer.spelling import after_start, spell, text_nats

if TYPE_CHECKING:
    from torch import Tensor

    from volumen.models.recognizer.decoder import Reading
    from volumen.models.recognizer.frames import Frames


class TransformerDecoder(nn.Module):
    """torch's Transformer decoder over frames (Vaswani et al., 2017, arXiv 1706.03762), norms before the layers.

    Characters and frames both carry sinusoidal positions. A character sees those before it, and the frames that see
    its line. It learns with the true text before each step. A text has at most as many characters as its line has
    frames: a longer one is left out of the loss, and reading ends there.

    Parameters
    ----------
    features
        F of the frames.
    classes
        Characters, and one more for the end of the text, index 0.
    hidden
        Width of the model, a multiple of twice the heads; four times that in its feed-forward layers.
    layers, heads
        How many. Penarrubia et al., arXiv 2404.11585, use such a decoder without saying how large; ours is our choice.
    dropout
        In training.

    Examples
    --------
    >>> from volumen.models.recognizer.frames import Frames
    >>> decoder, frames = TransformerDecoder(8, 3, hidden=32), Frames(torch.randn(1, 5, 8), torch.tensor([5]))
    >>> bool(decoder.loss(frames, torch.tensor([[1, 2]]), torch.tensor([2])) > 0)
    True
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        hidden: int = 256,
        layers: int = 3,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if classes < 2 or hidden < 2 or hidden % (2 * heads):
            raise SettingsError(
                "A Transformer decoder needs a character besides the end, and a width that is a multiple of twice its "
                f"{heads} heads; got {classes} classes and {hidden} wide."
            )
        self.classes = classes
        self.hidden = hidden
        self.frames = nn.Linear(features, hidden)
        self.characters = nn.Embedding(classes + 1, hidden)  # the last is the start
        nn.init.normal_(self.characters.weight, std=hidden**-0.5)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerDecoderLayer(hidden, heads, 4 * hidden, dropout, batch_first=True, norm_first=True)
        self.layers = nn.TransformerDecoder(layer, layers, nn.LayerNorm(hidden))
        for parameter in self.layers.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)  # layers are copies of one: torch leaves it to us to tell them apart
        self.output = nn.Linear(hidden, classes)

    def fits(self, frames: Frames, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Say which lines have a frame for each character, bool (N,)."""
        _, lengths = check_targets(frames, targets, target_lengths, self.classes)
        return lengths <= frames.lengths

    def loss(self, frames: Frames, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Return -log p(target and its end | frames) in nats, (N,); 0 where it cannot fit."""
        targets, lengths = check_targets(frames, targets, target_lengths, self.classes)
        logits = self._write(after_start(targets, self.classes), self._memory(frames), frames)
        return torch.where(lengths <= frames.lengths, text_nats(logits, targets, lengths), 0)

    @torch.no_grad()
    def read(self, frames: Frames) -> list[Reading]:
        """Return the text of each line, the likeliest character at each step."""
        return spell(self._step, self._begin(frames), frames.lengths, self.classes)

    def _begin(self, frames: Frames) -> tuple[Tensor, ...]:
        """Return what `_step` takes at first."""
        memory = self._memory(frames)
        across = torch.stack([_heads(layer.multihead_attn, memory, 1, 3) for layer in self._each()], dim=1)
        return across[..., :0, :], across, frames.seen  # nothing is written yet

    def _step(self, last: Tensor, past: Tensor, across: Tensor, seen: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Write one more character: what `_write` gives for the last one, looking at keys and values that are kept.

        Parameters
        ----------
        last
            int64 (N,).
        past, across
            Keys and values of what was written and of the frames, (N, layers, 2, heads, L or T, hidden / heads).
        seen
            bool (N, T).
        """
        characters = self.characters(last)[:, None] * math.sqrt(self.hidden)
        x = characters + _positions(characters, start=past.shape[-2])
        made = []
        for layer, before, memory in zip(self._each(), past.unbind(dim=1), across.unbind(dim=1), strict=True):
            query, key, value = _heads(layer.self_attn, layer.norm1(x), 0, 3).unbind(dim=1)
            kept = torch.cat([before, torch.stack([key, value], dim=1)], dim=-2)
            made.append(kept)
            x = x + _look(layer.self_attn, query, kept)
            (query,) = _heads(layer.multihead_attn, layer.norm2(x), 0, 1).unbind(dim=1)
            x = x + _look(layer.multihead_attn, query, memory, seen[:, None, None])
            x = x + layer.linear2(layer.activation(layer.linear1(layer.norm3(x))))
        norm: Any = self.layers.norm
        logits: Tensor = self.output(norm(x)[:, 0])
        return logits, (torch.stack(made, dim=1), across, seen)

    def _each(self) -> list[Any]:
        return list(self.layers.layers)

    def _memory(self, frames: Frames) -> Tensor:
        """Return what is looked at, (N, T, hidden)."""
        values = self.frames(frames.values)
        placed: Tensor = self.dropout(values + _positions(values))
        return placed

    def _write(self, text: Tensor, memory: Tensor, frames: Frames) -> Tensor:
        """Return logits of what follows each character of a text (N, L), (N, L, classes)."""
        characters = self.characters(text) * math.sqrt(self.hidden)
        count = text.shape[1]
        ahead = torch.ones(count, count, dtype=torch.bool, device=text.device).triu(1)  # True is not to be seen
        states = self.layers(
            self.dropout(characters + _positions(characters)),
            memory,
            tgt_mask=ahead,
            tgt_is_causal=True,
            memory_key_padding_mask=~frames.seen,
        )
        logits: Tensor = self.output(states)
        return logits


def _heads(attention: Any, values: Tensor, first: int, end: int) -> Tensor:
    """Return queries (0), keys (1) and values (2) from the first to before the end, (N, how many, heads, L, each)."""
    width, heads = attention.embed_dim, attention.num_heads
    rows = slice(first * width, end * width)
    flat = F.linear(values, attention.in_proj_weight[rows], attention.in_proj_bias[rows])
    return flat.view(*flat.shape[:2], end - first, heads, width // heads).permute(0, 2, 3, 1, 4)


def _look(attention: Any, query: Tensor, kept: Tensor, seen: Tensor | None = None) -> Tensor:
    """Return what a query (N, heads, 1, each) finds in keys and values (N, 2, heads, L, each), (N, 1, hidden)."""
    key, value = kept.unbind(dim=1)
    found: Tensor = attention.out_proj(F.scaled_dot_product_attention(query, key, value, seen).flatten(1)[:, None])
    return found


def _positions(values: Tensor, *, start: int = 0) -> Tensor:
    """Return sines and cosines of each position, (T, hidden), for values (N, T, hidden); §3.5 of the paper."""
    count, hidden = values.shape[1:]
    place = torch.arange(start, start + count, device=values.device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, hidden, 2, device=values.device) * (-math.log(10_000.0) / hidden))
    return torch.cat([torch.sin(place * rate), torch.cos(place * rate)], dim=1).to(values.dtype)
