"""Spelling: what decoders have in common that write a text one character after another, until its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from volumen.models.recognizer.decoder import NOTHING, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_UNSCORED = -100


def after_start(targets: Tensor, start: int) -> Tensor:
    """Return what is there before each step, int64 (N, L + 1): the start, then the characters of targets (N, L)."""
    return F.pad(targets, (1, 0), value=start)


def text_nats(logits: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """Return -log p of each text and its end, float32 (N,).

    Parameters
    ----------
    logits
        (N, L + 1, classes), step by step.
    targets
        int64 (N, L), `NOTHING` beyond the lengths.
    lengths
        int64 (N,); the step after the last character is that of the end.
    """
    steps = F.pad(targets, (0, 1), value=NOTHING)  # (N, L + 1)
    after = torch.arange(steps.shape[1], device=steps.device) > lengths[:, None]
    steps = steps.masked_fill(after, _UNSCORED)
    flat = F.cross_entropy(logits.float().flatten(0, 1), steps.flatten(), ignore_index=_UNSCORED, reduction="none")
    return flat.view(steps.shape).sum(dim=1)


def spell(
    step: Callable[..., tuple[Tensor, tuple[Tensor, ...]]], state: tuple[Tensor, ...], most: Tensor, start: int
) -> list[Reading]:
    """Write the likeliest character at each step, until every text has ended; an ended one costs nothing more.

    Parameters
    ----------
    step
        From what was written last, int64 (M,), and the state of those M texts that go on, to logits (M, classes) and
        the next state.
    state
        The first one: tensors, each (N, …).
    most
        int64 (N,): characters of a text at most; there it is ended.
    start
        Index that stands for what was written last when nothing was.
    """
    rows = torch.arange(len(most), device=most.device)
    last = torch.full_like(most, start)
    nats = torch.zeros(most.shape, device=most.device)
    written: list[list[int]] = [[] for _ in range(len(most))]
    count = 0
    while len(rows):
        logits, state = step(last, *state)
        logs = F.log_softmax(logits, dim=-1, dtype=torch.float32)
        last = logs.argmax(dim=1).masked_fill(count >= most[rows], NOTHING)
        nats[rows] -= logs.gather(1, last[:, None])[:, 0]
        going = last != NOTHING
        if not going.all():
            rows, last, state = rows[going], last[going], tuple(part[going] for part in state)
        count += 1
        for row, index in zip(rows.tolist(), last.tolist(), strict=True):
            written[row].append(index)
    confidences = nats.cpu().double().neg().exp().tolist()
    return [Reading(tuple(text), confidence) for text, confidence in zip(written, confidences, strict=True)]
