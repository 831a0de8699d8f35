"""Train a segmenter: photographs with polygons or masks in, a run folder with the best segmenter and its maps out."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from volumen.crops.batches import steps_per_epoch
from volumen.crops.normalize import Normalization
from volumen.crops.photo_dataset import PhotoDataset
from volumen.models.checkpoint import PHOTOS, load_checkpoint, save_checkpoint
from volumen.models.segmenters import Segmenter, build_segmenter
from volumen.objectives.segmentation import BCE_WEIGHTS, BceDice
from volumen.recipes.bookkeeping import carry_out, conclude, epochs_of, fabric_of
from volumen.recipes.first_weights import take_encoder
from volumen.recipes.photos.maps import write_maps
from volumen.recipes.photos.overlaps import Judged, judge, write_overlaps
from volumen.recipes.photos.photo_corpus import PhotoCorpus, warn_broken
from volumen.recipes.photos.photo_course import photo_course
from volumen.recipes.photos.photo_start import standard_of
from volumen.views.photo import PhotoView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.events import Event
    from volumen.objectives.terms import LossTerms
    from volumen.settings.train_segmenter import TrainSegmenter
    from volumen.training.run import Run

_COLOURS = 3
_HALF = 0.5  # probability from which a pixel is called, as in the scores


def train_segmenter(settings: TrainSegmenter) -> Iterator[Event]:
    """Train a segmenter of photographs: what is marked in them, by polygons or masks, against what is not.

    Regions to ignore never count, in learning and in scoring. Everything is opened, parted and checked before the run
    folder is made. The segmenter with the best held-out score is in ``best.safetensors``; ``overlaps.csv`` holds what
    it finds in each held-out photograph, and ``maps`` its maps of some.

    Yields
    ------
    Event
        The last is `Finished` with ``run``, ``checkpoint``, ``epochs``, ``scores`` (of the best weights, on held-out
        photographs: ``loss``, the six of `volumen.evaluation.photo_overlap`, ``empty``, how many photographs had
        nothing to find, and ``epoch_seconds``, what learning took, NaN where it was interrupted), ``overlaps`` (path),
        ``seconds``.

    Raises
    ------
    SourceError, LabelError, SettingsError, CheckpointError
        The photographs cannot be read, none is annotated, the weights do not fit, or settings contradict each other.
    OutputExistsError
        There is a run already.
    """
    yield from carry_out(settings, prepare=SegmentLearner.of, train=_train)


@dataclass(frozen=True, kw_only=True)
class SegmentLearner:
    """A segmenter, its photographs and the devices to train on: all that can fail does so before a run is made."""

    settings: TrainSegmenter
    corpus: PhotoCorpus
    model: Segmenter
    loss: BceDice
    fabric: Fabric
    warnings: tuple[str, ...]
    train: PhotoDataset
    held_out: PhotoDataset
    _clock: list[float] = field(default_factory=list)  # when learning in this epoch began, if now

    @classmethod
    def of(cls, settings: TrainSegmenter) -> SegmentLearner:
        """Open the data, build the model and start the devices' processes, in this order."""
        corpus = PhotoCorpus.annotated(settings)
        torch.manual_seed(settings.seed)
        model = build_segmenter(settings.model, **_arguments(settings))
        warnings = list(corpus.warnings)
        warnings += take_encoder(model, settings.encoder, least=settings.least_loaded)
        # a crop at native scale is a random part already
        area = (1.0, 1.0) if settings.fit == "crop" else (0.5, 1.0)
        train, held_out = (
            PhotoDataset(
                part,
                size=settings.size,
                fit=settings.fit,
                background=settings.background,
                view=PhotoView(name=settings.views, area=area),
                seed=settings.seed,
            )
            for part in (corpus.split.train, corpus.split.held_out)
        )
        return cls(
            settings=settings,
            corpus=corpus,
            model=model,
            loss=BceDice(bce_weight=BCE_WEIGHTS[settings.loss]),
            fabric=fabric_of(settings),
            warnings=tuple(warnings),
            train=train,
            held_out=held_out,
        )

    @property
    def identities(self) -> Sequence[Mapping[str, Any]]:
        """What the data are."""
        return self.corpus.identities

    @property
    def found(self) -> Mapping[str, Any]:
        """What was found out about the data."""
        return {**self.corpus.found, "parameters": sum(each.numel() for each in self.model.parameters())}

    @property
    def steps_per_epoch(self) -> int:
        """How many batches see every photograph once."""
        return steps_per_epoch(len(self.train), self.settings.batch)

    @property
    def batches(self) -> Callable[[int, int], Iterator[dict[str, Tensor]]]:
        """What is learned from in an epoch from a step on."""
        made = epochs_of(self.train, batch=self.settings.batch, fabric=self.fabric)

        def timed(epoch: int, first: int) -> Iterator[dict[str, Tensor]]:
            self._clock[:] = [] if first else [time.monotonic()]  # what a session finds begun, it did not time
            return made(epoch, first)

        return timed

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Score a batch."""
        with self.fabric.autocast():
            logits = model(batch["image"])
        return self.loss(logits, batch["target"], batch["supervision"])

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Return the loss and the overlaps of what the model finds in the held-out photographs."""
        seconds = time.monotonic() - self._clock[0] if self._clock else math.nan
        judged = self.judged(model)
        return {
            "loss": judged.loss,
            **judged.overlap.scores(batch=self.settings.batch),
            "empty": float(judged.overlap.empty),
            "epoch_seconds": seconds,
        }

    def judged(self, model: nn.Module) -> Judged:
        """Return what the model finds in the held-out photographs."""
        return judge(model, self.held_out, self.loss, batch=self.settings.batch, fabric=self.fabric)

    def save(self, path: Path, scores: Mapping[str, float]) -> None:
        """Write the segmenter with all that predicting needs, and where its scores come from."""
        settings = self.settings
        header = {
            "layers": [0, _COLOURS],
            "layer_count": _COLOURS,
            "surface_offset": -(_COLOURS // 2),
            "reverse": False,
            "normalization": Normalization().to_dict(),
            "input_size": list(settings.size),
            "threshold": _HALF,
            PHOTOS: {"fit": settings.fit, "background": list(settings.background)},
            "held_out_photos": [photo.name for photo in self.corpus.split.held_out],
            "scores": {name: value for name, value in scores.items() if math.isfinite(value)},
        }
        save_checkpoint(path, self.model, header)


def _arguments(settings: TrainSegmenter) -> dict[str, Any]:
    """Return what builds the model that is asked for."""
    if settings.model == "unet":
        standard = standard_of(settings.encoder)
        return {"encoder_name": settings.encoder_name, "in_channels": _COLOURS, "standard": standard}
    return {"in_channels": _COLOURS, "width": settings.model_width}


def _train(run: Run, learner: SegmentLearner) -> Iterator[Event]:
    detail = {"photos": len(learner.train), "held_out_photos": len(learner.held_out)}
    outcome = yield from photo_course(run, learner, work="train segmenter", detail=detail, score=learner.settings.score)
    if learner.fabric.is_global_zero:
        yield from warn_broken(run, learner.train, learner.held_out)
        model, _ = load_checkpoint(run.best_path)
        learner.fabric.to_device(model)
        path = run.path / "overlaps.csv"
        write_overlaps(path, learner.judged(model))
        write_maps(run.path, model, learner.held_out, fabric=learner.fabric)
        yield from conclude(run, outcome, overlaps=str(path))
