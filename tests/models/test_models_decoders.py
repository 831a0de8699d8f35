"""Decoders: probabilities that sum to one, readings as likely as they say, and labels that never make a NaN."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from volumen.errors import SettingsError
from volumen.models.recognizer.ctc_search import best_path, best_prefix
from volumen.models.recognizer.decoder import Reading
from volumen.models.recognizer.decoders import build_decoder
from volumen.models.recognizer.frames import Frames

NAMES = ("ctc", "bilstm_ctc", "attention", "transformer")


def frames(lengths: tuple[int, ...] = (6, 3, 5), *, features: int = 8, seed: int = 0) -> Frames:
    torch.manual_seed(seed)
    return Frames.within(torch.randn(len(lengths), max(lengths), features), torch.tensor(lengths))


def decoder(name: str, classes: int = 4, *, seed: int = 0, sharp: float = 1.0):
    """Return a small decoder in evaluation mode, no class preferred at first; `sharp` above 1 makes it surer."""
    torch.manual_seed(seed)
    built = build_decoder(name, 8, classes, width=0.125).eval()
    last = built.linear if name.endswith("ctc") else built.output
    with torch.no_grad():
        last.weight.mul_(sharp)
        last.bias.zero_()
    return built


def padded(texts) -> tuple[torch.Tensor, torch.Tensor]:
    """Return targets and lengths, with what is no character beyond the lengths."""
    lengths = torch.tensor([len(text) for text in texts])
    targets = torch.full((len(texts), max([1, *map(len, texts)])), 99)
    for target, text in zip(targets, texts, strict=True):
        target[: len(text)] = torch.tensor(text, dtype=torch.int64)
    return targets, lengths


def every_text(logs: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every text, from every alignment one by one."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        text = tuple(index for index, _ in itertools.groupby(path) if index)
        found[text] += math.exp(sum(logs[t, index] for t, index in enumerate(path)))
    return found


@pytest.mark.parametrize("classes", [2, 90])
def test_before_anything_is_learned_a_blank_is_as_likely_as_all_characters(classes: int) -> None:
    nothing_seen = Frames(torch.zeros(1, 5, 8), torch.tensor([5]))
    chances = build_decoder("ctc", 8, classes).log_probabilities(nothing_seen).exp()
    torch.testing.assert_close(chances[..., 0], torch.full((1, 5), 0.5))


@pytest.mark.parametrize("seed", range(4))
def test_ctc_counts_every_alignment(seed: int) -> None:
    seen, ctc = frames((5, 4), seed=seed), decoder("ctc", 3, sharp=4)
    with torch.no_grad():
        logs = ctc.log_probabilities(seen).double().numpy()
        for row, length in enumerate((5, 4)):
            truth = every_text(logs[row, :length])
            assert sum(truth.values()) == pytest.approx(1)
            line = Frames(seen.values[row : row + 1], seen.lengths[row : row + 1])
            for text, probability in truth.items():
                nats = ctc.loss(line, *padded([text])).item()
                assert math.exp(-nats) == pytest.approx(probability, rel=1e-4)


@pytest.mark.parametrize("seed", range(30))
def test_a_wide_beam_finds_the_best_text_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (6, 3))
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    truth = every_text(logs)
    text = best_prefix(logs, 1000, rare=0)
    assert truth[text] == pytest.approx(max(truth.values()))
    assert truth[best_prefix(logs, 8)] >= truth[best_path(logs)] - 1e-12


def test_a_beam_beats_the_best_path_somewhere() -> None:
    """What the search is for: the best alignment is of one text, and the best text has several alignments."""
    frame = np.log([0.6, 0.4])
    assert best_path(np.stack([frame, frame])) == ()
    assert best_prefix(np.stack([frame, frame]), 2) == (1,)


def test_best_path_of_frames_worked_by_hand() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 2, 0, 0, 2]
    assert best_path(np.log(np.eye(3)[path] * 0.9 + 0.05)) == (1, 1, 2, 2)


@pytest.mark.parametrize("name", ["attention", "transformer"])
def test_texts_of_a_writer_have_probabilities_by_the_chain_rule(name: str) -> None:
    """What all steps at once give to a text is what one step after another gives."""
    seen, writer = frames((4,)), decoder(name, 3, sharp=3)
    tree = tree_of(writer, seen, depth=3)
    many = Frames(seen.values.expand(len(tree), -1, -1), seen.lengths.expand(len(tree)))
    with torch.no_grad():
        nats = writer.loss(many, *padded(list(tree)))
    assert nats.neg().exp().tolist() == pytest.approx(list(tree.values()), rel=1e-4)


def tree_of(writer, seen: Frames, depth: int) -> dict[tuple[int, ...], float]:
    """Probabilities of texts, each step's softmax taken by itself from a prefix and never from teacher forcing."""
    tree: dict[tuple[int, ...], float] = {}

    def walk(prefix: tuple[int, ...], so_far: float) -> None:
        shares = next_of(writer, seen, prefix)
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        tree[prefix] = so_far * shares[0]
        if len(prefix) < depth:
            for index, share in enumerate(shares[1:], 1):
                walk((*prefix, index), so_far * share)

    with torch.no_grad():
        walk((), 1.0)
    return tree


def next_of(writer, seen: Frames, prefix: tuple[int, ...]) -> list[float]:
    """p(next | prefix), by writing the prefix a step at a time."""
    state = writer._begin(seen)
    for index in (writer.classes, *prefix):
        logits, state = writer._step(torch.tensor([index]), *state)
    return logits[0].softmax(dim=0).tolist()


@pytest.mark.parametrize("beams", [1, 5])
@pytest.mark.parametrize("name", NAMES)
def test_a_reading_is_as_likely_as_it_says(name: str, beams: int) -> None:
    seen, reader = frames((9, 4, 1, 7)), decoder(name, 5, sharp=6)
    if name.endswith("ctc"):
        reader.beams = beams
    readings = reader.read(seen)
    assert any(reading.indices for reading in readings)
    with torch.no_grad():
        nats = reader.loss(seen, *padded([reading.indices for reading in readings]))
    for reading, loss, length in zip(readings, nats, seen.lengths, strict=True):
        assert reading.confidence == pytest.approx(math.exp(-loss), rel=1e-4)
        assert len(reading.indices) <= length
        assert all(1 <= index < 5 for index in reading.indices)


@pytest.mark.parametrize("name", NAMES)
def test_padding_and_company_change_neither_loss_nor_reading(name: str) -> None:
    seen, reader = frames((6, 3, 5)), decoder(name, sharp=5)
    texts = [(1, 2, 3, 1), (2,), ()]
    targets, lengths = padded(texts)
    with torch.no_grad():
        together, readings = reader.loss(seen, targets, lengths), reader.read(seen)
        for row, length in enumerate((6, 3, 5)):
            line = Frames(seen.values[row : row + 1, :length], seen.lengths[row : row + 1])
            torch.testing.assert_close(reader.loss(line, *padded([texts[row]]))[0], together[row])
            alone = reader.read(line)[0]
            assert alone.indices == readings[row].indices
            assert alone.confidence == pytest.approx(readings[row].confidence, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_cannot_fit_are_left_out(name: str) -> None:
    values = frames((3, 3, 3)).values.requires_grad_()
    seen, reader = Frames(values, torch.tensor([3, 3, 3])), decoder(name)
    targets, lengths = padded([(1, 2, 1, 2), (1, 2, 3), (1, 1, 2)])
    fits = reader.fits(seen, targets, lengths)
    assert fits.tolist() == [False, True, not name.endswith("ctc")]  # a repeat takes a blank between
    loss = reader.loss(seen, targets, lengths)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert values.grad.isfinite().all()
    for row, fit in enumerate(fits.tolist()):
        assert bool(loss[row] > 0) is fit
        assert bool(values.grad[row].abs().max() > 0) is fit
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in reader.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_empty_texts_are_learned_too(name: str) -> None:
    values = frames((4, 2)).values.requires_grad_()
    seen, reader = Frames(values, torch.tensor([4, 2])), decoder(name)
    loss = reader.loss(seen, torch.zeros(2, 0, dtype=torch.int64), torch.tensor([0, 0]))
    loss.sum().backward()
    assert (loss > 0).all()
    assert values.grad.isfinite().all()
    assert reader.read(Frames(torch.zeros(0, 3, 8), torch.zeros(0, dtype=torch.int64))) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_decoder_learns_to_tell_lines_apart(name: str) -> None:
    torch.manual_seed(0)
    reader = build_decoder(name, 8, 4, width=0.125).train()
    seen, texts = frames((6, 5, 6), seed=3), [(1, 2, 2), (3,), (2, 1, 3, 1)]
    targets, lengths = padded(texts)
    optimizer = torch.optim.Adam(reader.parameters(), lr=0.05 if name == "ctc" else 0.006)
    for _ in range(200):
        optimizer.zero_grad()
        reader.loss(seen, targets, lengths).sum().backward()
        optimizer.step()
    assert [reading.indices for reading in reader.eval().read(seen)] == texts


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_finite(name: str) -> None:
    seen, reader = frames(), decoder(name, sharp=50)
    with torch.autocast("cpu", torch.bfloat16):
        loss = reader.loss(seen, *padded([(1, 2, 3), (2,), (1,)]))
        assert loss.dtype == torch.float32
        assert loss.isfinite().all()
        assert len(reader.read(seen)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_targets_of_another_alphabet_are_refused(name: str) -> None:
    seen, reader = frames((6,)), decoder(name, 4)
    for text in ((1, 4), (0, 1)):
        with pytest.raises(SettingsError, match="characters 1…3"):
            reader.loss(seen, *padded([text]))
    with pytest.raises(SettingsError, match="1 lines need targets"):
        reader.loss(seen, *padded([(1,), (2,)]))


def test_no_such_decoder() -> None:
    with pytest.raises(SettingsError, match="ctc, attention, transformer"):
        build_decoder("viterbi", 8, 4)
    for name in NAMES:
        with pytest.raises(SettingsError, match="1 classes"):
            build_decoder(name, 8, 1)


def test_confidence_per_character() -> None:
    assert Reading((1, 2, 3), 0.125).per_character == pytest.approx(0.5)
    assert Reading((), 0.3).per_character == 0.3
