"""Fine-tune: labelled segments and settings in, a run folder with the best weights out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from volumen.crops.batches import batches, steps_per_epoch
from volumen.crops.datasets import CropDataset
from volumen.crops.select import centre_layers
from volumen.errors import CheckpointError
from volumen.memory import out_of_memory
from volumen.models.checkpoint import load_checkpoint, save_checkpoint
from volumen.models.encoders import freeze, measure_norms
from volumen.models.unet import LEAST_CROP, Unet, build_unet
from volumen.objectives.segmentation import BceDice
from volumen.recipes.bookkeeping import carry_out, conclude, epochs_of, fabric_of
from volumen.recipes.course import course
from volumen.recipes.first_weights import take_encoder
from volumen.recipes.held_out import HeldOut
from volumen.recipes.lessons import Lessons
from volumen.run_folder import weights_file
from volumen.training.optimizers import Rates, warm_up_cosine
from volumen.views.pipelines import pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.crops.datasets import Item
    from volumen.events import Event
    from volumen.models.segmenters import Segmenter
    from volumen.objectives.terms import LossTerms
    from volumen.settings import Finetune
    from volumen.training.run import Run

_MEASURED_BATCHES = 16  # to measure norm statistics on


def finetune(settings: Finetune) -> Iterator[Event]:
    """Train a U-Net on labelled segments: crops (layers, H, W) in [0, 1] to the ink of each pixel.

    Everything is opened, split and checked before the run folder is made. Best weights, by the score that the
    settings name, are in ``best.safetensors``. The loss is half cross-entropy, half Dice, over supervised pixels.

    Parameters
    ----------
    settings
        Segments, what is learned from and held out of them, the model and how long it trains.

    Yields
    ------
    Event
        `Started`, a `Stepped` for each step with its losses, a `Scored` after each epoch; the last is `Finished` with
        ``run``, ``checkpoint`` (paths), ``epochs``, ``scores`` (of the best weights, on held-out pixels), ``seconds``.

    Raises
    ------
    SourceError, LabelError, SettingsError
        The data cannot be read, there is nothing to learn from, or settings contradict each other, the data, or, with
        ``resume``, those of the run.
    CheckpointError
        The weights to start from cannot be read, or are those of another model.
    OutputExistsError
        There is a run already.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.Finetune(segments=("20230827161847.zarr",), out="runs/first")
    >>> for event in finetune(chosen):  # doctest: +SKIP
    ...     print(event)
    """
    yield from carry_out(settings, prepare=Trainee.of, train=_train)


@dataclass(frozen=True, kw_only=True)
class Trainee:
    """A model, its lessons and the devices to train on: all that can fail does so before a run is made."""

    settings: Finetune
    lessons: Lessons
    model: Unet
    loss: BceDice
    fabric: Fabric
    warnings: tuple[str, ...]
    train: CropDataset
    held_out: HeldOut

    @classmethod
    def of(cls, settings: Finetune) -> Trainee:
        """Open the data, build the model and start the devices' processes, in this order."""
        lessons = Lessons.of(settings)
        warnings = lessons.warnings
        if settings.model_size < LEAST_CROP:
            side = settings.model_size
            warnings.append(
                f"Crops of {side} px teach the model nothing of what lies further away; held-out scores and maps show "
                f"it more, and may suffer. Take {LEAST_CROP} px or more, or predict with --tile {max(64, side)}."
            )
        torch.manual_seed(settings.seed)
        model = build_unet(settings.encoder_name, lessons.layer_count)
        warnings += take_encoder(
            model, settings.encoder, least=settings.least_loaded, adapt_channels=settings.adapt_channels
        )
        if settings.start is not None:
            _start_from(model, settings.start)
        if settings.freeze:
            freeze(model.encoder)
        fabric = fabric_of(settings)
        loss = BceDice(label_smoothing=settings.label_smoothing)
        return cls(
            settings=settings,
            lessons=lessons,
            model=model,
            loss=loss,
            fabric=fabric,
            warnings=tuple(warnings),
            train=_crops(lessons.train, lessons, settings),
            held_out=HeldOut.of(
                zip(lessons.segments, lessons.splits, strict=True),
                normalization=lessons.normalization,
                loss=loss,
                fabric=fabric,
            ),
        )

    @property
    def identities(self) -> Sequence[Mapping[str, Any]]:
        """What the data are."""
        return self.lessons.identities

    @property
    def found(self) -> Mapping[str, Any]:
        """What was found out about the data."""
        return {"normalization": self.lessons.normalization.to_dict(), "held_out": self.lessons.held_out_boxes}

    @property
    def batches(self) -> Callable[[int, int], Iterator[dict[str, Tensor]]]:
        """Crops of an epoch, augmented."""
        return epochs_of(self.train, batch=self.settings.batch, fabric=self.fabric)

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Score what a model makes of crops against their labels, where those are trusted."""
        return self.loss(model(batch["image"]), batch["ink"], batch["supervision"])

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Score what a model makes of the held-out boxes."""
        return dict(self.held_out(model))

    def save(self, path: Path, scores: Mapping[str, float]) -> None:
        """Write a checkpoint that says all that prediction needs and where its scores come from."""
        settings, lessons = self.settings, self.lessons
        first = lessons.segments[0]
        start, stop = centre_layers(first.depth, settings.layers)
        threshold = scores["threshold"]
        header = {
            "layers": [start, stop],
            "layer_count": stop - start,
            "surface_offset": start - first.surface_index,
            "reverse": settings.reverse,
            "normalization": lessons.normalization.to_dict(),
            "window": settings.window,
            "input_size": settings.model_size,
            "voxel_um": first.voxel_um,
            "threshold": threshold if math.isfinite(threshold) else None,
            "label_hash": lessons.label_hashes,
            "held_out": lessons.held_out_boxes,
            "scores": {name: value for name, value in scores.items() if math.isfinite(value)},
        }
        save_checkpoint(path, self.model, header)


def _crops(windows: Sequence[Item], lessons: Lessons, settings: Finetune, *, labelled: bool = True) -> CropDataset:
    """Return windows as crops to learn from, normalised and augmented as the settings say."""
    return CropDataset(
        windows,
        normalization=lessons.normalization,
        view=pipeline(settings.views, settings.model_size, settings.resized_crop),
        seed=settings.seed,
        labelled=labelled,
    )


def _start_from(model: Unet, path: str) -> None:
    """Give a model the weights of a checkpoint or run, which must be one of the same kind."""
    former, _ = load_checkpoint(weights_file(path))
    if former.architecture != model.architecture:
        raise CheckpointError(
            f"{path} holds {_kind(former)}; these settings ask for {_kind(model)}. Give the same --encoder-name and "
            "number of --layers, or start from something else."
        )
    model.load_state_dict(former.state_dict())


def _kind(model: Segmenter) -> str:
    said = model.architecture
    return f"a {said.get('encoder_name') or said['model']} over {model.in_channels} layers"


def _train(run: Run, trainee: Trainee) -> Iterator[Event]:
    settings = trainee.settings
    if settings.freeze and settings.frozen_norms == "measured":
        _measure_norms(trainee)
    steps = steps_per_epoch(len(trainee.train), settings.batch)
    total, warm_up = steps * settings.epochs, steps * settings.warm_up_epochs
    outcome = yield from course(
        run,
        trainee,
        work="finetune",
        detail={"crops": len(trainee.train), "shares": str(trainee.lessons.shares)},
        score=settings.score,
        epochs=settings.epochs,
        steps_per_epoch=steps,
        rates=lambda step: Rates(warm_up_cosine(step, steps=total, warm_up=warm_up, peak=settings.learning_rate)),
        lr_scales={"encoder": settings.encoder_lr_mult} if settings.encoder else {},  # random weights have all to learn
    )
    if trainee.fabric.is_global_zero:
        yield from conclude(run, outcome)


def _measure_norms(trainee: Trainee) -> None:
    """Measure the norm statistics of a frozen encoder on all crops: a share of them has one place's statistics."""
    every = _crops(trainee.lessons.windows, trainee.lessons, trainee.settings, labelled=False)
    some = islice(batches(every, epoch=0, batch=trainee.settings.batch), _MEASURED_BATCHES)
    to_device = trainee.fabric.to_device
    with out_of_memory("norms were measured", "Use a smaller batch, or a smaller input size."):
        measure_norms(to_device(trainee.model.encoder), ((to_device(batch["image"]),) for batch in some))
