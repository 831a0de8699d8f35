"""Train a reader: transcribed lines and settings in, a run folder with the best reader and its readings out."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from volumen.crops.alphabet import Alphabet
from volumen.crops.line_dataset import LineDataset
from volumen.crops.line_splits import share_of_lines
from volumen.errors import LabelError, SourceError
from volumen.models.encoders import freeze
from volumen.models.reader_checkpoint import load_reader, save_reader
from volumen.models.recognizer.frames import Frames
from volumen.models.recognizer.reader import Reader
from volumen.models.recognizer.resnet29 import frame_counts
from volumen.objectives.transcription import Transcription
from volumen.recipes.bookkeeping import carry_out, conclude, fabric_of
from volumen.recipes.first_weights import take_encoder
from volumen.recipes.reading.line_corpus import LineCorpus
from volumen.recipes.reading.line_course import HELD_OUT, LEARNED, TEST, left_out, line_course, line_steps, warn_broken
from volumen.recipes.reading.origin import begun_anew, origin_of, other_form, untaught
from volumen.recipes.reading.readings import read_texts, score_texts, write_readings
from volumen.recipes.reading.seen_frames import SeenFrames, measure_lines
from volumen.sources.left_out import told
from volumen.views.sequence import SequenceView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.crops.line_images import LineBatch
    from volumen.events import Event
    from volumen.objectives.terms import LossTerms
    from volumen.settings import TrainReader
    from volumen.sources.lines.line import Line
    from volumen.training.run import Run

_NAMED = 3  # lines that a warning names
_MONOTONE = ("ctc", "bilstm_ctc")  # their frames go from left to right, and so does what they write


def train_reader(settings: TrainReader) -> Iterator[Event]:
    """Train a reader on transcribed lines: a recogniser, from random or pretrained weights, and a decoder.

    Everything is opened, parted and checked before the run folder is made. The reader with the best held-out score is
    in ``best.safetensors``, with its alphabet, which is that of the lines learned from; ``readings.tsv`` holds what it
    reads in the test lines, which no choice was made by (in the held-out ones where the list names none).

    With ``freeze`` the recogniser sees each line once, as it is: its frames are kept, and no views are drawn.

    Yields
    ------
    Event
        The last is `Finished` with ``run``, ``checkpoint``, ``epochs`` (rounds of ``score_steps``), ``scores`` (of the
        best weights, on the held-out lines), ``test`` (scores of `volumen.evaluation.text.TextCounts` on the test
        lines, each with ``_low`` and ``_high`` over writers, pages or lines), ``readings`` (path), ``seconds``.

    Raises
    ------
    SourceError, LabelError, SettingsError, CheckpointError
        The lines cannot be read, none is transcribed, the weights do not fit, or settings contradict each other.
    OutputExistsError
        There is a run already.
    """
    yield from carry_out(settings, prepare=Apprentice.of, train=_train)


@dataclass(frozen=True, kw_only=True)
class Apprentice:
    """A reader, its lines and the devices to train on: all that can fail does so before a run is made."""

    settings: TrainReader
    corpus: LineCorpus
    alphabet: Alphabet
    model: Reader
    fabric: Fabric
    warnings: tuple[str, ...]
    train: LineDataset
    held_out: LineDataset
    test: LineDataset
    seen: SeenFrames | None

    @classmethod
    def of(cls, settings: TrainReader) -> Apprentice:
        """Open the data, build the model and start the devices' processes, in this order."""
        corpus = LineCorpus.of(settings, transcribed=True)
        lines = share_of_lines(corpus.split.train, settings.label_share, seed=settings.seed)
        alphabet = Alphabet.of(line.text for line in lines)
        warnings = [*corpus.warnings, *_unknown(alphabet, corpus.shown)]
        torch.manual_seed(settings.seed)
        model = Reader(
            alphabet.classes, decoder=settings.decoder, features=settings.features, width=settings.model_width
        )
        warnings += take_encoder(model.recognizer, settings.encoder, least=settings.least_loaded)
        origin = origin_of(settings.encoder)
        warnings += other_form(origin, corpus) + untaught(origin, settings.features) + begun_anew(origin)
        view = None if settings.freeze else SequenceView(name=settings.views)
        train = LineDataset(lines, form=corpus.form, view=view, seed=settings.seed)
        held_out, test = (LineDataset(part, form=corpus.form) for part in (corpus.shown, corpus.test))
        parts = {LEARNED: train, HELD_OUT: held_out, TEST: test}
        warnings += [text for part, dataset in parts.items() for text in left_out(dataset, part)]
        warnings += [text for part, dataset in parts.items() for text in _too_long(model, alphabet, dataset, part)]
        warnings += _leftward(lines, settings)
        fabric = fabric_of(settings)
        seen = None
        if settings.freeze:
            freeze(model.recognizer)
            fabric.to_device(model.recognizer)
            if settings.frozen_norms == "measured":
                every = LineDataset(corpus.split.train, form=corpus.form)  # all of them, as norms need no transcripts
                measure_lines(model.recognizer, every, batch=settings.batch, seed=settings.seed, fabric=fabric)
            seen = SeenFrames(model, fabric)
        return cls(
            settings=settings,
            corpus=corpus,
            alphabet=alphabet,
            model=model,
            fabric=fabric,
            warnings=tuple(warnings),
            train=train,
            held_out=held_out,
            test=test,
            seen=seen,
        )

    @property
    def identities(self) -> Sequence[Mapping[str, Any]]:
        """What the data are."""
        return self.corpus.identities

    @property
    def found(self) -> Mapping[str, Any]:
        """What was found out about the data."""
        learned = {"learned_from": len(self.train), "alphabet": "".join(self.alphabet.characters)}
        return {**self.corpus.found, **learned}

    @property
    def batches(self) -> Callable[[int, int], Iterator[dict[str, Tensor]]]:
        """What is learned from in a round from a step on."""
        return line_steps(self.train, self.settings, self.fabric, lambda batch, _: self.tensors(batch))

    def tensors(self, batch: LineBatch) -> dict[str, Tensor]:
        """Return images, or what a frozen recogniser sees of them, with their targets."""
        tensors = batch.tensors(self.alphabet)
        if self.seen is not None:
            frames = self.seen(batch)
            return {"frames": frames.values, "lengths": frames.lengths, **_targets(tensors)}
        return tensors

    def frames(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Frames:
        """Return what the decoder reads of a batch."""
        if "frames" in batch:
            return Frames(batch["frames"], batch["lengths"])
        frames: Frames = getattr(model.recognizer, self.settings.features)(batch["images"], batch["widths"])
        return frames

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Score a batch."""
        with self.fabric.autocast():
            frames = self.frames(model, batch)
            decoder: Any = model.decoder
            return Transcription()(decoder, frames, batch["targets"], batch["target_lengths"])

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Return loss and scores of what the reader makes of the held-out lines; the loss is of those that fit."""
        reader: Any = model
        losses, weight = 0.0, 0.0

        def recognise(batch: LineBatch) -> Any:
            nonlocal losses, weight
            tensors = self.fabric.to_device(self.tensors(batch))
            with self.fabric.autocast():
                frames = self.frames(reader, tensors)
                terms = Transcription()(reader.decoder, frames, tensors["targets"], tensors["target_lengths"])
                readings = reader.decoder.read(frames)
            fitting = len(batch.names) - float(terms.terms["left_out"])
            losses, weight = losses + float(terms.total) * fitting, weight + fitting
            return readings

        read = read_texts(self.held_out, recognise, self.alphabet, batch=self.settings.batch)
        if not read:
            raise SourceError(f"None of the held-out images can be read any more: {told(self.held_out.skipped)}.")
        return {"loss": losses / weight if weight else math.nan, **score_texts(read)}

    def save(self, path: Path, scores: Mapping[str, float]) -> None:
        """Write the reader with all that reading needs, and where its scores come from."""
        header = {
            "alphabet": self.alphabet.to_json(),
            "form": asdict(self.corpus.form),
            "pretext": origin_of(self.settings.encoder).get("pretext", ""),
            "scores": {name: value for name, value in scores.items() if value == value},
        }
        save_reader(path, self.model, header)


def _targets(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensors[name] for name in ("targets", "target_lengths")}


def _unknown(alphabet: Alphabet, lines: Sequence[Line]) -> list[str]:
    """Say which characters of the held-out lines are never learned."""
    unknown = alphabet.unknown(line.text for line in lines)
    if not unknown:
        return []
    characters = " ".join(list(unknown)[:10])
    return [
        f"{sum(unknown.values())} characters of the held-out lines are in none that is learned from ({characters}); "
        "each counts as an error."
    ]


def _too_long(model: Reader, alphabet: Alphabet, dataset: LineDataset, part: str) -> list[str]:
    """Say which lines have more text than their frames allow.

    Raises
    ------
    LabelError
        All lines to learn from have.
    """
    targets, lengths = alphabet.targets([line.text for line in dataset.lines])
    counts = frame_counts(torch.as_tensor(dataset.widths))
    frames = Frames(torch.zeros(1).expand(len(counts), int(counts.max()), 1), counts)  # of no lines' size in memory
    fits = model.decoder.fits(frames, targets, lengths)
    long = [line.name for line, fit in zip(dataset.lines, fits.tolist(), strict=True) if not fit]
    if not long:
        return []
    names = ", ".join(long[:_NAMED]) + (" …" if len(long) > _NAMED else "")
    cure = "A greater height (--height)" if dataset.form.width is None else "A greater width (--line-width)"
    cure += " gives more frames."
    if part != LEARNED:
        return [f"{len(long)} of {len(dataset)} {part} have more characters than frames: {names}. {cure}"]
    if len(long) == len(dataset):
        raise LabelError(
            f"All {len(long)} lines to learn from have more characters than frames, so they teach nothing: {names}. "
            f"{cure}"
        )
    return [f"{len(long)} of {len(dataset)} {part} have more characters than frames and teach nothing: {names}. {cure}"]


def _leftward(lines: Sequence[Line], settings: TrainReader) -> list[str]:
    """Say where a decoder that goes from left to right is to learn what is written from right to left."""
    directions = Counter(unicodedata.bidirectional(character) for line in lines for character in line.text)
    if settings.decoder not in _MONOTONE or directions["R"] + directions["AL"] <= directions["L"]:
        return []
    return [
        f"These transcripts run from right to left, and {settings.decoder} reads images from left to right: it will "
        "hardly learn. Take --decoder attention or transformer, or write the characters as they stand from the left."
    ]


def _train(run: Run, apprentice: Apprentice) -> Iterator[Event]:
    detail = {"lines": len(apprentice.train), "held_out_lines": len(apprentice.held_out)}
    settings = apprentice.settings
    outcome = yield from line_course(
        run,
        apprentice,
        work="train reader",
        detail=detail,
        score=settings.score,
        lr_scales={"recognizer": settings.encoder_lr_mult} if settings.encoder else {},  # random weights learn as fast
    )
    if apprentice.fabric.is_global_zero:
        yield from warn_broken(run, apprentice.train, apprentice.warnings, LEARNED)
        yield from warn_broken(run, apprentice.held_out, apprentice.warnings, HELD_OUT)
        reader, _ = load_reader(run.best_path)
        fabric = apprentice.fabric
        fabric.to_device(reader)

        def recognise(batch: LineBatch) -> Any:
            with fabric.autocast():
                return reader.read(fabric.to_device(batch.images), fabric.to_device(batch.widths))

        read = read_texts(apprentice.test, recognise, apprentice.alphabet, batch=settings.batch)
        yield from warn_broken(run, apprentice.test, apprentice.warnings, TEST)
        if not read:
            raise SourceError(f"None of the images to test with can be read: {told(apprentice.test.skipped)}.")
        path = run.path / "readings.tsv"
        write_readings(path, read)
        yield from conclude(run, outcome, test=score_texts(read, intervals=True), readings=str(path))
