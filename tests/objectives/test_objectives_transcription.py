"""Transcription: torch's CTC loss on what fits, and nothing at all from what does not."""

from __future__ import annotations

import pytest
import torch

from volumen.models.recognizer.decoders import build_decoder
from volumen.models.recognizer.frames import Frames
from volumen.objectives.transcription import Transcription

NAMES = ("ctc", "bilstm_ctc", "attention", "transformer")


def batch(lengths: tuple[int, ...], texts: list[tuple[int, ...]]):
    """Return frames that ask for gradients, targets and their lengths."""
    torch.manual_seed(0)
    values = torch.randn(len(lengths), max(lengths), 8, requires_grad=True)
    targets = torch.full((len(texts), max(map(len, texts))), 99)
    for target, text in zip(targets, texts, strict=True):
        target[: len(text)] = torch.tensor(text, dtype=torch.int64)
    return Frames(values, torch.tensor(lengths)), targets, torch.tensor([len(text) for text in texts])


def small(name: str):
    torch.manual_seed(0)
    return build_decoder(name, 8, 4, width=0.125).eval()


def test_it_is_the_mean_of_torchs_ctc_loss() -> None:
    seen, targets, lengths = batch((7, 5, 4), [(1, 2, 2), (), (3,)])
    decoder = small("ctc")
    logs = decoder.log_probabilities(seen).transpose(0, 1)
    truth = torch.nn.CTCLoss()(logs, targets.clamp_max(3), seen.lengths, lengths)
    torch.testing.assert_close(Transcription()(decoder, seen, targets, lengths).total, truth)


@pytest.mark.parametrize("name", NAMES)
def test_a_label_too_long_is_counted_and_changes_nothing(name: str) -> None:
    decoder, objective = small(name), Transcription()
    seen, targets, lengths = batch((6, 2, 5), [(1, 2), (1, 2, 3), (3, 1, 2)])
    terms = objective(decoder, seen, targets, lengths)
    terms.total.backward()
    kept = torch.tensor([0, 2])
    others = Frames(seen.values.detach()[kept].requires_grad_(), seen.lengths[kept])
    without = objective(decoder, others, targets[kept], lengths[kept])
    without.total.backward()
    assert (terms.terms["left_out"], without.terms["left_out"]) == (1, 0)
    torch.testing.assert_close(terms.total, without.total)
    torch.testing.assert_close(terms.terms["nats_per_character"], without.terms["nats_per_character"])
    torch.testing.assert_close(seen.values.grad[kept], others.values.grad)
    assert seen.values.grad[1].eq(0).all()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_fits_is_a_loss_of_nothing(name: str) -> None:
    seen, targets, lengths = batch((1, 2), [(1, 2), (1, 2, 3)])
    terms = Transcription()(small(name), seen, targets, lengths)
    terms.total.backward()
    assert terms.total == 0
    assert terms.terms["nats_per_character"] == 0
    assert terms.terms["left_out"] == 2
    assert seen.values.grad.eq(0).all()


@pytest.mark.parametrize("name", NAMES)
def test_nats_per_character_weigh_characters_and_the_total_weighs_lines(name: str) -> None:
    decoder = small(name)
    seen, targets, lengths = batch((6, 6), [(1, 2, 3, 1), (2,)])
    nats = decoder.loss(seen, targets, lengths).detach()
    terms = Transcription()(decoder, seen, targets, lengths)
    torch.testing.assert_close(terms.total.detach(), (nats[0] / 4 + nats[1]) / 2)
    torch.testing.assert_close(terms.terms["nats_per_character"], nats.sum() / 5)
    assert not any(term.requires_grad for term in terms.terms.values())
