"""A training to run, kill and run again: python small_lesson.py RUN [--devices N] [--pause SECONDS]."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import nn

from volumen.errors import SourceNotFoundError
from volumen.events import Started
from volumen.objectives.segmentation import BceDice
from volumen.objectives.terms import LossTerms
from volumen.training.devices import open_fabric
from volumen.training.loop import fit
from volumen.training.optimizers import Rates, adamw, warm_up_cosine
from volumen.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from lightning_fabric import Fabric

    from volumen.events import Event
    from volumen.training.loop import Outcome

STEPS, BATCH, PEAK = 5, 8, 0.05


class SmallNet(nn.Module):
    """One frozen and two trained convolutions, with norm statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Conv2d(3, 4, 1).requires_grad_(False)
        self.body = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.frozen(image)))


@dataclass
class Lesson:
    """What `fit` is given; tests change a field to see what it does."""

    epochs: int = 3
    clip_norm: float | None = 10.0
    save_seconds: float = 60.0
    patience: int = 0
    score: str = "loss"
    pause: float = 0.0
    devices: int = 1
    plain: bool = False
    norms: bool = False

    def model(self) -> SmallNet:
        torch.manual_seed(3)
        model = SmallNet()
        if self.plain:  # no dropout, which every process draws for itself
            model.body[3] = nn.Identity()
        if self.plain and not self.norms:
            model.body[1] = nn.Identity()
        if self.norms:  # a bias before a norm has no gradient but noise, which Adam would make steps of
            model.body[0] = nn.Conv2d(4, 8, 3, padding=1, bias=False)
        return model

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        return adamw(model, learning_rate=PEAK)

    def rates(self, step: int) -> Rates:
        return Rates(warm_up_cosine(step, steps=STEPS * self.epochs, warm_up=0, peak=PEAK))

    def samples(self, epoch: int, step: int) -> dict[str, torch.Tensor]:
        image = torch.rand(BATCH, 3, 6, 6, generator=torch.Generator().manual_seed(1000 * epoch + step))
        return {"image": image, "ink": (image.mean(1, keepdim=True) > 0.5).float()}

    def batches(self, fabric: Fabric, epoch: int, first: int) -> Iterator[dict[str, torch.Tensor]]:
        for step in range(first, STEPS):
            time.sleep(self.pause)
            share = slice(fabric.global_rank, None, fabric.world_size)
            yield {name: tensor[share] for name, tensor in self.samples(epoch, step).items()}

    def objective(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> LossTerms:
        if self.norms:
            trusted = (batch["image"][:, :1] > 0.3).float()  # every process has another number of trusted pixels
            return BceDice()(model(batch["image"]), batch["ink"], trusted)
        loss = nn.functional.binary_cross_entropy_with_logits(model(batch["image"]), batch["ink"])
        return LossTerms(total=loss, terms={"bce": loss.detach()})

    def validate(self, model: nn.Module, epoch: int) -> dict[str, float]:
        return {"loss": float(self.objective(model, self.samples(99, 0)).total)}

    def train(self, run: Run, *, fabric: Fabric | None = None) -> Generator[Event, None, Outcome]:
        fabric = fabric or open_fabric(device="cpu", devices=self.devices)
        model = self.model()
        return (
            yield from fit(
                fabric=fabric,
                model=model,
                objective=self.objective,
                optimizer=self.optimizer(model),
                rates=self.rates,
                batches=partial(self.batches, fabric),
                steps_per_epoch=STEPS,
                epochs=self.epochs,
                validate=self.validate,
                score=self.score,
                patience=self.patience,
                run=run,
                save_best=lambda path, module, _: save_file(module.state_dict(), path),
                clip_norm=self.clip_norm,
                save_seconds=self.save_seconds,
                opening=[Started(work="lesson", total=STEPS * self.epochs, unit="steps")],
            )
        )


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    """Return the saved weights and the optimiser's moments, flat."""
    state = run.load_state()["stepper"]
    moments = {f"{k}.{name}": t for k, fields in state["optimizer"]["state"].items() for name, t in fields.items()}
    return {**state["weights"], **moments}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def story(run: Run) -> list[str]:
    """Return the recorded events without the speeds, which differ from run to run."""
    told = []
    for line in (run.path / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        event.get("values", {}).pop("crops_per_second", None)
        event.pop("path", None)
        told.append(json.dumps(event))
    return told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--norms", action="store_true")
    arguments = parser.parse_args()
    lesson = Lesson(
        devices=arguments.devices, pause=arguments.pause, save_seconds=0.0, plain=arguments.plain, norms=arguments.norms
    )
    fabric = open_fabric(device="cpu", devices=arguments.devices)
    if fabric.is_global_zero:
        try:
            Run.open(arguments.run)
        except SourceNotFoundError:
            Run.create(arguments.run, {"verb": "lesson"})
    fabric.barrier()
    for event in lesson.train(Run.open(arguments.run), fabric=fabric):
        print(type(event).__name__, flush=True)


if __name__ == "__main__":
    main()
