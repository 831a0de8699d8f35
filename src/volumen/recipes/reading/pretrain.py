"""Pretrain on lines: images of text lines and a pretext task in, a run folder with the best recogniser out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from volumen.crops.line_dataset import LineDataset
from volumen.crops.width_buckets import by_width
from volumen.errors import SettingsError, SourceError
from volumen.models.checkpoint import save_encoder
from volumen.models.recognizer.recognizer import Recognizer
from volumen.recipes.bookkeeping import carry_out, conclude, fabric_of
from volumen.recipes.first_weights import take_encoder
from volumen.recipes.reading.line_corpus import LineCorpus
from volumen.recipes.reading.line_course import HELD_OUT, LEARNED, left_out, line_course, line_steps, warn_broken
from volumen.recipes.reading.origin import origin_of, other_form
from volumen.recipes.reading.pretexts import build_pretext
from volumen.settings.pretrain_lines import PretrainRotation
from volumen.views.sequence import SequenceView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor

    from volumen.events import Event
    from volumen.objectives.terms import LossTerms
    from volumen.recipes.reading.pretexts import Pretext
    from volumen.settings.pretrain_lines import PretrainLines
    from volumen.training.run import Run


def pretrain_lines(settings: PretrainLines) -> Iterator[Event]:
    """Pretrain a recogniser on images of text lines by the pretext task whose settings these are.

    Transcripts are not looked at, and lines that the list keeps for testing are not used. Everything is opened and
    checked before the run folder is made. The recogniser with the lowest held-out loss is in ``best.safetensors``,
    without its head: give it to `train_reader` as the encoder.

    Yields
    ------
    Event
        The last is `Finished` with ``run``, ``checkpoint``, ``epochs`` (rounds of ``score_steps``), ``scores`` (of the
        best weights, on held-out lines: the loss, and what tells whether the task is being solved), ``seconds``.

    Raises
    ------
    SourceError, SettingsError
        The lines cannot be read, there are too few, or settings contradict each other or those of the run that they
        should go on with.
    OutputExistsError
        There is a run already.
    """
    yield from carry_out(settings, prepare=LinePupil.of, train=_train)


class Headed(nn.Module):
    """A recogniser with the head of a pretext task above the frames that are learned on."""

    def __init__(self, recognizer: Recognizer, head: nn.Module) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.head = head


@dataclass(frozen=True, kw_only=True)
class LinePupil:
    """A recogniser, its task, its lines and the devices to train on: what can fail does so before a run is made."""

    settings: PretrainLines
    corpus: LineCorpus
    pretext: Pretext
    model: Headed
    fabric: Fabric
    warnings: tuple[str, ...]
    train: LineDataset
    unseen: list[dict[str, Tensor]]

    @classmethod
    def of(cls, settings: PretrainLines) -> LinePupil:
        """Open the data, build the model and start the devices' processes, in this order."""
        corpus = LineCorpus.of(settings, transcribed=False)
        warnings = [*corpus.warnings]
        torch.manual_seed(settings.seed)
        recognizer = Recognizer(settings.model_width)
        warnings += take_encoder(recognizer, settings.encoder, least=settings.least_loaded)
        warnings += other_form(origin_of(settings.encoder), corpus) + _stretched(settings)
        pretext = build_pretext(settings, recognizer)
        least = 2 * settings.devices * settings.num_nodes
        if pretext.twice and settings.batch < least:
            raise SettingsError(
                f"{pretext.name} tells the lines of a batch from each other on each device; expected --batch {least} "
                f"or more, got {settings.batch}."
            )
        view = SequenceView(name=settings.views)
        train, held_out = (
            LineDataset(lines, form=corpus.form, view=view, seed=settings.seed)
            for lines in (corpus.split.train, corpus.shown)
        )
        parts = {LEARNED: train, HELD_OUT: held_out}
        warnings += [text for part, dataset in parts.items() for text in left_out(dataset, part)]
        fabric = fabric_of(settings)
        return cls(
            settings=settings,
            corpus=corpus,
            pretext=pretext,
            model=Headed(recognizer, pretext.head),
            fabric=fabric,
            warnings=tuple(warnings),
            train=train,
            unseen=_unseen(held_out, pretext, settings),
        )

    @property
    def identities(self) -> Sequence[Mapping[str, Any]]:
        """What the data are."""
        return self.corpus.identities

    @property
    def found(self) -> Mapping[str, Any]:
        """What was found out about the data."""
        return self.corpus.found

    @property
    def batches(self) -> Callable[[int, int], Iterator[dict[str, Tensor]]]:
        """What is learned from in a round from a step on."""
        rank, seed = self.fabric.global_rank, self.settings.seed
        return line_steps(
            self.train,
            self.settings,
            self.fabric,
            lambda batch, step: self.pretext.tensors(batch, (seed, step, rank)),
            twice=self.pretext.twice,
        )

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Score a batch."""
        with self.fabric.autocast():
            encoder = getattr(model.recognizer, self.settings.features)
            return self.pretext.score(encoder, model.head, batch)

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Return the mean loss and terms over the held-out lines, the same views and puzzles each time."""
        sums: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        devices = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.settings.seed)
            for batch in self.unseen:
                terms = self.objective(model, self.fabric.to_device(batch))
                counted = float(terms.terms.get("counted", torch.ones(()))) * len(batch["images"])
                told: dict[str, Tensor | float] = {
                    "loss": terms.total,
                    **terms.terms,
                    **self.pretext.guessing(terms.terms),
                }
                for name, value in told.items():
                    weight = len(batch["images"]) if name == "counted" else counted
                    sums[name].append((float(value), weight))
        return {name: _mean(pairs) for name, pairs in sums.items()}

    def save(self, path: Path, scores: Mapping[str, float]) -> None:
        """Write the recogniser without its head, and what it was made from."""
        header = {
            "pretext": self.pretext.name,
            "form": asdict(self.corpus.form),
            "features": self.settings.features,
            "scored_on": self.corpus.scored_on,
            "scores": {name: value for name, value in scores.items() if value == value},
        }
        save_encoder(path, self.model.recognizer, self.model.recognizer.architecture, header)


def _stretched(settings: PretrainLines) -> list[str]:
    if not isinstance(settings, PretrainRotation) or settings.line_width is None:
        return []
    return [
        "Lines of one width are stretched along the line, and a stretched square shows by its grain alone whether it "
        "was turned on its side: rotation may be learned without the writing. Leave out --line-width and --mode paper."
    ]


def _unseen(held_out: LineDataset, pretext: Pretext, settings: PretrainLines) -> list[dict[str, Tensor]]:
    """Return batches of the held-out lines as they are scored: always the same views and puzzles."""
    found = []
    for number, row in enumerate(by_width(held_out.widths, settings.batch)):
        batch = held_out.batch(row.tolist(), epoch=0, twice=pretext.twice)
        if batch is not None and not (pretext.twice and len(batch.names) == 1):  # one line has nothing beside it
            found.append(pretext.tensors(batch, (settings.seed, number)))
    if not found:
        raise SourceError(
            f"Expected lines to hold out whose images can be read, {1 + pretext.twice} or more; there are fewer. "
            "Hold out more (--held-out-share)."
        )
    if not any(bool(batch.get("counted", torch.ones(1)).any()) for batch in found):
        raise SourceError(
            f"Expected held-out lines with enough written on them for {pretext.name}; none has: they are too narrow, "
            "too low or blank. Take wider or higher lines (--height), or fewer and smaller parts of them."
        )
    return found


def _mean(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the weighted mean of the values that are numbers: a batch may hold nothing that counts."""
    known = [(value, weight) for value, weight in pairs if value == value and weight]
    if not known:
        return float("nan")
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known)


def _train(run: Run, pupil: LinePupil) -> Iterator[Event]:
    detail = {"lines": len(pupil.train), "held_out_lines": len(pupil.corpus.shown)}
    work = f"pretrain {pupil.pretext.name}"
    outcome = yield from line_course(run, pupil, work=work, detail=detail, score="loss")
    if pupil.fabric.is_global_zero:
        yield from warn_broken(run, pupil.train, pupil.warnings, LEARNED)
        yield from conclude(run, outcome)
