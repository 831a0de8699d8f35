"""Pretrain on photographs: photographs and a task in, a run folder with the best encoder out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from volumen.crops.batches import steps_per_epoch
from volumen.crops.photo_dataset import PhotoDataset
from volumen.errors import SettingsError
from volumen.models.checkpoint import save_encoder
from volumen.recipes.bookkeeping import carry_out, conclude, epochs_of, fabric_of
from volumen.recipes.first_weights import take_encoder
from volumen.recipes.photos.photo_corpus import PhotoCorpus, warn_broken
from volumen.recipes.photos.photo_course import photo_course
from volumen.recipes.photos.photo_start import encoder_of
from volumen.recipes.photos.rotation_task import RotationTask
from volumen.recipes.photos.spark_task import SparkTask
from volumen.recipes.photos.triplet_task import TripletTask
from volumen.recipes.photos.vocabulary import choose_tags, is_tagged, with_tags
from volumen.views.photo import PhotoView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.events import Event
    from volumen.objectives.terms import LossTerms
    from volumen.recipes.photos.photo_task import PhotoTask
    from volumen.settings.pretrain_photos import PretrainPhotos
    from volumen.training.run import Run

_COLOURS = 3
_SHORTCUT = (
    "Without views, how photographs were brought to a square tells how they are turned, whatever they show: the "
    "encoder may learn that alone. Take the views flip_crop, or boxes at native scale (fit crop)."
)
_TASKS: dict[str, type[RotationTask | SparkTask | TripletTask]] = {
    "rotation": RotationTask,
    "triplet": TripletTask,
    "spark": SparkTask,
}


def pretrain_photos(settings: PretrainPhotos) -> Iterator[Event]:
    """Pretrain an encoder on photographs by the task that the settings name.

    Everything is opened and checked before the run folder is made. The best encoder is in ``best.safetensors``, without
    its head, under the keys of timm and torchvision: give it to `volumen train tagger` or `volumen train segmenter`.
    After triplets ``embedder.safetensors`` holds it with its embedding; after SparK ``reconstructions`` shows what the
    last weights paint.

    Yields
    ------
    Event
        The last is `Finished` with ``run``, ``checkpoint``, ``epochs``, ``scores`` (of the best weights, on held-out
        photographs: the loss, and what tells whether the task is being solved), ``seconds``.

    Raises
    ------
    SourceError, LabelError, SettingsError, CheckpointError
        The photographs cannot be read or are too small to crop, triplets find no tags, the weights do not fit, or
        settings contradict each other.
    OutputExistsError
        There is a run already.
    """
    yield from carry_out(settings, prepare=PhotoPupil.of, train=_train)


@dataclass(frozen=True, kw_only=True)
class PhotoPupil:
    """An encoder, its task, its photographs and the devices to train on: what can fail does so before a run is made."""

    settings: PretrainPhotos
    corpus: PhotoCorpus
    task: PhotoTask
    tags: tuple[str, ...]
    fabric: Fabric
    warnings: tuple[str, ...]
    train: PhotoDataset
    held_out: PhotoDataset

    @classmethod
    def of(cls, settings: PretrainPhotos) -> PhotoPupil:
        """Open the data, build the model and start the devices' processes, in this order."""
        task_class = _TASKS[settings.task]
        tagged = task_class.labels == "tags"
        corpus = PhotoCorpus.of(settings, usable=is_tagged if tagged else None, lack="without tags")
        _check_crops(corpus, settings)
        parts = (with_tags(corpus.split.train), with_tags(corpus.split.held_out))
        tags, warnings = choose_tags(parts[0], settings) if tagged else ((), [])
        if (settings.task, settings.fit, settings.views) == ("rotation", "resize", "none"):
            warnings.append(_SHORTCUT)
        train, held_out = (
            PhotoDataset(
                part,
                labels=task_class.labels,
                tags=tags,
                size=settings.size,
                fit=settings.fit,
                view=view,
                seed=settings.seed,
            )
            for part, view in zip(parts, (PhotoView(name=settings.views), None), strict=True)
        )
        fabric = fabric_of(settings)
        torch.manual_seed(settings.seed)
        task: PhotoTask = task_class.of(settings, held_out, fabric)
        warnings += take_encoder(task.model, settings.encoder, least=settings.least_loaded)
        return cls(
            settings=settings,
            corpus=corpus,
            task=task,
            tags=tags,
            fabric=fabric,
            warnings=(*corpus.warnings, *warnings),
            train=train,
            held_out=held_out,
        )

    @property
    def model(self) -> nn.Module:
        """The encoder under what the task needs above it."""
        return self.task.model

    @property
    def identities(self) -> Sequence[Mapping[str, Any]]:
        """What the data are."""
        return self.corpus.identities

    @property
    def found(self) -> Mapping[str, Any]:
        """What was found out about the data."""
        return {**self.corpus.found, "tags": list(self.tags)}

    @property
    def steps_per_epoch(self) -> int:
        """How many batches see every photograph once."""
        return steps_per_epoch(len(self.train), self.settings.batch)

    @property
    def batches(self) -> Callable[[int, int], Iterator[dict[str, Tensor]]]:
        """What is learned from in an epoch from a step on."""
        made = epochs_of(self.train, batch=self.settings.batch, fabric=self.fabric)
        steps = self.steps_per_epoch

        def from_step(epoch: int, first: int) -> Iterator[dict[str, Tensor]]:
            for step, batch in enumerate(made(epoch, first), start=epoch * steps + first):
                yield self.task.batch(batch, step, steps * self.settings.epochs)

        return from_step

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Score a batch."""
        return self.task.objective(model, batch)

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Score what is held out."""
        return self.task.judge(model)

    def save(self, path: Path, scores: Mapping[str, float]) -> None:
        """Write the encoder without its head, and what it was made from."""
        built = encoder_of(self.settings, self.settings.encoder)
        header = {
            "pretext": self.settings.task,
            "standard": self.task.standard,
            "input_size": list(self.settings.size),
            "scores": {name: value for name, value in scores.items() if value == value},
        }
        architecture = {"encoder_name": built["encoder_name"], "in_channels": _COLOURS}
        if built["width"] != 1:
            architecture["width"] = built["width"]
        encoder: Any = self.model.encoder
        save_encoder(path, encoder, architecture, header)
        self.task.save(path)


def _check_crops(corpus: PhotoCorpus, settings: PretrainPhotos) -> None:
    """Raise a `SettingsError` where a box would reach out of a photograph: its black rim would answer every task."""
    if settings.fit == "resize":
        return
    photos = (*corpus.split.train, *corpus.split.held_out)
    small = [
        photo for photo in photos if any(there < side for there, side in zip(photo.size, settings.size, strict=True))
    ]
    if small:
        least = min(min(photo.size) for photo in small)
        raise SettingsError(
            f"{len(small)} photographs are smaller than boxes of {settings.size[0]} x {settings.size[1]} px, such as "
            f"{small[0].name}. Give a size of {least} px or less, or resize them (--fit resize)."
        )


def _train(run: Run, pupil: PhotoPupil) -> Iterator[Event]:
    detail = {"photos": len(pupil.train), "held_out_photos": len(pupil.held_out)}
    work = f"pretrain photos, {pupil.settings.task}"
    outcome = yield from photo_course(run, pupil, work=work, detail=detail, score="loss")
    if pupil.fabric.is_global_zero:
        yield from warn_broken(run, pupil.train, pupil.held_out)
        pupil.task.conclude(run.path, outcome.epochs)
        yield from conclude(run, outcome)
