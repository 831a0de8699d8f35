"""The training loop: objective and batches in, weights out, event by event; read `fit` from top to bottom."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from volumen.errors import SettingsError
from volumen.events import Saved, Scored, Stepped
from volumen.memory import out_of_memory
from volumen.training.steps import Batch, Objective, Stepper
from volumen.training.stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from lightning_fabric import Fabric

    from volumen.events import Event
    from volumen.training.optimizers import Rates
    from volumen.training.run import Run


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a training ended: steps and epochs done, the best score, whether patience ran out, and how long it took.

    ``seconds`` are those of what counts, over all sessions: steps that a kill undid are taken, and timed, again.
    """

    steps: int
    epochs: int
    stopping: Stopping
    seconds: float

    @property
    def stopped_early(self) -> bool:
        """Whether patience ran out."""
        return self.stopping.exhausted


def fit(
    *,
    fabric: Fabric,
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    rates: Callable[[int], Rates],
    batches: Callable[[int, int], Iterator[Batch]],
    steps_per_epoch: int,
    epochs: int,
    validate: Callable[[nn.Module, int], Mapping[str, float]],
    score: str,
    run: Run,
    save_best: Callable[[Path, nn.Module, Mapping[str, float]], None],
    patience: int = 0,
    clip_norm: float | None = 10.0,
    save_seconds: float = 60.0,
    seed: int = 0,
    opening: Sequence[Event] = (),
) -> Generator[Event, None, Outcome]:
    """Train, or go on training where the run's state says.

    Whatever is random in a step (dropout) is drawn from ``(seed, step, rank)``, the rates are a function of the
    step, and the batches of an epoch can begin at any step: so a run that was killed and resumed ends
    with the same weights as an unbroken one on the same CPU; on CUDA it does so but for what kernels add up in no
    fixed order, which torch calls nondeterministic. State is saved after every epoch, within one
    every ``save_seconds``, and when the generator is closed. Events are recorded in the run before the state
    that follows them, so ``events.jsonl`` tells every step once. On several devices every process runs this
    generator to its end; only that of rank 0 yields, writes and validates. Batch norms then take their statistics over
    all processes, see `share_norms`.

    Parameters
    ----------
    fabric
        From `open_fabric`, already launched.
    model, optimizer
        As built; `fit` moves them to the device. Frozen parameters stay as they are.
    objective
        From the model and a batch on the device to `LossTerms`; called in training mode.
    rates
        From the step, counted from 0, to the learning rate and, where it is scheduled, the weight decay.
    batches
        ``batches(epoch, start_step)`` yields this process's batches of an epoch (from 0) from a step on; a
        batch is a dict of tensors that share their first axis N.
    steps_per_epoch, epochs
        How many batches an epoch yields; how many epochs at most.
    validate
        From the model in evaluation mode, without gradients, and the epoch, counted from 1, to named scores.
    score, patience
        Which of them says what is best, and how many epochs without a better one to wait; 0 waits for ever.
    run
        Where events, state and best weights go.
    save_best
        ``save_best(path, model, scores)`` writes the weights, complete or not at all.
    clip_norm
        Largest gradient norm; None leaves that to the optimizer, as `volumen.training.optimizers.lamb` wants it.
    opening
        What to say first; recorded only where nothing is resumed.

    Returns
    -------
    Outcome
        The generator's return value: ``outcome = yield from fit(...)``. The model then has its last weights, and is in
        evaluation mode.

    Raises
    ------
    DivergedError
        The loss or a gradient is no longer a number.
    CheckpointError
        The run's state is damaged or is for another model.
    SettingsError
        ``score`` is not among what ``validate`` returns.
    OutOfMemoryError
        One sample is too much for the device, or what ``validate`` takes is.
    """
    speaks = fabric.is_global_zero
    state = fabric.broadcast(run.rewind() if speaks else None)
    for event in opening if speaks else ():
        if state is None:
            run.record(event)
        yield event

    stepper = Stepper(fabric, model, optimizer, objective, clip_norm=clip_norm, seed=seed)
    stopping, step, losses = Stopping(score=score, patience=patience), 0, 0.0
    before, began = 0.0 if state is None else state.get("seconds", 0.0), time.monotonic()
    if state is not None:
        stepper.restore(state["stepper"])
        stopping, step, losses = Stopping(**state["stopping"]), state["step"], state["losses"]
    total, saved_at, stepped_at = steps_per_epoch * epochs, time.monotonic(), time.monotonic()

    while step < total and not stopping.exhausted:
        epoch, first = divmod(step, steps_per_epoch)
        stepper.module.train()
        for batch in batches(epoch, first):
            taken = stepper.step(step, batch, rates(step))
            step, losses = step + 1, losses + taken.values["loss"]
            pace = {"epoch": epoch + 1, "crops_per_second": taken.samples / (time.monotonic() - stepped_at)}
            stepped_at = time.monotonic()
            if not speaks:
                continue
            told = _recorded(run, *taken.warnings, Stepped(done=step, total=total, values={**taken.values, **pace}))
            within = step % steps_per_epoch > 0  # an epoch is saved whole, with its scores
            try:
                yield from told
            except GeneratorExit:  # nobody pulls any more: what was done since the last save is worth keeping
                if within:
                    run.save_state(_state(stepper, stopping, step, losses, before + time.monotonic() - began))
                raise
            if within and stepped_at - saved_at >= save_seconds:
                run.save_state(_state(stepper, stopping, step, losses, before + time.monotonic() - began))
                saved_at = time.monotonic()
        if step != (epoch + 1) * steps_per_epoch:
            raise SettingsError(f"Expected {steps_per_epoch} batches an epoch; epoch {epoch + 1} ended at step {step}.")

        scores = fabric.broadcast(_scores(model, validate, epoch + 1) if speaks else {})
        stopping = stopping.update(epoch + 1, scores)
        if speaks:
            means = {**scores, "train_loss": losses / steps_per_epoch}
            news: list[Event] = [Scored(step=epoch + 1, scores=means, best=stopping.improved)]
            if stopping.improved:
                save_best(run.best_path, model, scores)
                news.append(Saved(path=str(run.best_path), what="best weights"))
            told = _recorded(run, *news)
            run.save_state(_state(stepper, stopping, step, 0.0, before + time.monotonic() - began))
            yield from told
        losses, saved_at, stepped_at = 0.0, time.monotonic(), time.monotonic()

    model.eval()  # as the last scores left it; where all steps were taken before, it was only built and restored
    seconds = before + time.monotonic() - began
    return Outcome(steps=step, epochs=step // steps_per_epoch, stopping=stopping, seconds=seconds)


def _recorded(run: Run, *events: Event) -> tuple[Event, ...]:
    """Record events before they are passed on."""
    for event in events:
        run.record(event)
    return events


def _scores(
    model: nn.Module, validate: Callable[[nn.Module, int], Mapping[str, float]], epoch: int
) -> dict[str, float]:
    model.eval()
    with torch.no_grad(), out_of_memory("held-out data was scored", "Use a smaller batch, or a smaller input size."):
        return {name: float(value) for name, value in validate(model, epoch).items()}


def _state(stepper: Stepper, stopping: Stopping, step: int, losses: float, seconds: float) -> dict[str, Any]:
    told = {"step": step, "losses": losses, "seconds": seconds}
    return {"stepper": stepper.state(), "stopping": stopping.to_dict(), **told}
