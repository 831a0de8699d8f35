"""Fine-tune: labelled segments and settings in, a run folder with the best weights out."""

from __future__ import annotations

import math
import os
import platform
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from volumen.crops.batches import batches, steps_per_epoch
from volumen.crops.datasets import CropDataset
from volumen.crops.select import centre_layers
from volumen.errors import SourceError
from volumen.events import Finished, Scored, Started, Warned
from volumen.models.checkpoint import load_encoder, save_checkpoint
from volumen.models.encoders import freeze
from volumen.models.unet import build_unet
from volumen.objectives.segmentation import BceDice
from volumen.recipes.held_out import HeldOut
from volumen.recipes.lessons import Lessons
from volumen.settings import Finetune
from volumen.training.devices import open_fabric
from volumen.training.loop import fit
from volumen.training.optimizers import adamw, cosine
from volumen.training.run import Run
from volumen.views.pipelines import pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from volumen.events import Event
    from volumen.models.unet import Unet
    from volumen.objectives.terms import LossTerms

_VERSIONS = ("volumen", "torch", "numpy", "segmentation-models-pytorch", "timm", "zarr")


def finetune(settings: Finetune) -> Iterator[Event]:
    """Train a ResNet-UNet on labelled segments.

    Everything is opened, split and checked before the run folder is made. Best weights, by the score that the
    settings name, are in ``best.safetensors``.

    Yields
    ------
    Event
        The last is `Finished` with ``run``, ``checkpoint``, ``epochs``, ``scores`` (of the best weights, on held-out
        pixels), ``seconds``.

    Raises
    ------
    SourceError, LabelError, SettingsError
        The data cannot be read, there is nothing to learn from, or settings contradict each other or the data.
    OutputExistsError
        There is a run already.
    """
    settings = _absolute(settings)
    lessons = Lessons.of(settings)
    if _first_process():
        run = Run.create(settings.out, _recipe(settings, lessons), overwrite=settings.overwrite)
    else:
        run = Run.open(settings.out)
    yield from _train(run, settings, lessons)


def continue_finetune(run: Run) -> Iterator[Event]:
    """Go on with a run that `finetune` began, on the same data.

    Raises
    ------
    SourceError
        A segment or its label is not the one that the run was begun with.
    """
    settings = Finetune.model_validate(run.recipe["settings"])
    lessons = Lessons.of(settings)
    begun, now = run.recipe["segments"], lessons.identities
    for before, after in zip(begun, now, strict=True):
        if before != after:
            changed = ", ".join(key for key in after if before.get(key) != after[key])
            raise SourceError(
                f"{after['source']} is not what the run was begun with: {changed} changed. "
                f"Bring the former data back, or begin another run."
            )
    yield from _train(run, settings, lessons)


def _train(run: Run, settings: Finetune, lessons: Lessons) -> Iterator[Event]:
    began = time.monotonic()
    fabric = open_fabric(
        device=settings.device,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        precision=settings.precision,
    )
    torch.manual_seed(settings.seed)
    model = build_unet(settings.encoder_name, lessons.layer_count)
    told: list[Event] = [Warned(message=text) for text in lessons.warnings]
    if settings.encoder is not None:
        told.append(Warned(message=str(load_encoder(model, settings.encoder))))
    if settings.freeze:
        freeze(model.encoder)
    loss = BceDice(label_smoothing=settings.label_smoothing)
    dataset = CropDataset(
        lessons.train,
        normalization=lessons.normalization,
        view=pipeline(settings.views, settings.model_size, settings.resized_crop),
        seed=settings.seed,
    )
    steps = steps_per_epoch(len(dataset), settings.batch)
    held_out = HeldOut.of(
        lessons.held_out,
        normalization=lessons.normalization,
        loss=loss,
        fabric=fabric,
    )
    opening = Started(
        work="finetune",
        total=steps * settings.epochs,
        unit="steps",
        device=str(fabric.device),
        detail={"crops": len(dataset), "shares": str(lessons.shares), "steps_per_epoch": steps},
    )
    outcome = yield from fit(
        fabric=fabric,
        model=model,
        objective=lambda module, batch: _objective(loss, module, batch),
        optimizer=adamw(model, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay),
        learning_rate=lambda step: cosine(step, steps=steps * settings.epochs, peak=settings.learning_rate),
        batches=lambda epoch, first: batches(
            dataset,
            epoch=epoch,
            start_step=first,
            batch=settings.batch,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
            pin=fabric.device.type == "cuda",
        ),
        steps_per_epoch=steps,
        epochs=settings.epochs,
        validate=held_out,
        score=settings.score,
        patience=settings.patience,
        run=run,
        save_best=lambda path, _, scores: _save(path, model, scores, settings, lessons),
        clip_norm=settings.clip_norm,
        save_seconds=settings.save_seconds,
        seed=settings.seed,
        opening=[opening, *told],
    )
    if not fabric.is_global_zero:
        return
    finished = Finished(
        result={
            "run": str(run.path),
            "checkpoint": str(run.best_path),
            "epochs": outcome.epochs,
            "best_epoch": outcome.stopping.best_epoch,
            "stopped_early": outcome.stopped_early,
            "scores": _best_scores(run, outcome.stopping.best_epoch),
            "seconds": time.monotonic() - began,
        }
    )
    if not run.finished:
        run.record(finished)
    yield finished


def _objective(loss: BceDice, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
    return loss(model(batch["image"]), batch["ink"], batch["supervision"])


def _save(path: Path, model: Unet, scores: Mapping[str, float], settings: Finetune, lessons: Lessons) -> None:
    """Write a checkpoint that says all that prediction needs and where its scores come from."""
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
    save_checkpoint(path, model, header)


def _recipe(settings: Finetune, lessons: Lessons) -> dict[str, Any]:
    """Say everything that is needed to do the work again."""
    return {
        "verb": "finetune",
        "settings": settings.model_dump(mode="json"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}},
        "segments": lessons.identities,
        "normalization": lessons.normalization.to_dict(),
        "held_out": lessons.held_out_boxes,
    }


def _best_scores(run: Run, epoch: int) -> Mapping[str, float]:
    """Read the scores of the best epoch back from the run's events, the one place where they are kept."""
    return next((e.scores for e in run.events() if isinstance(e, Scored) and e.step == epoch), {})


def _absolute(settings: Finetune) -> Finetune:
    """Write local paths in full, so that a run can be resumed from any folder."""
    lists = ("segments", "ink", "supervision", "held_out_mask", "mask")
    changes: dict[str, Any] = {name: tuple(map(_full, getattr(settings, name))) for name in lists}
    return settings.model_copy(update={**changes, "encoder": settings.encoder and _full(settings.encoder)})


def _full(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def _first_process() -> bool:
    """Say whether this process was started by a person, not by another one that trains on several devices."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"
