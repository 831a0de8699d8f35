"""Train a tagger: photographs with tags in, a run folder with the best tagger and what it says of others out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from volumen.crops.batches import steps_per_epoch
from volumen.crops.photo_dataset import PhotoDataset
from volumen.evaluation.labels import best_threshold, guesses, score_tags
from volumen.models.encoders import freeze
from volumen.models.photo_encoder import PhotoEncoder, build_photo_encoder
from volumen.models.tagger_checkpoint import load_tagger, save_tagger
from volumen.objectives.labels import LabelBce, balanced_weights
from volumen.recipes.bookkeeping import carry_out, conclude, epochs_of, fabric_of
from volumen.recipes.first_weights import take_encoder
from volumen.recipes.photos.photo_corpus import PhotoCorpus, warn_broken
from volumen.recipes.photos.photo_course import photo_course
from volumen.recipes.photos.photo_start import encoder_of, measure_photos
from volumen.recipes.photos.pooled import Pooled
from volumen.recipes.photos.said_tags import write_said
from volumen.recipes.photos.vocabulary import choose_tags, is_tagged, tag_matrix, with_tags
from volumen.views.photo import PhotoView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from lightning_fabric import Fabric
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from volumen.events import Event
    from volumen.objectives.terms import LossTerms
    from volumen.settings.train_tagger import TrainTagger
    from volumen.training.run import Run


def train_tagger(settings: TrainTagger) -> Iterator[Event]:
    """Train a tagger of photographs: an encoder, from random or pretrained weights, pooling, and a head.

    Tags are those of the photographs' list and the characters written in their polygons. Everything is opened, parted
    and checked before the run folder is made. The tagger with the best held-out score is in ``best.safetensors``, with
    its tags and threshold; ``tags.csv`` holds what it says of each held-out photograph. With ``freeze`` the encoder
    sees each photograph once, as it is, and no views are drawn.

    Yields
    ------
    Event
        The last is `Finished` with ``run``, ``checkpoint``, ``epochs``, ``scores`` (of the best weights, on held-out
        photographs: `volumen.evaluation.labels.score_tags` at the ``threshold`` that is best there, ``f1_half`` that F1
        at one half), ``guesses`` (what guessing without looking scores), ``tags``, ``said`` (path), ``seconds``.

    Raises
    ------
    SourceError, LabelError, SettingsError, CheckpointError
        The photographs cannot be read, none has a tag to learn, the weights do not fit, or settings contradict each
        other.
    OutputExistsError
        There is a run already.
    """
    yield from carry_out(settings, prepare=TagLearner.of, train=_train)


@dataclass(frozen=True, kw_only=True)
class TagLearner:
    """A tagger, its photographs and the devices to train on: all that can fail does so before a run is made."""

    settings: TrainTagger
    corpus: PhotoCorpus
    tags: tuple[str, ...]
    model: PhotoEncoder
    loss: LabelBce
    fabric: Fabric
    warnings: tuple[str, ...]
    train: PhotoDataset
    held_out: PhotoDataset
    pooled: tuple[Pooled, Pooled] | None

    @classmethod
    def of(cls, settings: TrainTagger) -> TagLearner:
        """Open the data, build the model and start the devices' processes, in this order."""
        corpus = PhotoCorpus.of(settings, usable=is_tagged, lack="without tags")
        photos = with_tags(corpus.split.train)
        tags, warnings = choose_tags(photos, settings)
        torch.manual_seed(settings.seed)
        model = build_photo_encoder(outputs=len(tags), head=settings.head, **encoder_of(settings, settings.encoder))
        warnings += take_encoder(model, settings.encoder, least=settings.least_loaded)
        view = None if settings.freeze else PhotoView(name=settings.views)
        train, held_out = (
            PhotoDataset(part, labels="tags", tags=tags, size=settings.size, view=view, seed=settings.seed)
            for part in (photos, with_tags(corpus.split.held_out))
        )
        weights = balanced_weights(tag_matrix(photos, tags)) if settings.pos_weight == "balanced" else ()
        fabric = fabric_of(settings)
        pooled = None
        if settings.freeze:
            freeze(model.encoder)
            fabric.to_device(model)
            if settings.frozen_norms == "measured":
                measure_photos(model, train, batch=settings.batch, fabric=fabric)
            seen = [
                Pooled(part, model.features, batch=settings.batch, fabric=fabric, seed=settings.seed)
                for part in (train, held_out)
            ]
            pooled = (seen[0], seen[1])
        return cls(
            settings=settings,
            corpus=corpus,
            tags=tags,
            model=model,
            loss=LabelBce(pos_weight=weights),
            fabric=fabric,
            warnings=(*corpus.warnings, *warnings),
            train=train,
            held_out=held_out,
            pooled=pooled,
        )

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
        return steps_per_epoch(len(self.train if self.pooled is None else self.pooled[0]), self.settings.batch)

    @property
    def batches(self) -> Callable[[int, int], Iterator[dict[str, Tensor]]]:
        """What is learned from in an epoch from a step on."""
        samples = self.train if self.pooled is None else self.pooled[0]
        return epochs_of(samples, batch=self.settings.batch, fabric=self.fabric)

    @property
    def score(self) -> str:
        """Which held-out score says what is best."""
        if self.settings.score == "auto":
            return "f1" if len(self.tags) > 1 else "micro_f1"
        return self.settings.score

    @property
    def swept(self) -> str:
        """Which score says what threshold is best."""
        return "f1" if self.score == "loss" else self.score

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Score a batch."""
        with self.fabric.autocast():
            logits = model.head(batch["features"]) if "features" in batch else model(batch["image"])  # type: ignore[operator]
        return self.loss(logits, batch["tags"])

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Return the loss, weighted as it is learned by, and the scores of what is said of the held-out photographs."""
        probabilities, truth, _ = self.said(model)
        threshold, scores = best_threshold(probabilities, truth, score=self.swept)
        loss = self.loss(torch.from_numpy(probabilities).logit(eps=1e-7), torch.from_numpy(truth)).total
        half = score_tags(probabilities >= 0.5, truth)[self.swept]
        return {"loss": float(loss), **scores, "threshold": threshold, "f1_half": half}

    def said(self, model: nn.Module) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[str]]:
        """Return what a model says of the held-out photographs.

        Returns
        -------
        tuple
            Probabilities and tags, (photographs, T) each, and the photographs' names.
        """
        logits, tags, index = [], [], []
        with torch.inference_mode(), self.fabric.autocast():
            if self.pooled is not None:
                seen = self.pooled[1]
                logits.append(model.head(self.fabric.to_device(seen.features)))  # type: ignore[operator]
                tags.append(seen.tags)
                index.append(seen.index)
            else:
                for batch in self.held_out.in_order(self.settings.batch):
                    logits.append(model(self.fabric.to_device(batch["image"])))
                    tags.append(batch["tags"])
                    index.append(batch["photo"])
        probabilities = torch.cat(logits).float().sigmoid().cpu().double().numpy()
        names = [self.held_out.photos[int(each)].name for each in torch.cat(index)]
        return probabilities, torch.cat(tags).bool().numpy(), names

    def save(self, path: Path, scores: Mapping[str, float]) -> None:
        """Write the tagger with all that tagging needs, and where its scores come from."""
        header = {
            "tags": list(self.tags),
            "threshold": scores["threshold"],
            "input_size": list(self.settings.size),
            "scores": {name: value for name, value in scores.items() if value == value},
        }
        save_tagger(path, self.model, header)


def _train(run: Run, learner: TagLearner) -> Iterator[Event]:
    detail = {"photos": len(learner.train), "held_out_photos": len(learner.held_out), "tags": len(learner.tags)}
    outcome = yield from photo_course(run, learner, work="train tagger", detail=detail, score=learner.score)
    if learner.fabric.is_global_zero:
        yield from warn_broken(run, learner.train, learner.held_out)
        tagger, header = load_tagger(run.best_path)
        learner.fabric.to_device(tagger)
        probabilities, truth, names = learner.said(tagger)
        path = run.path / "tags.csv"
        write_said(path, names, learner.tags, probabilities, truth, threshold=header["threshold"])
        known = tag_matrix(learner.train.photos, learner.tags).numpy()
        yield from conclude(
            run,
            outcome,
            guesses=guesses(known, truth, score=learner.swept),
            score=learner.swept,
            tags=list(learner.tags),
            said=str(path),
        )
