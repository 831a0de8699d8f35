"""Pretrain: unlabelled segments and settings in, a run folder with the best encoder out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from volumen.crops.batches import steps_per_epoch
from volumen.crops.datasets import CropDataset
from volumen.errors import LabelError
from volumen.events import Started, Warned
from volumen.models.checkpoint import save_encoder
from volumen.models.spark import Spark, build_spark
from volumen.objectives.reconstruction import Reconstruction
from volumen.recipes.bookkeeping import carry_out, conclude, epochs_of, fabric_of
from volumen.recipes.corpus import Corpus
from volumen.recipes.first_weights import take_encoder
from volumen.recipes.unseen import Unseen
from volumen.training.loop import fit
from volumen.training.optimizers import Rates, adamw, decay_cosine, lamb, warm_up_cosine
from volumen.views.masking import draw_visible
from volumen.views.pipelines import pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.events import Event
    from volumen.objectives.terms import LossTerms
    from volumen.recipes.probe import Probe
    from volumen.settings import PretrainSpark
    from volumen.training.run import Run


def pretrain_spark(settings: PretrainSpark) -> Iterator[Event]:
    """Pretrain an encoder by reconstructing masked patches, without labels.

    The encoder sees only the visible patches (SparK: Tian et al., ICLR 2023, arXiv 2301.03580), packed, and a light
    decoder paints the others. Everything is opened and checked before the run folder is made. The encoder with the
    lowest held-out loss is in ``best.safetensors``, under the keys of timm and torchvision; reconstructions of
    held-out crops are in ``reconstructions/``.

    Yields
    ------
    Event
        The last is `Finished` with ``run``, ``checkpoint``, ``epochs``, ``scores`` (of the best encoder, on held-out
        crops, beside guesses that learn nothing), ``seconds``.

    Raises
    ------
    SourceError, SettingsError
        The data cannot be read, are smaller than a crop, the encoder cannot run packed, or settings contradict each
        other or those of the run that they should go on with.
    OutputExistsError
        There is a run already.
    """
    yield from carry_out(settings, prepare=Pupil.of, train=_train)


@dataclass(frozen=True, kw_only=True)
class Pupil:
    """A model, what it learns from and the devices to train on: all that can fail does so before a run is made."""

    settings: PretrainSpark
    corpus: Corpus
    model: Spark
    fabric: Fabric
    warnings: tuple[str, ...]
    probe: Probe | None

    @classmethod
    def of(cls, settings: PretrainSpark) -> Pupil:
        """Open the data, build the model and start the devices' processes, in this order."""
        corpus = Corpus.of(settings)
        torch.manual_seed(settings.seed)
        model = build_spark(
            settings.encoder_name, corpus.layer_count, width=settings.decoder_width, patch=settings.patch
        )
        warnings = [*corpus.warnings, *take_encoder(model, settings.encoder)]
        probe = None
        if settings.probe_epochs:
            try:
                probe = corpus.probe()
            except LabelError as error:
                warnings.append(f"The features are not probed: {error}")
        return cls(
            settings=settings,
            corpus=corpus,
            model=model,
            fabric=fabric_of(settings),
            warnings=tuple(warnings),
            probe=probe,
        )

    @property
    def identities(self) -> Sequence[Mapping[str, Any]]:
        """What the data are."""
        return self.corpus.identities

    @property
    def found(self) -> Mapping[str, Any]:
        """What was found out about the data."""
        return {"normalization": self.corpus.normalization.to_dict(), "held_out": self.corpus.held_out_boxes}

    @property
    def loss(self) -> Reconstruction:
        """What the model descends."""
        return Reconstruction(patch=self.settings.patch, targets=self.settings.targets)

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Hide patches, drawn from the step's own random state, and score what the model makes of them."""
        image = batch["image"]
        height, width = image.shape[2:]
        patch = self.settings.patch
        visible = draw_visible(len(image), (height // patch, width // patch), masked=self.settings.masked)
        return self.loss(model(image, visible), image, visible, batch["papyrus"])

    def optimizer(self) -> torch.optim.Optimizer:
        """Make the optimizer that the settings name."""
        settings = self.settings
        rate, decay = settings.learning_rate, settings.weight_decay
        match settings.optimizer:
            case "lamb":
                return lamb(self.model, learning_rate=rate, weight_decay=decay, max_grad_norm=settings.clip_norm)
            case "adamw":
                return adamw(self.model, learning_rate=rate, weight_decay=decay)

    def rates(self, steps_per_epoch: int) -> Callable[[int], Rates]:
        """Return learning rate and weight decay as functions of the step; the rate grows with the batch."""
        settings = self.settings
        steps, warm_up = settings.epochs * steps_per_epoch, settings.warm_up_epochs * steps_per_epoch
        peak = settings.learning_rate * settings.batch / 256
        return lambda step: Rates(
            learning_rate=warm_up_cosine(step, steps=steps, warm_up=warm_up, peak=peak),
            weight_decay=decay_cosine(step, steps=steps, first=settings.weight_decay, last=settings.final_weight_decay),
        )

    def crops(self, *, held_out: bool) -> CropDataset:
        """Return the crops to learn from, or those to score, cut without flips and the same each time."""
        settings = self.settings
        views = "none" if held_out else settings.views
        return CropDataset(
            self.corpus.held_out if held_out else self.corpus.train,
            normalization=self.corpus.normalization,
            view=pipeline(views, settings.model_size, settings.resized_crop),
            seed=settings.seed,
            labelled=False,
        )

    def save(self, path: Path, scores: Mapping[str, float]) -> None:
        """Write the encoder under its own keys, with a header that says what it was made from."""
        settings, corpus = self.settings, self.corpus
        header = {
            "pretext": "spark",
            "layer_count": corpus.layer_count,
            "reverse": settings.reverse,
            "normalization": corpus.normalization.to_dict(),
            "input_size": list(settings.model_size),
            "voxel_um": corpus.voxel_um,
            "held_out": corpus.held_out_boxes,
            "scores": dict(scores),
        }
        encoder = {"encoder_name": settings.encoder_name, "in_channels": corpus.layer_count}
        save_encoder(path, self.model.encoder, encoder, header)


def _train(run: Run, pupil: Pupil) -> Iterator[Event]:
    settings, fabric = pupil.settings, pupil.fabric
    crops = pupil.crops(held_out=False)
    steps = steps_per_epoch(len(crops), settings.batch)
    unseen = Unseen.of(
        pupil.crops(held_out=True), masked=settings.masked, loss=pupil.loss, fabric=fabric, seed=settings.seed
    )
    opening = Started(
        work="pretrain spark",
        total=steps * settings.epochs,
        unit="steps",
        device=str(fabric.device),
        detail={"crops": len(crops), "held_out_crops": len(unseen.images), "steps_per_epoch": steps},
    )
    outcome = yield from fit(
        fabric=fabric,
        model=pupil.model,
        objective=pupil.objective,
        optimizer=pupil.optimizer(),
        rates=pupil.rates(steps),
        batches=epochs_of(crops, batch=settings.batch, fabric=fabric),
        steps_per_epoch=steps,
        epochs=settings.epochs,
        validate=lambda _, epoch: _judge(run, pupil, unseen, epoch),
        score="loss",
        patience=settings.patience,
        run=run,
        save_best=lambda path, _, scores: pupil.save(path, scores),
        clip_norm=None if settings.optimizer == "lamb" else settings.clip_norm,  # LAMB clips by itself
        save_seconds=settings.save_seconds,
        seed=settings.seed,
        opening=[opening, *(Warned(message=text) for text in pupil.warnings)],
    )
    if fabric.is_global_zero:
        yield from conclude(run, outcome)


def _judge(run: Run, pupil: Pupil, unseen: Unseen, epoch: int) -> dict[str, float]:
    """Score an epoch, counted from 1; draw its reconstructions and probe its features where it is time to."""
    settings = pupil.settings
    scores = unseen.scores(pupil.model)
    if epoch == 1 or epoch % settings.picture_epochs == 0 or epoch == settings.epochs:
        sheet = run.path / "reconstructions" / f"epoch_{epoch:04d}.png"
        unseen.draw(pupil.model, sheet, f"epoch {epoch}, held-out loss {scores['loss']:.3f}")
    if pupil.probe is not None and epoch % settings.probe_epochs == 0:
        scores |= _probed(pupil.probe, pupil.model.encoder)
    return scores


def _probed(probe: Probe, encoder: nn.Module) -> dict[str, float]:
    """Score a linear probe on an encoder's features, beside one on the bare voxels."""
    scores, voxels = probe(encoder), probe.voxels()
    return {
        "probe_auc": scores["auc"],
        "probe_average_precision": scores["average_precision"],
        "probe_voxels_auc": voxels["auc"],
        "probe_voxels_average_precision": voxels["average_precision"],
    }
